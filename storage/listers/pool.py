"""A lister made of workers that do one thing at a time, as programs do.

Each worker answers one request after another on a thread of its own. A request's time counts from when its worker
takes it up: those that wait for a worker are not late.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

from engine.listing import Failed, Outcome
from engine.states import Reason
from storage.listers.protocol import Request, Sink
from storage.listers.watchdog import Watchdog

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
    """Spreads requests over up to ``size`` workers, which are made when there is work for them."""

    def __init__(self, sink: Sink, timeout: float, size: int, hire: Callable[[], Worker]) -> None:
        self._timeout = timeout
        self._size = max(1, size)
        self._hire = hire
        self._workers: list[Worker] = []
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closed = False
        self._lock = threading.Lock()
        self._queue: SimpleQueue[Request | None] = SimpleQueue()
        self._watchdog = Watchdog(sink, timeout)

    @property
    def requests(self) -> int:
        """How many requests were sent to the store so far."""
        with self._lock:
            return sum(worker.requests for worker in self._workers)

    def submit(self, request: Request) -> None:
        """Send one request; see `storage.listers.protocol.Lister`."""
        with self._lock:
            if self._closed:
                return
            self._queue.put(request)
            if self._idle:
                self._idle -= 1
            elif len(self._workers) < self._size:
                worker = self._hire()
                self._workers.append(worker)
                # Daemons: nothing that a program does may keep ours from ending.
                thread = threading.Thread(target=self._work, args=(worker,), name="lister-worker", daemon=True)
                self._threads.append(thread)
                thread.start()

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
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, give_up - time.monotonic()))

    def _work(self, worker: Worker) -> None:
        while (request := self._queue.get()) is not None:
            if not self._closed:
                # Not before: what is waiting is not late, and no worker keeps it waiting for longer than the timeout.
                flight = self._watchdog.start(request)
                self._watchdog.end(flight, self._answer(worker, request))
            with self._lock:
                self._idle += 1
        worker.close()
        worker.release()

    def _answer(self, worker: Worker, request: Request) -> Outcome:
        try:
            return worker.answer(request, time.monotonic() + self._timeout)
        except Exception as error:
            return Failed(Reason.SERVER, f"{type(error).__name__}: {error}")
