"""From the settings of a site and its backends to the job of a check."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.checksums import ChecksumJob
from actors.comparison import ComparisonPlan
from actors.history_store import StorePlan
from actors.jobs import store_job
from actors.lister import overdue_after
from actors.run import CheckJob, IncrementalListing
from actors.second_inventory import AGAIN, SecondInventory, plain_file, settled_identity
from engine import paths
from engine.checksums.share import Share
from engine.incremental import SAFELY
from engine.usual import ANY_NUMBER, UsualFiles
from storage.backends.checksums import expected_checksums
from storage.backends.into_snapshot import inventory_identity, inventory_of_backend
from storage.backends.of_datasets import filters_of
from storage.doors.hollow import hollow_gate
from storage.history import HistoryDatabase
from storage.inventory import InventoryError
from storage.runs.directory import Datasets, directory_name

if TYPE_CHECKING:
    from actors.store_job import StoreJob
    from engine.checksums.digest import Checksum
    from storage.backends.protocols import Backends
    from storage.config.site import SiteConfig
    from storage.doors.source import StoreSource
    from storage.runs.directory import RunDirectory


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What is asked of a run beside the configuration.

    ``keep_orphans`` leaves all of them alone. ``unmerged`` cleans the unmerged area where the configuration allows it,
    ``more_logs`` its additional directories of logs, too. ``no_inventory`` lists, and compares nothing. Without
    ``summary`` the summary and the page stay as they are. ``unconditionally`` does not ask the backend whether the site
    should be checked now. ``accept_fewer`` lets a store or an inventory with far fewer files than usual through.
    ``listers`` and ``in_flight`` go before the settings.
    """

    fresh: bool = False
    listers: int | None = None
    in_flight: int | None = None
    keep_orphans: bool = False
    unmerged: bool = False
    more_logs: bool = False
    no_inventory: bool = False
    summary: bool = True
    unconditionally: bool = False
    accept_fewer: bool = False


def check_job(
    site: SiteConfig, store: StoreSource, backends: Backends, request: RunRequest, directory: RunDirectory
) -> CheckJob:
    """Describe the check of a site.

    Raises:
        ConfigError, BackendError, OSError: the inventory cannot be found.
        HistoryError: it cannot be told what the runs before have seen.
    """
    identity = inventory_identity(backends, site)
    known = _KnownDatasets(backends, site.name, directory)
    return CheckJob(
        site.name,
        listing_job(site, store, request, directory),
        ComparisonPlan(
            directory.inventory,
            directory.listing,
            tops=store.tops,
            ignored=site.ignore_directories,
            left_out=site.left_out,
            keep_orphans=request.keep_orphans or not site.delete_orphans,
            usual=_usual_files(site, request.accept_fewer, dumped=store.as_of is not None),
        ),
        StorePlan(
            *(site.web_dir, directory_name(site.name), history_path(site)),
            prepared=directory.lists,
            checksums=site.checksums is not None,
        ),
        _InventoryReader(backends, site, store.tops, known, directory),
        {**_lasting(identity.mark, site), "keep": [repr(top) for top in store.tops]},
        store_mark(site, store),
        refine=known,
        read_second=SecondInventory(backends, site, store.tops, directory),
        incremental=incremental_listing(site, store) if site.incremental else None,
        checksums=checksum_job(site, backends, directory, identity.label),
        doubt=partial(hollow_gate, store.spec, site.root_path, store.tops),
        inventory_time=identity.made,
        # What came after a dump was made is in no listing.
        store_time=math.inf if store.as_of is None else store.as_of,
        ignore_age=site.ignore_age_days,
        list_age=site.list_age,
        fresh=request.fresh,
    )


def _lasting(mark: Mapping[str, Any], site: SiteConfig) -> dict[str, Any]:
    """Leave out what changes when the inventory moves on, where it is read again after the listing anyhow."""
    changing = ("size", "mtime_ns") if site.second_inventory == AGAIN else ()
    return {key: value for key, value in mark.items() if key not in changing}


def listing_job(site: SiteConfig, store: StoreSource, request: RunRequest, directory: RunDirectory) -> StoreJob:
    """Describe the listing of a site's store in the directory of its runs."""
    job = store_job(store, site, directory.listing, request.listers, request.in_flight)
    return replace(job, label=site.name)


def store_mark(site: SiteConfig, store: StoreSource) -> dict[str, Any]:
    """Say which store, and what of it, is listed: a journal is gone on with only if this is the same."""
    mark: dict[str, Any] = {
        "doors": list(store.identity),
        "tops": [repr(top) for top in store.tops],
        "ignored": [repr(pattern) for pattern in site.ignore_directories],
    }
    if site.left_out:
        mark["left_out"] = [repr(directory) for directory in site.left_out]
    # Two dumps may have the same name.
    return mark if store.as_of is None else {**mark, "as_of": store.as_of}


