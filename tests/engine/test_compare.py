from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, UNSETTLED_MTIME, FileColumns
from engine.compare import CompareOptions, Tally, compare, empty_directories
from engine.findings import Finding, Kind
from engine.paths import tree_key
from engine.record import DirectoryRecord, DirectorySummary
from engine.states import Reason, State
from engine.table import DirectoryTable

Files = dict[bytes, int] | dict[bytes, tuple[int, int]]
"""Files by name: a size, or a size and an mtime."""


@dataclass
class Side:
    """One side of a comparison, which remembers what was opened."""

    table: DirectoryTable
    opened: list[bytes] = field(default_factory=list)


def side(directories: dict[bytes, Files | tuple[State, Reason]]) -> Side:
    """Build a side from what each directory holds, or why it is not known."""
    records = []
    for path, content in sorted(directories.items(), key=lambda item: tree_key(item[0])):
        if isinstance(content, tuple):
            records.append(DirectoryRecord(path, content[0], content[1]))
        else:
            rows = [(name, *(value if isinstance(value, tuple) else (value, 0))) for name, value in content.items()]
            records.append(DirectoryRecord(path, State.LISTED, files=FileColumns.from_rows(rows)))
    opened: list[bytes] = []

    def load(row: int) -> FileColumns:
        opened.append(records[row].path)
        return records[row].files

    return Side(DirectoryTable.from_summaries([DirectorySummary.of(record) for record in records], load), opened)


FAILED = (State.FAILED, Reason.TIMEOUT)
IGNORED = (State.IGNORED, Reason.IGNORED)
QUEUED = (State.UNFILLED, Reason.NEVER_REACHED)

Found = tuple[Kind, bytes, list[bytes]]


def differences(
    inventory: Side, remote: Side, options: CompareOptions | None = None, tally: Tally | None = None
) -> list[Found]:
    found = compare(inventory.table, remote.table, options or CompareOptions(), tally if tally is not None else Tally())
    return [(finding.kind, finding.directory, finding.files.name_list()) for finding in found]


def test_a_file_that_only_the_inventory_has_is_missing() -> None:
    inventory, remote = side({b"/s": {b"a": 1, b"b": 2, b"c": 3}}), side({b"/s": {b"b": 2}})
    (finding,) = compare(inventory.table, remote.table, CompareOptions(), Tally())
    assert finding == Finding(Kind.MISSING, b"/s", FileColumns.from_rows([(b"a", 1, 0), (b"c", 3, 0)]))


def test_a_file_that_only_the_store_has_is_an_orphan() -> None:
    inventory, remote = side({b"/s": {b"b": 2}}), side({b"/s": {b"a": (1, 7), b"b": (2, 7)}})
    (finding,) = compare(inventory.table, remote.table, CompareOptions(), Tally())
    assert finding == Finding(Kind.ORPHAN, b"/s", FileColumns.from_rows([(b"a", 1, 7)]))


def test_another_size_is_neither_missing_nor_orphan() -> None:
    inventory = side({b"/s": {b"cut": (9, 5), b"grown": (9, 5), b"same": (9, 5)}})
    remote = side({b"/s": {b"cut": (4, 6), b"grown": (10, 6), b"same": (9, 6)}})
    (finding,) = compare(inventory.table, remote.table, CompareOptions(), Tally())
    assert finding == Finding(
        Kind.SIZE_MISMATCH,
        b"/s",
        FileColumns.from_rows([(b"cut", 9, 5), (b"grown", 9, 5)]),
        array("q", [4, 10]).tobytes(),
    )


def test_an_unknown_size_agrees_with_every_size() -> None:
    inventory = side({b"/s": {b"a": UNKNOWN_SIZE, b"b": 2, b"gone": UNKNOWN_SIZE}})
    remote = side({b"/s": {b"a": 1, b"b": UNKNOWN_SIZE, b"new": UNKNOWN_SIZE}})
    assert differences(inventory, remote) == [(Kind.MISSING, b"/s", [b"gone"]), (Kind.ORPHAN, b"/s", [b"new"])]


def test_a_directory_can_have_all_kinds_at_once() -> None:
    inventory = side({b"/s": {b"gone": 1, b"same": 2, b"cut": 3}})
    remote = side({b"/s": {b"cut": 1, b"same": 2, b"new": 4}})
    assert differences(inventory, remote) == [
        (Kind.MISSING, b"/s", [b"gone"]),
        (Kind.ORPHAN, b"/s", [b"new"]),
        (Kind.SIZE_MISMATCH, b"/s", [b"cut"]),
    ]


