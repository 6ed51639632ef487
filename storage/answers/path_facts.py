"""Everything that is known on disk of one path at one site: the facts that `engine.explaining` makes sentences of."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from engine import paths
from engine.actions import found_before, needed_runs
from engine.compare import Tally, compare_options
from engine.doubles import without_doubles
from engine.explaining.facts import (
    ActFacts,
    ActionFacts,
    ConfirmFacts,
    CountFacts,
    FoundFacts,
    Judged,
    PathFacts,
    PlanFacts,
    RequestFacts,
    RuleFacts,
    RunFacts,
    Source,
    Verdict,
)
from engine.explaining.judging import judge_file
from engine.plan import PlanState
from engine.site_states import Reporting
from engine.young import young_after
from storage.answers.sides import Sides, inventory_facts, inventory_time, is_directory, open_sides, store_facts
from storage.backends import BackendError, Backends, choose
from storage.backends.of_datasets import filter_of, filters_of
from storage.backends.queue import RequestQueue, Table, queue_path
from storage.config.files import ConfigError
from storage.config.site import KnownSites, SiteConfig
from storage.history import HistoryDatabase, HistoryError, RunRow, RunStatus
from storage.history import Table as Findings
from storage.history.of_path import PastFinding, counts_below, findings_of, is_deletable
from storage.history.rows import run_rows
from storage.history.two_runs import FindingKind
from storage.inventory.age import made_at
from storage.plans.audit import AuditEvent, AuditLog
from storage.plans.plan_file import Plan, PlanError, read_plan
from storage.plans.put_aside import spared
from storage.runs.directory import RunDirectory, RunDirError, directory_name
from storage.shown import printable
from storage.sites.picker import summary_path
from storage.sites.summary import SummaryDatabase, SummaryError
from storage.snapshot import SnapshotError
from storage.unmerged.search import KeptError, find_kept
from storage.verdicts import verdict_on

_T = TypeVar("_T")

_QUEUED = ("files", "sql")
"""Backends whose registry is the queue itself."""

_EXPECTED = (
    SnapshotError,
    HistoryError,
    BackendError,
    ConfigError,
    PlanError,
    SummaryError,
    KeptError,
    RunDirError,
    OSError,
)
"""What cannot be read is said, and the rest is told all the same."""

_LOOK_BACK = 500
"""So many runs are looked through for one that was no cleaning."""

_QUEUES: tuple[tuple[str, Table], ...] = (("deletion", "deletions"), ("transfer", "transfers"))


def path_facts(config: KnownSites, site: SiteConfig, path: bytes, as_directory: bool, now: float) -> PathFacts:
    """Gather what is known of a path; ``as_directory``: it was named as one. ``now`` is in seconds since the epoch."""
    return _Gatherer(config, site, path, now).gather(as_directory)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the history and the plan say, which the rest goes by."""

    found: tuple[PastFinding, ...] = ()
    counts: tuple[CountFacts, ...] = ()
    run: RunRow | None = None
    last: RunRow | None = None
    runs_with_findings: int = 0
    deletable: bool = False
    plan: Plan | None = None


