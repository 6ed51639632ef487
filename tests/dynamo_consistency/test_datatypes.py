"""Each test is named after the entry of the reference that it shows; the tree itself is shown in tests/engine/tree."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dynamo_consistency import config, datatypes
from dynamo_consistency.datatypes import BadPath, DirectoryInfo, NotEmpty
from engine import tree as engine_tree
from storage.runs.reports import ReportError
from storage.snapshot import SnapshotError

DAY = 86400
OLD = 1_700_000_000


def configure(**keys: Any) -> None:
    Path("consistency_config.json").write_text(json.dumps(keys))


def store(*files: tuple[Any, ...]) -> DirectoryInfo:
    tree = DirectoryInfo("/store")
    tree.add_file_list(files)
    return tree


A = ("/store/mc/a.root", 1, OLD)
B = ("/store/mc/b.root", 20, OLD)
C = ("/store/data/c.root", 300, OLD)


class TestDirectoryInfo:
    def test_every_node_is_one(self) -> None:
        tree = store(A, C)
        node = tree.get_node("mc")
        assert type(node) is DirectoryInfo
        assert {type(child) for child in tree.directories} == {DirectoryInfo}
        assert isinstance(tree, engine_tree.DirectoryInfo)

    def test_it_knows_the_time(self) -> None:
        before = time.time()
        assert before <= DirectoryInfo().timestamp <= time.time()

    def test_the_age_comes_from_the_configuration(self) -> None:
        tree = store(("/store/mc/young", 1, time.time() - 3 * DAY))
        assert tree.compare(None)[0] == ["/store/mc/young"]
        configure(IgnoreAge=7)
        assert tree.compare(None)[0] == []
        assert DirectoryInfo.ignore_age == 7

    def test_the_age_can_be_set_by_hand(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(DirectoryInfo, "ignore_age", 0)
        config.LOCATION = "nowhere.json"
        assert store(("/store/mc/young", 1, time.time() - 60)).compare(None)[0] == ["/store/mc/young"]

    def test_a_tree_of_a_site_has_the_age_of_the_site(self) -> None:
        configure(Sites={"T2_A": {"IgnoreAge": 14}})
        tree = datatypes.of_site("T2_A")("/store")
        tree.add_file_list([("/store/mc/young", 1, time.time() - 3 * DAY)])
        assert isinstance(tree, DirectoryInfo)
        assert (tree.ignore_age, DirectoryInfo.ignore_age) == (14, 1)
        assert tree.compare(None)[0] == []
        tree.save("saved")
        assert datatypes.get_info("saved").compare(None)[0] == []


class TestBadPath:
    def test_it_is_raised_for_another_tree(self) -> None:
        with pytest.raises(BadPath):
            store(A).get_file("/other/mc/a.root")


class TestNotEmpty:
    def test_it_is_raised_for_a_directory_with_files(self) -> None:
        with pytest.raises(NotEmpty):
            store(A).remove_node("/store/mc")


class TestSave:
    def test_the_file_can_be_opened_again(self, tmp_path: Path) -> None:
        tree = store(A, B, C, ("/store/bad/_unlisted_", 0), ("/store/mc/\udcffname\n", 5, OLD, "block#1"))
        empty = tree.get_node("mc/empty")
        assert empty is not None
        empty.files, empty.mtime = [], OLD
        tree.mtime = OLD
        tree.setup_hash()
        file_name = str(tmp_path / "saved.tree")
        tree.save(file_name)
        again = datatypes.get_info(file_name)
        again.setup_hash()
        assert again.displays() == tree.displays()
        assert again.hash == tree.hash
        assert again.get_file("/store/mc/\udcffname\n") == tree.get_file("/store/mc/\udcffname\n")
        assert again.get_unlisted() == ["/store/bad"]
        assert again.empty_nodes_list() == ["/store/mc/empty"]
        assert (again.mtime, int(tree.timestamp)) == (OLD, again.timestamp)

    def test_a_tree_can_be_saved_over_the_file_that_it_is_read_from(self) -> None:
        store(A, B).save("file")
        tree = datatypes.get_info("file")
        tree.add_file_list([C])
        tree.save("file")
        assert datatypes.get_info("file").get_files() == [C[0], A[0], B[0]]
        assert tree.get_files() == [C[0], A[0], B[0]]

    @pytest.mark.parametrize("name", ["", "/", "relative", "/store/", "/\udcff"])
    def test_the_name_is_kept(self, name: str) -> None:
        tree = DirectoryInfo(name, files=[("f", 1, OLD)])
        tree.save("file")
        again = datatypes.get_info("file")
        assert again.name == name
        assert again.get_files() == tree.get_files()

    def test_a_master_stays_one(self) -> None:
        master = DirectoryInfo("/store", directories=[DirectoryInfo("mc", files=[("a.root", 1, OLD)])])
        master.save("file")
        assert store(A, B, C).compare(datatypes.get_info("file"))[0] == [B[0]]

    def test_nothing_is_left_of_one_that_fails(self, tmp_path: Path) -> None:
        with pytest.raises(BadPath):
            DirectoryInfo("../store", files=[]).save("file")
        with pytest.raises(ValueError, match="unfinished"):
            store(A).save("file.part")
        with pytest.raises(FileNotFoundError):
            store(A).save("no/such/directory/file")
        assert list(tmp_path.iterdir()) == []


class TestGetInfo:
    def test_files_are_read_when_they_are_asked_for(self) -> None:
        store(A, B, C).save("file")
        content = bytearray(Path("file").read_bytes())
        content[content.index(b"a.root")] ^= 1
        Path("file").write_bytes(content)
        tree = datatypes.get_info("file")
        assert (tree.get_num_files(), tree.get_directory_size()) == (3, 321)
        data = tree.get_node("data")
        assert data is not None
        assert data.get_files() == ["data/c.root"]
        with pytest.raises(SnapshotError, match="damaged"):
            tree.get_files()

    def test_a_file_that_is_something_else(self) -> None:
        Path("file").write_text("a.root\n")
        with pytest.raises(SnapshotError, match="not a snapshot"):
            datatypes.get_info("file")

    def test_a_file_that_is_not_there(self) -> None:
        with pytest.raises(FileNotFoundError):
            datatypes.get_info("file")


class TestCompare:
    def test_it_gives_missing_and_orphan_files_and_their_sizes(self) -> None:
        found = datatypes.compare(store(A, B), store(A, C))
        assert isinstance(found, tuple)
        assert (found.missing_size, found.orphan_size) == (20, 300)
        missing, orphan = found
        assert (missing, orphan) == ([B[0]], [C[0]])
        again = pickle.loads(pickle.dumps(found))
        assert (again, again.missing_size, again.orphan_size) == (found, 20, 300)

    def test_the_lists_are_written(self, tmp_path: Path) -> None:
        lost = ("/store/mc/with blank\nand \udcff.root", 1, OLD)
        datatypes.compare(store(A, lost), store(A, C), str(tmp_path / "results"))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["results_missing.txt", "results_orphan.txt"]
        assert (tmp_path / "results_missing.txt").read_text() == "/store/mc/with blank\\nand \\xff.root\n"
        assert (tmp_path / "results_orphan.txt").read_text() == f"{C[0]}\n"

    def test_without_a_base_nothing_is_written(self, tmp_path: Path) -> None:
        datatypes.compare(store(A), store(B))
        assert list(tmp_path.iterdir()) == []

    def test_an_empty_base_is_none(self, tmp_path: Path) -> None:
        for base in (None, ""):
            assert datatypes.compare(store(A), store(B), base) == ([A[0]], [B[0]])
        assert list(tmp_path.iterdir()) == []

    def test_a_list_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "results_orphan.txt").mkdir()
        with pytest.raises(ReportError, match=r"results_orphan\.txt"):
            datatypes.compare(store(A), store(B), "results")
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

    @pytest.mark.parametrize("protects", [lambda name: name == B[0], lambda name: True])
    def test_what_a_check_protects_is_left_out(self, protects: Callable[[str], bool]) -> None:
        found = datatypes.compare(store(A, B), store(A, C), missing_check=protects)
        assert (found.missing_size, found.orphan_size) == (0, 300)
        assert found == ([], [C[0]])
        assert datatypes.compare(store(A, C), store(A, B), orphan_check=protects) == ([C[0]], [])

    def test_young_files_are_not_compared(self) -> None:
        young = ("/store/mc/young.root", 1, time.time())
        assert datatypes.compare(store(A), store(A, young)) == ([], [])
        assert datatypes.compare(store(A, young), store(A)) == ([], [])

    def test_what_came_while_the_site_was_listed_is_no_orphan(self) -> None:
        inventory, listing = store(A), store(A, ("/store/mc/written.root", 1, OLD), ("/store/new/written.root", 1, OLD))
        for _, _, node in inventory.walk(b"/store"):
            node.timestamp = OLD
        assert datatypes.compare(inventory, listing) == ([], [])

    def test_beside_and_below_an_unlisted_directory_nothing_is_missing(self) -> None:
        listing = store(("/store/mc/_unlisted_", 0), C)
        assert datatypes.compare(store(A, B, C), listing) == ([], [])
