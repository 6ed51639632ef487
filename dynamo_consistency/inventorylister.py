"""Gets the information from the inventory about a site's contents."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from actors.jobs import inventory_into_snapshot
from dynamo_consistency import config
from dynamo_consistency.datatypes import DirectoryInfo, of_site
from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from storage.config_file import ConfigError
from storage.tree_file import open_tree

if TYPE_CHECKING:
    from storage.site_config import SiteConfig


def listing(site: str, callback: Callable[[DirectoryInfo], None] | None = None, **kwargs: object) -> DirectoryInfo:
    """Give the tree of files that are supposed to be at a site, named by RootPath.

    Only what is inside of the configured directories is in it. ``callback`` is called with the tree once it is there.

    Raises:
        OSError, ConfigError: the configuration cannot be used, or knows no such site or no inventory for it.
        InventoryError: the inventory cannot be used.
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
        OSError, ConfigError, InventoryError: see `listing`.
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
    if settings.inventory is None:
        raise ConfigError(f"no inventory for {settings.name}: set Sites.{settings.name}.Inventory")
    with tempfile.TemporaryDirectory(prefix="inventory-", dir=config.vardir("work")) as work:
        snapshot = Path(work, "inventory.snapshot")
        inventory_into_snapshot(settings.inventory, snapshot, settings, keep)
        # An open snapshot outlives its name.
        return open_tree(snapshot, of_site, paths.decode(settings.root_path))
