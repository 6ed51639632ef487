"""From the findings of a run to its plan: what is due, in which order, and why."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.actions import MISSING_RUNS, found_before, needed_runs
from engine.columns import UNKNOWN_SIZE
from engine.doubles import without_doubles
from engine.gates import Refusal
from engine.plan import Cause, PlanHeader, PlanItem, PlanState
from storage.history import FileRow, HistoryDatabase
from storage.plans.audit import PLANNED, AuditLog
from storage.plans.plan_file import Plan, PlanError, read_plan, write_plan
from storage.snapshot import Snapshot

if TYPE_CHECKING:
    from storage.config.site import SiteConfig
    from storage.runs.directory import RunDirectory

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Due:
    """What is due because of the findings of a run: files with size and mtime, and directories with their mtime.

    ``doubles`` counts the orphans that are left alone since they may be other files seen through a link.
    """

    missing: Sequence[FileRow] = ()
    orphans: Sequence[FileRow] = ()
    empty: Sequence[tuple[bytes, int]] = ()
    doubles: int = 0


def due(site: SiteConfig, history: Path, inventory: Path, listing: Path, now: float) -> Due:
    """Find what is known for as many runs and days as the site wants; ``now`` is in seconds since the epoch.

    ``inventory`` is the snapshot of what should be there: a directory that it names is not deleted. ``listing`` is that
    of what is there: orphans of a directory that looks like another's twin are left alone.

    Raises:
        HistoryError, SnapshotError, OSError: it cannot be told.
    """
    with HistoryDatabase(history) as database:
        missing = list(due_missing(database, site, now))
        known = found_before(now, site.orphan_days)
        orphans = list(database.orphans(site.name, least=site.orphan_runs, before=known))
        empty = list(database.empty_directories(site.name))
    singles, doubles = _singles(orphans, listing)
    if doubles:
        _log.info("%s: %d orphans lie in twins of other directories, as behind a link, and stay", site.name, doubles)
    return Due(missing, singles, list(_not_expected(empty, inventory)), doubles)


def due_missing(database: HistoryDatabase, site: SiteConfig, now: float) -> Iterator[FileRow]:
    """Give the missing files of a site that are known for as many runs and days as it wants.

    Raises:
        HistoryError: the database cannot be read.
    """
    least = needed_runs(database.runs_with_findings(site.name) - 1, site.missing_runs)
    return database.missing(site.name, least=least, before=found_before(now, site.missing_days))


def open_plan(
    site: SiteConfig,
    directory: RunDirectory,
    run: int,
    found: Due,
    gates: tuple[Refusal, ...],
    young_after: float | None,
    mark: Mapping[str, Any],
    now: float,
) -> tuple[Plan, PlanState]:
    """Write the plan of a run, or take up the one that it has, and say how far that is.

    Raises:
        ReportError: it cannot be written, or noted that it was.
    """
    audit = AuditLog(directory.audit)
    try:
        plan = read_plan(directory.plan, site.name)
    except PlanError:
        pass
    else:
        if plan.header.run == run:
            return plan, audit.state_of(plan.name, plan.header.audit)
    header = PlanHeader(site.name, run, now, young_after, gates, plain(mark), audit.size)
    plan = write_plan(directory.plan, header, planned(site, found))
    audit.say(plan.name, PLANNED, f"run {run}: {len(plan.items)} items")
    return plan, PlanState()


def plain(mark: Mapping[str, Any]) -> dict[str, object]:
    """Give a mark as it comes back from a file."""
    read: dict[str, object] = json.loads(json.dumps(mark))
    return read


def planned(site: SiteConfig, found: Due) -> Iterator[PlanItem]:
    """Give the items of a plan: what is to go, directories behind files, and then what is to be brought back."""
    numbers = count(1)
    orphan = _reason("on the store and not in the inventory", site.orphan_runs, site.orphan_days)
    default = site.missing_runs == MISSING_RUNS
    missing = _reason("in the inventory and not on the store", 0 if default else site.missing_runs, site.missing_days)
    empty = ((path, UNKNOWN_SIZE, mtime) for path, mtime in found.empty)
    rows: tuple[tuple[Cause, str, Iterable[FileRow]], ...] = (
        (Cause.ORPHAN, orphan, found.orphans),
        (Cause.EMPTY, "a directory without any file below it", empty),
        (Cause.MISSING, missing, found.missing if site.use_transfer_queue else ()),
    )
    for cause, reason, files in rows:
        for path, size, mtime in files:
            yield PlanItem(next(numbers), cause, path, size, mtime, reason)


def _reason(what: str, runs: int, days: float) -> str:
    known = [f"{runs} runs"] if runs > 1 else []
    if days:
        known.append(f"{days:g} days")
    return f"{what}, for {' and '.join(known)} or more" if known else what


def _singles(orphans: list[FileRow], listing: Path) -> tuple[list[FileRow], int]:
    snapshot = Snapshot(listing)
    try:
        left, doubles = without_doubles([path for path, _, _ in orphans], snapshot.table)
    finally:
        snapshot.close()
    if not doubles:
        return orphans, 0
    single = frozenset(left)
    return [row for row in orphans if row[0] in single], doubles


def _not_expected(directories: Iterable[tuple[bytes, int]], inventory: Path) -> Iterator[tuple[bytes, int]]:
    """Leave out the directories in which, or below which, the inventory has files."""
    snapshot = Snapshot(inventory)
    try:
        yield from (row for row in directories if snapshot.table.find(row[0]) is None)
    finally:
        snapshot.close()
