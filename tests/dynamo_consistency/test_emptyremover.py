"""Each test is named after the entry of the reference that it shows; the removal itself is in tests/engine/tree."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from dynamo_consistency import config, create, datatypes, filters, history, remotelister, summary
from dynamo_consistency.emptyremover import EmptyRemover
from storage.history import HistoryDatabase
from tests.dynamo_consistency.sites import Site

OLD = 1_000_000_000
SITE = "T2_A"


def configure(**keys: Any) -> None:
    Path("consistency_config.json").write_text(json.dumps({"Sites": {SITE: {"Doors": ["file:///"]}}, **keys}))


@pytest.fixture(autouse=True)
def configured() -> None:
    configure()


def tree(name: str = "/store") -> datatypes.DirectoryInfo:
    """Give a tree with four empty directories, of which one is young."""
    made = datatypes.DirectoryInfo(name)
    made.add_file_list([(f"{name}/mc/full/a.root", 1, OLD)])
    for path, mtime in (("mc/a", OLD), ("mc/a/b", OLD), ("mc/a/c", OLD), ("mc/young", time.time())):
        node = made.get_node(path)
        assert node is not None
        node.add_files([]).mtime = mtime
    return made


def requested() -> list[str]:
    if not Path("var/db/registry.db").exists():
        return []
    with sqlite3.connect("var/db/registry.db") as connection:
        found = [name for (name,) in connection.execute("SELECT name FROM deletions ORDER BY id")]
    connection.close()
    return found


def act() -> None:
    summary.running(SITE)
    summary.set_reporting(SITE, summary.ACT)


EMPTY = ["/store/mc/a/c", "/store/mc/a/b", "/store/mc/a"]


class TestEmptyRemover:
    @pytest.mark.parametrize("site", [None, SITE, "T2_UNKNOWN"])
    def test_it_removes_empty_directories_from_the_tree(self, site: str | None) -> None:
        made, remover = tree(), EmptyRemover(site)
        before = made.count_nodes()
        remover(made)
        assert made.get_node("mc/a", make_new=False) is None
        assert made.get_node("mc/young", make_new=False) is not None
        assert before == made.count_nodes() + remover.get_removed_count()
        assert requested() == []

    def test_check_protects(self) -> None:
        checked: list[str] = []

        def check(lfn: str) -> bool:
            checked.append(lfn)
            return lfn.endswith("/b")

        made, remover = tree(), EmptyRemover(None, check)
        remover(made)
        assert set(checked) == set(EMPTY)
        assert [child.name for child in (made.get_node("mc/a") or made).directories] == ["b"]
        assert remover.get_removed_count() == 1

    def test_the_check_is_given_the_lfn(self) -> None:
        made = datatypes.DirectoryInfo("mc")
        node = made.get_node("test/an/empty")
        assert node is not None
        node.add_files([]).mtime = 1
        remover = EmptyRemover(SITE, filters.PatternFilter(["/store/mc/test/an/empty"]).protected)
        remover(made)
        assert remover.get_removed_count() == 0

    def test_a_site_that_is_set_to_act_has_them_deleted(self) -> None:
        act()
        remover = EmptyRemover(SITE)
        remover(tree())
        assert sorted(requested()) == sorted(EMPTY)
        assert requested().index("/store/mc/a") == 2

    @pytest.mark.parametrize("dry", [True, False])
    def test_no_other_site_has(self, dry: bool) -> None:
        if dry:
            summary.running(SITE)
        EmptyRemover(SITE)(tree())
        assert requested() == []

    def test_without_a_site_nothing_is_deleted(self) -> None:
        act()
        config.SITE = SITE
        EmptyRemover(None)(tree())
        assert requested() == []

    def test_they_are_reported_to_the_history_of_the_run(self) -> None:
        config.SITE = SITE
        history.start_run()
        EmptyRemover(SITE)(tree())
        assert sorted(history.empty_directories(SITE)) == sorted(EMPTY)
        history.finish_run()
        with HistoryDatabase(Path("var/db/consistency.db")) as database:
            assert {row[1] for row in database.empty_directories(SITE)} == {OLD}

    def test_without_a_run_there_is_nothing_to_report_to(self) -> None:
        EmptyRemover(SITE)(tree())
        assert not Path("var/db/consistency.db").exists()

    def test_each_is_reported_and_counted_once(self) -> None:
        act()
        config.SITE = SITE
        history.start_run()
        remover = EmptyRemover(SITE)
        # A growing tree may be a new one at each call.
        for _ in range(3):
            made = tree()
            remover(made)
            assert made.get_node("mc/a", make_new=False) is None
        assert remover.get_removed_count() == len(requested()) == len(history.empty_directories(SITE)) == 3
        history.finish_run()

    def test_what_cannot_be_reported_does_not_end_the_listing(self, caplog: pytest.LogCaptureFixture) -> None:
        act()
        Path("var/db").mkdir(parents=True)
        Path("var/db/registry.db").write_text("this is no database, and long enough to be taken for one" * 20)
        remover = EmptyRemover(SITE)
        remover(tree())
        assert remover.get_removed_count() == 3
        assert "3 empty directories are not reported yet" in caplog.text
        Path("var/db/registry.db").unlink()
        remover(tree())
        assert sorted(requested()) == sorted(EMPTY)

    def test_as_a_callback_of_create_dirinfo(self) -> None:
        act()
        listed = {
            "/store/mc": ([("a", OLD), ("failed", OLD), ("full", OLD)], []),
            "/store/mc/a": ([("b", OLD), ("young", time.time())], []),
            "/store/mc/a/b": ([("c", OLD)], []),
            "/store/mc/a/b/c": ([], []),
            "/store/mc/a/young": ([], []),
            "/store/mc/full": ([], [("f", 1, OLD)]),
        }
        remover = EmptyRemover(SITE)

        def slow(path: str) -> Any:
            time.sleep(0.1)
            return (True, *listed[path]) if path in listed else (False, [], [])

        made = create.create_dirinfo("/store", "mc", slow, callback=remover)
        assert requested() == ["/store/mc/a/b/c", "/store/mc/a/b"]
        assert made.get_unlisted() == ["mc/failed"]
        assert [child.name for child in (made.get_node("a") or made).directories] == ["young"]

    def test_as_a_callback_of_a_listing(self, site: Site) -> None:
        (site.store / "mc/a/empty/below").mkdir(parents=True)
        config.LOCATION = site.configure(IgnoreAge=0)
        time.sleep(1.1)
        remover = EmptyRemover(site.name)
        made = remotelister.listing(site.name, remover)
        assert remover.get_removed_count() == 2
        assert made.get_node("mc/a/empty", make_new=False) is None
        assert made.get_unlisted() == site.lfns("mc/locked")


class TestFullname:
    @pytest.mark.parametrize(
        ("root", "name", "full"),
        [
            ("/store", "mc/a", "/store/mc/a"),
            ("/store", "/store/mc/a", "/store/mc/a"),
            ("/store", "/store", "/store"),
            ("/", "mc", "/mc"),
            ("/", "/mc", "/mc"),
            ("/store/user", "mc", "/store/user/mc"),
        ],
    )
    def test_fullname(self, root: str, name: str, full: str) -> None:
        configure(RootPath=root)
        assert EmptyRemover(None).fullname(name) == full


class TestGetRemovedCount:
    def test_get_removed_count(self) -> None:
        remover = EmptyRemover(None)
        assert remover.get_removed_count() == 0
        remover(tree())
        assert remover.get_removed_count() == 3
