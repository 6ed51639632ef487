"""The tree of directories, the comparison of two of them, and the file that one can be kept in."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar, cast

from dynamo_consistency import config
from engine import paths
from engine import tree as engine_tree
from engine.tree import BadPath, NotEmpty
from storage.atomic import AtomicFile
from storage.trees.file import open_tree, write_tree

__all__ = ["BadPath", "Differences", "DirectoryInfo", "NotEmpty", "compare", "get_info", "of_site"]


class _ConfiguredAge:
    """Asks the configuration each time, since it may be chosen after the first tree was made."""

    def __get__(self, node: object, owner: type[DirectoryInfo]) -> float:
        return config.ignore_age(owner.site)


class DirectoryInfo(engine_tree.DirectoryInfo):
    """A directory and everything below it; IgnoreAge comes from the configuration.

    ``name`` is the name of the directory. ``directories`` are nodes that become its sub-directories; those of the same
    name are merged. ``files`` are (name, size in bytes, mtime in seconds since the epoch[, block]) tuples.
    """

    __slots__ = ()

    site: ClassVar[str] = ""
    """The site whose settings count for the tree; with an empty one it is ``config.SITE``."""

    clock = staticmethod(time.time)
    ignore_age = cast(float, _ConfiguredAge())

    def save(self, file_name: str | os.PathLike[str]) -> None:
        """Save the tree in a file, a snapshot, which `get_info` opens again.

        Raises:
            BadPath: the name of the tree is no path.
            ValueError: the file is named like an unfinished snapshot.
            SnapshotError, OSError: the file cannot be written.
        """
        write_tree(self, Path(file_name), self.site)


class Differences(tuple[list[str], list[str]]):
    """The missing files and the orphans, as LFNs, and the bytes of each."""

    missing_size: int = 0
    orphan_size: int = 0


def compare(
    inventory: engine_tree.DirectoryInfo,
    listing: engine_tree.DirectoryInfo,
    output_base: str | os.PathLike[str] | None = None,
    orphan_check: Callable[[str], bool] | None = None,
    missing_check: Callable[[str], bool] | None = None,
) -> Differences:
    """Compare what should be at a site with what was listed there; gives the tuple (missing, orphan).

    A file whose LFN the check is true for is left out. With a non-empty ``output_base`` the lists are written to
    ``OUTPUT_BASE_missing.txt`` and ``OUTPUT_BASE_orphan.txt``, one LFN a line with control characters escaped.

    Nothing in, or below, a directory that could not be listed is reported. Unlike the command ``check``, this does not
    ask the site again for each file that the listing does not show.

    Raises:
        ReportError: a list cannot be written.
    """
    missing, _, missing_size = inventory.compare(listing, check=missing_check)
    orphan, _, orphan_size = listing.compare(inventory, check=orphan_check)
    found = Differences((missing, orphan))
    found.missing_size, found.orphan_size = missing_size, orphan_size
    if output_base:
        with (
            AtomicFile(Path(f"{output_base}_missing.txt")) as missing_list,
            AtomicFile(Path(f"{output_base}_orphan.txt")) as orphan_list,
        ):
            _write(missing_list, missing)
            _write(orphan_list, orphan)
    return found


def get_info(file_name: str | os.PathLike[str]) -> DirectoryInfo:
    """Open the tree in a file that `DirectoryInfo.save` or ``dynamo-consistency list`` wrote.

    Directories and files are read from it when they are asked for. The hashes are not set up.

    Raises:
        SnapshotError: not such a file, or a damaged one.
        OSError: the file cannot be read.
    """
    return open_tree(Path(file_name), of_site)


@functools.cache
def of_site(name: str) -> type[DirectoryInfo]:
    """Give the class of the trees of one site, which have that site's IgnoreAge."""
    if not name:
        return DirectoryInfo

    class SiteDirectoryInfo(DirectoryInfo):
        __slots__ = ()
        site = name

    return SiteDirectoryInfo


def _write(file: AtomicFile, names: Iterable[str]) -> None:
    for name in names:
        file.write(f"{paths.escape(paths.encode(name))}\n")
