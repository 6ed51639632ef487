"""What a tree says of itself in numbers, and what of it is empty. As there, tests are named after the reference."""

from __future__ import annotations

import pytest

from engine.tree import DirectoryInfo, NeverFilled
from tests.engine.tree.small_tree import DAY, NOW, OLD, YOUNG, clock, empty, node, store

__all__ = ["clock"]


class TestGetDirectorySize:
    def test_get_directory_size(self) -> None:
        tree = store()
        assert tree.get_directory_size() == 100
        assert node(tree, "data").get_directory_size() == 60

    def test_unknown_sizes_are_left_out(self) -> None:
        assert store(("a", None), ("b", 5)).get_directory_size() == 5

    def test_an_error_where_never_filled(self) -> None:
        tree = store()
        tree.get_node("data/new")
        assert node(tree, "mc").get_directory_size() == 40
        with pytest.raises(NeverFilled, match="/store/data/new"):
            tree.get_directory_size()
        assert issubclass(NeverFilled, TypeError)


class TestGetNumFiles:
    def test_get_num_files(self) -> None:
        assert store().get_num_files() == 4

    def test_unlisted(self) -> None:
        tree = store(("/store/a/_unlisted_", 0), ("/store/a/b/_unlisted_", 0), ("/store/a/c", 0))
        assert tree.get_num_files(unlisted=True) == 2
        assert tree.get_num_files() == 1

    def test_place_new(self) -> None:
        tree = empty(DirectoryInfo("/store"), "old")
        assert tree.get_num_files(place_new=True) == 0
        tree.mtime = YOUNG
        assert (tree.get_num_files(), tree.get_num_files(place_new=True)) == (0, 1)
        tree.mtime = None
        assert tree.get_num_files(place_new=True) == 1
        tree.mtime, tree.files = OLD, None
        assert (tree.get_num_files(), tree.get_num_files(place_new=True)) == (0, 1)


def test_get_unlisted() -> None:
    tree = store(("/store/a/_unlisted_", 0), ("/store/a/b/_unlisted_", 0), ("/store/c/d", 0))
    assert tree.get_unlisted() == ["/store/a", "/store/a/b"]
    assert node(tree, "a").get_unlisted("/elsewhere") == ["/elsewhere/a", "/elsewhere/a/b"]


class TestCountNodes:
    def test_count_nodes(self) -> None:
        tree = store()
        assert tree.count_nodes() == 7
        tree.get_node("data/never_filled")
        assert tree.count_nodes() == 7

    def test_empty(self) -> None:
        tree = store()
        empty(tree, "empty/a")
        empty(tree, "empty/b", YOUNG)
        tree.add_file_list([("/store/mixed/_unlisted_", 0)])
        assert tree.count_nodes(empty=True) == 3


class TestEmptyNodes:
    def test_empty_nodes_list_is_in_an_order_to_delete(self) -> None:
        tree = store()
        for path in "empty/a", "empty/a-b", "empty/a/c", "empty":
            empty(tree, path)
        listed = tree.empty_nodes_list()
        assert listed == ["/store/empty/a-b", "/store/empty/a/c", "/store/empty/a", "/store/empty"]
        for path in listed:
            tree.remove_node(path)
        assert tree.empty_nodes_list() == []

    def test_empty_nodes_set(self) -> None:
        tree = store()
        empty(tree, "empty")
        assert tree.empty_nodes_set() == {"/store/empty"}

    def test_the_node_itself_may_be_deletable(self) -> None:
        tree = empty(DirectoryInfo("/store"), "a")
        assert tree.empty_nodes_list() == ["a"]

    @pytest.mark.parametrize("mtime", [YOUNG, NOW + DAY, None])
    def test_young_and_ageless_directories_stay_and_those_above(self, mtime: float | None) -> None:
        tree = store()
        empty(tree, "top/a")
        empty(tree, "top/b", mtime)
        node(tree, "top").mtime = OLD
        assert tree.empty_nodes_list() == ["/store/top/a"]

    def test_what_is_above_something_unseen_stays(self) -> None:
        tree = DirectoryInfo("/store")
        for top in "failed", "never":
            empty(tree, top)
        node(tree, "failed").get_node("sub").add_files([("_unlisted_", 0, 0)]).mtime = OLD  # type: ignore[union-attr]
        node(tree, "never").get_node("sub").mtime = OLD  # type: ignore[union-attr]
        assert tree.empty_nodes_list() == []

    def test_nothing_is_deletable_below_an_unlisted_directory(self) -> None:
        tree = store(("/store/failed/_unlisted_", 0))
        for path in "failed/a/b", "failed/a", "failed/c", "after":
            empty(tree, path)
        assert tree.empty_nodes_list() == ["/store/after"]
        assert tree.count_nodes(empty=True) == 1

    def test_nothing_is_deletable_beside_a_file(self) -> None:
        tree = store()
        node(tree, "data/runA").mtime = OLD
        assert tree.empty_nodes_list() == []
