from __future__ import annotations

import pytest

from engine.actions import ActionLimits, Findings, action_refusal, found_before, needed_runs

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


def test_a_file_has_to_be_missing_in_two_runs_but_for_the_first_run() -> None:
    assert needed_runs(0) == 1
    assert needed_runs(1) == needed_runs(7) == 2


@pytest.mark.parametrize("wanted", [1, 3])
def test_another_number_of_runs_counts_from_the_first_run_on(wanted: int) -> None:
    assert needed_runs(0, wanted) == needed_runs(5, wanted) == wanted


def test_days_say_since_when_a_finding_must_be_known() -> None:
    assert found_before(1_000_000.0, 0) is None
    assert found_before(1_000_000.0, 0.5) == 1_000_000.0 - 43_200
