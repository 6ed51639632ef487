"""Missing files summed up by the datasets that a Rucio has them in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from engine import paths
from storage.backends.answers import BlockRow, sum_blocks
from storage.backends.protocols import InventoryRow
from storage.backends.rucio.copies import Copies
from storage.config.site import SiteConfig

MOST = 10_000
"""Of more files than these nobody is asked; their directories stand for the datasets."""


class RucioBlocks:
    """Sums files up by the first dataset that each belongs to; what is in none counts for its directory."""

    def __init__(self, copies: Copies, site: SiteConfig) -> None:
        self._copies = copies
        self._root = site.root_path

    def filelist_to_blocklist(self, site: str, lfns: Iterable[str]) -> list[BlockRow]:
        """Give (group, dataset, block, files, bytes), sorted.

        Raises:
            BackendError: Rucio cannot be asked.
        """
        wanted = list(dict.fromkeys(lfns))
        return sum_blocks(self._root, wanted, self._known(site, wanted) if len(wanted) <= MOST else ())

    def standing_of(self, site: str, lfn: str) -> str:
        """Say in words how a file stands at its RSE.

        Raises:
            BackendError: Rucio cannot be asked.
        """
        return self._copies.described(site, paths.encode(lfn))

    def _known(self, site: str, lfns: Sequence[str]) -> Iterator[InventoryRow]:
        for lfn, copy in self._copies.of(site, [paths.encode(lfn) for lfn in lfns]).items():
            yield InventoryRow(paths.decode(lfn), copy.size, block=copy.parents[0] if copy.parents else "")
