"""From the findings of a run to its plan: what is due, in which order, and why."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from engine.actions import MISSING_RUNS, found_before, needed_runs
from engine.columns import UNKNOWN_SIZE
from engine.doubles import without_doubles
from engine.gates import Refusal
from engine.plan import DONE, USUAL_ACTIONS, Action, Cause, Held, ItemEvent, PlanHeader, PlanItem, PlanRun, PlanState
from storage.history import FileRow, HistoryDatabase
from storage.plans.audit import PLANNED, REJECTED, AuditLog
from storage.plans.plan_file import Plan, PlanError, read_plan, write_plan
from storage.plans.put_aside import spared
from storage.snapshot import Snapshot

if TYPE_CHECKING:
    from storage.config.site import SiteConfig
    from storage.runs.directory import RunDirectory

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Due:
    """What is due because of the findings of a run: files with size and mtime, and directories with their mtime.

    ``doubles`` counts the orphans that are left alone since they may be other files seen through a link, ``spared``
    those that somebody has brought back from the quarantine, or that lie in one which the settings name no more.
    ``directories_stay`` says why no empty directory can be deleted; empty when they can.
    """

    missing: Sequence[FileRow] = ()
    orphans: Sequence[FileRow] = ()
    empty: Sequence[tuple[bytes, int]] = ()
    doubles: int = 0
    spared: int = 0
    directories_stay: str = ""


def due(site: SiteConfig, history: Path, inventory: Path, listing: Path, now: float, audit: AuditLog) -> Due:
    """Find what is known for as many runs and days as the site wants; ``now`` is in seconds since the epoch.

    ``inventory`` is the snapshot of what should be there: a directory that it names is not deleted. ``listing`` is that
    of what is there: orphans of a directory that looks like another's twin are left alone. What somebody has brought
    back from the quarantine not long ago, and what was put there, by the ``audit`` log, is left alone as well.

    Raises:
        HistoryError, SnapshotError, OSError: it cannot be told.
    """
    with HistoryDatabase(history) as database:
        missing = list(due_missing(database, site, now))
        known = found_before(now, site.orphan_days)
        orphans = list(database.orphans(site.name, least=site.orphan_runs, before=known))
        empty = list(database.empty_directories(site.name))
    left_alone = spared(audit, now - site.quarantine_days * 86400)
    wanted = [row for row in orphans if row[0] not in left_alone]
    singles, doubles = _singles(wanted, listing)
    if doubles:
        _log.info("%s: %d orphans lie in twins of other directories, as behind a link, and stay", site.name, doubles)
    back = len(orphans) - len(wanted)
    if back:
        _log.info(
            "%s: %d orphans lie in a quarantine, or were brought back from it not long ago, and stay", site.name, back
        )
    return Due(missing, singles, list(_not_expected(empty, inventory)), doubles, back)


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
    run: PlanRun,
    found: Due,
    gates: tuple[Refusal, ...],
    mark: str,
    now: float,
    actions: Mapping[Cause, Action] = USUAL_ACTIONS,
    held: tuple[Held, ...] = (),
) -> tuple[Plan, PlanState]:
    """Write the plan of a run, or take up the one that it has, and say how far that is.

    Where settings have changed since, so that another plan follows from the same run, what was done of the old one
    counts in the new one, and so does that it was rejected.

    Raises:
        ReportError: it cannot be written, or noted that it was.
        OSError: the log cannot be read.
    """
    audit = AuditLog(directory.audit)
    before = _plan_before(site, directory, run)
    header = PlanHeader(site.name, run, now, gates, mark, audit.size, held)
    items = tuple(planned(site, found, actions))
    if before is None:
        return _new_plan(directory, audit, header, items), _known()
    state = audit.state_of(before.name, before.header.audit)
    if (before.items, before.header.gates, before.header.mark) == (items, gates, mark):
        if not state.is_known:
            # It was written, and its process died before it could say so.
            audit.say(before.name, PLANNED, _about(before))
            state.is_known = True
        return before, state
    plan, fresh = _new_plan(directory, audit, header, items), _known()
    _carry_over(audit, plan, fresh, before, state)
    return plan, fresh


def _plan_before(site: SiteConfig, directory: RunDirectory, run: PlanRun) -> Plan | None:
    try:
        plan = read_plan(directory.plan, site.name)
    except PlanError as error:
        if directory.plan.exists():
            _log.warning("%s; another plan takes its place", error)
        return None
    return plan if plan.header.run.is_run(run.number, run.started) else None


def _new_plan(directory: RunDirectory, audit: AuditLog, header: PlanHeader, items: Iterable[PlanItem]) -> Plan:
    plan = write_plan(directory.plan, header, items)
    audit.say(plan.name, PLANNED, _about(plan))
    return plan


def _about(plan: Plan) -> str:
    return f"run {plan.header.run.number}: {len(plan.items)} items"


def _known() -> PlanState:
    state = PlanState()
    state.is_known = True
    return state


def _carry_over(audit: AuditLog, plan: Plan, state: PlanState, before: Plan, old: PlanState) -> None:
    ended = {(item.cause, item.path): old.last(item.number) for item in before.items if not old.is_open(item.number)}
    for event, before_it in ((ItemEvent.DONE, DONE), (ItemEvent.DROPPED, (ItemEvent.DROPPED,))):
        items = [item for item in plan.items if ended.get((item.cause, item.path)) in before_it]
        audit.note(plan.name, event, items, [f"as plan {before.name} had it"] * len(items))
        state.take([item.number for item in items], event)
    if old.rejected:
        audit.say(plan.name, REJECTED, f"plan {before.name} was")
        state.rejected = True


def planned(site: SiteConfig, found: Due, actions: Mapping[Cause, Action] = USUAL_ACTIONS) -> Iterator[PlanItem]:
    """Give the items of a plan: what is to go, directories behind files, and then what is to be brought back."""
    numbers = count(1)
    orphan = _reason("on the store and not in the inventory", site.orphan_runs, site.orphan_days)
    default = site.missing_runs == MISSING_RUNS
    missing = _reason("in the inventory and not on the store", 0 if default else site.missing_runs, site.missing_days)
    directories = () if found.directories_stay else found.empty
    empty = ((path, UNKNOWN_SIZE, mtime) for path, mtime in directories)
    rows: tuple[tuple[Cause, str, Iterable[FileRow]], ...] = (
        (Cause.ORPHAN, orphan, found.orphans),
        (Cause.EMPTY, "a directory without any file below it", empty),
        (Cause.MISSING, missing, found.missing if site.use_transfer_queue else ()),
    )
    for cause, reason, files in rows:
        for path, size, mtime in files:
            yield PlanItem(next(numbers), cause, path, size, mtime, reason, actions[cause])


def _reason(what: str, runs: int, days: float) -> str:
    known = _known_for(runs, days)
    return f"{what}, for {known} or more" if known else what


def _known_for(runs: int, days: float) -> str:
    known = [f"{runs} runs"] if runs > 1 else []
    if days:
        known.append(f"{days:g} day{'' if days == 1 else 's'}")
    return " and ".join(known)


def _too_new(runs: int, days: float) -> str:
    known = _known_for(runs, days)
    return f"not known for {known} yet" if known else "somebody has acted on them meanwhile"


def held(site: SiteConfig, run: PlanRun, found: Due) -> tuple[Held, ...]:
    """Say from which findings of a run nothing follows, of those that are due or may come to be."""
    orphans = len(found.orphans) + found.doubles + found.spared
    rows = [
        (Cause.ORPHAN, found.spared, "in a quarantine, or brought back from one not long ago"),
        (Cause.ORPHAN, found.doubles, "in twins of other directories, as behind a link"),
        (Cause.ORPHAN, run.orphan - orphans, _too_new(site.orphan_runs, site.orphan_days)),
        (Cause.EMPTY, len(found.empty) if found.directories_stay else 0, found.directories_stay),
        (Cause.MISSING, run.missing - len(found.missing), _too_new(site.missing_runs, site.missing_days)),
        (Cause.MISSING, 0 if site.use_transfer_queue else len(found.missing), "UseTransferQueue is off"),
    ]
    return tuple(Held(cause, items, why) for cause, items, why in rows if items > 0)


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
