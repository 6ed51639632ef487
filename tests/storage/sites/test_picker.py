"""One site for one process: picked by real processes, freed when they die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from engine.site_states import BadAction, NoMatchingSite, SiteStatus
from storage.backends.protocols import BackendError
from storage.config.loading import Config
from storage.runs.directory import RunDirectory, RunInfo
from storage.sites import picker
from storage.sites.process import Owner
from storage.sites.summary import SiteRow, StatsRow, SummaryDatabase

ROOT = Path(__file__).parents[3]
SITES = ["T1_US_FNAL", "T2_DE_DESY", "T2_US_MIT"]


@dataclass
class Listed:
    """Which sites there are, as a test wants it."""

    names: Sequence[str]
    ready: Collection[str]

    def site_list(self) -> Sequence[str]:
        return self.names

    def ready_sites(self) -> Collection[str]:
        return self.ready


def write_config(directory: Path, sites: Mapping[str, Mapping[str, Any]]) -> Path:
    path = directory / "consistency_config.json"
    path.write_text(json.dumps({"Sites": sites}))
    return path


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config.load(write_config(tmp_path, {site: {} for site in SITES}), {})


@pytest.fixture
def srm(tmp_path: Path) -> Config:
    """Two sites that are listed through SRM, and one that is not."""
    method = {"AccessMethod": "SRM"}
    return Config.load(write_config(tmp_path, {"T2_S1": method, "T2_S2": method, "T2_X": {}}), {})


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SummaryDatabase]:
    with SummaryDatabase(tmp_path / "www" / "stats.db") as database:
        yield database


def backend(config: Config) -> Listed:
    return Listed(config.sites, frozenset(config.sites))


def pick(database: SummaryDatabase, config: Config, *arguments: Any, **more: Any) -> str:
    picked = picker.pick_site(database, config, backend(config), *arguments, **more)
    if picked.lock is not None:
        picked.lock.release()
    return picked.site


def test_the_summary_is_where_the_configuration_says(config: Config, tmp_path: Path) -> None:
    assert picker.summary_path(config) == tmp_path / "www" / "stats.db"


def test_sites_take_turns(database: SummaryDatabase, config: Config) -> None:
    order = []
    for turn in range(6):
        site = pick(database, config)
        database.running(site, Owner.this(), 10.0 * turn)
        database.update(StatsRow(site, 10.0 * turn + 5))
        database.unlock(site)
        order.append(site)
    assert order == SITES * 2


def test_a_site_whose_runs_fail_is_not_next_for_ever(database: SummaryDatabase, config: Config) -> None:
    for turn in range(6):
        site = pick(database, config)
        database.running(site, Owner.this(), 10.0 * turn)
        # It never has a result.
        if site != SITES[0]:
            database.update(StatsRow(site, 10.0 * turn + 5))
        database.unlock(site)
    assert [len(database.history(site)) for site in SITES] == [0, 2, 2]


def test_a_site_from_the_time_before_a_clock_was_set_back_has_its_turn(
    database: SummaryDatabase, config: Config
) -> None:
    first, *others = sorted(config.sites)
    database.sync(dict.fromkeys(config.sites, True))
    for site in others:
        database.running(site, Owner.this(), time.time() - 1000)
        database.unlock(site)
    database.running(first, Owner.this(), time.time() + 365 * 86400)
    database.unlock(first)
    assert pick(database, config) == first


def test_a_site_at_which_a_process_is_at_work_is_not_picked(
    database: SummaryDatabase, config: Config, tmp_path: Path
) -> None:
    directory = RunDirectory(config.site("T2_US_MIT").var_location, "T2_US_MIT")
    directory.acquire(RunInfo(1, "elsewhere", 1.0, "threads"))
    # Its run has a result, and is about to let go of it.
    with directory, pytest.raises(NoMatchingSite, match="T2_US_MIT: a process is at work there"):
        pick(database, config, "MIT")
    assert pick(database, config, "MIT") == "T2_US_MIT"


def test_what_is_picked_belongs_to_this_process(database: SummaryDatabase, config: Config) -> None:
    site = pick(database, config, "MIT")
    assert database.site(site) == SiteRow("T2_US_MIT", True, SiteStatus.LOCKED, owner=Owner.this())
    assert [row.site for row in database.sites()] == ["T2_US_MIT"]
    with pytest.raises(NoMatchingSite, match="T2_US_MIT: picked by a process"):
        pick(database, config, "MIT")


def test_the_list_of_the_backend_is_taken_over(database: SummaryDatabase, config: Config) -> None:
    database.sync({"T2_Gone": True, "T2_DE_DESY": True})
    picked = picker.pick_site(database, config, Listed([*SITES, "T3_Not_Configured"], SITES[2:]))
    assert picked.site == "T2_US_MIT"
    assert {row.site: row.is_good for row in database.sites()} == {
        "T1_US_FNAL": False,
        "T2_DE_DESY": False,
        "T2_Gone": False,
        "T2_US_MIT": True,
        "T3_Not_Configured": False,
    }
    with pytest.raises(
        NoMatchingSite, match=r"T1_US_FNAL: not ready, says the backend; .*T2_US_MIT: picked by a process"
    ):
        picker.pick_site(database, config, Listed(SITES, SITES[2:]))


@pytest.mark.parametrize("pattern", ["XX", "^US", "("])
def test_no_site_that_matches(database: SummaryDatabase, config: Config, pattern: str) -> None:
    with pytest.raises(NoMatchingSite) as caught:
        pick(database, config, pattern)
    assert pattern in str(caught.value)
    assert "\n" not in str(caught.value)
    assert database.sites() == []


def test_a_configuration_without_sites(database: SummaryDatabase) -> None:
    with pytest.raises(NoMatchingSite, match="known: none"):
        pick(database, Config.default({}))


def test_halted_and_disabled_sites_are_left_out(database: SummaryDatabase, config: Config) -> None:
    picker.sync(database, backend(config))
    database.set_status(SITES[0], SiteStatus.HALT)
    database.set_status(SITES[1], SiteStatus.DISABLED)
    assert pick(database, config) == SITES[2]
    with pytest.raises(NoMatchingSite, match="T1_US_FNAL: halted; T2_DE_DESY: disabled"):
        pick(database, config)


def test_the_last_word_is_that_of_the_check(database: SummaryDatabase, config: Config) -> None:
    def check(site: str) -> str:
        if site == SITES[1]:
            raise BackendError("the backend is\naway")
        return "no memory" if site == SITES[0] else ""

    assert pick(database, config, check=check) == SITES[2]
    with pytest.raises(NoMatchingSite, match="T1_US_FNAL: no memory; T2_DE_DESY: the backend is away"):
        pick(database, config, check=check)
    assert database.site(SITES[0]).status == SiteStatus.READY


def test_sites_with_one_lock_are_picked_one_after_the_other(database: SummaryDatabase, srm: Config) -> None:
    first = picker.pick_site(database, srm, backend(srm), None, "gfal")
    assert (first.site, first.lock is not None) == ("T2_S1", True)
    second = picker.pick_site(database, srm, backend(srm))
    assert (second.site, second.lock) == ("T2_X", None)
    with pytest.raises(NoMatchingSite, match="T2_S2: the lock gfal is held"):
        picker.pick_site(database, srm, backend(srm))
    assert first.lock is not None
    first.lock.release()
    assert pick(database, srm) == "T2_S2"


def test_the_lock_that_the_site_must_use(database: SummaryDatabase, srm: Config) -> None:
    assert pick(database, srm, None, "") == "T2_X"
    with pytest.raises(NoMatchingSite, match=r"T2_S1: needs the lock gfal; .*T2_X: picked by a process"):
        pick(database, srm, None, "")
    with pytest.raises(NoMatchingSite, match="T2_S1: needs the lock gfal"):
        pick(database, srm, None, "no such lock")
    assert pick(database, srm, "S2", "gfal") == "T2_S2"


PICK = """
import sys, time
from pathlib import Path
from storage.sites import picker
from storage.config.loading import Config
from storage.sites.process import Owner
from storage.sites.summary import SummaryDatabase
config = Config.load(sys.argv[1], {})
class Sites:
    def site_list(self): return config.sites
    def ready_sites(self): return frozenset(config.sites)
