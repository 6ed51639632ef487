"""The questions that are asked of a backend, one small protocol each.

A backend may answer some of them; the configuration says which backend answers which (keys ``Backend``, ``Backends``).
Names are LFNs and cross this border as ``str`` with ``surrogateescape``, as in the front end; a backend of another
package need not know anything else of this project.

    BackendError    a backend cannot be found or used, or failed; the message says which, where, and what would help
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from engine.plan import USUAL_ACTIONS, Action, Cause

if TYPE_CHECKING:
    from engine.index import Leaves
    from engine.record import DirectoryRecord
    from storage.inventory import InventoryCounts


class BackendError(Exception):
    """A backend cannot be found or used, or failed; the message is one line."""


@dataclass(frozen=True, slots=True)
class InventoryRow:
    """One file that should be at a site: its LFN, and what is known of it.

    ``size`` in bytes, ``mtime`` in seconds since the epoch: None when not known. ``block`` and ``dataset`` name what it
    belongs to, ``group`` who owns that; empty when not known.
    """

    lfn: str
    size: int | None = None
    mtime: int | None = None
    block: str = ""
    dataset: str = ""
    group: str = ""


class Inventory(Protocol):
    """What should be at a site."""

    def list_files(self, site: str) -> Iterable[InventoryRow]:
        """Give every file that should be at a site, in any order; sorted by LFN is the fast path."""

    def protected_datasets(self, site: str) -> Collection[str]:
        """Name the datasets whose files are never called orphans there: those that belong, are ignored or protected."""


@dataclass(frozen=True, slots=True)
class InventoryIdentity:
    """Which inventory this is: ``mark`` holds what changes with it, in JSON's terms; a run goes on only with the same.

    ``made`` is when it was made, in seconds since the epoch; infinite when it is as new as the moment it is read.
    ``label`` names it for people, without secrets.
    """

    mark: Mapping[str, Any]
    label: str
    made: float = math.inf


@dataclass(frozen=True, slots=True)
class ChecksumRow:
    """What an inventory has as the checksums of a file, as texts: ``adler32:0a1b2c3d``, ``md5:…``, or the digits alone.

    ``size`` is in bytes, None when not known.
    """

    lfn: str
    size: int | None
    checksums: Sequence[str]


@runtime_checkable
class ChecksumInventory(Protocol):
    """An inventory that may know checksums."""

    def checksums(self, site: str, lfns: Collection[str], heed: Callable[[], None]) -> Collection[ChecksumRow] | None:
        """Give a row for each time that one of the files is named, in any order; None if there are no checksums at all.

        ``heed`` is called now and then, and may raise to give up.
        """


class RecordSink(Protocol):
    """Takes the records of a tree, and frames of records; see `storage.snapshot.SnapshotWriter`."""

    def append(self, record: DirectoryRecord) -> None:
        """Take one directory."""

    def append_leaves(self, leaves: Leaves, frames: bytes) -> None:
        """Take directories whose frames stand one behind the other."""


@runtime_checkable
class TreeInventory(Inventory, Protocol):
    """An inventory with a quicker way to a tree than one row after the other."""

    def identity(self, site: str) -> InventoryIdentity:
        """Say which inventory `read_into` would read."""

    def read_into(
        self,
        site: str,
        sink: RecordSink,
        *,
        keep: Sequence[bytes],
        listed_at: int,
        heed: Callable[[], None],
        scratch: Path,
    ) -> InventoryCounts:
        """Hand every directory to ``sink``, in tree order; see `storage.inventory.read_inventory`."""


@dataclass(frozen=True, slots=True)
class Transfers:
    """What became of a request to bring files back; the LFNs by what their sources are.

    ``requested`` have a source, on disk or tape, and are on their way; ``no_disk`` have no other copy on disk, and
    those of them that have none on tape either are ``unrecoverable`` as well. These are requested only where that was
    wanted. ``refused`` were not taken by whom they were asked of, and are none of the others but for their sources.
    """

    requested: Sequence[str] = field(default=())
    no_disk: Sequence[str] = field(default=())
    unrecoverable: Sequence[str] = field(default=())
    refused: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        for name in ("requested", "no_disk", "unrecoverable", "refused"):
            # The same files are equal, whatever they came in.
            object.__setattr__(self, name, tuple(getattr(self, name)))


def registry_actions(registry: Registry) -> Mapping[Cause, Action]:
    """Say what a registry does for each finding; one that does anything else than usual has ``actions``."""
    own: Mapping[Cause, Action] = getattr(registry, "actions", {})
    return {**USUAL_ACTIONS, **own}


def takes_directories(registry: Registry) -> bool:
    """Whether a registry may be asked to delete directories; one that may not has a false ``takes_directories``."""
    return bool(getattr(registry, "takes_directories", True))


class Registry(Protocol):
    """Takes the requests that follow from findings. It is only ever asked for a site that is set to act."""

    def delete(self, site: str, lfns: Sequence[str]) -> int:
        """Ask for files or empty directories to be deleted, in this order; gives how many requests were new.

        Asking twice for the same is harmless.
        """

    def transfer(self, site: str, lfns: Sequence[str]) -> Transfers:
        """Ask for lost files to be brought back, and say which of them have no source. Twice the same is harmless."""

    def sources(self, site: str, lfns: Sequence[str]) -> Transfers:
        """Say what `transfer` would, without asking for anything; ``requested`` are those that have a source."""


class SiteInfo(Protocol):
    """Which sites there are."""

    def site_list(self) -> Sequence[str]:
        """Name all sites."""

    def ready_sites(self) -> Collection[str]:
        """Name the sites that are in a state to be checked."""


@runtime_checkable
class SiteSettings(Protocol):
    """What answers for the sites and knows settings of theirs as well."""

    def settings_of(self, site: str) -> Mapping[str, Any]:
        """Give keys of the configuration that go before the site's own there."""


class Deletions(Protocol):
    """What is on its way out."""

    def deletion_requests(self, site: str) -> Collection[str]:
        """Name the datasets whose deletion at a site was asked for; their files may be missing, and are no orphans."""


class SiteCheck(Protocol):
    """A last look before a run."""

    def check_site(self, site: str) -> str:
        """Say why a site should not be checked now; empty when it may be."""


class Blocks(Protocol):
    """Sums missing files up for people."""

    def filelist_to_blocklist(self, site: str, lfns: Iterable[str]) -> Iterable[tuple[str, str, str, int, int]]:
        """Give (group, dataset, block, files, bytes) of each block that files of the list belong to, sorted."""


@runtime_checkable
class KnowsFiles(Protocol):
    """What answers for blocks and can say of a single file how it stands."""

    def standing_of(self, site: str, lfn: str) -> str:
        """Say in words who a file is there, in which state, what it belongs to and where else it is."""


class DatasetFilter(Protocol):
    """Tells whether a file belongs to one of some datasets. It travels between processes, so it pickles."""

    def protected(self, file_name: str) -> bool:
        """Whether the file is in one of the datasets, or its name does not say in which it is."""


class Datasets(Protocol):
    """Knows which dataset a file belongs to by its name."""

    def filter(self, datasets: Collection[str]) -> DatasetFilter:
        """Make the filter that protects the files of these datasets."""


@dataclass(frozen=True, slots=True)
class Backends:
    """Who answers what; what `storage.backends.choose` gives for the settings of a site."""

    inventory: Inventory
    registry: Registry
    sites: SiteInfo
    deletions: Deletions
    check: SiteCheck
    blocks: Blocks
    datasets: Datasets
