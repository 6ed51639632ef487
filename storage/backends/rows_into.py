"""From rows of an inventory to the records of a tree, for every backend that gives its files as rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from storage.backends.protocols import RecordSink

if TYPE_CHECKING:
    from storage.inventory import InventoryCounts
    from storage.inventory.entries import Rows


def rows_into(
    sink: RecordSink, batches: Iterable[Rows], keep: Sequence[bytes], listed_at: int, scratch: Path, name: str
) -> InventoryCounts:
    """Hand the records of all files below the canonical directories ``keep`` to a sink, once the last row was read.

    ``name`` is that of the format in the counts, which take it that the rows have sizes.

    Raises:
        InventoryError, BackendError: what reading a batch raises.
        OSError: there is no room in ``scratch`` to put the files in order.
    """
    from storage.inventory import InventoryCounts
    from storage.inventory.builder import TreeBuilder

    lines = 0
    with TreeBuilder(keep, scratch, listed_at=listed_at) as builder:
        for rows in batches:
            lines += len(rows.names)
            builder.add(rows)
        tree = builder.emit(sink.append, listed_at, sink.append_leaves)
    return InventoryCounts(**asdict(tree), lines=lines, has_sizes=True, format=name)
