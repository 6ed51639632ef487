"""What follows from the findings of a run: requests to the registry, and the lists that say what became of them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from actors.listing import ListingFailed
from actors.oversight import Killed, Oversight
from actors.plans.applying import (
    BACKEND_ERRORS,
    NOTHING,
    Doubts,
    Trouble,
    apply_items,
    ended_before,
)
from actors.plans.applying import (
    together as both,
)
from actors.plans.planning import Due, due, due_missing, held, open_plan
from engine import paths
from engine.actions import Findings, action_refusal, closed_gates, together
from engine.gates import Refusal
from engine.plan import Cause, ItemEvent, PlanRun, PlanState
from engine.recheck import Dropped
from engine.usage import usage
from storage.atomic import ReportError
from storage.backends.protocols import Transfers
from storage.history import HistoryDatabase, Table
from storage.plans.audit import AuditLog
from storage.runs.lists import SiteLists
from storage.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.comparison import ComparisonResult
    from actors.plans.executors import Executors
    from storage.backends.protocols import Backends
    from storage.config.site import SiteConfig
    from storage.history import FileRow
    from storage.plans.plan_file import Plan
    from storage.runs.directory import RunDirectory

_log = logging.getLogger(__name__)

_NO_COPY = "no other copy of it is known"

LEFT = "not acted on"
"""With these words a message in the history begins that says which gate kept a run from acting."""


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A run that the history at a path has: its number, the directory with its snapshots and plan.

    ``young_after`` is as in `engine.recheck`, and ``mark`` as in `engine.plan`.
    """

    number: int
    directory: RunDirectory
    history: Path
    young_after: float | None
    mark: str


@dataclass(frozen=True, slots=True)
class Acted:
    """What was asked of the registry, and done ``at_store``, where that is who deletes.

    ``refusal`` says why nothing was, or nothing more, None when it was; ``deletions`` counts the requests that were
    new, ``doubles`` the orphans left alone since they may be other files seen through a link, ``dropped`` what
    is not any more as it was found; ``transfers`` are the missing files by their sources, also where nothing was asked
    for. ``failure`` is what went wrong, and ``failed`` says in words what could not be done then. ``stays`` has what
    was tried in vain, by path, and why. ``gates`` are those that closed, also at a site that is not set to act.
    ``planned`` counts the items of the run's plan of which nothing was done yet, None where there is no plan.
    """

    refusal: Refusal | None = None
    deletions: int = 0
    doubles: int = 0
    dropped: Dropped = field(default_factory=Dropped)
    transfers: Transfers = field(default_factory=Transfers)
    failed: str = ""
    failure: Exception | None = None
    stays: tuple[tuple[bytes, str], ...] = ()
    at_store: bool = False
    gates: tuple[Refusal, ...] = ()
    planned: int | None = None


