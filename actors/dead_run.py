"""A run that died when it was recorded and not yet over: what the next check takes up, and what it still acts on.

It goes on behind the dead run: to list the store once more would take as long as the first time, and would count what
one listing has found twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from actors.found import Found
from actors.plans.still_meant import still_meant
from actors.quick import Results
from actors.run import CheckJob
from engine.recheck import Candidates
from engine.young import young_after
from storage.runs.directory import RunDirectory, directory_name
from storage.runs.reports import take_up
from storage.snapshot import damage


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
        """Leave out what inventory, backend and settings do not mean any more (`actors.plans.still_meant`).

        Raises:
            Killed: ``heed`` says so.
            InventoryError, BackendError, ConfigError, SnapshotError, OSError: it cannot be told.
        """
        limits = (self.found.result.young_after, self.young_after)
        return still_meant(self.job, self.directory, candidates, limits, heed)
