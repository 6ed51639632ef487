"""The cleaning of a site's unmerged area, from the protected list to what may be deleted. It deletes nothing itself.

The protected list is read before the listing, so that no day is spent on a site that cannot be cleaned, and again after
it, since a listing can take days; what either reading has is protected. Where whole directories are to go, the listers
are kept and compare each with the names that the store gives without attributes, since a listing may be cut short.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.jobs import store_job
from actors.listing import Listing, Oversight, Refused, StoreJob
from actors.oversight import Progress
from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, FileColumns
from engine.confirm import refutation, unpack_verdicts
from engine.findings import Finding, Kind, pack_findings
from engine.gates import Refusal, root_refusal
from engine.unmerged import (
    Cleaning,
    CleaningRules,
    Kept,
    Mode,
    OutsideUnmerged,
    fraction_gate,
    list_gate,
    root_gate,
)
from engine.work import NO_OTHERS
from storage.listers.protocol import LONGEST_LISTED_NAME
from storage.runs.directory import RunDirectory, directory_name
from storage.runs.reports import Layout, Report, ReportSet
from storage.snapshot import Snapshot, SnapshotError
from storage.unmerged.journal import UnmergedJournal
from storage.unmerged.protected_list import read_protected_list
from storage.unmerged.search import KeptFiles
from storage.unmerged.settings import unmerged_settings

if TYPE_CHECKING:
    from actors.runtime import Runtime
    from storage.config.site import SiteConfig
    from storage.doors.source import StoreSource
    from storage.history import FileRow

_BATCH = 2000
"""Directories in one message to be compared with the store's names."""

_PATIENCE = 300.0
"""Seconds that the coordinator may take for one message."""

UNMERGED_LAYOUT = Layout({Report.ORPHAN: "_unmerged"}, exact=True)
"""What a cleaning writes to the web directory; the base is the site."""

KEPT_ENDING = "_unmerged_kept.db"
"""The ending of the file that says what stays."""

Record = Callable[[Iterator["FileRow"]], None]
"""Enters the deletable files into the history, when everything else is ready to appear."""


def _leave_out(_rows: Iterator[FileRow]) -> None:
    """Enter nothing anywhere."""


@dataclass(frozen=True, slots=True)
class CleaningOptions:
    """What of a cleaning does not stand in the configuration; see `unmerged_settings` for the first three.

    ``listers`` and ``in_flight`` go before the site's own; ``fresh`` starts over even if there is a journal.
    """

    more_logs: bool = False
    protected_list: str = ""
    mode: str = ""
    listers: int | None = None
    in_flight: int | None = None
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Deletable:
    """What may be deleted, read from the listing each time that it is asked for."""

    snapshot: Path
    rules: CleaningRules

    def files(self) -> Iterator[FileRow]:
        """Give path, size and mtime of each file, in tree order."""
        with _opened(self.snapshot, self.rules) as cleaning:
            for judged in cleaning.files():
                for name, size, mtime in judged.deletable().rows():
                    yield paths.join(judged.directory, name), size, mtime

    def lfns(self) -> Iterator[bytes]:
        """Give what a registry is asked to delete, in this order: all files, then directories, deepest first.

        Without their files a plain ``rmdir`` removes the directories in this order; it fails for one that holds more.
        """
        for path, _size, _mtime in self.files():
            yield path
        with _opened(self.snapshot, self.rules) as cleaning:
            yield from cleaning.directories_to_remove()


@dataclass(frozen=True, slots=True)
class UnmergedResult:
    """What a cleaning found. Sizes are in bytes.

    ``files`` and ``size`` are all that was listed, ``deletable`` what may go, ``logs`` how many of these are logs.
    ``directories`` counts the highest directories that go whole, ``kept`` the files that stay by reason, ``unlisted``
    the directories without a complete listing, ``prefixes`` the protected list. ``reports`` are the files written.
    """

    site: str
    root: bytes
    mode: Mode
    files: int
    size: int
    deletable: int
    deletable_size: int
    logs: int
    directories: int
    kept: dict[Kept, int]
    unlisted: int
    prefixes: int
    reports: tuple[str, ...]
    listing: Progress
    seconds: float
    to_delete: Deletable


@dataclass(slots=True)
class _Tally:
    deletable: int = 0
    size: int = 0
    logs: int = 0
    directories: int = 0
    kept: dict[Kept, int] = field(default_factory=dict)


