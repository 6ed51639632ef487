"""Waiting for a database that takes its time, with an eye on whether anybody still wants the answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Empty, Full, Queue
from typing import TypeVar

T = TypeVar("T")

_LOOK_EVERY = 0.2
"""Seconds between two looks."""

_AHEAD = 1
"""So many items are made before they are asked for."""

_END = object()


def heeded(items: Iterator[T], heed: Callable[[], None]) -> Iterator[T]:
    """Give the items, made on a thread of its own, and call ``heed`` while there is none.

    What ``heed`` raises ends the wait at once. The thread then ends when the database has answered, or with the
    process; nothing else can end a question to a table that somebody has locked.
    """
    made: Queue[object] = Queue(_AHEAD)
    left = threading.Event()

    def hand_over(item: object) -> bool:
        while not left.is_set():
            try:
                made.put(item, timeout=_LOOK_EVERY)
            except Full:
                continue
            return True
        return False

    def make() -> None:
        try:
            for item in items:
                if not hand_over(item):
                    return
            hand_over(_END)
        except BaseException as error:
            hand_over(error)

    threading.Thread(target=make, name="database", daemon=True).start()
    try:
        while True:
            heed()
            try:
                item = made.get(timeout=_LOOK_EVERY)
            except Empty:
                continue
            if item is _END:
                return
            if isinstance(item, BaseException):
                raise item
            yield item  # type: ignore[misc]
    finally:
        left.set()
