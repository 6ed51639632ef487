"""What a run leaves for the programs around a Rucio, where the configuration names directories for them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from engine import paths
from engine.states import Reason, State
from engine.table import DirectoryTable
from storage.history import HistoryDatabase
from storage.runs.rucio_files import AuditorResults, ScannedRun, ScannedTop, ScannerFiles
from storage.snapshot import Snapshot

if TYPE_CHECKING:
    from actors.comparison import ComparisonResult
    from actors.plans.acting import Acted
    from storage.config.site import SiteConfig
    from storage.doors.source import StoreSource

_log = logging.getLogger(__name__)

_MOST_FAILED = 1000
"""So many directories that could not be listed are named."""


def write_rucio_files(
    site: SiteConfig,
    store: StoreSource,
    found: ComparisonResult,
    acted: Acted,
    history: Path,
    listing: Path,
    started: float,
    now: float,
) -> None:
    """Write what the last run of a site found, if somebody wants to have it; times are in seconds since the epoch.

    Where a gate is closed nothing is written, since whoever reads the files acts on them.

    Raises:
        ReportError, HistoryError, SnapshotError, OSError: it cannot be written, or not be read.
    """
    settings = site.rucio
    if settings is None or (settings.scanner_files is None and settings.auditor_results is None):
        return
    if acted.gates:
        names = ", ".join(gate.gate for gate in acted.gates)
        _log.info("%s: nothing is written for the programs around Rucio: %s", site.name, names)
        return
    rse = settings.rse or site.name
    with HistoryDatabase(history) as database:
        missing = [path for path, _, _ in database.missing(site.name)]
        dark = [path for path, _, _ in database.orphans(site.name)]
    if settings.scanner_files is not None:
        snapshot = Snapshot(listing)
        try:
            tops = tuple(_tops(snapshot.table, store.tops))
        finally:
            snapshot.close()
        scope, doors = settings.scope or "cms", store.spec.doors
        program = f"dynamo-consistency {version('dynamo-consistency')}"
        run = ScannedRun(rse, scope, started, now, doors[0] if doors else "", tops, found.inventory_files, program)
        ScannerFiles(settings.scanner_files).write(run, dark, missing)
    if settings.auditor_results is not None:
        AuditorResults(settings.auditor_results).write(rse, started, settings.prefix or site.root_path, dark, missing)


def _tops(table: DirectoryTable, tops: tuple[bytes, ...]) -> Iterator[ScannedTop]:
    for top in tops:
        rows = table.rows_under(top)
        if rows.start >= rows.stop:
            continue
        failed = [
            (paths.decode(table.paths[row]), (Reason(table.reasons[row]) or Reason.NEVER_REACHED).label)
            for row in table.rows_but(State.LISTED, State.IGNORED, first=rows.start, last=rows.stop)
        ]
        yield ScannedTop(
            paths.decode(top),
            sum(table.files[rows]),
            rows.stop - rows.start - len(failed),
            sum(table.sizes[rows]),
            tuple(failed[:_MOST_FAILED]),
        )
