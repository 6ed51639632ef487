from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.tree import DirectoryInfo

DAY = 86400
NOW = 1_000 * DAY
OLD = NOW - 30 * DAY
YOUNG = NOW - 60


class Tree(DirectoryInfo):
    __slots__ = ()
    clock = staticmethod(lambda: float(NOW))


def store(*files: tuple[object, ...]) -> Tree:
    tree = Tree("/store")
    tree.add_file_list(files)
    return tree


A = ("/store/x/a", 1, OLD)
B = ("/store/x/b", 2, OLD)
C = ("/store/y/z/c", 4, OLD)


def test_it_is_one_way() -> None:
    assert store(A, B, C).compare(store(A, B)) == (["/store/y/z/c"], ["/store/y"], 4)
    assert store(A, B).compare(store(A, B, C)) == ([], [], 0)


def test_without_another_tree_everything_is_extra() -> None:
    assert store(A, C).compare(None) == (["/store/x/a", "/store/y/z/c"], [], 5)


def test_another_size_is_reported_with_the_own_size() -> None:
    assert store(A).compare(store(("/store/x/a", 7, OLD))) == (["/store/x/a"], [], 1)


def test_an_unknown_size_agrees_with_every_size() -> None:
    assert store(A).compare(store(("/store/x/a", None))) == ([], [], 0)
    assert store(("/store/x/a", None)).compare(store(A)) == ([], [], 0)


def test_young_files_are_not_compared() -> None:
    assert store(A, ("/store/x/n", 1, YOUNG)).compare(store(A)) == ([], [], 0)


def test_a_file_that_is_still_being_written_on_the_other_side_is_not_compared() -> None:
    assert store(A).compare(store(("/store/x/a", 0, YOUNG))) == ([], [], 0)


def test_beside_and_below_what_is_only_just_being_filled_nothing_is_compared() -> None:
    new = store(("/store/x/new", 1, YOUNG))
    assert store(A, B, C).compare(new) == ([], [], 0)
    assert store(A, B, C).compare(store(("/store/x/new", 1, YOUNG), ("/store/w/old", 1, OLD))) == (
        ["/store/y/z/c"],
        ["/store/y"],
        4,
    )
    # One file that is old enough, or a directory that is empty and old, shows that it is more than that.
    new.add_file_list([("/store/x/deep/old", 1, OLD)])
    assert store(A, B).compare(new) == (["/store/x/a", "/store/x/b"], [], 3)
    assert store(A).compare(store())[0] == ["/store/x/a"]


def test_what_may_have_come_after_the_other_tree_was_listed_is_not_compared() -> None:
    theirs = store(A, ("/store/x/long ago", 1, 0))
    for _, _, node in theirs.walk(b"/store"):
        node.timestamp = OLD + DAY
    came_later = ("/store/x/later", 1, OLD), ("/store/new/later", 1, OLD + DAY)
    before = ("/store/x/before", 2, OLD - 1), ("/store/old/before", 4, OLD - 1)
    mine = store(A, *came_later, *before)
    for path, mtime in ("empty/later", OLD), ("empty/before", OLD - 1):
        empty = mine.get_node(path)
        assert empty is not None
        empty.files, empty.mtime = [], mtime
    assert mine.compare(theirs) == (["/store/old/before", "/store/x/before"], ["/store/empty", "/store/old"], 6)
    mine.remove_node("/store/empty/before")
    assert mine.compare(theirs)[1] == ["/store/old"]


def test_check_keeps_files_out() -> None:
    asked: list[str] = []

    def check(path: str) -> bool:
        asked.append(path)
        return path.endswith("a")

    assert store(A, B, C).compare(store(C), check=check) == (["/store/x/b"], ["/store/x"], 2)
    assert asked == ["/store/x/a", "/store/x/b"]


def test_path_is_put_before_the_name() -> None:
    mine, theirs = store(A, B).get_node("x"), store(A).get_node("x")
    assert mine is not None
    assert mine.compare(theirs, path="/prefix") == (["/prefix/x/b"], [], 2)


def test_names_of_the_roots_do_not_matter() -> None:
    theirs = store(A)
    theirs.name = "other"
    assert store(A).compare(theirs) == ([], [], 0)


def test_a_wholly_absent_directory_is_named_only_if_it_holds_anything_old() -> None:
    mine = store(A, ("/store/new/deep/n", 1, YOUNG))
    for path, mtime in ("old/empty", OLD), ("young/empty", YOUNG):
        node = mine.get_node(path)
        assert node is not None
        node.files, node.mtime = [], mtime
    assert mine.compare(store(A)) == ([], ["/store/old"], 0)


def test_an_unlisted_directory_here_yields_nothing() -> None:
    mine = store(A, ("/store/x/_unlisted_", 0), ("/store/x/below/d", 1, OLD))
    assert mine.compare(store(C)) == ([], [], 0)
    assert mine.compare(None) == ([], [], 0)


def test_an_unlisted_directory_there_protects_what_is_below_and_beside() -> None:
    mine = store(A, B, ("/store/x/below/deeper/d", 1, OLD), C)
    theirs = store(("/store/x/_unlisted_", 0), A, ("/store/x/below/other", 1, OLD))
    assert mine.compare(theirs) == (["/store/y/z/c"], ["/store/y"], 4)


def test_a_directory_there_that_was_never_filled_protects_its_files() -> None:
    theirs = store(C)
    theirs.get_node("x")
    assert store(A, ("/store/x/below/d", 1, OLD), C).compare(theirs) == ([], [], 0)


