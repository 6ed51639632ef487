"""Each test is named after the entry of the reference that it shows."""

from __future__ import annotations

import pytest

from engine.states import Reason, State
from engine.tree import BadPath, DirectoryInfo, NotEmpty
from tests.engine.tree.small_tree import FILES, NOW, OLD, YOUNG, clock, empty, node, store

__all__ = ["clock"]


class TestDirectoryInfo:
    def test_a_new_one_was_never_filled(self) -> None:
        tree = DirectoryInfo()
        assert (tree.name, tree.directories, tree.files) == ("", [], None)
        assert (tree.mtime, tree.timestamp, tree.hash, tree.can_compare) == (None, NOW, None, False)
        assert (tree.state, tree.reason) == (State.UNFILLED, Reason.NONE)

    def test_files_are_shown_as_dictionaries(self) -> None:
        tree = DirectoryInfo("d", files=[("b", 2, YOUNG), ("a", 1, OLD, "block#1")])
        assert tree.files is not None
        a, b = tree.files
        assert (a["name"], a["size"], a["mtime"], a["block"], a["can_compare"]) == ("a", 1, OLD, "block#1", True)
        assert (b["name"], b["size"], b["mtime"], b["block"], b["can_compare"]) == ("b", 2, YOUNG, "", False)
        assert a["hash"] != b["hash"]

    def test_the_hash_of_a_file_covers_its_name_and_size_only(self) -> None:
        def file_hash(*file: object) -> str:
            files = DirectoryInfo(files=[file]).files
            assert files is not None
            return files[0]["hash"]

        assert file_hash("a", 1, OLD) == file_hash("a", 1, YOUNG)
        assert len({file_hash("a", 1, 0), file_hash("a", 2, 0), file_hash("b", 1, 0)}) == 3

    def test_directories_are_merged_into_a_master(self) -> None:
        mc, data = DirectoryInfo("mc"), DirectoryInfo("data")
        mc.add_file_list([("mc/ttbar/0000/d.root", 40, OLD)])
        data.add_file_list([(path.removeprefix("/store/"), size, mtime) for path, size, mtime in FILES[:3]])
        master = DirectoryInfo("/store", directories=[mc, data])
        assert master.get_files() == store().get_files()
        assert master.files == []
        assert master.count_nodes() == store().count_nodes()

    def test_directories_of_the_same_name_are_merged(self) -> None:
        first, second = DirectoryInfo("mc"), DirectoryInfo("mc")
        first.add_file_list([("a/1", 1), ("a/2", 2)])
        second.add_file_list([("a/2", 9), ("a/3", 3), ("b/4", 4)])
        master = DirectoryInfo("/store", directories=[first, second])
        assert master.get_files() == ["/store/mc/a/1", "/store/mc/a/2", "/store/mc/a/3", "/store/mc/b/4"]
        assert master.get_directory_size() == 10

    def test_merging_with_an_unlisted_directory_leaves_it_unlisted(self) -> None:
        for first, second in ([("a", 1)], [("_unlisted_", 0)]), ([("_unlisted_", 0)], [("a", 1)]):
            both = [DirectoryInfo("mc", files=first), DirectoryInfo("mc", files=second)]
            assert DirectoryInfo("/store", directories=both).get_unlisted() == ["/store/mc"]

    def test_files_and_mtime_can_be_set(self) -> None:
        tree = store()
        run = node(tree, "data/runA")
        run.files, run.mtime = None, 5
        assert (run.files, run.mtime) == (None, 5)
        run.files = node(tree, "data/runB").files
        assert tree.get_files()[0] == "/store/data/runA/c.root"

    def test_directories_can_be_set(self) -> None:
        tree = store()
        tree.directories = [child for child in tree.directories if child.name == "mc"]
        assert tree.get_files() == ["/store/mc/ttbar/0000/d.root"]

    def test_a_subclass_has_nodes_of_its_own_kind(self) -> None:
        class Mine(DirectoryInfo):
            __slots__ = ()

        tree = Mine("/store")
        tree.add_file_list(FILES)
        assert type(tree.get_node("data/runA")) is Mine
        reopened = Mine.from_table(tree.table())
        assert type(reopened.get_node("data/runA")) is Mine

    def test_without_a_clock_nothing_is_too_young(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.undo()
        tree = DirectoryInfo(files=[("a", 1, 2**60)])
        assert tree.files is not None
        assert tree.files[0]["can_compare"]
        assert [record.listed_at for record, _ in tree.records()] == [0]

    def test_a_node_has_no_dictionary_of_attributes(self) -> None:
        with pytest.raises(AttributeError):
            DirectoryInfo().colour = "blue"  # type: ignore[attr-defined]

    def test_bytes_that_are_not_utf8_come_back_the_same(self) -> None:
        path = b"/store/\xff\xe9/\xc3\xa9\x80\xed\xb2\x80".decode("utf-8", "surrogateescape")
        tree = store((path, 1))
        assert tree.get_files() == [path]
        assert [record.path for record, _ in tree.records()] == [b"/store", b"/store/\xff\xe9"]

    def test_files_are_sorted_by_their_bytes(self) -> None:
        names = ["a", "\udcff", "\ue000", "\U0001f600"]
        assert names == sorted(names)
        tree = DirectoryInfo(files=[(name, 1) for name in names])
        assert tree.columns().name_list() == [b"a", b"\xee\x80\x80", b"\xf0\x9f\x98\x80", b"\xff"]


class TestAddFileList:
    def test_add_file_list(self) -> None:
        tree = DirectoryInfo("/store")
        tree.add_file_list([("/store/b/test", 1), ("/store/a/test", 2, 100), ("/store/b/test23", 3)])
        assert tree.get_files() == ["/store/a/test", "/store/b/test", "/store/b/test23"]

    def test_paths_may_be_relative_to_the_node(self) -> None:
        tree = store(("data/a", 1), ("b", 2), ("/store//data///c", 3))
        assert tree.get_files() == ["/store/b", "/store/data/a", "/store/data/c"]

    @pytest.mark.parametrize("order", [1, -1])
    def test_a_relative_path_may_begin_with_the_name_whatever_is_beside_it(self, order: int) -> None:
        tree = DirectoryInfo("mc")
        tree.add_file_list([("x/a", 1), ("mc/b", 2), ("mc/y/c", 3), ("mc/mc/d", 4)][::order])
        assert tree.get_files() == ["mc/b", "mc/mc/d", "mc/x/a", "mc/y/c"]

    @pytest.mark.parametrize("bad", ["/store/a/../x", "/store/a/./x", "/store/a/b\0/x", "/store/a/\ud800/x"])
    def test_a_bad_directory_beside_a_good_one(self, bad: str) -> None:
        with pytest.raises(BadPath):
            DirectoryInfo("/store").add_file_list([("/store/a/good/x", 1), (bad, 1)])

    def test_slashes_may_be_repeated_anywhere(self) -> None:
        tree = DirectoryInfo("/store")
        tree.add_file_list([("/store/a/b/x", 1), ("/store/a//y", 1), ("/store/a/b//z", 1), ("//store/a/c/x", 1)])
        assert tree.get_files() == ["/store/a/y", "/store/a/b/x", "/store/a/b/z", "/store/a/c/x"]

    def test_it_takes_the_hashes_away_of_what_it_changes(self) -> None:
        tree = store(("/store/a/b/x", 1), ("/store/a/c/x", 1))
        tree.setup_hash()
        tree.add_file_list([("/store/a/b/y", 1), ("/store/a/c/y", 1), ("/store/a/d/y", 1)])
        assert [node(tree, path).hash for path in ("", "a", "a/b", "a/c", "a/d")] == [None] * 5

    @pytest.mark.parametrize("name", ["/test", "/", ""])
    def test_any_root_will_do(self, name: str) -> None:
        tree = DirectoryInfo(name)
        tree.add_file_list([("/test/dir/file.txt", 10, 0), ("/test/dir2/file.txt", 11, 0)])
        assert tree.get_files() == ["/test/dir/file.txt", "/test/dir2/file.txt"] or not name
        found = tree.get_file("/test/dir/file.txt")
        assert found is not None
        assert found["size"] == 10

    @pytest.mark.parametrize(
        "path", ["/other/a", "/store2/a", "/a", "/store/", "/store/../a", "/store/./a", "/store/a\0b", "/store/.."]
    )
    def test_paths_that_make_no_sense(self, path: str) -> None:
        with pytest.raises(BadPath):
            DirectoryInfo("/store").add_file_list([(path, 1)])

    def test_the_order_does_not_matter(self) -> None:
        files = [(f"/store/{i % 7}/{i % 3}/{i}", i, OLD) for i in range(200)]
        trees = store(*files), store(*sorted(files)), store(*reversed(files))
        for tree in trees:
            tree.setup_hash()
        assert len({tree.hash for tree in trees}) == 1
        assert trees[0].get_num_files() == 200

    def test_adding_the_same_list_twice_changes_nothing(self) -> None:
        tree = store()
        tree.add_file_list(FILES)
        assert tree.get_num_files() == len(FILES)

    def test_of_files_with_the_same_name_the_first_stays(self) -> None:
        tree = store(("a/x", 1), ("b/y", 2), ("a/x", 3))
        assert tree.get_directory_size() == 3

    def test_an_empty_list_says_that_there_is_nothing(self) -> None:
        tree = DirectoryInfo("/store")
        tree.add_file_list([])
        assert tree.files == []

    def test_tuples_of_different_lengths(self) -> None:
        tree = store(("a", 1), ("b", 2, None), ("c", 3, 1.5, "block"), ("d", "4", 2))
        assert tree.files is not None
        assert [(i["size"], i["mtime"], i["block"]) for i in tree.files] == [
            (1, 0, ""),
            (2, 0, ""),
            (3, 1, "block"),
            (4, 2, ""),
        ]

    def test_the_pseudo_file_is_a_state(self) -> None:
        tree = store(("/store/mc/_unlisted_", 0), ("/store/mc/seen.root", 5))
        mc = node(tree, "mc")
        assert mc.state is State.FAILED
        assert mc.columns().name_list() == [b"seen.root"]
        assert mc.files is not None
        assert [info["name"] for info in mc.files] == ["seen.root", "_unlisted_"]
        assert tree.get_files() == ["/store/mc/seen.root"]


class TestAddFiles:
    def test_add_files(self) -> None:
        tree = DirectoryInfo("d")
        assert tree.add_files([("a", 1, 0)]).add_files([("a", 5, 0), ("b", 2, 0)]) is tree
        assert tree.get_directory_size() == 3

    def test_blocks_are_kept_when_files_are_added(self) -> None:
        tree = DirectoryInfo("d", files=[("b", 1, 0), ("d", 1, 0)]).add_files([("c", 1, 0, "C"), ("a", 1, 0, "A")])
        assert tree.files is not None
        assert [(info["name"], info["block"]) for info in tree.files] == [("a", "A"), ("b", ""), ("c", "C"), ("d", "")]

    def test_no_files_fill_the_directory(self) -> None:
        assert DirectoryInfo("d").add_files([]).files == []

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "\ud800"])
    def test_names_that_make_no_sense(self, name: str) -> None:
        with pytest.raises(BadPath):
            DirectoryInfo("d").add_files([("good", 1, 0), (name, 1, 0)])

    @pytest.mark.parametrize("files", [[("_unlisted_", 0, 0)], [("a", 1, 0), ("_unlisted_", 0, 0)]])
    def test_the_pseudo_file_is_a_state(self, files: list[tuple[str, int, int]]) -> None:
        tree = DirectoryInfo("d", files=files)
        assert tree.get_unlisted() == ["d"]
        assert tree.get_num_files() == len(files) - 1
        tree.add_files([("b", 1, 0)])
        assert tree.state is State.FAILED


