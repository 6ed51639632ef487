"""What a comparison finds, grouped by directory and held in columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import msgpack

from engine.columns import NO_FILES, UNKNOWN_MTIME, FileColumns


class Kind(IntEnum):
    """The kinds of findings. The values are part of the messages and of the history database."""

    MISSING = 1
    """In the inventory; the store denies it."""
    ORPHAN = 2
    """On the store; the inventory does not know it."""
    SIZE_MISMATCH = 3
    """In both, with another size."""
    EMPTY = 4
    """A directory below which there is no file."""
    CHECKSUM_MISMATCH = 5
    """In both, with the same size and another checksum."""


_KINDS = {int(kind): kind for kind in Kind}


@dataclass(frozen=True, slots=True)
class Finding:
    """All findings of one kind in one directory.

    ``files`` are the files found, with the sizes (bytes) and mtimes of the side that has them; for a size mismatch they
    are the inventory's, and ``remote_sizes`` are the store's, little-endian int64. For an empty directory there are no
    files and ``mtime`` is the directory's own, in seconds since the epoch. ``checksums``, of checksum mismatches, are
    the inventory's and the store's, one pair of texts for each file.
    """

    kind: Kind
    directory: bytes
    files: FileColumns = NO_FILES
    remote_sizes: bytes = b""
    mtime: int = UNKNOWN_MTIME
    checksums: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        """Count the findings: files, or 1 for an empty directory."""
        return 1 if self.kind == Kind.EMPTY else len(self.files)


def pack_findings(findings: Iterable[Finding]) -> bytes:
    """Encode a batch for a message."""
    packed: bytes = msgpack.packb(
        [
            (
                int(f.kind),
                f.directory,
                f.files.names,
                f.files.sizes,
                f.files.mtimes,
                f.files.blocks,
                f.remote_sizes,
                f.mtime,
                f.checksums,
            )
            for f in findings
        ]
    )
    return packed


def unpack_findings(packed: bytes) -> list[Finding]:
    """Decode a batch that `pack_findings` made."""
    rows: Any = msgpack.unpackb(packed)
    return [
        Finding(
            *(_KINDS[kind], directory, FileColumns(names, sizes, mtimes, blocks), remote_sizes, mtime),
            checksums=tuple((expected, found) for expected, found in checksums),
        )
        for kind, directory, names, sizes, mtimes, blocks, remote_sizes, mtime, checksums in rows
    ]
