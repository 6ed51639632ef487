"""The backend ``files``, which needs no server: inventories from files, sites from the configuration.

Requests wait in a queue of its own, `storage.backends.queue`, until other programs take them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from engine import datasets as dataset_names
from storage.backends.answers import BlockRow, is_tape, sort_by_source, sum_blocks
from storage.backends.file_inventory import FileInventory, SettingsOf
from storage.backends.protocols import Backends, Transfers
from storage.backends.queue import RequestQueue, queue_path
from storage.config.site import KnownSites, SiteConfig

_MEMINFO = Path("/proc/meminfo")
_GB = 1_000_000_000


def files_backend(config: KnownSites, site: SiteConfig) -> Backends:
    """Make the backend for the settings of a site; nothing is opened yet."""
    settings = SettingsOf(config, site)
    inventory = FileInventory(settings)
    return Backends(
        inventory=inventory,
        registry=FileRegistry(RequestQueue(queue_path(site.var_location)), inventory),
        sites=ConfiguredSites(config),
        deletions=NoDeletions(),
        check=FreeMemory(settings),
        blocks=FileBlocks(inventory, settings),
        datasets=NamedDatasets(site.root_path),
    )


class FileRegistry:
    """Queues requests, and knows of other copies what the inventory's column of sites says."""

    def __init__(self, queue: RequestQueue, inventory: FileInventory) -> None:
        self._queue = queue
        self._inventory = inventory

    def delete(self, site: str, lfns: Sequence[str]) -> int:
        """Enter requests, in this order; gives how many were new."""
        return self._queue.enter("deletions", site, lfns)

    def transfer(self, site: str, lfns: Sequence[str]) -> Transfers:
        """Enter a request for each file that has a source, or may have one."""
        found = self.sources(site, lfns)
        self._queue.enter("transfers", site, found.requested)
        return found

    def sources(self, site: str, lfns: Sequence[str]) -> Transfers:
        """Say which files have a source: all of them, unless the inventory says at which sites it has each file."""
        lfns = list(dict.fromkeys(lfns))
        copies = self._inventory.other_sites(site, lfns) if lfns else None
        if copies is None:
            return Transfers(requested=lfns)
        return sort_by_source(lfns, {lfn: map(is_tape, sites) for lfn, sites in copies.items()})


class ConfiguredSites:
    """The sites of the configuration, all of which are ready."""

    def __init__(self, config: KnownSites) -> None:
        self._config = config

    def site_list(self) -> Sequence[str]:
        """Name the sites under ``Sites``, in the order of the file."""
        return self._config.sites

    def ready_sites(self) -> Collection[str]:
        """Name all of them."""
        return frozenset(self._config.sites)


class NoDeletions:
    """Nothing is known to be on its way out."""

    def deletion_requests(self, site: str) -> Collection[str]:
        """Name nothing."""
        return frozenset()


class FreeMemory:
    """Wants so much memory to be free before a run starts."""

    def __init__(self, settings: SettingsOf, meminfo: Path = _MEMINFO) -> None:
        self._settings = settings
        self._meminfo = meminfo

    def check_site(self, site: str) -> str:
        """Compare FreeMem with the memory that is available on this machine; where nobody can tell, it is enough."""
        wanted = self._settings.known(site).free_mem
        available = _available(self._meminfo) if wanted else None
        if available is None or available >= wanted * _GB:
            return ""
        return f"{available / _GB:.1f} GB of memory are available, FreeMem asks for {wanted:g} GB"


def _available(meminfo: Path) -> int | None:
    """Give the bytes that new programs can have without swapping."""
    try:
        lines = meminfo.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        key, _, value = line.partition(":")
        if key == "MemAvailable" and value.split():
            return int(value.split()[0]) * 1024
    return None


class FileBlocks:
    """Sums files up by what the inventory says of them."""

    def __init__(self, inventory: FileInventory, settings: SettingsOf) -> None:
        self._inventory = inventory
        self._settings = settings

    def filelist_to_blocklist(self, site: str, lfns: Iterable[str]) -> list[BlockRow]:
        """Give (group, dataset, block, files, bytes), sorted; where no block is known, the directory stands for it.

        The dataset may then be known by the names of CMS. Files that the inventory does not have count no bytes.
        """
        lfns = list(lfns)
        return sum_blocks(self._settings(site).root_path, lfns, self._inventory.find(site, set(lfns)))


class NamedDatasets:
    """Knows datasets by the names of their files; see `engine.datasets`."""

    def __init__(self, root: bytes) -> None:
        self._root = root

    def filter(self, datasets: Collection[str]) -> dataset_names.Filter:
        """Make the filter that protects the files of these datasets."""
        return dataset_names.filter_for(self._root, datasets)
