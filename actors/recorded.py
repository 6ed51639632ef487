"""A run that has no findings of its own to replace older ones with, as the history has it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actors.oversight import Killed, Progress, Refused
from engine.gates import Refusal
from storage.history import HistoryDatabase, HistoryError, RunCounts, RunSigns, RunStatus

_log = logging.getLogger(__name__)


class RecordedRun:
    """An open run, with the database that has it. ``number`` is the run's."""

    def __init__(self, history: HistoryDatabase, site: str, started: float, runtime: str, what: str) -> None:
        self.history = history
        self.number = history.open_run(site, started, runtime)
        self._what = what
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has been open."""
        return time.monotonic() - self._begun

    def end(
        self, status: RunStatus, message: str, counts: RunCounts | None = None, gates: tuple[Refusal, ...] = ()
    ) -> None:
        """Say how it ended; what it reported stays. What ended it matters more than what goes wrong here."""
        counts = counts or RunCounts(seconds=self.seconds)
        message = f"{self._what}: {message}"
        signs = RunSigns(gates=gates)
        try:
            self.history.finish_run(self.number, time.time(), status, counts, False, message, signs)
        except HistoryError as error:
            _log.warning("the end of run %d could not be recorded: %s", self.number, error)

    def listed(self, listing: Progress, message: str, unlisted: int | None = None) -> None:
        """Say that it is done, with what was listed; more may have turned out to be ``unlisted`` since."""
        unlisted = listing.failed if unlisted is None else unlisted
        counts = RunCounts(
            files=listing.files,
            directories=listing.listed,
            bytes=listing.size,
            requests=listing.requests,
            resumed=listing.resumed,
            unlisted=unlisted,
            seconds=self.seconds,
        )
        self.end(RunStatus.INCOMPLETE if unlisted else RunStatus.DONE, message, counts)


@contextmanager
def recorded(history: Path, site: str, started: float, runtime: str, what: str) -> Iterator[RecordedRun]:
    """Open a run, and note how it ended when an exception ends it; ``what`` is how its message begins.

    Raises:
        HistoryError: the history cannot be used.
    """
    with HistoryDatabase(history) as database:
        run = RecordedRun(database, site, started, runtime, what)
        try:
            yield run
        except Killed as error:
            run.end(RunStatus.HALTED, str(error))
            raise
        except Refused as error:
            run.end(RunStatus.FAILED, str(error), gates=(error.refusal,))
            raise
        except Exception as error:
            run.end(RunStatus.FAILED, str(error) or type(error).__name__)
            raise
