"""Each test is named after the entry of the reference that it shows."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dynamo_consistency import config, create, datatypes, messaging, summary
from dynamo_consistency.create import ListingThread, create_dirinfo
from engine.states import State

OLD = 1_000_000_000


def ls(path: str) -> tuple[bool, list[Any], list[Any]]:
    """List a directory of this machine, as a filler does."""
    directories, files = [], []
    for entry in os.scandir(path):
        status = entry.stat()
        if entry.is_dir():
            directories.append((entry.name, status.st_mtime))
        else:
            files.append((entry.name, status.st_size, status.st_mtime))
    return True, directories, files


def put(*names: str) -> None:
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * 20)
        os.utime(path, (OLD, OLD))


@pytest.fixture
def mc() -> None:
    put("mc/ttThings/0000/qwert.root", "mc/ttThings/0001/zxcvb.root", "mc/top.root")


@pytest.mark.usefixtures("mc")
class TestCreateDirinfo:
    def test_a_function_fills_the_tree(self) -> None:
        tree = create_dirinfo("", "mc", ls)
        assert type(tree) is datatypes.DirectoryInfo
        assert tree.name == "mc"
        assert tree.get_files() == ["mc/top.root", "mc/ttThings/0000/qwert.root", "mc/ttThings/0001/zxcvb.root"]
        assert tree.count_nodes() == 4
        assert tree.get_unlisted() == []

    @pytest.mark.parametrize("slash", ["", "/"])
    def test_the_filler_is_asked_for_location_and_name(self, tmp_path: Path, slash: str) -> None:
        asked: list[str] = []

        def listed(path: str) -> Any:
            asked.append(path)
            return ls(path)

        create_dirinfo(f"{tmp_path}{slash}", "mc", listed)
        below = ("mc", "mc/ttThings", "mc/ttThings/0000", "mc/ttThings/0001")
        assert sorted(asked) == [f"{tmp_path}/{name}" for name in below]

    def test_trees_of_several_directories_make_one(self) -> None:
        put("data/run/a.root")
        listing = datatypes.DirectoryInfo("/store", directories=[create_dirinfo("", top, ls) for top in ("mc", "data")])
        inventory = datatypes.DirectoryInfo("/store")
        inventory.add_file_list([(name, 20) for name in listing.get_files()])
        assert datatypes.compare(inventory, listing) == ([], [])
        listing.setup_hash()
        inventory.setup_hash()
        assert listing.hash == inventory.hash

    def test_each_of_object_params_makes_a_lister_of_its_own(self) -> None:
        made: list[tuple[str, int]] = []
        threads: dict[int, set[str]] = {}

        class Lister:
            def __init__(self, site: str, number: int) -> None:
                made.append((site, number))
                self.number = number

            def list(self, path: str) -> Any:
                threads.setdefault(self.number, set()).add(threading.current_thread().name)
                time.sleep(0.01)
                return ls(path)

        tree = create_dirinfo("", "mc", Lister, [("T2_A", 0), ("T2_A", 1), ("T2_A", 2)])
        assert made == [("T2_A", 0), ("T2_A", 1), ("T2_A", 2)]
        assert tree.get_num_files() == 3
        assert all(names == {f"ListingThread--{number}"} for number, names in threads.items())

    def test_parallel_listers_see_each_directory_once(self) -> None:
        asked: list[str] = []

        def wide(path: str) -> Any:
            asked.append(path)
            return True, [] if path.count("/") > 3 else [(f"{i}", 1) for i in range(6)], [("f", 1, 1)]

        class Lister:
            list = staticmethod(wide)

        tree = create_dirinfo("/store", "mc", Lister, [()] * 8)
        assert len(asked) == len(set(asked)) == tree.count_nodes() == tree.get_num_files() == 1 + 6 + 36

    def test_numthreads_of_the_configuration_call_a_function(self) -> None:
        Path("consistency_config.json").write_text(json.dumps({"NumThreads": 3}))
        names: set[str] = set()

        def listed(path: str) -> Any:
            names.add(threading.current_thread().name)
            time.sleep(0.05)
            return ls(path)

        create_dirinfo("", "mc", listed)
        assert len(names) > 1
        assert names <= {f"ListingThread--{number}" for number in range(3)}

    def test_the_callback_is_called_with_the_main_tree(self) -> None:
        trees: list[datatypes.DirectoryInfo] = []
        nodes: list[int] = []

        def slow(path: str) -> Any:
            time.sleep(0.15)
            return ls(path)

        def callback(tree: datatypes.DirectoryInfo) -> None:
            trees.append(tree)
            nodes.append(tree.count_nodes())

        tree = create_dirinfo("", "mc", slow, callback=callback)
        assert all(seen is tree for seen in trees)
        assert nodes == sorted(nodes)
        assert nodes[0] < nodes[-1] == 4

    def test_what_the_callback_removes_stays_removed(self) -> None:
        os.makedirs("mc/empty")
        os.utime("mc/empty", (OLD, OLD))

        def callback(tree: datatypes.DirectoryInfo) -> None:
            for path in tree.empty_nodes_list():
                tree.remove_node(path)

        assert create_dirinfo("", "mc", ls).get_node("empty", make_new=False) is not None
        assert create_dirinfo("", "mc", ls, callback=callback).get_node("empty", make_new=False) is None

    def test_a_directory_that_is_not_listed_completely_is_unlisted(self, caplog: pytest.LogCaptureFixture) -> None:
        def partly(path: str) -> Any:
            if path == "mc/ttThings":
                return False, [("0001", OLD)], [("seen.root", 1, OLD)]
            return ls(path)

        tree = create_dirinfo("", "mc", partly)
        assert tree.get_unlisted() == ["mc/ttThings"]
        assert tree.get_num_files(unlisted=True) == 1
        assert tree.get_files() == ["mc/top.root", "mc/ttThings/seen.root", "mc/ttThings/0001/zxcvb.root"]
        assert "mc/ttThings is not listed" in caplog.text

    @pytest.mark.parametrize("answer", [None, (True, [("..", 1)], []), (True, [], [("a/b", 1, 1)]), 7, "abc"])
    def test_so_is_one_of_which_nonsense_is_said(self, answer: Any) -> None:
        tree = create_dirinfo("", "mc", lambda path: answer if path == "mc/ttThings" else ls(path))
        assert tree.get_unlisted() == ["mc/ttThings"]
        assert tree.get_files() == ["mc/top.root"]

    def test_so_is_one_whose_filler_raises(self, caplog: pytest.LogCaptureFixture) -> None:
        tree = create_dirinfo("", "mc", lambda path: ls(path + "/none") if path.endswith("0001") else ls(path))
        assert tree.get_unlisted() == ["mc/ttThings/0001"]
        node = tree.get_node("ttThings/0001")
        assert node is not None
        assert node.state == State.FAILED
        assert "FileNotFoundError" in node.detail
        assert "mc/ttThings/0001 is not listed: FileNotFoundError" in caplog.text

    def test_nothing_that_is_there_is_no_directory(self) -> None:
        tree = create_dirinfo("", "nowhere", ls)
        assert tree.get_unlisted() == ["nowhere"]
        assert tree.get_files() == []

    def test_the_pseudo_file_of_a_filler_is_understood(self) -> None:
        tree = create_dirinfo("", "mc", lambda path: (True, [], [("_unlisted_", 0, 0), ("a", 1, 1)]))
        assert (tree.get_unlisted(), tree.get_files()) == (["mc"], ["mc/a"])

    def test_names_come_as_they_are(self) -> None:
        odd = ["with blank", "new\nline", "\N{SNOWMAN}", b"\xff\xfe".decode("utf-8", "surrogateescape"), "%2f", "-x"]
        put(*[f"odd/{name}/{name}.root" for name in odd])
        assert sorted(create_dirinfo("", "odd", ls).get_files()) == sorted(f"odd/{n}/{n}.root" for n in odd)

    def test_a_directory_that_is_named_twice_is_listed_once(self) -> None:
        asked: list[str] = []

        def twice(path: str) -> Any:
            asked.append(path)
            return True, [("a", 1), ("a", 1)] if path == "mc" else [], []

        assert create_dirinfo("", "mc", twice).count_nodes() == 2
        assert asked == ["mc", "mc/a"]

    def test_a_deep_tree(self) -> None:
        tree = create_dirinfo("", "d", lambda path: (True, [("d", 1)] if path.count("/") < 3000 else [], [("f", 1, 1)]))
        assert tree.count_nodes() == tree.get_num_files() == 3001

    def test_a_lister_that_goes_round_in_circles_ends_at_maxdepth(self) -> None:
        Path("consistency_config.json").write_text(json.dumps({"MaxDepth": 5}))
        tree = create_dirinfo("", "d", lambda path: (True, [("d", 1)], []))
        assert tree.get_unlisted() == ["d/d/d/d/d/d/d"]

    def test_a_directory_inside_the_first_one(self) -> None:
        tree = create_dirinfo("", "mc/ttThings/0000", ls)
        assert (tree.name, tree.get_files()) == ("mc", ["mc/ttThings/0000/qwert.root"])

    @pytest.mark.parametrize("name", ["", "..", "mc/.."])
    def test_what_can_be_no_directory(self, name: str) -> None:
        with pytest.raises(datatypes.BadPath):
            create_dirinfo("/store", name, ls)

    def test_nobody_to_list(self) -> None:
        with pytest.raises(ValueError, match="object_params is empty"):
            create_dirinfo("", "mc", ls, [])

    def test_what_a_constructor_raises(self) -> None:
        def refuse(_door: str) -> Any:
            raise ConnectionError("no door")

        with pytest.raises(ConnectionError, match="no door"):
            create_dirinfo("", "mc", refuse, [("one",)])

    def test_listings_at_the_same_time_do_not_mix(self) -> None:
        trees: dict[str, datatypes.DirectoryInfo] = {}

        def run(top: str) -> None:
            def listed(path: str) -> Any:
                time.sleep(0.001)
                return True, [(f"{top}{i}", 1) for i in range(5)] if path.count("/") < 3 else [], []

            trees[top] = create_dirinfo("", top, listed)

        threads = [threading.Thread(target=run, args=(top,)) for top in ("a", "b", "c")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {top: tree.count_nodes() for top, tree in trees.items()} == {"a": 156, "b": 156, "c": 156}


class TestKilled:
    @pytest.fixture(autouse=True)
    def running(self) -> None:
        Path("consistency_config.json").write_text(json.dumps({"Sites": {"T2_A": {"Doors": ["file:///"]}}}))
        config.SITE = "T2_A"
        summary.running("T2_A")

    @pytest.mark.usefixtures("mc")
    def test_a_running_site_is_listed(self) -> None:
        assert create_dirinfo("", "mc", ls).get_num_files() == 3

    @pytest.mark.usefixtures("mc")
    @pytest.mark.parametrize("status", [summary.HALT, summary.DISABLED])
    def test_killed(self, status: int) -> None:
        summary.set_status("T2_A", status)
        with pytest.raises(messaging.Killed, match="T2_A"):
            create_dirinfo("", "mc", ls)

    def test_a_filler_that_hangs_does_not_hold_it_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(create, "_CHECK_EVERY", 0)
        asked, release = threading.Event(), threading.Event()

        def hang(_path: str) -> Any:
            asked.set()
            release.wait()
            return True, [], []

        def stop() -> None:
            asked.wait()
            summary.set_status("T2_A", summary.HALT)

        stopping = threading.Thread(target=stop)
        stopping.start()
        with pytest.raises(messaging.Killed):
            create_dirinfo("", "mc", hang)
        stopping.join()
        release.set()


class TestListingThread:
    @pytest.fixture(autouse=True)
    def cleared(self) -> Iterator[None]:
        yield
        while not ListingThread.out_queue.empty():
            ListingThread.out_queue.get()

    def test_its_number_names_it(self) -> None:
        thread = ListingThread(7, None, None, ls)
        assert (thread.name, thread.log.name, thread.number) == ("ListingThread--7", "ListingThread--7", 7)

    def test_put_first_dir(self) -> None:
        assert ListingThread.put_first_dir("/store", "mc/a") == "mc"
        assert ListingThread.put_first_dir("/store", "data") == "data"
        assert [ListingThread._pending.pop(), ListingThread._pending.pop()] == [("/store/data", ""), ("/store/mc", "a")]

    @pytest.mark.usefixtures("mc")
    def test_run(self) -> None:
        master, recv = multiprocessing.Pipe()
        send: multiprocessing.Queue[tuple[str, float]] = multiprocessing.Queue()
        assert ListingThread.put_first_dir("", "mc") == "mc"
        thread = ListingThread(number=0, recv=recv, send=send, filler=ls)
        thread.start()
        words = [send.get()[0] for _ in range(5)]
        assert words == ["O", "O", "O", "O", "A"]
        listed = {path: (dict(directories), files) for path, directories, files, _ in self.outputs()}
        assert sorted(listed) == ["", "ttThings", "ttThings/0000", "ttThings/0001"]
        assert sorted(listed["ttThings"][0]) == ["0000", "0001"]
        assert listed["ttThings/0000"][1] == [("qwert.root", 20, OLD)]
        master.send("Work")
        assert send.get() == ("A", 0)
        master.send("Close")
        thread.join()
        send.close()
        send.join_thread()

    def test_out_queue_is_shared_by_all_threads(self) -> None:
        threads = [ListingThread(number, None, None, ls) for number in range(2)]
        assert {id(thread.out_queue) for thread in threads} == {id(ListingThread.out_queue)}
        assert ListingThread.out_queue.empty()

    def test_a_filler_that_fails_leaves_the_mark(self) -> None:
        master, recv = multiprocessing.Pipe()
        send: multiprocessing.Queue[tuple[str, float]] = multiprocessing.Queue()
        ListingThread.put_first_dir("", "nowhere")
        thread = ListingThread(0, recv, send, ls)
        thread.start()
        master.close()
        thread.join()
        ((path, directories, files, problem),) = self.outputs()
        assert (path, directories, files) == ("", [], [("_unlisted_", 0, 0)])
        assert problem.startswith("FileNotFoundError")
        send.close()
        send.join_thread()

    @staticmethod
    def outputs() -> list[Any]:
        queue, found = ListingThread.out_queue, []
        while not queue.empty():
            found.append(queue.get())
        return found
