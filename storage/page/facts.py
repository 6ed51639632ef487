"""What is known of each site, read from the two databases and the web directory, before it is laid out."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine import paths
from engine.site_states import BUSY, SiteStatus, is_over
from engine.states import Reason
from storage.history import HistoryDatabase, HistoryError, RunRow, RunStatus
from storage.history.changes import Changes
from storage.page import files, words
from storage.page.files import ListFile
from storage.page.runs import Run, merge, of_stats, run_values
from storage.runs.directory import RunDirectory, RunDirError
from storage.sites.picker import signs_of
from storage.sites.summary import DATABASE, Heartbeat, SiteRow, StatsRow, SummaryDatabase

RUNS = 200
"""How many runs of a site its page shows."""

NAMES = 20
"""How many names of each kind a page shows; the lists have all of them."""

EXAMPLES = 5
"""How many directories are shown for each reason."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UnlistedGroup:
    """Directories that could not be listed for the same reason: how many, and the first of them with details."""

    reason: Reason
    count: int
    examples: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """What the page knows of a site. Runs come newest first; ``latest`` is the last one with results."""

    row: SiteRow
    latest: Run | None = None
    runs: tuple[Run, ...] = ()
    changes: Changes = field(default_factory=Changes)
    unlisted: tuple[UnlistedGroup, ...] = ()
    lists: Mapping[str, ListFile] = field(default_factory=dict)
    heartbeat: Heartbeat | None = None

    def fingerprint(self) -> str:
        """Give a digest that is another one when anything here is.

        Made of plain tuples: what a dataclass says of itself takes ten times as long, for a hundred thousand runs.
        """
        runs = [run_values(run) for run in self.runs]
        rest = (self.row, self.latest, self.changes, self.unlisted, dict(self.lists), self.heartbeat)
        return hashlib.sha256(repr((runs, rest)).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the pages are made from; ``notices`` say what could not be read."""

    sites: tuple[SiteFacts, ...]
    notices: tuple[str, ...] = ()


class _Histories:
    """The histories of the sites, each opened once; one that cannot be read is passed over, with a notice."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._opened: dict[Path, HistoryDatabase | None] = {}
        self.notices: list[str] = []

    def at(self, path: Path | None) -> HistoryDatabase | None:
        """Give the one at a path; None when there is none that can be read."""
        if path is None or not path.is_file():
            return None
        if path not in self._opened:
            try:
                self._opened[path] = self._stack.enter_context(HistoryDatabase(path))
            except HistoryError as error:
                self.pass_over(path, error)
        return self._opened[path]

    def sites(self, path: Path | None) -> list[str]:
        """Name the sites that the one at a path knows."""
        history = self.at(path)
        if history is None or path is None:
            return []
        try:
            return history.sites()
        except HistoryError as error:
            self.pass_over(path, error)
            return []

    def pass_over(self, path: Path, error: HistoryError) -> None:
        """Go on without the one at a path."""
        self._opened[path] = None
        self.notices.append(_notice(error))


def gather(web_dir: Path, history: Path | None, own: Mapping[str, Path] | None = None) -> Facts:
    """Read the facts of all sites, by name.

    A history that cannot be read leaves its parts of the page out, with a notice; there is a page all the same.
    ``own`` are the histories of the sites that have another one than the others.

    Raises:
        SummaryError: the summary is there and cannot be read.
        ReportError: the web directory cannot be read.
    """
    present, own = files.present(web_dir), own or {}
    with ExitStack() as stack:
        summary = None
        if (web_dir / DATABASE).is_file():
            summary = stack.enter_context(SummaryDatabase.reading(web_dir / DATABASE))
        histories = _Histories(stack)
        rows = {row.site: row for row in summary.sites()} if summary else {}
        latest = summary.stats() if summary else {}
        beats = summary.beats() if summary else {}
        names = {*rows, *latest}
        for path in {history, *own.values()}:
            names |= {name for name in histories.sites(path) if own.get(name, history) == path}
        sites = []
        for name in sorted(names):
            row = rows.get(name) or SiteRow(name)
            stats = summary.history(name) if summary else []
            path = own.get(name, history)
            try:
                found = _site_facts(row, latest.get(name), stats, histories.at(path), present)
            except HistoryError as error:
                if path is not None:
                    histories.pass_over(path, error)
                found = _site_facts(row, latest.get(name), stats, None, present)
            if found.row.status in BUSY:
                found = replace(found, heartbeat=beats.get(name))
            sites.append(found)
        return Facts(tuple(sites), tuple(histories.notices))


def _notice(error: HistoryError) -> str:
    _logger.warning("the page goes without the history: %s", error)
    return f"The history could not be read, so what comes from it is not shown. {words.shown(str(error))}"


def _site_facts(
    row: SiteRow,
    latest: StatsRow | None,
    stats: Sequence[StatsRow],
    history: HistoryDatabase | None,
    present: Mapping[str, int],
) -> SiteFacts:
    if history is not None:
        row = _as_it_stands(row, history)
    entered = _without_ghosts(row, history) if history else []
    runs = merge(entered, stats)[:RUNS]
    last = next((run for run in runs if run.counted), None)
    if latest is not None and (last is None or last.ended is None or last.ended < latest.entered):
        last = of_stats(latest)
    return SiteFacts(
        row=row,
        latest=last,
        runs=tuple(runs),
        changes=history.changes(row.site, NAMES) if history and entered else Changes(),
        unlisted=tuple(group(history.unlisted(row.site))) if history and entered else (),
        lists=files.lists_of(row.site, present),
    )


def _directory(site: str, history: HistoryDatabase) -> RunDirectory:
    """Give the directory of a site's runs; the history lies in ``VarLocation/db``, beside those."""
    return RunDirectory(history.path.parent.parent, site)


def _as_it_stands(row: SiteRow, history: HistoryDatabase) -> SiteRow:
    """Pass over a state that a process has left which is gone, as picking does; only the next run writes that down."""
    if row.status in BUSY and is_over(signs_of(row.owner, _directory(row.site, history))):
        return replace(row, status=SiteStatus.READY, owner=None)
    return row


def _without_ghosts(row: SiteRow, history: HistoryDatabase) -> list[RunRow]:
    """Give the runs of a site; one that is marked running, and that nobody runs, was killed."""
    runs = history.runs(row.site, RUNS)
    if row.status != SiteStatus.RUNNING and any(run.status == RunStatus.RUNNING for run in runs):
        try:
            if not _directory(row.site, history).is_locked():
                # It may have ended since they were read.
                return [
                    replace(run, status=RunStatus.DIED) if run.status == RunStatus.RUNNING else run
                    for run in history.runs(row.site, RUNS)
                ]
        except RunDirError as error:
            _logger.warning("%s", error)
    return runs


def group(rows: Sequence[tuple[bytes, Reason, str]]) -> Iterator[UnlistedGroup]:
    """Put directories together by the reason why they are unlisted, the most frequent first; examples are escaped."""
    by_reason: dict[Reason, list[tuple[bytes, str]]] = {}
    for path, reason, detail in rows:
        by_reason.setdefault(reason, []).append((path, detail))
    for reason, found in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0])):
        examples = [
            (paths.escape(path), paths.escape(detail.encode("utf-8", "backslashreplace")))
            for path, detail in found[:EXAMPLES]
        ]
        yield UnlistedGroup(reason, len(found), tuple(examples))
