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
            while asker.lister._idle == 0:  # type: ignore[attr-defined]
                time.sleep(0.001)
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
