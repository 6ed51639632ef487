from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.history import RunStatus
from storage.page.charts import BOTTOM, LEFT, RIGHT, TOP, Chart, axis, charts, short
from storage.page.runs import Run

DAY = 86400.0


def runs(values: Sequence[int | None]) -> list[Run]:
    """Make a run a day, given oldest first and as charts get them, newest first; None is one that failed."""
    made = [
        Run(None, DAY * day, None, RunStatus.FAILED)
        if value is None
        else Run(None, DAY * day, None, RunStatus.DONE, seconds=60.0, files=value, missing=value, orphan=value)
        for day, value in enumerate(values)
    ]
    return made[::-1]


def drawn(values: Sequence[int | None], key: str = "missing", limit: int = 100) -> Chart:
    (found,) = [chart for chart in charts(runs(values), limit, 1000) if chart.key == key]
    return found


def test_there_are_four_charts() -> None:
    assert [chart.key for chart in charts(runs([1]), 100, 1000)] == ["missing", "orphan", "files", "time"]


def test_without_results_there_is_nothing_to_draw() -> None:
    assert charts([], 100, 1000) == ()
    assert charts(runs([None]), 100, 1000) == ()


def test_time_goes_from_left_to_right_and_values_up() -> None:
    chart = drawn([0, 10, 30])
    assert chart.points[0] == (LEFT, BOTTOM)
    assert chart.points[-1] == (RIGHT, TOP)
    assert [tick.label for tick in chart.rows] == ["0", "10", "20", "30"]
    assert [tick.label for tick in chart.times] == ["1970-01-01", "1970-01-03"]


def test_a_run_without_results_is_a_cross_and_no_value() -> None:
    chart = drawn([5, None, 7])
    assert len(chart.points) == 2
    assert chart.crosses == ((LEFT + RIGHT) / 2,)


def test_a_run_that_goes_on_is_no_cross() -> None:
    going = Run(None, 9 * DAY, None, RunStatus.RUNNING)
    assert [chart.crosses for chart in charts([going, *runs([5, 6])], 100, 1000)] == [()] * 4


def test_a_cleaning_is_in_no_chart() -> None:
    cleaning = Run(None, 9 * DAY, None, RunStatus.DONE, seconds=1.0, cleaned=True)
    assert charts([cleaning, *runs([5, 6])], 100, 1000) == charts(runs([5, 6]), 100, 1000)
    assert charts([cleaning], 100, 1000) == ()


def test_what_a_run_does_not_know_is_no_point() -> None:
    listed = Run(None, 9 * DAY, None, RunStatus.DONE, seconds=1.0, files=9)
    points = {chart.key: len(chart.points) for chart in charts([listed, *runs([5, 6])], 100, 1000)}
    assert points == {"missing": 2, "orphan": 2, "files": 3, "time": 3}
    assert [chart.key for chart in charts([listed], 100, 1000)] == ["files", "time"]


def test_the_limit_is_drawn_when_values_come_near_it() -> None:
    near = drawn([10, 60]).limit
    assert near is not None
    assert near.label == "MaxMissing 100"
    assert TOP <= near.at <= BOTTOM
    assert drawn([1, 2]).limit is None
    assert drawn([10, 60], limit=0).limit is None


def test_files_are_seen_to_change_though_they_are_many() -> None:
    chart = drawn([4_000_000, 4_010_000], "files")
    (_, first), (_, last) = chart.points
    assert first - last > (BOTTOM - TOP) / 3
    assert chart.rows[0].label.startswith(("4M", "3.9"))


def test_one_run_is_drawn_too() -> None:
    chart = drawn([3])
    assert len(chart.points) == 1
    assert chart.words == "Missing files over 1 run: last 3, lowest 3, highest 3"


def test_words_say_what_the_picture_shows() -> None:
    assert drawn([2, 1000, 5]).words == "Missing files over 3 runs: last 5, lowest 2, highest 1,000"


@pytest.mark.parametrize(
    ("value", "label"), [(0, "0"), (2.5, "2.5"), (1000, "1k"), (2500, "2.5k"), (4e6, "4M"), (5e9, "5G"), (1e13, "10T")]
)
def test_ticks_are_short(value: float, label: str) -> None:
    assert short(value) == label


def test_a_change_too_small_to_see_has_ticks_that_can_be_told_apart() -> None:
    assert len({tick.label for tick in drawn([4_123_456, 4_123_457], "files").rows}) == 4


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.booleans())
def test_an_axis_holds_all_values(low: int, span: int, whole: bool) -> None:
    ground, step = axis(float(low), float(low + span), whole)
    assert step > 0
    assert ground <= low
    assert ground + 3 * step >= low + span
    assert not (whole and step % 1)


@given(st.lists(st.one_of(st.none(), st.integers(0, 2**63)), min_size=1, max_size=30))
def test_nothing_is_drawn_outside_of_the_plot(values: list[int | None]) -> None:
    for chart in charts(runs(values), 100, 1000):
        assert all(LEFT <= x <= RIGHT and TOP - 0.1 <= y <= BOTTOM + 0.1 for x, y in chart.points)
        assert all(LEFT <= x <= RIGHT for x in chart.crosses)
