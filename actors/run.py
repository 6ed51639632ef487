"""Whole runs: what the command ``check`` does, on either runtime."""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actors.checksums import ChecksumJob, compare_checksums, findings_of
from actors.comparison import ComparisonPlan, ComparisonResult
from actors.found import Found
from actors.history_store import HistoryStore, StorePlan
from actors.listing import StoreJob
from actors.messages import EarlierListing
from actors.oversight import Killed, Oversight, Progress, Refused, await_answer
from actors.quick import Results as Results
from actors.quick import as_planned, list_and_compare
from actors.quick import compare_snapshots as compare_snapshots
from actors.runtime import ActorRef, Runtime, dismiss
from engine.cut import CUT
from engine.findings import pack_findings
from engine.gates import HOLLOW, Refusal
from engine.misread import FORMAT
from engine.second import second_gate
from engine.usual import FEWER
from engine.young import young_after
from storage.history import HistoryDatabase, RunCounts, RunSigns, RunStatus, Table
from storage.runs.directory import RunDirectory, RunInfo
from storage.runs.earlier import EarlierListingFile
from storage.snapshot import Snapshot, damage, part_of

_log = logging.getLogger(__name__)

_START_PATIENCE = 120.0
_FINISH_PATIENCE = 3600.0
_LAST_PATIENCE = 2.0

_AGAIN = "reading the inventory again"
"""The phase between listing and comparison."""


@dataclass(frozen=True, slots=True)
class IncrementalListing:
    """How directories are taken over: see `EarlierListing`. ``mark`` says how the store is listed, in JSON's terms, and
    has to be the same; ``every`` so many runs a listing is a full one. ``why_not`` says why this site is always listed
    in full, empty when it is not.
    """

    share: float
    every: int
    margin: float
    delay: float
    mark: dict[str, Any]
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class CheckJob:
    """A whole run of one site.

    ``inventory_time`` and ``store_time`` are when the inventory was made and up to when the store is known, in seconds
    since the epoch, and ``ignore_age`` in days: see `young_after`.
    ``read_inventory`` writes the snapshot of the inventory at the path it is given, and gives up with `Killed` when the
    function that it is passed says so. ``inventory_mark`` and ``store_mark`` say which inventory and store these are: a
    journal is gone on with only if both are the same. ``list_age`` is in days. ``refine`` is given the plan of the
    comparison when the listing is over, ``opened`` the number of the run as soon as it has one. ``read_second`` is then
    asked for a second inventory, as ``read_inventory`` is for the first, and tells whether there is one.
    ``doubt`` is asked when something seems to be gone from the store, and may refuse that. ``incremental`` says how
    directories are taken over from the last complete listing, None: all are listed, and none is kept. ``checksums``
    says of which files they are compared, None: of none.
    """

    site: str
    store: StoreJob
    comparison: ComparisonPlan
    results: StorePlan
    read_inventory: Callable[[Path, Callable[[], None]], None]
    inventory_mark: dict[str, Any]
    store_mark: dict[str, Any]
    refine: Callable[[ComparisonPlan], ComparisonPlan] = as_planned
    read_second: Callable[[Path, Callable[[], None]], bool] = lambda _snapshot, _heed: False
    opened: Callable[[int], None] = lambda _run: None
    doubt: Callable[[Callable[[], None]], Refusal | None] = lambda _heed: None
    incremental: IncrementalListing | None = None
    checksums: ChecksumJob | None = None
    inventory_time: float = math.inf
    store_time: float = math.inf
    ignore_age: float = 0.0
    list_age: float = 1.0
    fresh: bool = False

    @property
    def mark(self) -> dict[str, Any]:
        """What an earlier run must have compared as well for this one to go on with it."""
        return {"inventory": self.inventory_mark, "store": self.store_mark}

    def not_before(self, started: float) -> float:
        """Give when an earlier run must have been at work for one that ``started`` then to go on with it."""
        return started - self.list_age * 86400


def check_site(runtime: Runtime, job: CheckJob, directory: RunDirectory, oversight: Oversight) -> Results:
    """Read the inventory, list the site, compare, confirm, record.

    Raises:
        AlreadyRunning: another process checks the site.
        Killed: the run was halted; its journal stays.
        Refused: a safety gate closed.
        ListingFailed: the site could not be listed; the journal stays.
        HistoryError, ReportError, SnapshotError, OSError: nothing was started, or nothing of the run appears.
    """
    started = time.time()
    directory.acquire(this_run(runtime, started))
    with directory:
        results = check_held(runtime, job, directory, oversight, started)
        directory.forget()
        return results