def test_a_master_speaks_only_for_the_directories_that_it_was_given() -> None:
    theirs = Tree("/store", directories=[Tree("x", files=[("a", 1, OLD)])])
    assert store(A, B, C).compare(theirs) == (["/store/x/b"], [], 2)
    mine = Tree("/store", directories=[Tree("x", files=[("a", 1, OLD)])])
    assert mine.compare(store(C)) == (["/store/x/a"], ["/store/x"], 1)


@pytest.mark.parametrize("hashed", [False, True])
def test_equal_parts_of_tables_are_not_read(hashed: bool) -> None:
    def refuse(row: int) -> None:
        raise AssertionError(f"row {row} was read")

    trees = []
    for _ in range(2):
        table = store(A, B, C).table()
        object.__setattr__(table, "load", refuse)
        trees.append(Tree.from_table(table))
    if hashed:
        for tree in trees:
            tree.setup_hash()
    assert trees[0].compare(trees[1]) == ([], [], 0)


NAMES = st.sampled_from(["a", "b", "a-", "\udcff"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(tuple)
SIZES = st.integers(0, 2)
TIMES = st.sampled_from([OLD, OLD, OLD, YOUNG])
CONTENTS = st.dictionaries(PATHS, st.tuples(SIZES, TIMES), max_size=12)
DIRECTORIES = st.sets(st.lists(NAMES, max_size=3).map(tuple), max_size=3)


def build(contents: dict[tuple[str, ...], tuple[int, int]], unlisted: Iterable[tuple[str, ...]] = ()) -> Tree:
    """A file name ends in ``!``, so that no file has the name of a directory."""
    tree = Tree("/store")
    tree.add_file_list((f"{'/'.join(path)}!", size, mtime) for path, (size, mtime) in contents.items())
    for path in unlisted:
        node = tree.get_node("/".join(path))
        assert node is not None
        node.add_files([("_unlisted_", 0, 0)])
    return tree


def known_directories(contents: dict[tuple[str, ...], tuple[int, int]]) -> set[tuple[str, ...]]:
    return {path[:length] for path in contents for length in range(len(path))} | {()}


def just_filled(
    contents: dict[tuple[str, ...], tuple[int, int]], unlisted: set[tuple[str, ...]]
) -> set[tuple[str, ...]]:
    """Give the directories in and below which all files are young; those of unlisted ones do not count."""
    seen = {path: mtime for path, (_, mtime) in contents.items() if path[:-1] not in unlisted}
    above = {path[:depth] for path in seen for depth in range(len(path))}
    return {
        top for top in above if all(mtime == YOUNG for path, mtime in seen.items() if path[: len(top)] == top != path)
    }


def path_of(path: tuple[str, ...]) -> str:
    return "/".join(("/store", *path))


@settings(deadline=None)
@given(CONTENTS, CONTENTS, DIRECTORIES, DIRECTORIES, st.booleans(), st.booleans())
def test_compare_agrees_with_sets(
    here: dict[tuple[str, ...], tuple[int, int]],
    there: dict[tuple[str, ...], tuple[int, int]],
    unlisted_here: set[tuple[str, ...]],
    unlisted_there: set[tuple[str, ...]],
    hashed: bool,
    stored: bool,
) -> None:
    mine, theirs = build(here, unlisted_here), build(there, unlisted_there)
    if stored:
        mine, theirs = Tree.from_table(mine.table(), "/store"), Tree.from_table(theirs.table(), "/store")
    if hashed:
        mine.setup_hash()
        theirs.setup_hash()
    files, directories, size = mine.compare(theirs)

    unseen = unlisted_here | unlisted_there | just_filled(there, unlisted_there)
    expected = {}
    for path, (length, mtime) in here.items():
        other = there.get(path)
        agreed = other is not None and (other[0] == length or other[1] == YOUNG)
        protected = any(path[:depth] in unseen for depth in range(len(path)))
        if mtime == OLD and not agreed and not protected:
            expected[path_of(path) + "!"] = length
    assert set(files) == set(expected)
    assert len(files) == len(expected)
    assert size == sum(expected.values())

    held = known_directories(there) | known_directories(dict.fromkeys(unlisted_there, (0, 0))) | unlisted_there
    absent = {
        path[:depth]
        for path, (_, mtime) in here.items()
        for depth in range(1, len(path))
        if mtime == OLD
        and path[:depth] not in held
        and path[: depth - 1] in held
        and not any(path[:above] in unseen for above in range(len(path)))
    }
    assert set(directories) == {path_of(path) for path in absent}
    for finding in [*files, *directories]:
        for directory in unseen:
            assert not f"{finding}/".startswith(f"{path_of(directory)}/")


@settings(deadline=None)
@given(CONTENTS, CONTENTS)
def test_equal_hashes_mean_the_same_comparable_content(
    here: dict[tuple[str, ...], tuple[int, int]], there: dict[tuple[str, ...], tuple[int, int]]
) -> None:
    def comparable(contents: dict[tuple[str, ...], tuple[int, int]]) -> dict[tuple[str, ...], int]:
        return {path: size for path, (size, mtime) in contents.items() if mtime == OLD}

    mine, theirs, again = build(here), build(there), build(dict(reversed(here.items())))
    for tree in mine, theirs, again:
        tree.setup_hash()
    assert mine.hash == again.hash
    assert (mine.hash == theirs.hash) == (comparable(here) == comparable(there))
    assert mine.can_compare == bool(comparable(here))
