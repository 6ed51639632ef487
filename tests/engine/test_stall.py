"""When a listing is taken to have stopped, told to a watch whose time is a number."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.stall import (
    AwakeClock,
    GiveUp,
    GoesOn,
    Instruction,
    ReplaceStuck,
    Say,
    StallLimits,
    StallWatch,
    Waiting,
    describe,
)

LIMITS = StallLimits(say_after=10, replace_after=50, give_up_after=100)


def watch_for(watch: StallWatch, begin: int, end: int, answers: int = 0, is_open: bool = True) -> list[Instruction]:
    """Look once a second."""
    return [said for now in range(begin, end) for said in watch.look(answers, is_open, float(now))]


def test_silence_is_told_at_longer_and_longer_intervals_then_ends_the_run() -> None:
    assert watch_for(StallWatch(LIMITS), 0, 110) == [Say(10), Say(20), Say(40), ReplaceStuck(50), Say(80), GiveUp(100)]


def test_an_answer_begins_the_wait_anew_and_is_told_when_the_silence_was() -> None:
    watch = StallWatch(LIMITS)
    assert watch_for(watch, 0, 15) == [Say(10)]
    assert watch_for(watch, 15, 24, answers=1) == [GoesOn(15)]
    assert watch_for(watch, 24, 30, answers=2) == []
    assert watch_for(watch, 30, 36, answers=2) == [Say(10)]


def test_nothing_is_waited_for_when_nothing_is_to_be_asked() -> None:
    assert watch_for(StallWatch(LIMITS), 0, 1000, is_open=False) == []


def test_without_a_limit_the_wait_has_no_end() -> None:
    said = watch_for(StallWatch(StallLimits.of(0, 30.0)), 0, 100_000)
    assert said
    assert {type(one) for one in said} == {Say}


def test_time_in_which_nobody_was_awake_is_no_silence() -> None:
    watch = StallWatch(LIMITS)
    watch.look(1, True, 0.0)
    # The process was stopped for a day.
    assert watch.look(1, True, 86400.0) == []
    assert watch_for(watch, 86401, 86405, answers=1) == []
    assert watch_for(watch, 86405, 86406, answers=1) == [Say(10)]


def test_a_slow_store_has_the_time_of_three_requests() -> None:
    assert StallLimits.of(30, 30.0).give_up_after == 1800
    assert StallLimits.of(30, 3600.0).give_up_after == 3 * 3600
    assert StallLimits.of(0, 30.0).give_up_after == 0


@given(st.lists(st.floats(-1e6, 1e9)))
def test_the_time_awake_never_runs_back_nor_ahead_of_the_looks(moments: list[float]) -> None:
    clock = AwakeClock(5.0)
    seen = [clock.at(moment) for moment in moments]
    assert seen == sorted(seen)
    assert all(now <= 5.0 * position for position, now in enumerate(seen))


def test_what_is_waited_for_is_said_in_one_line() -> None:
    waiting = (Waiting(b"/store/a\nb", "lister:SITE:1", 300.0),)
    assert describe(70, waiting, 1200) == (
        "nothing has answered for 70 s; waiting for /store/a\\nb (lister:SITE:1, for 5 minutes) and 1,200 more"
    )
    assert describe(70, ()) == "nothing has answered for 70 s"
