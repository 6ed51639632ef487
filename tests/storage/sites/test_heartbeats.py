"""Signs of life in the summary: whose they are, and when a process of another machine counts as gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.site_states import SiteStatus
from storage.config.loading import Config
from storage.runs.directory import RunDirectory, RunInfo
from storage.sites import picker
from storage.sites.process import Owner, observer
from storage.sites.summary import Heartbeat, SummaryDatabase

SITE = "T2_X"
ELSEWHERE = Owner(42, "elsewhere.example", "boot 5")
SIGN = Heartbeat("listing", 12, 345, "", 1_700_000_000.0)
QUARTER = 900.0
HERE = (observer(), Owner.this().host)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "consistency_config.json").write_text('{"Sites": {"T2_X": {}}}')
    return Config.load(tmp_path / "consistency_config.json", {})


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SummaryDatabase]:
    with SummaryDatabase(tmp_path / "www" / "stats.db") as database:
        database.sync({SITE: True})
        database.running(SITE, ELSEWHERE, 1.0)
        yield database


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of this machine, as picking sees them; it counts up when a test says so."""
    now = [10_000.0]
    monkeypatch.setattr("storage.sites.picker.time.monotonic", lambda: now[0])
    return now


def test_the_last_sign_is_shown_until_the_run_is_over(database: SummaryDatabase) -> None:
    assert database.beats() == {}
    assert database.beat(SITE, ELSEWHERE, Heartbeat("reading the inventory"))
    assert database.beat(SITE, ELSEWHERE, SIGN)
    assert database.beats() == {SITE: SIGN}
    database.unlock(SITE, ELSEWHERE)
    assert database.beats() == {}
    # One that comes late is nobody's.
    assert not database.beat(SITE, ELSEWHERE, SIGN)
    assert database.beats() == {}


def test_a_sign_of_a_run_that_lost_its_site_is_not_taken_for_the_next_ones(database: SummaryDatabase) -> None:
    database.beat(SITE, ELSEWHERE, SIGN)
    database.running(SITE, Owner.this(), 2.0)
    assert database.beats() == {}
    assert not database.beat(SITE, ELSEWHERE, SIGN)
    assert database.beats() == {}


def test_signs_whose_text_no_column_takes(database: SummaryDatabase) -> None:
    database.beat(SITE, ELSEWHERE, replace(SIGN, note="\udcff"))
    assert database.beats()[SITE].note == "\\udcff"


def test_how_old_a_sign_is_goes_by_the_observers_clock(database: SummaryDatabase) -> None:
    database.beat(SITE, ELSEWHERE, SIGN)
    assert database.unchanged("a boot", 5.0) == {}
    database.observe("a boot", "a", 5.0)
    database.observe("a boot", "a", 50.0)
    assert database.unchanged("a boot", 105.0) == {SITE: 100.0}
    # The same sign once more is a new one, whatever the clock of its machine says.
    database.beat(SITE, ELSEWHERE, SIGN)
    assert database.unchanged("a boot", 105.0) == {}
    database.observe("a boot", "a", 105.0)
    assert database.unchanged("a boot", 106.0) == {SITE: 1.0}
    # Seconds that go back are those of another time.
    assert database.unchanged("a boot", 3.0) == {}
    database.observe("a boot", "a", 3.0)
    assert database.unchanged("a boot", 4.0) == {SITE: 1.0}


def test_a_run_elsewhere_that_is_silent_for_long_is_freed(
    database: SummaryDatabase, config: Config, clock: list[float]
) -> None:
    database.beat(SITE, ELSEWHERE, SIGN)
    assert picker.free_stale(database, config) == []
    clock[0] += QUARTER - 1
    assert picker.free_stale(database, config) == []
    assert picker.states(database, config)[0].heartbeat == SIGN
    clock[0] += 1
    (state,) = picker.states(database, config)
    assert (state.status, state.heartbeat) == (SiteStatus.READY, None)
    assert picker.free_stale(database, config) == [SITE]
    assert database.beats() == {}


def test_a_run_elsewhere_that_gives_signs_is_never_freed(
    database: SummaryDatabase, config: Config, clock: list[float]
) -> None:
    for hour in range(24):
        # Its clock stands still, or is years away from this one.
        database.beat(SITE, ELSEWHERE, replace(SIGN, given=1e9 * (hour % 2)))
        assert picker.free_stale(database, config) == []
        clock[0] += 3600.0


def test_looks_that_are_far_apart_do_not_free_a_run_that_beats(
    database: SummaryDatabase, config: Config, clock: list[float]
) -> None:
    database.beat(SITE, ELSEWHERE, SIGN)
    picker.free_stale(database, config)
    clock[0] += 30 * QUARTER
    database.beat(SITE, ELSEWHERE, SIGN)
    assert not picker.states(database, config)[0].over


def test_one_that_never_gave_a_sign_is_not_silent(
    database: SummaryDatabase, config: Config, clock: list[float]
) -> None:
    picker.free_stale(database, config)
    clock[0] += 100 * QUARTER
    assert picker.free_stale(database, config) == []


def test_a_run_whose_lock_is_held_is_not_freed_however_silent(
    database: SummaryDatabase, config: Config, clock: list[float], tmp_path: Path
) -> None:
    database.beat(SITE, ELSEWHERE, SIGN)
    picker.free_stale(database, config)
    clock[0] += 100 * QUARTER
    with RunDirectory(tmp_path / "var", SITE) as directory:
        directory.acquire(RunInfo(ELSEWHERE.pid, ELSEWHERE.host, 1.0, "ray"))
        assert picker.free_stale(database, config) == []
    assert picker.free_stale(database, config) == [SITE]


def test_a_process_of_this_machine_goes_by_the_process(
    database: SummaryDatabase, config: Config, clock: list[float]
) -> None:
    # Suspended or stopped it gives no sign, and lives.
    database.running(SITE, Owner.this(), 2.0)
    database.beat(SITE, Owner.this(), SIGN)
    picker.free_stale(database, config)
    clock[0] += 100 * QUARTER
    assert picker.free_stale(database, config) == []


def test_who_picks_frees_a_silent_run_elsewhere(database: SummaryDatabase, config: Config, clock: list[float]) -> None:
    class Sites:
        def site_list(self) -> list[str]:
            return [SITE]

        def ready_sites(self) -> frozenset[str]:
            return frozenset([SITE])

    database.beat(SITE, ELSEWHERE, SIGN)
    with pytest.raises(picker.NoMatchingSite):
        picker.pick_site(database, config, Sites())
    clock[0] += QUARTER
    assert picker.pick_site(database, config, Sites()).site == SITE
    # Should it live after all, it has lost the site.
    assert not database.beat(SITE, ELSEWHERE, SIGN)
    assert HERE[0].startswith(HERE[1])
