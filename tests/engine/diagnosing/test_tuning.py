"""What is made of a short measurement."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.diagnosing.facts import SpeedSample
from engine.diagnosing.tuning import Kind, suggest


def sample(alone: float, on_one: float, on_several: float, files: int = 100) -> SpeedSample:
    return SpeedSample(10, alone, on_one, on_several, 4, files)


@pytest.mark.parametrize(
    ("taken", "kind", "connections"),
    [
        (sample(0.0005, 0.002, 0.002), Kind.QUICK, 16),
        # Fifty milliseconds of way, and next to no work.
        (sample(0.050, 0.052, 0.052), Kind.FAR, 16),
        # Fifty milliseconds of work, of which four are done at a time.
        (sample(0.050, 0.500, 0.150), Kind.QUEUED, 16),
        (sample(0.050, 0.500, 0.480), Kind.BUSY, 4),
    ],
)
def test_what_the_time_goes_into_says_what_suits(taken: SpeedSample, kind: Kind, connections: int) -> None:
    found = suggest(taken)
    assert (found.kind, found.connections) == (kind, connections)


def test_a_door_far_away_is_given_many_requests_and_a_busy_one_few() -> None:
    far, busy = suggest(sample(0.050, 0.052, 0.052)), suggest(sample(0.050, 0.500, 0.480))
    assert (far.in_flight, busy.in_flight) == (512, 64)
    assert far.directories == pytest.approx(10 / 0.052)
    assert far.files == pytest.approx(100 / 0.052)


def test_more_listers_are_for_more_files_than_one_takes_in() -> None:
    assert suggest(sample(0.001, 0.01, 0.01, files=1_000)).listers == 1
    assert suggest(sample(0.001, 0.01, 0.01, files=10_000)).listers == 4


@given(
    st.floats(0, 100, allow_subnormal=False),
    st.floats(0, 100, allow_subnormal=False),
    st.floats(0, 100, allow_subnormal=False),
    st.integers(0, 20),
    st.integers(0, 10**6),
)
def test_whatever_is_measured_makes_limits_that_the_settings_take(
    alone: float, on_one: float, on_several: float, directories: int, files: int
) -> None:
    found = suggest(SpeedSample(directories, alone, on_one, on_several, 4, files))
    assert found.listers >= 1
    assert 64 <= found.in_flight <= 512
    assert found.connections in (4, 16)
    assert found.directories > 0
