"""Puts sites into a summary, a history and a web directory, so that there is something to build a page from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine import paths
from engine.columns import UNKNOWN_MTIME, FileColumns
from engine.findings import Finding, Kind
from engine.scope import Scope
from engine.site_states import Reporting, SiteStatus
from engine.states import Reason
from storage.history import HistoryDatabase, RunCounts, RunStatus
from storage.page.build import Built, build_page
from storage.page.limits import PageLimits
from storage.page.words import stem
from storage.sites.summary import StatsRow, SummaryDatabase

NOW = 1_780_000_000.0
"""When the pages of the tests are built, in seconds since the epoch."""

HOUR, DAY = 3600.0, 86400.0


@dataclass(frozen=True)
class Planted:
    """A web directory and a history, with what tests put there."""

    base: Path
    web: Path = field(init=False)
    history: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "web", self.base / "www")
        object.__setattr__(self, "history", self.base / "var" / "db" / "consistency.db")
        self.web.mkdir(parents=True, exist_ok=True)

    def site(
        self,
        name: str,
        status: SiteStatus = SiteStatus.READY,
        reporting: Reporting = Reporting.DRY,
        ready: bool = True,
        started: float | None = None,
    ) -> None:
        """Enter a site; ``started`` is when the run began that is marked as running."""
        with SummaryDatabase(self.web / "stats.db") as summary:
            known = {row.site: row.is_good for row in summary.sites()}
            summary.sync({**known, name: ready})
            summary.set_reporting(name, reporting)
            if started is not None:
                # What a process notes of itself is of no use to the page.
                summary._connection.execute(
                    "UPDATE sites SET laststarted = datetime(?, 'unixepoch') WHERE site = ?", (started, name)
                )
            summary.set_status(name, status)

    def result(self, site: str, entered: float = NOW - HOUR, **counts: float) -> None:
        """Enter the result of a run into the summary."""
        with SummaryDatabase(self.web / "stats.db") as summary:
            summary.update(StatsRow(site, entered, **counts))  # type: ignore[arg-type]

    def run(
        self,
        site: str,
        started: float,
        status: RunStatus = RunStatus.DONE,
        missing: Sequence[bytes] = (),
        orphans: Sequence[bytes] = (),
        unlisted: Iterable[tuple[bytes, Reason, str]] = (),
        message: str = "",
        seconds: float = 600.0,
        files: int = 1000,
        looked: Scope | None = None,
    ) -> int:
        """Enter a run into the history; one that runs is left open."""
        with HistoryDatabase(self.history) as history:
            run = history.open_run(site, started, "threads")
            if status == RunStatus.RUNNING:
                return run
            history.stage(run, [finding(Kind.MISSING, path) for path in missing])
            history.stage(run, [finding(Kind.ORPHAN, path) for path in orphans])
            rows = list(unlisted)
            history.stage_unlisted(run, rows)
            counts = RunCounts(
                files=files,
                directories=files // 10,
                missing=len(missing),
                orphan=len(orphans),
                unlisted=len(rows),
                missing_bytes=7 * len(missing),
                orphan_bytes=7 * len(orphans),
                seconds=seconds,
            )
            keep = status in (RunStatus.DONE, RunStatus.INCOMPLETE)
            history.finish_run(run, started + seconds, status, counts, keep, message, looked=looked)
        return run

    def file(self, name: str, text: str = "/store/mc/a.root\n") -> Path:
        """Put a file into the web directory."""
        path = self.web / name
        path.write_text(text)
        return path

    def lists(self, site: str) -> list[str]:
        """Put every list of a site there; gives their names."""
        base = stem(site)
        names = [f"{base}{ending}" for ending in ENDINGS]
        for name in names:
            self.file(name, "{}\n" if name.endswith(".json") else "/store/mc/a.root\n/store/mc/b.root\n")
        return names

    def build(self, limits: PageLimits | None = None, now: float = NOW) -> Built:
        """Build the page."""
        return build_page(self.web, self.history, limits or PageLimits(), now)

    def page(self, name: str = "index.html") -> str:
        """Read a page."""
        return (self.web / name).read_text()


ENDINGS = (
    "_compare_missing.txt",
    "_compare_orphan.txt",
    "_compare_size_mismatch.txt",
    "_empty.txt",
    "_missing_datasets.txt",
    "_missing_nosite.txt",
    "_storage.json",
    "_unlisted.txt",
    "_unmerged.txt",
    "_unrecoverable.txt",
    ".log",
)


def finding(kind: Kind, path: bytes) -> Finding:
    """Make a finding of one file of seven bytes."""
    columns = FileColumns.from_rows([(paths.name_of(path), 7, UNKNOWN_MTIME)])
    return Finding(kind, paths.parent_of(path) or b"/", columns, b"")
