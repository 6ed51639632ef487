from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from engine.listing import Absent, Failed, Outcome
from engine.states import Reason
from storage.listers.pool import PoolLister
from storage.listers.protocol import Ask, Request
from tests.storage.listers.asking import asking


class Worker:
    """Answers as it is told, and counts."""

    def __init__(self, answer: Callable[[Request], Outcome]) -> None:
        self.requests = 0
        self.closed = threading.Event()
        self.released = threading.Event()
        self._answer = answer

    def answer(self, request: Request, deadline: float) -> Outcome:
        assert deadline > time.monotonic()
        self.requests += 1
        return self._answer(request)

    def close(self) -> None:
        self.closed.set()

    def release(self) -> None:
        self.released.set()


class Crew:
    def __init__(self, answer: Callable[[Request], Outcome]) -> None:
        self.workers: list[Worker] = []
        self._answer = answer

    def hire(self) -> Worker:
        self.workers.append(Worker(self._answer))
        return self.workers[-1]


def test_no_more_workers_are_hired_than_there_is_work_for() -> None:
    crew = Crew(lambda request: Absent())
    with asking(partial(PoolLister, timeout=20, size=3, hire=crew.hire)) as asker:
        for _ in range(5):
            assert asker.stat(b"/a") == Absent()
        assert len(crew.workers) == 1
        assert asker.lister.requests == 5


def test_work_is_done_side_by_side_up_to_the_size() -> None:
    together = threading.Barrier(3)

    def answer(request: Request) -> Outcome:
        together.wait(20)
        return Absent()

    crew = Crew(answer)
    with asking(partial(PoolLister, timeout=20, size=3, hire=crew.hire)) as asker:
        assert asker.wait([asker.send(Ask.STAT, b"/a") for _ in range(9)]) == [Absent()] * 9
    assert len(crew.workers) == 3
    assert all(worker.closed.is_set() and worker.released.wait(20) for worker in crew.workers)


def test_more_workers_take_up_what_waits() -> None:
    together = threading.Barrier(3)

    def answer(request: Request) -> Outcome:
        together.wait(20)
        return Absent()

    crew = Crew(answer)
    with asking(partial(PoolLister, timeout=20, size=1, hire=crew.hire)) as asker:
        numbers = [asker.send(Ask.STAT, b"/a") for _ in range(3)]
        assert len(crew.workers) == 1
        asker.lister.spread(3)  # type: ignore[attr-defined]
        assert asker.wait(numbers) == [Absent()] * 3
    assert len(crew.workers) == 3


def test_workers_that_are_too_many_go_when_they_have_answered() -> None:
    together = threading.Barrier(3)

    def answer(request: Request) -> Outcome:
        if request.path == b"/together":
            together.wait(20)
        return Absent()

    crew = Crew(answer)
    with asking(partial(PoolLister, timeout=20, size=3, hire=crew.hire)) as asker:
        numbers = [asker.send(Ask.STAT, b"/together") for _ in range(3)]
        asker.wait(numbers)
        asker.lister.spread(1)  # type: ignore[attr-defined]
        while sum(worker.released.is_set() for worker in crew.workers) < 2:
            asker.stat(b"/a")
        assert asker.stat(b"/a") == Absent()
        # What those asked that went is not forgotten.
        assert asker.lister.requests == len(asker.outcomes)
        asker.lister.spread(2)  # type: ignore[attr-defined]
        asker.wait([asker.send(Ask.STAT, b"/a") for _ in range(10)])
    assert 3 <= len(crew.workers) <= 4


def test_what_waits_for_a_worker_is_not_late() -> None:
    def answer(request: Request) -> Outcome:
        time.sleep(0.3)
        return Absent()

    with asking(partial(PoolLister, timeout=0.2, size=1, hire=Crew(answer).hire)) as asker:
        assert asker.wait([asker.send(Ask.STAT, b"/a") for _ in range(20)]) == [Absent()] * 20


def test_a_worker_that_breaks_is_a_failure_and_goes_on() -> None:
    answers = iter([RuntimeError("broken"), Absent()])

    def answer(request: Request) -> Outcome:
        given = next(answers)
        if isinstance(given, Exception):
            raise given
        return given

    with asking(partial(PoolLister, timeout=20, size=1, hire=Crew(answer).hire)) as asker:
        assert asker.stat(b"/a") == Failed(Reason.SERVER, "RuntimeError: broken")
        assert asker.stat(b"/a") == Absent()


@pytest.mark.parametrize("size", [0, -1])
def test_there_is_always_a_worker(size: int) -> None:
    with asking(partial(PoolLister, timeout=20, size=size, hire=Crew(lambda request: Absent()).hire)) as asker:
        assert asker.stat(b"/a") == Absent()


class Hung:
    """Lets workers hang until it is over, as a process does that waits for a disk that is gone."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.entered = threading.Semaphore(0)

    def __call__(self, request: Request) -> Outcome:
        if request.path.startswith(b"/hang"):
            self.entered.release()
            assert self.over.wait(60)
            return Failed(Reason.SERVER, "late")
        return Absent()


def hanging_pool(crew: Crew, size: int) -> Callable[..., PoolLister]:
    return partial(PoolLister, timeout=0.2, size=size, hire=crew.hire, grace=0.2)


def test_a_worker_that_hangs_gives_its_place_to_another() -> None:
    hung = Hung()
    crew = Crew(hung)
    with asking(hanging_pool(crew, 1)) as asker:
        outcome = asker.stat(b"/hang")
        assert isinstance(outcome, Failed)
        assert outcome.reason == Reason.TIMEOUT
        assert [asker.stat(b"/a"), asker.stat(b"/b")] == [Absent()] * 2
        assert len(crew.workers) == 2
        assert crew.workers[0].closed.wait(20)
        # It comes back, and what it says counts for nothing; nor is it given anything more to do.
        hung.over.set()
        assert crew.workers[0].released.wait(20)
        assert [asker.stat(b"/c") for _ in range(3)] == [Absent()] * 3
        assert crew.workers[0].requests == 1


def test_no_more_workers_take_the_places_of_others_than_there_are_places() -> None:
    hung = Hung()
    crew = Crew(hung)
    with asking(hanging_pool(crew, 1)) as asker:
        for number in range(2):
            assert isinstance(asker.stat(b"/hang%d" % number), Failed)
        assert len(crew.workers) == 2
        # The last one that hung goes on when it comes back.
        hung.over.set()
        assert asker.stat(b"/a") == Absent()
        assert len(crew.workers) == 2
