"""What may follow from the findings of a run: deletions and transfers, or nothing but a report.

Acting is opt-in, site by site, and stops where a number is too large to be true, or a run has seen too little.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine import paths
from engine.columns import LARGEST_SIZE
from engine.gates import Refusal

MISSING_RUNS = 2
"""In so many runs in a row a file must have been missing, unless the configuration says otherwise."""

TOP = "top"
"""The name of the gate for a top directory that could not be listed."""

_FEW_UNLISTED = 2
"""So many unlisted directories are never too many, however few directories there are."""

_NAMED = 3
"""So many top directories are named in a refusal."""


@dataclass(frozen=True, slots=True)
class ActionLimits:
    """With more than this, a run reports and acts on nothing.

    Missing files and orphans are limited in number, as a fraction of the inventory's or the store's files, and in
    bytes; None: not at all. As many bytes as are ever counted are too many for any limit. ``unlisted`` is a fraction
    of all directories. ``run_age`` is in days; 0: age is no matter.
    """

    max_missing: int
    max_orphan: int
    missing_fraction: float | None = None
    orphan_fraction: float | None = None
    missing_size: int | None = None
    orphan_size: int | None = None
    unlisted: float = 0.1
    run_age: float = 0.0


@dataclass(frozen=True, slots=True)
class Findings:
    """What a run found: how many files are missing and how many are orphans, and their bytes.

    ``inventory_files`` and ``store_files`` are all files of either side, ``directories`` those that were listed.
    ``failed_tops`` are the top directories that could not be listed though something should be below them. ``age`` is
    how long ago the inventory was read, in seconds. ``closed`` are gates that closed before, and stay so.
    """

    missing: int
    orphan: int
    missing_size: int = 0
    orphan_size: int = 0
    inventory_files: int = 0
    store_files: int = 0
    directories: int = 0
    unlisted: int = 0
    failed_tops: tuple[bytes, ...] = ()
    age: float = 0.0
    closed: tuple[Refusal, ...] = ()


def action_refusal(acting: bool, found: Findings, limits: ActionLimits) -> Refusal | None:
    """Say why nothing is to be acted on, with all gates that closed; None when it may be."""
    if not acting:
        return Refusal("dry", "the site is not set to act")
    return together(closed_gates(found, limits))


def together(gates: tuple[Refusal, ...]) -> Refusal | None:
    """Make one refusal of several, None of none."""
    if len(gates) < 2:
        return gates[0] if gates else None
    first, *others = gates
    words = [first.message, *(f"{gate.gate}: {gate.message}" for gate in others)]
    return Refusal(first.gate, "; ".join(words))


def closed_gates(found: Findings, limits: ActionLimits) -> tuple[Refusal, ...]:
    """Give the gates that keep findings from being acted on, whether or not the site is set to act."""
    gates = list(found.closed)
    too_many = list(_too_many(found, limits))
    if too_many:
        gates.append(Refusal("too-many", f"too many to act on: {'; '.join(too_many)}"))
    if found.failed_tops:
        tops = [paths.escape(top) for top in found.failed_tops[:_NAMED]]
        tops += [f"{len(found.failed_tops) - _NAMED} more"] if len(found.failed_tops) > _NAMED else []
        gates.append(Refusal(TOP, f"could not be listed: {', '.join(tops)}"))
    directories = found.directories + found.unlisted
    few = _FEW_UNLISTED if limits.unlisted else 0
    if found.unlisted > max(few, limits.unlisted * directories):
        share = f"{found.unlisted} of {directories} directories are unlisted"
        gates.append(Refusal("unlisted", f"{share}, MaxUnlisted is {limits.unlisted:g}"))
    if limits.run_age and found.age > limits.run_age * 86400:
        age = f"the inventory was read {found.age / 86400:.2f} days ago"
        gates.append(Refusal("old", f"{age}, MaxRunAge is {limits.run_age:g}"))
    return tuple(gates)


def _too_many(found: Findings, limits: ActionLimits) -> Iterator[str]:
    """Say of missing files, and of orphans, which of their limits are exceeded."""
    sides = (
        (
            *("missing files", "MaxMissing", found.missing, found.missing_size, found.inventory_files, "the inventory"),
            *(limits.max_missing, limits.missing_fraction, limits.missing_size),
        ),
        (
            *("orphans", "MaxOrphan", found.orphan, found.orphan_size, found.store_files, "the store"),
            *(limits.max_orphan, limits.orphan_fraction, limits.orphan_size),
        ),
    )
    for what, key, count, size, files, side, most, fraction, most_bytes in sides:
        if count > most:
            yield f"{count} {what}, {key} is {most}"
        if fraction is not None and count > fraction * files:
            yield f"{count} {what} where {side} has {files} files, {key}Fraction is {fraction:g}"
        if most_bytes is not None and size > min(most_bytes, LARGEST_SIZE - 1):
            yield f"{size:,} bytes of {what}, {key}Size is {most_bytes:,}"


def needed_runs(earlier_runs: int, wanted: int = MISSING_RUNS) -> int:
    """Give in how many runs in a row a file must have been missing before anything is asked for because of it.

    By default the run before has to have missed it, too; in the first run of a site there is none, and all count. Who
    asks for another number gets it in the first run as well.
    """
    return 1 if wanted == MISSING_RUNS and not earlier_runs else wanted


def found_before(now: float, days: float) -> float | None:
    """Give the time at which a finding must have been known already to be ``days`` old; None: its age is no matter."""
    return now - days * 86400 if days else None
