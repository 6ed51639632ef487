"""Runs that share seats find each other through one file, whatever becomes of it or of them."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.seats import SeatLimits
from storage.sites.process import Owner
from storage.sites.seats import SeatBook, SeatError, SeatPlan

DOOR = "door.example:1094"


@pytest.fixture
def book(tmp_path: Path) -> Callable[..., SeatBook]:
    def open_book(site: str, pool: int | None = 4, owner: Owner | None = None, **doors: int) -> SeatBook:
        limits = SeatLimits(pool, {DOOR: doors["door"]} if doors else {})
        book = SeatBook(SeatPlan(tmp_path / "var", limits, (DOOR,)), site)
        if owner is not None:
            book._owner = owner
        return book

    return open_book


def test_runs_share_what_there_is(book: Callable[..., SeatBook]) -> None:
    large, small = book("large"), book("small")
    assert large.ask(50, 0) == 4
    assert small.ask(1, 0) == 0
    assert small.others == ("large",)
    assert large.ask(50, 4) == 3
    assert small.ask(1, 0) == 0, "the fourth lister is still at work"
    assert large.ask(50, 3) == 3
    assert small.ask(1, 0) == 1
    small.leave()
    assert large.ask(50, 3) == 4


def test_what_was_allowed_counts_before_it_is_there(book: Callable[..., SeatBook]) -> None:
    assert book("one").ask(3, 0) == 3
    assert book("two").ask(3, 0) == 1


def test_a_door_has_its_own_limit(book: Callable[..., SeatBook]) -> None:
    assert book("one", None, door=2).ask(9, 0) == 2


def test_seats_of_a_process_that_is_gone_are_free(book: Callable[..., SeatBook]) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        owner = replace(Owner.this(), pid=process.pid, start="")
        assert book("gone", owner=owner).ask(4, 0) == 4
        assert book("new").ask(2, 0) == 0
        assert process.stdin is not None
        process.stdin.close()
    assert book("new").ask(2, 0) == 2


def test_seats_of_another_machine_that_says_nothing_are_free_in_the_end(
    book: Callable[..., SeatBook], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert book("far", owner=Owner(1, "elsewhere.example", "x")).ask(4, 0) == 4
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 899)
    assert book("near").ask(2, 0) == 0
    monkeypatch.setattr(time, "time", lambda: now + 901)
    assert book("near").ask(2, 0) == 2


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"format": "dynamo-consistency-seats", "version": 2, "runs": []}']
)
def test_a_damaged_file_is_made_anew(
    content: bytes, book: Callable[..., SeatBook], caplog: pytest.LogCaptureFixture
) -> None:
    one, two = book("one"), book("two")
    assert one.ask(4, 0) == 4
    one.path.write_bytes(content)
    assert one.ask(4, 4) == 4
    assert "is made anew" in caplog.text
    assert two.ask(4, 0) == 0


def test_the_file_is_as_documented(book: Callable[..., SeatBook]) -> None:
    one = book("T2_X")
    one.ask(3, 1)
    kept = json.loads(one.path.read_text())
    assert (kept["format"], kept["version"]) == ("dynamo-consistency-seats", 1)
    (run,) = kept["runs"]
    assert run.pop("since") == pytest.approx(time.time(), abs=60)
    assert run.pop("seen") == pytest.approx(time.time(), abs=60)
    this = Owner.this()
    assert run == {
        "pid": this.pid,
        "host": this.host,
        "process": this.start,
        "site": "T2_X",
        "wants": 3,
        "holds": 3,
        "doors": [DOOR],
        "had": 0.0,
    }


def test_a_file_of_before_there_were_short_turns_is_gone_on_with(book: Callable[..., SeatBook]) -> None:
    one, two = book("one"), book("two")
    one.ask(4, 0)
    kept = json.loads(one.path.read_text())
    for run in kept["runs"]:
        del run["had"]
    one.path.write_text(json.dumps(kept))
    assert two.ask(4, 0) == 0


def test_a_run_that_never_had_a_seat_takes_one_when_a_first_turn_is_over(
    book: Callable[..., SeatBook], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    large, small = book("large", 1), book("small", 1, replace(Owner.this(), pid=os.getppid(), start=""))
    monkeypatch.setattr(Owner, "is_alive", lambda self: True)
    assert (large.ask(4, 0), small.ask(1, 0)) == (1, 0)
    now += 9
    assert (large.ask(4, 1), small.ask(1, 0)) == (1, 0)
    now += 1
    assert large.ask(4, 1) == 0
    assert large.ask(4, 0) == 0
    assert small.ask(1, 0) == 1
    # Now it has had ten seconds, and after them the next turn is as long again.
    now += 10
    assert small.ask(1, 1) == 0
    assert small.ask(1, 0) == 0
    assert large.ask(4, 0) == 1
    (row,) = [row for row in json.loads(large.path.read_text())["runs"] if row["site"] == "large"]
    assert row["had"] == 10.0


def test_without_its_file_a_run_keeps_what_it_has(
    book: Callable[..., SeatBook], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = book("one")
    assert one.ask(4, 0) == 4
    one.path.with_suffix(".part").mkdir()
    assert [one.ask(4, holds) for holds in (4, 3)] == [4, 3]
    assert [record.getMessage() for record in caplog.records] == [
        f"one: no lister is added meanwhile: cannot write {one.path}: Is a directory"
    ]
    with pytest.raises(SeatError, match="cannot write"):
        book("two").ask(4, 0)
    one.path.with_suffix(".part").rmdir()
    assert one.ask(4, 3) == 4


def test_a_file_that_another_has_for_too_long(book: Callable[..., SeatBook], monkeypatch: pytest.MonkeyPatch) -> None:
    one = book("one")
    one.ask(4, 0)
    lock = os.open(one.path.with_suffix(".lock"), os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    monkeypatch.setattr("storage.sites.seats._PATIENCE", 0.05)
    assert one.ask(4, 2) == 2
    with pytest.raises(SeatError, match="for too long"):
        book("two").ask(1, 0)
    os.close(lock)


RUN = """
import sys, time
from pathlib import Path
from engine.seats import SeatLimits
from storage.sites.seats import SeatBook, SeatPlan
book = SeatBook(SeatPlan(Path(sys.argv[1]), SeatLimits(5)), sys.argv[2])
holds = 0
while True:
    holds = book.ask(4, holds)
    time.sleep(0.001)
