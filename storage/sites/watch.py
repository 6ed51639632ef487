"""Whether a run should still go on, as the summary has it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from engine.site_states import BUSY, NoMatchingSite, SiteStatus
from storage.sites.process import Owner
from storage.sites.summary import SiteRow, SummaryDatabase, SummaryError


class SiteWatch:
    """Looks into the summary now and then, and remembers what it saw.

    ``interval`` is the time between two looks in seconds; ``clock`` counts seconds. A summary that cannot be read just
    now does not end a run: then what was seen last holds, at first that the site runs.
    """

    def __init__(
        self, path: Path, site: str, interval: float = 15.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._site = site
        self._interval = interval
        self._clock = clock
        self._next = clock()
        self._seen = True

    def is_running(self) -> bool:
        """Whether the site is picked or running; a site that the summary does not know is not."""
        now = self._clock()
        if now >= self._next:
            self._seen = self._look()
            self._next = now + self._interval
        return self._seen

    def _look(self) -> bool:
        try:
            return self._runs(self._row())
        except SummaryError:
            return self._seen

    def _row(self) -> SiteRow | None:
        if not self._path.exists():
            return None
        try:
            with SummaryDatabase.reading(self._path) as database:
                return database.site(self._site)
        except NoMatchingSite:
            return None

    def _runs(self, row: SiteRow | None) -> bool:
        return row is not None and row.status in BUSY


class RunWatch(SiteWatch):
    """As `SiteWatch`, for the process that runs the site: it stops when another one has it by now.

    One that was stopped for long may be taken for dead by a machine that sees nothing of it but the summary.
    """

    def _runs(self, row: SiteRow | None) -> bool:
        if row is None or not super()._runs(row):
            return False
        this = Owner.this()
        # Not by the name of the host, which may change.
        return row.owner is None or (row.owner.pid, row.owner.start) == (this.pid, this.start)


class HaltWatch(SiteWatch):
    """As `SiteWatch`, for a run that the summary is not told of: it goes on unless somebody says that it should not.

    A site that was halted or disabled before the watch began stays out of it, unless that was said to this process.
    """

    def __init__(
        self, path: Path, site: str, interval: float = 15.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(path, site, interval, clock)
        self._before: SiteRow | None = None
        with suppress(SummaryError):
            self._before = self._row()

    def _runs(self, row: SiteRow | None) -> bool:
        if row is None or row.status not in (SiteStatus.HALT, SiteStatus.DISABLED):
            self._before = None
            return True
        before = self._before
        said_before = before is not None and (row.status, row.owner) == (before.status, before.owner)
        return said_before and row.owner != Owner.this()