def settings_mark(site: SiteConfig, store: StoreSource, backends: Backends) -> str:
    """Give a digest of the settings by which a run of a site finds something, and has it deleted.

    ``store`` is as they name it, not resolved.

    Raises:
        ConfigError, BackendError, InventoryError: the inventory cannot be found.
    """
    inventory = inventory_identity(backends, site).mark
    mark = {
        **store_mark(site, store),
        "as_of": None,
        "method": site.access_method,
        "prefix": repr(site.path_prefix),
        "deletion": site.deletion,
        "quarantine": repr(site.quarantine) if site.deletes_itself else "",
        "inventory": {key: value for key, value in inventory.items() if key not in ("size", "mtime_ns")},
    }
    return hashlib.sha256(json.dumps(mark, sort_keys=True, default=repr).encode()).hexdigest()


def incremental_listing(site: SiteConfig, store: StoreSource) -> IncrementalListing:
    """Say how directories are taken over from the last complete listing."""
    mark = {
        **store_mark(site, store),
        "method": site.access_method,
        "prefix": repr(site.path_prefix),
        "depth": site.max_depth,
    }
    why_not = ""
    if store.spec.clustered or store.spec.open_ended:
        # What is in a directory of a cluster, and its time, comes from several servers.
        why_not = "the store is a cluster, or may be one"
    elif store.as_of is not None:
        why_not = "the store is known by a dump"
    # A listing began as long before its answer as a request may take.
    margin = SAFELY + overdue_after(site.timeout)
    share, every = site.incremental_sample, site.incremental_full_runs
    return IncrementalListing(share, every, margin, site.incremental_delay, mark, why_not)


def checksum_job(site: SiteConfig, backends: Backends, directory: RunDirectory, inventory: str) -> ChecksumJob | None:
    """Say which share of the files have their checksums compared; ``inventory`` is what that is called."""
    if site.checksums is None:
        return None

    def expected(sizes: Mapping[bytes, int], heed: Callable[[], None]) -> dict[bytes, tuple[Checksum, ...]] | None:
        return expected_checksums(backends, site.name, sizes, heed)

    return ChecksumJob(
        Share.parse(site.checksums),
        site.max_checksums,
        site.max_checksum_size,
        site.checksum_minutes * 60 or math.inf,
        directory.checksums,
        expected,
        f"inventory {inventory}",
    )


def _usual_files(site: SiteConfig, accept: bool, dumped: bool) -> UsualFiles:
    """Say how many files the runs before have seen."""
    path = history_path(site)
    if not site.min_files:
        return ANY_NUMBER
    if not path.exists():
        return UsualFiles(fraction=site.min_files, accept=accept, dumped=dumped)
    with HistoryDatabase(path) as history:
        return UsualFiles.of(history.earlier_files(site.name), site.min_files, accept, dumped)


def history_path(site: SiteConfig) -> Path:
    """Name the history database."""
    return site.var_location / "db" / "consistency.db"


@dataclass(frozen=True, slots=True)
class _InventoryReader:
    """Reads the inventory of a run; see `CheckJob`."""

    backends: Backends
    site: SiteConfig
    tops: tuple[bytes, ...]
    known: _KnownDatasets
    directory: RunDirectory

    def __call__(self, snapshot: Path, heed: Callable[[], None]) -> None:
        """Ask for what is to be left alone, and write the snapshot.

        Raises:
            InventoryError: it has no file where the store is listed; everything there would be called an orphan.
        """
        # Asked first: a dataset that is gone from the store meanwhile may still be in an inventory read for long.
        self.known.ask()
        heed()
        self.directory.keep_inventory_file(settled_identity(plain_file(self.backends, self.site)))
        counts = inventory_of_backend(self.backends, self.site, snapshot, self.tops, heed)
        self.directory.keep_last_line(snapshot, counts.last_line)
        if not counts.files:
            label = inventory_identity(self.backends, self.site).label
            tops = ", ".join(paths.escape(top) for top in self.tops)
            raise InventoryError(
                f"inventory {label}: it names no file below {tops}, so there is nothing to compare; "
                "see RootPath and DirectoryList, and whether it is the inventory of this site"
            )


class _KnownDatasets:
    """Leaves alone what belongs at the site, or is on its way out.

    The backend is asked before the listing and again after it, since that can take days: what either answer has is
    left alone. The first answer is kept with the inventory, which a run that goes on with another one does not read
    again: what was deleted since is still in that inventory, and no request is left that would say so.
    """

    def __init__(self, backends: Backends, site: str, directory: RunDirectory) -> None:
        self._backends = backends
        self._site = site
        self._directory = directory

    def ask(self) -> None:
        """Ask before the listing, and keep the answer."""
        datasets = self._answer()
        # A filter that cannot be made is found out now, and not after days.
        filters_of(self._backends, datasets)
        self._directory.keep_datasets(datasets)

    def __call__(self, plan: ComparisonPlan) -> ComparisonPlan:
        """Ask again, and put the filters into a plan."""
        before, now = self._directory.kept_datasets(), self._answer()
        known = Datasets(before.protected | now.protected, before.deleted | now.deleted)
        keep_orphan, keep_missing = filters_of(self._backends, known)
        return replace(plan, keep_orphan=keep_orphan, keep_missing=keep_missing)

    def _answer(self) -> Datasets:
        deleted = frozenset(self._backends.deletions.deletion_requests(self._site))
        return Datasets(frozenset(self._backends.inventory.protected_datasets(self._site)), deleted)
