"""The inventory is read again after the listing, in whole checks on threads."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from actors.oversight import Killed, Oversight, Progress, Refused
from actors.second_inventory import SecondInventory, plain_file, settled_identity
from actors.site_run import SiteResults
from actors.threads import ThreadRuntime
from engine.cut import LastLine
from engine.second import Meanwhile
from storage.backends import choose
from storage.inventory import InventoryError
from storage.runs.directory import RunDirectory
from storage.snapshot import Snapshot
from tests.actors.small_site import OLD, SITE, Site, run

MADE = OLD + 100 * 86400
"""When the inventory was made."""

AGAIN = "reading the inventory again"
FOUND = {"missing": ["data/gone", "mc/lost"], "orphan": ["mc/orphan"]}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    settle(site)
    return site


def settle(site: Site, name: str = "inventory.csv") -> None:
    """A file that was written just now may change once more without looking so."""
    os.utime(site.home / name, (MADE, MADE))


@dataclass
class Watcher:
    """Does something when a phase begins for the first time, and notes the phases; stops when it is told to."""

    phase: str
    act: Callable[[], None]
    phases: list[str] = field(default_factory=list)
    why: str = ""

    def watch(self, phase: str, _progress: Progress) -> None:
        if phase == self.phase and phase not in self.phases:
            self.act()
        if phase not in self.phases[-1:]:
            self.phases.append(phase)

    @property
    def oversight(self) -> Oversight:
        return Oversight(lambda: self.why, self.watch)


def check(site: Site, act: Callable[[], None] = lambda: None, phase: str = "listing", **request: object) -> SiteResults:
    """Check; ``act`` is called when the first inventory was read."""
    return run(ThreadRuntime(), site, Watcher(phase, act).oversight, **request)


def found(site: Site) -> dict[str, list[str]]:
    return {kind: sorted(site.lines(f"compare_{kind}")) for kind in ("missing", "orphan")}


def meanwhile(done: SiteResults) -> Meanwhile:
    return done.results.comparison.meanwhile


def test_an_inventory_that_stays_is_not_read_again(site: Site) -> None:
    def swap() -> None:
        # Of the same size and time, in the same inode: nobody can tell it from the first one but by reading it.
        file = site.home / "inventory.csv"
        content = file.read_bytes().replace(b"mc/lost", b"mc/LOST").replace(b"mc/kept", b"mc/KEPT")
        with file.open("r+b") as stream:
            stream.write(content)
        settle(site)

    assert meanwhile(check(site, swap)) == Meanwhile()
    assert found(site) == FOUND


@pytest.mark.parametrize("fresh", ["before", "after"])
def test_an_inventory_whose_time_is_fresh_or_another_one_is_read_again(site: Site, fresh: str) -> None:
    if fresh == "before":
        os.utime(site.home / "inventory.csv")

    def change() -> None:
        site.expect("mc/kept", "mc/orphan", "data/kept", "data/gone")
        if fresh == "before":
            settle(site)

    assert meanwhile(check(site, change)) == Meanwhile(missing=1, orphan=1)
    assert found(site) == {"missing": ["data/gone"], "orphan": []}


def test_a_run_is_seen_to_read_it_again(site: Site) -> None:
    watcher = Watcher("", lambda: None)
    run(ThreadRuntime(), site, watcher.oversight)
    phases = [phase for phase in watcher.phases if phase in ("reading the inventory", "listing", AGAIN, "comparing")]
    assert phases == ["reading the inventory", "listing", AGAIN, "comparing"]


def test_a_run_that_is_stopped_while_it_reads_goes_on_from_the_finished_listing(site: Site) -> None:
    def stop() -> None:
        watcher.why = "enough"

    os.utime(site.home / "inventory.csv")
    watcher = Watcher(AGAIN, stop)
    with pytest.raises(Killed, match="enough"):
        run(ThreadRuntime(), site, watcher.oversight)
    assert list(site.www.glob("*_compare_*")) == []
    done = check(site, lambda: site.expect("mc/kept", "data/kept", "data/gone"))
    assert done.results.listing.resumed == done.results.comparison.directories
    assert found(site) == {"missing": ["data/gone"], "orphan": ["mc/orphan"]}


def test_none_reads_nothing_again(site: Site) -> None:
    site.keys["SecondInventory"] = "none"
    assert meanwhile(check(site, lambda: site.expect("data/kept", "data/gone"))) == Meanwhile()
    assert found(site) == FOUND


def test_another_file(site: Site) -> None:
    site.keys["SecondInventory"] = "later.txt"
    names = ("mc/kept", "mc/orphan", "data/kept", "data/gone")
    (site.home / "later.txt").write_text("".join(f"{site.lfn(name)} 10\n" for name in names))
    assert meanwhile(check(site)) == Meanwhile(missing=1, orphan=1)
    assert found(site) == {"missing": ["data/gone"], "orphan": []}


@pytest.mark.parametrize("content", [None, "", "/elsewhere/f 1\n", "no path\n"])
def test_one_that_cannot_be_used_fails_the_run_which_keeps_its_listing(site: Site, content: str | None) -> None:
    site.keys["SecondInventory"] = "later.txt"
    if content is not None:
        (site.home / "later.txt").write_text(content)
    with pytest.raises(InventoryError, match="the second inventory: "):
        check(site)
    assert list(site.www.glob("*_compare_*")) == []
    (site.home / "later.txt").write_text(f"{site.lfn('mc/lost')} 10\n{site.lfn('mc/kept')} 10\n")
    done = check(site)
    assert done.results.listing.resumed == done.results.comparison.directories
    assert found(site) == {"missing": ["mc/lost"], "orphan": ["mc/orphan"]}


def hold_many(site: Site) -> list[str]:
    names = [f"mc/d{number % 4}/f{number:02}" for number in range(40)]
    for name in names:
        site.put(name)
    site.put("data/d0/orphan")
    return [*names, "mc/kept", "data/kept"]


def test_one_that_was_replaced_by_far_fewer_files_is_refused(site: Site) -> None:
    names = hold_many(site)
    site.expect(*names, "mc/lost")
    with pytest.raises(Refused, match="fewer-files: read again after the listing, the inventory has 10 files where it"):
        check(site, lambda: site.expect(*names[:10]))
    assert list(site.www.glob("*_compare_*")) == []
    site.expect(*names, "mc/lost", "mc/orphan")
    done = check(site)
    assert done.results.listing.resumed == done.results.comparison.directories
    assert found(site) == {"missing": ["mc/lost"], "orphan": ["data/d0/orphan"]}


def test_one_that_was_replaced_by_one_of_other_directories_is_refused(site: Site) -> None:
    names = hold_many(site)
    site.expect(*names, "mc/lost")
    others = [f"data/other{number % 3}/f{number}" for number in range(60)]
    with pytest.raises(Refused, match="the inventory has files in the directories of 1 files only, where it had 43"):
        check(site, lambda: site.expect("data/kept", *others))
    assert list(site.www.glob("*_compare_*")) == []


def test_fewer_files_are_let_through_when_they_are_accepted(site: Site) -> None:
    names = hold_many(site)
    site.expect(*names, "mc/lost")
    done = check(site, lambda: site.expect(*names[:10], "mc/lost"), accept_fewer=True)
    assert done.results.comparison.missing == 1
    assert found(site) == {"missing": ["mc/lost"], "orphan": ["data/d0/orphan", "mc/orphan"]}


def test_what_was_stopped_before_its_inventory_was_replaced_gives_no_false_finding(site: Site) -> None:
    names = hold_many(site)
    site.expect(*names, "mc/lost", "mc/away")

    def stop() -> None:
        watcher.why = "enough"

    watcher = Watcher("listing", stop)
    with pytest.raises(Killed):
        run(ThreadRuntime(), site, watcher.oversight)
    # Meanwhile one file came to both sides, one left the inventory and one both.
    site.put("mc/come")
    (site.home / "store" / names[0]).unlink()
    site.expect(*names[1:], "mc/lost", "mc/come")
    done = check(site)
    # What is gone from both is in neither reading or not on the store, what came is known to the second.
    assert found(site) == {"missing": ["mc/lost"], "orphan": ["data/d0/orphan", "mc/orphan"]}
    # One of the two is missing only if its directory was not listed yet.
    assert meanwhile(done).missing in (1, 2)


def test_a_database_with_a_log_beside_it_is_no_plain_file(site: Site) -> None:
    database = site.home / "inventory.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE files (lfn TEXT, size INTEGER)")
        connection.commit()
    site.keys["Inventory"] = "inventory.db"
    settings = site.config.site(SITE)
    backends = choose(site.config, settings)
    assert plain_file(backends, settings) == database
    (site.home / "inventory.db-wal").touch()
    assert plain_file(backends, settings) is None


def test_a_backend_is_no_plain_file(site: Site) -> None:
    site.keys.update(Backend="sql", SQL={"URL": "sqlite:////nowhere.db", "Files": "SELECT 1 AS lfn"})
    settings = site.config.site(SITE)
    assert plain_file(choose(site.config, settings), settings) is None


def test_only_a_file_of_some_age_is_known_to_stay(site: Site) -> None:
    file = site.home / "inventory.csv"
    status = file.stat()
    assert settled_identity(file) == [status.st_dev, status.st_ino, MADE * 10**9, status.st_size]
    os.utime(file, (time.time() - 1, time.time() - 1))
    assert settled_identity(file) is None
    assert settled_identity(site.home / "nothing") is None
    assert settled_identity(None) is None


def test_how_its_text_ends_is_kept_with_it(site: Site) -> None:
    file = site.home / "later.txt"
    lfn = site.lfn("mc/kept")
    file.write_text(f"{lfn} 10")
    site.keys["SecondInventory"] = "later.txt"
    settings = site.config.site(SITE)
    directory = RunDirectory(site.home / "var", SITE)
    directory.path.mkdir(parents=True)
    top = f"{site.home}/store".encode()
    second = SecondInventory(choose(site.config, settings), settings, (top,), directory)
    assert second(directory.second_inventory, lambda: None)
    snapshot = Snapshot(directory.second_inventory)
    assert snapshot.table.total_files() == 1
    snapshot.close()
    expected = LastLine(str(file), 1, lfn.encode(), f"{lfn} 10".encode(), size=10)
    assert directory.kept_last_line(directory.second_inventory) == expected
    assert directory.kept_last_line(directory.inventory) is None


@pytest.mark.parametrize("first_is_cut", [True, False])
def test_only_the_last_reading_can_be_cut(site: Site, first_is_cut: bool) -> None:
    names = [site.lfn(name) for name in ("data/kept", "mc/lost", "mc/kept")]
    whole, cut = ("\n".join([*names[:-1], names[-1][:end]]) for end in (None, -2))
    site.keys["Inventory"] = "inventory.txt"
    file = site.home / "inventory.txt"
    file.write_text(cut if first_is_cut else whole)
    settle(site, "inventory.txt")
    # What either reading has is no orphan, and what one lacks is not missing.
    done = check(site, lambda: write(file, whole if first_is_cut else cut))
    assert found(site) == {"missing": ["mc/lost"], "orphan": ["mc/orphan"]}
    assert meanwhile(done) == (Meanwhile(missing=1, orphan=1) if first_is_cut else Meanwhile())


def test_a_second_reading_that_is_cut_in_what_came_meanwhile_is_refused(site: Site) -> None:
    names = [site.lfn(name) for name in ("data/kept", "mc/lost", "mc/kept")]
    site.keys["Inventory"] = "inventory.txt"
    file = site.home / "inventory.txt"
    write(file, "\n".join(names))
    settle(site, "inventory.txt")
    with pytest.raises(Refused, match=r"inventory-cut: .*line 4, .*/mc/orp'.*/mc/orphan'"):
        check(site, lambda: write(file, "\n".join([*names, site.lfn("mc/orp")])))
    assert list(site.www.glob("*_compare_*")) == []
    write(file, "\n".join([*names, site.lfn("mc/orphan")]))
    done = check(site)
    assert done.results.listing.resumed == done.results.comparison.directories
    assert found(site) == {"missing": ["mc/lost"], "orphan": []}


def write(file: Path, content: str) -> None:
    file.write_text(content)
