"""What may follow from the findings of a run: deletions and transfers, or nothing but a report.

Acting is opt-in, site by site, and stops where a number is too large to be true.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.gates import Refusal

MISSING_RUNS = 2
"""In so many runs in a row a file must have been missing, unless the configuration says otherwise."""


@dataclass(frozen=True, slots=True)
class ActionLimits:
    """With more missing files, or more orphans, than this, a run reports and acts on nothing."""

    max_missing: int
    max_orphan: int


@dataclass(frozen=True, slots=True)
class Findings:
    """How many files a run found to be missing, and how many to be orphans."""

    missing: int
    orphan: int


def action_refusal(acting: bool, found: Findings, limits: ActionLimits) -> Refusal | None:
    """Say why nothing is to be acted on; None when it may be."""
    if not acting:
        return Refusal("dry", "the site is not set to act")
    too_many = []
    if found.missing > limits.max_missing:
        too_many.append(f"{found.missing} missing files, MaxMissing is {limits.max_missing}")
    if found.orphan > limits.max_orphan:
        too_many.append(f"{found.orphan} orphans, MaxOrphan is {limits.max_orphan}")
    if too_many:
        return Refusal("too-many", f"too many to act on: {'; '.join(too_many)}")
    return None


def needed_runs(earlier_runs: int, wanted: int = MISSING_RUNS) -> int:
    """Give in how many runs in a row a file must have been missing before anything is asked for because of it.

    By default the run before has to have missed it, too; in the first run of a site there is none, and all count. Who
    asks for another number gets it in the first run as well.
    """
    return 1 if wanted == MISSING_RUNS and not earlier_runs else wanted


def found_before(now: float, days: float) -> float | None:
    """Give the time at which a finding must have been known already to be ``days`` old; None: its age is no matter."""
    return now - days * 86400 if days else None
