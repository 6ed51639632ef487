from __future__ import annotations

import bz2
import os
import tempfile
from pathlib import Path

import pytest

from engine.columns import FileColumns
from engine.cut import DUMP_CUT
from storage.inventory.builder import TreeBuilder
from storage.listers.dump_file import (
    DAY,
    OLD,
    DumpError,
    dump_into_snapshot,
    dump_made,
    dump_time,
    prepared,
    refuse_old,
)
from storage.snapshot import Snapshot

NOON = 1_600_000_000.0


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    os.utime(path, (NOON, NOON))
    return path


def files_of(snapshot: Path, directory: bytes) -> FileColumns:
    opened = Snapshot(snapshot)
    row = opened.table.find(directory)
    assert row is not None
    return opened.table.load(row)


def test_days_since_the_epoch_become_the_end_of_the_day(tmp_path: Path) -> None:
    dump = written(tmp_path / "dump", b"/store/mc/a 7 18500\n/store/mc/b 8 0\n/store/mc/c 9 1600000000\n")

    assert dump_into_snapshot(dump, tmp_path / "s", b"/store") == 3
    rows = files_of(tmp_path / "s", b"/store/mc").rows()
    assert rows == [(b"a", 7, 18501 * DAY - 1), (b"b", 8, DAY - 1), (b"c", 9, 1_600_000_000)]


@pytest.mark.parametrize("content", [b"/store/mc/a\n/store/mc/b\n", b"/store/mc/a 1\n/store/mc/b 2\n"])
def test_other_lists_are_read_packed_or_not(tmp_path: Path, content: bytes) -> None:
    for name, packed in (("plain", content), ("packed", bz2.compress(content))):
        dump_into_snapshot(written(tmp_path / name, packed), tmp_path / f"{name}.s", b"/store")
        assert files_of(tmp_path / f"{name}.s", b"/store/mc").name_list() == [b"a", b"b"]


def test_a_list_with_directories_leaves_nothing_until_it_was_read_again(tmp_path: Path) -> None:
    dump = written(tmp_path / "dump", b"/store/mc 4096\n/store/mc/a 7\n/store/mc/empty 4096\n/store/mc/a/b 7\n")
    asked = 0

    def heed() -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            assert not (tmp_path / "s").exists()
            raise InterruptedError

    with pytest.raises(InterruptedError):
        dump_into_snapshot(dump, tmp_path / "s", b"/store", heed=heed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dump"]
    assert dump_into_snapshot(dump, tmp_path / "s", b"/store") == 4


def test_relative_paths_start_from_the_root_behind_the_prefix(tmp_path: Path) -> None:
    dump = written(tmp_path / "dump", b"mc/a 1\n/castor/store/mc/b 2\n/elsewhere/c 3\n")

    assert dump_into_snapshot(dump, tmp_path / "s", b"/store", b"/castor") == 2
    assert files_of(tmp_path / "s", b"/castor/store/mc").name_list() == [b"a", b"b"]


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"/elsewhere/a 1 18500\n", b"/store/a 1 2\n/store/b 1 2\n/store/c x y\n"]
)
def test_an_empty_or_malformed_dump_is_refused_and_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    dump = written(tmp_path / "dump", content)

    with pytest.raises(DumpError, match="dump"):
        dump_into_snapshot(dump, tmp_path / "s", b"/store")
    assert [path.name for path in tmp_path.iterdir()] == ["dump"]


def test_a_dump_is_put_in_order_beside_its_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dump = written(tmp_path / "dump", b"".join(b"/store/%d/a 1\n" % (n % 7) for n in range(100)))
    monkeypatch.setattr(TreeBuilder.__init__, "__defaults__", (None, 0))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "nowhere"))
    assert dump_into_snapshot(dump, tmp_path / "s", b"/store") == 7


