"""Comparisons by themselves: what the command ``compare`` does, on either runtime."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from actors.comparison import Comparison, ComparisonPlan, ComparisonResult
from actors.history_store import HistoryStore, StorePlan
from actors.oversight import Oversight, Progress, Refused, await_answer, heed
from actors.runtime import ActorLost, ActorRef, Runtime, dismiss
from storage.sites.seats import SeatError

if TYPE_CHECKING:
    from actors.listing import Listing, StoreJob

_log = logging.getLogger(__name__)

_START_PATIENCE = 120.0
_FINISH_PATIENCE = 3600.0

_COORDINATORS = 3
"""So many have a try at one listing, where one after another is lost."""

_LOOK_EVERY = 0.1
"""Seconds between two looks at whether the comparison is to stop."""


@dataclass(frozen=True, slots=True)
class Results:
    """What a comparison found, the reports that it wrote, and the listing behind it, if there was one.

    ``at`` is when it was about to be recorded in the history, in seconds since the epoch, 0 when it was not.
    """

    run: int
    comparison: ComparisonResult
    reports: tuple[str, ...]
    listing: Progress = field(default_factory=Progress)
    seconds: float = 0.0
    at: float = 0.0


def compare_snapshots(runtime: Runtime, plan: ComparisonPlan, store: StorePlan, oversight: Oversight) -> Results:
    """Compare two snapshots and write the lists; nobody is asked to confirm what is missing.

    Raises:
        Killed, ReportError, SnapshotError, OSError: nothing was written.
    """
    return _quick(runtime, store, lambda history: (_compare(runtime, plan, history, oversight), Progress()))


def compare_with_store(
    runtime: Runtime,
    job: StoreJob,
    plan: ComparisonPlan,
    store: StorePlan,
    oversight: Oversight,
    refine: Callable[[ComparisonPlan], ComparisonPlan] | None = None,
) -> Results:
    """List a store, compare it with the inventory's snapshot and write the lists; candidates are confirmed.

    ``refine`` is given the plan of the comparison when the listing is over.

    Raises:
        Killed, Refused, ListingFailed, ReportError, SnapshotError, OSError: nothing was written.
    """
    refine = refine or as_planned
    return _quick(runtime, store, lambda history: list_and_compare(runtime, job, plan, history, oversight, refine))


def _unique() -> str:
    # What uuid gives is no better, and it loads what finds out about the machine.
    return os.urandom(4).hex()


def _quick(
    runtime: Runtime, store: StorePlan, work: Callable[[ActorRef], tuple[ComparisonResult, Progress]]
) -> Results:
    started = time.monotonic()
    # Several such commands may share a cluster, where names are unique.
    history = runtime.spawn(f"history-store:{_unique()}", HistoryStore, store)
    try:
        history.ask("open_run", "", time.time(), runtime.name).result(_START_PATIENCE)
        result, progress = work(history)
        if result.refusal is not None:
            raise Refused(result.refusal)
        reports = history.ask("publish").result(_FINISH_PATIENCE)
        return Results(0, result, tuple(reports), progress, time.monotonic() - started)
    finally:
        dismiss(history)


def _compare(runtime: Runtime, plan: ComparisonPlan, history: ActorRef, oversight: Oversight) -> ComparisonResult:
    comparison = runtime.spawn(f"comparison:{_unique()}", Comparison, plan, None, history)
    try:
        return _wait_for(comparison, oversight)
    finally:
        dismiss(comparison)


def as_planned(plan: ComparisonPlan) -> ComparisonPlan:
    """Leave a plan as it is."""
    return plan


def list_and_compare(
    runtime: Runtime,
    job: StoreJob,
    plan: ComparisonPlan,
    history: ActorRef,
    oversight: Oversight,
    refine: Callable[[ComparisonPlan], ComparisonPlan] = as_planned,
) -> tuple[ComparisonResult, Progress]:
    """List, seal, compare, and keep the listers for the confirmation.

    ``refine`` is given the plan of the comparison when the listing is over, for what may have changed meanwhile.
    """
    # A comparison of two files needs nothing of what a listing does.
    from actors.doubtful import list_what_differs
    from actors.listing import ListingFailed

    found: list[ComparisonResult] = []
    with ExitStack() as stack:
        listing, listed = _listed(runtime, job, oversight, stack)
        try:
            listing.seal()
            if listed.taken:
                list_what_differs(listing, plan.inventory, plan.remote, lambda: heed(oversight))
            refined = refine(plan)
            comparison = runtime.spawn(f"comparison:{job.label}", Comparison, refined, listing.coordinator, history)

            def finished() -> bool:
                result = comparison.ask("result").result(_START_PATIENCE)
                if result is not None:
                    found.append(result)
                return bool(found)

            try:
                progress = listing.run("comparing", finished)
            finally:
                dismiss(comparison)
        except (ActorLost, TimeoutError) as error:
            raise ListingFailed(f"an actor of {job.label} is lost: {error}") from error
    return found[-1], progress


def _listed(runtime: Runtime, job: StoreJob, oversight: Oversight, stack: ExitStack) -> tuple[Listing, Progress]:
    """List until nothing is left to ask; the listing, which goes on, is left with the ``stack``.

    Where the coordinator is lost, another one goes on from its journal, a few times.
    """
    from actors.listing import CoordinatorLost, Listing, ListingFailed

    before: Listing | None = None
    for left in reversed(range(_COORDINATORS)):
        with ExitStack() as attempt:
            listing = attempt.enter_context(Listing(runtime, job, oversight, before))
            try:
                listing.start()
                listed = listing.run("listing")
            except (CoordinatorLost, ActorLost, TimeoutError) as error:
                known = error if isinstance(error, ListingFailed) else None
                if not left or runtime.lost:
                    raise known or ListingFailed(f"an actor of {job.label} is lost: {error}") from error
                _log.warning("%s; another one goes on from its journal", error)
            except SeatError as error:
                if before is None:
                    raise
                raise ListingFailed(f"{job.label}: {error}") from error
            else:
                stack.push(attempt.pop_all())
                return listing, listed
        # A store that is not believed any more has nothing taken over, by whoever goes on.
        earlier = None if listing.progress.distrust else job.plan.earlier
        job, before = replace(job, plan=replace(job.plan, resume=True, earlier=earlier)), listing
    raise AssertionError("the last attempt returns or raises")


def _wait_for(comparison: ActorRef, oversight: Oversight) -> ComparisonResult:
    while True:
        answer = comparison.ask("result", _LOOK_EVERY)
        result: ComparisonResult | None = await_answer(answer, _START_PATIENCE, oversight)
        if result is not None:
            return result
