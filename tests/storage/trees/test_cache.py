from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.states import State
from engine.tree import DirectoryInfo
from storage.config.site import SiteConfig
from storage.trees.cache import TreeCache, age_of

OLD = 1_700_000_000


class Mine(DirectoryInfo):
    __slots__ = ()
    site = "T2_A"


def kind(_site: str) -> type[DirectoryInfo]:
    return Mine


def tree(size: int = 1) -> DirectoryInfo:
    made = DirectoryInfo("/store")
    made.add_file_list([("/store/mc/a", size, OLD, "block#1"), ("/store/data/_unlisted_", 0)])
    made.get_node("later")
    made.mtime = OLD
    return made


def cache(tmp_path: Path, site: str = "T2_A", name: str = "remote", age: float = 1, keep: bool = False) -> TreeCache:
    return TreeCache(tmp_path, site, name, age, keep)


def size_of(made: DirectoryInfo) -> int:
    node = made.get_node("mc")
    assert node is not None
    return node.get_directory_size()


def made_at(path: Path, when: float) -> None:
    os.utime(path, (when, when))


def test_where_it_is(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    kept.store(tree())
    assert kept.path == tmp_path / "cache/T2_A/remote.snapshot"
    assert kept.path.is_file()


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    kept.store(tree())
    found = kept.open(kind)
    assert type(found) is Mine
    assert (found.name, found.mtime, found.get_files()) == ("/store", OLD, ["/store/mc/a"])
    info = found.get_file("/store/mc/a")
    assert info is not None
    assert (info["block"], info["mtime"]) == ("block#1", OLD)
    assert found.get_unlisted() == ["/store/data", "/store/later"]
    assert [node.state for node in found.directories] == [State.FAILED, State.UNFILLED, State.LISTED]


def test_it_is_made_once(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> DirectoryInfo:
        made.append(1)
        return tree()

    for _ in range(3):
        assert cache(tmp_path).get(make, kind).get_files() == ["/store/mc/a"]
    assert len(made) == 1


@pytest.mark.parametrize("days", [2.5, -2.5])
def test_an_age_that_is_too_great_or_makes_no_sense(tmp_path: Path, days: float) -> None:
    kept = cache(tmp_path, age=2)
    kept.store(tree())
    made_at(kept.path, time.time() - 1.9 * 86400)
    assert kept.open(kind) is not None
    made_at(kept.path, time.time() - days * 86400)
    assert kept.open(kind) is None


def test_with_an_age_of_zero_nothing_is_good(tmp_path: Path) -> None:
    kept = cache(tmp_path, age=0)
    kept.store(tree())
    made_at(kept.path, time.time() - 1)
    assert kept.open(kind) is None


def test_names_of_their_own(tmp_path: Path) -> None:
    hostile = ["../../up", "a/b", "..", ".", "", "T2_A", "with\nline", "%", "\udcff"]
    places = set()
    for site in hostile:
        for name in hostile:
            kept = cache(tmp_path, site, name)
            kept.store(tree())
            assert tmp_path / "cache" in kept.path.parents
            assert kept.open(kind) is not None
            places.add(kept.path)
    assert len(places) == len(hostile) ** 2
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "flipped", "version", "directory"])
def test_a_bad_cache_is_made_again_with_a_warning(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    kept = cache(tmp_path)
    kept.store(tree())
    whole = kept.path.read_bytes()
    middle = whole.index(b"block#1")
    broken = {
        "empty": b"",
        "text": b"hello\n",
        "cut": whole[:-20],
        "flipped": whole[:middle] + b"X" + whole[middle + 1 :],
        "version": whole[:7] + b"\xee" + whole[8:],
    }
    if damage == "directory":
        kept.path.unlink()
        kept.path.mkdir()
    else:
        kept.path.write_bytes(broken[damage])
    again = kept.get(lambda: tree(7), kind)
    assert size_of(again) == 7
    assert "the cache cannot be used and is made again" in caplog.text
    if damage != "directory":
        caplog.clear()
        found = kept.open(kind)
        assert found is not None
        assert size_of(found) == 7
        assert not caplog.text


def test_a_tree_that_cannot_be_kept_is_not_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache").write_text("in the way")
    assert cache(tmp_path).get(tree, kind).get_files() == ["/store/mc/a"]
    assert "the tree is not cached" in caplog.text


def test_old_caches_are_kept_under_a_dated_name(tmp_path: Path) -> None:
    kept = cache(tmp_path, age=0, keep=True)
    for size, when in ((1, OLD), (2, OLD), (3, OLD + 1), (4, OLD + 2)):
        kept.store(tree(size))
        made_at(kept.path, when)
    names = sorted(path.name for path in kept.path.parent.iterdir())
    assert names == [
        "lock",
        "remote.20231114T221320Z-1.snapshot",
        "remote.20231114T221320Z.snapshot",
        "remote.20231114T221321Z.snapshot",
        "remote.snapshot",
    ]
    found = cache(tmp_path, name="remote.20231114T221320Z-1", age=1e6).open(kind)
    assert found is not None
    assert size_of(found) == 2


def test_old_caches_are_kept_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_source: Path, _target: Path) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    kept = cache(tmp_path, age=0, keep=True)
    kept.store(tree(1))
    made_at(kept.path, OLD)
    kept.store(tree(2))
    names = sorted(path.name for path in kept.path.parent.iterdir())
    assert names == ["lock", "remote.20231114T221320Z.snapshot", "remote.snapshot"]