def test_a_few_differences_among_many_files_are_found() -> None:
    common = {b"%05d" % number: number for number in range(3000)}
    inventory = side({b"/s": {**common, b"00007": -1, b"01000": 5, b"lost": 1, b"0": 2}})
    remote = side({b"/s": {**common, b"02999": 8, b"new": 1, b"01000x": 2, b"~": 3}})
    findings = list(compare(inventory.table, remote.table, CompareOptions(), Tally()))
    assert findings == [
        Finding(Kind.MISSING, b"/s", FileColumns.from_rows([(b"lost", 1, 0), (b"0", 2, 0)])),
        Finding(Kind.ORPHAN, b"/s", FileColumns.from_rows([(b"new", 1, 0), (b"01000x", 2, 0), (b"~", 3, 0)])),
        Finding(
            Kind.SIZE_MISMATCH,
            b"/s",
            FileColumns.from_rows([(b"01000", 5, 0), (b"02999", 2999, 0)]),
            array("q", [1000, 8]).tobytes(),
        ),
    ]


def test_equal_sides_are_never_opened() -> None:
    directories: dict[bytes, Files | tuple[State, Reason]] = {
        b"/s/d%d" % number: {b"f": number, b"g": 5} for number in range(20)
    }
    inventory, remote, tally = side({b"/s": {}, **directories}), side({b"/s": {}, **directories}), Tally()
    assert differences(inventory, remote, tally=tally) == []
    assert (inventory.opened, remote.opened, tally) == ([], [], Tally())


def test_only_what_differs_is_opened() -> None:
    inventory = side({b"/s": {}, b"/s/a": {b"f": 1}, b"/s/b": {b"f": 1}, b"/s/c": {b"f": 1}})
    remote = side({b"/s": {}, b"/s/a": {b"f": 1}, b"/s/b": {b"f": 2}, b"/s/c": {b"f": 1}})
    tally = Tally()
    assert differences(inventory, remote, tally=tally) == [(Kind.SIZE_MISMATCH, b"/s/b", [b"f"])]
    assert (inventory.opened, remote.opened, tally.opened) == ([b"/s/b"], [b"/s/b"], 1)


def test_an_empty_side_of_a_directory_is_not_opened_either() -> None:
    inventory, remote = side({b"/s": {}}), side({b"/s": {b"f": 1}})
    assert differences(inventory, remote) == [(Kind.ORPHAN, b"/s", [b"f"])]
    assert (inventory.opened, remote.opened) == ([], [b"/s"])


def test_findings_come_in_tree_order() -> None:
    inventory = side({b"/s": {b"x": 1}, b"/s/a": {b"x": 1}, b"/s/a/deep": {b"x": 1}, b"/s/a-b": {b"x": 1}})
    remote = side({b"/s": {}, b"/s/a": {b"y": 1}, b"/s/a!": {b"y": 1}, b"/s/a/new": {b"y": 1}})
    assert differences(inventory, remote) == [
        (Kind.MISSING, b"/s", [b"x"]),
        (Kind.MISSING, b"/s/a", [b"x"]),
        (Kind.ORPHAN, b"/s/a", [b"y"]),
        (Kind.MISSING, b"/s/a/deep", [b"x"]),
        (Kind.ORPHAN, b"/s/a/new", [b"y"]),
        (Kind.ORPHAN, b"/s/a!", [b"y"]),
        (Kind.MISSING, b"/s/a-b", [b"x"]),
    ]


@pytest.mark.parametrize("why", [FAILED, IGNORED, QUEUED])
def test_what_the_store_did_not_show_completely_protects_everything_at_and_below_it(
    why: tuple[State, Reason],
) -> None:
    inventory = side({b"/s": {}, b"/s/u": {b"a": 1, b"b": 2}, b"/s/u/d": {b"c": 3}, b"/s/v": {b"gone": 4}})
    remote, tally = side({b"/s": {}, b"/s/u": why, b"/s/v": {}}), Tally()
    assert differences(inventory, remote, tally=tally) == [(Kind.MISSING, b"/s/v", [b"gone"])]
    assert (tally.protected, tally.reasons) == (3, {why[1]: 3})
    assert inventory.opened == [b"/s/v"]


