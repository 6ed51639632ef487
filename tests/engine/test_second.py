from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, UNSETTLED_MTIME, FileColumns
from engine.compare import CompareOptions, Tally, compare
from engine.findings import Finding, Kind
from engine.paths import join, tree_key
from engine.record import DirectoryRecord, DirectorySummary
from engine.second import Meanwhile, SecondOpinion, second_gate
from engine.states import Reason, State
from engine.table import DirectoryTable
from engine.usual import UsualFiles

FAILED = (State.FAILED, Reason.TIMEOUT)
Rows = dict[bytes, tuple[int, int]]
"""Sizes and mtimes by name."""


def table(directories: dict[bytes, Rows | tuple[State, Reason]]) -> DirectoryTable:
    records = []
    for path, content in sorted(directories.items(), key=lambda item: tree_key(item[0])):
        if isinstance(content, tuple):
            records.append(DirectoryRecord(path, *content))
        else:
            files = FileColumns.from_rows([(name, *row) for name, row in content.items()])
            records.append(DirectoryRecord(path, State.LISTED, files=files))
    return DirectoryTable.from_summaries([DirectorySummary.of(r) for r in records], lambda row: records[row].files)


def columns(**files: int) -> FileColumns:
    return FileColumns.from_rows([(name.encode(), size, 1) for name, size in sorted(files.items())])


def agreed(
    finding: Finding,
    second: dict[bytes, Rows | tuple[State, Reason]],
    tally: Tally | None = None,
    young_after: float | None = None,
) -> tuple[list[bytes], Meanwhile]:
    opinion = SecondOpinion(table(second), young_after, tally if tally is not None else Tally())
    left = opinion.agreed(finding)
    return [] if left is None else left.files.name_list(), opinion.meanwhile


def test_a_missing_file_needs_both_inventories() -> None:
    missing = Finding(Kind.MISSING, b"/s", columns(a=1, b=1, c=1))
    assert agreed(missing, {b"/s": {b"a": (1, 1), b"c": (1, 1)}}) == ([b"a", b"c"], Meanwhile(missing=1))


@pytest.mark.parametrize("limit", [None, 0.0, 4e18])
def test_a_file_that_is_unsettled_in_the_second_inventory_is_not_missing(limit: float | None) -> None:
    missing, tally = Finding(Kind.MISSING, b"/s", columns(a=1, b=1)), Tally()
    assert agreed(missing, {b"/s": {b"a": (1, UNSETTLED_MTIME), b"b": (1, 0)}}, tally, limit)[0] == [b"b"]
    assert tally.young == 1


def test_an_orphan_needs_neither() -> None:
    orphan = Finding(Kind.ORPHAN, b"/s", columns(a=1, b=1, c=1))
    assert agreed(orphan, {b"/s": {b"a": (1, 1), b"x": (1, 1)}}) == ([b"b", b"c"], Meanwhile(orphan=1))


def test_what_a_directory_held_that_the_inventory_gave_up_is_not_missing() -> None:
    second: dict[bytes, Rows | tuple[State, Reason]] = {b"/s": {}}
    assert agreed(Finding(Kind.MISSING, b"/s/gone", columns(a=1, b=2)), second) == ([], Meanwhile(missing=2))
    assert agreed(Finding(Kind.ORPHAN, b"/s/gone", columns(a=1, b=2)), second) == ([b"a", b"b"], Meanwhile())


def test_a_wrong_size_needs_one_size_in_both_inventories() -> None:
    sizes = b"".join(size.to_bytes(8, "little") for size in (10, 20, 30, 40))
    finding = Finding(Kind.SIZE_MISMATCH, b"/s", columns(a=1, b=2, c=3, d=4), sizes)
    opinion = SecondOpinion(table({b"/s": {b"a": (10, 1), b"b": (2, 1), b"c": (UNKNOWN_SIZE, 1)}}), None, Tally())
    left = opinion.agreed(finding)
    assert left is not None
    assert (left.files.rows(), left.remote_sizes) == ([(b"b", 2, 1)], (20).to_bytes(8, "little"))
    assert opinion.meanwhile == Meanwhile(size_mismatch=3)


@pytest.mark.parametrize("kind", [Kind.MISSING, Kind.ORPHAN, Kind.SIZE_MISMATCH])
@pytest.mark.parametrize("second", [{b"/s": FAILED}, {b"/": FAILED, b"/s": {b"a": (1, 1)}}, {}])
def test_an_incomplete_second_inventory_proves_nothing(
    kind: Kind, second: dict[bytes, Rows | tuple[State, Reason]]
) -> None:
    tally = Tally()
    assert agreed(Finding(kind, b"/s", columns(a=1, b=1), bytes(16)), second, tally) == ([], Meanwhile())
    assert tally.protected == 2


