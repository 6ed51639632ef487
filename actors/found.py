"""What a run has found, kept beside its journal from just before it is recorded until the run is over.

A process that dies in between leaves a run of which everything is known and that was perhaps not acted on. The next
check goes on behind it: to list the store once more would take as long as the first time, and would count what one
listing has found twice.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.comparison import ComparisonResult
from actors.oversight import Progress
from engine import paths
from engine.gates import Refusal
from engine.recheck import Candidates
from engine.second import Meanwhile
from storage.history import HistoryDatabase, RunStatus, Table
from storage.snapshot import Snapshot, damage

if TYPE_CHECKING:
    from actors.run import CheckJob
    from storage.runs.directory import RunDirectory

_RECORDED = (RunStatus.DONE, RunStatus.INCOMPLETE)

_COUNTED = ("listed", "failed", "ignored", "files", "size", "requests", "resumed", "seconds")
"""What of the progress matters when the listing is over."""


@dataclass(frozen=True, slots=True)
class Found:
    """The number of a run and when it ``started``, what it found, how it listed, and when it was about to be recorded.

    Times are in seconds since the epoch.
    """

    run: int
    started: float
    result: ComparisonResult
    listing: Progress
    at: float

    def as_json(self) -> dict[str, Any]:
        """Give it in the terms of JSON."""
        result = self.result
        found = {
            **asdict(result),
            "failed_tops": [paths.decode(top) for top in result.failed_tops],
            "refusal": None,
            "accepted": result.accepted and [result.accepted.gate, result.accepted.message],
        }
        listing = {name: getattr(self.listing, name) for name in _COUNTED}
        return {"run": self.run, "started": self.started, "result": found, "listing": listing, "at": self.at}

    @classmethod
    def of_json(cls, value: Any) -> Found | None:
        """Read what `as_json` gave; None for anything else, as another version of the program may have left it."""
        try:
            given = dict(value["result"])
            if given.keys() != {field.name for field in fields(ComparisonResult)}:
                return None
            given["failed_tops"] = tuple(paths.encode(top) for top in given["failed_tops"])
            given["accepted"] = given["accepted"] and Refusal(*given["accepted"])
            given["meanwhile"] = Meanwhile(**given["meanwhile"])
            listing = Progress(**{name: value["listing"][name] for name in _COUNTED})
            times = float(value["started"]), float(value["at"])
            return cls(int(value["run"]), times[0], ComparisonResult(**given), listing, times[1])
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def is_recorded(self, history: Path, site: str) -> bool:
        """Whether the history has it, as the last run of its site that found something.

        Raises:
            HistoryError: it cannot be told.
        """
        if not history.exists():
            return False
        with HistoryDatabase(history) as database:
            last = database.last_run_with(site, Table.MISSING)
        return last is not None and (last.id, last.started) == (self.run, self.started) and last.status in _RECORDED


def found_before(directory: RunDirectory, job: CheckJob, started: float, history: Path) -> Found | None:
    """Give what an earlier run of the same job has found and recorded, and was not brought to its end.

    ``started`` is when the run began that wants to know, in seconds since the epoch. None when there is no such run, or
    what it listed cannot be read any more.

    Raises:
        HistoryError: it cannot be told.
    """
    kept = directory.kept_found(job.mark, job.not_before(started))
    found = None if kept is None else Found.of_json(kept)
    if found is None or not found.is_recorded(history, directory.site):
        return None
    return None if damage(directory.inventory) or damage(directory.listing) else found


def still_meant(candidates: Candidates, job: CheckJob, directory: RunDirectory, heed: Callable[[], None]) -> Candidates:
    """Leave out what inventory, backend and settings do not call missing, an orphan or empty any more.

    Since a run was recorded that is acted on by a later one, hours may have passed, in which an orphan may have come
    into the inventory, and somebody may have said that orphans are to be left alone.

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
    second = directory.second_inventory
    if job.read_second(second, heed):
        with closing(Snapshot(second)) as snapshot:
            expected = _Expected(snapshot)
            missing = list(filter(expected.has, missing))
            orphans = [row for row in orphans if not expected.has(row[0])]
            empty = [path for path in empty if snapshot.table.find(path) is None]
        second.unlink(missing_ok=True)
    return replace(candidates, missing=missing, orphans=orphans, empty=empty)


class _Expected:
    """Tells which files an inventory has."""

    def __init__(self, inventory: Snapshot) -> None:
        self._table = inventory.table
        self._names: dict[bytes, frozenset[bytes]] = {}

    def has(self, path: bytes) -> bool:
        """Tell whether it has a file."""
        directory = paths.parent_of(path) or b"/"
        if directory not in self._names:
            row = self._table.find(directory)
            self._names[directory] = frozenset() if row is None else frozenset(self._table.load(row).name_list())
        return paths.name_of(path) in self._names[directory]