@pytest.mark.parametrize("why", [FAILED, IGNORED, QUEUED])
def test_what_the_inventory_does_not_know_completely_protects_everything_at_and_below_it(
    why: tuple[State, Reason],
) -> None:
    remote = side({b"/s": {}, b"/s/u": {b"a": 1, b"b": 2}, b"/s/u/d": {b"c": 3}, b"/s/v": {b"new": 4}})
    inventory, tally = side({b"/s": {}, b"/s/u": why, b"/s/v": {}}), Tally()
    assert differences(inventory, remote, tally=tally) == [(Kind.ORPHAN, b"/s/v", [b"new"])]
    assert (tally.protected, tally.reasons) == (3, {why[1]: 3})
    assert remote.opened == [b"/s/v"]


def test_a_listing_of_its_own_does_not_help_a_directory_below_one_that_failed() -> None:
    """As after a journal in which a later record of the upper directory says that it failed."""
    inventory = side({b"/s": {}, b"/s/u": {}, b"/s/u/d": {b"gone": 1}, b"/s/u/d/e": {b"gone": 2}})
    remote = side({b"/s": {}, b"/s/u": FAILED, b"/s/u/d": {b"new": 1}, b"/s/u/f": {b"new": 2}})
    assert differences(inventory, remote) == []
    assert differences(remote, inventory) == []


def test_the_nearest_directory_that_was_not_listed_gives_the_reason() -> None:
    inventory = side({b"/s": {}, b"/s/u": {b"a": 1}, b"/s/u/d": {b"b": 1, b"c": 1}, b"/s/u/d/e": {b"d": 1}})
    remote, tally = side({b"/s": {}, b"/s/u": FAILED, b"/s/u/d": IGNORED}), Tally()
    assert differences(inventory, remote, tally=tally) == []
    assert tally.reasons == {Reason.TIMEOUT: 1, Reason.IGNORED: 3}


def test_a_directory_without_a_word_of_why_was_never_reached() -> None:
    inventory, tally = side({b"/s": {b"a": 1}}), Tally()
    assert differences(inventory, side({b"/s": (State.UNFILLED, Reason.NONE)}), tally=tally) == []
    assert tally.reasons == {Reason.NEVER_REACHED: 1}


def test_a_directory_that_a_complete_listing_does_not_name_is_absent_with_all_its_files() -> None:
    inventory = side({b"/s": {}, b"/s/gone": {b"a": 1}, b"/s/gone/deep/er": {b"b": 2}})
    assert differences(inventory, side({b"/s": {}})) == [
        (Kind.MISSING, b"/s/gone", [b"a"]),
        (Kind.MISSING, b"/s/gone/deep/er", [b"b"]),
    ]
    assert differences(side({b"/s": {}}), inventory) == [
        (Kind.ORPHAN, b"/s/gone", [b"a"]),
        (Kind.ORPHAN, b"/s/gone/deep/er", [b"b"]),
    ]


def test_where_nothing_above_was_ever_heard_of_nothing_is_judged() -> None:
    inventory = side({b"/": {}, b"/other": {b"a": 1}, b"/s": {}, b"/s/x": {b"gone": 1}})
    remote, tally = side({b"/s": {}, b"/s/y": {b"new": 1}}), Tally()
    assert differences(inventory, remote, tally=tally) == [
        (Kind.MISSING, b"/s/x", [b"gone"]),
        (Kind.ORPHAN, b"/s/y", [b"new"]),
    ]
    assert tally.reasons == {Reason.NEVER_REACHED: 1}


def test_an_empty_inventory_makes_no_orphans_and_an_empty_listing_nothing_missing() -> None:
    full, nothing, tally = side({b"/s": {b"a": 1}, b"/s/d": {b"b": 2}}), side({}), Tally()
    assert differences(nothing, full, tally=tally) == []
    assert differences(full, nothing, tally=tally) == []
    assert tally.reasons == {Reason.NEVER_REACHED: 4}


def test_a_file_where_the_inventory_has_a_directory_hides_nothing() -> None:
    inventory = side({b"/s": {}, b"/s/a": {b"f": 1}})
    remote = side({b"/s": {b"a": 1}})
    assert differences(inventory, remote) == [(Kind.ORPHAN, b"/s", [b"a"]), (Kind.MISSING, b"/s/a", [b"f"])]


