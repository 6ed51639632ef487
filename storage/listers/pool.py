"""A lister made of workers that do one thing at a time, as programs do.

Each worker answers one request after another on a thread of its own. A request's time counts from when its worker
takes it up: those that wait for a worker are not late. A worker that does not come back, as from a disk or a program
that hangs in the kernel, has its place given to a new one, as often as there are places; what it still says counts for
nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

from engine.listing import Failed, Outcome
from engine.states import Reason
from storage.listers.protocol import Request, Sink
from storage.listers.watchdog import GRACE, Watchdog
from storage.threads import named

_log = logging.getLogger(__name__)

_LEAVING = 2.0
"""Seconds in which the workers of a lister that is closed may end."""


class Worker(Protocol):
    """Answers one request at a time, on one thread."""

    @property
    def requests(self) -> int:
        """How many requests were sent to the store so far."""

    def answer(self, request: Request, deadline: float) -> Outcome:
        """Answer by ``deadline``, in seconds of ``time.monotonic``, whatever the store does."""

    def close(self) -> None:
        """End what is under way, from any thread; further requests fail."""

    def release(self) -> None:
        """Give back what it holds; called once, after `close`, on the worker's own thread."""


class PoolLister:
    """Spreads requests over up to ``size`` workers, which are made when there is work for them.

    One that has not ended a request ``grace`` seconds after its ``timeout`` is stuck; see `GRACE`.
    """

    def __init__(self, sink: Sink, timeout: float, size: int, hire: Callable[[], Worker], grace: float = GRACE) -> None:
        self._sink = sink
        self._timeout = timeout
        self._size = max(1, size)
        self._hire = hire
        self._workers: list[Worker] = []
        self._threads: list[threading.Thread] = []
        # Requests that nobody has taken up yet, and workers that are at one.
        self._pending = self._busy = 0
        # Which worker has a request in hand, by the number of that, and who is stuck with one.
        self._in_hand: dict[int, Worker] = {}
        self._stuck: set[Worker] = set()
        self._replaced = 0
        # What was asked by workers that went because there were too many of them.
        self._asked_by_gone = 0
        self._closed = False
        self._lock = threading.Lock()
        self._queue: SimpleQueue[Request | None] = SimpleQueue()
        self._watchdog = Watchdog(self._end, timeout, grace=grace)

    @property
    def requests(self) -> int:
        """How many requests were sent to the store so far."""
        with self._lock:
            return self._asked_by_gone + sum(worker.requests for worker in self._workers)

    def spread(self, connections: int) -> None:
        """Have so many workers from now on; those that are too many go when they have answered."""
        with self._lock:
            self._size = max(1, connections)
            while not self._closed and self._is_short:
                self._add_worker()

    def submit(self, request: Request) -> None:
        """Send one request; see `storage.listers.protocol.Lister`."""
        with self._lock:
            if self._closed:
                return
            self._pending += 1
            self._queue.put(request)
            if self._is_short:
                self._add_worker()

    @property
    def _is_short(self) -> bool:
        """Whether there is work for one more worker, and room."""
        is_idle = len(self._workers) - self._busy >= self._pending
        return not is_idle and len(self._workers) < self._size + self._replaced

    def _add_worker(self) -> None:
        worker = self._hire()
        self._workers.append(worker)
        # Daemons: nothing that a program does may keep ours from ending.
        thread = threading.Thread(target=self._work, args=(worker,), name=named("lister-worker"), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _end(self, number: int, outcome: Outcome) -> None:
        """Hand an outcome on; one that comes while its worker is still at it means that the worker is stuck."""
        with self._lock:
            worker = self._in_hand.pop(number, None)
            replaced = worker is not None and self._replace(worker)
        if worker is not None and replaced:
            # What it is stuck in may end by that; and it may not.
            threading.Thread(target=worker.close, name=named("lister-worker-close"), daemon=True).start()
        self._sink(number, outcome)

    def _replace(self, stuck: Worker) -> bool:
        """Give the place of a worker to a new one; gives whether there was one to be had."""
        if self._closed or self._replaced >= self._size:
            return False
        try:
            self._add_worker()
        except Exception as error:
            # The watchdog is about to end others, too.
            _log.warning("a worker that is stuck could not be replaced: %s: %s", type(error).__name__, error)
            return False
        self._replaced += 1
        self._stuck.add(stuck)
        return True

    def close(self) -> None:
        """Drop what is in flight and end the workers."""
        with self._lock:
            self._closed = True
            workers = list(self._workers)
            for _ in workers:
                self._queue.put(None)
        self._watchdog.close()
        for worker in workers:
            worker.close()
        # A program that was killed is gone in no time; not for ever, though: whoever closes may be in the sink.
        give_up = time.monotonic() + _LEAVING
        for thread in list(self._threads):
            if thread is not threading.current_thread():
                thread.join(max(0.0, give_up - time.monotonic()))

    def _work(self, worker: Worker) -> None:
        while (request := self._queue.get()) is not None:
            if not self._closed:
                # Not before: what is waiting is not late, and no worker keeps it waiting for longer than the timeout.
                with self._lock:
                    self._pending -= 1
                    self._busy += 1
                    self._in_hand[request.number] = worker
                flight = self._watchdog.start(request)
                outcome = self._answer(worker, request)
                with self._lock:
                    self._in_hand.pop(request.number, None)
                    is_late = worker in self._stuck
                    # Before anybody hears of it: whoever does asks for more, which this one can do.
                    self._busy -= not is_late
                if is_late:
                    break
                self._watchdog.end(flight, outcome)
                with self._lock:
                    if len(self._workers) > self._size + self._replaced and not self._closed:
                        self._dismiss(worker)
                        break
        worker.close()
        worker.release()

    def _dismiss(self, worker: Worker) -> None:
        """Let a worker go, on its own thread; the lock is held."""
        self._asked_by_gone += worker.requests
        self._workers.remove(worker)
        self._threads.remove(threading.current_thread())

    def _answer(self, worker: Worker, request: Request) -> Outcome:
        try:
            return worker.answer(request, time.monotonic() + self._timeout)
        except Exception as error:
            return Failed(Reason.SERVER, f"{type(error).__name__}: {error}")
