from __future__ import annotations

import random
from array import array
from dataclasses import replace

import pytest

from engine.columns import NO_FILES, UNKNOWN_MTIME, FileColumns, numbers
from engine.compare import CompareOptions, Tally, compare, empty_directories
from engine.findings import Finding, Kind
from engine.paths import tree_key
from engine.record import DirectoryRecord, DirectorySummary
from engine.second import SecondOpinion
from engine.states import Reason, State
from engine.table import DirectoryTable
from engine.twins import MOST_WITH_ONE_ID, Twins

SOME = FileColumns.from_rows([(b"f", 1, 100), (b"g", 2, 50)])
OTHER_TIME = FileColumns.from_rows([(b"f", 1, 100), (b"g", 2, 51)])
OTHER_SIZE = FileColumns.from_rows([(b"f", 1, 100), (b"g", 3, 50)])


def table_of(*rows: tuple[bytes, FileColumns, int, int], failed: tuple[bytes, ...] = ()) -> DirectoryTable:
    """Make a table of (path, files, mtime, id)."""
    records = [
        DirectoryRecord(path, State.FAILED if path in failed else State.LISTED, files=f) for path, f, _, _ in rows
    ]
    summaries = [DirectorySummary.of(record, row[2]) for record, row in zip(records, rows, strict=True)]
    table = DirectoryTable.from_summaries(summaries, lambda row: records[row].files)
    ids = [row[3] for row in rows]
    return replace(table, ids=numbers(array("q", ids)) if any(ids) else None)


@pytest.mark.parametrize(
    ("files", "mtime", "number", "same"),
    [
        (SOME, 7, 9, True),
        (OTHER_SIZE, 7, 9, True),
        (SOME, 8, 9, True),
        # Half an inode says little.
        (OTHER_SIZE, 8, 9, False),
        (SOME, 7, 8, False),
        (SOME, 7, 0, True),
        (SOME, 8, 0, False),
        (OTHER_SIZE, 7, 0, False),
        (OTHER_TIME, 7, 0, False),
        (SOME, UNKNOWN_MTIME, 0, False),
    ],
)
def test_what_makes_two_directories_one(files: FileColumns, mtime: int, number: int, same: bool) -> None:
    table = table_of((b"/s", NO_FILES, UNKNOWN_MTIME, 0), (b"/s/a", SOME, 7, 9), (b"/s/b", files, mtime, number))
    assert Twins(table).of(1) == ([2] if same else [])
    assert Twins(table).of(2) == ([1] if same else [])
    assert Twins(table).of(0) == []


def test_of_a_top_the_time_is_not_known() -> None:
    table = table_of(
        (b"/s/data", NO_FILES, UNKNOWN_MTIME, 0), (b"/s/data/l", SOME, 7, 9), (b"/s/mc", SOME, UNKNOWN_MTIME, 0)
    )
    assert Twins(table).of(1) == [2]


def test_one_that_was_not_listed_is_nobodys_twin() -> None:
    table = table_of((b"/s", NO_FILES, 1, 0), (b"/s/a", SOME, 7, 9), (b"/s/b", NO_FILES, 7, 9), failed=(b"/s/b",))
    assert Twins(table).of(1) == []


def test_an_id_that_very_many_have_says_nothing() -> None:
    rows = [(b"/s/%03d" % number, FileColumns.from_rows([(b"f%d" % number, 1, 100)]), 7, 9) for number in range(100)]
    table = table_of((b"/s", NO_FILES, UNKNOWN_MTIME, 0), *rows, (b"/s/copy", rows[0][1], 7, 9))
    twins = Twins(table)
    assert twins.of(2) == []
    # What they hold still does.
    assert twins.of(1) == [101]


@pytest.mark.parametrize("seed", range(20))
def test_of_a_crowd_with_the_same_files_the_same_are_found(seed: int) -> None:
    chance = random.Random(seed)
    rows = [
        (b"/s/%03d" % number, chance.choice([SOME, SOME, SOME, OTHER_TIME]), chance.choice(times), chance.choice(ids))
        # Of an odd seed nearly all have the same time.
        for times, ids in [([1] * 20 if seed % 2 else [1, 2, 3, UNKNOWN_MTIME], [0, 0, 1, *range(50, 60 + 20 * seed)])]
        for number in range(200)
    ]
    tops = [(b"/%d" % number, SOME, UNKNOWN_MTIME, number % 2) for number in range(3)]
    table = table_of(*tops, (b"/s", NO_FILES, UNKNOWN_MTIME, 0), *rows, failed=(b"/s/007",))
    twins = Twins(table)
    everything = range(len(table))
    for row in everything:
        assert twins.of(row) == [other for other in everything if other != row and twins.are_same(row, other)]


