"""Each test is named after the entry of the reference that it shows."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.listing import Refused
from dynamo_consistency import config, inventorylister, messaging, remotelister, summary
from dynamo_consistency.datatypes import DirectoryInfo, compare
from storage.config.loading import ConfigError
from storage.doors.source import SourceError
from tests.dynamo_consistency.sites import OLD, Site

HELD = (
    "data/b/good.root",
    "data/b/left over.root",
    "data/b/young.root",
    "mc/a/good.root",
    "mc/a/with blank.root",
)


class TestListing:
    def test_the_tree_has_what_is_there(self, site: Site) -> None:
        tree = remotelister.listing(site.name)
        assert isinstance(tree, DirectoryInfo)
        assert tree.name == site.root
        assert tree.get_files() == site.lfns(*HELD)
        assert tree.get_unlisted() == site.lfns("mc/locked")
        info = tree.get_file(f"{site.root}/mc/a/good.root")
        assert info is not None
        assert (info["size"], info["mtime"]) == (10, OLD)
        assert list(Path(config.vardir("work")).iterdir()) == []

    @pytest.mark.parametrize(("top", "ray"), [({}, False), ({"Runtime": "threads"}, False), ({"Runtime": "ray"}, True)])
    def test_the_runtime_is_the_configured_one(self, site: Site, top: dict[str, str], ray: bool) -> None:
        code = f"""
import sys
from dynamo_consistency import config, remotelister
config.LOCATION = {str(site.configure(top))!r}
print(len(remotelister.listing({site.name!r}).get_files()), "ray" in sys.modules)
"""
        # In a process of its own, since Ray can run only once in one.
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120)
        assert done.stdout.split() == [str(len(HELD)), str(ray)]

    def test_it_can_be_compared_with_the_inventory(self, site: Site) -> None:
        inventory, listed = inventorylister.listing(site.name), remotelister.listing(site.name)
        found = compare(inventory, listed)
        assert found == (site.lfns("mc/a/lost.root"), site.lfns("data/b/left over.root"))
        assert (found.missing_size, found.orphan_size) == (100, 7)

    def test_the_site_has_its_own_age(self, site: Site) -> None:
        config.LOCATION = site.configure({"IgnoreAge": 0}, IgnoreAge=20_000)
        assert compare(inventorylister.listing(site.name), remotelister.listing(site.name)) == ([], [])

    def test_a_directory_that_is_not_there_makes_nothing_missing(self, site: Site) -> None:
        site.expect("gone/f.root")
        config.LOCATION = site.configure(DirectoryList=["mc", "gone"])
        listed = remotelister.listing(site.name)
        assert listed.get_unlisted() == site.lfns("gone", "mc/locked")
        assert compare(inventorylister.listing(site.name), listed) == (site.lfns("mc/a/lost.root"), [])

    def test_only_wanted_directories_are_listed(self, site: Site) -> None:
        config.DIRECTORYLIST = ["data"]
        assert remotelister.listing(site.name).get_files() == site.lfns(*HELD[:3])

    def test_ignored_directories_are_not_entered(self, site: Site) -> None:
        config.LOCATION = site.configure(IgnoreDirectories=["/locked", "/b"])
        tree = remotelister.listing(site.name)
        assert tree.get_files() == site.lfns(*HELD[3:])
        assert tree.get_unlisted() == site.lfns("data/b", "mc/locked")

    def test_the_callback_sees_the_tree_grow(self, site: Site) -> None:
        seen: list[DirectoryInfo] = []
        tree = remotelister.listing(site.name, seen.append)
        assert seen[-1] is tree
        assert len(seen) > 1
        assert {shown.name for shown in seen} == {site.root}
        for shown in seen[:-1]:
            assert set(shown.get_files()) <= set(tree.get_files())
            # What was not reached yet is never taken for absent.
            assert set(tree.compare(shown)[0]) == set()

    def test_what_the_callback_removes_stays_removed(self, site: Site) -> None:
        for name in ("empty", "full"):
            (site.store / "mc/a" / name).mkdir()
        site.hold("mc/a/full/f.root")

        def remove(tree: DirectoryInfo) -> None:
            node = tree.get_node("mc/a/empty", make_new=False)
            if node is not None and node.is_bare:
                node.mtime = OLD
                tree.remove_node(f"{site.root}/mc/a/empty")

        tree = remotelister.listing(site.name, remove)
        assert tree.get_node("mc/a/empty", make_new=False) is None
        assert tree.get_node("mc/a/full", make_new=False) is not None

    def test_killed(self, site: Site) -> None:
        def stop(tree: DirectoryInfo) -> None:
            raise messaging.Killed("that is enough")

        with pytest.raises(messaging.Killed, match="that is enough"):
            remotelister.listing(site.name, stop)
        assert list(Path(config.vardir("work")).iterdir()) == []

    def test_a_site_that_is_stopped(self, site: Site) -> None:
        config.SITE = site.name
        summary.running(site.name)
        assert remotelister.listing(site.name).get_files() == site.lfns(*HELD)
        for status in (summary.HALT, summary.DISABLED):
            summary.set_status(site.name, status)
            with pytest.raises(messaging.Killed, match="T2_US_MIT is not to be run any more"):
                remotelister.listing(site.name, cache="another")
        assert sorted(os.listdir(f"{config.vardir('cache')}/{site.name}")) == ["lock", "remote.snapshot"]

    def test_it_comes_from_the_cache(self, site: Site) -> None:
        first = remotelister.listing(site.name)
        site.hold("mc/a/late.root")
        seen: list[DirectoryInfo] = []
        again = remotelister.listing(site.name, seen.append)
        assert (again.get_files(), again.get_unlisted(), seen) == (first.get_files(), first.get_unlisted(), [])
        assert type(again) is type(first)
        assert len(remotelister.listing(site.name, cache="another").get_files()) == len(HELD) + 1
        config.LOCATION = site.configure(ListAge=0)
        importlib.reload(config)
        config.LOCATION = site.home / "config.json"
        assert len(remotelister.listing(site.name).get_files()) == len(HELD) + 1

    def test_a_site_that_cannot_be_listed_is_refused(self, site: Site) -> None:
        config.DIRECTORYLIST = ["nowhere"]
        with pytest.raises(Refused, match="no top directory could be listed"):
            remotelister.listing(site.name)

    def test_a_site_without_doors(self, site: Site) -> None:
        config.LOCATION = site.configure(Doors=[])
        with pytest.raises(SourceError, match=r"T2_US_MIT has no doors"):
            remotelister.listing(site.name)

    def test_a_site_that_is_not_configured(self, site: Site) -> None:
        with pytest.raises(ConfigError, match="T2_NOWHERE"):
            remotelister.listing("T2_NOWHERE")

    def test_an_option_that_there_is_not(self, site: Site) -> None:
        with pytest.raises(TypeError, match="no option 'colour'"):
            remotelister.listing(site.name, colour="red")
