"""Trees that are opened on a table, and the tables and records that trees give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import paths
from engine.columns import UNKNOWN_MTIME, FileColumns
from engine.record import DirectoryRecord, DirectorySummary
from engine.states import Reason, State
from engine.table import DirectoryTable
from engine.tree import BadPath, DirectoryInfo, NeverFilled

DAY = 86400
NOW = 1_000 * DAY
OLD = NOW - 30 * DAY
YOUNG = NOW - 60


class Tree(DirectoryInfo):
    __slots__ = ()
    clock = staticmethod(lambda: float(NOW))


def refuse(row: int) -> FileColumns:
    raise AssertionError(f"row {row} was read")


Row = tuple[bytes, State, list[tuple[bytes, int, int]], int]


def table(*rows: Row, load: Callable[[int], FileColumns] | None = None) -> DirectoryTable:
    records = [
        (DirectoryRecord(path, state, Reason.NONE, "", NOW, FileColumns.from_rows(files)), mtime)
        for path, state, files, mtime in sorted(rows, key=lambda row: paths.tree_key(row[0]))
    ]
    summaries = [DirectorySummary.of(record, mtime) for record, mtime in records]
    return DirectoryTable.from_summaries(summaries, load or (lambda row: records[row][0].files))


ROWS: tuple[Row, ...] = (
    (b"/store", State.LISTED, [], UNKNOWN_MTIME),
    (b"/store/a", State.LISTED, [(b"1", 10, OLD), (b"2", 20, YOUNG)], OLD),
    (b"/store/a-b", State.FAILED, [], OLD),
    (b"/store/a/empty", State.LISTED, [], OLD),
    (b"/store/a/young", State.LISTED, [], YOUNG),
    (b"/store/z", State.LISTED, [(b"3", 30, OLD)], OLD),
)


def test_counts_come_from_the_table_without_reading_files() -> None:
    tree = Tree.from_table(table(*ROWS, load=refuse))
    for _ in range(2):
        assert tree.get_num_files() == 3
        assert tree.get_num_files(unlisted=True) == 1
        assert tree.get_num_files(place_new=True) == 5
        assert tree.get_directory_size() == 60
        assert tree.count_nodes() == 6
        assert tree.count_nodes(empty=True) == 2
        assert tree.get_unlisted() == ["/store/a-b"]
        assert tree.empty_nodes_list() == ["/store/a/empty"]
        # The second time some of the nodes exist.
        tree.get_node("a/young")


def test_nodes_are_made_when_they_are_asked_for() -> None:
    made = []

    class Counted(Tree):
        __slots__ = ()

        def __init__(self, name: str = "") -> None:
            super().__init__(name)
            made.append(name)

    tree = Counted.from_table(table(*ROWS))
    assert made == ["/store"]
    assert [child.name for child in tree.directories] == ["a", "a-b", "z"]
    assert tree.directories[0] is tree.get_node("a")
    assert made == ["/store", "a", "a-b", "z"]


def test_a_node_knows_what_the_table_says() -> None:
    whole = replace(table(*ROWS), details={4: "no such luck"})
    tree = Tree.from_table(whole)
    a, failed, _ = tree.directories
    assert (a.mtime, a.timestamp, a.state) == (OLD, NOW, State.LISTED)
    assert tree.mtime is None
    assert (failed.state, failed.detail) == (State.FAILED, "no such luck")


def test_files_are_read_on_demand_and_not_kept() -> None:
    read: list[int] = []
    whole = table(*ROWS)

    def load(row: int) -> FileColumns:
        read.append(row)
        return whole.load(row)

    tree = Tree.from_table(replace(whole, load=load))
    a = tree.get_node("a")
    assert a is not None
    for _ in range(2):
        files = a.files
        assert files is not None
        assert [info["name"] for info in files] == ["1", "2"]
    assert read == [1, 1]


def test_a_change_in_memory_is_seen_from_above() -> None:
    tree = Tree.from_table(table(*ROWS))
    tree.add_file_list([("/store/a/9", 5, OLD), ("/store/z/3", 99, OLD), ("/store/new/n", 1, OLD)])
    assert (tree.get_num_files(), tree.get_directory_size(), tree.count_nodes()) == (5, 66, 7)
    tree.remove_node("/store/a/empty")
    assert tree.count_nodes() == 6
    assert Tree.from_table(tree.table()).get_files() == tree.get_files()


def test_only_what_may_be_young_is_read_for_the_hash() -> None:
    whole = table(*ROWS)
    read: list[int] = []

    def load(row: int) -> FileColumns:
        read.append(row)
        return whole.load(row)

    tree = Tree.from_table(replace(whole, load=load))
    tree.setup_hash()
    assert read == [1]
    plain = Tree("/store")
    plain.add_file_list([("/store/a/1", 10, OLD), ("/store/z/3", 30, OLD)])
    empty = plain.get_node("a/empty")
    assert empty is not None
    empty.files, empty.mtime = [], OLD
    plain.setup_hash()
    assert tree.hash == plain.hash


def test_what_was_never_reached_is_unlisted_and_has_no_size() -> None:
    tree = Tree.from_table(table(*ROWS, (b"/store/z/never", State.UNFILLED, [], OLD)))
    for _ in range(2):
        assert tree.get_unlisted() == ["/store/a-b", "/store/z/never"]
        assert tree.get_num_files(unlisted=True) == 2
        assert tree.count_nodes() == 6
        with pytest.raises(NeverFilled, match="/store/z/never"):
            tree.get_directory_size()
        never = tree.get_node("z/never")
        assert never is not None
        assert (never.files, never.reason) == (None, Reason.NEVER_REACHED)
    assert never is not None
    never.get_node("child")
    assert never.is_unlisted
    never.add_files([])
    assert never.state is State.LISTED


def test_a_directory_that_was_never_reached_stays_so_when_it_is_merged() -> None:
    never = Tree.from_table(table((b"/a", State.UNFILLED, [], OLD)), "/a")
    never.name = "a"
    for pair in [never, Tree("a", files=[("f", 1)])], [Tree("a", files=[("f", 1)]), never]:
        master = Tree("/store", directories=pair)
        assert master.get_unlisted() == ["/store/a"]
        assert [(record.path, record.state) for record, _ in master.records()] == [(b"/store/a", State.UNFILLED)]


def test_an_ignored_directory_is_unlisted() -> None:
    tree = Tree.from_table(table(*ROWS, (b"/store/z/ignored", State.IGNORED, [], OLD)))
    assert tree.get_unlisted() == ["/store/a-b", "/store/z/ignored"]


def test_above_several_tops_stands_a_master() -> None:
    tree = Tree.from_table(table(*ROWS[1:]))
    assert (tree.name, tree.files, tree.get_num_files(), tree.count_nodes()) == ("/store", [], 3, 6)
    mine = Tree("/store")
    mine.add_file_list([("/store/elsewhere/a", 1, OLD), ("/store/z/gone", 1, OLD)])
    assert mine.compare(tree) == (["/store/z/gone"], [], 1)


def test_a_directory_that_the_table_goes_over_is_not_counted() -> None:
    tree = Tree.from_table(table(ROWS[0], (b"/store/x/y/deep", State.LISTED, [(b"f", 1, OLD)], OLD)))
    for _ in range(2):
        assert (tree.count_nodes(), tree.get_num_files(place_new=True), tree.get_directory_size()) == (2, 2, 1)
        assert tree.get_files() == ["/store/x/y/deep/f"]
        assert tree.get_node("x/y") is not None


@pytest.mark.parametrize(
    ("name", "root", "files"),
    [
        (None, "/store", ["/store/a/1", "/store/a/2", "/store/z/3"]),
        ("/store", "/store", ["/store/a/1", "/store/a/2", "/store/z/3"]),
        ("/store/a", "/store/a", ["/store/a/1", "/store/a/2"]),
        ("/", "/", ["/store/a/1", "/store/a/2", "/store/z/3"]),
        ("", "", ["store/a/1", "store/a/2", "store/z/3"]),
        ("/other", "/other", []),
    ],
)
def test_a_part_of_a_table_can_be_opened(name: str | None, root: str, files: list[str]) -> None:
    tree = Tree.from_table(table(*ROWS), name)
    assert tree.name == root
    assert tree.get_files() == files
    assert tree.get_num_files() == len(files)


def test_an_empty_table() -> None:
    tree = Tree.from_table(table())
    assert (tree.name, tree.get_files(), tree.directories) == ("/", [], [])


def test_records_are_in_tree_order_with_full_paths() -> None:
    tree = Tree("/store")
    tree.add_file_list([("a/x/f", 1, OLD), ("a-b/f", 2, OLD), ("bad/_unlisted_", 0), ("bad/seen", 1, OLD)])
    node = tree.get_node("a")
    assert node is not None
    node.mtime = OLD + 0.5
    records = list(tree.records())
    assert [(record.path, record.state, mtime) for record, mtime in records] == [
        (b"/store", State.LISTED, UNKNOWN_MTIME),
        (b"/store/a", State.LISTED, OLD),
        (b"/store/a/x", State.LISTED, UNKNOWN_MTIME),
        (b"/store/a-b", State.LISTED, UNKNOWN_MTIME),
        (b"/store/bad", State.FAILED, UNKNOWN_MTIME),
    ]
    root = records[0][0]
    assert (root.listed_at, root.directories.name_list()) == (NOW, [b"a", b"a-b", b"bad"])
    assert root.directories.mtime_list() == [OLD, UNKNOWN_MTIME, UNKNOWN_MTIME]
    assert records[2][0].files.rows() == [(b"f", 1, OLD)]
    assert len(records[4][0].files) == 0


def test_a_table_stays_as_it_was_made() -> None:
    tree = Tree("/store", files=[("a", 1, OLD)])
    made = tree.table()
    tree.add_files([("b", 1, OLD)])
    assert made.load(0).name_list() == [b"a"]


def test_a_table_is_made_without_reading_files_from_the_one_below() -> None:
    first = table(*ROWS, load=refuse)
    again = Tree.from_table(first).table()
    assert (again.paths, again.states, again.digests) == (first.paths, first.states, first.digests)
    assert again.newest.tolist() == first.newest.tolist()
    assert again.mtimes.tolist() == first.mtimes.tolist()


def test_a_root_without_a_name_stands_at_the_top() -> None:
    tree = Tree("", files=[("a", 1, OLD)])
    assert tree.table().paths == [b"/"]
    assert Tree.from_table(tree.table(), "").get_files() == ["a"]


def test_a_root_whose_name_is_no_path_has_no_records() -> None:
    with pytest.raises(BadPath):
        list(Tree("../store", files=[]).records())


NAMES = st.sampled_from(["a", "b", "a-", "a\x01", "\udcff"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
FILES = st.lists(st.tuples(PATHS.map("{}!".format), st.integers(0, 9), st.sampled_from([OLD, YOUNG, None])))


@settings(deadline=None)
@given(FILES, st.sets(PATHS, max_size=2), st.sets(PATHS, max_size=2), st.sampled_from(["/store", "/", "relative"]))
def test_a_tree_comes_back_from_its_table(
    files: list[tuple[str, int, int | None]], empties: set[str], unlisted: set[str], name: str
) -> None:
    tree = Tree(name)
    tree.add_file_list(files)
    for path in empties:
        empty = tree.get_node(path)
        assert empty is not None
        empty.add_files([]).mtime = OLD
    for path in unlisted:
        failed = tree.get_node(path)
        assert failed is not None
        failed.files = [("_unlisted_", 0, 0)]
    for reopened in Tree.from_table(tree.table()), Tree.from_table(tree.table(), name):
        assert reopened.name == name
        for made in False, True:
            if made:
                reopened.setup_hash()
                tree.setup_hash()
                assert reopened.hash == tree.hash
            assert reopened.get_num_files() == tree.get_num_files()
            assert reopened.get_num_files(unlisted=True) == tree.get_num_files(unlisted=True)
            assert reopened.get_num_files(place_new=True) == tree.get_num_files(place_new=True)
            assert reopened.get_directory_size() == tree.get_directory_size()
            assert reopened.count_nodes() == tree.count_nodes()
            assert reopened.count_nodes(empty=True) == tree.count_nodes(empty=True)
            assert reopened.get_unlisted("/p") == tree.get_unlisted("/p")
            assert reopened.empty_nodes_list() == tree.empty_nodes_list()
        assert reopened.get_files() == tree.get_files()
        assert reopened.displays() == tree.displays()
        assert list(reopened.records()) == list(tree.records())
