"""Reads dumps from bytes, for tests."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from storage.inventory import open_inventory
from storage.inventory.misfits import Misfits


@dataclass
class Read:
    """What was read: (path, size, mtime, checksum) of each file in the order of the dump."""

    format: str = ""
    lines: int = 0
    files: list[tuple[bytes, int, int, bytes]] = field(default_factory=list)
    sites: list[bytes] = field(default_factory=list)
    misfits: Misfits = field(default_factory=lambda: Misfits(""))

    @property
    def paths(self) -> list[bytes]:
        return [path for path, *_ in self.files]

    @property
    def facts(self) -> list[tuple[bytes, int, int]]:
        return [(path, size, mtime) for path, size, mtime, _ in self.files]


def read(content: bytes, name: str = "dump", **options: Any) -> Read:
    """Read a dump with its checksums; the options are those of `open_inventory`."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, name)
        path.write_bytes(content)
        return read_file(path, **options)


def read_file(path: Path, **options: Any) -> Read:
    found = Read()
    with open_inventory(path, **{"checksums": True, **options}) as reading:
        found.format = reading.format
        for rows in reading.rows:
            count = len(rows.names)
            sizes = [UNKNOWN_SIZE] * count if rows.sizes is None else rows.sizes.tolist()
            mtimes = [UNKNOWN_MTIME] * count if rows.mtimes is None else rows.mtimes.tolist()
            paths = [above + b"/" + name for above, name in zip(rows.directories, rows.names, strict=True)]
            checksums = rows.checksums or [b""] * count
            found.files += zip(paths, sizes, mtimes, checksums, strict=True)
            found.sites += rows.sites or []
    found.lines, found.misfits = reading.lines, reading.misfits
    return found
