from __future__ import annotations

import pytest

from engine.actions import ActionLimits, Findings, action_refusal, closed_gates, found_before, needed_runs
from engine.columns import LARGEST_SIZE
from engine.gates import Refusal

LIMITS = ActionLimits(max_missing=100, max_orphan=1000)


@pytest.mark.parametrize("found", [Findings(0, 0), Findings(100, 1000)])
def test_a_site_that_is_set_to_act_acts_up_to_its_limits(found: Findings) -> None:
    assert action_refusal(True, found, LIMITS) is None


def test_a_site_in_dry_runs_never_acts() -> None:
    refusal = action_refusal(False, Findings(0, 0), LIMITS)
    assert refusal is not None
    assert refusal.gate == "dry"


@pytest.mark.parametrize(
    ("found", "figures"),
    [
        (Findings(101, 0), "101 missing files, MaxMissing is 100"),
        (Findings(0, 1001), "1001 orphans, MaxOrphan is 1000"),
        (Findings(101, 1001), "101 missing files, MaxMissing is 100; 1001 orphans, MaxOrphan is 1000"),
    ],
)
def test_too_many_of_either_stop_both(found: Findings, figures: str) -> None:
    refusal = action_refusal(True, found, LIMITS)
    assert refusal is not None
    assert refusal.gate == "too-many"
    assert figures in refusal.message


@pytest.mark.parametrize(
    ("limits", "open_at", "closed_at", "figures"),
    [
        (
            ActionLimits(100, 100, missing_fraction=0.1),
            Findings(5, 0, inventory_files=50),
            Findings(6, 0, inventory_files=50),
            "6 missing files where the inventory has 50 files, MaxMissingFraction is 0.1",
        ),
        (
            ActionLimits(100, 100, orphan_fraction=0.1),
            Findings(0, 5, store_files=50),
            Findings(0, 6, store_files=50),
            "6 orphans where the store has 50 files, MaxOrphanFraction is 0.1",
        ),
        (
            ActionLimits(100, 100, missing_size=10**13),
            Findings(1, 0, missing_size=10**13),
            Findings(1, 0, missing_size=10**13 + 1),
            "10,000,000,000,001 bytes of missing files, MaxMissingSize is 10,000,000,000,000",
        ),
        (
            ActionLimits(100, 100, orphan_size=0),
            Findings(0, 1, orphan_size=0),
            Findings(0, 1, orphan_size=7),
            "7 bytes of orphans, MaxOrphanSize is 0",
        ),
    ],
)
def test_fractions_and_bytes_have_limits_too(
    limits: ActionLimits, open_at: Findings, closed_at: Findings, figures: str
) -> None:
    assert closed_gates(open_at, limits) == ()
    assert closed_gates(closed_at, limits) == (Refusal("too-many", f"too many to act on: {figures}"),)
    assert closed_gates(closed_at, LIMITS) == ()


def test_more_bytes_than_can_be_counted_are_too_many_for_any_limit() -> None:
    assert closed_gates(Findings(1, 0, LARGEST_SIZE), ActionLimits(100, 1000, missing_size=LARGEST_SIZE * 2))


def test_a_top_directory_that_failed_keeps_a_site_from_acting() -> None:
    tops = tuple(b"/store/%d" % number for number in range(5))
    assert closed_gates(Findings(0, 0, failed_tops=(b"/store/a\n",)), LIMITS) == (
        Refusal("top", "could not be listed: /store/a\\n"),
    )
    (gate,) = closed_gates(Findings(0, 0, failed_tops=tops), LIMITS)
    assert gate.message == "could not be listed: /store/0, /store/1, /store/2, 2 more"


@pytest.mark.parametrize(
    ("limit", "directories", "unlisted", "closed"),
    [
        (0.1, 90, 10, False),
        (0.1, 89, 11, True),
        (0.1, 1, 2, False),
        (0.1, 1, 3, True),
        (0.0, 1000, 1, True),
        (0.0, 1000, 0, False),
        (1.0, 0, 1000, False),
    ],
)
def test_too_many_unlisted_directories(limit: float, directories: int, unlisted: int, closed: bool) -> None:
    found = Findings(0, 0, directories=directories, unlisted=unlisted)
    gates = closed_gates(found, ActionLimits(0, 0, unlisted=limit))
    assert [gate.gate for gate in gates] == ["unlisted"] * closed
    if closed:
        figures = f"{unlisted} of {directories + unlisted} directories are unlisted, MaxUnlisted is {limit:g}"
        assert gates[0].message == figures


def test_old_findings_are_not_acted_on_where_age_matters() -> None:
    found = Findings(0, 0, age=2.5 * 86400)
    assert closed_gates(found, LIMITS) == ()
    assert closed_gates(found, ActionLimits(0, 0, run_age=2.5)) == ()
    assert closed_gates(found, ActionLimits(0, 0, run_age=2)) == (
        Refusal("old", "the inventory was read 2.50 days ago, MaxRunAge is 2"),
    )


def test_a_refusal_has_all_gates_that_closed() -> None:
    found = Findings(101, 0, directories=1, unlisted=10, failed_tops=(b"/store/mc",))
    assert action_refusal(True, found, LIMITS) == Refusal(
        "too-many",
        "too many to act on: 101 missing files, MaxMissing is 100; top: could not be listed: /store/mc; "
        "unlisted: 10 of 11 directories are unlisted, MaxUnlisted is 0.1",
    )


def test_a_file_has_to_be_missing_in_two_runs_but_for_the_first_run() -> None:
    assert needed_runs(0) == 1
    assert needed_runs(1) == needed_runs(7) == 2


@pytest.mark.parametrize("wanted", [1, 3])
def test_another_number_of_runs_counts_from_the_first_run_on(wanted: int) -> None:
    assert needed_runs(0, wanted) == needed_runs(5, wanted) == wanted


def test_days_say_since_when_a_finding_must_be_known() -> None:
    assert found_before(1_000_000.0, 0) is None
    assert found_before(1_000_000.0, 0.5) == 1_000_000.0 - 43_200