@pytest.mark.parametrize(("limit", "young"), [(99.5, 1), (100, 0), (100.5, 0), (None, 0)])
def test_young_files_are_passed_over(limit: float | None, young: int) -> None:
    with_file, without = side({b"/s": {b"f": (1, 100), b"old": (1, 1)}}), side({b"/s": {}})
    names = [b"old"] if young else [b"f", b"old"]
    for left, right, kind in ((with_file, without, Kind.MISSING), (without, with_file, Kind.ORPHAN)):
        tally = Tally()
        assert differences(left, right, CompareOptions(young_after=limit), tally) == [(kind, b"/s", names)]
        assert tally.young == young


@pytest.mark.parametrize(("mtime", "other_mtime"), [(200, 1), (1, 200), (200, 200)])
def test_a_size_is_not_compared_while_either_side_is_young(mtime: int, other_mtime: int) -> None:
    inventory = side({b"/s": {b"f": (1, mtime), b"g": (1, 1)}})
    remote = side({b"/s": {b"f": (2, other_mtime), b"g": (2, 1)}})
    tally = Tally()
    assert differences(inventory, remote, CompareOptions(young_after=100), tally) == [
        (Kind.SIZE_MISMATCH, b"/s", [b"g"])
    ]
    assert tally.young == 1
    assert differences(inventory, remote) == [(Kind.SIZE_MISMATCH, b"/s", [b"f", b"g"])]


@pytest.mark.parametrize("limit", [None, 0.0, 4e18])
def test_what_is_unsettled_is_neither_missing_nor_an_orphan_nor_of_another_size(limit: float | None) -> None:
    tally = Tally()
    inventory = side({b"/s": {b"gone": (1, UNSETTLED_MTIME), b"half": (9, UNSETTLED_MTIME), b"lost": (1, 0)}})
    found = differences(inventory, side({b"/s": {b"half": (4, 0)}}), CompareOptions(limit), tally)
    assert found == [(Kind.MISSING, b"/s", [b"lost"])]
    assert tally.young == 2


def test_a_file_of_unknown_age_counts_as_old() -> None:
    inventory = side({b"/s": {b"gone": (1, UNKNOWN_MTIME), b"cut": (2, UNKNOWN_MTIME)}})
    remote = side({b"/s": {b"new": (1, UNKNOWN_MTIME), b"cut": (1, UNKNOWN_MTIME)}})
    assert [kind for kind, _, _ in differences(inventory, remote, CompareOptions(young_after=0))] == [
        Kind.MISSING,
        Kind.ORPHAN,
        Kind.SIZE_MISMATCH,
    ]


def test_filters_are_asked_by_full_path() -> None:
    inventory = side({b"/": {b"a": 1, b"keep": 1}, b"/s": {b"a": 1, b"keep": 1}, b"/t": {b"keep": 1}})
    remote = side({b"/": {b"b": 1, b"kept": 1}, b"/s": {b"b": 1, b"kept": 1}, b"/t": {}})
    asked: list[bytes] = []

    def keep(*names: bytes) -> Callable[[bytes], bool]:
        def protects(path: bytes) -> bool:
            asked.append(path)
            return path in names

        return protects

    options = CompareOptions(
        keep_missing=keep(b"/keep", b"/s/keep", b"/t/keep"), keep_orphan=keep(b"/kept", b"/s/kept")
    )
    tally = Tally()
    assert differences(inventory, remote, options, tally) == [
        (Kind.MISSING, b"/", [b"a"]),
        (Kind.ORPHAN, b"/", [b"b"]),
        (Kind.MISSING, b"/s", [b"a"]),
        (Kind.ORPHAN, b"/s", [b"b"]),
    ]
    assert (tally.kept, tally.young, tally.protected) == (5, 0, 0)
    assert sorted(asked) == sorted(
        [b"/a", b"/keep", b"/s/a", b"/s/keep", b"/t/keep", b"/b", b"/kept", b"/s/b", b"/s/kept"]
    )


def test_filters_do_not_hide_a_wrong_size() -> None:
    keep_all = CompareOptions(keep_missing=lambda _: True, keep_orphan=lambda _: True)
    inventory, remote = side({b"/s": {b"f": 1, b"gone": 1}}), side({b"/s": {b"f": 2}})
    assert differences(inventory, remote, keep_all) == [(Kind.SIZE_MISMATCH, b"/s", [b"f"])]


