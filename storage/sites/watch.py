"""Whether a run should still go on, as the summary has it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from engine.site_states import BUSY, NoMatchingSite
from storage.sites.summary import SummaryDatabase, SummaryError


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
        if not self._path.exists():
            return False
        try:
            with SummaryDatabase.reading(self._path) as database:
                return database.site(self._site).status in BUSY
        except NoMatchingSite:
            return False
        except SummaryError:
            return self._seen
