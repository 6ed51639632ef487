"""From what stands on the command line to what the actors are given."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from actors.listing import StoreJob
from actors.messages import ListerSettings, ListingPlan
from cli.session import RunOptions
from engine.work import QueueLimits
from storage.snapshot import SnapshotHeader, SnapshotWriter
from storage.source import StoreSource

if TYPE_CHECKING:
    from engine.record import DirectoryRecord
    from storage.inventory import InventoryCounts
    from storage.site_config import SiteConfig

_MIN_LEASE = 120.0


def store_job(source: StoreSource, site: SiteConfig, snapshot: Path, options: RunOptions) -> StoreJob:
    """Describe the listing of a store into a snapshot; ``site`` has the settings, the options go before them."""
    header = SnapshotHeader("listing", ", ".join(source.spec.doors), int(time.time()), site.name, source.tops)
    # A lister has several requests for each lease, and each may run into its timeout before the next one starts.
    lease = max(_MIN_LEASE, 8 * site.timeout)
    limits = QueueLimits(max_attempts=site.retries + 1, max_depth=site.max_depth, lease_seconds=lease)
    window = options.in_flight or site.in_flight
    return StoreJob(
        source.label,
        ListingPlan(header, snapshot, limits, site.ignore_directories),
        ListerSettings(source.spec, window),
        options.listers or site.listers,
    )


def address_of(source: StoreSource) -> str:
    """Say where a store is, unless its label says so already."""
    return ", ".join(source.spec.doors) if source.site is not None else ""


def inventory_into_snapshot(
    inventory: Path,
    snapshot: Path,
    site: SiteConfig,
    keep: tuple[bytes, ...] = (),
    heed: Callable[[], None] = lambda: None,
) -> InventoryCounts:
    """Read a file inventory into a snapshot. ``heed`` is called now and then, and may raise to give up.

    Raises:
        InventoryError: the inventory cannot be used; there is no snapshot then.
        OSError: the snapshot cannot be written.
    """
    from storage.inventory import read_inventory

    now = int(time.time())
    writer = SnapshotWriter(snapshot, SnapshotHeader("inventory", str(inventory), now, site.name, keep))
    appended = 0

    def append(record: DirectoryRecord) -> None:
        nonlocal appended
        appended += 1
        if appended % 1000 == 0:
            heed()
        writer.append(record)

    try:
        counts = read_inventory(
            inventory, append, format=site.inventory_format, root=site.root_path, keep=keep, listed_at=now
        )
        writer.finish()
    except BaseException:
        writer.discard()
        raise
    return counts
