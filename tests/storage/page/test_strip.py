import re

import pytest

from storage.history import RunStatus
from storage.page.runs import Run
from storage.page.strip import BASE, HEIGHT, PITCH, strip


def run(status: RunStatus = RunStatus.DONE, missing: int = 0, orphan: int = 0) -> Run:
    return Run(None, 0.0, None, status, missing=missing, orphan=orphan)


def heights(*runs: Run) -> list[int]:
    """Give the heights of the bars, oldest first; the runs are given newest first."""
    ((shape, path),) = strip(runs).paths
    assert shape == "bar"
    return [int(height) for height in re.findall(r"v-(\d+)", path)]


def test_the_newest_run_is_on_the_right() -> None:
    new, old = run(missing=1000), run(missing=1)
    first, second = heights(new, old)
    assert first < second


def test_bars_grow_with_each_digit_and_stay_inside() -> None:
    grown = heights(*(run(orphan=10**power) for power in reversed(range(9))))
    assert grown == sorted(grown)
    assert len(set(grown[:7])) == 7
    assert max(grown) <= HEIGHT < BASE


def test_a_cleaning_is_no_mark() -> None:
    cleaning = Run(None, 0.0, None, RunStatus.DONE, cleaned=True)
    assert strip([cleaning] * 9 + [run(missing=5)] * 2) == strip([run(missing=5)] * 2)


def test_nothing_found_is_still_a_mark() -> None:
    assert heights(run()) == [3]


def test_only_the_last_ten_are_shown_flush_right() -> None:
    ((_, path),) = strip([run() for _ in range(25)]).paths
    assert [int(x) for x in re.findall(r"M(\d+)", path)] == [place * PITCH + 1 for place in range(10)]
    ((_, path),) = strip([run()]).paths
    assert path.startswith(f"M{9 * PITCH + 1} ")


@pytest.mark.parametrize("status", RunStatus)
def test_each_way_to_end_has_a_mark_and_a_word(status: RunStatus) -> None:
    drawn = strip([run(status)])
    assert len(drawn.paths) == 1
    assert status.value in drawn.words


def test_marks_differ_in_shape_and_not_only_in_colour() -> None:
    shapes = {status: strip([run(status)]).paths[0][1] for status in RunStatus}
    assert len(set(shapes.values())) == len(RunStatus) - 1, "failed and died look alike, all others do not"


def test_words_say_the_same() -> None:
    assert strip([]).words == "no runs yet"
    drawn = strip([run(RunStatus.FAILED), run(), run()])
    assert drawn.words == "last 3 runs: 2 done, 1 failed; last: failed"