@pytest.mark.parametrize("has_ids", [True, False])
def test_a_crowd_is_not_looked_at_once_for_each_of_it(has_ids: bool) -> None:
    done = FileColumns.from_rows([(b"done", 0, 100)])
    rows = [(b"/s/%05d" % number, done, number, number + 1 if has_ids else 0) for number in range(3000)]
    table = table_of((b"/s", NO_FILES, UNKNOWN_MTIME, 0), *rows)
    twins = Twins(table)
    looked_at = 0
    are_same = twins.are_same

    def count(row: int, other: int) -> bool:
        nonlocal looked_at
        looked_at += 1
        return are_same(row, other)

    twins.are_same = count  # type: ignore[method-assign]
    assert [twins.of(row) for row in range(len(table))] == [[]] * len(table)
    assert looked_at < len(table)


@pytest.mark.parametrize("seed", range(12))
def test_a_crowd_is_judged_as_a_few_are(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether very many directories that are the same are looked at together or one by one changes no finding."""
    chance = random.Random(seed)
    some = FileColumns.from_rows([(b"a", 1, 100), (b"b", 1, 100)])
    directories = [b"/s/%03d" % number for number in range(150)] + [b"/s/%03d/deep" % number for number in range(50)]
    rows = [(path, some, 7, chance.choice([0, 0, 0, 1, 900 + at])) for at, path in enumerate(directories)]
    remote = table_of((b"/s", NO_FILES, UNKNOWN_MTIME, 0), *sorted(rows, key=lambda row: tree_key(row[0])))
    parts = [FileColumns.from_rows([(name, 1, 100) for name in names]) for names in ([b"a"], [b"b"], [b"a", b"b"], [])]
    of_inventory = chance.sample(directories, chance.choice([0, 0, 1, 3, 40]))
    known = [(path, chance.choice(parts), 1, 0) for path in sorted(of_inventory, key=tree_key)]
    inventory = table_of((b"/s", NO_FILES, UNKNOWN_MTIME, 0), *known)
    second = table_of((b"/s", NO_FILES, UNKNOWN_MTIME, 0), *known[: chance.choice([0, len(known)])])

    def judged() -> tuple[object, int, set[bytes], object]:
        tally = Tally()
        found = list(compare(inventory, remote, CompareOptions(one_name=True), tally))
        opinion = SecondOpinion(second, None, tally, remote)
        agreed = [finding and flat(finding) for finding in map(opinion.agreed, found)]
        return [flat(finding) for finding in found], tally.protected, set(tally.links), agreed

    together = judged()
    monkeypatch.setattr("engine.twins.MOST_WITH_ONE_ID", 1000)
    # An id that many have would say nothing in the one case, and something in the other.
    assert sum(row[3] == 1 for row in rows) <= MOST_WITH_ONE_ID
    assert judged() == together


def flat(finding: Finding) -> tuple[Kind, bytes, list[bytes]]:
    return finding.kind, finding.directory, finding.files.name_list()


@pytest.mark.parametrize("known", [False, True])
def test_a_crowd_that_is_one_directory_is_not_looked_through_for_each_of_it(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = FileColumns.from_rows([(b"done", 0, 100)])
    rows = [(b"/s/%05d" % number, done, 7, 0) for number in range(3000)]
    remote = table_of((b"/s", NO_FILES, UNKNOWN_MTIME, 0), *rows)
    other = FileColumns.from_rows([(b"other", 0, 100)])
    inventory = table_of((b"/s", NO_FILES, UNKNOWN_MTIME, 0), *((path, other, 1, 0) for path, *_ in rows if known))
    looked_at = 0
    are_same = Twins.are_same

    def counted(twins: Twins, row: int, other: int) -> bool:
        nonlocal looked_at
        looked_at += 1
        return are_same(twins, row, other)

    monkeypatch.setattr(Twins, "are_same", counted)
    found = list(compare(inventory, remote, CompareOptions(one_name=True), Tally()))
    assert sum(finding.kind == Kind.ORPHAN for finding in found) == (3000 if known else 1)
    assert looked_at < 3000


def test_many_rows() -> None:
    rows = [
        (b"/s/%05d" % number, FileColumns.from_rows([(b"%d" % number, 1, 1)]), 1, number + 1) for number in range(6000)
    ]
    rows[4000] = (rows[4000][0], rows[70][1], 1, 71)
    twins = Twins(table_of(*rows))
    assert (twins.of(70), twins.of(4000), twins.of(71)) == ([4000], [70], [])


def findings(inventory: DirectoryTable, remote: DirectoryTable) -> tuple[list[tuple[Kind, bytes, list[bytes]]], Tally]:
    tally = Tally()
    found = compare(inventory, remote, CompareOptions(one_name=True), tally)
    return [(finding.kind, finding.directory, finding.files.name_list()) for finding in found], tally


def test_files_behind_a_link_are_judged_where_the_inventory_has_them() -> None:
    inventory = table_of((b"/s", NO_FILES, 1, 0), (b"/s/a", SOME, 1, 0))
    remote = table_of(
        (b"/s", NO_FILES, UNKNOWN_MTIME, 0),
        (b"/s/a", OTHER_SIZE, 7, 9),
        (b"/s/link", OTHER_SIZE, 7, 9),
        (b"/s/own", SOME, 7, 8),
    )
    found, tally = findings(inventory, remote)
    assert found == [(Kind.SIZE_MISMATCH, b"/s/a", [b"g"]), (Kind.ORPHAN, b"/s/own", [b"f", b"g"])]
    assert (tally.protected, tally.reasons, tally.links) == (2, {Reason.LINK: 2}, {b"/s/link": b"/s/a"})


def test_the_highest_directory_behind_a_link_is_named() -> None:
    inventory = table_of((b"/s", NO_FILES, 1, 0), (b"/s/a/b", SOME, 1, 0))
    remote = table_of(
        (b"/s", NO_FILES, UNKNOWN_MTIME, 0),
        (b"/s/a", NO_FILES, 7, 9),
        (b"/s/a/b", SOME, 7, 10),
        (b"/s/a/c", OTHER_SIZE, 7, 11),
        (b"/s/z", NO_FILES, 7, 9),
        (b"/s/z/b", SOME, 7, 10),
        (b"/s/z/c", OTHER_SIZE, 7, 11),
    )
    found, tally = findings(inventory, remote)
    assert found == [(Kind.ORPHAN, b"/s/a/c", [b"f", b"g"])]
    assert (tally.protected, tally.links) == (4, {b"/s/z": b"/s/a"})


def test_what_the_inventory_has_under_two_names_is_no_orphan_under_either() -> None:
    first, second = FileColumns.from_rows([(b"f", 1, 100)]), FileColumns.from_rows([(b"g", 2, 50)])
    inventory = table_of((b"/s", NO_FILES, 1, 0), (b"/s/a", first, 1, 0), (b"/s/z", second, 1, 0))
    remote = table_of((b"/s", NO_FILES, UNKNOWN_MTIME, 0), (b"/s/a", SOME, 7, 9), (b"/s/z", SOME, 7, 9))
    found, tally = findings(inventory, remote)
    assert found == []
    assert tally.reasons == {Reason.LINK: 2}


def test_without_being_told_so_it_is_two_directories() -> None:
    inventory = table_of((b"/s", NO_FILES, 1, 0), (b"/s/a", SOME, 1, 0))
    remote = table_of((b"/s", NO_FILES, UNKNOWN_MTIME, 0), (b"/s/a", SOME, 7, 9), (b"/s/b", SOME, 7, 9))
    assert len(list(compare(inventory, remote, CompareOptions(), Tally()))) == 1


def test_an_empty_directory_under_two_names_is_left_alone() -> None:
    remote = table_of(
        (b"/s", NO_FILES, UNKNOWN_MTIME, 0),
        (b"/s/a", NO_FILES, 7, 9),
        (b"/s/b", NO_FILES, 7, 9),
        (b"/s/c", NO_FILES, 7, 8),
    )
    assert [finding.directory for finding in empty_directories(remote, None)] == [b"/s/c"]


def test_a_directory_with_what_is_no_file_is_not_empty() -> None:
    table = table_of((b"/s", NO_FILES, 1, 0), (b"/s/a", NO_FILES, 1, 0), (b"/s/a/b", NO_FILES, 1, 0))
    assert [finding.directory for finding in empty_directories(table, None)] == [b"/s/a/b", b"/s/a"]
    holds = replace(table, reasons=bytes((0, Reason.OTHERS, 0)))
    assert [finding.directory for finding in empty_directories(holds, None)] == [b"/s/a/b"]