class TestGetNode:
    def test_get_node(self) -> None:
        tree = store()
        assert tree.get_node("") is tree
        assert tree.get_node("data/runA") is tree.get_node("data//runA/") is tree.get_node("/store/data/runA")
        assert tree.get_node("data/none", make_new=False) is None

    def test_a_new_node_was_never_filled_but_those_above_it_are(self) -> None:
        tree = DirectoryInfo("/store")
        new = tree.get_node("a/b")
        assert new is not None
        assert new.files is None
        assert node(tree, "a").files == []

    @pytest.mark.parametrize("path", ["/other", "a/../b", "a\0"])
    def test_paths_that_make_no_sense(self, path: str) -> None:
        with pytest.raises(BadPath):
            DirectoryInfo("/store").get_node(path)

    def test_a_wide_directory_is_found_by_name(self) -> None:
        tree = DirectoryInfo("/store")
        made = [tree.get_node(f"{i}") for i in range(100)]
        assert [tree.get_node(f"{i}") for i in range(100)] == made
        assert len(tree.directories) == 100

    def test_a_new_node_takes_the_hashes_above_it_away(self) -> None:
        tree = store()
        tree.setup_hash()
        tree.get_node("data/runA")
        assert tree.hash
        tree.get_node("data/runC")
        assert tree.hash is None


