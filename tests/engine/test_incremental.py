from __future__ import annotations

import tracemalloc
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, DirectoryColumns, FileColumns, numbers
from engine.compare import CompareOptions, Tally, compare
from engine.incremental import (
    SAFELY,
    Choice,
    Portion,
    TakeOver,
    TakeOverRules,
    doubtful,
    is_taken,
    trusted_leaves,
)
from engine.index import Known
from engine.record import DirectoryRecord, DirectorySummary
from engine.second_looks import CACHED_FOR
from engine.states import Reason, State
from engine.table import DirectoryTable

OLD = 1_700_000_000
LISTED = OLD + 10 * 86400
NOW = LISTED + 86400


@dataclass(frozen=True)
class Row:
    """A directory of a listing: the sizes of its files by name, and its own time."""

    path: bytes
    files: dict[bytes, int]
    mtime: int = OLD
    listed_at: int = LISTED
    state: State = State.LISTED
    reason: Reason = Reason.NONE
    number: int = 0


def table_of(rows: Sequence[Row]) -> DirectoryTable:
    rows = sorted(rows, key=lambda row: paths.tree_key(row.path))
    records = [
        DirectoryRecord(
            row.path,
            row.state,
            row.reason,
            listed_at=row.listed_at,
            files=FileColumns.from_rows((name, size, 1) for name, size in row.files.items()),
        )
        for row in rows
    ]
    summaries = [DirectorySummary.of(record, row.mtime) for record, row in zip(records, rows, strict=True)]
    table = DirectoryTable.from_summaries(summaries, lambda row: records[row].files)
    ids = [row.number for row in rows]
    return replace(table, ids=numbers(array("q", ids)) if any(ids) else None)


def files(name: bytes, size: int = 5) -> dict[bytes, int]:
    return {name: size, name + b"-2": size}


TOP = Row(b"/s", {}, UNKNOWN_MTIME)
A, B = Row(b"/s/a", files(b"a")), Row(b"/s/b", files(b"b"))


def taking_over(*rows: Row, share: float = 0.0) -> TakeOver:
    return TakeOver(table_of(rows or (TOP, A, B)), TakeOverRules(share, b"seed"))


def digest_of(row: Row) -> bytes:
    return table_of([row]).digest(0)


def times(**named: int) -> dict[bytes, int]:
    return {name.encode(): time for name, time in named.items()}


@pytest.mark.parametrize(
    ("row", "trusted"),
    [
        (A, True),
        (replace(A, mtime=LISTED - int(SAFELY)), True),
        # What changed in the second of its own time, or by a clock that is hours off, still shows that time.
        (replace(A, mtime=LISTED - int(SAFELY) + 1), False),
        (replace(A, mtime=LISTED), False),
        (replace(A, mtime=NOW + 5), False),
        (replace(A, mtime=0), False),
        (replace(A, mtime=-5), False),
        (replace(A, mtime=UNKNOWN_MTIME), False),
        (replace(A, files={}), False),
        (replace(A, reason=Reason.OTHERS), False),
        (replace(A, state=State.FAILED, reason=Reason.TIMEOUT, files={}), False),
        (replace(A, state=State.UNFILLED, reason=Reason.NEVER_REACHED, files={}), False),
    ],
)
def test_what_is_trusted(row: Row, trusted: bool) -> None:
    table = table_of([TOP, row, B])
    assert (table.find(row.path) in set(trusted_leaves(table, SAFELY))) is trusted


def test_what_has_directories_is_no_leaf() -> None:
    unreached = Row(b"/s/a/x", {}, state=State.UNFILLED, reason=Reason.NEVER_REACHED, listed_at=0)
    table = table_of([TOP, A, unreached, Row(b"/s/a-", files(b"c")), B])
    assert [table.paths[row] for row in trusted_leaves(table, SAFELY)] == [b"/s/a-", b"/s/b"]


