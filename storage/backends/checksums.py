"""The checksums that the inventory of a site has of some files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from engine import paths
from engine.checksums.digest import WIDTHS, Checksum
from storage.backends.protocols import ChecksumInventory

if TYPE_CHECKING:
    from storage.backends.protocols import Backends


def expected_checksums(
    backends: Backends, site: str, sizes: Mapping[bytes, int], heed: Callable[[], None]
) -> dict[bytes, tuple[Checksum, ...]] | None:
    """Give the checksums of files, which have these sizes (bytes); None where the inventory has none of any file.

    A file that is named twice, with different checksums, has none, and neither has one whose size is another by now.

    Raises:
        ConfigError, InventoryError, BackendError: the inventory cannot be asked.
    """
    from storage.inventory.foreign.checksums import read_checksum

    inventory = backends.inventory
    if not isinstance(inventory, ChecksumInventory):
        return None
    if not sizes:
        return {}
    rows = inventory.checksums(site, [paths.decode(path) for path in sizes], heed)
    if rows is None:
        return None
    known: dict[bytes, dict[str, set[Checksum]]] = {}
    changed: set[bytes] = set()
    for row in rows:
        path = paths.encode(row.lfn)
        if row.size is not None and row.size != sizes.get(path):
            changed.add(path)
        by_algorithm = known.setdefault(path, {})
        for text in row.checksums:
            read = read_checksum(paths.encode(text))
            if read is not None:
                checksum = Checksum(read[0], read[1].decode("ascii"))
                by_algorithm.setdefault(checksum.algorithm, set()).add(checksum)
    return {
        path: tuple(min(found[name]) for name in WIDTHS if len(found.get(name, ())) == 1)
        for path, found in known.items()
        if path not in changed
    }
