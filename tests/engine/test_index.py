from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.columns import NO_DIGEST, NO_DIRECTORIES, NO_FILES, UNKNOWN_MTIME, DirectoryColumns, FileColumns, Int64s
from engine.index import Entry, IndexBuilder, Leaves
from engine.paths import join, tree_key
from engine.record import DirectoryRecord
from engine.states import Reason, State
from engine.table import DirectoryTable


def no_loader(_offsets: Int64s, _lengths: Int64s) -> Callable[[int], FileColumns]:
    return lambda _row: NO_FILES


def listed(path: bytes, *children: tuple[bytes, int], files: int = 0, size: int = 0, length: int = 0) -> Entry:
    directories = DirectoryColumns.from_rows(children)
    return Entry(path, State.LISTED, Reason.NONE, "", 9, files, size, UNKNOWN_MTIME, b"d" * 16, directories, length)


def failed(path: bytes, reason: Reason, detail: str = "") -> Entry:
    return Entry(path, State.FAILED, reason, detail, 9, 0, 0, UNKNOWN_MTIME, NO_DIGEST, NO_DIRECTORIES, 0)


def test_an_entry_sums_up_a_record() -> None:
    files = FileColumns.from_rows([(b"a", 3, 30), (b"b", 4, 20)])
    directories = DirectoryColumns.from_rows([(b"d", 5)])
    record = DirectoryRecord(b"/x", State.LISTED, Reason.NONE, "", 1000, files, directories)
    assert Entry.of(record, 77) == Entry(
        b"/x", State.LISTED, Reason.NONE, "", 1000, 2, 7, 30, files.digest(), directories, 77
    )


def test_what_a_listing_names_is_in_the_table_before_it_is_reached() -> None:
    index = IndexBuilder()
    index.add(listed(b"/", (b"b", 20), (b"a-", 30), (b"a", 10), files=2, size=7))
    index.add(listed(b"/a", (b"x", 11)))
    table, _, _ = index.table(no_loader)
    assert table.paths == [b"/", b"/a", b"/a/x", b"/a-", b"/b"]
    assert table.mtimes.tolist() == [UNKNOWN_MTIME, 10, 11, 30, 20]
    assert [table.state(row) for row in range(5)] == [
        State.LISTED,
        State.LISTED,
        State.UNFILLED,
        State.UNFILLED,
        State.UNFILLED,
    ]
    assert table.reason(2) == Reason.NEVER_REACHED
    assert table.digest(2) == NO_DIGEST
    assert index.totals() == (2, 7)
    assert (len(index), index.count(State.UNFILLED)) == (5, 3)
    assert list(index.in_state(State.UNFILLED)) == [b"/a-", b"/b", b"/a/x"]


NAMES = st.sampled_from([b"/a", b"/b", b"/c", b"/a/x", b"/d"])


@given(st.lists(NAMES, unique=True), st.lists(NAMES), st.booleans())
def test_leaves_are_entered_as_one_by_one(paths: list[bytes], before: list[bytes], with_details: bool) -> None:
    count = len(paths)
    leaves = Leaves(
        paths,
        9,
        array("q", range(count)),
        array("q", range(5, 5 + count)),
        array("q", [7] * count),
        b"".join(bytes((n,)) * 16 for n in range(count)),
        array("q", range(100, 100 + count)),
    )

    def index() -> IndexBuilder:
        made = IndexBuilder()
        made.add(listed(b"/", (b"a", 1), (b"b", 2), (b"c", 3)))
        for path in before:
            made.add(failed(path, Reason.SERVER, "no" if with_details else ""))
        return made

    at_once, one_by_one = index(), index()
    at_once.add_leaves(leaves, 1000)
    offset = 1000
    for entry in leaves.entries():
        one_by_one.add(entry, offset)
        offset += entry.length
    assert columns_of(at_once) == columns_of(one_by_one)


def columns_of(index: IndexBuilder) -> list[object]:
    table, offsets, lengths = index.table(no_loader)
    found: list[object] = [table.paths, table.states, table.reasons, table.digests, table.details]
    columns = (table.files, table.sizes, table.newest, table.mtimes, table.listed_at, offsets, lengths)
    return found + [column.tolist() for column in columns]


