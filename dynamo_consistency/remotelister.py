"""Gets the files located at a site."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from actors.jobs import open_runtime, store_job
from actors.listing import Oversight, list_store
from actors.messages import Progress
from dynamo_consistency import config
from dynamo_consistency.datatypes import DirectoryInfo, of_site
from engine import paths
from storage.snapshot import part_of
from storage.source import site_source
from storage.tree_file import open_tree

_RUNTIME = "threads"
"""The runtime unless the configuration names one."""

_REST = 9
"""So many times as long as the last look at a growing tree took, none is taken."""


def listing(site: str, callback: Callable[[DirectoryInfo], None] | None = None, **kwargs: object) -> DirectoryInfo:
    """List a site; gives the tree named by RootPath.

    ``callback`` is called now and then with a tree of what is listed so far, and at last with the one that is returned.
    Whatever it raises, such as `messaging.Killed`, ends the listing.

    Raises:
        OSError, ConfigError, SourceError: the configuration cannot be used, or knows no such site or no door of it.
        Refused: no top directory could be listed.
        ListingFailed: the listing could not go on.
        RuntimeUnavailable: Ray could not be started or reached.
        TypeError: an option that there is not.
    """
    if kwargs:
        raise TypeError(f"listing() has no option {next(iter(kwargs))!r}")
    settings = config.site(site)
    source = site_source(settings)
    root = paths.decode(settings.root_path)
    with (
        tempfile.TemporaryDirectory(prefix="listing-", dir=config.vardir("work")) as work,
        open_runtime(settings.runtime or _RUNTIME, os.environ.get("RAY_ADDRESS") or None) as runtime,
    ):
        snapshot = Path(work, "listing.snapshot")
        job = store_job(source, settings, snapshot)
        oversight = Oversight() if callback is None else Oversight(watch=_Growing(part_of(snapshot), root, callback))
        list_store(runtime, job, oversight)
        # An open snapshot outlives its name.
        tree = open_tree(snapshot, of_site, root)
    if callback is not None:
        callback(tree)
    return tree


class _Growing:
    """Shows a growing tree. A look takes the longer the larger the tree is, so they become rarer."""

    def __init__(self, part: Path, root: str, callback: Callable[[DirectoryInfo], None]) -> None:
        self._part = part
        self._root = root
        self._callback = callback
        self._not_before = 0.0

    def __call__(self, _phase: str, _progress: Progress) -> None:
        start = time.monotonic()
        if start >= self._not_before:
            self._callback(open_tree(self._part, of_site, self._root))
            end = time.monotonic()
            self._not_before = end + _REST * (end - start)
