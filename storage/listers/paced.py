"""A lister whose door says by its answers how much it can be asked at a time.

The decisions are those of `engine.pace`; this shell measures, and carries them out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from engine.listing import Failed, Outcome
from engine.pace import DoorPace, Pace, PaceLimits
from engine.states import Reason
from storage.listers.protocol import Lister, Request, Sink

_OF_THE_DOOR = (Reason.TIMEOUT, Reason.CONNECTION, Reason.AUTHENTICATION)
"""The failures that say something of the door, and nothing of what it was asked about."""


class Spreadable(Lister, Protocol):
    """A lister that can be told while it works over how many connections to spread what it is asked."""

    def spread(self, connections: int) -> None:
        """Use so many from now on. May be called from any thread, also by the sink."""


class PacedLister:
    """Asks one door, called ``name``, through the lister that ``opener`` opens for a number of connections."""

    def __init__(
        self,
        name: str,
        opener: Callable[[Sink, int], Spreadable],
        sink: Sink,
        limits: PaceLimits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._sink = sink
        self._clock = clock
        self._lock = threading.Lock()
        self._pace = Pace(limits)
        self._asked: dict[int, float] = {}
        self._ended = self._failed = 0
        self._connections = self._pace.connections
        self._lister = opener(self._take, self._connections)

    @property
    def requests(self) -> int:
        """How many requests were sent so far."""
        return self._lister.requests

    @property
    def window(self) -> int:
        """How many requests it should have in hand at the moment."""
        return self._pace.window

    @property
    def paces(self) -> tuple[DoorPace, ...]:
        """How it is asked at the moment."""
        pace = self._pace
        in_flight, counts = len(self._asked), (self._ended, self._failed)
        return (DoorPace(self._name, pace.window, self._connections, in_flight, pace.latency, *counts),)

    def submit(self, request: Request) -> None:
        """Send one request; see `storage.listers.protocol.Lister`. Nothing is held back here."""
        with self._lock:
            now = self._asked[request.number] = self._clock()
            self._pace.asked(now, len(self._asked))
        self._lister.submit(request)

    def close(self) -> None:
        """Close the lister."""
        self._lister.close()

    def _take(self, number: int, outcome: Outcome) -> None:
        with self._lock:
            now, asked_at = self._clock(), self._asked.pop(number, None)
            if asked_at is not None:
                self._observe(asked_at, now, outcome)
            connections, before = self._pace.connections, self._connections
            self._connections = connections
        try:
            if connections != before:
                self._lister.spread(connections)
        finally:
            # Whatever becomes of the connections, an outcome is waited for.
            self._sink(number, outcome)

    def _observe(self, asked_at: float, now: float, outcome: Outcome) -> None:
        reason = outcome.reason if isinstance(outcome, Failed) else Reason.NONE
        self._ended += 1
        self._failed += reason in _OF_THE_DOOR
        match reason:
            case Reason.TIMEOUT:
                self._pace.timed_out(asked_at, now)
            case Reason.CONNECTION:
                self._pace.broke(asked_at, now)
            case Reason.AUTHENTICATION | Reason.BAD_NAME:
                # That may have been said without asking the door.
                return
            case _:
                self._pace.answered(asked_at, now)