def listed(path: bytes, mtime: int = UNKNOWN_MTIME, files: int = 0) -> DirectorySummary:
    return DirectorySummary(path, State.LISTED, files=files, mtime=mtime)


def empty(young_after: float | None, *summaries: DirectorySummary) -> list[tuple[bytes, int]]:
    table = DirectoryTable.from_summaries(sorted(summaries, key=lambda summary: tree_key(summary.path)))
    findings = list(empty_directories(table, young_after))
    assert all(finding.kind == Kind.EMPTY and len(finding) == 1 for finding in findings)
    return [(finding.directory, finding.mtime) for finding in findings]


def test_empty_directories_come_deepest_first_with_their_mtimes() -> None:
    tree = [listed(b"/s", 1), listed(b"/s/a", 2), listed(b"/s/a/b", 3), listed(b"/s/full", 4, files=1)]
    assert empty(None, *tree) == [(b"/s/a/b", 3), (b"/s/a", 2)]
    assert empty(3, *tree) == [(b"/s/a/b", 3), (b"/s/a", 2)]


def test_a_young_directory_and_those_above_it_stay() -> None:
    tree = [listed(b"/s", 1), listed(b"/s/a", 2), listed(b"/s/a/young", 9), listed(b"/s/a/old", 2), listed(b"/s/c", 2)]
    assert empty(5, *tree) == [(b"/s/c", 2), (b"/s/a/old", 2)]
    assert empty(None, *tree) == [(b"/s/c", 2), (b"/s/a/young", 9), (b"/s/a/old", 2), (b"/s/a", 2)]


def test_with_an_age_limit_a_directory_of_unknown_age_stays() -> None:
    tree = [listed(b"/s", 1), listed(b"/s/a", 2), listed(b"/s/a/unknown")]
    assert empty(5, *tree) == []
    assert empty(None, *tree) == [(b"/s/a/unknown", UNKNOWN_MTIME), (b"/s/a", 2)]


@pytest.mark.parametrize("state", [State.FAILED, State.UNFILLED, State.IGNORED])
def test_a_directory_that_was_not_seen_is_not_empty_nor_is_any_above_or_below(state: State) -> None:
    unseen = DirectorySummary(b"/s/a/u", state, mtime=1)
    tree = [listed(b"/s", 1), listed(b"/s/a", 1), unseen, listed(b"/s/a/u/below", 1), listed(b"/s/b", 1)]
    assert empty(5, *tree) == [(b"/s/b", 1)]


def test_what_is_not_in_a_list_with_lines_that_nobody_could_read_is_not_judged() -> None:
    sides = side({b"/s": {b"a": 1, b"b": 2}, b"/s/x": {b"c": 1}}), side({b"/s": {b"a": 3, b"d": 4}, b"/s/y": {b"e": 5}})
    tally = Tally()
    found = differences(*sides, CompareOptions(open_inventory=True), tally)
    assert found == [
        (Kind.MISSING, b"/s", [b"b"]),
        (Kind.SIZE_MISMATCH, b"/s", [b"a"]),
        (Kind.MISSING, b"/s/x", [b"c"]),
    ]
    assert (tally.protected, tally.reasons) == (2, {Reason.UNREAD: 2})

    tally = Tally()
    found = differences(*sides, CompareOptions(open_remote=True), tally)
    assert found == [
        (Kind.ORPHAN, b"/s", [b"d"]),
        (Kind.SIZE_MISMATCH, b"/s", [b"a"]),
        (Kind.ORPHAN, b"/s/y", [b"e"]),
    ]
    assert (tally.protected, tally.reasons) == (2, {Reason.UNREAD: 2})


@pytest.mark.parametrize("limit", [None, 100.0])
def test_a_file_on_its_way_in_or_out_is_neither_missing_nor_an_orphan(limit: float | None) -> None:
    away = (UNKNOWN_SIZE, UNSETTLED_MTIME)
    inventory = side({b"/s": {b"copied": away, b"deleted": away, b"lost": (1, 1)}})
    remote = side({b"/s": {b"copied": (7, 1)}})
    tally = Tally()
    found = differences(inventory, remote, CompareOptions(young_after=limit), tally)
    assert found == [(Kind.MISSING, b"/s", [b"lost"])]
    assert tally.young == 1
