"""The inventory of a site, from whatever backend, as a snapshot."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
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
from storage.backends.rows_into import rows_into
from storage.inventory.errors import words_of_both
from storage.snapshot import MISFITS, UNREAD, SnapshotHeader, SnapshotWriter

if TYPE_CHECKING:
    from engine.index import Leaves
    from engine.record import DirectoryRecord
    from storage.config.site import SiteConfig
    from storage.inventory import InventoryCounts
    from storage.inventory.entries import Rows
    from storage.inventory.misfits import Misfits

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
    whole: bool = False,
) -> InventoryCounts:
    """Read the inventory of a site into a snapshot, without what is not below one of the directories ``keep``.

    ``heed`` is called now and then, and may raise to give up. The header's ``created`` is when the reading began, and
    it says whether lines were let pass that nobody could read; who cannot heed that wants the ``whole`` inventory.

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

    return write_inventory(snapshot, SnapshotHeader("inventory", label, now, site.name, keep), read, heed, whole)


def write_inventory(
    snapshot: Path,
    header: SnapshotHeader,
    read: Callable[[RecordSink], InventoryCounts],
    heed: Callable[[], None],
    whole: bool = False,
    if_mixed: Callable[[RecordSink, frozenset[int]], InventoryCounts] | None = None,
) -> InventoryCounts:
    """Write what ``read`` hands to the sink that it is given; there is a snapshot only if all went well.

    Where the ``whole`` inventory is wanted, no line is let pass that nobody could read. ``if_mixed`` is asked in the
    place of ``read`` where that shows that there are directories, of these sizes, among the files; only what says what
    a store holds has it.
    """
    never = "an orphan" if if_mixed is None else "missing"
    counts = _written(_Heeding(snapshot, header, heed, whole, never), read, again=if_mixed is not None)
    if if_mixed is not None and counts.is_mixed:
        again, sizes = if_mixed, counts.sizes_of_both
        sink_again = _Heeding(snapshot, header, heed, whole, never, told=True)
        counts = _written(sink_again, lambda sink: again(sink, sizes))
    if counts.duplicates:
        _log.warning(
            "inventory %s: %d lines name a file again, %d of them with another size, which is not judged then",
            header.source,
            counts.duplicates,
            counts.conflicts,
        )
    if counts.both:
        _log.warning("inventory %s: %s", header.source, words_of_both(counts.both, counts.unsure))
    return counts


def _written(sink: _Heeding, read: Callable[[RecordSink], InventoryCounts], again: bool = False) -> InventoryCounts:
    """Let it read; nothing is left of it where a list of directories and files is to be read ``again``."""
    try:
        counts = read(sink)
        if again and counts.is_mixed:
            sink.discard()
        else:
            sink.finish()
    except BaseException:
        sink.discard()
        raise
    return counts


class _Heeding:
    """Writes records, and asks now and then whether to go on.

    The snapshot is begun when it is known which lines of the inventory did not fit, since its header says so. Where
    nobody can read some, no file is called what ``never`` says; unless that was ``told``, a warning says so.
    """

    def __init__(
        self,
        snapshot: Path,
        header: SnapshotHeader,
        heed: Callable[[], None],
        whole: bool,
        never: str,
        told: bool = False,
    ) -> None:
        # What cannot be written there is told before anything is read.
        self._writer = SnapshotWriter(snapshot, header)
        self._snapshot = snapshot
        self._header = header
        self._heed = heed
        self._whole = whole
        self._never = never
        self._told = told
        self._appended = 0

    def notice(self, misfits: Misfits) -> None:
        """Take note of the lines that did not fit, before the first record comes."""
        if not misfits.count:
            return
        from storage.inventory.errors import InventoryMalformed

        words = misfits.words()
        if misfits.lost and self._whole:
            raise InventoryMalformed(f"inventory {misfits.source}: {words}; without it the inventory is not whole")
        so = f"; it may be of any file, so that none is called {self._never}" if misfits.lost else ""
        if not self._told:
            _log.warning("inventory %s: %s%s", misfits.source, words, so)
        extra = {MISFITS: words, **({UNREAD: words} if misfits.lost else {})}
        self._writer.discard()
        self._writer = SnapshotWriter(self._snapshot, replace(self._header, extra={**self._header.extra, **extra}))

    def append(self, record: DirectoryRecord) -> None:
        self._appended += 1
        if self._appended % 1000 == 0:
            self._heed()
        self._writer.append(record)

    def append_leaves(self, leaves: Leaves, frames: bytes) -> None:
        self._heed()
        self._writer.append_leaves(leaves, frames)

    def finish(self) -> None:
        self._writer.finish()

    def discard(self) -> None:
        self._writer.discard()


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
    from storage.inventory import InventoryError

    sized = False

    def batches() -> Iterator[Rows]:
        nonlocal sized
        for rows in _batches(iter(inventory.list_files(site.name)), site):
            sized = sized or (rows.sizes is not None and bool((rows.sizes != UNKNOWN_SIZE).any()))
            yield rows
            heed()

    try:
        counts = rows_into(sink, batches(), keep, listed_at, scratch, "backend")
    except InventoryError as error:
        raise BackendError(str(error)) from error
    return replace(counts, has_sizes=sized)


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
