"""How much to ask of a door at a time: a window of requests, and the connections that it is spread over.

A state machine that knows no clock and no door. It begins small, and grows as long as answers come as fast as before:
by one request with each answer, so that the window doubles with each round trip. Where answers take clearly longer,
either the door serves a connection one request after another, so that there have to be more of them; or it has enough
to do.

From then on the rate is measured, in answers a second. Half as much is tried, and kept as long as the rate holds; then
somewhat more, which is kept as long as it is worth it; and after a rest all that once more. Timeouts halve the window,
and it shrinks when answers take much longer than they did before.

What counts are answers to what was asked since the last change. Those that came while there was not enough to ask say
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

_FIRST_WINDOW = 64
_FIRST_CONNECTIONS = 4

_HELD = 2.0
_SLACK = 0.05
"""An answer is as fast as before when it takes no longer than so many times the fastest, and so many seconds more."""

_AGING = 1.002
"""By so much the fastest answer is forgotten with each one that comes, since the work changes on the way."""

_LEAST_ANSWERS = 64
"""So many answers at least stand for a window: directories are of all sizes, and with them what answers take. Of a very
small window eight times as many as it has are enough, so that it does not stay so for hours.
"""

_LEAST_WINDOW = 16
"""Only timeouts make a window smaller: no door minds so little, and too small a one is found out slowly."""

_REST = 16
"""Measurements between two rounds of trials."""

_SAME = 0.95
"""The rate holds when it is at least so much of what it was."""

_WORTH = 0.5
"""The share of what was added that has to come out as a higher rate."""

_MUCH_LONGER = 2.5
_LONGER_BY = 0.1
"""The window is too large when answers take so many times as long as they did with it, and so many seconds more."""

_SMOOTHING = 0.1


class _Trial(IntEnum):
    """What is tried, in this order; each again while it is worth it."""

    HALF_THE_WINDOW = 0
    HALF_THE_CONNECTIONS = 1
    LARGER_WINDOW = 2
    MORE_CONNECTIONS = 3
    NOTHING = 4


@dataclass(frozen=True, slots=True)
class PaceLimits:
    """The most requests in flight, and the most connections."""

    window: int = 512
    connections: int = 16


@dataclass(frozen=True, slots=True)
class DoorPace:
    """How a door is asked at the moment: the requests and connections that it is given, the requests that are under
    way, and what an answer takes in seconds, smoothed.

    ``ended`` counts the requests that had an outcome so far, and ``failed`` those of them of which the door is to
    blame: it kept silent, could not be reached, or let nobody in.
    """

    door: str
    window: int
    connections: int
    in_flight: int
    latency: float
    ended: int = 0
    failed: int = 0

    @property
    def left(self) -> DoorPace:
        """What stays of it when the lister is lost: its counts."""
        return DoorPace(self.door, 0, 0, 0, 0.0, self.ended, self.failed)

    @property
    def words(self) -> str:
        """Say it in a few words."""
        connections = f"{self.connections} connection{'' if self.connections == 1 else 's'}"
        return f"{self.in_flight} of {self.window} in flight on {connections}, {self.latency * 1000:,.0f} ms an answer"


def by_door(paces: Iterable[DoorPace]) -> tuple[DoorPace, ...]:
    """Put together how several listers ask each door; the latency is that of the slowest."""
    together: dict[str, DoorPace] = {}
    for pace in paces:
        other = together.get(pace.door)
        together[pace.door] = pace if other is None else _sum(pace, other)
    return tuple(together[door] for door in sorted(together))


def _sum(one: DoorPace, other: DoorPace) -> DoorPace:
    return DoorPace(
        one.door,
        one.window + other.window,
        one.connections + other.connections,
        one.in_flight + other.in_flight,
        max(one.latency, other.latency),
        one.ended + other.ended,
        one.failed + other.failed,
    )


class Pace:
    """The pace for one door; see the module. Times are in seconds on any clock that never runs back.

    ``latency`` is what an answer takes, smoothed.
    """

    def __init__(self, limits: PaceLimits) -> None:
        self._limits = limits
        self.window = max(1, min(_FIRST_WINDOW, limits.window))
        self.connections = max(1, min(_FIRST_CONNECTIONS, limits.connections))
        self.latency = 0.0
        self._fastest = math.inf
        self._is_starting = True
        self._changed_at = -math.inf
        self._full_at = -math.inf
        self._heard_at = -math.inf
        self._answers = 0
        self._seconds = 0.0
        self._measured_from = 0.0
        self._rate = 0.0
        self._usual_latency = math.inf
        self._trial = _Trial.NOTHING
        self._before = self.window, self.connections
        self._rest = 0

    def asked(self, now: float, in_flight: int) -> None:
        """Take note of a request; ``in_flight`` is what is under way now, this one included."""
        if in_flight >= self.window:
            self._full_at = now

    def answered(self, asked_at: float, now: float) -> None:
        """Take note of an answer, to what was asked then."""
        latency = now - asked_at
        self._heard_at = now
        self.latency += (latency - self.latency) * (_SMOOTHING if self.latency else 1.0)
        self._fastest = min(latency, self._fastest * _AGING)
        if asked_at < self._changed_at:
            return
        was_full = self._full_at >= asked_at
        if self._is_starting:
            self._start(latency, was_full, now)
        elif was_full:
            self._measure(latency, now)
        else:
            self._answers = 0

    def timed_out(self, asked_at: float, now: float) -> None:
        """Take note of a request that nobody answered."""
        if asked_at >= self._changed_at and self.window > 1:
            self._is_starting = False
            self._forget(self.window // 2, now)

    def broke(self, asked_at: float, now: float) -> None:
        """Take note of a request whose connection could not be made, or broke.

        A door that answers others meanwhile has too much to do. One that does not is away, which says nothing of what
        it can take when it is back: then all begins anew.
        """
        if self._heard_at >= asked_at:
            self.timed_out(asked_at, now)
        elif asked_at >= self._changed_at:
            self._is_starting, self._fastest = True, math.inf
            self._forget(min(self.window, _FIRST_WINDOW), now)

    def _start(self, latency: float, was_full: bool, now: float) -> None:
        if latency <= self._fastest * _HELD + _SLACK:
            if was_full:
                self.window = min(self.window + 1, self._limits.window)
        elif self.connections < self._limits.connections:
            self._change(self.window, self.connections * 2, now)
        else:
            self._is_starting = False
            self._change(self.window, self.connections, now)

    def _measure(self, latency: float, now: float) -> None:
        if not self._answers:
            self._measured_from, self._seconds = now, 0.0
        self._answers += 1
        self._seconds += latency
        if self._answers > max(min(_LEAST_ANSWERS, 8 * self.window), self.window):
            rate = (self._answers - 1) / max(now - self._measured_from, 1e-6)
            self._judge(rate, self._seconds / self._answers, now)

    def _judge(self, rate: float, latency: float, now: float) -> None:
        """Draw a conclusion from the answers a second, and what each took, over a whole window."""
        if self._trial is _Trial.NOTHING:
            if latency > max(self._usual_latency * _MUCH_LONGER, self._usual_latency + _LONGER_BY):
                self._forget(max(self.window * 7 // 10, min(self.window, _LEAST_WINDOW)), now)
                return
            self._rate, self._usual_latency = rate, min(latency, self._usual_latency)
            if self._rest:
                self._rest -= 1
                self._change(self.window, self.connections, now)
            else:
                self._try(_Trial.HALF_THE_WINDOW, now)
        elif rate >= self._rate * self._least_gain:
            if self._trial < _Trial.LARGER_WINDOW:
                # Several times a little less would be much less.
                rate = max(rate, self._rate)
            self._rate, self._usual_latency = rate, latency
            self._try(self._trial, now)
        else:
            self._change(*self._before, now)
            self._try(_Trial(self._trial + 1), now)

    @property
    def _least_gain(self) -> float:
        """How many times the rate has to be what it was for a trial to be worth it."""
        if self._trial < _Trial.LARGER_WINDOW:
            return _SAME
        before, after = self._before, (self.window, self.connections)
        return 1.0 + _WORTH * max(new / old - 1.0 for old, new in zip(before, after, strict=True))

    def _try(self, trial: _Trial, now: float) -> None:
        """Try something, or what comes behind it where there is no room for that."""
        limits = self._limits
        for number in range(trial, _Trial.NOTHING):
            window, connections = self.window, self.connections
            match number:
                case _Trial.HALF_THE_WINDOW:
                    window = max(window // 2, min(window, _LEAST_WINDOW))
                case _Trial.HALF_THE_CONNECTIONS:
                    connections = max(connections // 2, 1)
                case _Trial.LARGER_WINDOW:
                    window = min(window + max(1, window // 4), limits.window)
                case _Trial.MORE_CONNECTIONS:
                    connections = min(connections * 2, limits.connections, max(window, connections))
            if (window, connections) != (self.window, self.connections):
                self._trial, self._before = _Trial(number), (self.window, self.connections)
                self._change(window, connections, now)
                return
        self._trial, self._rest = _Trial.NOTHING, _REST
        self._change(self.window, self.connections, now)

    def _forget(self, window: int, now: float) -> None:
        """Go on with another window, with which nothing was measured yet."""
        self._trial, self._rest, self._usual_latency = _Trial.NOTHING, 0, math.inf
        self._change(window, self.connections, now)

    def _change(self, window: int, connections: int, now: float) -> None:
        self.window = max(1, min(window, self._limits.window))
        self.connections = max(1, min(connections, self._limits.connections))
        self._changed_at = now
        self._answers = 0