with SummaryDatabase(picker.summary_path(config)) as database:
    print("here", flush=True)
    sys.stdin.readline()
    try:
        picked = picker.pick_site(database, config, Sites(), *sys.argv[2:])
    except picker.NoMatchingSite as error:
        print("none", flush=True)
    else:
        print(picked.site, flush=True)
    sys.stdin.readline()
"""


def start_picking(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", PICK, str(tmp_path / "consistency_config.json"), *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "here\n"
    return child


def tell(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def heard(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def test_processes_that_pick_at_once_get_different_sites(tmp_path: Path) -> None:
    write_config(tmp_path, {f"T2_{number}": {} for number in range(4)} | {"T2_S1": {"AccessMethod": "SRM"}})
    children = [start_picking(tmp_path) for _ in range(6)]
    for child in children:
        tell(child)
    picked = sorted(map(heard, children))
    for child in children:
        child.communicate("\n", timeout=60)
    assert picked == ["T2_0", "T2_1", "T2_2", "T2_3", "T2_S1", "none"]


def test_two_processes_never_share_a_lock(tmp_path: Path, database: SummaryDatabase, srm: Config) -> None:
    children = [start_picking(tmp_path, "S") for _ in range(3)]
    for child in children:
        tell(child)
    picked = sorted(map(heard, children))
    assert picked in (["T2_S1", "none", "none"], ["T2_S2", "none", "none"])
    # The lock ends with the process, and so does what it picked.
    for child in children:
        child.send_signal(signal.SIGKILL)
        child.communicate(timeout=60)
    assert database.site(picked[0]).status == SiteStatus.LOCKED
    assert pick(database, srm, picked[0]) == picked[0]


def test_a_site_whose_process_was_killed_is_freed(tmp_path: Path, database: SummaryDatabase, config: Config) -> None:
    child = start_picking(tmp_path, "MIT")
    tell(child)
    assert heard(child) == "T2_US_MIT"
    row = database.site("T2_US_MIT")
    assert row.owner is not None
    assert row.owner.pid == child.pid
    database.running("T2_US_MIT", row.owner, 1.0)
    assert picker.free_stale(database, config) == []
    with pytest.raises(BadAction, match="halt that first"):
        picker.set_status(database, config, "T2_US_MIT", SiteStatus.READY)
    picker.set_status(database, config, "T2_US_MIT", SiteStatus.HALT)
    # It was told to halt, but is at it still.
    with pytest.raises(NoMatchingSite, match="T2_US_MIT: halted"):
        pick(database, config, "MIT")
    database.running("T2_US_MIT", row.owner, 2.0)
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)
    assert [state.status for state in picker.states(database, config)] == [SiteStatus.READY]
    assert picker.free_stale(database, config) == ["T2_US_MIT"]
    assert database.site("T2_US_MIT") == SiteRow("T2_US_MIT", True, last_started=2.0)


def gone() -> Owner:
    """A process with the number of this one, which is an earlier one."""
    this = Owner.this()
    boot, ticks = this.start.split()
    return replace(this, start=f"{boot} {int(ticks) - 1}")


def test_a_number_that_another_process_has_by_now_frees_the_site(database: SummaryDatabase, config: Config) -> None:
    picker.sync(database, backend(config))
    database.running(SITES[0], gone(), 1.0)
    database.running(SITES[1], Owner.this(), 1.0)
    assert picker.free_stale(database, config) == [SITES[0]]


def test_a_run_that_was_halted_and_is_over_goes_on(database: SummaryDatabase, config: Config) -> None:
    picker.sync(database, backend(config))
    database.running(SITES[0], gone(), 1.0)
    database.interrupt(SITES[0])
    assert picker.free_stale(database, config) == []
    assert database.site(SITES[0]).status == SiteStatus.HALT
    assert pick(database, config, SITES[0]) == SITES[0]
    assert database.site(SITES[0]) == SiteRow(SITES[0], True, SiteStatus.LOCKED, last_started=1.0, owner=Owner.this())


def test_a_run_that_was_halted_and_ended_goes_on_anywhere(database: SummaryDatabase, config: Config) -> None:
    picker.sync(database, backend(config))
    elsewhere = Owner(1, "elsewhere.example", "boot 5")
    for site, owner in zip(SITES, (Owner.this(), elsewhere), strict=False):
        database.running(site, owner, 1.0)
        database.interrupt(site)
        with pytest.raises(NoMatchingSite, match="halted"):
            pick(database, config, site)
        database.unlock(site)
        assert database.site(site).status == SiteStatus.HALT
        assert pick(database, config, site) == site


def test_a_disabled_site_is_not_freed(database: SummaryDatabase, config: Config) -> None:
    picker.sync(database, backend(config))
    database.running(SITES[0], gone(), 1.0)
    database.set_status(SITES[0], SiteStatus.DISABLED)
    assert picker.free_stale(database, config) == []
    with pytest.raises(NoMatchingSite, match="disabled"):
        pick(database, config, SITES[0])


def test_a_run_whose_lock_is_held_is_not_freed(database: SummaryDatabase, config: Config, tmp_path: Path) -> None:
    picker.sync(database, backend(config))
    database.running(SITES[0], gone(), 1.0)
    directory = RunDirectory(tmp_path / "var", SITES[0])
    directory.acquire(RunInfo(1, "here", 1.0, "threads"))
    assert picker.free_stale(database, config) == []
    assert picker.states(database, config)[0].at_work
    directory.release()
    assert picker.free_stale(database, config) == [SITES[0]]


def test_another_machines_state_stays_unless_the_shared_lock_tells(
    database: SummaryDatabase, config: Config, tmp_path: Path
) -> None:
    picker.sync(database, backend(config))
    elsewhere = Owner(1, "elsewhere.example", "boot 5")
    database.running(SITES[0], elsewhere, 1.0)
    assert picker.free_stale(database, config) == []
    # A directory that another process used last says nothing of this one.
    directory = RunDirectory(tmp_path / "var", SITES[0])
    directory.acquire(RunInfo(2, elsewhere.host, 1.0, "ray"))
    os.close(directory._lock or -1)
    assert picker.free_stale(database, config) == []
    directory.acquire(RunInfo(elsewhere.pid, elsewhere.host, 1.0, "ray"))
    assert picker.free_stale(database, config) == []
    # The process was killed there: the name stays, the lock goes.
    os.close(directory._lock or -1)
    assert picker.free_stale(database, config) == [SITES[0]]


def test_anybody_may_free_another_machines_state(database: SummaryDatabase, config: Config) -> None:
    picker.sync(database, backend(config))
    database.running(SITES[0], Owner(1, "elsewhere.example"), 1.0)
    assert picker.set_status(database, config, SITES[0], SiteStatus.READY).status == SiteStatus.RUNNING
    assert database.site(SITES[0]).owner is None


def test_a_site_is_learned_when_the_backend_knows_it(database: SummaryDatabase, config: Config) -> None:
    database.sync({"T2_Old": True})
    picker.learn(database, backend(config), "T2_US_MIT")
    assert {row.site: row.is_good for row in database.sites()} == {"T2_Old": False, "T2_US_MIT": True}
    picker.learn(database, backend(config), "T2_Old")
    with pytest.raises(NoMatchingSite, match=r"known: T1_US_FNAL, T2_DE_DESY, T2_Old, T2_US_MIT$"):
        picker.learn(database, backend(config), "T2_None")


def test_what_only_the_backend_knows_is_shown_too(database: SummaryDatabase, srm: Config) -> None:
    database.sync({"T2_Old": True, "T2_X": False})
    shown = picker.with_listed(picker.states(database, srm), Listed(srm.sites, ["T2_S1", "T2_X", "T2_Old"]), srm)
    assert [(state.row.site, state.row.is_good, state.lock) for state in shown] == [
        ("T2_Old", False, ""),
        ("T2_S1", True, "gfal"),
        ("T2_S2", False, "gfal"),
        ("T2_X", True, ""),
    ]


def test_names_that_would_be_other_directories_are_names(database: SummaryDatabase, config: Config) -> None:
    names = ["../../etc", "new\nline", "T2_<script>", "größe"]
    with pytest.raises(NoMatchingSite, match="not ready") as caught:
        picker.pick_site(database, config, Listed(names, []))
    assert "\n" not in str(caught.value)
    assert picker.pick_site(database, config, Listed(names, names), "etc").site == "../../etc"
