from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.columns import NO_DIGEST, NO_FILES, UNKNOWN_MTIME, FileColumns
from engine.paths import is_under, parent_of, tree_key
from engine.record import DirectorySummary
from engine.states import Reason, State
from engine.table import DirectoryTable


def table_of(*summaries: DirectorySummary) -> DirectoryTable:
    return DirectoryTable.from_summaries(sorted(summaries, key=lambda summary: tree_key(summary.path)))


def listed(*directories: bytes, files: int = 0) -> list[DirectorySummary]:
    return [DirectorySummary(path, State.LISTED, files=files) for path in directories]


def empty_paths(table: DirectoryTable) -> list[bytes]:
    return [table.paths[row] for row in table.empty_rows()]


def test_a_table_keeps_what_its_summaries_say() -> None:
    table = table_of(
        DirectorySummary(b"/a", State.LISTED, Reason.NONE, "", 2, 30, 200, 300, 1000, bytes(range(16))),
        DirectorySummary(b"/a/b", State.FAILED, Reason.TIMEOUT, "after 30 s", listed_at=1001),
    )
    assert len(table) == 2
    assert (table.state(0), table.state(1)) == (State.LISTED, State.FAILED)
    assert (table.reason(0), table.reason(1)) == (Reason.NONE, Reason.TIMEOUT)
    assert (table.digest(0), table.digest(1)) == (bytes(range(16)), NO_DIGEST)
    assert table.details == {1: "after 30 s"}
    assert (table.files.tolist(), table.sizes.tolist()) == ([2, 0], [30, 0])
    assert (table.newest.tolist(), table.mtimes.tolist()) == ([200, UNKNOWN_MTIME], [300, UNKNOWN_MTIME])
    assert table.listed_at.tolist() == [1000, 1001]
    assert (table.total_files(), table.total_size()) == (2, 30)


def test_files_are_loaded_by_row() -> None:
    files = FileColumns.from_rows([(b"f", 1, 2)])
    table = DirectoryTable.from_summaries(listed(b"/a", b"/b"), lambda row: files if row == 1 else NO_FILES)
    assert [table.load(0), table.load(1)] == [NO_FILES, files]
    assert table_of(*listed(b"/a")).load(0) == NO_FILES


def test_an_empty_table_answers_too() -> None:
    table = table_of()
    assert (len(table), table.total_files(), table.total_size(), table.count(State.LISTED)) == (0, 0, 0, 0)
    assert (table.find(b"/"), table.nearest(b"/a/b")) == (None, None)
    assert (table.empty_rows(), list(table.unlisted()), table.blind_rows().tolist()) == ([], [], [])


def test_the_unlisted_are_those_that_failed_or_were_never_reached() -> None:
    table = table_of(
        DirectorySummary(b"/", State.LISTED),
        DirectorySummary(b"/failed", State.FAILED, Reason.SERVER, "overload"),
        DirectorySummary(b"/ignored", State.IGNORED, Reason.IGNORED),
        DirectorySummary(b"/queued", State.UNFILLED, Reason.NEVER_REACHED),
        DirectorySummary(b"/unsaid", State.UNFILLED),
    )
    assert list(table.unlisted()) == [
        (b"/failed", Reason.SERVER, "overload"),
        (b"/queued", Reason.NEVER_REACHED, ""),
        (b"/unsaid", Reason.NEVER_REACHED, ""),
    ]


def test_empty_directories_come_deepest_first_and_never_the_top() -> None:
    table = table_of(
        *listed(b"/top", b"/top/a", b"/top/a/b", b"/top/a/c", b"/top/full/e"), *listed(b"/top/full", files=1)
    )
    assert empty_paths(table) == [b"/top/full/e", b"/top/a/c", b"/top/a/b", b"/top/a"]


@pytest.mark.parametrize("state", [State.FAILED, State.UNFILLED, State.IGNORED])
def test_nothing_is_empty_at_above_or_below_what_was_not_seen(state: State) -> None:
    unseen = DirectorySummary(b"/top/a/unseen", state)
    table = table_of(*listed(b"/top", b"/top/a", b"/top/a/unseen/below", b"/top/b"), unseen)
    assert empty_paths(table) == [b"/top/b"]


def test_a_file_far_below_counts_although_a_directory_between_is_not_in_the_table() -> None:
    table = table_of(*listed(b"/top", b"/top/a", b"/top/b"), *listed(b"/top/a/b/c", files=1))
    assert empty_paths(table) == [b"/top/b"]


names = st.sampled_from([b"a", b"b", b"a-", b"a!"])
some_paths = st.lists(names, max_size=4).map(lambda parts: b"/" + b"/".join(parts))
summaries = st.dictionaries(
    some_paths, st.tuples(st.sampled_from([State.LISTED, State.LISTED, *State]), st.integers(0, 1)), max_size=12
).map(
    lambda directories: [
        DirectorySummary(path, state, files=files if state == State.LISTED else 0)
        for path, (state, files) in directories.items()
    ]
)


def ancestors(path: bytes) -> Iterable[bytes]:
    above = parent_of(path)
    while above is not None:
        yield above
        above = parent_of(above)


@given(summaries, some_paths)
def test_lookups_agree_with_a_dictionary(known: list[DirectorySummary], path: bytes) -> None:
    table = table_of(*known)
    by_path = {summary.path: summary for summary in known}
    assert sorted(table.paths) == sorted(by_path)
    row = table.find(path)
    assert (row is not None) == (path in by_path)
    assert row is None or table.paths[row] == path
    nearest = table.nearest(path)
    expected = next((above for above in (path, *ancestors(path)) if above in by_path), None)
    assert (None if nearest is None else table.paths[nearest]) == expected
    for state in State:
        assert table.count(state) == sum(1 for summary in known if summary.state == state)
    assert [p for p, _, _ in table.unlisted()] == [
        p for p in table.paths if by_path[p].state in (State.FAILED, State.UNFILLED)
    ]


@given(summaries)
def test_blindness_comes_from_the_nearest_directory_that_was_not_listed(known: list[DirectorySummary]) -> None:
    table = table_of(*known)
    unseen = {summary.path for summary in known if summary.state != State.LISTED}
    expected = [next((above for above in (path, *ancestors(path)) if above in unseen), None) for path in table.paths]
    assert [None if row < 0 else table.paths[row] for row in table.blind_rows().tolist()] == expected


@given(summaries)
def test_empty_directories_can_be_removed_one_by_one(known: list[DirectorySummary]) -> None:
    table = table_of(*known)
    by_path = {summary.path: summary for summary in known}
    unseen = {path for path, summary in by_path.items() if summary.state != State.LISTED}

    def is_empty(path: bytes) -> bool:
        below = [by_path[other] for other in by_path if is_under(other, path)]
        return (
            all(summary.state == State.LISTED and not summary.files for summary in below)
            and unseen.isdisjoint(ancestors(path))
            and all(parent_of(summary.path) in by_path for summary in below)
        )

    found = empty_paths(table)
    assert sorted(found) == sorted(path for path in by_path if is_empty(path))
    left = set(by_path)
    for path in found:
        assert not any(other != path and is_under(other, path) for other in left)
        left.remove(path)
