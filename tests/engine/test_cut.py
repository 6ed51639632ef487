from __future__ import annotations

import pytest

from engine.columns import FileColumns
from engine.cut import CUT, LastLine, cut_gate
from engine.paths import tree_key
from engine.record import DirectoryRecord, DirectorySummary
from engine.states import State
from engine.table import DirectoryTable


def table(directories: dict[bytes, dict[bytes, int]]) -> DirectoryTable:
    records = []
    for path, sizes in sorted(directories.items(), key=lambda item: tree_key(item[0])):
        files = FileColumns.from_rows([(name, size, 1) for name, size in sizes.items()])
        records.append(DirectoryRecord(path, State.LISTED, files=files))
    return DirectoryTable.from_summaries([DirectorySummary.of(r) for r in records], lambda row: records[row].files)


STORE = table(
    {
        b"/": {},
        b"/s": {b"kept": 1000, b"half.root": 5, b"half": 5},
        b"/s/mc": {b"a": 1, b"b 5.root": 7},
        b"/s/mcx": {b"c": 1},
    }
)
KNOWN = table({b"/": {}, b"/s": {b"kept": 1000}, b"/s/mc": {b"a": 1}, b"/s/mcx": {b"c": 1}})


def refused(begins: bytes = b"", path: bytes | None = None, young: float | None = None, **more: object) -> str:
    last = LastLine("list", 9, path or begins, begins, **more)  # type: ignore[arg-type]
    refusal = cut_gate(last, [KNOWN], STORE, young)
    assert refusal is None or refusal.gate == CUT
    return "" if refusal is None else refusal.message


def test_a_name_that_goes_on_in_a_file_that_the_list_lacks_was_cut() -> None:
    message = refused(b"/s/hal")
    assert message == (
        "list: line 9, '/s/hal', is the last one and does not end, and the other side has '/s/half', which begins like "
        "that and is not in the list: it seems to be cut off; make the list anew, or end it "
        "with a newline if it is whole"
    )


def test_a_name_that_was_cut_in_a_directory() -> None:
    assert "'/s/mc/b 5.root'" in refused(b"/s/m")
    assert "'/s/mc/b 5.root'" in refused(b"/s/mc")


def test_a_number_in_a_name_that_was_read_as_a_size() -> None:
    assert "'/s/mc/b 5.root'" in refused(b"/s/mc/b 5", path=b"/s/mc/b", size=5)


@pytest.mark.parametrize("begins", [b"/s/lost", b"/s/kep", b"/s/mc/a.", b"/elsewhere/f", b"/s/mcx"])
def test_a_missing_file_like_which_nothing_begins_is_whole(begins: bytes) -> None:
    assert refused(begins) == ""


def test_a_file_that_is_there_is_whole() -> None:
    assert refused(b"/s/half") == ""


def test_a_name_that_the_list_has_twice_may_be_the_beginning_of_another() -> None:
    assert "'/s/half.root'" in refused(b"/s/half", repeated=True)


@pytest.mark.parametrize(
    ("size", "cut"), [(1, True), (100, True), (1000, False), (10000, False), (2, False), (-1, False)]
)
def test_a_size_that_goes_on_was_cut(size: int, cut: bool) -> None:
    assert bool(refused(path=b"/s/kept", size=size)) == cut


def test_a_site_that_goes_on_was_cut_where_the_store_has_what_the_list_lacks() -> None:
    assert "the site's name" in refused(path=b"/s/half", site=True)
    assert refused(path=b"/s/kept", site=True) == ""
    assert refused(path=b"/s/lost", site=True) == ""


@pytest.mark.parametrize(
    ("mtime", "cut"),
    [
        (1, True),
        (18, True),
        (180000000, True),
        (17, False),
        (3, False),
        (0, False),
        (1700000000, False),
        (1800000001, False),
    ],
)
def test_a_time_that_goes_on_may_have_been_a_young_one(mtime: int, cut: bool) -> None:
    assert bool(refused(path=b"/s/lost", mtime=mtime, young=1_800_000_000)) == cut
    assert refused(path=b"/s/kept", mtime=mtime, young=1_800_000_000) == ""
    assert refused(path=b"/s/lost", mtime=mtime) == ""


def test_what_either_reading_knows_is_no_sign() -> None:
    later = table({b"/s": {b"half": 5, b"half.root": 5}})
    assert cut_gate(LastLine("list", 9, b"/s/hal", b"/s/hal"), [KNOWN, later], STORE) is None
