"""The inventory of a site, from whatever backend, as a snapshot."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from engine.columns import UNKNOWN_SIZE
from storage.backends.protocols import (
    BackendError,
    Backends,
    Inventory,
    InventoryIdentity,
    InventoryRow,
    RecordSink,
    TreeInventory,
)
from storage.snapshot import SnapshotHeader, SnapshotWriter

if TYPE_CHECKING:
    from engine.index import Leaves
    from engine.record import DirectoryRecord
    from storage.config.site import SiteConfig
    from storage.inventory import InventoryCounts
    from storage.inventory.entries import Rows

_log = logging.getLogger(__name__)

_BATCH = 20_000


def inventory_identity(backends: Backends, site: SiteConfig) -> InventoryIdentity:
    """Say which inventory `inventory_of_backend` would read: what a stopped run compares before it goes on.

    A backend that cannot tell is known by its name; such an inventory is as new as the moment it is read.

    Raises:
        ConfigError, InventoryError, BackendError: there is none, or it cannot be looked at.
    """
    inventory = backends.inventory
    if isinstance(inventory, TreeInventory):
        return inventory.identity(site.name)
    name = dict(site.backends).get("inventory", site.backend)
    return InventoryIdentity({"backend": name, "site": site.name}, f"of the backend {name}")


def inventory_of_backend(
    backends: Backends,
    site: SiteConfig,
    snapshot: Path,
    keep: tuple[bytes, ...] = (),
    heed: Callable[[], None] = lambda: None,
) -> InventoryCounts:
    """Read the inventory of a site into a snapshot, without what is not below one of the directories ``keep``.

    ``heed`` is called now and then, and may raise to give up. The header's ``created`` is when the reading began.

    Raises:
        ConfigError, InventoryError, BackendError: the inventory cannot be used; there is no snapshot then.
        OSError: the snapshot cannot be written.
    """
    inventory = backends.inventory
    label = inventory_identity(backends, site).label
    now = int(time.time())
    # What is set aside goes where the snapshot has to find room anyway.
    scratch = snapshot.parent

    def read(sink: RecordSink) -> InventoryCounts:
        if isinstance(inventory, TreeInventory):
            return inventory.read_into(site.name, sink, keep=keep, listed_at=now, heed=heed, scratch=scratch)
        return _read_rows(inventory, site, sink, keep, now, heed, scratch)

    return write_inventory(snapshot, SnapshotHeader("inventory", label, now, site.name, keep), read, heed)


def write_inventory(
    snapshot: Path,
    header: SnapshotHeader,
    read: Callable[[RecordSink], InventoryCounts],
    heed: Callable[[], None],
) -> InventoryCounts:
    """Write what ``read`` hands to the sink that it is given; there is a snapshot only if all went well."""
    writer = SnapshotWriter(snapshot, header)
    try:
        counts = read(_Heeding(writer, heed))
        writer.finish()
    except BaseException:
        writer.discard()
        raise
    if counts.duplicates:
        _log.warning(
            "inventory %s: %d lines name a file again, %d of them with another size, which is not judged then",
            header.source,
            counts.duplicates,
            counts.conflicts,
        )
    return counts


class _Heeding:
    """Writes records, and asks now and then whether to go on."""

    def __init__(self, writer: SnapshotWriter, heed: Callable[[], None]) -> None:
        self._writer = writer
        self._heed = heed
        self._appended = 0

    def append(self, record: DirectoryRecord) -> None:
        self._appended += 1
        if self._appended % 1000 == 0:
            self._heed()
        self._writer.append(record)

    def append_leaves(self, leaves: Leaves, frames: bytes) -> None:
        self._heed()
        self._writer.append_leaves(leaves, frames)


def _read_rows(
    inventory: Inventory,
    site: SiteConfig,
    sink: RecordSink,
    keep: Sequence[bytes],
    listed_at: int,
    heed: Callable[[], None],
    scratch: Path,
) -> InventoryCounts:
    """Read an inventory that gives one row after the other."""
    from storage.inventory import InventoryCounts, InventoryError
    from storage.inventory.builder import TreeBuilder

    lines = 0
    sized = False
    with TreeBuilder(keep, scratch, listed_at=listed_at) as builder:
        try:
            for rows in _batches(iter(inventory.list_files(site.name)), site):
                lines += len(rows.names)
                sized = sized or (rows.sizes is not None and bool((rows.sizes != UNKNOWN_SIZE).any()))
                builder.add(rows)
                heed()
        except InventoryError as error:
            raise BackendError(str(error)) from error
        tree = builder.emit(sink.append, listed_at, sink.append_leaves)
    return InventoryCounts(**asdict(tree), lines=lines, has_sizes=sized, format="backend")


def _batches(remaining: Iterator[InventoryRow], site: SiteConfig) -> Iterator[Rows]:
    from storage.inventory.detect import Columns
    from storage.inventory.values import rows_of

    name = dict(site.backends).get("inventory", site.backend)
    columns = Columns(path=0, size=1, mtime=2, block=3)
    first = 1
    while batch := list(islice(remaining, _BATCH)):
        records = [(row.lfn, row.size, row.mtime, row.block) for row in batch]
        yield rows_of(records, columns, site.root_path, f"of the backend {name}, site {site.name},", first)
        first += len(batch)