def test_a_dump_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DumpError, match=r"missing\.txt: No such file"):
        dump_time(tmp_path / "missing.txt")


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("dump.txt", NOON),
        ("dump_20200901.gz", 1_598_918_400.0 - 14 * 3600),
        ("dump_2020-09-01.gz", 1_598_918_400.0 - 14 * 3600),
        ("dump_20991231", NOON),
        ("dump_20201399", NOON),
        ("dump_120200901", NOON),
    ],
)
def test_the_time_of_a_dump_is_that_of_the_file_or_the_day_in_its_name_if_earlier(
    tmp_path: Path, name: str, time: float
) -> None:
    assert dump_time(written(tmp_path / name, b"/store/a 1\n")) == time


def test_the_time_of_a_snapshot_is_when_it_was_begun(tmp_path: Path) -> None:
    dump_into_snapshot(written(tmp_path / "dump", b"/store/a 1\n"), tmp_path / "s", b"/store")

    assert dump_time(tmp_path / "s") == NOON
    assert prepared(tmp_path / "s", tmp_path / "var", b"/store", b"", "S") == tmp_path / "s"


def test_a_dump_is_read_once_and_again_when_it_changes(tmp_path: Path) -> None:
    dump = written(tmp_path / "dump", b"/store/a 1\n")
    var = tmp_path / "var"
    first = prepared(dump, var, b"/store", b"", "S")
    before = first.stat().st_mtime_ns

    assert prepared(dump, var, b"/store", b"", "S") == first
    assert first.stat().st_mtime_ns == before
    written(dump, b"/store/a 1\n/store/b 2\n")
    second = prepared(dump, var, b"/store", b"", "S")
    assert second != first
    assert files_of(second, b"/store").name_list() == [b"a", b"b"]


def test_a_damaged_snapshot_is_made_anew_and_an_old_one_goes(tmp_path: Path) -> None:
    dump = written(tmp_path / "dump", b"/store/a 1\n")
    var = tmp_path / "var"
    first = prepared(dump, var, b"/store", b"", "S")
    first.write_bytes(b"torn")
    assert prepared(dump, var, b"/store", b"", "S") == first
    assert files_of(first, b"/store").name_list() == [b"a"]

    os.utime(first, (NOON, NOON))
    written(dump, b"/store/a 1\n/store/b 2\n")
    second = prepared(dump, var, b"/store", b"", "S")
    assert list(var.iterdir()) == [second]


@pytest.mark.parametrize(
    "content", [b"/store/a 1\n/store/b 2", b"/store/a\n/store/b", b"/store/a 1\n# en", b"/store/a\n  "]
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_dump_that_does_not_end_with_a_newline_is_refused(tmp_path: Path, content: bytes, packed: bool) -> None:
    dump = written(tmp_path / "dump", bz2.compress(content) if packed else content)

    with pytest.raises(DumpError, match=r"dump-cut: dump .*/dump: its last line has no newline") as raised:
        dump_into_snapshot(dump, tmp_path / "s", b"/store")
    assert raised.value.refusal is not None
    assert raised.value.refusal.gate == DUMP_CUT
    assert [path.name for path in tmp_path.iterdir()] == ["dump"]


def test_the_last_line_is_kept_where_the_lines_are_in_order(tmp_path: Path) -> None:
    lines = [b"/store/mc/%d 1\n" % number for number in range(10, 30)]
    for name, content in (("up", lines), ("down", lines[::-1]), ("few", lines[:9])):
        dump_into_snapshot(written(tmp_path / name, b"".join(content)), tmp_path / f"{name}.s", b"/store")
    extras = [Snapshot(tmp_path / f"{name}.s").header.extra for name in ("up", "down", "few")]
    assert [(extra.get("order"), extra.get("last")) for extra in extras] == [
        ("path", b"/store/mc/29"),
        (None, None),
        (None, None),
    ]


def test_a_dump_of_another_program_is_read_with_its_times(tmp_path: Path) -> None:
    dump = written(tmp_path / "dump", b"/store/mc/a|7|1500000000|ab\n/store/mc/b|8|1500000001|ab\n")
    assert dump_into_snapshot(dump, tmp_path / "s", b"/store") == 2
    assert files_of(tmp_path / "s", b"/store/mc").rows() == [(b"a", 7, 1_500_000_000), (b"b", 8, 1_500_000_001)]


@pytest.mark.parametrize(
    "content",
    [
        b"/store/a|7\n/store/b|8",
        b'<dump><entry name="/store/a"/>\n',
        b'[{"Path": "store/a", "Size": 1},\n',
    ],
)
def test_a_dump_of_another_program_that_does_not_end_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DumpError, match=r"dump-cut: dump .* line \d: it ends here, without") as raised:
        dump_into_snapshot(written(tmp_path / "dump", content), tmp_path / "s", b"/store")
    assert raised.value.refusal is not None
    assert raised.value.refusal.gate == DUMP_CUT


