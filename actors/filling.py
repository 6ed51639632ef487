"""Threads that list directories with somebody else's code, and the one that puts what they say into a tree.

The threads talk as the front end's reference says: a thread takes a directory from those that wait, puts what it was
told into the output queue, and says ``("O", time)``; when nothing waits it says ``("A", 0)`` and waits for an order,
``"Work"`` or ``"Close"``. Whoever is told to stop does so without waiting for code that may never come back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from engine.tree import DirectoryInfo
from engine.tree.answer import Answer
from engine.tree.growing import GrowingTree

_log = logging.getLogger(__name__)

_TreeT = TypeVar("_TreeT", bound=DirectoryInfo)

DONE, IDLE = "O", "A"
"""What a thread says: that it has put out one directory, and that nothing waits."""

WORK, CLOSE = "Work", "Close"
"""What a thread is told: to look again, and to end."""

_LOOK_EVERY = 0.25
"""Seconds between two looks at whether to stop, and at least between two at the tree."""

_REST = 9
"""So many times as long as the last look at a growing tree took, none is taken."""

_FAREWELL = 1.0
"""Seconds that threads get to end; one that hangs in its code is left behind."""


class Orders:
    """A line on which a thread receives its orders; what a pipe's end is between processes."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[str | None] = SimpleQueue()

    def send(self, order: str) -> None:
        """Give an order."""
        self._queue.put(order)

    def recv(self) -> str:
        """Wait for an order.

        Raises:
            EOFError: the line was closed.
        """
        order = self._queue.get()
        if order is None:
            raise EOFError
        return order

    def close(self) -> None:
        """End the line; whoever waits on it is told."""
        self._queue.put(None)


class Reports:
    """A line on which a thread reports, to an inbox that all threads share."""

    def __init__(self, number: int, inbox: SimpleQueue[tuple[int, str]]) -> None:
        self._number = number
        self._inbox = inbox

    def put(self, message: tuple[str, float]) -> None:
        """Report."""
        self._inbox.put((self._number, message[0]))


class Outputs(Protocol):
    """A queue of (path below the start, directories, files, problem) tuples."""

    def get(self) -> Any:
        """Take the oldest."""


class Filling:
    """The threads of one listing, by their numbers from 0, and what they say.

    ``pending`` holds what waits to be listed; it is only looked at. ``outputs`` gets one item before each `DONE`.
    """

    def __init__(self, count: int, pending: Sequence[Any], outputs: Outputs) -> None:
        self._inbox: SimpleQueue[tuple[int, str]] = SimpleQueue()
        self._pending = pending
        self._outputs = outputs
        self._stopped = threading.Event()
        self.orders = [Orders() for _ in range(count)]
        self.reports = [Reports(number, self._inbox) for number in range(count)]

    def goes_on(self) -> bool:
        """Whether a thread should take another directory."""
        return not self._stopped.is_set()

    def run(
        self,
        threads: Sequence[threading.Thread],
        growing: GrowingTree[_TreeT],
        heed: Callable[[], None],
        look: Callable[[_TreeT], None] | None,
    ) -> None:
        """Start the threads and grow the tree until everything that was named is listed or given up.

        ``heed`` is called several times a second and may raise to stop; ``look`` is given the growing tree now and
        then, and at last the whole one. Threads that hang by then are left behind.
        """
        try:
            for thread in threads:
                thread.start()
            self._grow(growing, heed, look)
        finally:
            self._stopped.set()
            for orders in self.orders:
                orders.send(CLOSE)
            _part(threads)

    def _grow(
        self, growing: GrowingTree[_TreeT], heed: Callable[[], None], look: Callable[[_TreeT], None] | None
    ) -> None:
        idle: list[int] = []
        look_at = heed_at = 0.0
        while not growing.is_whole:
            now = time.monotonic()
            if now >= heed_at:
                heed()
                heed_at = now + _LOOK_EVERY
            with suppress(Empty):
                number, word = self._inbox.get(timeout=_LOOK_EVERY)
                if word == DONE:
                    path, directories, files, problem = self._outputs.get()
                    growing.take(path, Answer(directories, files, problem))
                else:
                    idle.append(number)
            while idle and self._pending:
                self.orders[idle.pop()].send(WORK)
            if look is not None and now >= look_at:
                look(growing.tree)
                look_at = time.monotonic() + max(_LOOK_EVERY, _REST * (time.monotonic() - now))
        heed()
        if look is not None:
            look(growing.tree)


def _part(threads: Sequence[threading.Thread]) -> None:
    """Wait a moment for threads that were told to end."""
    until = time.monotonic() + _FAREWELL
    for thread in threads:
        if thread.ident is not None:
            thread.join(max(0.0, until - time.monotonic()))
    hanging = sum(thread.is_alive() for thread in threads)
    if hanging:
        _log.warning("%d of %d listing threads hang in their listers and are left behind", hanging, len(threads))
