"""A whole run of a site, in the order that operators know.

The site is noted as running; its inventory is read first, since a listing can take days; the site is listed and
compared; the findings are recorded; where the site is set to act and its limits allow it, requests are made of the
registry; the lists, the unmerged area, the summary and the page come last. One lock is held all the while.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from actors.check_job import RunRequest, check_job, history_path, listing_job, settings_mark, store_mark
from actors.clusters import ClusterFacts, facts_of_cluster, words_of_cluster
from actors.comparison import ComparisonResult
from actors.dead_run import DeadRun
from actors.listing import ListingFailed, list_store
from actors.oversight import Killed, Oversight, Progress, Refused, heed
from actors.plans.acting import Acted, RecordedRun, act, what_followed, write_lists, write_storage
from actors.plans.applying import BACKEND_ERRORS, Doubts
from actors.plans.executors import Executors
from actors.quick import Results
from actors.recheck import recheck
from actors.recorded import recorded
from actors.rucio_files import write_rucio_files
from actors.run import check_held, this_run
from actors.runtime import Placement
from actors.shown.followers import followers_of
from actors.shown.live_page import LivePage, expected_directories
from actors.shown.metrics import RunMeasures
from actors.shown.narrator import Narrator
from actors.shown.pulse import Follower, Pulse
from actors.store_job import must_have_place
from engine.gates import Refusal
from engine.recheck import Candidates, Rechecked
from engine.site_states import Reporting, SiteStatus
from storage.config.files import ConfigError
from storage.doors.own_files import keep_apart
from storage.doors.resolve import resolve
from storage.doors.source import DoorsError
from storage.history import HistoryDatabase, HistoryError, RunStatus
from storage.runs.directory import RunDirectory, directory_name
from storage.runs.lists import SiteLists
from storage.runs.log import RunLog, open_run_log
from storage.runs.reports import ReportError
from storage.sites import picker
from storage.sites.process import Owner
from storage.sites.seats import SeatError
from storage.sites.summary import StatsRow, SummaryDatabase
from storage.sites.watch import HaltWatch, RunWatch
from storage.snapshot import SnapshotError

if TYPE_CHECKING:
    from pathlib import Path

    from actors.runtime import Runtime
    from actors.unmerged import UnmergedResult
    from storage.backends.protocols import Backends
    from storage.config.site import KnownSites, SiteConfig
    from storage.doors.source import StoreSource

_log = logging.getLogger(__name__)

_LOOK_EVERY = 2.0
"""Seconds between two looks at whether the summary still has the site as running."""


_DOORS, _ASKING = "asking for the doors", "asking the registry"
"""What a run does before the inventory is read, and when it acts."""

_COMPARED = ("empty", "missing", "missing_bytes", "orphan", "orphan_bytes", "no_source", "unrecoverable")
"""What a run without an inventory leaves in the summary as it was."""


class NotReady(Exception):
    """A site should not be checked now; the message says why."""


@dataclass(frozen=True, slots=True)
class SiteResults:
    """What a run found and what followed from it.

    ``started`` is in seconds since the epoch, ``seconds`` how long it took by a clock that is never set. A ``failure``
    behind the comparison, such as a backend's or a halt, takes nothing away from what was found; ``failed`` says in
    words what was not done then.
    """

    site: str
    started: float
    results: Results
    acted: Acted = field(default_factory=Acted)
    unmerged: UnmergedResult | None = None
    failed: str = ""
    failure: Exception | None = None
    seconds: float = 0.0
    cluster: ClusterFacts | None = None

    @property
    def refusal(self) -> Refusal | None:
        """Why nothing was acted on; None when it was."""
        return self.acted.refusal


@dataclass(frozen=True, slots=True)
class SiteRun:
    """What a run of a site needs to know: the settings, the store to list, who answers questions, and the request."""

    config: KnownSites
    site: SiteConfig
    store: StoreSource
    backends: Backends
    request: RunRequest = field(default_factory=RunRequest)


def run_site(runtime: Runtime, run: SiteRun, oversight: Oversight) -> SiteResults:
    """Run a whole check of a site.

    Raises:
        RuntimeUnavailable: no machine is what its listers need.
        NotReady, BadAction: the site is not to be checked now.
        AlreadyRunning: another process checks it.
        Killed: the run was halted; its journal stays.
        Refused, ListingFailed: the site could not be listed, or its listing is not to be believed.
        BackendError: a backend failed before the comparison.
        ConfigError, InventoryError, HistoryError, SummaryError, ReportError, SnapshotError, OSError: see the message.
    """
    site = run.site
    why = "" if run.request.unconditionally else run.backends.check.check_site(site.name)
    if why:
        raise NotReady(f"{site.name} is not to be checked now: {why}")
    must_have_place(runtime, site.name, run.store.spec, Placement.of(site.placement))
    started = time.time()
    directory = RunDirectory(site.var_location, site.name)
    directory.acquire(this_run(runtime, started))
    summary = picker.summary_path(run.config)
    measures = RunMeasures(site.name, history_path(site), started)
    metrics = followers_of(runtime, measures, site.metrics_dir)
    with (
        directory,
        _noted(run, started) as is_running,
        open_run_log(site.var_location, summary.parent, site.name, started) as log,
        Pulse(
            site.name,
            summary if run.request.summary else None,
            lambda: _show(run),
            oversight.watch,
            followers=[*metrics, *_live_page(run, started, log)],
        ) as pulse,
    ):
        narrator = Narrator()

        def why_stop() -> str:
            if directory.halt_requested():
                return "halted from another terminal"
            return oversight.stop() or ("" if is_running() else "the site was set to halt")

        def watch(phase: str, progress: Progress) -> None:
            pulse.watch(phase, progress)
            narrator.watch(phase, progress)
            oversight.watch(phase, progress)

        pulse.waits_for = _waits_for(run)
        try:
            done = _Run(runtime, run, directory, Oversight(why_stop, watch), started, log).go()
        except Exception as error:
            measures.ended(error)
            # Whoever made the run says it on the screen.
            _log.info("the run ends: %s", str(error) or type(error).__name__)
            raise
        # Last of all: until here, whatever ends the run leaves it to the next one to go on with.
        directory.forget()
        measures.ended(done.failure)
        return done


def _live_page(run: SiteRun, started: float, log: RunLog) -> list[Follower]:
    """Give who shows on the page how far the run is, unless the run leaves that alone."""
    if not run.request.summary:
        return []
    name, summary, history = run.site.name, picker.summary_path(run.config), history_path(run.site)
    return [
        LivePage(summary.parent, name, started, lambda: log.run, lambda: expected_directories(name, history, summary))
    ]


def _waits_for(run: SiteRun) -> dict[str, str]:
    """Say what each phase waits for that nobody can hurry."""
    site, inventory = run.site, f"the inventory of {run.site.name}"
    asked = [*filter(None, [site.redirector]), *site.global_redirectors] or run.store.spec.doors
    return {
        _DOORS: ", ".join(asked) or "whoever knows them",
        "reading the inventory": inventory,
        "reading the inventory again": inventory,
        _ASKING: "the registry",
    }


@contextmanager
def _noted(run: SiteRun, started: float) -> Iterator[Callable[[], bool]]:
    """Note the site as running, and as ready when the run is over; gives what tells whether it should go on.

    A run that leaves the summary alone goes on, whatever the summary says, until somebody halts or disables the site.
    """
    name, path = run.site.name, picker.summary_path(run.config)
    if not run.request.summary:
        yield HaltWatch(path, name, _LOOK_EVERY).is_running
        return
    # A history that cannot be used is found out before anybody is told that the site runs.
    HistoryDatabase(history_path(run.site)).close()
    with SummaryDatabase(path) as summary:
        if name not in {row.site for row in summary.sites()}:
            # One that stands on the command line alone is nobody's to pick.
            summary.learn(name, name in run.backends.sites.ready_sites())
        before = summary.running(name, Owner.this(), started)
        if (before.status, before.owner) == (SiteStatus.HALT, Owner.this()):
            # Whoever said so meant the run that was about to begin, and not one before it.
            summary.interrupt(name)
            summary.unlock(name)
            raise Killed("the site was set to halt before its run began")
    _show(run)
    try:
        yield RunWatch(path, name, _LOOK_EVERY).is_running
    finally:
        with SummaryDatabase(path) as summary:
            summary.unlock(name, Owner.this())
        _show(run)


def _show(run: SiteRun) -> None:
    """Build the page; a page that cannot be built ends no run."""
    from storage.page.build import build_page
    from storage.page.histories import Histories
    from storage.page.limits import PageLimits

    try:
        # One page shows all sites, also those whose lists go elsewhere.
        web_dir = picker.summary_path(run.config).parent
        histories = Histories.of_config(run.config)
        build_page(web_dir, histories.shared, PageLimits.of_config(run.config), time.time(), histories.own)
    except Exception as error:
        _log.warning("%s: the page could not be built: %s", run.site.name, error)


class _Run:
    """One run of `run_site`, which holds the lock and is noted as running."""

    def __init__(
        self,
        runtime: Runtime,
        run: SiteRun,
        directory: RunDirectory,
        oversight: Oversight,
        started: float,
        log: RunLog,
    ) -> None:
        self._runtime = runtime
        self._run = run
        self._site = run.site
        self._directory = directory
        self._oversight = oversight
        self._started = started
        self._begun = time.monotonic()
        self._log = log
        self._failed: tuple[str, Exception | None] = ("", None)
        self._dead: DeadRun | None = None
        self._left_alone = 0
        self._named_store, self._mark = run.store, ""
        self._history = history_path(run.site)
        self._lists = SiteLists(run.site.web_dir, directory_name(run.site.name))

    def go(self) -> SiteResults:
        """Do it all, in order."""
        self._run = run = replace(self._run, store=self._resolved())
        if run.request.no_inventory:
            results, acted = self._list_only(), Acted(Refusal("no-inventory", "nothing was compared"))
            cluster = self._tell_of_cluster(results.run)
        else:
            results = self._check()
            cluster = self._tell_of_cluster(results.run)
            acted = self._act(results)
            self._write_lists(acted, results)
        unmerged = self._clean()
        seconds = time.monotonic() - self._begun
        done = SiteResults(self._site.name, self._started, results, acted, unmerged, *self._failed, seconds, cluster)
        self._summarize(done)
        found = results.comparison
        _log.info(
            "done: %d files in %d directories; %d missing, %d orphan, %d of another size, %d directories unlisted",
            found.files,
            found.directories,
            found.missing,
            found.orphan,
            found.size_mismatch,
            found.unlisted,
        )
        return done

    def _resolved(self) -> StoreSource:
        """Ask for the doors; a site that has none to trust fails the run."""
        self._oversight.watch(_DOORS, Progress())
        try:
            store = resolve(self._run.store, lambda: heed(self._oversight))
            keep_apart(self._site, store)
            return store
        except DoorsError as error:
            name, runtime = self._site.name, self._runtime.name
            with recorded(self._history, name, self._started, runtime, "no doors") as record:
                record.end(RunStatus.FAILED, str(error), gates=tuple(filter(None, [error.refusal])))
            raise

    def _check(self) -> Results:
        """Read the inventory, list, compare, confirm, record."""
        run = self._run
        # Of the store as the settings name it: what is found of it may be another time another part.
        self._mark = settings_mark(run.site, self._named_store, run.backends)
        job = check_job(run.site, run.store, run.backends, run.request, self._directory)
        self._dead = DeadRun.of(self._directory, job, self._started, self._history, run.site.web_dir)
        if self._dead is not None:
            return self._go_on_behind(self._dead)
        job = replace(job, opened=self._number)
        return check_held(self._runtime, job, self._directory, self._oversight, self._started)

    def _go_on_behind(self, dead: DeadRun) -> Results:
        """Take up a run that ended when it was in the history, and not all that follows was done."""
        results = dead.results
        self._number(results.run)
        said = f"run {results.run} is recorded and did not come to its end: what follows from it is done now"
        _log.info("%s: %s", self._site.name, said)
        self._oversight.watch("going on", replace(results.listing, note=said))
        return results

    def _number(self, run: int) -> None:
        self._log.run = run
        self._runtime.label(self._log.context())
        _log.info("on the runtime %s, doors: %s", self._runtime.name, ", ".join(self._run.store.spec.doors))

    def _list_only(self) -> Results:
        """List the site and record what there is; the findings of the run before stay."""
        run, site, directory = self._run, self._site, self._directory
        mark = {"inventory": None, "store": store_mark(site, run.store)}
        goes_on = not run.request.fresh and directory.unfinished(mark, self._started - site.list_age * 86400)
        if not goes_on:
            directory.begin(mark, self._started)
        job = listing_job(site, run.store, run.request, directory)
        job = replace(job, plan=replace(job.plan, resume=bool(goes_on)))
        with recorded(self._history, site.name, self._started, self._runtime.name, "without inventory") as record:
            self._number(record.number)
            progress = list_store(self._runtime, job, self._oversight)
            record.listed(progress, f"{progress.files} files in {progress.listed} directories")
            result = ComparisonResult(
                files=progress.files, directories=progress.listed, size=progress.size, unlisted=progress.failed
            )
            self._write_storage()
            return Results(record.number, result, (), progress, record.seconds)

    def _is_acting(self) -> bool:
        path = picker.summary_path(self._run.config)
        if not path.exists():
            return False
        with SummaryDatabase.reading(path) as summary:
            return any(row.reporting == Reporting.ACT for row in summary.sites() if row.site == self._site.name)

    def _act(self, results: Results) -> Acted:
        """Make the requests, of what the store still says when it is asked again."""
        found = results.comparison
        site, backends, oversight, now = self._site, self._run.backends, self._oversight, time.time()
        store, directory = self._run.store, self._directory
        job = listing_job(site, store, self._run.request, directory)
        limit = found.young_after if self._dead is None else self._dead.young_after
        run = RecordedRun(results.run, directory, self._history, limit, self._mark)

        def still(candidates: Candidates) -> Rechecked:
            left = recheck(self._runtime, job, candidates, limit, oversight, results.listing)
            oversight.watch(_ASKING, results.listing)
            return left

        doubts = Doubts(self._still_meant, still)
        executors = Executors(site, backends.registry, self._runtime, job, oversight)
        acted = act(site, backends, self._is_acting(), found, run, oversight, now, doubts, executors)
        if self._left_alone:
            left = f"left alone since the run was recorded: {self._left_alone}"
            said = f"{left}, of which inventory or settings say otherwise now"
            _log.info("%s: %s", self._site.name, said)
            self._tell_history(results.run, said, ())
        if acted.failure is not None:
            self._note(acted.failed, acted.failure)
        said = what_followed(acted)
        if said:
            self._tell_history(results.run, said, acted.gates)
        return acted

    def _still_meant(self, candidates: Candidates) -> Candidates:
        """Leave out what is not meant any more, where the run was recorded by a process that died since."""
        if self._dead is None:
            return candidates
        try:
            left = self._dead.still_meant(candidates, lambda: heed(self._oversight))
        except (*BACKEND_ERRORS, SnapshotError, OSError) as error:
            # Like a store that gives no answer: what cannot be asked about is not acted on.
            raise ListingFailed(str(error)) from error
        self._left_alone += len(candidates) - len(left)
        return left

    def _tell_history(self, run: int, said: str, gates: tuple[Refusal, ...]) -> None:
        try:
            with HistoryDatabase(self._history) as database:
                database.note(run, said, gates)
        except HistoryError as error:
            # What was asked for was asked for, and the log has it as well.
            _log.warning("%s: what followed could not be noted: %s", self._site.name, error)

    def _tell_of_cluster(self, run: int) -> ClusterFacts | None:
        """Say in the log and the history that a store was listed in parts, and what its parts disagree in."""
        store = self._run.store
        facts = facts_of_cluster(store, self._directory.listing)
        if facts is not None:
            said = words_of_cluster(store, facts)
            _log.info("%s: %s", self._site.name, said)
            self._tell_history(run, said, ())
        return facts

    def _note(self, what: str, error: Exception) -> None:
        """Keep what went wrong behind the comparison for the end, when the rest is done."""
        _log.info("%s: %s: %s", self._site.name, what, error)
        if self._failed[1] is None:
            self._failed = (what, error)

    def _write_lists(self, acted: Acted, results: Results) -> None:
        run = self._run
        listing, now = self._directory.listing, time.time()
        try:
            write_lists(run.site, run.backends, self._lists, run.store.tops, listing, self._history, acted, now)
        except BACKEND_ERRORS as error:
            self._note("the missing files could not be summed up by block", error)
        except ReportError as error:
            self._note("not all lists beside the reports were written", error)
        found, history = results.comparison, self._history
        try:
            write_rucio_files(run.site, run.store, found, acted, history, listing, self._started, now)
        except ReportError as error:
            self._note("the files for the programs around Rucio were not written", error)

    def _write_storage(self) -> None:
        write_storage(self._site, self._lists, self._run.store.tops, self._directory.listing, time.time())

    def _clean(self) -> UnmergedResult | None:
        """Look through the unmerged area where that is wanted, and ask for what may be deleted at a site that acts."""
        request = self._run.request
        if not (request.unmerged and self._site.unmerged):
            return None
        from actors.unmerged import CleaningOptions
        from actors.unmerged_run import ask_to_delete, clean_held
        from engine.unmerged import OutsideUnmerged
        from storage.unmerged.protected_list import ProtectedListError

        options = CleaningOptions(
            request.more_logs, listers=request.listers, in_flight=request.in_flight, fresh=request.fresh
        )
        try:
            _, result = clean_held(self._runtime, self._site, self._run.store, self._oversight, options)
        except (ConfigError, ProtectedListError, OutsideUnmerged, Refused, ListingFailed, SeatError, Killed) as error:
            self._note("the unmerged area was not cleaned", error)
            return None
        try:
            if self._is_acting():
                heed(self._oversight)
                ask_to_delete(self._run.backends, result)
        except (*BACKEND_ERRORS, Killed) as error:
            self._note("no unmerged file was asked to be deleted", error)
        return result

    def _summarize(self, done: SiteResults) -> None:
        if not self._run.request.summary:
            return
        site = self._site
        of_site = site.gfal_threads if site.access_method == "SRM" else site.listers
        row = stats_row(done, self._run.request.listers or of_site, done.results.at or time.time())
        path = picker.summary_path(self._run.config)
        with SummaryDatabase(path) as summary:
            if self._run.request.no_inventory:
                before = summary.stats().get(site.name)
                if before is None:
                    # A row would say that nothing is missing.
                    return
                row = replace(row, **{name: getattr(before, name) for name in _COMPARED})
            summary.update(row, again=bool(done.results.at))
        _publish(self._run.config, path.parent)


def stats_row(done: SiteResults, listers: int, now: float) -> StatsRow:
    """Give the row of the summary that a run leads to; ``now`` in seconds since the epoch."""
    found, listing, transfers = done.results.comparison, done.results.listing, done.acted.transfers
    return StatsRow(
        site=done.site,
        entered=now,
        seconds=done.seconds,
        files=found.files,
        nodes=found.directories,
        empty=found.empty,
        cores=listers,
        missing=found.missing,
        missing_bytes=found.missing_size,
        orphan=found.orphan,
        orphan_bytes=found.orphan_size,
        no_source=len(transfers.no_disk),
        unrecoverable=len(transfers.unrecoverable),
        unlisted=found.unlisted + listing.ignored,
        unlisted_bad=found.unlisted - found.links,
        unmerged=done.unmerged.deletable if done.unmerged else 0,
        unmerged_logs=done.unmerged.logs if done.unmerged else 0,
    )


def _publish(config: KnownSites, web_dir: Path) -> None:
    """Put a copy of the configuration beside the page, without what is secret in it."""
    from storage.config.loading import Config
    from storage.config.published import publish

    if isinstance(config, Config) and config.path is not None:
        publish(config.given, config.path, web_dir)
