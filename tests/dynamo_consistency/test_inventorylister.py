"""Each test is named after the entry of the reference that it shows."""

from __future__ import annotations

import sqlite3
import types
from contextlib import closing
from pathlib import Path

import pytest

from dynamo_consistency import config, inventorylister
from dynamo_consistency.datatypes import DirectoryInfo
from storage.config.loading import ConfigError
from storage.inventory import InventoryMalformed, InventoryUnreadable
from tests.dynamo_consistency.sites import OLD, Site

HELD = (
    "data/b/good.root",
    "mc/a/good.root",
    "mc/a/lost.root",
    "mc/a/with blank.root",
    "mc/locked/unseen.root",
)


class TestListing:
    def test_the_tree_has_what_should_be_there(self, site: Site) -> None:
        tree = inventorylister.listing(site.name)
        assert isinstance(tree, DirectoryInfo)
        assert tree.name == site.root
        assert tree.get_files() == site.lfns(*HELD)
        assert tree.get_directory_size() == 140
        info = tree.get_file(f"{site.root}/mc/a/lost.root")
        assert info is not None
        assert (info["size"], info["mtime"]) == (100, OLD)
        assert list(Path(config.vardir("work")).iterdir()) == []

    def test_only_wanted_directories_are_in_it(self, site: Site) -> None:
        config.DIRECTORYLIST = ["mc/a"]
        assert inventorylister.listing(site.name).get_files() == site.lfns(*HELD[1:4])

    def test_the_callback_is_given_the_tree(self, site: Site) -> None:
        given: list[DirectoryInfo] = []
        assert [inventorylister.listing(site.name, given.append)] == given

    def test_the_site_has_its_own_age(self, site: Site) -> None:
        config.LOCATION = site.configure(IgnoreAge=20_000)
        assert inventorylister.listing(site.name).compare(None)[0] == []

    def test_a_site_that_is_not_configured(self, site: Site) -> None:
        with pytest.raises(ConfigError, match=rf"no site .*T2_NOWHERE.*known: {site.name}"):
            inventorylister.listing("T2_NOWHERE")

    def test_a_site_without_an_inventory(self, site: Site) -> None:
        config.LOCATION = site.configure(Inventory=None)
        with pytest.raises(ConfigError, match=r"set Sites.T2_US_MIT.Inventory"):
            inventorylister.listing(site.name)

    def test_an_inventory_that_cannot_be_read(self, site: Site) -> None:
        config.LOCATION = site.configure(Inventory="nowhere.txt")
        with pytest.raises(InventoryUnreadable, match=r"nowhere.txt"):
            inventorylister.listing(site.name)
        assert list(Path(config.vardir("work")).iterdir()) == []

    def test_an_option_that_there_is_not(self, site: Site) -> None:
        with pytest.raises(TypeError, match="no option 'colour'"):
            inventorylister.listing(site.name, colour="red")

    def test_it_comes_from_a_cache_for_so_many_days(self, site: Site) -> None:
        config.LOCATION = site.configure(InventoryAge=1)
        read: list[DirectoryInfo] = []
        inventorylister.listing(site.name, read.append)
        site.expect("mc/a/new.root")
        config.LOCATION = site.configure(InventoryAge=1)
        assert inventorylister.listing(site.name, read.append).get_files() == site.lfns(*HELD)
        assert len(read) == 1
        named = inventorylister.listing(site.name, read.append, cache="another")
        assert named.get_files() == sorted(site.lfns(*HELD, "mc/a/new.root"))
        assert len(read) == 2

    def test_a_cache_that_is_too_old_is_made_again(self, site: Site) -> None:
        config.LOCATION = site.configure(InventoryAge=0)
        inventorylister.listing(site.name)
        site.expect("mc/a/new.root")
        config.LOCATION = site.configure(InventoryAge=0)
        assert inventorylister.listing(site.name).get_files() == sorted(site.lfns(*HELD, "mc/a/new.root"))

    def test_the_inventory_may_be_a_table(self, site: Site) -> None:
        config.LOCATION = site.configure(Inventory=str(database_of(site)), InventoryTable="replicas")
        assert inventorylister.listing(site.name).get_files() == site.lfns("mc/a/one")

    def test_the_inventory_may_come_from_a_query(self, site: Site) -> None:
        query = "SELECT lfn, size FROM replicas WHERE site <> :site"
        config.LOCATION = site.configure(Backend="sql", SQL={"URL": f"sqlite:///{database_of(site)}", "Files": query})
        assert inventorylister.listing(site.name).get_files() == site.lfns("mc/a/two")
        assert list(inventorylister.filter_files(site.name, len(site.root))) == [(f"{site.root}/mc/a/two", 6, None, "")]


