"""How far a run is, as far as its directory shows it to others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from engine.states import State
from storage.runs.directory import RunDirectory
from storage.snapshot import Snapshot, SnapshotError, part_of

_LARGEST = 256 << 20
"""A journal of more bytes is not read for a look."""


@dataclass(frozen=True, slots=True)
class RunProgress:
    """The phase of a run: starting, inventory, listing, or comparing; and what its journal holds.

    The counts are None where there is no journal, or one that takes too long to read. ``last_sign`` is when the journal
    last grew, in seconds since the epoch.
    """

    phase: str
    directories: int | None = None
    files: int | None = None
    last_sign: float | None = None


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
    directories, files = _counts(part) if status.st_size <= _LARGEST else (None, None)
    return RunProgress("listing", directories, files, status.st_mtime)


def _counts(part: Path) -> tuple[int | None, int | None]:
    try:
        snapshot = Snapshot(part)
    except (OSError, SnapshotError):
        return None, None
    try:
        return snapshot.table.count(State.LISTED), snapshot.table.total_files()
    finally:
        snapshot.close()