def test_a_directory_that_is_named_twice_has_one_row() -> None:
    twice = DirectoryColumns(b"a\0a\0b", array("q", [10, 20, 30]).tobytes())
    index = IndexBuilder()
    index.add(Entry(b"/", State.LISTED, Reason.NONE, "", 9, 0, 0, UNKNOWN_MTIME, b"d" * 16, twice, 0))
    table, _, _ = index.table(no_loader)
    assert (table.paths, table.mtimes.tolist()) == ([b"/", b"/a", b"/b"], [UNKNOWN_MTIME, 20, 30])


def test_a_directory_that_was_named_before_keeps_its_row() -> None:
    index = IndexBuilder()
    index.add(listed(b"/", (b"a", 10), (b"b", 20), files=1))
    index.add(listed(b"/a", (b"x", 1), files=2))
    index.add(listed(b"/", (b"a", 11), (b"c", 30), files=3))
    table, _, _ = index.table(no_loader)
    assert table.paths == [b"/", b"/a", b"/a/x", b"/b", b"/c"]
    assert table.mtimes.tolist() == [UNKNOWN_MTIME, 11, 1, 20, 30]
    assert table.files.tolist() == [3, 2, 0, 0, 0]


def test_a_later_entry_replaces_an_earlier_one() -> None:
    index = IndexBuilder()
    index.add(failed(b"/a", Reason.TIMEOUT, "after 30 s"))
    assert (index.state_of(b"/a"), index.state_of(b"/b")) == (State.FAILED, None)
    index.add(listed(b"/a", files=3, size=9))
    table, _, _ = index.table(no_loader)
    assert (table.state(0), table.reason(0), table.details, table.total_files()) == (State.LISTED, Reason.NONE, {}, 3)
    index.add(failed(b"/a", Reason.SERVER, "overload"))
    table, _, _ = index.table(no_loader)
    assert (table.state(0), table.reason(0), table.details) == (State.FAILED, Reason.SERVER, {0: "overload"})
    assert (table.total_files(), table.total_size(), table.digest(0)) == (0, 0, NO_DIGEST)


def test_the_loader_is_given_offsets_and_lengths_by_row() -> None:
    index = IndexBuilder()
    index.add(listed(b"/", (b"b", 1), (b"a", 1), length=10), offset=100)
    index.add(listed(b"/b", length=20), offset=110)
    index.add(listed(b"/a", length=30), offset=130)
    seen: list[tuple[list[int], list[int]]] = []

    def loader(offsets: Int64s, lengths: Int64s) -> Callable[[int], FileColumns]:
        seen.append((offsets.tolist(), lengths.tolist()))
        return lambda row: FileColumns.from_rows([(b"row", row, 0)])

    table, offsets, lengths = index.table(loader)
    assert seen == [([100, 130, 110], [10, 30, 20])]
    assert (offsets.tolist(), lengths.tolist()) == seen[0]
    assert table.load(2).rows() == [(b"row", 2, 0)]


def test_nothing_makes_an_empty_table() -> None:
    table, offsets, lengths = IndexBuilder().table(no_loader)
    assert (len(table), len(offsets), len(lengths)) == (0, 0, 0)


def test_a_top_can_be_made_known_before_anything_is_listed() -> None:
    index = IndexBuilder()
    assert index.know(b"/store") == index.know(b"/store") == 0
    assert list(index.table(no_loader)[0].unlisted()) == [(b"/store", Reason.NEVER_REACHED, "")]


@pytest.mark.parametrize("path", [b"/", b"/store"])
def test_children_stand_below_their_parent(path: bytes) -> None:
    index = IndexBuilder()
    index.add(listed(path, (b"x", 1)))
    assert index.state_of(join(path, b"x")) == State.UNFILLED


@dataclass
class Row:
    """One directory as a plain model knows it."""

    entry: Entry | None = None
    offset: int = 0
    mtime: int = UNKNOWN_MTIME


