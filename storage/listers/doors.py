"""Doors: their URLs, and how requests are spread over several of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine import paths
from engine.listing import Failed, Outcome
from engine.states import Reason
from storage.listers.protocol import Lister, Request, Sink

REST = 5.0
"""Seconds for which a door that cannot be reached is passed over while others can."""

_TIMEOUTS_BEFORE_REST = 3


@dataclass(frozen=True, slots=True)
class Door:
    """A door's URL in parts. ``prefix`` is empty or a canonical path that stands before each LFN."""

    scheme: str
    user: str
    host: str
    prefix: bytes

    @classmethod
    def parse(cls, url: str) -> Door:
        """Take a URL apart. Nothing in it is decoded: names on stores are full of percent signs.

        Raises:
            ValueError: it has no scheme, or a query.
        """
        scheme, found, rest = url.partition("://")
        if not found or not scheme:
            raise ValueError(f"a door without a scheme: {url!r}")
        # The path of an SRM endpoint ends with one, and that of a dump is a file's name.
        if "?" in rest and scheme.lower() not in ("srm", "dump"):
            raise ValueError(f"a door with a query: {url!r}")
        authority, slash, path = rest.partition("/")
        user, _, host = authority.rpartition("@")
        prefix = paths.canonical(paths.encode(slash + path)) if slash else b""
        return cls(scheme.lower(), user.partition(":")[0], host, b"" if prefix == b"/" else prefix)

    def locate(self, path: bytes) -> bytes:
        """Give the path behind the door of a canonical LFN."""
        if not self.prefix:
            return path
        return self.prefix if path == b"/" else self.prefix + path


@dataclass(slots=True)
class _Door:
    lister: Lister
    resting_until: float = 0.0
    timeouts: int = 0


class SpreadLister:
    """Several listers on the same store, asked in turn.

    A door that fails with `Reason.CONNECTION`, or three times in a row with `Reason.TIMEOUT`, is passed over for `REST`
    seconds, unless all others rest as well. So is one that lets nobody in; while others may, it counts as one that
    cannot be reached. A failed request is not repeated through another door here.
    """

    def __init__(
        self, openers: Sequence[Callable[[Sink], Lister]], sink: Sink, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Open a lister for each door; ``clock`` gives seconds and never runs back."""
        self._sink = sink
        self._clock = clock
        self._lock = threading.Lock()
        self._turn = 0
        self._doors: list[_Door] = []
        for position, opener in enumerate(openers):
            self._doors.append(_Door(opener(self._sink_of(position))))

    @property
    def requests(self) -> int:
        """How many requests were sent so far, through all doors together."""
        return sum(door.lister.requests for door in self._doors)

    def submit(self, request: Request) -> None:
        """Send one request through the door whose turn it is."""
        self._next().lister.submit(request)

    def close(self) -> None:
        """Close the listers of all doors."""
        for door in self._doors:
            door.lister.close()

    def _next(self) -> _Door:
        now = self._clock()
        with self._lock:
            order = self._doors[self._turn :] + self._doors[: self._turn]
            chosen = next((door for door in order if door.resting_until <= now), order[0])
            self._turn = (self._doors.index(chosen) + 1) % len(self._doors)
        return chosen

    def _sink_of(self, position: int) -> Sink:
        def sink(number: int, outcome: Outcome) -> None:
            self._sink(number, self._observe(self._doors[position], outcome))

        return sink

    def _observe(self, door: _Door, outcome: Outcome) -> Outcome:
        """Take note of how a door does; gives the outcome as it is for all doors together."""
        reason = outcome.reason if isinstance(outcome, Failed) else Reason.NONE
        with self._lock:
            now = self._clock()
            door.timeouts = door.timeouts + 1 if reason == Reason.TIMEOUT else 0
            if reason in (Reason.CONNECTION, Reason.AUTHENTICATION) or door.timeouts >= _TIMEOUTS_BEFORE_REST:
                door.timeouts = 0
                door.resting_until = now + REST
            others = any(other is not door and other.resting_until <= now for other in self._doors)
        if isinstance(outcome, Failed) and reason == Reason.AUTHENTICATION and others:
            # Worth another try, which another door will have.
            return Failed(Reason.CONNECTION, outcome.detail)
        return outcome
