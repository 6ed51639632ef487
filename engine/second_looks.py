"""Which directories are listed once more for the times of what they hold, and when.

A directory that was listed and differs from what is known of it, although its parent has shown the old time, has just
changed, or its store does not keep true times. The parent says which, if it is asked again. But a store that keeps what
it knows of a directory for some time, as NFS and others do, goes on showing the old one for that long: so it is asked
later.
"""

from __future__ import annotations

import math

CACHED_FOR = 120.0
"""Seconds after which a store shows the time that a directory has: NFS keeps an old one for one minute at most, unless
it is told otherwise (acdirmax), and others that are known for less.
"""


class SecondLooks:
    """Parents with the rows of what they hold, each held back for ``delay`` seconds, and then asked."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        # When it was seen, by row.
        self._held: dict[bytes, dict[int, float]] = {}
        self._asked: dict[bytes, list[int]] = {}
        self._next = math.inf

    @property
    def held(self) -> list[bytes]:
        """The parents that are still to be asked."""
        return list(self._held)

    def hold(self, parent: bytes, row: int, now: float) -> None:
        """Note that something in ``parent`` was seen to differ ``now``, by a clock in seconds that never runs back."""
        self._held.setdefault(parent, {}).setdefault(row, now)
        self._next = min(self._next, now + self.delay)

    def due(self, now: float) -> list[bytes]:
        """Give the parents that are to be asked now.

        What was seen too short a time ago waits for a later question, and so does what was seen after one was asked.
        """
        if now < self._next:
            return []
        parents = []
        for parent, seen in list(self._held.items()):
            ripe = [] if parent in self._asked else [row for row, at in seen.items() if at + self.delay <= now]
            if not ripe:
                continue
            self._asked[parent] = ripe
            parents.append(parent)
            for row in ripe:
                del seen[row]
            if not seen:
                del self._held[parent]
        self._plan()
        return parents

    def _plan(self) -> None:
        times = (at for parent, seen in self._held.items() if parent not in self._asked for at in seen.values())
        self._next = min(times, default=math.inf) + self.delay

    def is_asked(self, path: bytes) -> bool:
        """Whether a directory is being asked."""
        return path in self._asked

    def answered(self, parent: bytes) -> list[int]:
        """Give the rows, in their order, that a parent was asked for."""
        rows = self._asked.pop(parent, [])
        self._plan()
        return sorted(rows)

    def drop(self) -> None:
        """Ask no others."""
        self._held.clear()
        self._next = math.inf
