"""Several processes that read an inventory write the same snapshot as one, byte for byte, or refuse the same line."""

from __future__ import annotations

import bz2
import gzip
import os
import random
import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.inventory import InventoryError, detect, read_inventory, spread
from storage.inventory.builder import HELD, TreeBuilder
from storage.inventory.team import Team, Ticket
from storage.inventory.text_file import PieceForm
from storage.snapshot import SnapshotHeader, SnapshotWriter
from tests.storage.inventory.test_fast_and_slow import inventories
from tests.storage.inventory.test_team import is_running

ALL_ALONE = 1 << 40


give = Team.give


def give_surely(team: Team, piece: bytes) -> Ticket | None:
    """Wait until somebody has time; this process would have read everything before the others are there."""
    while team.pids:
        ticket = give(team, piece)
        if ticket is not None:
            return ticket
    raise AssertionError("nobody there")


@contextmanager
def changed(alone: int, held: int) -> Iterator[None]:
    """Look at few lines, so that there are pieces behind them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TreeBuilder.__init__, "__defaults__", (None, held))
        patch.setattr(detect, "SAMPLE", 3)
        patch.setattr(spread, "ALONE", alone)
        patch.setattr(Team, "give", give_surely)
        yield


Outcome = tuple[object, bytes | str]


def written(path: Path, frames: bool, alone: int = ALL_ALONE, held: int = HELD, **options: Any) -> Outcome:
    """Read an inventory into a snapshot; gives what was counted and its bytes, or what was said."""
    snapshot = path.with_name("snapshot")
    writer = SnapshotWriter(snapshot, SnapshotHeader("inventory", "test", 1))
    more = {"append_leaves": writer.append_leaves} if frames else {}
    with changed(alone, held):
        try:
            counts = read_inventory(path, writer.append, listed_at=1, scratch=path.parent, **more, **options)
            writer.finish()
        except InventoryError as error:
            assert len(writer.index) == 0
            return type(error), str(error)
        finally:
            writer.discard()
    return counts, snapshot.read_bytes()


@settings(max_examples=300)
@given(
    inventories(),
    st.sampled_from(["auto", "paths", "sizes"]),
    st.sampled_from([None, b"/r"]),
    st.integers(7, 300),
    st.sampled_from([(), (b"/a",), (b"/a/b", b"/.x")]),
)
def test_pieces_say_the_same_as_the_whole(
    data: bytes,
    format: str,  # noqa: A002 - the word that the configuration uses
    root: bytes | None,
    chunk_size: int,
    keep: tuple[bytes, ...],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "list")
        path.write_bytes(data)
        options: dict[str, Any] = {"format": format, "root": root, "chunk_size": chunk_size, "keep": keep}
        whole = written(path, frames=False, **options)
        assert written(path, frames=True, **options) == whole
        assert written(path, frames=True, held=300, **options) == whole
        assert written(path, frames=True, processes=2, **options) == whole
        assert written(path, frames=True, processes=2, held=300, **options) == whole


@settings(max_examples=12, deadline=None)
@given(inventories(), st.integers(7, 300), st.sampled_from([HELD, 300]))
def test_workers_say_the_same_as_one_process(data: bytes, chunk_size: int, held: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "list")
        path.write_bytes(data)
        whole = written(path, frames=False, chunk_size=chunk_size)
        assert written(path, frames=True, alone=0, processes=3, held=held, chunk_size=chunk_size) == whole


def lines(template: bytes, count: int = 3000) -> list[bytes]:
    """Make sorted lines with directories of 1 to 40 files, some of which have directories below them."""
    chance = random.Random(1)
    rows = []
    while len(rows) < count:
        directory = b"/store/%d/%d" % (chance.randrange(9), chance.randrange(50)) + chance.choice((b"", b"/sub", b"-x"))
        rows += [
            (directory, b"f%05d" % (len(rows) + n), chance.randrange(1000)) for n in range(chance.randrange(1, 40))
        ]
    fields = template.count(b"%")
    return sorted(template % (*row, 7, 8)[:fields] for row in rows)


def shuffled(some: list[bytes]) -> list[bytes]:
    return random.Random(2).sample(some, len(some))


SIZED = lines(b"%s/%s %d\n")
TABLE = lines(b"%s/%s,%d,block#%d,T2_A\n")
TABLE[::7] = [line.replace(b"T2_A", b" T2_B").replace(b"block", b"other") for line in TABLE[::7]]
HEAD = [b"lfn,size,block,site\n"]

TEXTS = {
    "sorted": SIZED,
    "shuffled": shuffled(SIZED),
    "backwards": SIZED[::-1],
    "twice, in order": [*SIZED, *SIZED],
    "twice, and other sizes": [*SIZED, *(line.replace(b" 5", b" 6") for line in shuffled(SIZED))],
    "names in no order within a directory": [line for at in range(0, 3000, 30) for line in SIZED[at : at + 30][::-1]],
    "each line twice": [line for line in SIZED for _ in range(2)],
    "paths": lines(b"%s/%s\n"),
    "times": lines(b"%s/%s %d %d\n"),
    "CR LF": [line.replace(b"\n", b"\r\n") for line in SIZED],
    "comments and blank lines": [*SIZED[:500], b"# one\n", b"\n", *SIZED[500:], b"# end"],
    "no newline at the end": [*SIZED, b"/store/1/x 5"],
    "half a URL at the end": [*lines(b"%s/%s\n"), b"root:/"],
    "escaped": [b"# names are escaped\n", *SIZED[:900], b"/store/a\\n/b\\x20 4\n", *SIZED[900:]],
    "escaped, and not complete": [b"# names are escaped\n", *SIZED, b"# not listed: /store/x\n", *SIZED],
    "a line that does not fit": [*SIZED[:2000], b"/store/x\n", *SIZED[2000:], b"/y\n"],
    "NUL": [*SIZED[:2000], b"/store/x\0 5\n", *SIZED[2000:]],
    "a line without an end": [*SIZED, b"/store/" + b"x" * (1 << 21)],
    "a wrong line before one without an end": [*SIZED, b"/store/y\n", b"/store/" + b"x" * (1 << 21)],
    "sizes too large to be true": [b"%s %d\n" % (line.split()[0], 2**62) for line in SIZED],
    "table": [*HEAD, *TABLE],
    "table, shuffled": [*HEAD, *shuffled(TABLE)],
    "table with a quote": [*HEAD, *TABLE[:2000], b'"/store/a ""b"",c",5,b#1,T2_A\n', *TABLE[2000:]],
    "table with a quote that stays open": [*HEAD, *TABLE[:2000], b'"/store/a,5,b#1,T2_A\n', *TABLE[2000:]],
    "table with a quote at once": [b'"lfn",size,block,site\n', *TABLE],
}


@pytest.mark.parametrize("name", TEXTS)
def test_every_text_is_the_same_for_one_process_and_for_three(name: str, tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"".join(TEXTS[name]))
    options: dict[str, Any] = {"chunk_size": 5000}
    whole = written(path, frames=False, **options)
    assert written(path, frames=True, **options) == whole
    assert written(path, frames=True, alone=0, processes=3, **options) == whole
    assert written(path, frames=True, alone=20_000, processes=2, held=20_000, **options) == whole
    assert set(os.listdir(tmp_path)) <= {"list", "snapshot"}


@pytest.mark.parametrize("site", ["", "T2_A", "T2_B", "T2_C"])
@pytest.mark.parametrize("keep", [(), (b"/store/1", b"/store/2"), (b"/elsewhere",)])
def test_sites_and_directories_to_keep_are_the_same(site: str, keep: tuple[bytes, ...], tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"".join(TEXTS["table"]))
    options: dict[str, Any] = {"chunk_size": 5000, "site": site, "keep": keep}
    assert written(path, frames=True, alone=0, processes=3, **options) == written(path, frames=False, **options)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("cut", [0, 100])
def test_packed_lists_are_the_same(pack: Any, cut: int, tmp_path: Path) -> None:
    path = tmp_path / "list"
    packed = pack(b"".join(TEXTS["sorted"]))
    path.write_bytes(packed[: len(packed) - cut])
    options: dict[str, Any] = {"chunk_size": 5000}
    assert written(path, frames=True, alone=0, processes=3, **options) == written(path, frames=False, **options)


def test_a_short_list_is_read_without_other_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"".join(SIZED))
    started: list[int] = []
    monkeypatch.setattr(Team, "__init__", lambda _self, workers, *_: started.append(workers))
    writer = SnapshotWriter(tmp_path / "snapshot", SnapshotHeader("inventory", "test", 1))
    read_inventory(path, writer.append, listed_at=1, append_leaves=writer.append_leaves, processes=4, chunk_size=5000)
    writer.discard()
    assert started == []


@pytest.mark.parametrize(("some", "started"), [(SIZED, [3]), (shuffled(SIZED), [])])
def test_only_a_list_in_some_order_is_read_with_other_processes(
    some: list[bytes], started: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"".join(some))
    asked: list[int] = []
    start = Team.__init__

    def noted(team: Team, workers: int, form: PieceForm, heed: Callable[[], None]) -> None:
        asked.append(workers)
        start(team, workers, form, heed)

    monkeypatch.setattr(Team, "__init__", noted)
    whole = written(path, frames=False, chunk_size=5000)
    assert written(path, frames=True, alone=20_000, processes=4, chunk_size=5000) == whole
    assert asked == started


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("name", ["sorted", "shuffled", "a line that does not fit", "table"])
@pytest.mark.parametrize("at", [1, 7, 12])
def test_nothing_is_lost_with_a_worker_that_is_killed(
    at: int, name: str, processes: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"".join(TEXTS[name]))
    whole = written(path, frames=False, chunk_size=2000)
    pids: list[int] = []
    pieces = 0

    def give_and_kill(workers: Team, piece: bytes) -> Ticket | None:
        nonlocal pieces
        pieces += 1
        if pieces < at:
            return give_surely(workers, piece)
        if pieces == at:
            pids.extend(workers.pids)
            # What it was given comes back unread.
            os.kill(pids[0], signal.SIGSTOP)
            ticket = give(workers, piece)
            os.kill(pids[0], signal.SIGKILL)
            # The few lines that are left would be read before it has ended.
            while is_running(pids[0]):
                time.sleep(0.01)
            return ticket
        return give(workers, piece)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{__name__}.give_surely", give_and_kill)
        assert written(path, frames=True, alone=0, processes=processes, chunk_size=2000) == whole
    assert len(pids) == processes - 1
    assert set(os.listdir(tmp_path)) <= {"list", "snapshot"}
    (said,) = caplog.messages
    assert re.search(r"the process \d+ that reads a part of it was killed \(signal 9\)", said)


def test_whoever_wants_to_stop_is_heard_between_pieces(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"".join(SIZED))
    asked = 0

    class Stopped(Exception):
        pass

    def heed() -> None:
        nonlocal asked
        asked += 1
        if asked == 10:
            raise Stopped

    with pytest.raises(Stopped):
        written(path, frames=True, alone=0, processes=2, chunk_size=5000, heed=heed)
    assert asked == 10
