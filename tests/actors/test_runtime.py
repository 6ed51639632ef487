from __future__ import annotations

import threading
import time

import pytest

from actors.messages import Killed
from actors.runtime import ActorLost, ActorRef, Runtime


class Counter:
    def __init__(self, start: int) -> None:
        self._count = start

    def add(self, number: int) -> int:
        self._count += number
        return self._count

    def fail(self) -> None:
        raise Killed("because")

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Caller:
    def __init__(self, other: ActorRef) -> None:
        self._other = other

    def add_there(self, number: int) -> int:
        # A handler must not wait for another actor; this one only shows that a reference travels.
        return int(self._other.ask("add", number).result(60))


class Broken:
    def __init__(self) -> None:
        raise ValueError("cannot be made")

    def anything(self) -> None:
        """Is never called."""


def test_an_actor_handles_messages_in_the_order_in_which_they_were_asked(runtime: Runtime) -> None:
    counter = runtime.spawn("counter", Counter, 10)
    answers = [counter.ask("add", number) for number in range(5)]
    assert [answer.result(60) for answer in answers] == [10, 11, 13, 16, 20]


def test_an_error_reaches_whoever_asked_as_it_was_raised(runtime: Runtime) -> None:
    counter = runtime.spawn("failing", Counter, 0)
    with pytest.raises(Killed, match="because"):
        counter.ask("fail").result(60)
    assert counter.ask("add", 1).result(60) == 1


def test_a_reference_can_be_given_to_another_actor(runtime: Runtime) -> None:
    counter = runtime.spawn("called", Counter, 1)
    caller = runtime.spawn("caller", Caller, counter)
    assert caller.ask("add_there", 2).result(60) == 3


def test_an_answer_that_does_not_come_in_time_is_a_timeout(runtime: Runtime) -> None:
    counter = runtime.spawn("slow", Counter, 0)
    counter.ask("add", 0).result(60)
    answer = counter.ask("sleep", 1.0)
    assert not answer.done()
    with pytest.raises(TimeoutError):
        answer.result(0.01)
    answer.result(60)


def test_somebody_can_be_told_when_the_answer_is_there(runtime: Runtime) -> None:
    counter = runtime.spawn("telling", Counter, 0)
    told = threading.Event()
    answer = counter.ask("add", 7)
    answer.on_done(told.set)
    assert told.wait(60)
    assert answer.result(0) == 7


def test_an_actor_that_was_killed_is_lost(runtime: Runtime) -> None:
    counter = runtime.spawn("doomed", Counter, 0)
    assert counter.ask("add", 1).result(60) == 1
    counter.kill()

    def ask_for_long() -> None:
        # The end may take a moment, in which messages are still answered.
        for _ in range(1000):
            counter.ask("add", 1).result(60)
            time.sleep(0.01)

    with pytest.raises(ActorLost):
        ask_for_long()


def test_an_actor_that_cannot_be_made_raises_to_whoever_asks(runtime: Runtime) -> None:
    broken = runtime.spawn("broken", Broken)
    with pytest.raises((ValueError, ActorLost), match=r"cannot be made|creation task"):
        broken.ask("anything").result(60)
