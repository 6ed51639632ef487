"""Processes that read pieces of an inventory: none of them is missed, and none is left behind."""

from __future__ import annotations

import json
import logging
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage.inventory import team
from storage.inventory.chunks import Form
from storage.inventory.detect import Format, Layout
from storage.inventory.team import Team, Ticket
from storage.inventory.text_file import PieceForm, PieceReader
from storage.inventory.worker import LONGEST_PIECE

FORM = PieceForm("list", Layout(Format.SIZES, 1), Form(), None, b"", (), 1)
PIECE = b"/a/1 1\n/a/2 2\n/b/1 3\n"
LOTS = b"".join(b"/a/%d 1\n" % n for n in range(100_000))


class Stopped(Exception):
    pass


def given(some: Team, piece: bytes = PIECE) -> Ticket:
    """Have a piece read as soon as somebody is there."""
    while True:
        ticket = some.give(piece)
        if ticket is not None:
            return ticket
        assert some.pids


def is_running(pid: int) -> bool:
    """Tell a process that has not ended; one that nobody has waited for has."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture
def pair() -> Iterator[Team]:
    with Team(2, FORM, lambda: None) as workers:
        yield workers


def test_a_worker_says_what_this_process_would(pair: Team) -> None:
    tickets = [given(pair, piece) for piece in (PIECE, b"/a/3 9", b"# nothing\n", PIECE * 1000)]
    for ticket in tickets:
        pair.wait(ticket)
        assert ticket.found is not None
        expected = PieceReader(FORM).read(ticket.piece)
        assert pickle.dumps(ticket.found) == pickle.dumps(expected)


def test_all_that_is_asked_for_reaches_a_worker() -> None:
    # More than a pipe holds.
    keep = tuple(b"/directory/%05d" % n for n in range(20_000))
    with Team(1, replace(FORM, keep=keep), lambda: None) as workers:
        ticket = given(workers, b"/directory/19999/1 5\n/directory/20000/1 7\n")
        workers.wait(ticket)
    assert ticket.found is not None
    assert (ticket.found.packed.skipped, ticket.found.packed.total) == (1, 5)


def test_what_a_worker_cannot_read_comes_back(pair: Team) -> None:
    ticket = given(pair, PIECE + b"/a/1\n")
    pair.wait(ticket)
    assert (ticket.done, ticket.found) == (True, None)


def test_what_is_too_long_is_not_taken(pair: Team) -> None:
    pair.wait(given(pair))
    assert pair.give(b"/a/1 1\n" * (LONGEST_PIECE // 7 + 1)) is None


def test_nobody_takes_more_than_can_wait(pair: Team) -> None:
    pair.wait(given(pair))
    for pid in pair.pids:
        os.kill(pid, signal.SIGSTOP)
    taken = [pair.give(PIECE) for _ in range(20)]
    assert 2 <= sum(ticket is not None for ticket in taken) <= 4


def test_none_is_left_behind(pair: Team) -> None:
    pids = pair.pids
    given(pair, LOTS)
    assert all(map(is_running, pids))
    pair.__exit__(None, None, None)
    assert not any(map(is_running, pids))
    assert pair.pids == []


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """Give what was said in the log."""
    with caplog.at_level(logging.WARNING):
        yield lambda: caplog.messages


Said = Callable[[], list[str]]


def test_one_that_is_killed_is_missed_and_named(pair: Team, warnings: Said) -> None:
    while not all(worker.ready for worker in pair._workers):
        pair._look(0.1)
    pids = pair.pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    # Both of what the one has, and what the other one has.
    tickets = [given(pair), given(pair), given(pair)]
    os.kill(pids[1], signal.SIGKILL)
    for ticket in tickets:
        pair.wait(ticket)
        assert (ticket.done, ticket.found) == (True, None)
    (said,) = warnings()
    assert said.startswith(f"inventory list: the process {pids[1]} that reads a part of it was killed (signal 9); ")
    assert "InventoryProcesses: 1 takes less" in said
    assert pair.give(PIECE) is None
    assert not any(map(is_running, pids))


def test_one_that_is_killed_while_nothing_is_asked_of_it_is_missed(warnings: Said) -> None:
    with Team(1, FORM, lambda: None) as workers:
        workers.wait(given(workers))
        (pid,) = workers.pids
        os.kill(pid, signal.SIGKILL)
        while is_running(pid):
            time.sleep(0.01)
        assert workers.give(PIECE) is None
        assert workers.pids == []
    (said,) = warnings()
    assert f"the process {pid} that reads a part of it was killed (signal 9); " in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_whoever_tells_a_whole_job_to_stop_means_the_program(number: int, warnings: Said) -> None:
    with Team(1, FORM, lambda: None) as workers:
        workers.wait(given(workers))
        os.kill(workers.pids[0], number)
        ticket = given(workers)
        workers.wait(ticket)
    assert ticket.found is not None
    assert warnings() == []


def test_a_halt_is_heard_before_a_worker_is_missed(warnings: Said) -> None:
    halted = False

    def heed() -> None:
        if halted:
            raise Stopped

    with Team(1, FORM, heed) as workers:
        workers.wait(given(workers))
        (pid,) = workers.pids
        os.kill(pid, signal.SIGKILL)
        while is_running(pid):
            time.sleep(0.01)
        halted = True
        with pytest.raises(Stopped):
            workers.give(PIECE)
    assert warnings() == []


def test_one_that_gives_no_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, warnings: Said) -> None:
    monkeypatch.setattr(team, "_SILENCE", 0.5)
    with Team(1, FORM, lambda: None) as workers:
        workers.wait(given(workers))
        (pid,) = workers.pids
        os.kill(pid, signal.SIGSTOP)
        ticket = given(workers)
        workers.wait(ticket)
        assert not is_running(pid)
    assert (ticket.done, ticket.found) == (True, None)
    (said,) = warnings()
    assert f"the process {pid} that reads a part of it gave no answer for 0.5 s; " in said


SAYS = """
import mmap, os, pickle, time
from storage.inventory.worker import LONGEST_PIECE, MESSAGE, READY, SLOT
memory = mmap.mmap({shared}, 0)
os.write(1, MESSAGE.pack(READY, 0))
os.read(0, 1 << 20)
%s
time.sleep(100)
"""


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ("os.write(1, b'a word that a library has to say')", "gave an answer to nothing that it was asked"),
        ("os.write(1, MESSAGE.pack(7, 1))", "gave an answer to nothing that it was asked"),
        ("os.write(1, MESSAGE.pack(1, 1 << 31))", "to nothing that it was asked"),
        ("os.write(1, MESSAGE.pack(1, 9))", r"an answer that cannot be read \(Unp"),
        (
            "said = pickle.dumps(1); start = SLOT + LONGEST_PIECE; memory[start : start + len(said)] = said;"
            "os.write(1, MESSAGE.pack(1, len(said)))",
            "an answer that says nothing of a piece",
        ),
        ("os.write(1, b'abc'); os._exit(0)", "ended with 0"),
    ],
)
def test_what_no_worker_says_is_none(says: str, expected: str, monkeypatch: pytest.MonkeyPatch, warnings: Said) -> None:
    monkeypatch.setattr(team, "_PROGRAM", "import sys; sys.path[:] = {path!r}" + SAYS % says)
    with Team(1, FORM, lambda: None) as workers:
        ticket = given(workers)
        workers.wait(ticket)
        assert workers.pids == []
    assert (ticket.done, ticket.found) == (True, None)
    (said,) = warnings()
    assert re.search(expected, said)


def test_half_a_word_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "_PROGRAM", "import sys; sys.path[:] = {path!r}" + SAYS % "os.write(1, b'abc')")
    asked = 0

    def heed() -> None:
        nonlocal asked
        asked += 1
        if asked > 10:
            raise Stopped

    with Team(1, FORM, heed) as workers, pytest.raises(Stopped):
        workers.wait(given(workers))


def test_whoever_waits_can_give_up() -> None:
    asked = 0

    def heed() -> None:
        nonlocal asked
        asked += 1
        if asked > 3:
            raise Stopped

    with Team(1, FORM, heed) as workers:
        pids = workers.pids
        workers.wait(given(workers))
        os.kill(pids[0], signal.SIGSTOP)
        with pytest.raises(Stopped):
            workers.wait(given(workers))
    assert not is_running(pids[0])


def test_one_that_cannot_begin_is_done_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(team, "_PROGRAM", "raise SystemExit(3)")
    with caplog.at_level(logging.WARNING), Team(1, FORM, lambda: None) as workers:
        while workers.pids:
            assert workers.give(PIECE) is None
    assert "ended with 3 before it began" in caplog.text


@pytest.mark.parametrize("executable", ["/nowhere/python", "", None])
def test_where_none_can_be_started_none_is(
    executable: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    before = len(os.listdir("/proc/self/fd"))
    with caplog.at_level(logging.WARNING), Team(2, FORM, lambda: None) as workers:
        assert workers.pids == []
        assert workers.give(PIECE) is None
    assert "could not be started" in caplog.text
    assert len(os.listdir("/proc/self/fd")) == before


def test_none_is_left_when_another_one_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    start = team._start
    started: list[int] = []

    def start_one(shared: int) -> subprocess.Popen[bytes]:
        if started:
            raise KeyboardInterrupt
        process = start(shared)
        started.append(process.pid)
        return process

    monkeypatch.setattr(team, "_start", start_one)
    some = Team(2, FORM, lambda: None)
    with pytest.raises(KeyboardInterrupt):
        some.__enter__()
    assert len(started) == 1
    assert not is_running(started[0])


CLOSED = """
import os, sys
os.close(0), os.close(1)
from storage.inventory.team import Team
from tests.storage.inventory.test_team import FORM, given
with Team(1, FORM, lambda: None) as workers:
    ticket = given(workers)
    workers.wait(ticket)