MANY = b"".join(b"/store/mc/%d|7|1500000000|ab\n" % number for number in range(2000))
ERROR = b"error(13): no permissions to read directory /store/mc/x\n"


def test_a_line_that_is_let_pass_stands_in_the_header(tmp_path: Path) -> None:
    dump = written(tmp_path / "dump", MANY + ERROR)
    with pytest.raises(DumpError, match=r"line 2001: expected .*, found \"error\(13\)"):
        dump_into_snapshot(dump, tmp_path / "s", b"/store")
    dump_into_snapshot(dump, tmp_path / "s", b"/store", allowed=0.001)
    header = Snapshot(tmp_path / "s").header
    assert header.has_unread
    assert "1 line does not fit; the first is line 2001" in header.extra["unread"]

    known = written(tmp_path / "known", MANY + b"/store/mc/x|na|1500000000|ab\n")
    dump_into_snapshot(known, tmp_path / "k", b"/store", allowed=0.001)
    header = Snapshot(tmp_path / "k").header
    assert not header.has_unread
    assert "(1 of a file whose path is known)" in header.extra["misfits"]


def test_a_dump_is_read_again_when_more_is_let_pass(tmp_path: Path) -> None:
    dump = written(tmp_path / "dump", MANY + ERROR)
    arguments = (dump, tmp_path / "var", b"/store", b"", "S")
    with pytest.raises(DumpError, match="line 2001"):
        prepared(*arguments)
    assert Snapshot(prepared(*arguments, allowed=0.001)).header.has_unread


def test_only_rows_of_the_site_are_its_store(tmp_path: Path) -> None:
    row = b"%b\tmc\tf\tab\t7\t2020-01-01 00:00:00\tmc/%b\t2020-01-01 00:00:00\tA\n"
    dump = written(tmp_path / "dump", row % (b"S", b"a") + row % (b"T", b"b"))
    assert dump_into_snapshot(dump, tmp_path / "s", b"/store", site="S") == 1
    with pytest.raises(DumpError, match="no row of the RSE U"):
        dump_into_snapshot(dump, tmp_path / "u", b"/store", site="U")
    assert dump_into_snapshot(dump, tmp_path / "u", b"/store", site="U", rse="T") == 1
    first, second = (prepared(dump, tmp_path / "var", b"/store", b"", "U", rse=rse) for rse in ("S", "T"))
    assert first != second


def test_a_dump_that_is_too_old_closes_a_gate(tmp_path: Path) -> None:
    dump = written(tmp_path / "dump", b"/store/a 1\n")
    made = dump_made(dump)
    refuse_old(dump, made, 0)
    with pytest.raises(
        DumpError, match=r"dump-old: dump .*: it was made 2020-09-13 12:26 UTC, as its file says"
    ) as raised:
        refuse_old(dump, made, 30)
    assert raised.value.refusal is not None
    assert raised.value.refusal.gate == OLD
