"""Clocks that are set."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.loaded import run_all
from tests.cli.program import eventually, wait_for
from tests.faults.large_site import WIDE, assert_next_is_fine, fill
from tests.faults.site import OLD, FaultySite

_JUMPING = """
import os, time
_real = time.time
def _now():
    try:
        with open(os.environ["CLOCK"]) as file:
            return _real() + float(file.read() or 0)
    except (OSError, ValueError):
        return _real()
time.time = _now
"""
"""Sets the clock that Python programs see off by what a file says, at any moment."""

_YEAR = 365 * 86400.0


@pytest.fixture
def clock(site: FaultySite, tmp_path: Path) -> Callable[[float], None]:
    """Give what sets the clock of the program off by some seconds."""
    (tmp_path / "python").mkdir()
    (tmp_path / "python/sitecustomize.py").write_text(_JUMPING)
    offset = tmp_path / "offset"
    places = filter(None, [str(tmp_path / "python"), os.environ.get("PYTHONPATH")])
    site.env |= {"PYTHONPATH": os.pathsep.join(places), "CLOCK": str(offset)}

    def set_off(seconds: float) -> None:
        fresh = offset.with_suffix(".new")
        fresh.write_text(str(seconds))
        os.replace(fresh, offset)

    set_off(0)
    return set_off


def _assert_sane_times(site: FaultySite) -> None:
    """No run took less than nothing, or hours."""
    with sqlite3.connect(site.home / "www/stats.db") as database:
        for (seconds,) in database.execute("SELECT time FROM stats UNION SELECT time FROM stats_history"):
            assert 0 <= seconds < 600
    database.close()
    with sqlite3.connect(site.home / "var/db/consistency.db") as database:
        for (seconds,) in database.execute("SELECT seconds FROM runs"):
            assert 0 <= seconds < 600
    database.close()


@pytest.mark.fault(
    "clocks",
    "the clock is set back or forward, by hours and years, between runs",
    "every run is right, and takes as long as it takes",
)
def test_a_clock_that_jumps_between_runs(site: FaultySite, clock: Callable[[float], None]) -> None:
    site.put("data/a/kept.root")
    site.put("data/a/left.root", known=False)
    site.know("data/a/lost.root")
    site.prepare(IgnoreAge=1)
    for offset in (0, 3600, -_YEAR, 20 * _YEAR, 0):
        clock(offset)
        ended = site.check()
        assert ended.code == 0, (offset, ended.err)
        site.assert_found(["data/a/lost.root"], ["data/a/left.root"])
        told = run_all([("status", "--json"), ("sites",)], cwd=site.home, env=site.env)
        assert [each.code for each in told] == [0, 0], told
    _assert_sane_times(site)


@pytest.mark.fault(
    "clocks",
    "the clock is before all files, as on a machine that lost its battery; files with times to come",
    "nothing that seems younger than the run is judged",
)
def test_a_clock_before_all_files(site: FaultySite, clock: Callable[[float], None]) -> None:
    site.put("data/a/kept.root")
    site.put("data/a/left.root", known=False)
    site.put("data/a/to come.root", known=False, mtime=int(time.time() + _YEAR))
    site.know("data/a/lost.root")
    site.prepare()
    clock(-(time.time() - OLD / 2))
    ended = site.check()
    assert ended.code == 0, ended.err
    site.assert_found()
    clock(0)
    assert site.check().code == 0
    site.assert_found(["data/a/lost.root"], ["data/a/left.root"])
    _assert_sane_times(site)


@pytest.mark.fault(
    "clocks",
    "the clock is set back or forward by a year in the middle of a listing",
    "the run goes on, and is right; a run that was stopped then is gone on with or begun anew, and is right",
)
def test_a_clock_that_jumps_in_the_middle(site: FaultySite, clock: Callable[[float], None]) -> None:
    fill(site)
    site.configure(InFlight=1, Connections=1)
    for offset in (_YEAR, 0, -_YEAR):
        process = site.start_check()
        eventually("begun to list", lambda: site.journal_size > 2000, process)
        clock(offset)
        ended = wait_for(process)
        assert ended.code == 0, ended.err
        assert_next_is_fine(site)
        _assert_sane_times(site)


@pytest.mark.fault(
    "clocks",
    "a run is killed after the clock was set back: its directory has a listing that seems to be newer",
    "that listing is not taken for the run's own",
)
def test_a_listing_from_the_future(site: FaultySite, clock: Callable[[float], None]) -> None:
    fill(site)
    site.configure(InFlight=1, Connections=1)
    assert site.check().code == 0
    directory = site.home / "var/runs" / site.name
    clock(-86400.0)
    process = site.start_check()
    eventually("begun to list", site.journal.exists, process)
    process.kill()
    process.communicate()
    site.journal.unlink()
    state = json.loads((directory / "run.json").read_text())
    assert state["inventory_read"]
    # What was listed before is gone now, and is no orphan.
    for number in range(WIDE):
        site.path(f"data/{number:03d}/another long name of a file that nobody knows {number}.root").unlink()
    ended = site.check()
    assert ended.code == 0, ended.err
    assert site.found("compare_orphan") == []
    site.assert_true()