def test_what_is_young_in_the_second_inventory_is_left_alone() -> None:
    tally = Tally()
    missing = Finding(Kind.MISSING, b"/s", columns(a=1, b=1, c=1))
    second: Rows = {b"a": (1, 99), b"b": (1, 101), b"c": (1, UNKNOWN_MTIME)}
    assert agreed(missing, {b"/s": second}, tally, 100)[0] == [b"a", b"c"]
    assert tally.young == 1


def test_a_directory_that_gets_files_is_not_empty() -> None:
    opinion = SecondOpinion(
        table({b"/s": {}, b"/s/a": {}, b"/s/a/new": {b"f": (1, 1)}, b"/s/b": {}, b"/s/c": FAILED}), None, Tally()
    )
    held = [path for path in (b"/s/a", b"/s/a/new", b"/s/a-", b"/s/b", b"/s/c", b"/s/c/d") if opinion.holds(path)]
    assert held == [b"/s/a", b"/s/a/new", b"/s/c", b"/s/c/d"]
    assert opinion.meanwhile == Meanwhile(empty=2)


def linked(second: dict[bytes, Rows | tuple[State, Reason]]) -> tuple[list[bytes], Meanwhile]:
    """Judge two orphans in a directory that is there under two names, both of them new to the first inventory."""
    files = FileColumns.from_rows([(b"f", 1, 5), (b"g", 1, 6)])
    records = [
        DirectoryRecord(b"/s", State.LISTED),
        DirectoryRecord(b"/s/a", State.LISTED, files=files),
        DirectoryRecord(b"/s/link", State.LISTED, files=files),
    ]
    remote = DirectoryTable.from_summaries([DirectorySummary.of(r, 9) for r in records], lambda row: records[row].files)
    opinion = SecondOpinion(table(second), None, Tally(), remote)
    first = table({b"/s": {}})
    found = list(compare(first, remote, CompareOptions(one_name=True), Tally()))
    assert [(each.kind, each.directory, len(each)) for each in found] == [(Kind.ORPHAN, b"/s/a", 2)]
    left = [each for each in map(opinion.agreed, found) if each is not None]
    return [name for each in left for name in each.files.name_list()], opinion.meanwhile


def test_what_is_known_by_another_name_of_its_directory_is_no_orphan() -> None:
    assert linked({b"/s": {}, b"/s/link": {b"f": (1, 1)}}) == ([b"g"], Meanwhile(orphan=1))
    assert linked({b"/s": {}, b"/s/a": {b"g": (1, 1)}, b"/s/link": {b"f": (1, 1)}}) == ([], Meanwhile(orphan=2))
    assert linked({b"/s": {}, b"/s/link": FAILED})[0] == []
    assert linked({b"/s": {}, b"/s/other": {b"f": (1, 1)}}) == ([b"f", b"g"], Meanwhile())


def test_a_side_that_knows_no_sizes_or_times_says_nothing_of_them() -> None:
    store = table({b"/s": {b"a": (5, 1), b"old": (1, 1)}})
    known: Rows = {b"a": (9, 1), b"lost": (1, 1)}
    bare: Rows = dict.fromkeys(known, (UNKNOWN_SIZE, UNKNOWN_MTIME))
    young: Rows = {name: (size, 200) for name, (size, _) in known.items()}
    for first, second, expected in (
        (known, known, {Kind.MISSING, Kind.ORPHAN, Kind.SIZE_MISMATCH}),
        (known, bare, {Kind.MISSING, Kind.ORPHAN}),
        (bare, known, {Kind.MISSING, Kind.ORPHAN}),
        (bare, bare, {Kind.MISSING, Kind.ORPHAN}),
        (young, bare, {Kind.ORPHAN}),
        (bare, young, {Kind.ORPHAN}),
        (young, known, {Kind.ORPHAN}),
        (known, young, {Kind.ORPHAN}),
    ):
        opinion = SecondOpinion(table({b"/s": second}), 100, Tally())
        found = compare(table({b"/s": first}), store, CompareOptions(100), Tally())
        assert {each.kind for each in map(opinion.agreed, found) if each is not None} == expected