@contextmanager
def _opened(path: Path, rules: CleaningRules) -> Iterator[Cleaning]:
    """Apply the rules to a listing, until that is not needed any more."""
    snapshot = Snapshot(path)
    try:
        yield Cleaning(snapshot.table, rules)
    finally:
        snapshot.close()


def clean_unmerged(
    runtime: Runtime,
    site: SiteConfig,
    store: StoreSource,
    oversight: Oversight,
    options: CleaningOptions | None = None,
    record: Record = _leave_out,
) -> UnmergedResult:
    """List a site's unmerged area, decide what may be deleted, write the lists and have it recorded.

    ``store`` is that of the site as `storage.doors.resolve.resolve` gives it; its tops do not matter. The caller holds
    the lock of the site's `RunDirectory`. When this raises, no list has changed; only when it was the publishing that
    failed, ``record`` has been called already.

    Raises:
        ConfigError: the settings are wrong.
        ProtectedListError: the protected list cannot be relied on; after a second reading the journal stays.
        Refused: a gate closed; nothing may be deleted.
        OutsideUnmerged: something outside the unmerged directory would have been deletable.
        Killed, ListingFailed: the journal stays.
        RunDirError, ReportError, SnapshotError, OSError: something cannot be read or written.
    """
    return _Clean(runtime, site, store, oversight, options or CleaningOptions(), record).run()


class _Clean:
    """One call of `clean_unmerged`."""

    def __init__(
        self,
        runtime: Runtime,
        site: SiteConfig,
        store: StoreSource,
        oversight: Oversight,
        options: CleaningOptions,
        record: Record,
    ) -> None:
        self._runtime = runtime
        self._site = site
        self._options = options
        self._oversight = oversight
        self._record = record
        self._settings = unmerged_settings(site, options.more_logs, options.protected_list, options.mode)
        self._store = replace(store, tops=self._settings.tops, label=f"{site.name}:unmerged")
        self._journal = UnmergedJournal(RunDirectory(site.var_location, site.name).path)
        self._started = time.time()
        self._clock = time.monotonic()

    def run(self) -> UnmergedResult:
        """Do it."""
        settings, base = self._settings, directory_name(self._site.name)
        protected = read_protected_list(settings.protected_list)
        _heed_gate(list_gate(protected, settings.root))
        with ReportSet(self._site.web_dir, base, UNMERGED_LAYOUT) as reports:
            begun, job = self._prepare()
            rules = self._rules(begun, protected)
            progress, doubted = self._list(job, rules)
            protected |= read_protected_list(settings.protected_list)
            rules = replace(rules, protected=protected, doubted=doubted)
            try:
                result = self._judge(rules, reports, base, progress)
            except (OutsideUnmerged, SnapshotError):
                # There is nothing in this listing to go on with.
                self._journal.done()
                raise
        self._journal.done()
        return result

    def _prepare(self) -> tuple[float, StoreJob]:
        """Say when the listing was begun, and how it is done or gone on with."""
        mark: dict[str, Any] = {
            "doors": list(self._store.identity),
            "as_of": self._store.as_of,
            "tops": [repr(top) for top in self._store.tops],
            "ignored": [repr(pattern) for pattern in self._site.ignore_directories],
        }
        begun = None
        if not self._options.fresh:
            begun = self._journal.unfinished(mark, self._started - self._site.list_age * 86400)
        if begun is None:
            self._journal.begin(mark, self._started)
        job = store_job(self._store, self._site, self._journal.snapshot, self._options.listers, self._options.in_flight)
        # A file has to be old enough when the listing is begun, or a dump made: what it was later, nobody has seen.
        seen = begun or self._started
        if self._store.as_of is not None:
            seen = min(seen, self._store.as_of)
        return seen, replace(job, plan=replace(job.plan, resume=begun is not None))

    def _rules(self, begun: float, protected: frozenset[bytes]) -> CleaningRules:
        settings = self._settings
        return CleaningRules(
            settings.root,
            begun - settings.min_age,
            begun - settings.logs_age,
            protected,
            frozenset(settings.avoided),
            frozenset(settings.logs),
            settings.ignored,
            settings.mode,
            LONGEST_LISTED_NAME,
        )

    def _list(self, job: StoreJob, rules: CleaningRules) -> tuple[Progress, frozenset[bytes]]:
        """List; give the progress, and the directories of which the store holds more than it listed."""
        with Listing(self._runtime, job, self._oversight) as listing:
            listing.start()
            progress = listing.run("listing unmerged")
            if not progress.listed:
                listing.discard()
                self._journal.done()
                raise Refused(root_refusal(progress.failures))
            listing.seal()
            doubted: frozenset[bytes] = frozenset()
            if rules.mode == Mode.DIRECTORIES:
                with _opened(self._journal.snapshot, rules) as cleaning:
                    doubted = _doubted(listing, cleaning)
                progress = listing.progress
            return replace(progress, seconds=listing.seconds), doubted

    def _judge(self, rules: CleaningRules, reports: ReportSet, base: str, progress: Progress) -> UnmergedResult:
        """Write what goes and what stays, and let it appear when all of it is there."""
        about = {
            "site": self._site.name,
            "root": paths.escape(rules.root),
            "mode": rules.mode.value,
            "listed": self._started,
            "old_before": rules.old_before,
            "logs_old_before": rules.logs_old_before,
        }
        snapshot = Snapshot(self._journal.snapshot)
        try:
            table = snapshot.table
            self._heed_gate(root_gate(table, rules.root))
            tally, cleaning = _Tally(), Cleaning(table, rules)
            unlisted = list(table.unlisted())
            with KeptFiles(self._site.web_dir / f"{base}{KEPT_ENDING}", about) as kept:
                _sort(cleaning, tally, reports, kept)
                kept.add_unlisted(unlisted)
                self._heed_gate(fraction_gate(tally.deletable, table.total_files(), self._settings.max_fraction))
                kept.prepare()
                reports.prepare()
                to_delete = Deletable(self._journal.snapshot, rules)
                self._record(to_delete.files())
                kept.publish()
                written = (*map(str, reports.publish()), str(kept.path))
            return UnmergedResult(
                self._site.name,
                rules.root,
                rules.mode,
                table.total_files(),
                table.total_size(),
                tally.deletable,
                tally.size,
                tally.logs,
                tally.directories,
                tally.kept,
                len(unlisted),
                len(rules.protected),
                written,
                progress,
                time.monotonic() - self._clock,
                to_delete,
            )
        finally:
            snapshot.close()

    def _heed_gate(self, refusal: Refusal | None) -> None:
        if refusal is not None:
            # The next try looks again instead of at the same listing.
            self._journal.done()
        _heed_gate(refusal)


