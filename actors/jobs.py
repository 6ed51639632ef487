"""From the settings of a site to what the actors are given: a runtime, a listing, the snapshot of an inventory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from actors.deployment import open_runtime as open_runtime
from actors.messages import BATCH, ListerSettings, ListingPlan
from actors.runtime import Placement
from actors.store_job import StoreJob
from engine.seats import SeatLimits
from engine.stall import StallLimits
from engine.work import QueueLimits
from storage.door_url import addresses
from storage.doors.source import StoreSource
from storage.listers.protocol import GFAL
from storage.sites.seats import SeatPlan
from storage.snapshot import UNREAD, SnapshotHeader

if TYPE_CHECKING:
    from storage.backends.protocols import RecordSink
    from storage.config.site import SiteConfig
    from storage.inventory import InventoryCounts

_FIRST_DELAY = 0.5
"""Seconds until a directory is asked for again: so short that a mistyped port is told within a few seconds."""

_MIN_LEASE = 120.0


def store_job(
    source: StoreSource, site: SiteConfig, snapshot: Path, listers: int | None = None, in_flight: int | None = None
) -> StoreJob:
    """Describe the listing of a store into a snapshot.

    ``site`` has the settings; the number of listers, and of requests that each keeps in flight, go before them.
    """
    extra = {UNREAD: source.unread} if source.unread else {}
    header = SnapshotHeader("listing", ", ".join(source.spec.doors), int(time.time()), site.name, source.tops, extra)
    # One connection to a load balancer is one for all; how many programs run for SRM has a key of its own.
    one_lister = site.use_load_balancer or source.spec.method == GFAL
    # A lister has several requests for each lease, and each may run into its timeout before the next one starts.
    lease = max(_MIN_LEASE, 8 * site.timeout)
    limits = QueueLimits(site.retries + 1, _FIRST_DELAY, max_depth=site.max_depth, lease_seconds=lease)
    spec = replace(source.spec, in_flight=in_flight or site.in_flight)
    window = spec.window(spec.in_flight)
    return StoreJob(
        source.label,
        ListingPlan(header, snapshot, limits, site.ignore_directories, left_out=site.left_out),
        # What a lister is handed waits there, and its lease runs, and what it holds is asked again if it dies.
        ListerSettings(spec, window, min(window, BATCH)),
        listers or (1 if one_lister else site.listers),
        StallLimits.of(site.stall_minutes, site.timeout),
        seat_plan(site, spec.doors),
        Placement.of(site.placement),
    )


def seat_plan(site: SiteConfig, doors: Iterable[str]) -> SeatPlan | None:
    """Say how the listers of a site share seats with those of others; None where the configuration limits nothing."""
    limits = SeatLimits(site.pool, dict(site.door_limits))
    return SeatPlan(site.shared_location, limits, addresses(doors)) if limits.anything else None


def inventory_into_snapshot(
    inventory: Path,
    snapshot: Path,
    site: SiteConfig,
    keep: tuple[bytes, ...] = (),
    heed: Callable[[], None] = lambda: None,
    rows_of: str = "",
    rse: str = "",
    of_store: bool = False,
) -> InventoryCounts:
    """Read a file inventory into a snapshot. ``heed`` is called now and then, and may raise to give up.

    One ``of_store`` says what is there; see `storage.inventory.read_inventory`.
    Where the inventory says to which site each row belongs, those of the site ``rows_of`` count; all when it is empty.
    In a column of RSEs that site goes by ``rse``, where it has another name there.

    Raises:
        InventoryError, BackendError: the inventory cannot be used; there is no snapshot then.
        OSError: the snapshot cannot be written.
    """
    from storage.backends.file_inventory import lfn_to_path_of, refuse_old_inventory
    from storage.backends.into_snapshot import write_inventory
    from storage.inventory import read_inventory

    now = int(time.time())
    refuse_old_inventory(inventory, site)

    def read(sink: RecordSink, mixed: frozenset[int] | None = None) -> InventoryCounts:
        notice = getattr(sink, "notice", None)
        return read_inventory(
            inventory,
            sink.append,
            format=site.inventory_format,
            root=site.root_path,
            keep=keep,
            listed_at=now,
            heed=heed,
            table=site.inventory_table,
            site=rows_of,
            rse=rse,
            scratch=snapshot.parent,
            append_leaves=sink.append_leaves,
            processes=site.inventory_processes,
            allowed=site.max_malformed if notice is not None else 0.0,
            lfn_to_path=lfn_to_path_of(site),
            notice=notice,
            of_store=of_store,
            mixed=mixed,
        )

    header = SnapshotHeader("inventory", str(inventory), now, site.name, keep)
    return write_inventory(snapshot, header, read, heed, if_mixed=read if of_store else None)
