"""Looking at what was put aside at the store of a site, bringing it back, and deleting it for good."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING

from actors.check_job import RunRequest, check_job
from actors.listing import ListingFailed
from actors.oversight import Killed, Oversight, heed
from actors.plans.applying import BACKEND_ERRORS, Trouble
from actors.plans.left_over import left_over, live_plan, note_never, order_of, settle_left_over
from actors.plans.plan_run import PlanRefused, asked_again, asking_job, heeding_halts, stopped
from actors.plans.removal import StoreHand, Task
from actors.plans.still_meant import still_meant
from actors.run import this_run
from engine import paths
from engine.columns import UNKNOWN_MTIME
from engine.plan import ItemEvent
from engine.quarantine import Fate, top_of
from engine.recheck import Candidates
from storage.atomic import ReportError
from storage.doors.resolve import resolve
from storage.doors.source import site_source
from storage.plans.audit import AuditLog
from storage.plans.put_aside import PutAside, put_aside
from storage.removers.keeper import BACK
from storage.runs.directory import RunDirectory
from storage.snapshot import SnapshotError

if TYPE_CHECKING:
    from actors.runtime import Runtime
    from storage.backends.protocols import Backends
    from storage.config.site import KnownSites, SiteConfig
    from storage.doors.source import StoreSource

_AT_ONCE = 64
"""Files between two entries in the log."""

_FEW, _MOST_FAILED = 5, 0.1
"""With more than so many files, and more than that part, that could not be dealt with, nothing more is done."""

_WORDS = {Task.BRING_BACK: (ItemEvent.RESTORING, ItemEvent.RESTORED), Task.PURGE: (ItemEvent.PURGING, ItemEvent.PURGED)}


@dataclass(frozen=True, slots=True)
class Emptied:
    """What became of what was put aside.

    ``done`` counts what was brought back, or has gone for good, with its bytes as far as they are known. ``absent`` is
    not in the quarantine any more, and of ``never`` it shows only now that it never was. ``expected`` stays since
    inventory or settings want it by now; ``young`` was put there too late to go yet; ``stays`` has what could not be
    dealt with, by path, and why. ``failure`` ended it before its end.
    """

    done: int = 0
    size: int = 0
    absent: int = 0
    never: int = 0
    expected: tuple[bytes, ...] = ()
    young: int = 0
    stays: tuple[tuple[bytes, str], ...] = ()
    failure: Exception | None = None


@dataclass(slots=True)
class _Work:
    audit: AuditLog
    hand: StoreHand
    task: Task
    live: str
    result: Emptied = field(default_factory=Emptied)

    def do(self, entries: Sequence[PutAside]) -> None:
        """Deal with some entries.

        Raises:
            Killed, ListingFailed, ReportError, Trouble: nothing more is done.
        """
        entries = self._there(entries)
        begun, ended = _WORDS[self.task]
        self._note(begun, entries)
        orders = [order_of(number, entry) for number, entry in enumerate(entries)]
        fates = self.hand.carry_out(self.task, orders)
        done, back, absent, stays = [], [], [], []
        for number, entry in enumerate(entries):
            # One that was not begun has no fate, and stays as it is noted.
            settled = fates.get(number)
            match settled.fate if settled is not None else None:
                case Fate.DONE:
                    done.append(entry)
                case Fate.DROPPED if entry.last is ItemEvent.RESTORING and settled == BACK:
                    # A process that died has brought it back.
                    back.append(entry)
                case Fate.DROPPED if entry.last is begun is ItemEvent.PURGING:
                    # A process that died has deleted it.
                    done.append(entry)
                case Fate.DROPPED:
                    absent.append(entry)
                case Fate.FAILED | Fate.DOUBTFUL:
                    stays.append((entry.item.path, settled.said if settled is not None else ""))
        self._note(ended, done)
        self._note(ItemEvent.RESTORED, back)
        self._note(ItemEvent.PURGED, absent, "it was not in the quarantine")
        (done if self.task is Task.BRING_BACK else absent).extend(back)
        known = self.result
        self.result = replace(
            known,
            done=known.done + len(done),
            size=known.size + sum(entry.item.weight for entry in done),
            absent=known.absent + len(absent),
            stays=(*known.stays, *stays),
        )
        is_ended = len(fates) < len(entries) and len(stays) > _FEW
        if is_ended or len(self.result.stays) > max(_FEW, _MOST_FAILED * (self.result.done + self.result.absent)):
            said = f", the last one: {stays[-1][1]}" if stays else ""
            raise Trouble(f"{len(self.result.stays):,} could not be dealt with{said}")

    def _there(self, entries: Sequence[PutAside]) -> list[PutAside]:
        """Leave out what a process that died has never put there; the ``live`` plan may still do so."""
        unknown = [(number, entry) for number, entry in enumerate(entries) if not entry.is_certain]
        if not unknown:
            return list(entries)
        found = self.hand.were_put([order_of(number, entry) for number, entry in unknown])
        said = "whether it is in the quarantine could not be seen"
        unseen = tuple((entry.item.path, said) for number, entry in unknown if found[number] is None)
        never = [entry for number, entry in unknown if found[number] is False]
        note_never(self.audit, [entry for entry in never if entry.plan != self.live])
        self.result = replace(self.result, stays=(*self.result.stays, *unseen), never=self.result.never + len(never))
        return [entry for number, entry in enumerate(entries) if entry.is_certain or found.get(number)]

    def _note(self, event: ItemEvent, entries: Sequence[PutAside], said: str = "") -> None:
        for plan, group in groupby(entries, key=lambda entry: entry.plan):
            items = [entry.item for entry in group]
            self.audit.note(plan, event, items, [said] * len(items))


def quarantine_of(site: SiteConfig) -> list[PutAside]:
    """Give what lies in the quarantine of a site, by its log.

    Raises:
        OSError: the log cannot be read.
    """
    return put_aside(AuditLog(RunDirectory(site.var_location, site.name).audit))


def bring_back(
    runtime: Runtime, site: SiteConfig, wanted: Callable[[list[PutAside]], list[PutAside]], oversight: Oversight
) -> Emptied:
    """Bring back what is ``wanted`` of what lies in the quarantine, to where it was, where nothing is there.

    Raises:
        AlreadyRunning: something else is done at the site.
        DoorsError, SourceError, RunDirError, OSError: nothing was done.
    """
    with _held(runtime, site, oversight) as (directory, halting):
        # Of several of one name the one that was put aside last: the others stay, and are not moved over it.
        entries = list({entry.item.path: entry for entry in wanted(quarantine_of(site))}.values())
        if not entries:
            return Emptied()
        source = resolve(site_source(site), lambda: heed(halting))
        return _carry_out(runtime, site, source, directory, Task.BRING_BACK, entries, Emptied(), halting)


def purge(
    runtime: Runtime,
    config: KnownSites,
    site: SiteConfig,
    backends: Backends,
    oldest: float,
    oversight: Oversight,
) -> Emptied:
    """Delete for good what was put aside before ``oldest``, in seconds since the epoch.

    What the inventory has by now, or is not to be deleted for another reason, stays: somebody may miss it.

    Raises:
        PlanRefused: the site is halted or disabled, or its inventory cannot be read.
        AlreadyRunning: something else is done at the site.
        DoorsError, SourceError, SummaryError, RunDirError, OSError: nothing was done.
    """
    with _held(runtime, site, oversight) as (directory, halting):
        refusal = stopped(config, site)
        if refusal is not None:
            raise PlanRefused(f"{site.name}: nothing was done: {refusal.gate}: {refusal.message}")
        entries = _after_a_look(runtime, site, directory, halting)
        old = [entry for entry in entries if entry.at < oldest]
        told = Emptied(young=len(entries) - len(old))
        if not old:
            return told
        source = resolve(site_source(site), lambda: heed(halting))
        left = _still_meant(site, source, backends, directory, old, halting)
        going = {(entry.plan, entry.item.number) for entry in left}
        stay = [entry.item.path for entry in old if (entry.plan, entry.item.number) not in going]
        told = replace(told, expected=tuple(stay))
        return _carry_out(runtime, site, source, directory, Task.PURGE, left, told, halting)


def _after_a_look(runtime: Runtime, site: SiteConfig, directory: RunDirectory, oversight: Oversight) -> list[PutAside]:
    """Give what lies in the quarantine, when it was found out what became of what plans of before had begun."""
    audit, entries = AuditLog(directory.audit), quarantine_of(site)
    # Of what is certain nobody need ask the store.
    live = "" if all(entry.is_certain for entry in entries) else live_plan(directory, audit)
    if not left_over(audit, live):
        return entries
    source = resolve(site_source(site), lambda: heed(oversight))
    with StoreHand(runtime, asking_job(source, site), oversight) as hand:
        settle_left_over(audit, hand, live)
    return quarantine_of(site)


@contextmanager
def _held(runtime: Runtime, site: SiteConfig, oversight: Oversight) -> Iterator[tuple[RunDirectory, Oversight]]:
    directory = RunDirectory(site.var_location, site.name)
    directory.acquire(this_run(runtime, time.time()))
    with directory:
        yield directory, heeding_halts(directory, oversight)


def _still_meant(
    site: SiteConfig,
    source: StoreSource,
    backends: Backends,
    directory: RunDirectory,
    entries: Sequence[PutAside],
    oversight: Oversight,
) -> list[PutAside]:
    """Leave out what inventory and settings do not call an orphan any more, as when a plan is applied.

    Raises:
        PlanRefused: it cannot be told.
    """
    again = asked_again(site)
    known = [entry for entry in entries if any(paths.is_under(entry.item.path, top) for top in site.directories)]
    files = [(entry.item.path, entry.item.size, UNKNOWN_MTIME) for entry in known]
    try:
        job = check_job(again, source, backends, RunRequest(), directory)
        left = still_meant(job, directory, Candidates(orphans=files), (None, None), lambda: heed(oversight))
    except (*BACKEND_ERRORS, SnapshotError) as error:
        raise PlanRefused(f"{site.name}: nothing was done: inventory: {error}") from error
    meant = {path for path, _, _ in left.orphans}
    return [entry for entry in known if entry.item.path in meant]


def _carry_out(
    runtime: Runtime,
    site: SiteConfig,
    source: StoreSource,
    directory: RunDirectory,
    task: Task,
    entries: Sequence[PutAside],
    told: Emptied,
    oversight: Oversight,
) -> Emptied:
    with StoreHand(runtime, asking_job(source, site), oversight) as hand:
        audit = AuditLog(directory.audit)
        # Only of what is in doubt it matters.
        live = "" if all(entry.is_certain for entry in entries) else live_plan(directory, audit)
        work = _Work(audit, hand, task, live, told)
        try:
            for start in range(0, len(entries), _AT_ONCE):
                heed(oversight)
                work.do(entries[start : start + _AT_ONCE])
            heed(oversight)
            empty = _directories(_places(work.audit, entries), quarantine_of(site))
            for start in range(0, len(empty), _AT_ONCE):
                heed(oversight)
                hand.tidy(empty[start : start + _AT_ONCE])
        except (Killed, ListingFailed, ReportError, Trouble) as error:
            return replace(work.result, failure=error)
        return work.result


def _places(log: AuditLog, entries: Sequence[PutAside]) -> set[tuple[bytes, str]]:
    """Give all places of the plans of some entries, each with its plan.

    A process that died may have emptied what it could not delete.
    """
    plans = {entry.plan for entry in entries}
    return {(event.aside, event.plan) for event in log.events() if event.aside and event.plan in plans}


def _directories(places: Iterable[tuple[bytes, str]], lying: Sequence[PutAside]) -> list[bytes]:
    """Give the directories of plans in the quarantine in which something was, with those of the plans, innermost first.

    In none of them does anything lie, by the log: a server may not show all that there is in a directory.
    """
    found = _above(places) - _above((entry.aside, entry.plan) for entry in lying)
    return sorted(found, key=lambda path: (-paths.depth_of(path), path))


def _above(places: Iterable[tuple[bytes, str]]) -> set[bytes]:
    found: set[bytes] = set()
    for aside, plan in places:
        top, above = top_of(aside, plan), paths.parent_of(aside)
        # Whatever the settings name by now, nothing but what the plan had made.
        while above is not None and above not in found and paths.is_under(above, top):
            found.add(above)
            above = paths.parent_of(above)
    return found
