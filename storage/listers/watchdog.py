"""Every request ends exactly once, whatever the library below forgets.

A lister starts a flight for each request and ends it with an outcome. The first end counts; later ones are swallowed.
A small thread looks for flights whose answer never came.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from engine.listing import Failed, Outcome
from engine.states import Reason
from storage.listers.protocol import Request, Sink
from storage.threads import named

GRACE = 5.0
"""Seconds past the timeout of a request, after which an answer that the library itself did not time out is missed."""

_TICK = 0.5
"""Seconds between two looks at what is in flight."""


@dataclass(slots=True, eq=False)
class Flight:
    """A request on its way. ``started`` and ``deadline`` are in seconds of ``time.monotonic``."""

    request: Request
    started: float
    deadline: float
    missed: bool = False

    def seconds_left(self) -> int:
        """Give the whole seconds until the deadline, at least 1: what libraries take as a timeout."""
        return max(1, min(65535, round(self.deadline - time.monotonic())))


class Watchdog:
    """Hands each outcome to the sink once, and reports `Reason.TIMEOUT` for a request that nobody ends.

    Answers may be late only because those before them are still being worked on, so a flight is given up when its
    deadline is `GRACE` seconds past and, besides, either a request that was started after this deadline has ended
    already or nothing has ended for `GRACE` seconds.

    ``silent`` is asked on the watchdog's thread before a flight is given up; it returns True when it found another way
    to the answer, having called `extend`.
    """

    def __init__(
        self,
        sink: Sink,
        timeout: float,
        silent: Callable[[Flight], bool] | None = None,
        grace: float = GRACE,
    ) -> None:
        self._sink = sink
        self._timeout = timeout
        self._silent = silent
        self._grace = grace
        self._lock = threading.Lock()
        self._flights: dict[Flight, None] = {}
        self._last_end = time.monotonic()
        self._newest_ended_start = self._last_end
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=named("lister-watchdog"), daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Count what is in flight."""
        return len(self._flights)

    def start(self, request: Request) -> Flight:
        """Take note of a request before it is sent."""
        now = time.monotonic()
        flight = Flight(request, now, now + self._timeout)
        with self._lock:
            self._flights[flight] = None
        return flight

    def is_open(self, flight: Flight) -> bool:
        """Tell whether an outcome is still awaited."""
        return flight in self._flights

    def extend(self, flight: Flight) -> None:
        """Give an open flight its whole timeout once more."""
        with self._lock:
            if flight in self._flights:
                del self._flights[flight]
                flight.started = time.monotonic()
                flight.deadline = flight.started + self._timeout
                flight.missed = False
                self._flights[flight] = None

    def end(self, flight: Flight, outcome: Outcome) -> None:
        """Report the outcome, unless the flight has ended before or the watchdog is closed."""
        with self._lock:
            if flight not in self._flights:
                return
            del self._flights[flight]
            self._last_end = time.monotonic()
            self._newest_ended_start = max(self._newest_ended_start, flight.started)
        self._sink(flight.request.number, outcome)

    def close(self) -> None:
        """Forget what is in flight; nothing reaches the sink any more, but for a call that is under way."""
        with self._lock:
            self._closed.set()
            self._flights.clear()
        if threading.current_thread() is not self._thread:
            # Not for ever: it may be waiting, in the sink, for whoever closes.
            self._thread.join(1.0)

    def _watch(self) -> None:
        while not self._closed.wait(_TICK):
            for flight in self._missed(time.monotonic()):
                if self._silent is None or not self._silent(flight):
                    self.end(flight, Failed(Reason.TIMEOUT, f"no answer within {self._timeout:g} s"))

    def _missed(self, now: float) -> list[Flight]:
        """Find the flights to give up: those missed at two looks in a row, since a long conversion may hold us up."""
        missed: list[Flight] = []
        with self._lock:
            quiet = now - self._last_end > self._grace
            for flight in self._flights:
                # Flights stand in the order of their deadlines.
                if flight.deadline + self._grace > now:
                    break
                if quiet or self._newest_ended_start > flight.deadline:
                    if flight.missed:
                        missed.append(flight)
                    flight.missed = True
        return missed
