from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from engine.columns import UNKNOWN_MTIME, DirectoryColumns, FileColumns
from engine.listing import Absent, Listed, NamesListed, Present
from engine.record import DirectoryRecord
from engine.states import Reason, State
from storage.listers.dump_file import dump_into_snapshot
from storage.listers.factory import open_lister
from storage.listers.protocol import Ask, Lister, StoreSpec
from storage.snapshot import SnapshotHeader, SnapshotWriter
from tests.storage.listers.asking import asking, reason_of

NOON = 1_600_000_000
NAMES = (b"two blanks  here", b"-l", b"100%25", "größe".encode(), b"latin-\xe4", b"what?", b"quotes'\"")


def opened(path: Path) -> partial[Lister]:
    return partial(open_lister, StoreSpec((f"dump://{path}",)))


def test_directories_are_listed_from_the_file(tmp_path: Path) -> None:
    lines = [b"/store/mc/%b 5 %d" % (name, NOON) for name in NAMES] + [b"/store/mc/sub/deep 1 18500"]
    (tmp_path / "dump").write_bytes(b"\n".join(lines) + b"\n")

    with asking(opened(tmp_path / "dump")) as asker:
        assert asker.list(b"/store/mc") == Listed(
            FileColumns.from_rows([(name, 5, NOON) for name in NAMES]),
            DirectoryColumns.from_rows([(b"sub", UNKNOWN_MTIME)]),
        )
        assert asker.names(b"/store") == NamesListed(frozenset((b"mc",)))
        assert asker.names(b"/store/mc") == NamesListed(frozenset((*NAMES, b"sub")))
        assert [asker.stat(b"/store/mc/" + name) for name in NAMES] == [Present(5, NOON, False)] * len(NAMES)
        assert asker.stat(b"/store/mc/sub") == Present(0, UNKNOWN_MTIME, True)
        assert asker.lister.requests == 4 + len(NAMES)


def test_what_the_dump_does_not_name_is_absent(tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(b"/store/mc/file 5\n")

    with asking(opened(tmp_path / "dump")) as asker:
        assert reason_of(asker.list(b"/store/data")) == Reason.NOT_FOUND
        assert reason_of(asker.names(b"/store/data/deep")) == Reason.NOT_FOUND
        assert asker.stat(b"/store/mc/other") == Absent()
        assert asker.stat(b"/nowhere/file") == Absent()
        assert reason_of(asker.list(b"/store/mc/file")) == Reason.NOT_A_DIRECTORY
        assert reason_of(asker.stat(b"/store/mc/file/below")) == Reason.NOT_A_DIRECTORY


def test_a_prefix_stands_before_each_path(tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(b"/castor/store/mc/file 5\n")
    dump_into_snapshot(tmp_path / "dump", tmp_path / "s", b"/store", b"/castor")

    with asking(opened(tmp_path / "s")) as asker:
        assert asker.names(b"/store/mc") == NamesListed(frozenset((b"file",)))
        assert asker.stat(b"/store/mc/file") == Present(5, UNKNOWN_MTIME, False)


def test_what_a_snapshot_could_not_list_is_not_absent(tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path / "s", SnapshotHeader("listing", "root://door", NOON))
    below = DirectoryColumns.from_rows([(b"closed", NOON), (b"unreached", NOON)])
    writer.append(DirectoryRecord(b"/store", State.LISTED, listed_at=NOON, directories=below))
    writer.append(DirectoryRecord(b"/store/closed", State.FAILED, Reason.PERMISSION, "denied", NOON))
    writer.finish()

    with asking(opened(tmp_path / "s")) as asker:
        assert asker.list(b"/store") == Listed(directories=below)
        assert reason_of(asker.list(b"/store/closed")) == Reason.PERMISSION
        assert reason_of(asker.list(b"/store/unreached")) == Reason.NEVER_REACHED
        assert reason_of(asker.stat(b"/store/closed/file")) == Reason.PERMISSION


@pytest.mark.parametrize("content", [None, b"", b"DYNCONS\x01 torn"])
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "dump").write_bytes(content)
    with pytest.raises(ValueError, match="dump"):
        open_lister(StoreSpec((f"dump://{tmp_path}/dump",)), lambda number, outcome: None)


def test_closing_drops_what_is_in_flight(tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(b"/store/mc/file 5\n")
    with asking(opened(tmp_path / "dump")) as asker:
        for _ in range(100):
            asker.send(Ask.LIST, b"/store/mc")
    answered = len(asker.outcomes)
    assert all(len(outcomes) == 1 for outcomes in asker.outcomes.values())
    assert len(asker.outcomes) - answered <= 1


def test_what_would_come_behind_the_last_line_of_a_dump_in_order_is_not_denied(tmp_path: Path) -> None:
    names = sorted([*(b"/store/mc/a/%d" % number for number in range(10, 20)), b"/store/mc/b/m"])
    (tmp_path / "dump").write_bytes(b"".join(b"%b 5\n" % name for name in names))

    with asking(opened(tmp_path / "dump")) as asker:
        assert asker.stat(b"/store/mc/a/30") == asker.stat(b"/store/mc/b/a") == Absent()
        assert asker.stat(b"/store/mc/b/m") == Present(5, UNKNOWN_MTIME, False)
        assert reason_of(asker.stat(b"/store/mc/b/n")) == Reason.CUT_SHORT
        assert reason_of(asker.stat(b"/store/mc/c/a")) == Reason.CUT_SHORT
        assert asker.names(b"/store/mc/a") == NamesListed(frozenset(b"%d" % number for number in range(10, 20)))
        assert reason_of(asker.names(b"/store/mc/b")) == Reason.CUT_SHORT
        assert reason_of(asker.names(b"/store/mc/c")) == Reason.CUT_SHORT
        assert reason_of(asker.names(b"/store/data")) == Reason.NOT_FOUND
        assert isinstance(asker.list(b"/store/mc/b"), Listed)


def test_a_dump_with_lines_that_nobody_could_read_denies_nothing(tmp_path: Path) -> None:
    lines = b"".join(b"/store/mc/a/%d|5\n" % number for number in range(2000))
    (tmp_path / "dump").write_bytes(lines + b"error(13): no permissions to read directory /store/mc/b\n")
    dump_into_snapshot(tmp_path / "dump", tmp_path / "snapshot", b"/", allowed=0.001)

    with asking(opened(tmp_path / "snapshot")) as asker:
        assert isinstance(asker.list(b"/store/mc/a"), Listed)
        assert asker.stat(b"/store/mc/a/7") == Present(5, UNKNOWN_MTIME, False)
        assert reason_of(asker.stat(b"/store/mc/a/lost")) == Reason.UNREAD
        assert reason_of(asker.stat(b"/store/mc/b/lost")) == Reason.UNREAD
        assert reason_of(asker.names(b"/store/mc/a")) == Reason.UNREAD
