import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, FileColumns
from engine.record import DirectoryRecord, DirectorySummary
from engine.states import Reason, State
from engine.table import DirectoryTable
from storage.inventory import InventoryError, read_inventory
from storage.runs.reports import ReportError
from storage.trees.text import write_listing


def table(*directories: tuple[bytes, list[tuple[bytes, int, int]]], unseen: bytes | None = None) -> DirectoryTable:
    records = [DirectoryRecord(path, State.LISTED, files=FileColumns.from_rows(rows)) for path, rows in directories]
    if unseen is not None:
        records.append(DirectoryRecord(unseen, State.FAILED, Reason.TIMEOUT))
    return DirectoryTable.from_summaries([DirectorySummary.of(r) for r in records], lambda row: records[row].files)


STORE = table(
    (b"/", [(b"top", 1, 10)]),
    (b"/store", []),
    (b"/store/a b", [(b"plain", 5, 100), (b"new\nline", 6, 101), (b"\xff", 7, 102)]),
    (b"/store/c", [(b"no size", UNKNOWN_SIZE, 103), (b"no time", 8, UNKNOWN_MTIME)]),
    unseen=b"/store/unseen",
)


def test_text_has_path_size_and_time_in_tree_order(tmp_path: Path) -> None:
    output = tmp_path / "listing.txt"
    write_listing(STORE, output, "text")
    assert output.read_text() == (
        "# names are escaped\n"
        "# not listed: /store/unseen (timeout)\n"
        "/top 1 10\n"
        "/store/a b/new\\nline 6 101\n"
        "/store/a b/plain 5 100\n"
        "/store/a b/\\xff 7 102\n"
        "/store/c/no size\n"
        "/store/c/no time 8\n"
    )


def test_json_lines_are_exact(tmp_path: Path) -> None:
    output = tmp_path / "listing.jsonl"
    write_listing(STORE, output, "jsonl")
    assert [json.loads(line) for line in output.read_text().splitlines()] == [
        {"path": "/top", "size": 1, "mtime": 10},
        {"path": "/store/a b/new\nline", "size": 6, "mtime": 101},
        {"path": "/store/a b/plain", "size": 5, "mtime": 100},
        {"path": "/store/a b/\ufffd", "path_b64": "L3N0b3JlL2EgYi//", "size": 7, "mtime": 102},
        {"path": "/store/c/no size", "mtime": 103},
        {"path": "/store/c/no time", "size": 8},
    ]


def test_our_own_inventory_reader_reads_the_text(tmp_path: Path) -> None:
    hostile = [(b"a\\b", 1, 5), (b"new\nline", 2, 6), (b"run 5", 6, 101), (b"\xff", 3, 7)]
    files = {b"/store/mc": [(b"a", 5, 100), *hostile], b"/store/mc/x": [(b"b", 0, -3)]}
    output = tmp_path / "listing.txt"
    write_listing(table(*files.items()), output, "text")
    records: list[DirectoryRecord] = []
    read_inventory(output, records.append, listed_at=0)
    assert {record.path: record.files.rows() for record in records if record.files} == files


NAMES = st.one_of(
    st.binary(min_size=1, max_size=8),
    st.text(" \t#\\x20n5.|=\r\n\"'", min_size=1, max_size=8).map(str.encode),
).filter(lambda name: not set(name) & {0, 0x2F} and name not in (b".", b".."))
SIZES = st.integers(0, 2**58)
TIMES = st.integers(-(2**63) + 1, 2**63 - 1)
FILES = st.dictionaries(NAMES, st.tuples(SIZES, TIMES), min_size=1, max_size=4)


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(NAMES, FILES, min_size=1, max_size=4))
@example({b"a ": {b" ": (1, 2), b"b ": (3, 4), b"c\t": (5, 6)}})
@example({b"d": {b"5 ": (1, 2)}})
@example({b"d": {b"x size=5": (1, 2)}})
@example({b"d|5|": {b"x": (1, 2)}})
def test_our_own_inventory_reader_reads_any_names_from_the_text(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[bytes, dict[bytes, tuple[int, int]]]
) -> None:
    files = {
        b"/" + directory: sorted((name, size, mtime) for name, (size, mtime) in held.items())
        for directory, held in sorted(tree.items())
    }
    output = tmp_path_factory.mktemp("any") / "listing.txt"
    write_listing(table(*files.items()), output, "text")
    records: list[DirectoryRecord] = []
    read_inventory(output, records.append, listed_at=0)
    assert {record.path: record.files.rows() for record in records if record.files} == files


def test_our_own_inventory_reader_refuses_the_text_of_an_incomplete_listing(tmp_path: Path) -> None:
    output = tmp_path / "listing.txt"
    write_listing(STORE, output, "text")
    with pytest.raises(InventoryError, match="expected a complete list; of an incomplete one, compare the snapshot"):
        read_inventory(output, lambda _record: None, listed_at=0)


@pytest.mark.parametrize(("form", "expected"), [("text", b"# names are escaped\n"), ("jsonl", b"")])
def test_a_store_without_files_gives_an_empty_list(tmp_path: Path, form: str, expected: bytes) -> None:
    write_listing(table((b"/", [])), tmp_path / "listing", form)
    assert (tmp_path / "listing").read_bytes() == expected


def test_what_was_there_stays_when_the_listing_cannot_be_read_to_its_end(tmp_path: Path) -> None:
    def load(row: int) -> FileColumns:
        raise OSError(5, "the disk is broken")

    output = tmp_path / "listing.txt"
    output.write_text("before\n")
    broken = DirectoryTable.from_summaries([DirectorySummary(b"/", State.LISTED, files=1)], load)
    with pytest.raises(OSError, match="broken"):
        write_listing(broken, output, "text")
    assert output.read_text() == "before\n"
    assert list(tmp_path.iterdir()) == [output]


def test_a_list_that_cannot_be_written_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"nowhere/listing\.txt"):
        write_listing(STORE, tmp_path / "nowhere" / "listing.txt", "text")
