"""The cleaning of a site's unmerged area as a run of its own, with the site's lock and an entry in the history."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from actors.check_job import history_path
from actors.oversight import Oversight
from actors.recorded import recorded
from actors.run import this_run
from actors.unmerged import CleaningOptions, UnmergedResult, clean_unmerged
from engine import paths
from engine.unmerged import Mode
from storage.backends.protocols import BackendError, takes_directories
from storage.history import FileRow, Table
from storage.runs.directory import RunDirectory

if TYPE_CHECKING:
    from actors.runtime import Runtime
    from storage.backends.protocols import Backends
    from storage.config.site import SiteConfig
    from storage.doors.source import StoreSource


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
    directory.acquire(this_run(runtime, time.time()))

    def why_stop() -> str:
        return "halted from another terminal" if directory.halt_requested() else oversight.stop()

    with directory:
        return clean_held(runtime, site, store, Oversight(why_stop, oversight.watch), options)


def clean_held(
    runtime: Runtime,
    site: SiteConfig,
    store: StoreSource,
    oversight: Oversight,
    options: CleaningOptions | None = None,
) -> tuple[int, UnmergedResult]:
    """Do as `clean_site` for whoever holds the site's lock already."""
    with recorded(history_path(site), site.name, time.time(), runtime.name, "cleaning of unmerged") as run:

        def record(rows: Iterator[FileRow]) -> None:
            run.history.report(run.number, Table.UNMERGED, rows, time.time())

        # Where a directory goes whole, what is not seen in it would go with it.
        result = clean_unmerged(runtime, site, store.whole(), oversight, options, record)
        run.listed(result.listing, f"{result.deletable} of {result.files} files may be deleted", result.unlisted)
        return run.number, result


def ask_to_delete(backends: Backends, cleaned: UnmergedResult) -> int:
    """Ask for the deletion of what a cleaning found; gives how many requests were new.

    Raises:
        BackendError: the registry did not take it.
    """
    if cleaned.mode == Mode.DIRECTORIES and not takes_directories(backends.registry):
        raise BackendError("the registry deletes files alone; set WHICH_LIST of ListDeletable to files")
    return backends.registry.delete(cleaned.site, [paths.decode(path) for path in cleaned.to_delete.lfns()])
