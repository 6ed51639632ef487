"""What a run has found, kept beside its journal from just before it is recorded until the run is over.

A process that dies in between leaves a run of which everything is known and that was perhaps not acted on; see
`actors.dead_run`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from actors.comparison import ComparisonResult
from actors.oversight import Progress
from engine import paths
from engine.checksums.counts import SampleCounts
from engine.gates import Refusal
from engine.second import Meanwhile
from storage.history import HistoryDatabase, RunStatus, Table

_RECORDED = (RunStatus.DONE, RunStatus.INCOMPLETE)

_COUNTED = ("listed", "failed", "ignored", "files", "size", "requests", "resumed", "seconds", "taken", "distrust")
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
            given["checksums"] = given["checksums"] and SampleCounts(**given["checksums"])
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