def test_what_is_there_under_several_names_is_listed() -> None:
    twin = Row(b"/s/c", files(b"a"))
    assert taking_over(TOP, A, B, twin).choose(b"/s/a", OLD) == Choice.LIST
    assert taking_over(TOP, A, B, twin).choose(b"/s/b", OLD) == Choice.TAKE
    numbered = [replace(A, number=7), replace(B, number=7), Row(b"/s/c", files(b"c"), number=8)]
    assert taking_over(TOP, *numbered).choose(b"/s/a", OLD, 7) == Choice.LIST
    assert taking_over(TOP, *numbered).choose(b"/s/c", OLD, 8) == Choice.TAKE


def test_it_takes_a_few_bytes_for_each_directory() -> None:
    table = table_of([TOP, *(Row(b"/s/%d" % n, files(b"%d" % n), number=n) for n in range(2000))])
    taking_over(TOP, A, B)
    tracemalloc.start()
    try:
        state = TakeOver(table, TakeOverRules(0.0, b"seed"))
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert state.choose(b"/s/7", OLD, 7) == Choice.TAKE
    assert kept < 5 * len(table)
    assert most < 120 * len(table)


def test_only_the_same_time_and_the_same_directory_is_taken_over() -> None:
    state = taking_over(TOP, replace(A, number=7), B)
    assert state.choose(b"/s/a", OLD, 7) == Choice.TAKE
    assert state.choose(b"/s/a", OLD + 1, 7) == Choice.LIST
    assert state.choose(b"/s/a", OLD - 1, 7) == Choice.LIST
    assert state.choose(b"/s/a", UNKNOWN_MTIME, 7) == Choice.LIST
    assert state.choose(b"/s/a", OLD, 8) == Choice.LIST
    assert state.choose(b"/s/a", OLD, 0) == Choice.LIST
    assert state.choose(b"/s/new", OLD) == Choice.LIST


def test_a_share_is_listed_all_the_same() -> None:
    rows = [TOP, *(Row(b"/s/%d" % n, files(b"%d" % n)) for n in range(2000))]
    for share in (0.0, 0.02, 0.5, 1.0):
        state = taking_over(*rows, share=share)
        chosen = [state.choose(row.path, OLD) for row in rows[1:]]
        assert set(chosen) <= {Choice.SAMPLE, Choice.TAKE}
        assert chosen.count(Choice.SAMPLE) == pytest.approx(2000 * share, abs=20 if share < 0.1 else 100)
    first, other = (TakeOverRules(0.02, seed) for seed in (b"one", b"other"))
    assert [first.is_sampled(row.path) for row in rows] != [other.is_sampled(row.path) for row in rows]


def test_children_are_sorted() -> None:
    state = taking_over()
    named = DirectoryColumns.from_rows([(b"a", OLD), (b"b", OLD + 1), (b"c", OLD)])
    found = state.children(b"/s/", named, lambda _path: False)
    assert (found.listed, [state.path_of(row) for row in found.taken], found.sampled) == (
        [b"/s/b", b"/s/c"],
        [b"/s/a"],
        [],
    )
    assert state.children(b"/s/", named, lambda path: path == b"/s/a").taken == []
    found = taking_over(share=1.0).children(b"/s/", named, lambda _path: False)
    assert (found.listed, found.taken, len(found.sampled)) == ([b"/s/a", b"/s/b", b"/s/c"], [], 1)


def after_all(state: TakeOver) -> list[bytes]:
    """Give what is to be listed after all, in tree order."""
    portion = state.portion(1000, 0.0, nothing_known)
    assert (portion.taken, state.unfinished) == ([], False)
    return portion.listed


def differs(state: TakeOver, path: bytes) -> bool:
    """Let a directory differ; tells whether its parent is listed once more for that, in the end."""
    state.listed(path, b"other", plain=True, now=0.0)
    return state.due(CACHED_FOR) == [b"/s"]


def begun() -> TakeOver:
    """``b`` is taken over, ``a`` sampled."""
    state = taking_over()
    state.sample([1])
    state.take([2])
    return state


def test_a_sample_that_agrees_says_nothing() -> None:
    state = begun()
    state.listed(b"/s/a", digest_of(A), plain=True, now=0.0)
    assert not state.waits
    assert (state.taken, state.distrust) == (1, "")