class TestRemoveNode:
    def test_remove_node(self) -> None:
        tree = store()
        empty(tree, "data/empty")
        assert tree.remove_node("/store/data/empty") is tree
        assert tree.get_node("data/empty", make_new=False) is None

    def test_many_can_be_removed_one_by_one(self) -> None:
        tree = DirectoryInfo("/store")
        for number in range(100):
            empty(tree, f"{number * 37 % 100:02d}")
        for path in [path for path in tree.empty_nodes_list() if not path.endswith("7")]:
            tree.remove_node(path)
        assert [child.name for child in tree.subdirectories()] == [f"{tens}7" for tens in range(10)]

    def test_not_empty(self) -> None:
        tree = store()
        tree.get_node("never/filled")
        tree.add_file_list([("/store/unlisted/_unlisted_", 0)])
        for path in "never/filled", "unlisted":
            node(tree, path).mtime = OLD
        empty(tree, "young", YOUNG)
        empty(tree, "ageless", None)
        for name in "data", "data/runA", "never", "never/filled", "unlisted", "young", "ageless":
            with pytest.raises(NotEmpty):
                tree.remove_node(f"/store/{name}")

    def test_directories_can_be_appended_after_a_removal(self) -> None:
        tree = DirectoryInfo("/store")
        for number in range(20):
            empty(tree, f"{number:02d}")
        tree.remove_node("/store/05")
        tree.directories.append(DirectoryInfo("new"))
        assert tree.get_node("05", make_new=False) is None
        assert tree.get_node("new", make_new=False) is tree.directories[-1]

    @pytest.mark.parametrize("path", ["/other/a", "store/data", "/store2", "/store", "/store/none", "/store/none/a"])
    def test_bad_path(self, path: str) -> None:
        with pytest.raises(BadPath):
            store().remove_node(path)


