"""Looking at the plan of a site, applying it when somebody says so, and rejecting it."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from actors.check_job import RunRequest, check_job, history_path, settings_mark
from actors.jobs import store_job
from actors.listing import ListingFailed
from actors.oversight import Oversight, Progress, heed
from actors.plans.applying import BACKEND_ERRORS, Applied, Doubts, apply_items, ended_before
from actors.plans.executors import Executors
from actors.plans.left_over import left_over
from actors.plans.still_meant import still_meant
from actors.recheck import recheck
from actors.run import this_run
from actors.second_inventory import AGAIN, NONE
from engine.gates import Refusal
from engine.plan import DONE, ItemEvent, PlanItem, PlanState, portion, refusal_of
from engine.site_states import SiteStatus
from engine.young import young_after
from storage.doors.resolve import resolve
from storage.doors.source import site_source
from storage.history import HistoryDatabase, RunStatus, Table
from storage.plans.audit import REJECTED, AuditLog
from storage.plans.plan_file import Plan, read_plan
from storage.runs.directory import RunDirectory
from storage.sites import picker
from storage.sites.summary import SummaryDatabase
from storage.snapshot import SnapshotError

if TYPE_CHECKING:
    from actors.runtime import Runtime
    from actors.store_job import StoreJob
    from engine.recheck import Candidates, Rechecked
    from storage.backends.protocols import Backends
    from storage.config.site import KnownSites, SiteConfig
    from storage.doors.source import StoreSource

_log = logging.getLogger(__name__)

_STOPPED = {SiteStatus.HALT: "halted", SiteStatus.DISABLED: "disabled"}


class PlanRefused(Exception):
    """A plan must not be applied now; the message is one line that says why and what helps."""


@dataclass(frozen=True, slots=True)
class PlanView:
    """A plan, how far it is, and why it may not be applied as it stands; None when it may be."""

    plan: Plan
    state: PlanState
    refusal: Refusal | None

    @property
    def left(self) -> list[PlanItem]:
        """What is left to do, in order; what is known to have no source comes last, so that nothing waits for it."""
        items = self.state.open_items(self.plan.items)
        return sorted(items, key=lambda item: self.state.last(item.number) is ItemEvent.SOURCELESS)

    @property
    def counts(self) -> dict[str, int]:
        """How many items there are, and what became of them."""
        done, dropped = self.state.count(*DONE), self.state.count(ItemEvent.DROPPED)
        failed, sourceless = self.state.count(ItemEvent.FAILED), self.state.count(ItemEvent.SOURCELESS)
        total = len(self.plan.items)
        left = total - done - dropped
        counts = {"items": total, "done": done, "dropped": dropped, "failed": failed}
        return {**counts, "sourceless": sourceless, "left": left}


@dataclass(frozen=True, slots=True)
class ApplyRequest:
    """How much of a plan is to be applied: so many items, and so many bytes of what is deleted; None: all of it."""

    limit: int | None = None
    most_bytes: int | None = None


def look(config: KnownSites, site: SiteConfig, backends: Backends) -> PlanView:
    """Look at the plan of a site.

    Raises:
        PlanError: it has none, or it was changed.
        HistoryError, SummaryError, SourceError, OSError: it cannot be told whether it may be applied.
    """
    directory = RunDirectory(site.var_location, site.name)
    plan = read_plan(directory.plan, site.name)
    state = AuditLog(directory.audit).state_of(plan.name, plan.header.audit)
    limits, now = site.action_limits(), time.time()
    refusal = (
        stopped(config, site)
        or refusal_of(plan.header, state, now, site.max_plan_age, limits)
        or _overtaken(site, plan)
        or _other_settings(site, backends, plan)
    )
    return PlanView(plan, state, refusal)


def _overtaken(site: SiteConfig, plan: Plan) -> Refusal | None:
    """Say whether a later run has found out more, or was refused."""
    header, path = plan.header, history_path(site)
    again = f"check {site.name} makes a new one"
    row = last = None
    if path.exists():
        with HistoryDatabase.reading(path) as history:
            row = history.last_run_with(site.name, Table.MISSING)
            last = next(iter(history.runs(site.name, 1)), None)
    if row is None or not header.run.is_run(row.id, row.started):
        what = f"run {row.id} has found out more" if row is not None else "the history knows no run of it"
        return Refusal("superseded", f"the plan is of run {header.run.number}, and {what}; {again}")
    if last is not None and last.id > row.id and last.status == RunStatus.FAILED and last.signs.gates:
        gate = last.signs.gates[0]
        return Refusal(gate.gate, f"run {last.id} after it was refused: {gate.message}")
    return None


def _other_settings(site: SiteConfig, backends: Backends, plan: Plan) -> Refusal | None:
    try:
        mark = settings_mark(site, site_source(site), backends)
    except BACKEND_ERRORS as error:
        return Refusal("backend", str(error))
    if plan.header.mark == mark:
        return None
    other = f"the settings of {site.name} name another store or inventory than the plan was made with"
    return Refusal("other-settings", f"{other}; check {site.name} makes a new one")


def stopped(config: KnownSites, site: SiteConfig) -> Refusal | None:
    """Say that a site is halted or disabled; None if it is not.

    Raises:
        SummaryError: it cannot be told.
    """
    path = picker.summary_path(config)
    if not path.exists():
        return None
    with SummaryDatabase.reading(path) as summary:
        states = {row.site: row.status for row in summary.sites()}
    word = _STOPPED.get(states.get(site.name, SiteStatus.READY))
    return None if word is None else Refusal("site", f"the site is {word}; set-status {site.name} ready")


def apply_plan(
    runtime: Runtime,
    config: KnownSites,
    site: SiteConfig,
    backends: Backends,
    request: ApplyRequest,
    oversight: Oversight,
) -> tuple[PlanView, Applied]:
    """Apply the plan of a site, or a part of it; gives how far it is then, and what became of it now.

    Nothing else is done at the site meanwhile. What ended it before its end stands in the result.

    Raises:
        PlanError, PlanRefused: nothing was done.
        AlreadyRunning: a check of the site is at work.
        DoorsError, SourceError, HistoryError, SummaryError, RunDirError, OSError: nothing was done.
    """
    directory = RunDirectory(site.var_location, site.name)
    directory.acquire(this_run(runtime, time.time()))
    with directory:
        view = look(config, site, backends)
        if view.refusal is not None:
            raise PlanRefused(f"{site.name}: nothing was done: {view.refusal.gate}: {view.refusal.message}")
        chosen = portion(view.left, request.limit, request.most_bytes)
        audit = AuditLog(directory.audit)
        if not chosen and not (site.deletes_itself and left_over(audit, view.plan.name)):
            return view, Applied()
        halting = heeding_halts(directory, oversight)
        source = resolve(site_source(site), lambda: heed(halting))
        asking = asking_job(source, site)
        executors = Executors(site, backends.registry, runtime, asking, halting)
        if executors.refusal is not None:
            raise PlanRefused(f"{site.name}: nothing was done: {executors.refusal.gate}: {executors.refusal.message}")
        doubts = _doubts(runtime, site, source, backends, directory, view.plan, halting, asking)
        before, name = ended_before(view.plan, view.state), view.plan.name
        with executors.of_plan(name) as executor:
            applied = apply_items(name, chosen, view.state, audit, executor, doubts, halting, before.directories)
        _log.info("%s: plan %s: %s", site.name, view.plan.name, view.counts)
        return view, applied


def heeding_halts(directory: RunDirectory, oversight: Oversight) -> Oversight:
    """Give an oversight that a halt from another terminal ends as well."""

    def stop() -> str:
        return "halted from another terminal" if directory.halt_requested() else oversight.stop()

    return Oversight(stop, oversight.watch)


def asking_job(source: StoreSource, site: SiteConfig) -> StoreJob:
    """Say how a store is asked and changed, of which nothing is listed: the snapshot that it names is never made."""
    return replace(store_job(source, site, site.var_location / "none.snapshot"), label=site.name)


def asked_again(site: SiteConfig) -> SiteConfig:
    """Have the inventory read once more: what came into it since is never acted on, however it is read in a check."""
    return replace(site, second_inventory=AGAIN) if site.second_inventory == NONE else site


def _doubts(
    runtime: Runtime,
    site: SiteConfig,
    source: StoreSource,
    backends: Backends,
    directory: RunDirectory,
    plan: Plan,
    oversight: Oversight,
    asking: StoreJob,
) -> Doubts:
    """Have inventory and store asked again, with the age limit of then or of now, whichever spares more."""
    run = plan.header.run
    again = asked_again(site)
    try:
        job = check_job(again, source, backends, RunRequest(), directory)
    except BACKEND_ERRORS as error:
        raise PlanRefused(f"{site.name}: nothing was done: backend: {error}") from error
    limit = run.young_after
    if limit is not None and run.begun is not None:
        limit = min(limit, young_after(run.begun, job.inventory_time, job.ignore_age, job.store_time))

    def meant(candidates: Candidates) -> Candidates:
        try:
            left = still_meant(job, directory, candidates, (run.young_after, limit), lambda: heed(oversight))
        except (*BACKEND_ERRORS, SnapshotError, OSError) as error:
            # Like a store that gives no answer: what cannot be asked about is not acted on.
            raise ListingFailed(str(error)) from error
        return left if site.use_transfer_queue else replace(left, missing=())

    def store(candidates: Candidates) -> Rechecked:
        return recheck(runtime, asking, candidates, limit, oversight, Progress())

    return Doubts(meant, store)


def reject(config: KnownSites, site: SiteConfig, backends: Backends, runtime: Runtime, why: str) -> PlanView:
    """Note that the plan of a site is not to be applied, for good.

    Raises:
        PlanError: it has none, or it was changed.
        AlreadyRunning: a check of the site is at work.
        ReportError, HistoryError, RunDirError, OSError: it could not be noted.
    """
    directory = RunDirectory(site.var_location, site.name)
    directory.acquire(this_run(runtime, time.time()))
    with directory:
        view = look(config, site, backends)
        if not view.state.rejected:
            AuditLog(directory.audit).say(view.plan.name, REJECTED, why)
        return view
