"""Listing what was taken over and might lead to a finding: what the supervisor does before anything is judged."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from actors.listing import Listing
from engine.incremental import doubtful
from storage.snapshot import Snapshot

_log = logging.getLogger(__name__)

_MOST = 10_000
"""Directories in one message."""


def list_what_differs(listing: Listing, inventory: Path, snapshot: Path, heed: Callable[[], None]) -> None:
    """Have everything listed that was taken over into a finished ``snapshot`` and on which a finding might rest.

    The snapshot is finished again then. ``heed`` is called now and then, and may raise to give up. Raises as
    `Listing.run` does, and `SnapshotError` and `OSError` where a snapshot cannot be read.
    """
    expected = Snapshot(inventory)
    found = Snapshot(snapshot, like=expected)
    try:
        again = doubtful(expected.table, found.table, found.header.taken_until, heed)
    finally:
        found.close()
        expected.close()
    if not again:
        return
    _log.info("listing %d directories after all that were taken over and differ from the inventory", len(again))
    for start in range(0, len(again), _MOST):
        listing.list_again(again[start : start + _MOST])
    listing.run("listing")
    listing.seal()
