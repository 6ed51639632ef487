"""How far a run is, as far as its directory shows it to others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from engine.incremental import is_taken
from engine.states import State
from storage.runs.directory import RunDirectory
from storage.snapshot import NOTHING_TAKEN, Snapshot, SnapshotError, part_of

_LARGEST = 256 << 20
"""A journal of more bytes is not read for a look."""


@dataclass(frozen=True, slots=True)
class RunProgress:
    """The phase of a run: starting, inventory, listing, or comparing; and what its journal holds.

    ``taken_over`` counts directories that stand in the journal as an earlier run listed them. The counts are None where
    there is no journal, or one that takes too long to read. ``last_sign`` is when the journal last grew, in seconds
    since the epoch.
    """

    phase: str
    directories: int | None = None
    files: int | None = None
    last_sign: float | None = None
    taken_over: int | None = None


def look(directory: RunDirectory) -> RunProgress:
    """Look at the directory of a run that is under way."""
    try:
        state = json.loads((directory.path / "run.json").read_text())
        inventory_read = bool(state["inventory_read"])
    except (OSError, ValueError, TypeError, KeyError):
        return RunProgress("starting")
    if not inventory_read:
        return RunProgress("inventory")
    part = part_of(directory.listing)
    try:
        status = part.stat()
    except OSError:
        return RunProgress("comparing" if directory.listing.exists() else "listing")
    directories, files, taken = _counts(part) if status.st_size <= _LARGEST else (None, None, None)
    return RunProgress("listing", directories, files, status.st_mtime, taken)


def _counts(part: Path) -> tuple[int | None, int | None, int | None]:
    try:
        snapshot = Snapshot(part)
    except (OSError, SnapshotError):
        return None, None, None
    table, until = snapshot.table, snapshot.header.taken_until
    try:
        taken = sum(is_taken(table, row, until) for row in range(len(table))) if until != NOTHING_TAKEN else 0
        return table.count(State.LISTED), table.total_files(), taken
    finally:
        snapshot.close()
