from __future__ import annotations

import pytest

from engine.gates import Refusal
from engine.usual import EarlierRun, UsualFiles


def runs(*files: int, complete: bool = True, inventory: int = 0) -> list[EarlierRun]:
    return [EarlierRun(count, inventory, complete) for count in files]


def test_usual_is_the_median_of_the_last_three_runs() -> None:
    assert UsualFiles.of(runs(100, 900, 1000, 1, 1), 0.5).store == 900
    assert UsualFiles.of(runs(100, 900), 0.5).store == 100
    assert UsualFiles.of([], 0.5) == UsualFiles(0, 0, 0.5)


def test_runs_that_did_not_see_everything_make_no_small_number_the_usual_one() -> None:
    incomplete = runs(10, 20, 30, complete=False)
    assert UsualFiles.of([*incomplete, *runs(1000, 1100)], 0.5).store == 1000
    assert UsualFiles.of([*incomplete, *runs(5)], 0.5).store == 20
    assert UsualFiles.of(incomplete, 0.5).store == 20


def test_runs_that_noted_no_inventory_say_nothing_of_it() -> None:
    earlier = [*runs(100), *runs(100, inventory=300), *runs(100), *runs(100, 100, inventory=500)]
    assert UsualFiles.of(earlier, 0.5).inventory == 500


def test_half_of_what_is_usual_is_enough_and_less_is_not() -> None:
    usual = UsualFiles(store=1000, inventory=600, fraction=0.5)
    assert usual.refusal(500, 300) is None
    assert usual.refusal(None, 300) is None
    assert usual.refusal(499, 300) == Refusal(
        "fewer-files", "the store has 499 files where the last runs had 1000, MinFiles is 0.5"
    )
    assert usual.refusal(None, 299) == Refusal(
        "fewer-files", "the inventory has 299 files where the last runs had 600, MinFiles is 0.5"
    )
    both = usual.refusal(499, 299)
    assert both is not None
    assert "the store has 499" in both.message
    assert "the inventory has 299" in both.message


@pytest.mark.parametrize(
    "usual", [UsualFiles(1000, 600, 0.0), UsualFiles(19, 19, 0.5), UsualFiles(0, 0, 0.5)], ids=["off", "few", "first"]
)
def test_nothing_is_refused(usual: UsualFiles) -> None:
    assert usual.refusal(1, 1) is None


def test_a_dump_may_shrink_by_a_tenth_more_than_the_inventory_does() -> None:
    usual = UsualFiles(store=1000, inventory=600, fraction=0.5, dumped=True)
    assert usual.refusal(900, 600) is None
    assert usual.refusal(899, 600) == Refusal(
        "fewer-files",
        "the dump has 899 files where the last runs had 1000, and the inventory 600 where they had 600: the dump may "
        "be cut off",
    )
    assert usual.refusal(721, 480) is None
    assert usual.refusal(719, 480) is not None
    assert usual.refusal(899, 6000) is not None
    assert UsualFiles(store=1000, inventory=600, dumped=True).refusal(1, 600) is None