def act(
    site: SiteConfig,
    backends: Backends,
    acting: bool,
    found: ComparisonResult,
    run: RecordedRun,
    oversight: Oversight,
    now: float,
    doubts: Doubts,
    executors: Executors,
) -> Acted:
    """Plan what follows from a run of a site, and make the requests where the site is set to act.

    Orphans and empty directories are to be deleted, missing files to be brought back, if both are known for as many
    runs and days as the site wants; ``now`` is in seconds since the epoch. What remains goes through the ``doubts``.
    When the ``oversight`` asks to stop, nothing more is asked for. A backend that fails takes nothing away from what
    was. One of the ``executors`` does it.

    Raises:
        HistoryError, SnapshotError, OSError: nothing was asked for.
    """
    limits, counts = site.action_limits(), _counts(found, now)
    refusal, gates = action_refusal(acting, counts, limits), closed_gates(counts, limits)
    for gate in gates or (refusal,):
        if gate is not None:
            _log.info("%s: nothing is acted on: %s: %s", site.name, gate.gate, gate.message)
    directory = run.directory
    few_missing, few_orphans = found.missing <= limits.max_missing, found.orphan <= limits.max_orphan
    # A store that looks empty, or an inventory that does, would make a plan of millions that nobody may apply.
    audit, what = AuditLog(directory.audit), Due()
    if few_missing and few_orphans:
        what = due(site, run.history, directory.inventory, directory.listing, now, audit)
    if what.empty and not executors.takes_directories:
        who = "the store cannot do that safely" if site.deletes_itself else "the registry deletes files alone"
        _log.info("%s: %d empty directories stay: %s", site.name, len(what.empty), who)
        what = replace(what, directories_stay=who)
    about = _plan_run(site, run, found)
    # Behind a gate for too many of them nothing was looked at.
    stays = held(site, about, what) if few_missing and few_orphans else ()
    try:
        plan, state = open_plan(site, directory, about, what, gates, run.mark, now, executors.actions, stays)
    except ReportError as error:
        return Acted(Refusal("plan", str(error)), failed=f"no plan was made, and {NOTHING}", failure=error, gates=gates)
    refusal = refusal or executors.refusal
    if refusal is None and state.rejected:
        refusal = Refusal("rejected", f"the plan {plan.name} of this run was rejected")
    if refusal is None:
        acted = _carry_out(site, backends, oversight, doubts, executors, audit, plan, state, what)
    elif not few_missing:
        acted = Acted(refusal)
    else:
        missing = _names(what.missing)
        if not few_orphans:
            with HistoryDatabase(run.history) as database:
                missing = _names(due_missing(database, site, now))
        acted = _only_tell(site, backends, missing, refusal)
        if not state.rejected:
            acted = _noting_sourceless(plan, state, audit, acted)
    planned = [item for item in state.open_items(plan.items) if state.last(item.number) is not ItemEvent.SOURCELESS]
    return replace(acted, gates=gates, planned=len(planned))


def _carry_out(
    site: SiteConfig,
    backends: Backends,
    oversight: Oversight,
    doubts: Doubts,
    executors: Executors,
    audit: AuditLog,
    plan: Plan,
    state: PlanState,
    what: Due,
) -> Acted:
    """Apply the plan of what is due, and say what came of it."""
    earlier = ended_before(plan, state)
    with executors.of_plan(plan.name) as executor:
        applied = apply_items(plan.name, plan.items, state, audit, executor, doubts, oversight, earlier.directories)
    if applied.dropped.total:
        said = applied.dropped.words
        _log.info("%s: asked again before acting: %s; these are left alone", site.name, said)
    acted = Acted(None, applied.deletions, what.doubles, applied.dropped, applied.transfers)
    acted = replace(acted, stays=applied.stays, at_store=site.deletes_itself)
    if earlier.missing:
        # What a process that died has asked for is in the lists of this run as well.
        told = _only_tell(site, backends, earlier.missing, None)
        acted = replace(acted, transfers=both(acted.transfers, told.transfers))
    if applied.failure is not None:
        gate = Refusal(_gate_of(applied.failure), str(applied.failure))
        return replace(acted, refusal=gate, failed=applied.failed, failure=applied.failure)
    transfers = len(applied.transfers.requested)
    _log.info("%s: %d new deletions, %d transfers were asked for", site.name, applied.deletions, transfers)
    if site.use_transfer_queue:
        return acted
    told = _only_tell(site, backends, _names(what.missing), None)
    return replace(acted, transfers=told.transfers, failed=told.failed, failure=told.failure)


def _noting_sourceless(plan: Plan, state: PlanState, audit: AuditLog, told: Acted) -> Acted:
    """Note which missing files of a plan have no other copy, so that whoever looks at it sees them apart."""
    lost = frozenset(map(paths.encode, told.transfers.unrecoverable))
    items = [item for item in plan.items if item.cause is Cause.MISSING and item.path in lost]
    items = [item for item in items if state.last(item.number) is None]
    try:
        audit.note(plan.name, ItemEvent.SOURCELESS, items, [_NO_COPY] * len(items))
    except ReportError as error:
        return replace(told, failed="which files have no other copy was not noted", failure=error)
    state.take([item.number for item in items], ItemEvent.SOURCELESS)
    return told


