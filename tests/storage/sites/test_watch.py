"""A run looks into the summary now and then, whether it should go on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.site_states import SiteStatus
from storage.sites.process import Owner
from storage.sites.summary import SummaryDatabase
from storage.sites.watch import HaltWatch, RunWatch, SiteWatch

SITE = "T2_X"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "stats.db"
    with SummaryDatabase(path) as database:
        database.sync({SITE: True})
    return path


def put(path: Path, status: SiteStatus, owner: Owner | None = None) -> None:
    with SummaryDatabase(path) as database:
        database.set_status(SITE, status, owner or Owner.this())


def test_it_runs_while_it_is_picked_or_running(path: Path) -> None:
    seen = {}
    for status in SiteStatus:
        put(path, status)
        seen[status] = SiteWatch(path, SITE).is_running()
    assert {status for status, running in seen.items() if running} == {SiteStatus.LOCKED, SiteStatus.RUNNING}


def test_a_run_whose_site_another_process_has_stops(path: Path) -> None:
    this = Owner.this()
    put(path, SiteStatus.RUNNING, this)
    assert RunWatch(path, SITE, 0.0).is_running()
    for other in (replace(this, pid=this.pid + 1), replace(this, start="boot 1")):
        put(path, SiteStatus.RUNNING, other)
        assert not RunWatch(path, SITE, 0.0).is_running()
    put(path, SiteStatus.RUNNING, replace(this, host="renamed.example"))
    assert RunWatch(path, SITE, 0.0).is_running()
    put(path, SiteStatus.READY)
    assert not RunWatch(path, SITE, 0.0).is_running()


def test_it_looks_only_so_often(path: Path) -> None:
    now = 100.0
    watch = SiteWatch(path, SITE, 15.0, lambda: now)
    put(path, SiteStatus.RUNNING)
    assert watch.is_running()
    put(path, SiteStatus.HALT)
    now = 114.9
    assert watch.is_running()
    now = 115.0
    assert not watch.is_running()
    put(path, SiteStatus.RUNNING)
    now = 129.9
    assert not watch.is_running()
    now = 130.0
    assert watch.is_running()


def test_what_nobody_knows_does_not_run(path: Path, tmp_path: Path) -> None:
    assert not SiteWatch(path, "T2_Unknown").is_running()
    assert not SiteWatch(tmp_path / "none" / "stats.db", SITE).is_running()
    assert not (tmp_path / "none").exists()


def test_a_summary_that_cannot_be_read_just_now_ends_no_run(path: Path) -> None:
    put(path, SiteStatus.RUNNING)
    watch = SiteWatch(path, SITE, 0.0)
    assert watch.is_running()
    whole = path.read_bytes()
    path.write_bytes(b"not a database" * 1000)
    assert watch.is_running()
    path.write_bytes(whole)
    put(path, SiteStatus.HALT)
    assert not watch.is_running()


@pytest.mark.parametrize("told", [SiteStatus.HALT, SiteStatus.DISABLED])
def test_a_run_of_which_the_summary_does_not_know_ends_when_it_is_told(path: Path, told: SiteStatus) -> None:
    watch = HaltWatch(path, SITE, 0.0)
    for status in (SiteStatus.READY, SiteStatus.LOCKED, SiteStatus.RUNNING):
        put(path, status)
        assert watch.is_running()
    put(path, told)
    assert not watch.is_running()
    assert not HaltWatch(path, SITE, 0.0).is_running(), "this process was told so before it looked"


@pytest.mark.parametrize("told", [SiteStatus.HALT, SiteStatus.DISABLED])
def test_what_was_said_to_others_before_does_not_end_it(path: Path, told: SiteStatus) -> None:
    put(path, SiteStatus.RUNNING, Owner(1, "elsewhere.example"))
    put(path, told)
    watch = HaltWatch(path, SITE, 0.0)
    assert watch.is_running()
    put(path, SiteStatus.READY)
    assert watch.is_running()
    put(path, told)
    assert not watch.is_running()


def test_a_run_of_a_site_that_nobody_knows_is_not_told_to_end(path: Path, tmp_path: Path) -> None:
    assert HaltWatch(path, "T2_Unknown").is_running()
    assert HaltWatch(tmp_path / "none" / "stats.db", SITE).is_running()
    assert not (tmp_path / "none").exists()
