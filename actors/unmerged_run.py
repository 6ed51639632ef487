"""The cleaning of a site's unmerged area as a run of its own, with the site's lock and an entry in the history."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from os import getpid
from typing import TYPE_CHECKING

from actors.oversight import Killed, Oversight
from actors.unmerged import CleaningOptions, UnmergedResult, clean_unmerged
from storage.history import FileRow, HistoryDatabase, HistoryError, RunCounts, RunStatus, Table
from storage.rundir import RunDirectory, RunInfo

if TYPE_CHECKING:
    from actors.runtime import Runtime
    from storage.site_config import SiteConfig
    from storage.source import StoreSource

_log = logging.getLogger(__name__)

_OF = "cleaning of unmerged"
"""How the messages of its runs begin."""


def clean_site(
    runtime: Runtime,
    site: SiteConfig,
    store: StoreSource,
    oversight: Oversight,
    options: CleaningOptions | None = None,
) -> tuple[int, UnmergedResult]:
    """Clean as a run of its own: with the site's lock, halted like any other, and entered in the history.

    Gives the number of the run, and the result.

    Raises:
        AlreadyRunning: another process runs the site.
        HistoryError: the history cannot be used.
        Exception: see `clean_unmerged`.
    """
    directory = RunDirectory(site.var_location, site.name)
    started = time.time()
    directory.acquire(RunInfo(getpid(), socket.gethostname(), started, runtime.name, runtime.dashboard))

    def why_stop() -> str:
        return "halted from another terminal" if directory.halt_requested() else oversight.stop()

    with directory, HistoryDatabase(site.var_location / "db" / "consistency.db") as history:
        run = history.open_run(site.name, started, runtime.name)
        ending = _Ending(history, run, time.monotonic())

        def record(rows: Iterator[FileRow]) -> None:
            history.report(run, Table.UNMERGED, rows, time.time())

        try:
            result = clean_unmerged(runtime, site, store, Oversight(why_stop, oversight.watch), options, record)
        except Killed as error:
            ending.note(RunStatus.HALTED, f"{_OF}: {error}")
            raise
        except Exception as error:
            ending.note(RunStatus.FAILED, f"{_OF}: {str(error) or type(error).__name__}")
            raise
        ending.note(
            RunStatus.INCOMPLETE if result.unlisted else RunStatus.DONE,
            f"{_OF}: {result.deletable} of {result.files} files may be deleted",
            result,
        )
        return run, result


@dataclass(frozen=True, slots=True)
class _Ending:
    """Says in the history how a run of its own ended."""

    history: HistoryDatabase
    run: int
    begun: float

    def note(self, status: RunStatus, message: str, result: UnmergedResult | None = None) -> None:
        """End the run. What it reported stays; what ended it matters more than what goes wrong here."""
        seconds = time.monotonic() - self.begun
        counts = RunCounts(seconds=seconds)
        if result is not None:
            listing = result.listing
            counts = RunCounts(
                files=result.files,
                directories=listing.listed,
                bytes=result.size,
                requests=listing.requests,
                resumed=listing.resumed,
                unlisted=result.unlisted,
                seconds=seconds,
            )
        try:
            self.history.finish_run(self.run, time.time(), status, counts, keep_findings=False, message=message)
        except HistoryError as error:
            _log.warning("the end of run %d could not be recorded: %s", self.run, error)