def database_of(site: Site) -> Path:
    """Make an inventory with a file of the site and one of another."""
    path = site.home / "inventory.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE replicas (site, lfn, size)")
        rows = [(site.name, f"{site.root}/mc/a/one", 5), ("T2_ELSEWHERE", f"{site.root}/mc/a/two", 6)]
        database.executemany("INSERT INTO replicas VALUES (?, ?, ?)", rows)
    return path


class TestFilterFiles:
    def test_the_tuples_make_the_tree(self, site: Site) -> None:
        tree = DirectoryInfo(site.root)
        files = inventorylister.filter_files(site.name, len(site.root))
        assert isinstance(files, types.GeneratorType)
        tree.add_file_list(files)
        assert tree.get_files() == site.lfns(*HELD)
        listed = inventorylister.listing(site.name)
        tree.setup_hash()
        listed.setup_hash()
        # Only the root of the inventory holds another directory.
        assert [node.hash for node in tree.directories] == [node.hash for node in listed.directories]

    def test_a_tuple_has_path_size_time_and_block(self, site: Site) -> None:
        (site.home / "inventory.csv").write_text(
            f"lfn,size,mtime,block\n{site.root}/mc/a,5,{OLD},one#1\n{site.root}/mc/b,,,\n"
        )
        config.LOCATION = site.configure(Inventory="inventory.csv")
        assert list(inventorylister.filter_files(site.name, len(site.root))) == [
            (f"{site.root}/mc/a", 5, OLD, "one#1"),
            (f"{site.root}/mc/b", None, None, ""),
        ]

    def test_pathstrip_says_where_the_directory_list_begins(self, site: Site) -> None:
        config.DIRECTORYLIST = ["a"]
        files = inventorylister.filter_files(site.name, len(f"{site.root}/mc"))
        assert [file[0] for file in files] == site.lfns(*HELD[1:4])
        assert list(inventorylister.filter_files(site.name, len(site.root))) == []

    def test_names_are_compared_as_a_whole(self, site: Site) -> None:
        site.expect("mcx/a/other.root")
        config.LOCATION = site.configure()
        names = [file[0] for file in inventorylister.filter_files(site.name, len(site.root))]
        assert names == site.lfns(*HELD)

    def test_an_empty_directory_list_means_everything(self, site: Site) -> None:
        config.LOCATION = site.configure(DirectoryList=[])
        names = [file[0] for file in inventorylister.filter_files(site.name, len(site.root))]
        assert sorted(names) == sorted(site.lfns(*HELD, "elsewhere/not kept.root"))

    def test_what_is_outside_of_the_root_is_left_out(self, site: Site) -> None:
        other = "/" + "x" * (len(site.root) - 1)
        site.lines.append(f"{other}/mc/a/f 1 {OLD}\n")
        config.LOCATION = site.configure()
        names = [file[0] for file in inventorylister.filter_files(site.name, len(site.root))]
        assert names == site.lfns(*HELD)

    def test_a_line_that_makes_no_sense(self, site: Site) -> None:
        site.lines.append("/store/mc/a/f not-a-size 1\n")
        config.LOCATION = site.configure()
        with pytest.raises(InventoryMalformed):
            list(inventorylister.filter_files(site.name, len(site.root)))
