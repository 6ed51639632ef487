from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from engine.listing import Failed, Listed
from engine.pace import DoorPace, PaceLimits
from engine.states import Reason
from storage.listers.paced import PacedLister
from storage.listers.protocol import Ask, Request, Sink, StoreSpec, paces_of, window_of


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """A lister below, whose answers the test gives."""

    def __init__(self, sink: Sink, connections: int) -> None:
        self.answer = sink
        self.connections = [connections]
        self.asked: list[int] = []

    @property
    def requests(self) -> int:
        return len(self.asked)

    def submit(self, request: Request) -> None:
        self.asked.append(request.number)

    def spread(self, connections: int) -> None:
        self.connections.append(connections)

    def close(self) -> None:
        self.connections.append(0)


class Table:
    """A paced lister over a desk, with what it gives."""

    def __init__(self, limits: PaceLimits) -> None:
        self.clock = Clock()
        self.given: list[int] = []
        self.desk: Desk
        opener: Callable[[Sink, int], Desk] = self._open
        self.lister = PacedLister("door:1", opener, lambda number, _: self.given.append(number), limits, self.clock)

    def _open(self, sink: Sink, connections: int) -> Desk:
        self.desk = Desk(sink, connections)
        return self.desk

    def ask(self, *numbers: int) -> None:
        for number in numbers:
            self.lister.submit(Request(number, Ask.LIST, b"/a"))


def test_whatever_comes_is_passed_on_and_what_it_took_is_told() -> None:
    table = Table(PaceLimits(8, 2))
    table.ask(1, 2, 3)
    table.clock.now = 0.25
    table.desk.answer(2, Listed())
    assert (table.given, table.lister.requests) == ([2], 3)
    assert paces_of(table.lister) == (DoorPace("door:1", 8, 2, 2, 0.25, ended=1),)
    table.lister.close()
    assert table.desk.connections == [2, 0]


def test_a_door_that_does_not_answer_is_asked_less() -> None:
    table = Table(PaceLimits(8, 2))
    table.ask(1, 2)
    table.clock.now = 5.0
    table.desk.answer(1, Failed(Reason.TIMEOUT))
    assert window_of(table.lister) == 4
    # It was asked together with the first.
    table.desk.answer(2, Failed(Reason.TIMEOUT))
    assert window_of(table.lister) == 4


def test_a_door_that_is_away_is_not_taken_for_one_that_has_too_much_to_do() -> None:
    table = Table(PaceLimits(8, 2))
    for number in range(20):
        table.ask(number)
        table.clock.now += 5.0
        table.desk.answer(number, Failed(Reason.CONNECTION))
    assert window_of(table.lister) == 8


def test_what_need_not_come_from_the_door_says_nothing() -> None:
    table = Table(PaceLimits(8, 2))
    table.ask(*range(200))
    table.clock.now = 10.0
    for number in range(100):
        table.desk.answer(number, Failed(Reason.BAD_NAME))
        table.desk.answer(100 + number, Failed(Reason.AUTHENTICATION))
    assert paces_of(table.lister) == (DoorPace("door:1", 8, 2, 0, 0.0, ended=200, failed=100),)


def test_what_a_door_is_to_blame_for_is_counted() -> None:
    table = Table(PaceLimits(8, 2))
    reasons = [Reason.TIMEOUT, Reason.CONNECTION, Reason.AUTHENTICATION, Reason.PERMISSION, Reason.NOT_FOUND]
    table.ask(*range(6))
    for number, reason in enumerate(reasons):
        table.desk.answer(number, Failed(reason))
    table.desk.answer(5, Listed())
    (pace,) = paces_of(table.lister)
    assert (pace.ended, pace.failed) == (6, 3)


def test_more_connections_are_opened_where_answers_come_one_after_another() -> None:
    table = Table(PaceLimits(64, 16))
    table.ask(*range(64))
    for number in range(64):
        table.clock.now += 0.05
        table.desk.answer(number, Listed())
    assert table.desk.connections[:2] == [4, 8]


def test_connections_that_cannot_be_had_keep_no_outcome_back() -> None:
    table = Table(PaceLimits(64, 16))
    table.ask(*range(64))

    def spread(_connections: int) -> None:
        raise OSError("too many open files")

    table.desk.spread = spread  # type: ignore[method-assign]
    for number in range(64):
        table.clock.now += 0.05
        with suppress(OSError):
            table.desk.answer(number, Listed())
    assert table.given == list(range(64))


def test_an_answer_that_nobody_asked_for_is_passed_on_all_the_same() -> None:
    table = Table(PaceLimits(8, 2))
    table.desk.answer(7, Listed())
    assert table.given == [7]


def test_this_machine_is_not_handed_more_than_it_works_on() -> None:
    assert StoreSpec(("file://",)).window(512) == 64
    assert StoreSpec(("file://",)).window(7) == 7
    assert StoreSpec(("root://door",)).window(512) == 512
