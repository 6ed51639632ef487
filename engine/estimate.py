"""How fast a listing gets on, and when it may be through: from its speed of late and the size that the site had before.

Pure: times are given. What cannot be known is None, and never a guess.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

SHOWN_SPAN = 60.0
"""Seconds that the speed is shown of."""

STEADY_SPAN = 600.0
"""Seconds that an end is estimated from: what is left is not as uneven as a minute is."""

LEAST_SPAN = 4.0
"""Seconds that have to be seen before a speed is known."""

_LEAST_TO_ESTIMATE = 20.0
"""The same for an end: listers begin slowly."""

_MORE = 1.01
_MORE_BY = 10
"""A site has grown when it has so many times the directories, and so many more: some are asked for twice."""

_LONGEST = 1e7
"""Seconds, 116 days, beyond which there is no end in sight."""


class Speed:
    """How much is done in a second; times are in seconds on any clock that never runs back."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def see(self, now: float, done: int) -> None:
        """Take note of how much is done by now. Less than before is another count, which begins anew."""
        if self._seen and done < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - STEADY_SPAN:
            self._seen.popleft()

    def over(self, span: float, least: float = LEAST_SPAN) -> float | None:
        """Give what was done in a second over the last ``span`` seconds, or as many as were seen.

        None when these are fewer than ``least``.
        """
        if not self._seen:
            return None
        now, done = self._seen[-1]
        # The last look that is so long ago, or the first one.
        since, before = next((seen for seen in reversed(self._seen) if seen[0] <= now - span), self._seen[0])
        return (done - before) / (now - since) if now - since >= max(least, 1e-3) else None

    def steady(self) -> float | None:
        """Give the speed that an end is estimated from; None as long as it is not known, or nothing is done of late."""
        recent = self.over(SHOWN_SPAN, _LEAST_TO_ESTIMATE)
        return self.over(STEADY_SPAN, _LEAST_TO_ESTIMATE) if recent else None


@dataclass(frozen=True, slots=True)
class Estimate:
    """How much of a listing is done, from 0 to 1, and the seconds that the rest may take.

    Each is None when it cannot be known; ``is_more`` says why where there is more than last time.
    """

    share: float | None = None
    seconds: float | None = None
    is_more: bool = False


def estimate(expected: int, done: int, waiting: int, speed: float | None) -> Estimate:
    """Estimate the end of a listing.

    Args:
        expected: the directories that the last complete listing came to, 0 when there is none.
        done: those of this listing that need not be asked for any more.
        waiting: those that are known of and not done.
        speed: directories that are done in a second, None when not known.
    """
    if expected <= 0 or done < 0:
        return Estimate()
    known = done + max(0, waiting)
    if known > max(expected * _MORE, expected + _MORE_BY):
        return Estimate(is_more=True)
    total = max(expected, known)
    if speed is None or speed * _LONGEST < total - done or speed <= 0:
        return Estimate(done / total)
    return Estimate(done / total, (total - done) / speed)