os._exit(0 if ticket.found is not None else 5)
"""


def test_a_program_without_input_and_output_has_workers() -> None:
    said = subprocess.run([sys.executable, "-c", CLOSED], stderr=subprocess.PIPE, check=False, timeout=100, **ROOT)
    assert said.returncode == 0, said.stderr


def test_nothing_stays_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with Team(2, FORM, lambda: None) as workers:
        workers.wait(given(workers))
    assert len(os.listdir("/proc/self/fd")) == before


ROOT: Any = {
    "cwd": Path(__file__).parents[3],
    "env": {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
}
"""Where programs find what they are to load."""

PARENT = """
import os, sys
from storage.inventory.team import Team
from tests.storage.inventory.test_team import FORM, LOTS, given
with Team(2, FORM, lambda: None) as workers:
    given(workers, LOTS)
    print(*workers.pids, flush=True)
    if sys.argv[1] == "wait":
        sys.stdin.read()
    os.kill(os.getpid(), int(sys.argv[1]))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_end_with_the_process_that_started_them(number: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PARENT, str(int(number))],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
        **ROOT,
    )
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    deadline = time.monotonic() + 60
    while any(map(is_running, pids)):
        assert time.monotonic() < deadline, "one of them is left"
        time.sleep(0.05)


def test_a_worker_loads_little() -> None:
    program = "import json, sys, storage.inventory.worker; print(json.dumps(sorted(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True, **ROOT).stdout
    loaded = {name.partition(".")[0] for name in json.loads(said)}
    assert not loaded & {"ray", "pydantic", "sqlalchemy", "sqlite_utils", "rich", "typer", "asyncio", "XRootD"}
