"""Doors: their URLs, and how requests are spread over several of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from engine import paths
from engine.denials import is_denial, together
from engine.listing import Failed, Outcome
from engine.pace import DoorPace
from engine.states import Reason
from storage.listers.protocol import IN_FLIGHT, Lister, Request, Sink, paces_of, window_of

REST = 5.0
"""Seconds for which a door that cannot be reached is passed over while others can; twice as long each time it fails
when it is tried again, up to `LONGEST_REST`."""

LONGEST_REST = 60.0

_TIMEOUTS_BEFORE_REST = 3

_REMEMBERED = 10_000
"""Failures that await another try, of which it is known through which door they came."""

_OF_THE_DOOR = (Reason.CONNECTION, Reason.TIMEOUT, Reason.AUTHENTICATION)


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


@dataclass(slots=True, eq=False)
class _Door:
    """``doubted`` is a door that failed and has answered nothing since; ``flights`` are paths by their numbers."""

    lister: Lister
    resting_until: float = 0.0
    rest: float = REST
    timeouts: int = 0
    doubted: bool = False
    flights: dict[int, bytes] = field(default_factory=dict)

    def may_be_asked(self, now: float) -> bool:
        """After its rest a door that may be as dead as before gets one request, and no more until that is answered."""
        return self.resting_until <= now and not (self.doubted and self.flights)

    @property
    def window(self) -> int:
        """How many requests it should have in hand: of a door that may be as dead as before a single one."""
        return 1 if self.doubted else window_of(self.lister)

    @property
    def load(self) -> float:
        """How much it has to do, for what it can; one that sets no limit is no better than others."""
        return len(self.flights) / min(window_of(self.lister), IN_FLIGHT)

    def let_rest(self, now: float) -> None:
        """Pass it over for a while; what it had in flight besides changes nothing in that."""
        if self.resting_until > now:
            return
        self.rest = min(2 * self.rest, LONGEST_REST) if self.doubted else REST
        self.resting_until = now + self.rest
        self.doubted, self.timeouts = True, 0


class SpreadLister:
    """Several listers on the same store, which share the requests.

    The door with the fewest in flight is asked, so that a slow one does what it can and holds up nobody; doors that
    have equally many take turns. A door that fails with `Reason.CONNECTION`, or three times in a row with
    `Reason.TIMEOUT`, is passed over for `REST` seconds or more, unless all others are as well; then a single request
    tries it. So is one that lets nobody in; while others may, it counts as one that cannot be reached. A failed request
    is not repeated through another door here, but when it is asked again another door gets it.

    With ``twice`` what one door denies is asked of another one that can be reached (`engine.denials`); such an outcome
    may take twice the timeout.
    """

    def __init__(
        self,
        openers: Sequence[Callable[[Sink], Lister]],
        sink: Sink,
        clock: Callable[[], float] = time.monotonic,
        twice: bool = False,
    ) -> None:
        """Open a lister for each door; ``clock`` gives seconds and never runs back."""
        self._sink = sink
        self._clock = clock
        self._twice = twice
        self._asked: dict[int, Request] = {}
        self._denials: dict[int, Outcome] = {}
        self._lock = threading.Lock()
        self._turn = 0
        self._failed: dict[bytes, _Door] = {}
        self._doors: list[_Door] = []
        for position, opener in enumerate(openers):
            self._doors.append(_Door(opener(self._sink_of(position))))

    @property
    def requests(self) -> int:
        """How many requests were sent so far, through all doors together."""
        return sum(door.lister.requests for door in self._doors)

    @property
    def window(self) -> int:
        """How many requests it should have in hand at the moment, through all doors that can be asked."""
        now = self._clock()
        return sum(door.window for door in self._doors if door.may_be_asked(now)) or 1

    @property
    def paces(self) -> tuple[DoorPace, ...]:
        """How the doors are asked at the moment."""
        return tuple(pace for door in self._doors for pace in paces_of(door.lister))

    def submit(self, request: Request) -> None:
        """Send one request through the door that is best placed to answer it."""
        self._next(request).lister.submit(request)

    def close(self) -> None:
        """Close the listers of all doors."""
        for door in self._doors:
            door.lister.close()

    def _next(self, request: Request) -> _Door:
        now = self._clock()
        with self._lock:
            order = self._doors[self._turn :] + self._doors[: self._turn]
            able = [door for door in order if door.may_be_asked(now)] or order
            failed = self._failed.pop(request.path, None)
            chosen = min(able, key=lambda door: (door is failed, door.load))
            chosen.flights[request.number] = request.path
            if self._twice:
                self._asked[request.number] = request
            self._turn = (self._doors.index(chosen) + 1) % len(self._doors)
        return chosen

    def _sink_of(self, position: int) -> Sink:
        def sink(number: int, outcome: Outcome) -> None:
            door = self._doors[position]
            outcome = self._observe(door, number, outcome)
            with self._lock:
                request, denial = self._asked.pop(number, None), self._denials.pop(number, None)
                another = None
                if request is not None and is_denial(outcome):
                    another = self._another(door)
                if request is not None and another is not None:
                    self._denials[number] = outcome
                    another.flights[number] = request.path
            if request is not None and another is not None:
                another.lister.submit(request)
            else:
                self._sink(number, outcome if denial is None else together(denial, outcome))

        return sink

    def _another(self, door: _Door) -> _Door | None:
        """Give the door, but for this one, that is best placed to be asked; None when none can be reached."""
        now = self._clock()
        able = [other for other in self._doors if other is not door and other.may_be_asked(now)]
        return min(able, key=lambda other: other.load, default=None)

    def _observe(self, door: _Door, number: int, outcome: Outcome) -> Outcome:
        """Take note of how a door does; gives the outcome as it is for all doors together."""
        reason = outcome.reason if isinstance(outcome, Failed) else Reason.NONE
        with self._lock:
            now = self._clock()
            path = door.flights.pop(number, b"")
            if reason in _OF_THE_DOOR:
                if len(self._failed) >= _REMEMBERED:
                    self._failed.clear()
                self._failed[path] = door
                door.timeouts = door.timeouts + 1 if reason == Reason.TIMEOUT else 0
                if reason != Reason.TIMEOUT or door.doubted or door.timeouts >= _TIMEOUTS_BEFORE_REST:
                    door.let_rest(now)
            else:
                door.timeouts, door.doubted = 0, False
                if all(other.resting_until > now for other in self._doors):
                    # The first one that is back does the work, until others are.
                    door.resting_until = now
            others = any(other is not door and other.resting_until <= now for other in self._doors)
        if isinstance(outcome, Failed) and reason == Reason.AUTHENTICATION and others:
            # Worth another try, which another door will have.
            return Failed(Reason.CONNECTION, outcome.detail)
        return outcome
