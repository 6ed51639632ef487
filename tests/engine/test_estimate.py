from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.estimate import SHOWN_SPAN, STEADY_SPAN, Estimate, Speed, estimate


def seen(*looks: tuple[float, int]) -> Speed:
    speed = Speed()
    for now, done in looks:
        speed.see(now, done)
    return speed


def test_nothing_is_known_without_a_look_or_after_a_single_one() -> None:
    assert seen().over(SHOWN_SPAN) is None
    assert seen((0, 100)).over(SHOWN_SPAN) is None
    assert seen((0, 100), (3, 400)).over(SHOWN_SPAN) is None, "it is too soon"
    assert seen((0, 100), (0, 100)).over(0.0, 0.0) is None


def test_the_speed_is_that_of_the_last_minute_and_not_since_the_start() -> None:
    # An hour at 1,000 a second, and then one at 10.
    speed = Speed()
    for second in range(0, 3600, 5):
        speed.see(second, 1000 * second)
    for second in range(3600, 7200, 5):
        speed.see(second, 3_600_000 + 10 * (second - 3600))
    assert speed.over(SHOWN_SPAN) == pytest.approx(10)
    assert speed.over(STEADY_SPAN) == pytest.approx(10)


def test_at_first_the_speed_is_that_of_what_was_seen() -> None:
    assert seen((10, 0), (15, 50)).over(SHOWN_SPAN) == 10


def test_a_standstill_is_seen_within_a_minute() -> None:
    speed = seen(*((second, 10 * second) for second in range(0, 300, 5)))
    for second in range(300, 360, 5):
        speed.see(second, 2950)
    assert speed.over(SHOWN_SPAN) == 0
    assert speed.steady() is None


def test_no_end_is_estimated_from_the_first_seconds() -> None:
    assert seen((0, 0), (10, 100)).steady() is None
    assert seen((0, 0), (10, 100), (20, 200)).steady() == 10


def test_what_counts_anew_is_not_a_step_back() -> None:
    speed = seen((0, 1000), (5, 2000), (10, 0), (15, 50))
    assert speed.over(SHOWN_SPAN) == 10


def test_only_the_last_minutes_are_kept() -> None:
    speed = seen(*((second, second) for second in range(0, 7200, 5)))
    assert len(speed._seen) <= STEADY_SPAN / 5 + 2


def test_a_site_as_large_as_last_time() -> None:
    assert estimate(1000, 250, 100, 5.0) == Estimate(0.25, 150.0)


@pytest.mark.parametrize(("expected", "speed"), [(0, 10.0), (-1, 10.0)])
def test_nothing_is_said_of_a_site_that_was_never_listed(expected: int, speed: float) -> None:
    assert estimate(expected, 250, 100, speed) == Estimate()


@pytest.mark.parametrize("speed", [None, 0.0, -1.0, 1e-9])
def test_without_a_speed_there_is_no_end(speed: float | None) -> None:
    assert estimate(1000, 250, 100, speed) == Estimate(0.25)


def test_a_site_that_has_grown_says_so_and_no_more() -> None:
    assert estimate(1000, 1100, 50, 5.0) == Estimate(is_more=True)
    assert estimate(1000, 500, 1000, 5.0) == Estimate(is_more=True), "what waits is known of"


def test_a_few_more_are_as_many() -> None:
    """Some directories are asked for twice, and sites grow a little from day to day."""
    assert estimate(1000, 1005, 0, 5.0) == Estimate(1.0, 0.0)
    assert estimate(10, 15, 5, 5.0) == Estimate(0.75, 1.0)


@given(
    st.integers(-10, 10**12),
    st.integers(-10, 10**12),
    st.integers(-10, 10**12),
    st.none() | st.floats(allow_nan=False, min_value=-1e9, max_value=1e9),
)
def test_a_share_is_a_share_and_no_time_is_negative(
    expected: int, done: int, waiting: int, speed: float | None
) -> None:
    found = estimate(expected, done, waiting, speed)
    assert found.share is None or 0 <= found.share <= 1
    assert found.seconds is None or 0 <= found.seconds <= 1e7
    assert found.seconds is None or found.share is not None
    assert not found.is_more or found.share is None


@given(st.lists(st.tuples(st.floats(0, 1e4), st.integers(0, 10**9)), max_size=40))
def test_no_speed_is_negative(steps: list[tuple[float, int]]) -> None:
    speed, now = Speed(), 0.0
    for step, done in steps:
        now += step
        speed.see(now, done)
        for rate in (speed.over(SHOWN_SPAN), speed.over(STEADY_SPAN), speed.steady()):
            assert rate is None or rate >= 0