class TestGetFile:
    def test_get_file(self) -> None:
        found = store().get_file("/store/data/runA/b.root")
        assert found is not None
        assert (found["name"], found["size"], found["mtime"]) == ("b.root", 20, OLD)

    @pytest.mark.parametrize("path", ["/store/data/runA/c.root", "/store/x/y", "/store", "/store/data/runA"])
    def test_there_is_no_such_file(self, path: str) -> None:
        tree = store()
        nodes = tree.count_nodes()
        assert tree.get_file(path) is None
        assert tree.count_nodes() == nodes
        assert tree.get_node("x", make_new=False) is None

    def test_the_pseudo_file_can_be_asked_for(self) -> None:
        tree = store(("/store/mc/_unlisted_", 0), ("/store/data/a", 0))
        assert tree.get_file("/store/mc/_unlisted_") is not None
        assert tree.get_file("/store/data/_unlisted_") is None

    @pytest.mark.parametrize("path", ["/other/a", "data/runA/a.root", "/store2/a"])
    def test_bad_path(self, path: str) -> None:
        with pytest.raises(BadPath):
            store().get_file(path)


class TestGetFiles:
    def test_get_files(self) -> None:
        assert store().get_files() == [path for path, _, _ in FILES]

    def test_min_age(self) -> None:
        tree = store(("/store/a", 1, NOW - 100), ("/store/b", 1, NOW - 50), ("/store/c", 1))
        assert tree.get_files(50) == ["/store/a", "/store/c"]
        assert tree.get_files(NOW + 1) == []

    def test_path(self) -> None:
        assert node(store(), "mc").get_files(path="/store") == ["/store/mc/ttbar/0000/d.root"]


