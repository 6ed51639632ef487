from __future__ import annotations

import pytest

from engine.columns import DirectoryColumns
from engine.record import DirectoryRecord, DirectorySummary
from engine.states import Reason, State
from engine.table import DirectoryTable
from engine.tree import DirectoryInfo
from engine.tree.removal import Removed, remove_empty

DAY = 86400
NOW = 1_700_000_000.0
OLD = int(NOW) - 30 * DAY


class Tree(DirectoryInfo):
    __slots__ = ()
    clock = staticmethod(lambda: NOW)


def nothing(_path: str) -> bool:
    return False


def tree(*empty: str, name: str = "/store") -> Tree:
    made = Tree(name)
    made.add_file_list([(f"{name.rstrip('/')}/full/f", 1, OLD)])
    for path in empty:
        made.get_node(path)
        parts = path.split("/")
        for depth in range(len(parts)):
            node = made.get_node("/".join(parts[: depth + 1]))
            assert node is not None
            node.add_files([]).mtime = OLD
    return made


def test_deepest_first_with_those_above_that_become_empty() -> None:
    made = tree("a/b/c", "a/b-d")
    assert remove_empty(made, nothing) == [
        Removed("/store/a/b-d", OLD),
        Removed("/store/a/b/c", OLD),
        Removed("/store/a/b", OLD),
        Removed("/store/a", OLD),
    ]
    assert [child.name for child in made.directories] == ["full"]
    assert remove_empty(made, nothing) == []


@pytest.mark.parametrize("name", ["/store", "store", "/", "", "mc", "/store/mc"])
def test_whatever_the_tree_is_called(name: str) -> None:
    made = tree("a/b", name=name)
    assert len(list(remove_empty(made, nothing))) == 2
    assert made.get_node("a", make_new=False) is None


def test_a_protected_directory_stays_and_so_does_what_it_is_in() -> None:
    made = tree("a/b/c", "a/b/d")
    removed = remove_empty(made, lambda path: path == "/store/a/b/c")
    assert [gone.path for gone in removed] == ["/store/a/b/d"]
    assert made.get_node("a/b/c", make_new=False) is not None


def test_the_root_stays() -> None:
    made = Tree("mc")
    made.add_files([]).mtime = OLD
    assert remove_empty(made, nothing) == []


@pytest.mark.parametrize("mtime", [None, NOW, NOW - DAY / 2, NOW + DAY])
def test_what_may_be_young_stays(mtime: float | None) -> None:
    made = tree("a")
    node = made.get_node("a")
    assert node is not None
    node.mtime = mtime
    assert remove_empty(made, nothing) == []


def test_what_was_not_listed_stays() -> None:
    made = tree("failed", "waiting")
    failed, waiting = made.get_node("failed"), made.get_node("waiting")
    assert failed is not None
    assert waiting is not None
    failed.add_files([("_unlisted_", 0, 0)])
    waiting.files = None
    assert remove_empty(made, nothing) == []


def test_it_takes_them_out_of_a_tree_that_was_opened_on_a_table() -> None:
    def row(path: bytes, state: State, mtime: int = OLD, *inside: bytes) -> DirectorySummary:
        reason = Reason.NONE if state == State.LISTED else Reason.TIMEOUT
        directories = DirectoryColumns.from_rows((name, OLD) for name in inside)
        record = DirectoryRecord(path, state, reason, "", int(NOW), directories=directories)
        return DirectorySummary.of(record, mtime)

    table = DirectoryTable.from_summaries(
        [
            row(b"/store", State.LISTED, OLD, b"empty", b"failed", b"never", b"young"),
            row(b"/store/empty", State.LISTED),
            row(b"/store/empty/below", State.LISTED),
            row(b"/store/failed", State.FAILED),
            row(b"/store/never", State.UNFILLED),
            row(b"/store/young", State.LISTED, int(NOW)),
        ],
        lambda _row: pytest.fail("no file has to be read"),
    )
    made = Tree.from_table(table, "/store")
    assert [gone.path for gone in remove_empty(made, nothing)] == ["/store/empty/below", "/store/empty"]
    assert [child.name for child in made.directories] == ["failed", "never", "young"]
