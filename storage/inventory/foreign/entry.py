"""What one line, element or record of a dump says, for those that are read one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from storage.inventory.entries import Rows, read_path


class Entry(NamedTuple):
    """One file: its directory (the root as empty) and name; size in bytes, mtime in seconds since the epoch.

    ``checksum`` is as it stands in the dump, and ``site`` says whose row it is; empty when there is none.
    """

    directory: bytes
    name: bytes
    size: int = UNKNOWN_SIZE
    mtime: int = UNKNOWN_MTIME
    checksum: bytes = b""
    site: bytes = b""


class HalfRead(ValueError):
    """Of a line only the path could be read; the message says what was expected."""

    def __init__(self, expected: str, entry: Entry) -> None:
        super().__init__(expected)
        self.entry = entry


class Holds(NamedTuple):
    """Which columns a dump has besides the path; ``rses``: the sites go by the names of their RSEs."""

    sizes: bool = True
    times: bool = False
    checksums: bool = False
    sites: bool = False
    rses: bool = False


def locate(path: bytes, root: bytes | None) -> tuple[bytes, bytes]:
    """Give directory and name of a path that may have any byte in it; a relative one is joined to ``root``."""
    if b"\0" in path:
        raise ValueError("a path without NUL bytes")
    return read_path(path, root)


def rows_of_entries(entries: Sequence[Entry], holds: Holds) -> Rows:
    """Turn entries into columns."""
    columns = list(zip(*entries, strict=True)) or [()] * len(Entry._fields)
    directories, names, sizes, mtimes, checksums, sites = map(list, columns)
    return Rows(
        directories,
        names,
        np.array(sizes, dtype=np.int64) if holds.sizes else None,
        np.array(mtimes, dtype=np.int64) if holds.times else None,
        sites=sites if holds.sites else None,
        checksums=checksums if holds.checksums else None,
    )