def test_what_is_young_at_the_store_is_left_alone_whatever_the_second_inventory_says() -> None:
    store = table({b"/s": {b"a": (5, 200), b"new": (1, 200)}})
    found = list(compare(table({b"/s": {b"a": (9, 1)}}), store, CompareOptions(100), Tally()))
    assert found == []


@pytest.mark.parametrize(("first_seen", "second_seen"), [(True, False), (False, True), (False, False)])
def test_a_directory_that_either_inventory_has_not_seen_completely_is_not_judged(
    first_seen: bool, second_seen: bool
) -> None:
    store = table({b"/s": {}, b"/s/x": {b"a": (5, 1), b"left": (1, 1)}, b"/s/y": {}})
    whole: dict[bytes, Rows | tuple[State, Reason]] = {b"/s": {}, b"/s/x": {b"a": (9, 1), b"lost": (1, 1)}}
    part: dict[bytes, Rows | tuple[State, Reason]] = {b"/s": {}, b"/s/x": FAILED}
    first, second = (table(whole if seen else part) for seen in (first_seen, second_seen))
    tally = Tally()
    opinion = SecondOpinion(second, None, tally)
    found = compare(first, store, CompareOptions(), tally)
    assert [each for each in map(opinion.agreed, found) if each is not None] == []
    assert tally.protected
    assert opinion.meanwhile == Meanwhile()


USUAL = UsualFiles(fraction=0.5)


def test_a_second_inventory_with_far_fewer_files_is_refused() -> None:
    first = table({b"/a": {b"%d" % number: (1, 1) for number in range(40)}})
    assert second_gate(first, first, USUAL) is None
    some = table({b"/a": {b"%d" % number: (1, 1) for number in range(19)}})
    refusal = second_gate(first, some, USUAL)
    assert refusal is not None
    assert refusal.gate == "fewer-files"
    assert "the inventory has 19 files where it had 40 before, MinFiles is 0.5" in refusal.message
    assert second_gate(first, some, UsualFiles()) is None
    refusal = second_gate(some, some, UsualFiles(inventory=100, fraction=0.5))
    assert refusal is not None
    assert "19 files where the last runs had 100" in refusal.message


def test_a_second_inventory_of_other_directories_is_refused() -> None:
    files: Rows = {b"%d" % number: (1, 1) for number in range(20)}
    first = table({b"/a": files, b"/b": files, b"/c": files})
    assert second_gate(first, table({b"/a": files, b"/b": files, b"/d": files}), USUAL) is None
    refusal = second_gate(first, table({b"/a": files, b"/e": files, b"/d": files}), USUAL)
    assert refusal is not None
    assert "files in the directories of 20 files only, where it had 60 before" in refusal.message


def test_it_is_said_in_words() -> None:
    assert Meanwhile().words == ""
    assert Meanwhile(1200, 3, 1, 2).words == "1,200 missing, 3 orphan, 1 size mismatch, 2 empty"
    assert Meanwhile(1200, 3, 1, 2).total == 1206


rows = st.dictionaries(
    st.sampled_from([b"a", b"b", b"c", b"d"]), st.tuples(st.sampled_from([UNKNOWN_SIZE, 1, 2]), st.just(1))
)
sides = st.fixed_dictionaries({b"/s": rows, b"/s/x": rows, b"/s/x/y": rows})


@given(first=sides, store=sides, second=sides)
def test_findings_are_those_that_both_inventories_lead_to(
    first: dict[bytes, Rows], store: dict[bytes, Rows], second: dict[bytes, Rows]
) -> None:
    remote = table(dict(store))
    opinion = SecondOpinion(table(dict(second)), None, Tally())
    found = compare(table(dict(first)), remote, CompareOptions(), Tally())
    left = [each for each in map(opinion.agreed, found) if each is not None]
    got = {(f.kind, join(f.directory, name)) for f in left for name in f.files.name_list()}
    expected = set()
    for directory in store:
        one, two, there = first[directory], second[directory], store[directory]
        for name in {*one, *there}:
            if name in one and name in two and name not in there:
                expected.add((Kind.MISSING, join(directory, name)))
            if name in there and name not in one and name not in two:
                expected.add((Kind.ORPHAN, join(directory, name)))
            if name in one and name in two and name in there:
                sizes = {one[name][0], two[name][0]}
                if len(sizes) == 1 and UNKNOWN_SIZE not in {*sizes, there[name][0]} and there[name][0] not in sizes:
                    expected.add((Kind.SIZE_MISMATCH, join(directory, name)))
    assert got == expected