def test_without_savecache_there_is_one(tmp_path: Path) -> None:
    kept = cache(tmp_path, age=0)
    kept.store(tree(1))
    kept.store(tree(2))
    assert sorted(path.name for path in kept.path.parent.iterdir()) == ["lock", "remote.snapshot"]


def test_an_open_tree_outlives_its_replacement(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    kept.store(tree(1))
    found = kept.open(kind)
    assert found is not None
    kept.store(tree(2))
    assert size_of(found) == 1
    # Even one that is written over itself.
    kept.store(found)
    again = kept.open(kind)
    assert again is not None
    assert size_of(again) == 1


_WRITE = """
import sys
from pathlib import Path
from engine.tree import DirectoryInfo
from storage.trees.cache import TreeCache

kept = TreeCache(Path(sys.argv[1]), "T2_A", "remote", 1, True)
for turn in range(20):
    tree = DirectoryInfo("/store")
    tree.add_file_list([(f"/store/{i % 50}/{i}", int(sys.argv[2])) for i in range(1000)])
    kept.store(tree)
    found = kept.open(lambda _: DirectoryInfo)
    assert found is not None and found.get_num_files() == 1000
    assert found.get_directory_size() in (1000, 2000, 3000), found.get_directory_size()
"""


def test_processes_may_write_at_the_same_time(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITE, str(tmp_path), str(number)], stderr=subprocess.PIPE, text=True)
        for number in (1, 2, 3)
    ]
    assert [writer.communicate(timeout=60)[1] for writer in writers] == ["", "", ""]
    assert [writer.returncode for writer in writers] == [0, 0, 0]


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = cache(tmp_path)
    kept.path.parent.mkdir(parents=True)
    kept.path.with_name("remote.snapshot.part").write_bytes(b"torn")
    with caplog.at_level(logging.WARNING):
        kept.store(tree())
    assert kept.open(kind) is not None
    assert not caplog.text


def test_the_age_of_a_key() -> None:
    settings = SiteConfig(list_age=3, inventory_age=0.5, ignore_age_days=2)
    assert [age_of(settings, key) for key in ("ListAge", "InventoryAge", "IgnoreAge", "RootPath", "NoSuchAge")] == [
        3,
        0.5,
        2,
        0,
        0,
    ]
