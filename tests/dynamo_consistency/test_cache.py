"""Each test is named after the entry of the reference that it shows; the files are shown in tests/storage."""

from __future__ import annotations

import inspect
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dynamo_consistency import config, datatypes
from dynamo_consistency.cache import cache_tree
from dynamo_consistency.datatypes import DirectoryInfo

OLD = 1_700_000_000


def configure(**keys: Any) -> None:
    Path("consistency_config.json").write_text(json.dumps({"ListAge": 1, **keys}))


class TestCacheTree:
    calls: list[Any]

    @pytest.fixture(autouse=True)
    def counted(self) -> None:
        self.calls = []

    def make(self, site: str) -> DirectoryInfo:
        self.calls.append(site)
        tree = DirectoryInfo("/store")
        tree.add_file_list([("/store/mc/a.root", len(self.calls), OLD, "block")])
        return tree

    def test_a_tree_is_made_once(self) -> None:
        configure()
        listing = cache_tree("ListAge", "remote")(self.make)
        sizes = [listing("T2_A").get_directory_size() for _ in range(3)]
        assert (self.calls, sizes) == (["T2_A"], [1, 1, 1])
        assert Path("var/cache/T2_A/remote.snapshot").is_file()
        listing("T2_B")
        assert self.calls == ["T2_A", "T2_B"]

    def test_it_can_be_opened_by_hand(self) -> None:
        configure()
        listed = cache_tree("ListAge", "remote")(self.make)("T2_A")
        assert datatypes.get_info("var/cache/T2_A/remote.snapshot").get_files() == listed.get_files()

    def test_it_is_made_again_when_it_is_too_old(self) -> None:
        configure(Sites={"T2_B": {"ListAge": 9}})
        listing = cache_tree("ListAge", "remote")(self.make)
        for site in ("T2_A", "T2_B"):
            listing(site)
            path = f"var/cache/{site}/remote.snapshot"
            os.utime(path, (time.time() - 3 * 86400,) * 2)
        listing("T2_A")
        listing("T2_B")
        assert self.calls == ["T2_A", "T2_B", "T2_A"]

    def test_a_key_that_is_not_an_age_caches_nothing(self) -> None:
        configure()
        listing = cache_tree("NoSuchAge", "remote")(self.make)
        listing("T2_A")
        os.utime("var/cache/T2_A/remote.snapshot", (time.time() - 1,) * 2)
        listing("T2_A")
        assert len(self.calls) == 2

    def test_cache_overrides_the_suffix(self) -> None:
        configure()
        listing = cache_tree("ListAge", "remote")(self.make)
        listing("T2_A", cache="funny_name")
        listing("T2_A", cache="funny_name")
        listing("T2_A")
        assert len(self.calls) == 2
        assert sorted(os.listdir("var/cache/T2_A")) == ["funny_name.snapshot", "lock", "remote.snapshot"]

    def test_savecache_keeps_the_old_ones(self) -> None:
        configure(SaveCache=1, ListAge=0)
        listing = cache_tree("ListAge", "remote")(self.make)
        listing("T2_A")
        os.utime("var/cache/T2_A/remote.snapshot", (OLD, OLD))
        listing("T2_A")
        assert datatypes.get_info("var/cache/T2_A/remote.20231114T221320Z.snapshot").get_directory_size() == 1
        assert datatypes.get_info("var/cache/T2_A/remote.snapshot").get_directory_size() == 2

    def test_the_callback_and_other_arguments_are_handed_on(self) -> None:
        configure()
        given: list[Any] = []

        @cache_tree("ListAge", "remote")
        def listing(site: str, callback: Callable[[DirectoryInfo], None] | None = None, **kwargs: Any) -> DirectoryInfo:
            given.append((callback, kwargs))
            return self.make(site)

        listing("T2_A", print, colour="red")
        listing("T2_B", callback=print)
        listing("T2_C", callback=None, cache=None)
        assert given == [(print, {"colour": "red"}), (print, {}), (None, {})]

    def test_the_function_keeps_its_name_and_parameters(self) -> None:
        decorated = cache_tree("ListAge", "remote")(self.make)
        assert decorated.__name__ == "make"
        assert list(inspect.signature(decorated).parameters) == ["site"]

    def test_the_tree_keeps_the_age_of_its_site(self) -> None:
        configure(Sites={"T2_A": {"IgnoreAge": 14}})
        listing = cache_tree("ListAge", "remote")(self.make)
        listing("T2_A")
        assert listing("T2_A").ignore_age == 14
        config.SITE = "T2_A"
        assert listing("T2_B").ignore_age == 14

    def test_what_the_function_raises_leaves_nothing_behind(self) -> None:
        configure()

        @cache_tree("ListAge", "remote")
        def listing(site: str) -> DirectoryInfo:
            raise KeyError(site)

        with pytest.raises(KeyError, match="T2_A"):
            listing("T2_A")
        assert not Path("var/cache").exists()
