"""Which sites are checked next, of those that are due, by whoever keeps checking all of them.

A site is due when it was never checked, or its interval has gone by since its last check began. Intervals differ a
little from site to site, so that sites which began together do not go on doing so. A check that failed is tried again
sooner, later each time; one that was halted, at the site's next time.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from engine.site_states import Candidate, by_turn, why_not

SPREAD = 0.05
"""An interval is longer or shorter by up to this part of it, always the same for one site."""

_DIED_AGAIN = 5.0
_FAILED_AGAIN = 300.0
_LONGEST_AGAIN = 3600.0
"""Seconds until a check that died, or failed, is tried again the first time, and at most; twice as long each time."""


class Ending(Enum):
    """How a check of a site ended."""

    DONE = "done"
    HALTED = "halted"
    FAILED = "failed"
    DIED = "died"


@dataclass(frozen=True, slots=True)
class RosterLimits:
    """At most ``parallel`` checks at a time, which begin at least ``gap`` seconds apart."""

    parallel: int = 1
    gap: float = 0.0


@dataclass(frozen=True, slots=True)
class _Trouble:
    """So many times in a row a check came to no end, the last time ``since``; it is tried again after a ``delay``."""

    times: int
    since: float
    delay: float


@dataclass(slots=True)
class Roster:
    """What is at work and what went wrong; times are in seconds since the epoch.

    ``intervals`` are in seconds, by the site. The last check of a site in ``unfinished`` came to no result: it is due
    at once.
    """

    limits: RosterLimits
    intervals: Mapping[str, float] = field(default_factory=dict)
    unfinished: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)
    _troubles: dict[str, _Trouble] = field(default_factory=dict)
    _began: dict[str, float] = field(default_factory=dict)
    _begun_at: float = -math.inf

    def due_at(self, candidate: Candidate, now: float) -> float:
        """Give when a site is due; minus infinity for one that was never checked."""
        site = candidate.site
        trouble = self._troubles.get(site)
        if trouble is not None:
            return min(trouble.since, now) + trouble.delay
        # What was begun here counts, whatever becomes of the summary.
        began = [moment for moment in (candidate.last_run, self._began.get(site)) if moment is not None]
        if not began or site in self.unfinished:
            return -math.inf
        # A clock that was set back makes none wait longer than its interval.
        return min(max(began), now) + interval(site, self.intervals.get(site, 0.0))

    def due(self, candidates: Iterable[Candidate], now: float) -> list[Candidate]:
        """Give those that are due and not at work here, whoever waits longest first."""
        return by_turn(c for c in candidates if c.site not in self.running and self.due_at(c, now) <= now)

    def next(
        self, candidates: Sequence[Candidate], held: Collection[str], now: float, others: int = 0
    ) -> Candidate | None:
        """Give the site whose check is to begin now, if any; whoever begins it says so with `begun`.

        ``held`` are the locks that processes hold, ``others`` the checks that are at work and not of this roster.
        """
        if len(self.running) + others >= self.limits.parallel:
            return None
        # A clock that was set back must not hold everything up.
        if 0 <= now - self._begun_at < self.limits.gap:
            return None
        taken = {*held, *(c.lock for c in candidates if c.lock and c.site in self.running)}
        return next((c for c in self.due(candidates, now) if not why_not(c, None, taken)), None)

    def begun(self, site: str, now: float) -> None:
        """Take note that a check began."""
        self.running.add(site)
        self.unfinished.discard(site)
        self._began[site] = self._begun_at = now

    def ended(self, site: str, ending: Ending, now: float) -> None:
        """Take note of how a check ended."""
        self.running.discard(site)
        if ending in (Ending.DONE, Ending.HALTED):
            self._troubles.pop(site, None)
            return
        times = self._troubles[site].times + 1 if site in self._troubles else 1
        first = _DIED_AGAIN if ending is Ending.DIED else _FAILED_AGAIN
        delay = min(first * 2.0 ** min(times - 1, 20), _LONGEST_AGAIN)
        if ending is Ending.FAILED:
            # Where an interval is short, there is no hurry beyond it.
            delay = min(delay, max(_DIED_AGAIN, self.intervals.get(site, math.inf)))
        self._troubles[site] = _Trouble(times, now, delay)

    def troubles(self, site: str) -> int:
        """Give how often in a row the checks of a site did not come to their end."""
        return self._troubles[site].times if site in self._troubles else 0


def interval(site: str, seconds: float) -> float:
    """Give the interval of a site, of about so many seconds."""
    share = zlib.crc32(site.encode("utf-8", "surrogateescape")) / 0xFFFFFFFF
    return seconds * (1.0 + SPREAD * (2.0 * share - 1.0))