@pytest.mark.parametrize(("found", "plain"), [(replace(A, files=files(b"a", 6)), True), (A, False)])
def test_a_sample_that_differs_while_its_time_stays_turns_back_to_full(found: Row, plain: bool) -> None:
    state = begun()
    state.listed(b"/s/a", digest_of(found), plain, 0.0)
    assert state.due(CACHED_FOR) == [b"/s"]
    assert state.is_asked(b"/s")
    assert state.distrust == ""
    state.answered(b"/s", times(a=OLD, b=OLD))
    assert "/s/a" in state.distrust
    assert after_all(state) == [b"/s/b"]
    assert state.choose(b"/s/b", OLD) == Choice.LIST
    # It is not held against it any more.
    assert not differs(state, b"/s/b")
    assert state.taken == 0


@pytest.mark.parametrize("now", [times(a=OLD + 5, b=OLD), times(b=OLD)])
def test_a_sample_that_changed_meanwhile_is_no_disagreement(now: dict[bytes, int]) -> None:
    state = begun()
    assert differs(state, b"/s/a")
    state.answered(b"/s", now)
    assert after_all(state) == []
    assert not state.is_asked(b"/s")
    assert (state.taken, state.distrust) == (1, "")


def test_a_store_is_given_time_to_show_another_time() -> None:
    state = begun()
    state.listed(b"/s/a", b"other", plain=True, now=5.0)
    assert state.waits
    assert state.due(4.0 + CACHED_FOR) == []
    assert state.wait == (
        "waiting until 120 s have passed, to see in /s whether the times of directories have changed that differ from "
        "the last listing"
    )
    assert state.due(5.0 + CACHED_FOR) == [b"/s"]
    assert (state.waits, state.wait) == (False, "")


def test_a_store_that_lies_is_not_waited_for_once_more() -> None:
    state = taking_over(*SITE, Row(b"/s/x", {}), Row(b"/s/x/g", files(b"g")))
    state.take(range(1, 9))
    state.listed(b"/s/a", b"other", plain=True, now=0.0)
    state.listed(b"/s/x/g", b"other", plain=True, now=9.0)
    assert "/s and 1 others" in state.wait
    assert state.due(CACHED_FOR) == [b"/s"]
    state.answered(b"/s", times(a=OLD))
    assert state.distrust
    assert not state.waits
    assert state.due(10 * CACHED_FOR) == []


def test_when_the_parent_cannot_be_asked_the_store_is_not_believed() -> None:
    state = begun()
    assert differs(state, b"/s/a")
    state.answered(b"/s", None)
    assert state.distrust
    assert after_all(state) == [b"/s/b"]


def test_a_parent_is_asked_once_for_all_that_differ() -> None:
    state = begun()
    state.listed(b"/s/a", b"other", plain=True, now=0.0)
    state.listed(b"/s/b", b"other", plain=True, now=0.0)
    assert state.due(CACHED_FOR) == [b"/s"]
    state.answered(b"/s", times(a=OLD + 5, b=OLD))
    assert after_all(state) == []
    assert "/s/b" in state.distrust


def test_what_cannot_be_listed_is_no_disagreement() -> None:
    state = begun()
    state.failed(b"/s/a")
    state.failed(b"/s/b")
    state.failed(b"/s/unknown")
    assert (state.taken, state.distrust) == (0, "")
    assert not differs(state, b"/s/a")


def test_what_was_not_taken_over_is_held_against_nothing() -> None:
    state = taking_over()
    assert not differs(state, b"/s/a")
    state.listed(b"/s", b"other", plain=False, now=0.0)
    assert not state.waits