class TestSetupHash:
    def test_setup_hash(self) -> None:
        tree, other = store(), store(*reversed(FILES))
        assert tree.hash is None
        tree.setup_hash()
        other.setup_hash()
        assert tree.hash == other.hash
        assert tree.can_compare
        assert [child.name for child in other.directories] == ["data", "mc"]

    def test_young_items_are_left_out(self) -> None:
        tree, plain = store(), store()
        tree.add_file_list([("/store/data/runA/new.root", 1, YOUNG), ("/store/new/dir/new.root", 1, YOUNG)])
        empty(tree, "data/empty", YOUNG)
        for each in tree, plain:
            each.setup_hash()
        assert tree.hash == plain.hash
        assert not node(tree, "new").can_compare

    @pytest.mark.parametrize(
        "files",
        [
            [("a/f", 1), ("c/f", 2)],
            [("a/f", 2), ("b/f", 1)],
            [("a/f", 1), ("b/f", 1)],
            [("a/f", 1), ("a/b/f", 2)],
            [("a/f", 1), ("bf", 2)],
            [("a/f", 1)],
        ],
    )
    def test_the_place_of_every_file_is_part_of_it(self, files: list[tuple[str, int]]) -> None:
        tree, other = store(("a/f", 1), ("b/f", 2)), store(*files)
        for each in tree, other:
            each.setup_hash()
        assert tree.hash != other.hash

    def test_mtimes_are_not_part_of_it(self) -> None:
        tree, other = store(("a", 1, 5)), store(("a", 1, 6))
        for each in tree, other:
            each.setup_hash()
        assert tree.hash == other.hash

    def test_an_old_empty_directory_counts(self) -> None:
        tree, plain = store(), store()
        empty(tree, "data/empty")
        for each in tree, plain:
            each.setup_hash()
        assert tree.hash != plain.hash

    def test_a_change_shows_after_the_next_call(self) -> None:
        tree = store()
        tree.setup_hash()
        before = tree.hash
        node(tree, "mc/ttbar/0000").add_files([("e.root", 1, OLD)])
        tree.setup_hash()
        assert tree.hash != before

    def test_ignore_age_is_in_days(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(DirectoryInfo, "ignore_age", 31)
        tree = store()
        tree.setup_hash()
        assert not tree.can_compare


def test_display(capsys: pytest.CaptureFixture[str]) -> None:
    tree = store()
    tree.display()
    assert capsys.readouterr().out == tree.displays() + "\n"


def test_displays() -> None:
    tree = store(("/store/mc/a\nb", 5, OLD), ("/store/bad/_unlisted_", 0))
    tree.get_node("never")
    tree.setup_hash()
    lines = tree.displays().splitlines()
    assert [line.split("  ")[:2] for line in lines if not line.startswith(" ")] == [
        ["/store", "[listed]"],
        ["/store/bad", "[failed: partial answer]"],
        ["/store/mc", "[listed]"],
        ["/store/never", "[unfilled]"],
    ]
    assert f"  a\\nb  5 bytes  mtime {OLD}" in lines
    assert node(tree, "mc").displays("/elsewhere/mc").startswith("/elsewhere/mc  [listed]")


class TestListdir:
    def test_listdir(self, capsys: pytest.CaptureFixture[str]) -> None:
        tree = store()
        assert tree.listdir() is tree
        printed = capsys.readouterr().out
        assert "  0: data" in printed
        assert "  1: mc" in printed
        assert tree.listdir(0, 1) is tree.get_node("data/runB")
        assert "c.root  30 bytes" in capsys.readouterr().out

    def test_printing(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert store().listdir(1, printing=False).name == "mc"
        assert capsys.readouterr().out == ""

    def test_there_are_not_so_many(self) -> None:
        with pytest.raises(IndexError):
            store().listdir(2)


def test_a_very_deep_tree() -> None:
    depth = 2000
    path = "/".join(["d"] * depth)
    tree, other = DirectoryInfo("/store"), DirectoryInfo("/store")
    tree.add_file_list([(f"{path}/f", 1, OLD)])
    empty(tree, f"{path}/e")
    other.add_file_list([])
    for each in tree, other:
        each.setup_hash()
    assert tree.compare(other) == ([f"/store/{path}/f"], ["/store/d"], 1)
    assert tree.compare(tree) == ([], [], 0)
    assert tree.count_nodes() == depth + 2
    assert tree.get_directory_size() == tree.get_num_files() == len(tree.get_files()) == 1
    assert tree.get_unlisted() == []
    assert tree.empty_nodes_list() == [f"/store/{path}/e"]
    assert len(tree.displays().splitlines()) == depth + 3
    assert DirectoryInfo("/", directories=[tree]).get_num_files() == 1
    reopened = DirectoryInfo.from_table(tree.table())
    reopened.setup_hash()
    assert reopened.hash == tree.hash
