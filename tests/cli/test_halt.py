"""A run is stopped by another process, by a signal, or killed; the next one goes on from its journal."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.xrootd_server import XRootDServer
from engine.states import State
from storage.runs.directory import RunDirectory
from storage.snapshot import Snapshot, SnapshotError, part_of
from tests.cli.loaded import run
from tests.cli.planted import PlantedSite, findings
from tests.cli.program import eventually, start, wait_for

SLOWLY = ("--listers", "1", "--in-flight", "1")


@dataclass
class Stuck:
    """A check whose server went silent after some of the directories were listed."""

    site: PlantedSite
    server: XRootDServer
    process: subprocess.Popen[str]


def listed(journal: Path) -> int:
    """Count the directories in a journal that is being written."""
    try:
        snapshot = Snapshot(journal)
    except (OSError, SnapshotError):
        return 0
    count = snapshot.table.count(State.LISTED)
    snapshot.close()
    return count


@pytest.fixture
def wide_site(start_xrootd: Callable[..., XRootDServer], tmp_path: Path) -> Iterator[tuple[PlantedSite, XRootDServer]]:
    """A site with so many directories that asking for one at a time takes a while."""
    server = start_xrootd()
    (server.store / "site").mkdir()
    site = PlantedSite(tmp_path, server.store / "site", "/store/site", server.url, wide=2000)
    yield site, server
    site.unlock()


@pytest.fixture
def stuck(wide_site: tuple[PlantedSite, XRootDServer]) -> Stuck:
    site, server = wide_site
    process = start("check", *SLOWLY, "--json", cwd=site.home)
    journal = part_of(RunDirectory(site.home / "var", site.name).listing)
    eventually("anything was listed", lambda: listed(journal) > 3, process)
    server.pause()
    assert process.poll() is None
    return Stuck(site, server, process)


def assert_the_next_check_goes_on(stuck: Stuck) -> None:
    """It takes over what was listed, and finds exactly what was planted."""
    stuck.server.resume()
    ended = run("check", "--json", cwd=stuck.site.home)
    assert ended.code == 0
    assert 3 < ended.json["resumed"] < ended.json["directories"]
    assert findings(ended.json) == stuck.site.expected()
    stuck.site.assert_reports()


def test_another_terminal_halts_a_run(stuck: Stuck) -> None:
    site = stuck.site
    second = run("check", cwd=site.home)
    assert second.code == 2
    assert second.message.startswith(f"{site.name} is being checked already by process {stuck.process.pid} on ")
    assert second.message.endswith(f"; stop that run with: dynamo-consistency halt {site.name}")
    assert " running " in run("history", site.name, cwd=site.home).out

    halt = run("halt", site.name, "--wait", "60", cwd=site.home)
    assert (halt.code, halt.out) == (0, f"{site.name} halted; the next check goes on from its journal\n")
    ended = wait_for(stuck.process)
    assert ended.code == 3
    assert ended.message == (f"{site.name}: halted: halted from another terminal; the next check goes on from there")
    assert site.lists() == []
    assert " halted " in run("history", site.name, cwd=site.home).out
    assert_the_next_check_goes_on(stuck)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_halts_a_run(stuck: Stuck, number: signal.Signals) -> None:
    stuck.process.send_signal(number)
    ended = wait_for(stuck.process)
    assert ended.code == 3
    assert ended.message == (f"{stuck.site.name}: halted: {number.name} received; the next check goes on from there")
    assert_the_next_check_goes_on(stuck)


def test_a_run_that_was_killed_is_gone_on_with(stuck: Stuck) -> None:
    stuck.process.kill()
    assert wait_for(stuck.process).code == -signal.SIGKILL
    assert run("halt", stuck.site.name, cwd=stuck.site.home).out == f"{stuck.site.name} is not being checked\n"
    assert_the_next_check_goes_on(stuck)
    assert " died " in run("history", stuck.site.name, cwd=stuck.site.home).out


def test_fresh_starts_over(stuck: Stuck) -> None:
    stuck.process.send_signal(signal.SIGTERM)
    wait_for(stuck.process)
    stuck.server.resume()
    ended = run("check", "--fresh", "--json", cwd=stuck.site.home)
    assert ended.json["resumed"] == 0
    assert findings(ended.json) == stuck.site.expected()


def test_another_inventory_starts_over(stuck: Stuck) -> None:
    stuck.process.send_signal(signal.SIGTERM)
    wait_for(stuck.process)
    stuck.server.resume()
    other = stuck.site.home / "other.txt"
    other.write_text(stuck.site.inventory.read_text() + "/store/site/mc/a/another.root 100 1700000000\n")
    ended = run("check", stuck.site.name, "--inventory", other, "--json", cwd=stuck.site.home)
    assert ended.json["resumed"] == 0
    assert ended.json["missing"] == 4


def test_an_inventory_that_moved_on_is_gone_on_with(stuck: Stuck) -> None:
    stuck.process.send_signal(signal.SIGTERM)
    wait_for(stuck.process)
    stuck.server.resume()
    stuck.site.inventory.write_text(stuck.site.inventory.read_text() + "/store/site/mc/a/another.root 100 1700000000\n")
    ended = run("check", "--json", cwd=stuck.site.home)
    assert ended.json["resumed"] > 0
    # It came while the store was listed, and is for the next run to judge.
    assert findings(ended.json) == stuck.site.expected()


def test_a_listing_that_is_halted_says_where_its_part_is(wide_site: tuple[PlantedSite, XRootDServer]) -> None:
    site, server = wide_site
    process = start("list", site.name, "-o", "site.snap", *SLOWLY, cwd=site.home)
    eventually("anything was listed", lambda: listed(site.home / "site.snap.part") > 3, process)
    server.pause()
    process.send_signal(signal.SIGINT)
    ended = wait_for(process)
    server.resume()
    assert ended.code == 3
    assert ended.message == (f"{site.name}: halted: SIGINT received; what was listed so far is in site.snap.part")
    assert not (site.home / "site.snap").exists()
    compared = run("compare", "inventory.txt", "site.snap.part", "--json", cwd=site.home)
    assert compared.json["protected"] > 0
