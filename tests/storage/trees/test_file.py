from __future__ import annotations

from pathlib import Path

import pytest

from engine.columns import DirectoryColumns, FileColumns
from engine.record import DirectoryRecord
from engine.states import Reason, State
from engine.tree import BadPath, DirectoryInfo, NeverFilled
from storage.snapshot import SnapshotHeader, SnapshotWriter, part_of
from storage.trees.file import open_tree, write_tree

OLD = 1_700_000_000


class SiteTree(DirectoryInfo):
    __slots__ = ()


def kind(site: str) -> type[DirectoryInfo]:
    return SiteTree if site == "T2_A" else DirectoryInfo


def listing(path: Path) -> SnapshotWriter:
    """Begin the snapshot of a listing, in which one directory was not reached yet."""
    writer = SnapshotWriter(path, SnapshotHeader("listing", "root://door", OLD, "T2_A", (b"/store/mc", b"/store/data")))
    files, below = FileColumns.from_rows([(b"f", 1, OLD - 1)]), DirectoryColumns.from_rows([(b"below", OLD)])
    writer.append(DirectoryRecord(b"/store/data", State.LISTED, listed_at=OLD, files=files))
    writer.append(DirectoryRecord(b"/store/mc", State.LISTED, listed_at=OLD, files=files, directories=below))
    writer.flush()
    return writer


def test_a_tree_keeps_name_site_and_mtime(tmp_path: Path) -> None:
    tree = DirectoryInfo("relative", files=[("f", 1, OLD)])
    tree.mtime = OLD + 0.5
    for site, expected in ("T2_A", SiteTree), ("", DirectoryInfo):
        write_tree(tree, tmp_path / "tree", site)
        again = open_tree(tmp_path / "tree", kind)
        assert type(again) is expected
        assert (again.name, again.mtime, again.get_files()) == ("relative", OLD + 0.5, ["relative/f"])


def test_a_part_of_a_tree_can_be_opened(tmp_path: Path) -> None:
    tree = DirectoryInfo("/store")
    tree.mtime = OLD
    tree.add_file_list([("/store/mc/f", 1, OLD), ("/store/data/f", 1, OLD)])
    write_tree(tree, tmp_path / "tree")
    part = open_tree(tmp_path / "tree", kind, "/store/mc")
    assert (part.name, part.mtime, part.get_files()) == ("/store/mc", None, ["/store/mc/f"])


def test_a_directory_that_was_never_filled_counts_as_never_reached(tmp_path: Path) -> None:
    tree = DirectoryInfo("/store", files=[])
    tree.get_node("never")
    write_tree(tree, tmp_path / "tree")
    again = open_tree(tmp_path / "tree", kind)
    (never,) = again.directories
    assert (never.files, never.reason) == (None, Reason.NEVER_REACHED)
    assert again.get_unlisted() == ["/store/never"]
    with pytest.raises(NeverFilled):
        again.get_directory_size()


def test_a_listing_can_be_opened_while_it_grows_and_afterwards(tmp_path: Path) -> None:
    writer = listing(tmp_path / "s")
    growing = open_tree(part_of(tmp_path / "s"), kind)
    writer.append(DirectoryRecord(b"/store/mc/below", State.LISTED, listed_at=OLD))
    writer.finish()
    finished = open_tree(tmp_path / "s", kind)
    for tree in growing, finished:
        assert type(tree) is SiteTree
        assert (tree.name, tree.is_master) == ("/store", True)
        assert tree.get_files() == ["/store/data/f", "/store/mc/f"]
    assert growing.get_unlisted() == ["/store/mc/below"]
    assert finished.get_unlisted() == []


def test_an_open_tree_outlives_the_name_of_its_file(tmp_path: Path) -> None:
    listing(tmp_path / "s").finish()
    tree = open_tree(tmp_path / "s", kind)
    (tmp_path / "s").unlink()
    assert tree.get_files() == ["/store/data/f", "/store/mc/f"]


def test_nothing_is_left_of_a_tree_that_cannot_be_written(tmp_path: Path) -> None:
    listing(tmp_path / "s").finish()
    tree = open_tree(tmp_path / "s", kind)
    tree.add_files([("bad", 1, OLD)])
    tree.name = "/store/.."
    write_tree(DirectoryInfo("/store"), tmp_path / "tree")
    before = (tmp_path / "tree").read_bytes()
    with pytest.raises(ValueError, match=r"unfinished"):
        write_tree(tree, tmp_path / "tree.part")
    with pytest.raises(BadPath, match=r"'\.\.' component"):
        write_tree(tree, tmp_path / "tree")
    assert (tmp_path / "tree").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s", "tree"]
