from __future__ import annotations

import sys
from functools import partial

import pytest

from engine.listing import Absent, Failed, Outcome, Present
from engine.states import Reason
from storage.listers.doors import LONGEST_REST, REST, Door, SpreadLister
from storage.listers.protocol import IN_FLIGHT, Ask, Lister, Request, Sink, window_of


class Counting:
    """A lister that answers at once, and the same to everything."""

    def __init__(self, outcomes: list[Outcome], sink: Sink) -> None:
        self.requests = 0
        self.closed = False
        self._outcomes = outcomes
        self._sink = sink

    def submit(self, request: Request) -> None:
        self.requests += 1
        self._sink(request.number, self._outcomes[0] if len(self._outcomes) == 1 else self._outcomes.pop(0))

    def close(self) -> None:
        self.closed = True


def spread(
    *doors: list[Outcome], twice: bool = False
) -> tuple[SpreadLister, list[Counting], list[tuple[int, Outcome]]]:
    listers: list[Counting] = []
    calls: list[tuple[int, Outcome]] = []

    def opener(outcomes: list[Outcome], sink: Sink) -> Lister:
        listers.append(Counting(outcomes, sink))
        return listers[-1]

    def sink(number: int, outcome: Outcome) -> None:
        calls.append((number, outcome))

    return SpreadLister([partial(opener, outcomes) for outcomes in doors], sink, twice=twice), listers, calls


def ask(lister: Lister, count: int) -> None:
    for number in range(count):
        lister.submit(Request(number, Ask.STAT, b"/store/file"))


UP: list[Outcome] = [Absent()]
DOWN = Failed(Reason.CONNECTION, "refused")
REFUSED = Failed(Reason.AUTHENTICATION, "no such key")
SLOW = Failed(Reason.TIMEOUT, "expired")


@pytest.mark.parametrize(
    ("url", "door"),
    [
        ("root://host:1094", Door("root", "", "host:1094", b"")),
        ("root://host//store/", Door("root", "", "host", b"/store")),
        ("root://host/store", Door("root", "", "host", b"/store")),
        ("roots://me@[::1]:1094//", Door("roots", "me", "[::1]:1094", b"")),
        ("ROOT://me:secret@host", Door("root", "me", "host", b"")),
        ("file:///data//a%20b", Door("file", "", "", b"/data/a%20b")),
        ("file://", Door("file", "", "", b"")),
    ],
)
def test_doors_are_taken_apart(url: str, door: Door) -> None:
    assert Door.parse(url) == door


@pytest.mark.parametrize("url", ["host:1094", "://host", "root://host//store?authz=x", "root://host//a/../b"])
def test_what_is_no_door_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"door|path"):
        Door.parse(url)


def test_the_prefix_stands_before_each_path() -> None:
    assert Door.parse("root://host//data").locate(b"/store/a") == b"/data/store/a"
    assert Door.parse("root://host//data").locate(b"/") == b"/data"
    assert Door.parse("root://host").locate(b"/") == b"/"


def test_doors_take_turns() -> None:
    lister, doors, calls = spread(UP, UP, UP)
    ask(lister, 9)

    assert [door.requests for door in doors] == [3, 3, 3]
    assert lister.requests == 9
    assert [number for number, _ in calls] == list(range(9))


def test_a_door_that_cannot_be_reached_rests() -> None:
    lister, doors, calls = spread([DOWN], UP, UP)
    ask(lister, 9)

    assert [door.requests for door in doors] == [1, 4, 4]
    assert [outcome for _, outcome in calls].count(DOWN) == 1


def test_a_door_that_times_out_again_and_again_rests() -> None:
    lister, doors, _ = spread([SLOW], UP)
    ask(lister, 20)

    assert [door.requests for door in doors] == [3, 17]


def test_one_timeout_now_and_then_is_no_reason_to_rest() -> None:
    lister, doors, _ = spread([SLOW, SLOW, Absent(), SLOW, SLOW, Absent()], UP)
    ask(lister, 12)

    assert [door.requests for door in doors] == [6, 6]


def test_when_all_doors_rest_all_are_asked() -> None:
    lister, doors, calls = spread([DOWN], [DOWN])
    ask(lister, 8)

    assert [door.requests for door in doors] == [4, 4]
    assert len(calls) == 8


def test_a_door_that_lets_nobody_in_leaves_the_work_to_the_others() -> None:
    lister, doors, calls = spread([REFUSED], UP, UP)
    ask(lister, 9)

    assert [door.requests for door in doors] == [1, 4, 4]
    failed = [outcome for _, outcome in calls if isinstance(outcome, Failed)]
    assert failed == [Failed(Reason.CONNECTION, "no such key")]
    assert failed[0].reason.retryable


def test_when_no_door_lets_anybody_in_that_is_the_reason() -> None:
    lister, _, calls = spread([REFUSED], [REFUSED])
    ask(lister, 4)

    assert [outcome for _, outcome in calls][1:] == [REFUSED] * 3