"""


def test_processes_that_ask_at_the_same_time_never_have_too_many(tmp_path: Path) -> None:
    def held() -> dict[str, int]:
        try:
            return {run["site"]: run["holds"] for run in json.loads((tmp_path / "seats.json").read_text())["runs"]}
        except FileNotFoundError:
            return {}

    runs = [subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path), str(n)]) for n in range(3)]
    try:
        until = time.monotonic() + 60
        while sorted(held().values()) != [1, 2, 2]:
            assert sum(held().values()) <= 5
            assert time.monotonic() < until
        for _ in range(1000):
            assert sorted(held().values()) == [1, 2, 2]
        runs[0].kill()
        runs[0].wait()
        while sorted(held().values()) != [2, 3]:
            assert sum(held().values()) <= 5
            assert time.monotonic() < until
    finally:
        for run in runs:
            run.kill()
            run.wait()


def test_a_run_that_has_other_things_to_do_for_long_keeps_its_seats(
    book: Callable[..., SeatBook], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert book("long").ask(4, 0) == 4
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86_400)
    assert book("other").ask(2, 0) == 0


def test_a_clock_that_is_set_back_gives_nobody_a_longer_turn(
    book: Callable[..., SeatBook], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = book("one", 1), book("two", 1)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86_400)
    assert one.ask(1, 0) == 1
    far = book("far", 1, owner=Owner(1, "elsewhere.example", "x"))
    assert far.ask(1, 0) == 0
    monkeypatch.setattr(time, "time", lambda: now)
    assert two.ask(1, 0) == 0
    monkeypatch.setattr(time, "time", lambda: now + 901)
    assert one.ask(1, 1) == 0, "its ten minutes are over"
    assert two.ask(1, 0) == 0
    assert one.ask(1, 0) == 0
    assert two.ask(1, 0) == 1, "nobody waits for a machine that is not heard of"
