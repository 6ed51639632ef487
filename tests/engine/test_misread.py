from __future__ import annotations

import pytest

from engine.columns import FileColumns
from engine.findings import Finding, Kind
from engine.misread import MisreadNames


def found(kind: Kind, directory: bytes, *files: tuple[bytes, int]) -> Finding:
    return Finding(kind, directory, FileColumns.from_rows((name, size, 1) for name, size in files))


def test_names_that_end_in_numbers_and_were_read_as_sizes_are_noticed() -> None:
    misread = MisreadNames()
    misread.see(found(Kind.MISSING, b"/store/a", (b"run", 1), (b"run", 2), (b"other", 7)))
    misread.see(found(Kind.ORPHAN, b"/store/a", (b"run 1", 99), (b"run 2", 99)))
    refusal = misread.refusal()
    assert refusal is not None
    assert refusal.gate == "inventory-format"
    assert "its line '/store/a/run 2' was read as a file of 2 bytes" in refusal.message


def test_one_such_pair_among_many_missing_files_is_chance() -> None:
    misread = MisreadNames()
    misread.see(found(Kind.MISSING, b"/store/a", (b"run", 1), (b"b", 2), (b"c", 3)))
    misread.see(found(Kind.ORPHAN, b"/store/a", (b"run 1", 99)))
    assert misread.refusal() is None


def test_only_files_of_the_same_directory_make_a_pair() -> None:
    misread = MisreadNames()
    misread.see(found(Kind.MISSING, b"/store/a", (b"run", 1)))
    misread.see(found(Kind.ORPHAN, b"/store/b", (b"run 1", 99)))
    assert misread.refusal() is None


@pytest.mark.parametrize(
    "line", ["run\r", "run ", "run \t ", "run 99", "run,99", "run;99", "run\t99\t1700000000\tad1e", "my run 99 1"]
)
def test_more_than_a_name_that_was_read_as_one_is_noticed(line: str) -> None:
    misread = MisreadNames()
    misread.see(
        found(Kind.MISSING, b"/store/a", *((b"gone%d" % number, 1) for number in range(9)), (line.encode(), -1))
    )
    misread.see(found(Kind.ORPHAN, b"/store/a", (b"my run", 99), (b"run", 99)))
    refusal = misread.refusal()
    assert refusal is not None
    assert refusal.gate == "inventory-format"
    assert "run', of which the inventory knows nothing" in refusal.message
    assert refusal.message.isprintable()


def test_other_words_behind_a_name_are_noticed_where_they_are_many() -> None:
    few, many = MisreadNames(), MisreadNames()
    for misread, others in ((few, 3), (many, 2)):
        gone = [(b"gone%d" % number, 1) for number in range(others)]
        misread.see(found(Kind.MISSING, b"/store/a", (b"run ad1e", -1), (b"walk of 98", -1), *gone))
        misread.see(found(Kind.ORPHAN, b"/store/a", (b"run", 99), (b"walk", 99)))
    assert few.refusal() is None
    assert many.refusal() is not None


def test_a_file_beside_one_whose_name_goes_on_is_no_sign() -> None:
    misread = MisreadNames()
    gone = [(b"gone%d" % number, 1) for number in range(9)]
    misread.see(found(Kind.MISSING, b"/store/a", (b"run 5", 1), (b"run-99", 1), (b"run", 1), *gone))
    misread.see(found(Kind.ORPHAN, b"/store/a", (b"ru", 5), (b"walk", 99)))
    misread.see(found(Kind.ORPHAN, b"/store/b", (b"run", 5)))
    assert misread.refusal() is None


@pytest.mark.parametrize("line", ["run\r", "run 99", "run,99,1700000000"])
def test_a_dump_that_was_read_as_names_is_noticed(line: str) -> None:
    # A store may have such a file, which somebody made by mistake.
    for of_lists in (True, False):
        misread = MisreadNames(of_lists)
        misread.see(found(Kind.MISSING, b"/store/a", (b"run", 99), (b"gone", 7), (b"lost", 8)))
        misread.see(
            found(Kind.ORPHAN, b"/store/a", (line.encode(), -1), *((b"left%d" % number, 1) for number in range(9)))
        )
        refusal = misread.refusal()
        assert (refusal is not None) == of_lists
        if refusal is not None:
            assert "one of the two lists" in refusal.message
