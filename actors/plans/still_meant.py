"""What inventory, backend and settings still mean of what a run has found, when it is acted on hours or days later."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNSETTLED_MTIME, FileColumns
from engine.recheck import Candidates
from storage.snapshot import Snapshot

if TYPE_CHECKING:
    from actors.run import CheckJob
    from storage.runs.directory import RunDirectory


def still_meant(
    job: CheckJob,
    directory: RunDirectory,
    candidates: Candidates,
    limits: tuple[float | None, float | None],
    heed: Callable[[], None],
) -> Candidates:
    """Leave out what inventory, backend and settings do not call missing, an orphan or empty any more.

    An orphan may have come into the inventory since, and somebody may have said that orphans are to be left alone.
    ``job`` is the check of the site as its settings are by now, ``directory`` has what the run listed; ``limits`` are
    the age limit of then and the one of now, in seconds since the epoch.

    Raises:
        Killed: ``heed`` says so.
        InventoryError, BackendError, ConfigError, SnapshotError, OSError: it cannot be told.
    """
    plan = job.refine(job.comparison)
    missing, orphans, empty = list(candidates.missing), list(candidates.orphans), list(candidates.empty)
    if plan.keep_orphans:
        orphans = []
    if plan.keep_orphan is not None:
        orphans = [row for row in orphans if not plan.keep_orphan(row[0])]
    if plan.keep_missing is not None:
        missing = [path for path in missing if not plan.keep_missing(path)]
    missing, empty = _old_enough(directory, missing, empty, *limits)
    second = directory.second_inventory
    try:
        if job.read_second(second, heed):
            with closing(Snapshot(second)) as snapshot:
                expected = _Expected(snapshot)
                missing = [path for path in missing if expected.calls_for(path)]
                orphans = [row for row in orphans if not expected.has(row[0])]
                if snapshot.header.has_unread:
                    # A line that nobody could read may be any of them.
                    orphans = []
                empty = [path for path in empty if snapshot.table.find(path) is None]
    finally:
        second.unlink(missing_ok=True)
    return replace(candidates, missing=missing, orphans=orphans, empty=empty)


def _old_enough(
    directory: RunDirectory, missing: list[bytes], empty: list[bytes], then: float | None, limit: float | None
) -> tuple[list[bytes], list[bytes]]:
    """Leave out what came after the age limit, which may spare more by now; of orphans the store is asked."""
    if limit is None or limit == then:
        return missing, empty
    with closing(Snapshot(directory.inventory)) as inventory:
        expected = _Expected(inventory)
        missing = [path for path in missing if expected.mtime_of(path) <= limit]
    with closing(Snapshot(directory.listing)) as store:
        rows = {path: store.table.find(path) for path in empty}
        empty = [path for path, row in rows.items() if row is not None and 0 <= store.table.mtimes[row] <= limit]
    return missing, empty


class _Expected:
    """Tells which files an inventory has, with the mtime of each."""

    def __init__(self, inventory: Snapshot) -> None:
        self._table = inventory.table
        self._files: dict[bytes, dict[bytes, int]] = {}

    def has(self, path: bytes) -> bool:
        """Tell whether it has a file."""
        return paths.name_of(path) in self._of(path)

    def calls_for(self, path: bytes) -> bool:
        """Tell whether it has a file, and says that it is there by now."""
        return self.has(path) and self.mtime_of(path) != UNSETTLED_MTIME

    def mtime_of(self, path: bytes) -> int:
        """Give the time of a file, in seconds since the epoch."""
        return self._of(path).get(paths.name_of(path), UNKNOWN_MTIME)

    def _of(self, path: bytes) -> dict[bytes, int]:
        directory = paths.parent_of(path) or b"/"
        if directory not in self._files:
            row = self._table.find(directory)
            files = FileColumns() if row is None else self._table.load(row)
            self._files[directory] = dict(zip(files.name_list(), files.mtime_array(), strict=True))
        return self._files[directory]
