"""The pace, held against simulated doors: a round trip, a time for each request, so many of them at once."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

import pytest

from engine.pace import DoorPace, Pace, PaceLimits, by_door

LIMITS = PaceLimits(512, 64)


@dataclass
class SimulatedDoor:
    """Serves each connection one request after another, and ``at_once`` connections at a time; times in seconds.

    ``service`` gives how long a request takes that is begun then. ``keeps_silent`` tells, for the moment and the
    requests that are at the door, whether a request is left without an answer, which ends after ``timeout``.
    """

    round_trip: float
    service: Callable[[float], float]
    at_once: int = 1 << 30
    keeps_silent: Callable[[float, int], bool] = lambda _now, _waiting: False
    timeout: float = 5.0
    now: float = 0.0
    windows: list[int] = field(default_factory=list)

    def list(self, pace: Pace, requests: int) -> float:
        """Ask so many times at that pace; give the answers a second. `windows` has the window at each answer."""
        self.now = 0.0
        self.windows = []
        events: list[tuple[float, int, Callable[[], None]]] = []
        numbers = count()
        queues: dict[int, deque[float]] = {}
        busy: set[int] = set()
        ready: deque[int] = deque()
        loads: dict[int, int] = {}
        sent = under_way = 0

        def after(seconds: float, event: Callable[[], None]) -> None:
            heappush(events, (self.now + seconds, next(numbers), event))

        def submit() -> None:
            nonlocal sent, under_way
            while under_way < pace.window and sent < requests:
                connection = min(range(pace.connections), key=lambda number: loads.get(number, 0))
                loads[connection] = loads.get(connection, 0) + 1
                sent, under_way, asked_at = sent + 1, under_way + 1, self.now
                pace.asked(self.now, under_way)
                after(self.round_trip / 2, lambda c=connection, a=asked_at: arrive(c, a))

        def arrive(connection: int, asked_at: float) -> None:
            if self.keeps_silent(self.now, under_way):
                after(self.timeout, lambda: answer(connection, asked_at, False))
                return
            queues.setdefault(connection, deque()).append(asked_at)
            if connection not in busy and connection not in ready:
                ready.append(connection)
            serve()

        def serve() -> None:
            while ready and len(busy) < self.at_once:
                connection = ready.popleft()
                asked_at = queues[connection].popleft()
                busy.add(connection)
                after(self.service(self.now), lambda c=connection, a=asked_at: finish(c, a))

        def finish(connection: int, asked_at: float) -> None:
            busy.discard(connection)
            if queues[connection]:
                ready.append(connection)
            after(self.round_trip / 2, lambda: answer(connection, asked_at, True))
            serve()

        def answer(connection: int, asked_at: float, came: bool) -> None:
            nonlocal under_way
            loads[connection] -= 1
            if came:
                pace.answered(asked_at, self.now)
            else:
                pace.timed_out(asked_at, self.now)
            under_way -= 1
            self.windows.append(pace.window)
            assert 1 <= pace.window <= LIMITS.window
            assert 1 <= pace.connections <= LIMITS.connections
            submit()

        submit()
        while events:
            self.now, _, event = heappop(events)
            event()
        assert len(self.windows) == requests
        return requests / self.now


def constantly(seconds: float) -> Callable[[float], float]:
    return lambda _now: seconds


def test_through_a_long_round_trip_the_window_grows_to_its_limit() -> None:
    door, pace = SimulatedDoor(0.05, constantly(0.0001)), Pace(LIMITS)
    # With the window of the beginning there would be 1,280 answers a second.
    assert door.list(pace, 20_000) > 9_000
    assert pace.window == 512
    # What holds it back is the way, not the door.
    assert pace.connections == 4
    assert door.windows.index(512) < 1000


def test_a_door_that_serves_a_connection_serially_gets_more_of_them() -> None:
    door, pace = SimulatedDoor(0.0005, constantly(0.05), at_once=64), Pace(LIMITS)
    # 1,280 a second are what it can do, 80 with the connections of the beginning.
    assert door.list(pace, 20_000) > 0.85 * 1280
    assert pace.connections == 64


def test_a_door_that_has_enough_to_do_is_not_asked_more_than_is_of_use() -> None:
    door, pace = SimulatedDoor(0.0005, constantly(0.01), at_once=8), Pace(LIMITS)
    assert door.list(pace, 20_000) > 0.9 * 800
    assert max(door.windows[10_000:]) <= 64


@pytest.mark.parametrize("seed", range(5))
def test_work_of_all_sizes_is_no_reason_to_shrink(seed: int) -> None:
    chance = random.Random(seed)
    door, pace = SimulatedDoor(0.01, lambda _now: chance.choice([0.001] * 9 + [0.3]), at_once=16), Pace(LIMITS)
    # The mean is 0.031 s.
    assert door.list(pace, 10_000) > 0.85 * 16 / 0.031


def test_timeouts_halve_the_window_once_for_all_that_was_asked_together() -> None:
    pace = Pace(LIMITS)
    for number in range(64):
        pace.timed_out(0.0, 5.0 + number)
    assert pace.window == 32
    pace.timed_out(6.0, 11.0)
    assert pace.window == 16


def test_a_door_that_drops_what_is_too_much_is_asked_less_and_answers_all_the_same() -> None:
    door = SimulatedDoor(0.01, constantly(0.001), keeps_silent=lambda _now, waiting: waiting > 100)
    pace = Pace(LIMITS)
    door.list(pace, 20_000)
    assert max(door.windows[5_000:]) < 200
    assert pace.window > 8


def test_after_an_outage_the_pace_comes_back() -> None:
    pace = Pace(LIMITS)
    door = SimulatedDoor(0.05, constantly(0.0001), keeps_silent=lambda now, _waiting: 0.2 < now < 60.0)
    door.list(pace, 30_000)
    assert min(door.windows) == 1
    assert pace.window > 200


def test_a_door_that_was_away_begins_anew_and_not_from_nothing() -> None:
    pace = Pace(LIMITS)
    for second in range(1, 100):
        pace.broke(second - 200.0, second - 199.5)
    assert (pace.window, pace.connections) == (64, 4)
    door = SimulatedDoor(0.05, constantly(0.0001))
    assert door.list(pace, 5_000) > 4_000


def test_a_door_that_breaks_connections_and_answers_has_too_much_to_do() -> None:
    pace = Pace(LIMITS)
    pace.answered(0.0, 2.0)
    pace.broke(1.0, 2.5)
    assert pace.window == 32


@pytest.mark.parametrize("seed", range(3))
def test_a_few_timeouts_do_not_keep_a_window_small(seed: int) -> None:
    chance = random.Random(seed)
    pace = Pace(LIMITS)
    for second in range(10):
        pace.timed_out(10.0 * second - 100, 10.0 * second - 95)
    assert pace.window == 1
    door = SimulatedDoor(0.05, constantly(0.001), keeps_silent=lambda _now, _waiting: chance.random() < 0.002)
    door.list(pace, 20_000)
    assert max(door.windows) > 32


def test_a_door_that_becomes_slow_is_asked_less() -> None:
    door, pace = SimulatedDoor(0.05, lambda now: 0.0001 if now < 2.0 else 0.05, at_once=16), Pace(PaceLimits(512, 16))
    door.list(pace, 30_000)
    assert max(door.windows[:10_000]) == 512
    # 16 of them are as fast as it can be then.
    assert door.windows[-1] < 128


@pytest.mark.parametrize(("window", "connections"), [(1, 1), (3, 2), (1, 16)])
def test_the_limits_are_kept_however_small(window: int, connections: int) -> None:
    limits = PaceLimits(window, connections)
    pace = Pace(limits)
    chance = random.Random(window)
    SimulatedDoor(0.01, lambda _now: chance.expovariate(50), at_once=2).list(pace, 500)
    assert pace.window <= window
    assert pace.connections <= connections


def test_answers_while_there_was_not_enough_to_ask_say_nothing() -> None:
    pace = Pace(LIMITS)
    for number in range(1000):
        pace.asked(number, 1)
        pace.answered(number, number + 0.01)
    assert (pace.window, pace.connections) == (64, 4)
    assert pace.latency == pytest.approx(0.01)


def test_the_paces_of_several_listers_are_put_together_by_door() -> None:
    paces = [DoorPace("b", 1, 1, 1, 0.1), DoorPace("a", 10, 2, 5, 0.1), DoorPace("a", 20, 3, 6, 0.2)]
    together = by_door(paces)
    assert together == (DoorPace("a", 30, 5, 11, 0.2), DoorPace("b", 1, 1, 1, 0.1))
    assert together[0].words == "11 of 30 in flight on 5 connections, 200 ms an answer"
    assert together[1].words == "1 of 1 in flight on 1 connection, 100 ms an answer"


def test_of_a_lister_that_is_lost_the_counts_of_its_doors_stay() -> None:
    lost = DoorPace("a", 10, 2, 5, 0.1, ended=7, failed=3)
    (together,) = by_door([lost.left, DoorPace("a", 20, 3, 6, 0.2, ended=2, failed=1)])
    assert together == DoorPace("a", 20, 3, 6, 0.2, ended=9, failed=4)
