"""Shows on the page how far a run is: a follower that writes the run's file there, as long as the run goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from actors.oversight import Progress
from engine.estimate import SHOWN_SPAN, Estimate, Speed, estimate
from engine.stall import AwakeClock
from storage.history import HistoryDatabase, HistoryError, RunStatus
from storage.page.live import LiveFile, LiveRun
from storage.sites.summary import SummaryDatabase, SummaryError

_log = logging.getLogger(__name__)

_LISTING = "listing"
"""The phase whose end can be estimated."""

_LONGEST_STEP = 30.0
"""Seconds between two looks; what is beyond them nobody was awake to see."""

_FAILURES = 10
"""So many of the last failures are shown."""

_RUNS = 50
"""So many runs are looked through for the last one that was complete."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """The time in seconds since the epoch, and seconds that never run back."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


class LivePage:
    """Follows the run of a site, which ``started`` then, in seconds since the epoch; see `actors.shown.pulse.Follower`.

    ``number`` gives the number of the run, None as long as it has none; ``expected`` how many directories are expected,
    0 where nobody knows, and is asked once.
    """

    def __init__(
        self,
        web_dir: Path,
        site: str,
        started: float,
        number: Callable[[], int | None],
        expected: Callable[[], int],
        clocks: Clocks | None = None,
    ) -> None:
        self._file = LiveFile(web_dir, site)
        self._site = site
        self._started = started
        self._number = number
        self._ask_expected = expected
        self._expected: int | None = None
        self._clocks = clocks or Clocks()
        self._awake = AwakeClock(_LONGEST_STEP)
        self._speed = Speed()
        self._phase, self._since = "", started

    def follow(self, phase: str, progress: Progress) -> None:
        """Write down how far the run is.

        Raises:
            ReportError: the file cannot be written.
        """
        now = self._clocks.now()
        if phase != self._phase:
            # What a phase does says nothing of how fast the next one is.
            self._phase, self._since, self._speed = phase, now, Speed()
        done = progress.listed + progress.failed
        self._speed.see(self._awake.at(self._clocks.monotonic()), done - progress.resumed)
        if self._expected is None:
            self._expected = self._ask_expected()
        self._file.write(
            LiveRun(
                site=self._site,
                run=self._number(),
                phase=phase,
                started=self._started,
                phase_started=self._since,
                written=now,
                counts=_counts(progress),
                rate=self._speed.over(SHOWN_SPAN),
                expected=self._expected,
                estimate=self._estimate(progress, done),
                doors=progress.doors,
                failures=progress.failures[-_FAILURES:],
                note=progress.note,
            )
        )

    def _estimate(self, progress: Progress, done: int) -> Estimate:
        if self._phase != _LISTING:
            return Estimate()
        # What was taken over and is listed after all would count twice.
        waiting = 0 if progress.taken else progress.queued + progress.in_flight
        return estimate(self._expected or 0, done, waiting, self._speed.steady())

    def leave(self) -> None:
        """Take the file away.

        Raises:
            ReportError: it cannot be removed.
        """
        self._file.remove()


def _counts(progress: Progress) -> dict[str, int]:
    return {
        "listed": progress.listed,
        "failed": progress.failed,
        "ignored": progress.ignored,
        "resumed": progress.resumed,
        "taken_over": progress.taken,
        "files": progress.files,
        "bytes": progress.size,
        "queued": progress.queued,
        "in_flight": progress.in_flight,
        "requests": progress.requests,
    }


def expected_directories(site: str, history: Path, summary: Path) -> int:
    """Give how many directories the last run of a site with results came to, be it with an answer or without.

    The summary has runs of earlier versions. 0 where nobody knows, which is no reason for a run to fail.
    """
    try:
        if history.is_file():
            with HistoryDatabase(history) as database:
                for run in database.runs(site, _RUNS):
                    ended = run.status in (RunStatus.DONE, RunStatus.INCOMPLETE)
                    if ended and not run.cleaned and run.counts.directories:
                        return run.counts.directories + run.counts.unlisted
        if summary.is_file():
            with SummaryDatabase.reading(summary) as results:
                row = results.stats().get(site)
                return 0 if row is None else row.nodes + row.unlisted_bad
    except (HistoryError, SummaryError) as error:
        _log.warning("%s: no end is estimated: %s", site, error)
    return 0
