"""Gets the information from the inventory about a site's contents."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dynamo_consistency import config
from dynamo_consistency.cache import cache_tree
from dynamo_consistency.datatypes import DirectoryInfo, of_site
from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from storage.backends import choose
from storage.backends.into_snapshot import inventory_of_backend
from storage.trees.file import open_tree

if TYPE_CHECKING:
    from storage.config.site import SiteConfig


@cache_tree("InventoryAge", "inventory")
def listing(site: str, callback: Callable[[DirectoryInfo], None] | None = None, **kwargs: object) -> DirectoryInfo:
    """Give the tree of files that are supposed to be at a site, named by RootPath; from a cache if it is new enough.

    Only what is inside of the configured directories is in it. ``callback`` is called with the tree once it was read.
    ``cache`` is another name for the cache; see `cache.cache_tree`.

    Raises:
        OSError, ConfigError: the configuration cannot be used, or knows no such site or no inventory for it.
        InventoryError, BackendError: the inventory cannot be used.
        TypeError: an option that there is not.
    """
    if kwargs:
        raise TypeError(f"listing() has no option {next(iter(kwargs))!r}")
    settings = config.site(site)
    tree = _read(settings, settings.directories)
    if callback is not None:
        callback(tree)
    return tree


def filter_files(site: str, pathstrip: int) -> Iterator[tuple[str, int | None, int | None, str]]:
    """Give (LFN, size in bytes, mtime in seconds since the epoch, block) of each file in DirectoryList, in tree order.

    These are for `DirectoryInfo.add_file_list`; None stands for what is not known. ``pathstrip`` is the length of the
    root node's name, which is cut from the names of directories before they are looked for in DirectoryList.

    Raises:
        OSError, ConfigError, InventoryError, BackendError: see `listing`.
    """
    settings = config.site(site)
    root = settings.root_path
    wanted = [top[len(root) :].strip(paths.SEPARATOR) for top in settings.directories]
    for _, where, node in _read(settings, (root,)).walk(root):
        inside = paths.encode(paths.decode(where)[pathstrip:]).strip(paths.SEPARATOR)
        if not any(top == b"" or paths.is_under(inside, top) for top in wanted):
            continue
        columns = node.columns()
        blocks = columns.block_list() or [b""] * len(columns)
        for (name, size, mtime), block in zip(columns.rows(), blocks, strict=True):
            yield (
                paths.decode(paths.join(where, name)),
                None if size == UNKNOWN_SIZE else size,
                None if mtime == UNKNOWN_MTIME else mtime,
                paths.decode(block),
            )


def _read(settings: SiteConfig, keep: tuple[bytes, ...]) -> DirectoryInfo:
    backends = choose(config.current(), settings)
    with tempfile.TemporaryDirectory(prefix="inventory-", dir=config.vardir("work")) as work:
        snapshot = Path(work, "inventory.snapshot")
        # A tree cannot say that something may be there which is not in it.
        inventory_of_backend(backends, settings, snapshot, keep, whole=True)
        # An open snapshot outlives its name.
        return open_tree(snapshot, of_site, paths.decode(settings.root_path))
