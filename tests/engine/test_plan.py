"""What is left of a plan, how much of it is taken at a time, and when it must not be applied."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.actions import ActionLimits
from engine.gates import Refusal
from engine.plan import (
    USUAL_ACTIONS,
    Cause,
    ItemEvent,
    PlanHeader,
    PlanItem,
    PlanRun,
    PlanState,
    PlanSums,
    portion,
    refusal_of,
)

DAY = 86400.0


def item(number: int, cause: Cause = Cause.ORPHAN, size: int = 10) -> PlanItem:
    return PlanItem(number, cause, b"/store/%d" % number, size, 1, "because", USUAL_ACTIONS[cause])


ITEMS = [item(1), item(2, size=-1), item(3, size=25), item(4, Cause.EMPTY, -1), item(5, Cause.MISSING, 1000)]


def test_what_has_ended_stays_so() -> None:
    state = PlanState()
    state.take([1, 2, 3], ItemEvent.BEGUN)
    state.take([1], ItemEvent.DONE)
    state.take([2], ItemEvent.FAILED)
    state.take([4], ItemEvent.DROPPED)
    assert [left.number for left in state.open_items(ITEMS)] == [2, 3, 5]
    assert [number for number in range(1, 6) if state.is_in_doubt(number)] == [3]
    state.take([1, 4], ItemEvent.BEGUN)
    assert [left.number for left in state.open_items(ITEMS)] == [2, 3, 5]
    assert state.doubles == 2
    assert (state.count(ItemEvent.DONE), state.count(ItemEvent.DROPPED), state.last(9)) == (1, 1, None)


@pytest.mark.parametrize(
    ("limit", "most_bytes", "chosen"),
    [
        (None, None, [1, 2, 3, 4, 5]),
        (2, None, [1, 2]),
        (0, None, []),
        (None, 35, [1, 2, 3, 4, 5]),
        # Not passed over for the sake of what is behind it.
        (None, 34, [1, 2]),
        (None, 0, []),
        (4, 35, [1, 2, 3, 4]),
    ],
)
def test_a_portion_is_the_first_items(limit: int | None, most_bytes: int | None, chosen: list[int]) -> None:
    assert [taken.number for taken in portion(ITEMS, limit, most_bytes)] == chosen


@given(st.lists(st.integers(-1, 50), max_size=20), st.none() | st.integers(0, 20), st.none() | st.integers(0, 200))
def test_a_portion_keeps_its_limits_and_leaves_no_gap(
    sizes: list[int], limit: int | None, most_bytes: int | None
) -> None:
    items = [item(number, size=size) for number, size in enumerate(sizes, 1)]
    chosen = portion(items, limit, most_bytes)
    assert chosen == items[: len(chosen)]
    assert limit is None or len(chosen) <= limit
    assert most_bytes is None or sum(taken.weight for taken in chosen) <= most_bytes


def test_sums_count_what_is_known() -> None:
    sums = PlanSums.of(ITEMS)
    assert sums.items == {Cause.ORPHAN: 3, Cause.EMPTY: 1, Cause.MISSING: 1}
    assert sums.size == {Cause.ORPHAN: 35, Cause.EMPTY: 0, Cause.MISSING: 1000}
    assert (sums.total, sums.total_size) == (5, 1035)


RUN = PlanRun(7, 99 * DAY, 98 * DAY, missing=2, orphan=3, inventory_files=100, store_files=100, directories=50)
HEADER = PlanHeader("T2_X", RUN, 100 * DAY, mark="a")
LIMITS = ActionLimits(max_missing=10, max_orphan=10)


def known() -> PlanState:
    state = PlanState()
    state.is_known = True
    return state


def refused(
    header: PlanHeader = HEADER, state: PlanState | None = None, days: float = 1.0, limits: ActionLimits = LIMITS
) -> str:
    refusal = refusal_of(header, state or known(), (100 + days) * DAY, 7.0, limits)
    return "" if refusal is None else refusal.gate


def test_a_plan_is_applied_only_while_nothing_has_changed() -> None:
    assert refused() == ""
    assert refused(days=7.0) == ""
    assert refused(days=7.1) == "plan-old"
    assert refused(days=-0.1) == "plan-future"
    assert refused(replace(HEADER, gates=(Refusal("too-many", "2 orphans, MaxOrphan is 1"),))) == "too-many"
    rejected = known()
    rejected.rejected = True
    assert refused(state=rejected) == "rejected"
    assert refused(state=PlanState()) == "log"


def test_a_plan_is_held_to_the_limits_of_now() -> None:
    assert refused(limits=replace(LIMITS, max_orphan=2)) == "too-many"
    assert refused(limits=replace(LIMITS, max_missing=1)) == "too-many"
    assert refused(limits=replace(LIMITS, run_age=3.0)) == ""
    assert refused(limits=replace(LIMITS, run_age=2.9)) == "old"
    assert refused(replace(HEADER, run=replace(RUN, unlisted=30))) == "unlisted"


def test_a_run_is_told_by_its_start_as_well() -> None:
    assert RUN.is_run(7, 99 * DAY)
    assert not RUN.is_run(7, 98 * DAY)
    assert not RUN.is_run(8, 99 * DAY)