def test_a_run_that_goes_on_holds_what_was_listed_before_it_against_the_last_listing() -> None:
    state = taking_over(*SITE)
    assert state.take_again(b"/s/b")
    assert not state.take_again(b"/s/unknown")
    known = {
        b"/s/a": Known(State.LISTED, OLD, 0, b"other"),
        b"/s/c": Known(State.FAILED, OLD, 0, b""),
        b"/s/d": Known(State.LISTED, OLD + 9, 0, b"other"),
    }
    assert not state.unfinished
    state.go_on(())
    assert state.portion(10, 7.0, known.get) == Portion([], [])
    assert not state.unfinished
    assert state.due(6.0 + CACHED_FOR) == []
    assert state.due(7.0 + CACHED_FOR) == [b"/s"]
    state.answered(b"/s", times(a=OLD + 5))
    assert not state.distrust
    assert differs(state, b"/s/c")
    state.answered(b"/s", times(c=OLD))
    assert after_all(state) == [b"/s/b"]


SITE = (TOP, A, B, *(Row(b"/s/%c" % name, files(b"%c" % name)) for name in b"cdef"))


@pytest.mark.parametrize(("share", "taken"), [(0.0, [1, 2, 4]), (1.0, [])])
def test_a_run_that_goes_on_does_with_what_was_not_come_to_as_the_one_before_would_have(
    share: float, taken: list[int]
) -> None:
    state = taking_over(*SITE, share=share)
    state.go_on(())
    known = {row.path: Known(State.UNFILLED, OLD, 0, b"") for row in SITE[:5]}
    known[b"/s/c"] = Known(State.UNFILLED, OLD + 1, 0, b"")
    portion = state.portion(10, 0.0, known.get, lambda path: path == b"/s")
    assert portion.taken == taken
    listed = [b"/s/c"] if taken else [b"/s/a", b"/s/b", b"/s/c", b"/s/d"]
    assert portion.listed == listed
    # What has not changed says nothing, and what was sampled is held against the last listing.
    assert not differs(state, b"/s/c")
    assert differs(state, b"/s/a") is not bool(taken)


def nothing_known(_path: bytes) -> None:
    return None


def test_much_is_done_in_portions() -> None:
    state = taking_over(*SITE)
    state.put_off([1, 2])
    state.put_off([3, 4, 5])
    state.put_off([])
    assert state.unfinished
    portions = [state.portion(2, 0.0, nothing_known) for _ in range(3)]
    assert [portion.taken for portion in portions] == [[1, 2], [3, 4], [5]]
    assert not state.unfinished
    state.take([1, 2, 3, 4, 5])
    state.put_off([6])
    assert differs(state, b"/s/a")
    state.answered(b"/s", times(a=OLD))
    # What was still to be taken over is listed as well.
    portions = [state.portion(2, 0.0, nothing_known) for _ in range(3)]
    assert [(portion.taken, portion.listed) for portion in portions] == [
        ([], [b"/s/b", b"/s/c"]),
        ([], [b"/s/d", b"/s/e"]),
        ([], [b"/s/f"]),
    ]
    assert not state.unfinished


def test_directories_of_many_files_make_smaller_portions() -> None:
    many = {b"%d" % number: 1 for number in range(500)}
    state = taking_over(TOP, replace(A, files=many), B, Row(b"/s/c", files(b"c")))
    state.put_off([1, 2, 3])
    assert [state.portion(5, 0.0, nothing_known).taken for _ in range(2)] == [[1], [2, 3]]


def expected(*rows: Row) -> DirectoryTable:
    return table_of([replace(row, listed_at=NOW, mtime=UNKNOWN_MTIME) for row in rows])


FRESH = replace(TOP, listed_at=NOW)


def test_what_agrees_stays_taken_over() -> None:
    remote = table_of([FRESH, A, B])
    assert doubtful(expected(TOP, A, B), remote, LISTED) == []
    names_only = replace(A, files=dict.fromkeys(A.files, UNKNOWN_SIZE))
    assert doubtful(expected(TOP, names_only, B), remote, LISTED) == []