class _Gatherer:
    """Reads one thing after the other, and notes what cannot be read."""

    def __init__(self, config: KnownSites, site: SiteConfig, path: bytes, now: float) -> None:
        self._config = config
        self._site = site
        self._path = path
        self._now = now
        self._directory = RunDirectory(site.var_location, site.name)
        self._notices: list[str] = []
        self._unread: list[Source] = []

    def _try(self, source: Source, read: Callable[[], _T], otherwise: _T) -> _T:
        try:
            return read()
        except _EXPECTED as error:
            self._notices.append(printable(str(error)))
            self._unread.append(source)
            return otherwise

    def gather(self, as_directory: bool) -> PathFacts:
        """Read all of it."""
        site, path, directory = self._site, self._path, self._directory
        with open_sides(directory) as sides:
            self._notices += sides.notices
            self._unread += sides.unread
            whole = self._try(Source.LISTING, lambda: as_directory or is_directory(sides, path), as_directory)
            known = self._try(Source.HISTORY, lambda: self._history(whole), _Known())
            known = replace(known, plan=self._plan())
            backends = self._try(Source.BACKEND, lambda: choose(self._config, site), None)
            rules = self._rules(known, backends)
            inventory = listing = None
            if sides.inventory is not None and not rules.is_outside:
                snapshot = sides.inventory
                source = site.inventory
                inventory = self._try(
                    Source.INVENTORY, lambda: inventory_facts(snapshot, directory, source, path, whole), None
                )
            if sides.listing is not None and not rules.is_outside:
                remote = sides.listing
                listing = self._try(Source.LISTING, lambda: store_facts(remote, directory, path, whole), None)
            judged = Judged(Verdict.UNKNOWN)
            if not whole:
                judged = self._try(Source.BACKEND, lambda: self._judged(sides, rules, backends), judged)
            confirmed = None
            if not whole:
                confirmed = verdict_on(directory.verdicts, paths.parent_of(path) or b"/", paths.name_of(path))
            action = self._action(known, sides)
        return PathFacts(
            site.name,
            path,
            whole,
            rules,
            judged,
            inventory,
            listing,
            confirmed,
            tuple(_found(finding) for finding in known.found),
            known.counts,
            self._run(known, sides),
            action,
            None,
            tuple(dict.fromkeys(self._notices)),
            tuple(dict.fromkeys(self._unread)),
        )

    def _history(self, whole: bool) -> _Known:
        path = self._site.var_location / "db" / "consistency.db"
        if not path.exists():
            return _Known()
        name = self._site.name
        with HistoryDatabase.reading(path) as database, database.view() as connection:
            runs = [run for run in run_rows(connection, name, _LOOK_BACK) if not run.cleaned]
            if runs and runs[0].status == RunStatus.RUNNING and not self._directory.is_locked():
                # Only the next check writes that down.
                runs[0] = replace(runs[0], status=RunStatus.DIED)
            over = [run for run in runs if run.status != RunStatus.RUNNING]
            last = run_rows(connection, name, 1, Findings.MISSING, ended=True)
            counts = counts_below(connection, name, self._path) if whole else []
            return _Known(
                tuple(findings_of(connection, name, self._path)),
                tuple(CountFacts(below.kind, below.count, below.size) for below in counts if below.count),
                over[0] if over else None,
                last[0] if last else None,
                database.runs_with_findings(name),
                is_deletable(connection, name, self._path),
            )

    def _plan(self) -> Plan | None:
        if not self._directory.plan.exists():
            return None
        return self._try(Source.PLAN, lambda: read_plan(self._directory.plan, self._site.name), None)

    def _run(self, known: _Known, sides: Sides) -> RunFacts | None:
        run = known.run
        if run is None:
            return None
        last = None if known.last is None else known.last.id
        # What was read after the end of a run is of one that has not come to its own.
        compared = run.finished is None or sides.inventory is None or sides.inventory.header.created <= run.finished
        return RunFacts(run.id, run.started, run.status, printable(run.message), run.signs.gates, last, compared)

    def _rules(self, known: _Known, backends: Backends | None) -> RuleFacts:
        site, path = self._site, self._path
        datasets = self._directory.kept_datasets()

        def of(names: frozenset[str]) -> bool:
            chosen = None if backends is None else filter_of(backends, names)
            return chosen is not None and chosen(path)

        return RuleFacts(
            next((top for top in site.directories if paths.is_under(path, top)), None),
            any(paths.is_under(top, path) for top in site.directories),
            self._young_after(known),
            site.ignore_age_days,
            site.left_alone.which(path),
            self._try(Source.BACKEND, lambda: of(datasets.protected), False),
            self._try(Source.BACKEND, lambda: of(datasets.deleted), False),
            not site.delete_orphans,
            self._try(Source.UNMERGED, self._in_unmerged, ""),
            known.deletable,
            site.quarantine if site.left_alone.is_inside(path) else None,
        )

    def _young_after(self, known: _Known) -> float | None:
        """Give the age limit of the last run, as its plan has it, or as its inventory and the settings make it."""
        plan, last = known.plan, known.last
        if plan is not None and (last is None or plan.header.run.is_run(last.id, last.started)):
            return plan.header.run.young_after
        if last is None:
            return None
        made = inventory_time(self._directory)
        begun = last.started if last.signs.begun is None else last.signs.begun
        of_dump = self._try(Source.LISTING, self._dump_time, math.inf)
        return young_after(begun, math.inf if made is None else made, self._site.ignore_age_days, of_dump)

    def _dump_time(self) -> float:
        """Give when the dump was made that the store is known by, if it is."""
        dump = self._site.dump if self._site.access_method == "RAL-Reader" else None
        return math.inf if dump is None or not dump.exists() else made_at(dump).at

    def _in_unmerged(self) -> str:
        file = self._site.web_dir / f"{directory_name(self._site.name)}_unmerged_kept.db"
        if not file.is_file():
            return ""
        return next((row.reason for row in find_kept(file, self._path) if row.path == self._path), "")

    def _judged(self, sides: Sides, rules: RuleFacts, backends: Backends | None) -> Judged:
        if rules.top is None:
            return Judged(Verdict.OUTSIDE)
        if sides.inventory is None or sides.listing is None or backends is None:
            return Judged(Verdict.UNKNOWN)
        keep_orphan, keep_missing = filters_of(backends, self._directory.kept_datasets())
        is_listing = sides.listing.header.kind == "listing"
        second = sides.second
        options = compare_options(
            *(rules.young_after, self._site.ignore_directories, keep_orphan, keep_missing, is_listing),
            left_out=self._site.left_out,
        )
        options = replace(
            options,
            open_inventory=sides.inventory.header.has_unread or (second is not None and second.header.has_unread),
            open_remote=sides.listing.header.has_unread,
        )
        again = None if second is None else second.table
        judged = judge_file(sides.inventory.table, sides.listing.table, options, Tally(), self._path, again)
        if judged.verdict == Verdict.ORPHAN and rules.keeps_orphans:
            return Judged(Verdict.SPARED)
        return judged

    def _action(self, known: _Known, sides: Sides) -> ActionFacts:
        audit = AuditLog(self._directory.audit)
        acts: list[AuditEvent] = self._try(Source.AUDIT, lambda: list(audit.events_of(self._path)), [])
        plan = known.plan
        state = PlanState()
        if plan is not None:
            made = plan
            state = self._try(Source.AUDIT, lambda: audit.state_of(made.name, made.header.audit), state)
        registry = dict(self._site.backends).get("registry", self._site.backend)
        return ActionFacts(
            self._try(Source.SUMMARY, self._is_acting, False),
            self._confirm(known, sides),
            None if plan is None else self._planned(plan, state),
            tuple(map(_act, acts)),
            self._try(Source.REGISTRY, self._requests, ()),
            "" if registry in _QUEUED else registry,
            self._site.deletes_itself,
        )

    def _is_acting(self) -> bool:
        path = summary_path(self._config)
        if not path.exists():
            return False
        with SummaryDatabase.reading(path) as summary:
            return any(row.reporting == Reporting.ACT for row in summary.sites() if row.site == self._site.name)

    def _confirm(self, known: _Known, sides: Sides) -> ConfirmFacts | None:
        """Say for how long a finding has to be known, and is, that may be acted on."""
        site = self._site
        counted = (FindingKind.MISSING, FindingKind.ORPHAN)
        current = next((found for found in known.found if found.current and found.kind in counted), None)
        if current is None:
            return None
        missing = current.kind == FindingKind.MISSING
        wanted = needed_runs(known.runs_with_findings - 1, site.missing_runs) if missing else site.orphan_runs
        days = site.missing_days if missing else site.orphan_days
        since = current.entered if current.since is None else current.since
        before = found_before(self._now, days)
        known_days = (self._now - since) / 86400
        if before is not None and since <= before:
            # The same comparison as in the history, whatever rounding does to the difference.
            known_days = max(known_days, days)
        listing = sides.listing
        twin = not missing and listing is not None and bool(without_doubles([self._path], listing.table)[1])
        audit, then = AuditLog(self._directory.audit), self._now - site.quarantine_days * 86400
        left_alone = not missing and self._try(Source.AUDIT, lambda: self._path in spared(audit, then), False)
        return ConfirmFacts(current.seen, wanted, days, known_days, twin, left_alone)

    def _planned(self, plan: Plan, state: PlanState) -> PlanFacts:
        item = next((item for item in plan.items if item.path == self._path), None)
        facts = PlanFacts(plan.name, plan.header.run.number, plan.header.made, state.rejected)
        if item is None:
            return facts
        last = state.last(item.number)
        return replace(
            facts, item=item.number, action=item.action, reason=item.reason, state="" if last is None else last.value
        )

    def _requests(self) -> tuple[RequestFacts, ...]:
        queue = RequestQueue(queue_path(self._site.var_location))
        return tuple(
            RequestFacts(kind, request.requested, request.status, changed)
            for kind, table in _QUEUES
            for request, changed in queue.of_file(table, self._site.name, self._path)
        )


def _act(event: AuditEvent) -> ActFacts:
    return ActFacts(event.at, event.who, event.plan, event.event, event.action, printable(event.detail), event.aside)


def _found(finding: PastFinding) -> FoundFacts:
    return FoundFacts(
        finding.kind,
        finding.run,
        finding.entered,
        finding.size,
        finding.remote_size,
        finding.current,
        finding.seen,
        finding.since,
        finding.acted,
        printable(finding.detail),
    )
