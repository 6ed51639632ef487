"""A run that died when it was recorded and not yet over: what the next check takes up, and what it still acts on.

It goes on behind the dead run: to list the store once more would take as long as the first time, and would count what
one listing has found twice.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from actors.found import Found
from actors.quick import Results
from actors.run import CheckJob, young_after
from engine import paths
from engine.columns import UNKNOWN_MTIME, FileColumns
from engine.recheck import Candidates
from storage.runs.directory import RunDirectory, directory_name
from storage.runs.reports import take_up
from storage.snapshot import Snapshot, damage


@dataclass(frozen=True, slots=True)
class DeadRun:
    """What a run has ``found`` and recorded that was not brought to its end, and its ``lists``.

    ``job`` is that of the check that brings it to its end, with the settings as they are by now.
    """

    found: Found
    lists: tuple[str, ...]
    job: CheckJob
    directory: RunDirectory

    @classmethod
    def of(cls, directory: RunDirectory, job: CheckJob, started: float, history: Path, web_dir: Path) -> DeadRun | None:
        """Find it; its lists get their names.

        ``started`` is when the check began that wants to know, in seconds since the epoch. None when there is no such
        run, when what it listed cannot be read any more, or when its lists are not there.

        Raises:
            HistoryError, ReportError: it cannot be told, or a list cannot get its name.
        """
        kept = None if job.fresh else directory.kept_found(job.mark, job.not_before(started))
        found = None if kept is None else Found.of_json(kept)
        if found is None or not found.is_recorded(history, directory.site):
            return None
        if any(damage(snapshot, directory.site) for snapshot in (directory.inventory, directory.listing)):
            return None
        lists = take_up(web_dir, directory_name(directory.site), directory.kept_lists())
        if lists is None:
            # They went elsewhere, or away, and are made again.
            return None
        return cls(found, tuple(map(str, lists)), job, directory)

    @property
    def results(self) -> Results:
        """Give what it came to."""
        found = self.found
        return Results(found.run, found.result, self.lists, found.listing, at=found.at)

    @property
    def young_after(self) -> float | None:
        """Give its age limit, or that of the settings by now where these spare more."""
        result, job = self.found.result, self.job
        if result.young_after is None or result.begun is None:
            return result.young_after
        now = young_after(result.begun, job.inventory_time, job.ignore_age, job.store_time)
        return min(result.young_after, now)

    def still_meant(self, candidates: Candidates, heed: Callable[[], None]) -> Candidates:
        """Leave out what inventory, backend and settings do not call missing, an orphan or empty any more.

        Hours may have passed since, in which an orphan may have come into the inventory, and somebody may have said
        that orphans are to be left alone.

        Raises:
            Killed: ``heed`` says so.
            InventoryError, BackendError, ConfigError, SnapshotError, OSError: it cannot be told.
        """
        job = self.job
        plan = job.refine(job.comparison)
        missing, orphans, empty = list(candidates.missing), list(candidates.orphans), list(candidates.empty)
        if plan.keep_orphans:
            orphans = []
        if plan.keep_orphan is not None:
            orphans = [row for row in orphans if not plan.keep_orphan(row[0])]
        if plan.keep_missing is not None:
            missing = [path for path in missing if not plan.keep_missing(path)]
        missing, empty = self._old_enough(missing, empty)
        second = self.directory.second_inventory
        try:
            if job.read_second(second, heed):
                with closing(Snapshot(second)) as snapshot:
                    expected = _Expected(snapshot)
                    missing = list(filter(expected.has, missing))
                    orphans = [row for row in orphans if not expected.has(row[0])]
                    empty = [path for path in empty if snapshot.table.find(path) is None]
        finally:
            second.unlink(missing_ok=True)
        return replace(candidates, missing=missing, orphans=orphans, empty=empty)

    def _old_enough(self, missing: list[bytes], empty: list[bytes]) -> tuple[list[bytes], list[bytes]]:
        """Leave out what came after the age limit, which may spare more by now; of orphans the store is asked."""
        limit = self.young_after
        if limit is None or limit == self.found.result.young_after:
            return missing, empty
        with closing(Snapshot(self.directory.inventory)) as inventory:
            expected = _Expected(inventory)
            missing = [path for path in missing if expected.mtime_of(path) <= limit]
        with closing(Snapshot(self.directory.listing)) as store:
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
