"""Runs that were stopped, killed or lost with their machine, and what the next one makes of what they left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from subprocess import Popen

import pytest

from engine.site_states import SiteStatus
from storage.sites.process import Owner
from storage.sites.summary import Heartbeat, SummaryDatabase
from tests.cli.loaded import run
from tests.cli.program import eventually, wait_for
from tests.faults.site import FaultySite
from tests.servers.xrootd import XRootDServer

_WIDE = 200
_SLOWLY = ("--listers", "1", "--in-flight", "1")
ANOTHER_BOOT = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def server(start_xrootd: Callable[..., XRootDServer]) -> XRootDServer:
    """A server that may be paused."""
    return start_xrootd()


@pytest.fixture
def site(server: XRootDServer, make_site: Callable[..., FaultySite]) -> FaultySite:
    site = make_site([server.store], "/store", [server.url])
    site.plant_wide(_WIDE)
    site.prepare(Timeout=30)
    return site


def _held_in_the_middle(site: FaultySite, server: XRootDServer) -> Popen[str]:
    """Start a check and have the server stand still when a part of the site is in the journal."""
    process = site.start_check(*_SLOWLY)
    eventually("begun to list", lambda: site.listed > 3, process)
    server.pause()
    return process


def _killed(site: FaultySite, server: XRootDServer) -> int:
    """Kill a check in the middle; gives how many directories its journal has."""
    process = _held_in_the_middle(site, server)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    server.resume()
    return site.listed


def _owner(site: FaultySite) -> Owner:
    with SummaryDatabase(site.web / "stats.db") as summary:
        owner = summary.site(site.name).owner
    assert owner is not None
    return owner


def _now_owned_by(site: FaultySite, owner: Owner) -> None:
    with closing(sqlite3.connect(site.web / "stats.db")) as connection, connection:
        connection.execute(
            "UPDATE sites SET pid = ?, host = ?, process = ? WHERE site = ?",
            (owner.pid, owner.host, owner.start, site.name),
        )


def _status(site: FaultySite) -> str:
    (row,) = [row for row in run("sites", "--json", cwd=site.home).json["sites"] if row["site"] == site.name]
    return str(row["status"])


@pytest.mark.fault("resuming", "a run is killed; the next one is told to start over", "nothing of the journal is used")
def test_fresh_starts_over(site: FaultySite, server: XRootDServer) -> None:
    assert _killed(site, server) > 3
    again = site.check("--fresh")
    site.assert_wide(again)
    assert again.json["resumed"] == 0


@pytest.mark.fault(
    "resuming",
    "a run is killed, and the next one comes later than ListAge",
    "it starts over, and says so with the age of what it leaves alone",
)
def test_a_journal_that_is_too_old(site: FaultySite, server: XRootDServer) -> None:
    assert _killed(site, server) > 3
    for path in site.journal.parent.iterdir():
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 3 * 86400))
    again = site.check()
    site.assert_wide(again)
    assert again.json["resumed"] == 0
    assert "starting over: the run that was stopped is 3.0 days old, more than ListAge, 1\n" in again.err


@pytest.mark.fault(
    "resuming",
    "the machine is booted anew in the middle of a run: another boot, the lock let go, the notes left",
    "the site is free at once, also where a process has the old number, and the next run goes on from the journal",
)
def test_after_a_reboot(site: FaultySite, server: XRootDServer) -> None:
    listed = _killed(site, server)
    # This test has the number by now, and began as many ticks after another boot.
    this = Owner.this()
    _now_owned_by(site, replace(this, start=f"{ANOTHER_BOOT} {this.start.split()[1]}"))
    assert _status(site) == "ready"
    again = site.check("--site", "")
    site.assert_wide(again)
    assert again.json["resumed"] == listed


@pytest.mark.fault(
    "resuming",
    "a run is killed, and another process gets its number",
    "the site is free, and the next run goes on from the journal",
)
def test_a_number_that_is_used_again(site: FaultySite, server: XRootDServer) -> None:
    listed = _killed(site, server)
    boot, ticks = Owner.this().start.split()
    _now_owned_by(site, replace(Owner.this(), start=f"{boot} {int(ticks) - 1}"))
    state = site.journal.parent / "running.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "pid": os.getpid()}))
    assert _status(site) == "ready"
    again = site.check("--site", "")
    site.assert_wide(again)
    assert again.json["resumed"] == listed


@pytest.mark.fault(
    "resuming",
    "a second process wants the same site, by name and by picking",
    "it is refused in one line that names the first, which goes on and is right",
)
def test_two_at_once(site: FaultySite, server: XRootDServer) -> None:
    first = _held_in_the_middle(site, server)
    second = site.check()
    assert second.code != 0
    assert f"is being checked already by process {first.pid} on " in second.message
    picking = site.check("--site", "")
    assert picking.code == 2
    assert f"{site.name}: " in picking.message
    server.resume()
    site.assert_wide(wait_for(first))


@pytest.mark.fault(
    "resuming",
    "a run is stopped (SIGSTOP) and silent for hours, its owner said to be on another machine",
    "nobody takes its site from it; when it is continued, it goes on and is right",
)
def test_a_stopped_process_keeps_its_site(site: FaultySite, server: XRootDServer) -> None:
    first = _held_in_the_middle(site, server)
    first.send_signal(signal.SIGSTOP)
    owner = _owner(site)
    assert _status(site) == "running"
    # The worst that can be: its host seems to be another one, and its sign of life has been known for hours.
    elsewhere = replace(owner, host="elsewhere.example")
    _now_owned_by(site, elsewhere)
    with SummaryDatabase(site.web / "stats.db") as summary:
        summary.beat(site.name, elsewhere, Heartbeat("listing"))
    assert _status(site) == "running"
    with closing(sqlite3.connect(site.web / "stats.db")) as connection, connection:
        assert connection.execute("UPDATE heartbeats_seen SET since = since - 20000").rowcount == 1
    assert _status(site) == "running"
    assert site.check("--site", "").code == 2
    _now_owned_by(site, owner)
    first.send_signal(signal.SIGCONT)
    server.resume()
    site.assert_wide(wait_for(first))
    with SummaryDatabase(site.web / "stats.db") as summary:
        assert summary.site(site.name).status == SiteStatus.READY
        assert summary.beats() == {}


@pytest.mark.fault(
    "resuming",
    "the summary is locked for the whole of a listing, so that no sign of life can be given",
    "the run goes on and is right",
)
def test_a_locked_summary_ends_no_listing(site: FaultySite, server: XRootDServer) -> None:
    process = _held_in_the_middle(site, server)
    with closing(sqlite3.connect(site.web / "stats.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        server.resume()
        eventually("listed", lambda: not site.journal.exists(), process)
        other.execute("ROLLBACK")
    site.assert_wide(wait_for(process))


@pytest.mark.fault(
    "resuming",
    "listing and inventory of a run that is to be gone on with are those of another site with files of the same names",
    "they are made again: nothing that only the other site has, or lacks, is found",
)
@pytest.mark.parametrize("names", [["listing"], ["inventory"], ["listing", "inventory"]])
def test_snapshots_of_another_site(make_site: Callable[..., FaultySite], tmp_path: Path, names: list[str]) -> None:
    ours, theirs = (
        make_site([tmp_path / name / "store"], "/store", [f"file://{tmp_path / name}"], name=name)
        for name in ("T2_OURS", "T2_THEIRS")
    )
    for number in range(20):
        ours.put(f"data/{number}/ours.root")
        theirs.put(f"data/{number}/theirs.root")
    ours.know("data/1/lost.root")
    ours.put("data/2/left.root", known=False)
    theirs.prepare()
    assert theirs.check(theirs.name).code == 0
    later = ours.home / "later.txt"
    ours.prepare(SecondInventory=later.name)
    assert ours.check(ours.name).code == 2
    shutil.copy(ours.inventory, later)
    for name in names:
        runs = ours.home / "var/runs"
        shutil.copy(runs / theirs.name / f"{name}.snapshot", runs / ours.name / f"{name}.snapshot")
    again = ours.check(ours.name)
    assert again.code == 0, again.err
    ours.assert_found(["data/1/lost.root"], ["data/2/left.root"])
    assert "T2_THEIRS, not " in again.err
