from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from storage.backends.heeded import heeded


class Enough(Exception):
    pass


def test_items_come_in_their_order() -> None:
    assert list(heeded(iter(range(100)), lambda: None)) == list(range(100))
    assert list(heeded(iter(()), lambda: None)) == []


def test_what_the_maker_raises_comes_after_what_it_gave() -> None:
    def made() -> Iterator[int]:
        yield 1
        raise Enough

    items = heeded(made(), lambda: None)
    assert next(items) == 1
    with pytest.raises(Enough):
        next(items)


def test_a_maker_that_takes_its_time_is_left_behind_when_nobody_wants_more() -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def made() -> Iterator[int]:
        try:
            begun.set()
            assert go_on.wait(60)
            yield 1
        finally:
            ended.set()

    def heed() -> None:
        if begun.is_set():
            raise Enough

    with pytest.raises(Enough):
        next(heeded(made(), heed))
    assert not ended.is_set()
    go_on.set()
    assert ended.wait(60)


def test_whoever_takes_no_more_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    items = heeded(iter(range(1000)), lambda: None)
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]
    for thread in threading.enumerate():
        if thread.name == "database":
            thread.join(60)
    assert threading.active_count() == before