def _gate_of(failure: Exception) -> str:
    match failure:
        case Killed():
            return "halted"
        case ListingFailed() | Trouble():
            return "recheck"
        case ReportError():
            return "plan"
        case _:
            return "backend"


def _plan_run(site: SiteConfig, run: RecordedRun, found: ComparisonResult) -> PlanRun:
    with HistoryDatabase(run.history) as history:
        row = history.last_run_with(site.name, Table.MISSING)
    started = row.started if row is not None and row.id == run.number else 0.0
    return PlanRun(
        run.number,
        started,
        found.begun,
        run.young_after,
        found.missing,
        found.orphan,
        found.missing_size,
        found.orphan_size,
        found.inventory_files,
        found.files,
        found.directories,
        found.unlisted,
    )


def _counts(found: ComparisonResult, now: float) -> Findings:
    return Findings(
        found.missing,
        found.orphan,
        found.missing_size,
        found.orphan_size,
        found.inventory_files,
        found.files,
        found.directories,
        found.unlisted,
        found.failed_tops,
        now - found.begun if found.begun is not None else 0.0,
    )


def what_followed(acted: Acted) -> str:
    """Say for the history what was left alone, and why; empty when all was acted on, or could have been."""
    parts = []
    if acted.failure is not None:
        parts.append(f"{acted.failed}: {acted.failure}")
    closed = together(acted.gates) or acted.refusal
    if acted.failure is None and closed is not None and closed.gate != "dry":
        parts.append(f"{LEFT}: {closed.gate}: {closed.message}")
    if acted.stays:
        path, why = acted.stays[0]
        parts.append(f"could not be deleted: {len(acted.stays)}, the first one {paths.escape(path)}: {why}")
    if acted.dropped.total:
        parts.append(f"dropped when asked again before acting: {acted.dropped.words}")
    return "; ".join(parts)


def _names(files: Iterable[FileRow]) -> list[str]:
    return [paths.decode(path) for path, _, _ in files]


def _only_tell(site: SiteConfig, backends: Backends, missing: list[str], refusal: Refusal | None) -> Acted:
    try:
        return Acted(refusal, transfers=backends.registry.sources(site.name, missing))
    except BACKEND_ERRORS as error:
        return Acted(refusal, failed="where else the missing files are could not be found out", failure=error)


def write_lists(
    site: SiteConfig,
    backends: Backends,
    lists: SiteLists,
    tops: tuple[bytes, ...],
    listing: Path,
    history: Path,
    acted: Acted,
    now: float,
) -> None:
    """Write what stands beside the reports of a run: files without a source, missing blocks, used storage.

    Raises:
        ReportError: a list cannot be written.
        BackendError, ConfigError, InventoryError, HistoryError, SnapshotError, OSError: what is in it cannot be told.
    """
    lists.write_sources(acted.transfers.no_disk, acted.transfers.unrecoverable)
    write_storage(site, lists, tops, listing, now)
    with HistoryDatabase(history) as database:
        missing = [paths.decode(path) for path, _, _ in database.missing(site.name)]
    lists.write_blocks(backends.blocks.filelist_to_blocklist(site.name, missing) if missing else ())


def write_storage(site: SiteConfig, lists: SiteLists, tops: tuple[bytes, ...], listing: Path, now: float) -> None:
    """Write how much is used below each top directory.

    Raises:
        ReportError, SnapshotError, OSError: it cannot be written, or the listing not be read.
    """
    snapshot = Snapshot(listing)
    try:
        lists.write_storage(site.name, usage(snapshot.table, tops), now)
    finally:
        snapshot.close()