@pytest.mark.parametrize(
    "known",
    [
        [replace(A, files={**A.files, b"lost": 1})],
        [replace(A, files={b"a": 5})],
        [replace(A, files={b"a": 5, b"a-2": 6})],
        [],
        [A, Row(b"/s/a/x", files(b"x"))],
        [A, Row(b"/s/a/x/y/z", files(b"x"))],
    ],
)
def test_what_a_finding_might_rest_on_is_doubtful(known: list[Row]) -> None:
    remote = table_of([FRESH, replace(A, mtime=OLD + 7), B])
    inventory = expected(TOP, B, *known)
    assert doubtful(inventory, remote, LISTED) == [b"/s/a"]
    # What was listed now can be judged.
    assert doubtful(inventory, remote, LISTED - 1) == []


def test_what_may_be_the_same_directory_is_seen_with_it() -> None:
    # A link to what was taken over, come upon for the first time, in which there is a file by now.
    link = Row(b"/s/link", {**A.files, b"new": 1}, listed_at=NOW)
    other = replace(B, mtime=OLD + 9)
    assert doubtful(expected(TOP, A, B), table_of([FRESH, A, other, link]), LISTED) == [b"/s/a"]
    # By their ids it can be told that they are not the same, or that they are.
    numbered = [FRESH, replace(A, number=1), replace(B, number=2), replace(link, number=3)]
    assert doubtful(expected(TOP, A, B), table_of(numbered), LISTED) == []
    numbered[-1] = replace(link, number=2)
    assert doubtful(expected(TOP, A, B), table_of(numbered), LISTED) == [b"/s/b"]
    numbered[-1] = replace(link, number=0)
    assert doubtful(expected(TOP, A, B), table_of(numbered), LISTED) == [b"/s/a", b"/s/b"]


def test_a_top_may_be_the_same_as_any() -> None:
    top = Row(b"/t", {**A.files, b"new": 1}, UNKNOWN_MTIME, NOW)
    assert doubtful(expected(TOP, A, B), table_of([FRESH, A, B, top]), LISTED) == [b"/s/a", b"/s/b"]
    # One that has directories is the same as no leaf.
    assert doubtful(expected(TOP, A, B), table_of([FRESH, A, B, top, Row(b"/t/d", {}, OLD, NOW)]), LISTED) == []


def test_the_nearest_directory_is_doubtful_also_below_one_that_only_passes_for_taken_over() -> None:
    # The clock was set back while the store was listed.
    remote = table_of([TOP, Row(b"/s/d", {})])
    inventory = expected(TOP, A, Row(b"/s/d/e", files(b"x")))
    assert doubtful(inventory, remote, LISTED) == [b"/s", b"/s/d"]


names = st.sampled_from([b"f", b"g", b"h"])
sizes = st.sampled_from([UNKNOWN_SIZE, 0, 1])
contents = st.dictionaries(names, sizes, max_size=3)
PLACES = (b"/s", b"/s/a", b"/s/a/b", b"/s/a/c", b"/s/a-", b"/s/d", b"/s/d/e")
states = st.sampled_from([(State.LISTED, Reason.NONE)] * 5 + [(State.FAILED, Reason.TIMEOUT)])


@st.composite
def listings(draw: st.DrawFn, failing: bool) -> list[Row]:
    rows = []
    for place in PLACES:
        if place != b"/s" and draw(st.booleans()):
            continue
        state, reason = draw(states) if failing and place != b"/s" else (State.LISTED, Reason.NONE)
        held = draw(contents) if state == State.LISTED else {}
        listed_at = draw(st.sampled_from([LISTED, NOW]))
        rows.append(Row(place, held, draw(st.sampled_from([OLD, OLD + 1])), listed_at, state, reason))
    return rows


@given(inventory=listings(failing=False), remote=listings(failing=True), one_name=st.booleans())
def test_no_finding_rests_on_what_was_taken_over(inventory: list[Row], remote: list[Row], one_name: bool) -> None:
    known, found = table_of(inventory), table_of(remote)
    again = set(doubtful(known, found, LISTED))
    assert all(is_taken(found, row, LISTED) for path in again if (row := found.find(path)) is not None)
    for finding in compare(known, found, CompareOptions(one_name=one_name), Tally()):
        row = found.nearest(finding.directory)
        assert row is not None
        assert not is_taken(found, row, LISTED) or found.paths[row] in again