@dataclass
class Model:
    rows: dict[bytes, Row] = field(default_factory=dict)

    def add(self, entry: Entry, offset: int) -> None:
        row = self.rows.setdefault(entry.path, Row())
        row.entry, row.offset = entry, offset
        for name, mtime in zip(entry.directories.name_list(), entry.directories.mtime_list(), strict=True):
            self.rows.setdefault(join(entry.path, name), Row()).mtime = mtime


names = st.sampled_from([b"a", b"b", b"a-", b"\xff"])
int63s = st.integers(0, 2**62)


@st.composite
def entry_lists(draw: st.DrawFn) -> list[Entry]:
    """Give entries of which each is of the top or of a directory that an earlier one named; some come again."""
    known = [b"/"]
    entries: list[Entry] = []
    for _ in range(draw(st.integers(0, 10))):
        path = draw(st.sampled_from(known))
        state = draw(st.sampled_from([State.LISTED, State.LISTED, State.FAILED, State.IGNORED]))
        if state == State.LISTED:
            children = DirectoryColumns.from_rows(draw(st.dictionaries(names, int63s, max_size=3)).items())
            known.extend(join(path, name) for name in children.name_list())
            numbers = draw(st.tuples(int63s, int63s, int63s))
            entry = Entry(
                path, state, Reason.NONE, "", 5, *numbers, draw(st.binary(min_size=16, max_size=16)), children, 7
            )
        else:
            reason = draw(st.sampled_from(Reason))
            detail = draw(st.sampled_from(["", "words"]))
            entry = Entry(path, state, reason, detail, 6, 0, 0, UNKNOWN_MTIME, NO_DIGEST, NO_DIRECTORIES, 8)
        entries.append(entry)
    return entries


@given(entry_lists())
def test_the_index_agrees_with_a_dictionary(entries: list[Entry]) -> None:
    index, model = IndexBuilder(), Model()
    for number, entry in enumerate(entries):
        index.add(entry, 1000 + number)
        model.add(entry, 1000 + number)
    table, offsets, lengths = index.table(no_loader)
    assert table.paths == sorted(model.rows, key=tree_key)
    for row, path in enumerate(table.paths):
        known = model.rows[path]
        expected = known.entry or Entry(
            path, State.UNFILLED, Reason.NEVER_REACHED, "", 0, 0, 0, UNKNOWN_MTIME, NO_DIGEST, NO_DIRECTORIES, 0
        )
        assert (table.state(row), table.reason(row)) == (expected.state, expected.reason)
        assert (table.files[row], table.sizes[row], table.newest[row]) == (
            expected.files,
            expected.size,
            expected.newest,
        )
        assert (table.mtimes[row], table.listed_at[row]) == (known.mtime, expected.listed_at)
        assert table.digest(row) == expected.digest
        assert table.details.get(row, "") == expected.detail
        assert (offsets[row], lengths[row]) == (known.offset, expected.length)
        assert index.state_of(path) == expected.state
    for state in State:
        in_state = sorted(path for path in model.rows if index.state_of(path) == state)
        assert sorted(index.in_state(state)) == in_state
        assert index.count(state) == table.count(state) == len(in_state)
    latest = [row.entry for row in model.rows.values() if row.entry is not None]
    assert index.totals() == (sum(e.files for e in latest), sum(e.size for e in latest))


def test_the_rows_of_an_index_do_not_follow_the_order_of_the_entries() -> None:
    """A table is the same whichever of two directories was listed first."""
    entries = [listed(b"/a", (b"x", 1), files=1), listed(b"/b", (b"y", 2), files=2)]
    tables: list[DirectoryTable] = []
    for order in (entries, entries[::-1]):
        index = IndexBuilder()
        index.add(listed(b"/", (b"a", 3), (b"b", 4)))
        for entry in order:
            index.add(entry)
        tables.append(index.table(no_loader)[0])
    one, other = tables
    assert one.paths == other.paths
    assert (one.states, one.files.tolist(), one.mtimes.tolist()) == (
        other.states,
        other.files.tolist(),
        other.mtimes.tolist(),
    )
