"""A time of its own: events in order, one after another, and chance that comes from a seed alone.

Nothing here waits, and nothing runs beside anything else. Whoever has the seed has the whole story.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

Action = Callable[[], None]


class Stuck(AssertionError):
    """There were more events, or more time went by, than any story may take."""


@dataclass
class Clockwork:
    """Virtual seconds from 0 on, what is to happen in them, and a source of chance.

    ``after_each`` is called behind every event. No story may have more than ``most_events``, or take more than
    ``most_seconds``.
    """

    seed: int
    most_events: int = 60_000
    most_seconds: float = 5_000.0
    now: float = 0.0
    events: int = 0
    lines: list[str] | None = None
    after_each: Action = lambda: None
    chance: random.Random = field(init=False)
    _queue: list[tuple[float, int, Action]] = field(default_factory=list)
    _number: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def clock(self) -> float:
        """Give the time; what actors are given for their clock."""
        return self.now

    def after(self, seconds: float, action: Action) -> None:
        """Let something happen, behind all that is to happen until then."""
        self._number += 1
        heapq.heappush(self._queue, (self.now + seconds, self._number, action))

    def tell(self, what: str) -> None:
        """Write a line of the story, if anybody reads it."""
        if self.lines is not None:
            self.lines.append(f"{self.now:10.3f} {what}")

    def run_for(self, seconds: float) -> None:
        """Let so much time go by."""
        until = self.now + seconds
        while self._queue and self._queue[0][0] <= until:
            self._step()
        self.now = until
        if until > self.most_seconds:
            raise Stuck(f"no end after {until:.0f} s")

    def run_while(self, goes_on: Callable[[], bool]) -> None:
        """Let time go by as long as it is wanted and something is to happen."""
        while self._queue and goes_on():
            self._step()

    def forget(self) -> None:
        """Drop all that is to happen: its process is gone."""
        self._queue.clear()

    def _step(self) -> None:
        self.now, _, action = heapq.heappop(self._queue)
        self.events += 1
        if self.events > self.most_events or self.now > self.most_seconds:
            raise Stuck(f"no end after {self.events} events and {self.now:.0f} s")
        action()
        self.after_each()