class Waiting:
    """A lister that answers when it is told to."""

    def __init__(self, sink: Sink) -> None:
        self.requests = 0
        self.window = sys.maxsize
        self.in_flight: list[Request] = []
        self._sink = sink

    def submit(self, request: Request) -> None:
        self.requests += 1
        self.in_flight.append(request)

    def answer(self, outcome: Outcome) -> None:
        self._sink(self.in_flight.pop(0).number, outcome)

    def close(self) -> None:
        self.in_flight.clear()


class Hands:
    """Doors whose answers, and the time, are in the hands of a test."""

    def __init__(self, count: int) -> None:
        self.now = 0.0
        self.doors: list[Waiting] = []
        self._number = 0

        def open_door(sink: Sink) -> Lister:
            self.doors.append(Waiting(sink))
            return self.doors[-1]

        self.lister = SpreadLister([open_door] * count, lambda number, outcome: None, lambda: self.now)

    def ask(self, path: bytes = b"/store") -> Waiting:
        """Send a request; gives the door that got it."""
        self._number += 1
        before = [door.requests for door in self.doors]
        self.lister.submit(Request(self._number, Ask.LIST, path))
        return next(door for door, count in zip(self.doors, before, strict=True) if door.requests > count)


def test_a_door_that_says_nothing_keeps_no_more_than_its_share() -> None:
    hands = Hands(3)
    silent, *quick = hands.doors
    for number in range(90):
        door = hands.ask(b"/store/%d" % number)
        if door in quick and len(door.in_flight) > 1:
            door.answer(Absent())

    assert silent.requests <= 2
    assert sum(door.requests for door in quick) >= 88


def test_what_failed_at_one_door_goes_to_another() -> None:
    hands = Hands(2)
    first = hands.ask(b"/store/a")
    hands.ask(b"/store/b").answer(Absent())
    first.answer(SLOW)

    # By turns, and by what is in flight, it would be the first again.
    assert hands.ask(b"/store/a") is not first


def test_a_door_that_comes_out_of_its_rest_is_tried_with_one_request() -> None:
    hands = Hands(2)
    bad, good = hands.doors
    hands.ask().answer(DOWN)
    hands.now += REST + 1
    asked = [hands.ask(b"/store/%d" % number) for number in range(10)]

    assert asked.count(bad) == 1
    bad.answer(Absent())
    assert hands.ask(b"/store/x") is bad
    assert hands.ask(b"/store/x") is bad
    assert len(good.in_flight) == 9


def test_a_door_that_may_be_as_dead_as_before_has_room_for_one_request() -> None:
    hands = Hands(2)
    bad, good = hands.doors
    bad.window, good.window = 100, 10
    assert window_of(hands.lister) == 110
    hands.ask().answer(DOWN)
    assert window_of(hands.lister) == 10
    hands.now += REST + 1
    assert window_of(hands.lister) == 11
    assert {hands.ask(b"/store/a"), hands.ask(b"/store/b")} == {good, bad}
    assert window_of(hands.lister) == 10
    bad.answer(Absent())
    assert window_of(hands.lister) == 110


def test_a_door_without_a_limit_is_asked_no_more_than_another_with_a_large_one() -> None:
    hands = Hands(2)
    hands.doors[0].window = IN_FLIGHT
    asked = [hands.ask(b"/store/%d" % number) for number in range(100)]
    assert asked.count(hands.doors[0]) == 50


def test_a_door_that_stays_down_is_tried_less_and_less_often() -> None:
    hands = Hands(2)
    bad, good = hands.doors
    hands.ask().answer(DOWN)
    for _ in range(3600):
        hands.now += 1
        hands.ask(b"/store/%d" % hands.now).answer(DOWN if bad.in_flight else Absent())

    assert 3600 / LONGEST_REST <= bad.requests <= 3600 / LONGEST_REST + 6
    assert not good.in_flight


def test_the_first_door_that_is_back_does_the_work() -> None:
    hands = Hands(3)
    for number in range(3):
        hands.ask(b"/store/%d" % number).answer(DOWN)
    back = hands.ask(b"/store/back")
    back.answer(Absent())

    assert [hands.ask(b"/store/%d" % number) for number in range(10, 20)] == [back] * 10


def test_what_one_door_denies_is_asked_of_another() -> None:
    there = Present(1, 1, False)
    lister, doors, calls = spread([there], UP, UP, twice=True)
    ask(lister, 6)

    assert sorted(number for number, _ in calls) == list(range(6))
    assert all(door.requests for door in doors)
    assert lister.requests == 10
    assert [outcome for _, outcome in calls].count(there) >= 2


def test_what_no_other_door_can_be_asked_for_is_believed() -> None:
    lister, doors, calls = spread(UP, [DOWN], twice=True)
    ask(lister, 6)

    assert [door.requests for door in doors] == [6, 1]
    assert [outcome for _, outcome in calls] == [Absent()] * 6


def test_closing_closes_all_doors() -> None:
    lister, doors, _ = spread(UP, UP)
    lister.close()

    assert all(door.closed for door in doors)
