"""Looking at the plan of a site, applying it when somebody says so, and rejecting it."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from actors.applying import Applied, AskRegistry, apply_items
from actors.check_job import history_path, store_mark
from actors.oversight import Oversight, Progress, heed
from actors.planning import plain
from actors.recheck import recheck
from actors.run import this_run
from engine.gates import Refusal
from engine.plan import ItemEvent, PlanItem, PlanState, portion, refusal_of
from engine.site_states import SiteStatus
from storage.doors.resolve import resolve
from storage.doors.source import site_source
from storage.history import HistoryDatabase, RunStatus
from storage.plans.audit import REJECTED, AuditLog
from storage.plans.plan_file import Plan, read_plan
from storage.runs.directory import RunDirectory
from storage.sites import picker
from storage.sites.summary import SummaryDatabase

if TYPE_CHECKING:
    from actors.runtime import Runtime
    from engine.recheck import Candidates, Rechecked
    from storage.backends.protocols import Backends
    from storage.config.site import KnownSites, SiteConfig

_log = logging.getLogger(__name__)

_STOPPED = {SiteStatus.HALT: "halted", SiteStatus.DISABLED: "disabled"}


_MOST_UNCERTAIN = 0.1
"""The part of what the store is asked at a time that may have no certain answer, before nothing more is done."""


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
        """What is left to do, in order."""
        return list(self.state.open_items(self.plan.items))

    @property
    def counts(self) -> dict[str, int]:
        """How many items there are, and what became of them."""
        done, dropped, failed = (
            self.state.count(event) for event in (ItemEvent.DONE, ItemEvent.DROPPED, ItemEvent.FAILED)
        )
        total = len(self.plan.items)
        return {"items": total, "done": done, "dropped": dropped, "failed": failed, "left": total - done - dropped}


@dataclass(frozen=True, slots=True)
class ApplyRequest:
    """How much of a plan is to be applied: so many items, and so many bytes of what is deleted; None: all of it."""

    limit: int | None = None
    most_bytes: int | None = None


def look(site: SiteConfig) -> PlanView:
    """Look at the plan of a site.

    Raises:
        PlanError: it has none, or it was changed.
        HistoryError, OSError: it cannot be told whether it is the latest.
    """
    directory = RunDirectory(site.var_location, site.name)
    plan = read_plan(directory.plan, site.name)
    state = AuditLog(directory.audit).state_of(plan.name, plan.header.audit)
    mark = plain(store_mark(site, site_source(site)))
    latest = _latest_run(site)
    return PlanView(plan, state, refusal_of(plan.header, state, time.time(), site.max_plan_age, latest, mark))


def _latest_run(site: SiteConfig) -> int:
    """Give the number of the last run that recorded findings; 0 when there is none."""
    path = history_path(site)
    if not path.exists():
        return 0
    with HistoryDatabase(path) as history:
        ended = (RunStatus.DONE, RunStatus.INCOMPLETE)
        return next((run.id for run in history.runs(site.name) if run.status in ended), 0)


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
        view = look(site)
        refusal = _stopped(config, site) or view.refusal
        if refusal is not None:
            raise PlanRefused(f"{site.name}: nothing was done: {refusal.gate}: {refusal.message}")
        chosen = portion(view.left, request.limit, request.most_bytes)
        if not chosen:
            return view, Applied()

        def asked_again(candidates: Candidates) -> Rechecked:
            from actors.jobs import store_job

            source = resolve(site_source(site), lambda: heed(oversight))
            # Nothing is listed, so that the snapshot which a listing would grow into is never made.
            job = replace(store_job(source, site, site.var_location / "none.snapshot"), label=site.name)
            return recheck(runtime, job, candidates, view.plan.header.young_after, oversight, Progress())

        halting = Oversight(
            lambda: "halted from another terminal" if directory.halt_requested() else oversight.stop(), oversight.watch
        )
        audit = AuditLog(directory.audit)
        registry = AskRegistry(backends.registry, site.name)
        applied = apply_items(
            view.plan.name, chosen, view.state, audit, registry, asked_again, halting, _MOST_UNCERTAIN
        )
        _log.info("%s: plan %s: %s", site.name, view.plan.name, view.counts)
        return view, applied


def _stopped(config: KnownSites, site: SiteConfig) -> Refusal | None:
    path = picker.summary_path(config)
    if not path.exists():
        return None
    with SummaryDatabase.reading(path) as summary:
        states = {row.site: row.status for row in summary.sites()}
    word = _STOPPED.get(states.get(site.name, SiteStatus.READY))
    return None if word is None else Refusal("site", f"the site is {word}; set-status {site.name} ready")


def reject(site: SiteConfig, runtime: Runtime, why: str) -> PlanView:
    """Note that the plan of a site is not to be applied, for good.

    Raises:
        PlanError: it has none, or it was changed.
        AlreadyRunning: a check of the site is at work.
        ReportError, HistoryError, RunDirError, OSError: it could not be noted.
    """
    directory = RunDirectory(site.var_location, site.name)
    directory.acquire(this_run(runtime, time.time()))
    with directory:
        view = look(site)
        if not view.state.rejected:
            AuditLog(directory.audit).say(view.plan.name, REJECTED, why)
        return view