def this_run(runtime: Runtime, started: float) -> RunInfo:
    """Say who runs a site: this process, since ``started``."""
    return RunInfo(os.getpid(), socket.gethostname(), started, runtime.name, runtime.dashboard)


def check_held(
    runtime: Runtime, job: CheckJob, directory: RunDirectory, oversight: Oversight, started: float
) -> Results:
    """Do as `check_site` for whoever holds the lock of the directory already, and has it forget the run in the end.

    Until then a process that dies leaves what was found (`actors.found`) for the next one.
    """
    return _Check(runtime, job, directory, oversight, started).run()


class _Check:
    """One run of `check_site`, which holds the lock."""

    def __init__(
        self, runtime: Runtime, job: CheckJob, directory: RunDirectory, oversight: Oversight, started: float
    ) -> None:
        self._runtime = runtime
        self._job = job
        self._directory = directory
        self._asked = oversight
        self._oversight = Oversight(self._why_stop, self._watch)
        self._started = started
        self._clock = time.monotonic()
        self._progress = Progress()
        self._begun: float | None = None
        self._inventory_files = 0
        self._second_refused = False
        self._replaces: int | None = None
        self._earlier = EarlierListingFile(directory.path)
        self._takes = False
        self._compared = job.comparison

    def _why_stop(self) -> str:
        if self._directory.halt_requested():
            return "halted from another terminal"
        return self._asked.stop()

    def _watch(self, phase: str, progress: Progress) -> None:
        self._progress = progress
        if progress.distrust and not self._earlier.distrust:
            # Noted at once: a run that dies now must not be followed by one that takes anything over.
            _log.info("%s: listed in full from now on: %s", self._job.site, progress.distrust)
            self._earlier.distrust_for(progress.distrust)
        self._asked.watch(phase, progress)

    def _heed(self) -> None:
        why = self._why_stop()
        if why:
            raise Killed(why)

    def run(self) -> Results:
        """Do it; whatever happens, the history says how it ended."""
        history = self._runtime.spawn(f"history-store:{self._job.site}", HistoryStore, self._job.results)
        try:
            opened = history.ask("open_run", self._job.site, self._started, self._runtime.name)
            try:
                run = await_answer(opened, _START_PATIENCE, self._oversight)
            except Killed as error:
                # It may be in the history by now, where it would seem to have died.
                with suppress(Exception):
                    opened.result(_LAST_PATIENCE)
                    self._finish(history, RunStatus.HALTED, ComparisonResult(), False, str(error))
                raise
            self._job.opened(run)
            return self._recorded(history, run)
        finally:
            dismiss(history)

    def _recorded(self, history: ActorRef, run: int) -> Results:
        result, at = ComparisonResult(), 0.0
        try:
            result = self._list_and_compare(history)
            if result.refusal is not None:
                raise Refused(result.refusal)
            incomplete = bool(result.unlisted or result.protected)
            status = RunStatus.INCOMPLETE if incomplete else RunStatus.DONE
            # Whoever comes after a process that died behind this line asks the history whether it is recorded.
            at = time.time()
            found = Found(run, self._started, result, self._progress, at)
            self._directory.keep_found(run, self._started, found.as_json())
            reports = self._finish(history, status, result, True, self._accepted(result))
        except Killed as error:
            self._give_up(history, RunStatus.HALTED, ComparisonResult(), str(error))
            raise
        except Refused as error:
            self._keep_listing(error.refusal)
            self._give_up(history, RunStatus.FAILED, result, str(error), error.refusal)
            raise
        except Exception as error:
            self._give_up(history, RunStatus.FAILED, ComparisonResult(), str(error) or type(error).__name__)
            raise
        # It is recorded, whatever comes of this.
        self._keep_for_the_next(result)
        return Results(run, result, tuple(reports), self._progress, self._seconds(), at)

    def _keep_listing(self, refusal: Refusal) -> None:
        """Keep what a later run can go on from, when a gate closed."""
        if refusal.gate == CUT or self._second_refused:
            # It is the inventory that is put right then, and what was listed is as good as it was.
            return
        if refusal.gate == HOLLOW:
            # What is gone is asked for again when the server is back, and found to be there.
            self._directory.verdicts.unlink(missing_ok=True)
            return
        if refusal.gate == FORMAT and math.isinf(self._job.store_time):
            # The same, where there is no dump that may be at fault; but what was read first is of no use.
            with suppress(OSError):
                os.replace(self._directory.listing, part_of(self._directory.listing))
                self._directory.inventory.unlink()
            return
        if refusal.gate == FEWER:
            # Whoever accepts what there is need not list it once more.
            self._directory.set_aside()
        else:
            self._directory.forget()

    def _accepted(self, result: ComparisonResult) -> str:
        """Say what was accepted, and what the second inventory spoke against, if anything."""
        said = []
        if result.accepted is not None:
            said.append(f"accepted: {result.accepted.gate}: {result.accepted.message}")
        if result.meanwhile.total:
            said.append(f"the inventory changed meanwhile: dropped {result.meanwhile.words}")
        progress = self._progress
        if progress.taken:
            said.append(f"taken over from the last complete listing: {progress.taken} of {progress.listed} directories")
        if result.checksums is not None:
            said.append(f"checksums: {result.checksums.words}")
        if self._job.incremental is not None and self._earlier.distrust:
            said.append(f"not taken over but listed in full: {self._earlier.distrust}")
        for line in said:
            _log.info("%s: %s", self._job.site, line)
        return "; ".join(said)

    def _takes_over(self) -> EarlierListing | None:
        """Say what directories are taken over from, if anything."""
        wanted, kept = self._job.incremental, self._earlier
        if wanted is None:
            # Whoever switches it off and on again begins anew, with a full listing of a store that is believed.
            kept.forget()
            return None
        why_not = wanted.why_not or kept.why_not(wanted.mark, wanted.every)
        if self._job.fresh:
            why_not = "as told by --fresh"
        if why_not:
            _log.info("%s: listing in full: %s", self._job.site, why_not)
            return None
        return EarlierListing(kept.snapshot, wanted.share, wanted.margin, wanted.delay)

    def _keep_for_the_next(self, result: ComparisonResult) -> None:
        """Keep a listing that is recorded; one that the store has contradicted is taken over by nobody."""
        wanted = self._job.incremental
        if wanted is None:
            return
        try:
            if result.disagreeing or wanted.why_not:
                self._earlier.drop()
            else:
                self._earlier.keep(self._directory.listing, wanted.mark, self._takes)
        except Exception as error:
            # The run is recorded, and as good as it was.
            _log.warning("%s: the listing is not kept for an incremental one: %s", self._job.site, error)

    def _seconds(self) -> float:
        return time.monotonic() - self._clock

    def _list_and_compare(self, history: ActorRef) -> ComparisonResult:
        job, directory = self._job, self._directory
        accept, not_before = job.comparison.usual.accept, job.not_before(self._started)
        earlier = None if job.fresh or self._is_superseded() else directory.unfinished(job.mark, not_before, accept)
        if earlier is None:
            self._replaces = None
            self._say_if_too_old(not_before)
            directory.begin(job.mark, self._started)
            self._watch("reading the inventory", self._progress)
            self._read_inventory()
        elif not (earlier.inventory_read and self._can_be_read(directory.inventory)):
            self._watch("reading the inventory", self._progress)
            self._read_inventory()
        # A run that goes on has the inventory of the run before.
        begun = self._begun = self._started if earlier is None else earlier.started
        listing = replace(
            job.store.plan,
            snapshot=directory.listing,
            resume=earlier is not None,
            verdicts=directory.verdicts,
            earlier=self._takes_over(),
        )
        self._takes = listing.earlier is not None
        store = replace(job.store, plan=listing)
        plan = replace(
            job.comparison,
            inventory=directory.inventory,
            remote=directory.listing,
            young_after=young_after(begun, job.inventory_time, job.ignore_age, job.store_time),
        )
        result, self._progress = list_and_compare(self._runtime, store, plan, history, self._oversight, self._refined)
        if result.refusal is None and (result.missing or result.empty):
            result.refusal = job.doubt(self._heed)
        result.begun = begun
        if result.refusal is None and job.checksums is not None:
            self._compare_checksums(job.checksums, store, result, history)
        return result

    def _compare_checksums(
        self, job: ChecksumJob, store: StoreJob, result: ComparisonResult, history: ActorRef
    ) -> None:
        """Compare the checksums of the files whose turn it is, and send what differs."""
        settled = compare_checksums(self._runtime, store, self._compared, job, self._oversight, self._progress)
        result.checksums, result.checksum_mismatch = settled.counts, len(settled.mismatches)
        if settled.mismatches:
            history.ask("stage", pack_findings(findings_of(settled.mismatches))).result(_FINISH_PATIENCE)

    def _is_superseded(self) -> bool:
        """Tell whether the listing of an earlier run has been judged, and others were after it.

        One that was judged by the last run, which died before it was over, is judged again: this run takes its place.
        """
        job, history = self._job, self._job.results.database
        judged = self._directory.judged_by(job.mark)
        if not judged or history is None or not history.exists():
            return False
        with HistoryDatabase(history) as database:
            recorded = database.with_findings(job.site, judged)
            last = database.last_run_with(job.site, Table.MISSING)
        if last is None or not recorded:
            return False
        if last.id in recorded:
            self._replaces = last.id
            _log.info("%s: what run %d has listed is compared again, and takes its place", job.site, last.id)
            return False
        _log.info("%s: starting over: others were compared after what run %d has listed", job.site, recorded[-1])
        return True

    def _say_if_too_old(self, not_before: float) -> None:
        last_sign = None if self._job.fresh else self._directory.too_old(not_before)
        if last_sign is None:
            return
        days = (self._started - last_sign) / 86400
        said = (
            f"starting over: the run that was stopped is {days:.1f} days old, more than ListAge, {self._job.list_age:g}"
        )
        _log.info("%s: %s", self._job.site, said)
        self._watch("starting over", replace(self._progress, note=said))
        self._progress = replace(self._progress, note="")

    def _refined(self, plan: ComparisonPlan) -> ComparisonPlan:
        """Read what may have changed while the store was listed."""
        directory = self._directory
        second = directory.second_inventory
        self._watch(_AGAIN, self._progress)
        is_read = self._job.read_second(second, self._heed_reading)
        if is_read:
            self._refuse_fewer(second)
        else:
            # One that is there is of an earlier try.
            second.unlink(missing_ok=True)
        # What a cut line of the first one would lead to, a second one does not agree with.
        last_line = directory.kept_last_line(second if is_read else directory.inventory)
        self._compared = replace(self._job.refine(plan), second=second if is_read else None, last_line=last_line)
        return self._compared

    def _heed_reading(self) -> None:
        self._heed()
        self._watch(_AGAIN, self._progress)

    def _refuse_fewer(self, second: Path) -> None:
        """Refuse a second inventory that has far fewer files than usual, or is another one than the first."""
        usual = self._job.comparison.usual
        before, after = Snapshot(self._directory.inventory), Snapshot(second)
        refusal = second_gate(before.table, after.table, usual)
        before.close()
        after.close()
        if refusal is not None and not usual.accept:
            self._second_refused = True
            raise Refused(refusal)

    def _read_inventory(self) -> None:
        """Read the inventory; one that has far fewer files than usual is found out before the store is listed."""
        job, directory = self._job, self._directory
        job.read_inventory(directory.inventory, self._heed)
        if job.comparison.usual.inventory:
            snapshot = Snapshot(directory.inventory)
            self._inventory_files = snapshot.table.total_files()
            snapshot.close()
            refusal = job.comparison.usual.refusal(None, self._inventory_files)
            if refusal is not None and not job.comparison.usual.accept:
                raise Refused(refusal)
        directory.inventory_is_read()

    def _can_be_read(self, inventory: Path) -> bool:
        """Tell whether the inventory of an earlier run can be compared; found out before the store is listed."""
        wrong = damage(inventory, self._job.site)
        if wrong:
            _log.warning("reading the inventory again: %s", wrong)
        return not wrong

    def _give_up(
        self,
        history: ActorRef,
        status: RunStatus,
        result: ComparisonResult,
        message: str,
        refusal: Refusal | None = None,
    ) -> None:
        """Note how the run ended; what ended it matters more than what goes wrong here."""
        try:
            self._finish(history, status, result, False, message, refusal)
        except Exception as error:
            _log.warning("%s: the end of the run could not be recorded: %s", self._job.site, error)

    def _finish(
        self,
        history: ActorRef,
        status: RunStatus,
        result: ComparisonResult,
        keep: bool,
        message: str = "",
        refusal: Refusal | None = None,
    ) -> list[str]:
        progress = self._progress
        counts = RunCounts(
            files=result.files or progress.files,
            directories=result.directories or progress.listed,
            bytes=result.size or progress.size,
            requests=progress.requests,
            resumed=progress.resumed,
            missing=result.missing,
            missing_bytes=result.missing_size,
            orphan=result.orphan,
            orphan_bytes=result.orphan_size,
            size_mismatch=result.size_mismatch,
            empty=result.empty,
            unlisted=result.unlisted if keep else result.unlisted or progress.failed,
            protected=result.protected,
            seconds=self._seconds(),
            inventory_files=result.inventory_files or self._inventory_files,
            checksum_mismatch=result.checksum_mismatch,
            checksums=0 if result.checksums is None else result.checksums.compared,
            checksums_unchecked=0 if result.checksums is None else result.checksums.unchecked_files,
        )
        accepted, reasons = result.accepted is not None, tuple(result.reasons.items())
        signs = RunSigns(self._begun, (refusal,) if refusal else (), accepted, reasons)
        looked = self._compared.scope if keep else None
        ended = (time.time(), status.value, counts, keep, message, signs, self._replaces, looked)
        reports: list[str] = history.ask("finish", *ended).result(_FINISH_PATIENCE)
        return reports
