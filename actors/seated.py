"""Having one of the seats that all runs share, for whoever asks a store besides the listers of a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from actors.store_job import ListingFailed
from storage.sites.seats import SeatBook, SeatError

if TYPE_CHECKING:
    from actors.store_job import StoreJob

_SEAT_EVERY = 1.0
"""Seconds between two questions for a seat."""


@contextmanager
def seated(job: StoreJob, heed: Callable[[str], None], what_fails: str) -> Iterator[None]:
    """Have a seat, for as long as it takes to get one; ``heed`` is told meanwhile what is waited for.

    Raises:
        ListingFailed: they cannot be shared; ``what_fails`` begins the message.
    """
    if job.seats is None:
        yield
        return
    book = SeatBook(job.seats, job.label)
    try:
        while not book.ask(1, 0):
            heed(book.waiting)
            time.sleep(_SEAT_EVERY)
        yield
    except SeatError as error:
        raise ListingFailed(f"{what_fails}: {error}") from error
    finally:
        book.leave()
