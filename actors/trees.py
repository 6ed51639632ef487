"""The trees of a site: what is there, and what should be there, from the settings to a tree in one's hands."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from actors.jobs import store_job
from actors.listing import list_store
from actors.oversight import Oversight, Progress, heed
from engine import paths
from engine.tree import DirectoryInfo
from storage.doors.resolve import resolve
from storage.doors.source import site_source
from storage.snapshot import part_of
from storage.trees.file import open_tree

if TYPE_CHECKING:
    from actors.runtime import Runtime
    from storage.backends.protocols import Backends
    from storage.config.site import SiteConfig

_REST = 9
"""So many times as long as the last look at a growing tree took, none is taken."""

_TreeT = TypeVar("_TreeT", bound=DirectoryInfo)

Kind = Callable[[str], type[_TreeT]]
"""Gives the class of the trees of a site."""


def remote_tree(
    runtime: Runtime,
    site: SiteConfig,
    kind: Kind[_TreeT],
    oversight: Oversight | None = None,
    grown: Callable[[_TreeT], None] | None = None,
    listers: int | None = None,
    in_flight: int | None = None,
) -> _TreeT:
    """List a site; gives the tree named by RootPath.

    ``grown`` is called now and then with a tree of what is listed so far, and at last with the one that is returned;
    what it raises ends the listing. ``listers`` and ``in_flight`` go before the settings.

    Raises:
        SourceError: the site has no door, or none that can be trusted.
        Killed, Refused, ListingFailed, SnapshotError, OSError: see `list_store`.
    """
    watched = oversight or Oversight()
    source = resolve(site_source(site), lambda: heed(watched)).whole()
    root = paths.decode(site.root_path)
    with tempfile.TemporaryDirectory(prefix="listing-", dir=_work(site)) as work:
        snapshot = Path(work, "listing.snapshot")
        job = store_job(source, site, snapshot, listers, in_flight)
        if grown is not None:
            look = grown

            def show() -> None:
                look(open_tree(part_of(snapshot), kind, root))

            watched = replace(watched, watch=_Growing(show, watched.watch))
        list_store(runtime, job, watched)
        # An open snapshot outlives its name.
        tree = open_tree(snapshot, kind, root)
    if grown is not None:
        grown(tree)
    return tree


def inventory_tree(
    backends: Backends, site: SiteConfig, kind: Kind[_TreeT], oversight: Oversight | None = None
) -> _TreeT:
    """Read the inventory of a site; gives the tree named by RootPath, of what is inside of the site's directories.

    Raises:
        Killed: the oversight asked to stop.
        ConfigError, InventoryError, BackendError, OSError: see `inventory_of_backend`.
    """
    from storage.backends.into_snapshot import inventory_of_backend

    watched = oversight or Oversight()
    with tempfile.TemporaryDirectory(prefix="inventory-", dir=_work(site)) as work:
        snapshot = Path(work, "inventory.snapshot")
        # A tree cannot say that something may be there which is not in it.
        inventory_of_backend(backends, site, snapshot, site.directories, lambda: heed(watched), whole=True)
        return open_tree(snapshot, kind, paths.decode(site.root_path))


def _work(site: SiteConfig) -> Path:
    work = site.var_location / "work"
    work.mkdir(parents=True, exist_ok=True)
    return work


class _Growing:
    """Shows a growing tree. A look takes the longer the larger the tree is, so they become rarer."""

    def __init__(self, show: Callable[[], None], also: Callable[[str, Progress], None]) -> None:
        self._show = show
        self._also = also
        self._not_before = 0.0

    def __call__(self, phase: str, progress: Progress) -> None:
        self._also(phase, progress)
        start = time.monotonic()
        if start >= self._not_before:
            self._show()
            end = time.monotonic()
            self._not_before = end + _REST * (end - start)
