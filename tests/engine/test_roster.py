"""Sites are checked when they are due, so many at a time, and sooner again after trouble."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.roster import Ending, Roster, RosterLimits, interval
from engine.site_states import Candidate, SiteStatus

DAY = 86400.0


def roster(*sites: str, parallel: int = 1, gap: float = 0.0) -> Roster:
    return Roster(RosterLimits(parallel, gap), dict.fromkeys(sites, 7 * DAY))


def ready(site: str, last_run: float | None = None, **more: object) -> Candidate:
    return Candidate(site, SiteStatus.READY, last_run, **more)  # type: ignore[arg-type]


def test_a_site_is_due_when_its_interval_has_gone_by_and_at_once_when_it_was_never_checked() -> None:
    ours = roster("new", "old", "fresh")
    now = 100 * DAY
    sites = [ready("fresh", now - 6 * DAY), ready("old", now - 8 * DAY), ready("new")]
    assert [candidate.site for candidate in ours.due(sites, now)] == ["new", "old"]
    assert ours.due_at(sites[0], now) == now - 6 * DAY + interval("fresh", 7 * DAY)


def test_intervals_are_spread_by_a_twentieth_and_stay_the_same() -> None:
    intervals = [interval(f"T2_{number}", 100.0) for number in range(500)]
    assert intervals == [interval(f"T2_{number}", 100.0) for number in range(500)]
    assert all(95 <= seconds <= 105 for seconds in intervals)
    assert min(intervals) < 96
    assert max(intervals) > 104


def test_so_many_are_at_work_at_a_time_those_of_others_included() -> None:
    ours = roster("a", "b", "c", parallel=2)
    sites = [ready("a"), ready("b"), ready("c")]
    assert ours.next(sites, (), 0.0, others=2) is None
    for name in ("a", "b"):
        chosen = ours.next(sites, (), 0.0)
        assert chosen is not None
        assert chosen.site == name
        ours.begun(name, 0.0)
    assert ours.next(sites, (), 0.0) is None
    ours.ended("a", Ending.DONE, 1.0)
    chosen = ours.next([ready("a", 0.0), *sites[1:]], (), 1.0)
    assert chosen is not None
    assert chosen.site == "c"


def test_checks_begin_some_time_apart() -> None:
    ours = roster("a", "b", parallel=9, gap=5.0)
    ours.begun("a", 10.0)
    assert ours.next([ready("b")], (), 14.9) is None
    assert ours.next([ready("b")], (), 15.0) is not None
    assert ours.next([ready("b")], (), 3.0) is not None, "the clock was set back"


def test_who_cannot_be_checked_now_is_passed_over() -> None:
    ours = roster("a", "b", "c", "d")
    sites = [
        ready("a", lock="gfal"),
        Candidate("b", SiteStatus.DISABLED),
        ready("c", at_work=True),
        ready("d", 0.0, lock="other"),
    ]
    chosen = ours.next(sites, ("gfal",), 100 * DAY)
    assert chosen is not None
    assert chosen.site == "d"


def test_a_check_that_was_interrupted_before_is_due_at_once() -> None:
    ours = roster("a")
    ours.unfinished.add("a")
    assert ours.due([ready("a", 99.0)], 100.0)
    ours.begun("a", 100.0)
    ours.ended("a", Ending.HALTED, 101.0)
    assert not ours.due([ready("a", 100.0)], 102.0), "whoever halts it means it"


@pytest.mark.parametrize(
    ("ending", "after"), [(Ending.DIED, [5, 10, 20, 40]), (Ending.FAILED, [300, 600, 1200, 2400, 3600, 3600])]
)
def test_trouble_is_tried_again_later_each_time(ending: Ending, after: list[int]) -> None:
    ours = roster("a")
    for number, seconds in enumerate(after):
        ours.begun("a", 1000.0)
        ours.ended("a", ending, 1000.0)
        assert ours.troubles("a") == number + 1
        assert ours.due_at(ready("a", 1000.0), 1000.0) == 1000.0 + seconds
    ours.begun("a", 9000.0)
    ours.ended("a", Ending.DONE, 9100.0)
    assert ours.troubles("a") == 0
    assert ours.due_at(ready("a", 9000.0), 9100.0) > 9100.0 + 6 * DAY


def test_after_a_failure_nothing_is_in_more_of_a_hurry_than_the_interval() -> None:
    ours = Roster(RosterLimits(), {"a": 60.0})
    ours.ended("a", Ending.FAILED, 0.0)
    assert ours.due_at(ready("a", 0.0), 0.0) == 60.0


def test_sites_that_need_the_same_lock_are_not_begun_together() -> None:
    ours = roster("a", "b", "c", parallel=3)
    sites = [ready("a", lock="gfal"), ready("b", lock="gfal"), ready("c")]
    ours.begun("a", 0.0)
    chosen = ours.next(sites, (), 1.0)
    assert chosen is not None
    assert chosen.site == "c"


def test_what_was_begun_here_is_not_due_again_although_the_summary_knows_nothing_of_it() -> None:
    ours = roster("a")
    ours.begun("a", 1000.0)
    ours.ended("a", Ending.DONE, 1001.0)
    assert not ours.due([ready("a")], 1002.0)
    assert not ours.due([ready("a", 5.0)], 1000.0 + 6 * DAY)
    assert ours.due([ready("a")], 1000.0 + 8 * DAY)


def test_a_clock_that_is_set_back_makes_nobody_wait_for_it() -> None:
    ours = roster("a", "b")
    now = 100 * DAY
    ours.begun("a", now)
    ours.ended("a", Ending.FAILED, now)
    assert ours.due_at(ready("a", now), now - DAY) == now - DAY + 300
    assert ours.due_at(ready("b", now), now - DAY) <= now - DAY + 7.4 * DAY


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.floats(1.0, 50.0), min_size=1),
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from(list(Ending)), st.floats(0.0, 20.0)), max_size=80),
)
def test_every_site_has_its_turn_and_the_limits_hold(
    intervals: dict[str, float], parallel: int, endings: list[tuple[Ending, float]]
) -> None:
    ours = Roster(RosterLimits(parallel), intervals)
    last: dict[str, float | None] = dict.fromkeys(intervals)
    begun: Counter[str] = Counter()
    now = 0.0
    for ending, seconds in endings:
        now += seconds
        while (chosen := ours.next([ready(site, at) for site, at in last.items()], (), now)) is not None:
            assert chosen.site not in ours.running
            last[chosen.site] = now
            begun[chosen.site] += 1
            ours.begun(chosen.site, now)
            assert len(ours.running) <= parallel
        if ours.running:
            ours.ended(min(ours.running, key=lambda site: last[site] or 0.0), ending, now)
    if len(endings) > 2 * len(intervals):
        assert set(begun) == set(intervals), "a site that was never checked goes before all others"