def _heed_gate(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise Refused(refusal)


def _sort(cleaning: Cleaning, tally: _Tally, reports: ReportSet, kept: KeptFiles) -> None:
    """Put each file where it belongs, and count it; where directories go whole, the list names only them and logs."""
    whole = list(cleaning.whole_directories())
    tally.directories = len(whole)
    for directory in whole:
        entry = FileColumns.from_rows([(paths.name_of(directory.path), directory.size, UNKNOWN_MTIME)])
        reports.add([Finding(Kind.ORPHAN, paths.parent_of(directory.path) or b"/", entry)])
    for judged in cleaning.files():
        files = judged.deletable()
        tally.deletable += len(files)
        tally.size += files.total_size()
        tally.logs += judged.count_logs()
        if files and (cleaning.by_file or judged.are_logs):
            reports.add([Finding(Kind.ORPHAN, judged.directory, files)])
        for reason, staying in judged.kept():
            tally.kept[reason] = tally.kept.get(reason, 0) + len(staying)
        kept.add(judged)


def _doubted(listing: Listing, cleaning: Cleaning) -> frozenset[bytes]:
    """Have the directories that would go compared with the store's names; give those that hold more."""
    # One that came without any entry is beyond doubt, since a lister asks twice before it hands that in.
    questions = ((path, names) for path, names in cleaning.listed_entries() if names)
    doubted: set[bytes] = set()
    waiting: set[bytes] = set()

    def settled() -> bool:
        for verdict in unpack_verdicts(listing.coordinator.ask("take_verdicts").result(_PATIENCE)):
            waiting.discard(verdict.path)
            if refutation(verdict) is not None:
                doubted.add(verdict.path)
        if waiting:
            return False
        batch = [_question(path, names) for path, names in islice(questions, _BATCH)]
        waiting.update(question.directory for question in batch)
        if batch:
            listing.coordinator.ask("confirm", pack_findings(batch)).result(_PATIENCE)
        return not batch

    listing.run("looking again", settled)
    return frozenset(doubted)


def _question(directory: bytes, names: list[bytes]) -> Finding:
    rows = ((name, UNKNOWN_SIZE, UNKNOWN_MTIME) for name in [*names, NO_OTHERS])
    return Finding(Kind.EMPTY, directory, FileColumns.from_rows(rows))
