from __future__ import annotations

import pytest

from engine.states import Reason, State
from engine.tree import BadPath, DirectoryInfo
from engine.tree.answer import Answer, unlisted
from engine.tree.growing import GrowingTree, first_directory


def test_where_a_listing_starts() -> None:
    assert first_directory("mc") == first_directory("/mc/") == ("mc", "")
    assert first_directory("mc/a//b") == ("mc", "a/b")


@pytest.mark.parametrize("directory", ["", "/", "..", "mc/../data", "a\0b"])
def test_where_no_listing_can_start(directory: str) -> None:
    with pytest.raises(BadPath):
        first_directory(directory)


def test_directories_are_never_filled_until_their_listing_comes() -> None:
    growing = GrowingTree(DirectoryInfo, "mc")
    assert (growing.tree.files, growing.is_whole) == (None, False)
    growing.take("", Answer([("a", 5)], [("f", 1, 2)]))
    node = growing.tree.get_node("a")
    assert node is not None
    assert (node.files, node.mtime) == (None, 5)
    assert growing.tree.empty_nodes_list() == []
    assert not growing.is_whole
    growing.take("a", Answer([], []))
    assert growing.is_whole
    assert node.files == []
    assert growing.tree.empty_nodes_list() == ["mc/a"]


def test_above_the_start_nothing_is_said_of_what_may_be_beside() -> None:
    growing = GrowingTree(DirectoryInfo, "mc", "a/b")
    growing.take("a/b", Answer([], [("f", 1, 2)]))
    inventory = DirectoryInfo("mc", files=[("beside", 1, 0)])
    inventory.add_file_list([("mc/a/beside", 1), ("mc/a/b/gone", 1), ("mc/other/f", 1)])
    assert growing.tree.get_files() == ["mc/a/b/f"]
    assert inventory.compare(growing.tree)[0] == ["mc/a/b/gone"]


def test_an_unlisted_directory_says_why_and_what_it_named_is_waited_for() -> None:
    growing = GrowingTree(DirectoryInfo, "mc")
    growing.take("", Answer([("a", 5)], [("f", 1, 2), ("_unlisted_", 0, 0)], "the door is shut"))
    growing.take("a", unlisted("so is this"))
    assert growing.tree.get_unlisted() == ["mc", "mc/a"]
    assert (growing.tree.reason, growing.tree.detail) == (Reason.SERVER, "the door is shut")
    assert growing.tree.get_files() == ["mc/f"]


def test_too_deep_a_directory_is_unlisted_and_not_waited_for() -> None:
    growing = GrowingTree(DirectoryInfo, "mc", max_depth=1)
    growing.take("", Answer([("a", 5)], []))
    growing.take("a", Answer([("b", 5)], []))
    assert growing.is_whole
    node = growing.tree.get_node("a/b")
    assert node is not None
    assert (node.state, node.reason) == (State.FAILED, Reason.DEPTH)
    assert growing.tree.get_unlisted() == ["mc/a/b"]


def test_an_answer_that_nobody_waits_for_is_passed_over() -> None:
    growing = GrowingTree(DirectoryInfo, "mc")
    growing.take("", Answer([], [("f", 1, 2)]))
    growing.take("", Answer([("late", 1)], []))
    growing.take("elsewhere", Answer([("late", 1)], []))
    assert growing.tree.count_nodes() == 1
    assert growing.is_whole
