"""The files of one directory as sorted columns.

A file costs its name, a separator and 16 bytes here, instead of a dictionary of several hundred. The columns are
kept as bytes, exactly as they stand in a snapshot and travel between actors, and are viewed through numpy or split
into lists only by whoever needs them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

try:
    # What hashlib gives, without loading OpenSSL, which every comparison would wait for.
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

UNKNOWN_SIZE = -1
"""The size, in bytes, of a file whose source gives names only. It agrees with every size."""

UNKNOWN_MTIME = -(2**63)
"""The modification time, in seconds since the epoch, of an entry whose source gives none. It counts as old."""

UNSETTLED_MTIME = 2**63 - 1
"""The modification time of a file of which nobody can say whether it is there, such as a replica on its way in or out.
It is younger than any age limit, and no finding where there is none."""

_UNSETTLED = UNSETTLED_MTIME.to_bytes(8, "little", signed=True)

DIGEST_SIZE = 16
NO_DIGEST = bytes(DIGEST_SIZE)
"""Stands in an index where a directory has no complete listing."""

LARGEST_SIZE = 2**63 - 1
"""What an index holds for the bytes of a directory of which there are more than that."""

_FEW = 1000
"""Below so many files a plain loop costs little, and numpy need not be loaded for them, which takes 0.07 s."""

_FILES_HASHER = blake2b(b"dynamo-consistency files 1\0", digest_size=DIGEST_SIZE)
"""To be copied: it has read what each digest begins with."""

Int64s: TypeAlias = "npt.NDArray[np.int64]"

Numbers = memoryview
"""A column of int64 as plain bytes hold it, to be indexed and summed without numpy; `numpy.asarray` copies nothing."""


def numbers(packed: bytes | array[int]) -> Numbers:
    """View little-endian int64 values.

    Raises:
        TypeError: the bytes are no whole number of values.
    """
    return memoryview(packed).cast("B").cast("q")


def age_limit(young_after: float | None, mtimes: bytes) -> float | None:
    """Give the time up to which files are old enough to be judged; None where all of them are.

    ``mtimes`` are those of the files, and ``young_after`` the limit that is set, None when there is none.
    """
    return UNSETTLED_MTIME - 1 if young_after is None and _UNSETTLED in mtimes else young_after


def _check_columns(names: bytes, values: bytes) -> None:
    if not (isinstance(names, bytes) and isinstance(values, bytes)) or len(values) & 7:
        raise ValueError("columns that are none")
    if names.count(b"\0") + 1 != len(values) >> 3 and (names or values):
        raise ValueError("another number of names than of values")


@dataclass(frozen=True, slots=True)
class FileColumns:
    """Files of one directory, sorted by name (byte order), each name once.

    ``names`` are separated by NUL; ``sizes`` (bytes) and ``mtimes`` (seconds since the epoch) are little-endian int64,
    one for each name. ``blocks`` is empty, or names the block of each file, separated by NUL.
    """

    names: bytes = b""
    sizes: bytes = b""
    mtimes: bytes = b""
    blocks: bytes = b""

    def __len__(self) -> int:
        return len(self.sizes) >> 3

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[bytes, int, int]]) -> FileColumns:
        """Build from (name, size, mtime) rows in any order; of rows with the same name the last one stays."""
        unique = {row[0]: row for row in rows}
        return cls.from_sorted_rows(sorted(unique.values()))

    @classmethod
    def from_sorted_rows(cls, rows: Sequence[tuple[bytes, int, int]]) -> FileColumns:
        """Build from (name, size, mtime) rows that are sorted by name and have each name once."""
        if not rows:
            return NO_FILES
        names, sizes, mtimes = zip(*rows, strict=True)
        return cls(b"\0".join(names), array("q", sizes).tobytes(), array("q", mtimes).tobytes())

    def check(self) -> None:
        """Make sure that columns which come from outside belong together.

        Raises:
            ValueError: they are no bytes, or not of equal length.
        """
        names, sizes, mtimes, blocks = self.names, self.sizes, self.mtimes, self.blocks
        _check_columns(names, mtimes)
        if not (isinstance(sizes, bytes) and isinstance(blocks, bytes)) or len(sizes) != len(mtimes):
            raise ValueError("columns of different length")
        if blocks and blocks.count(b"\0") + 1 != len(sizes) >> 3:
            raise ValueError("another number of blocks than of files")

    def name_list(self) -> list[bytes]:
        """Split the names."""
        return self.names.split(b"\0") if self.sizes else []

    def block_list(self) -> list[bytes]:
        """Split the blocks; empty when the source has none."""
        return self.blocks.split(b"\0") if self.blocks else []

    def size_array(self) -> Int64s:
        """View the sizes in bytes; ``UNKNOWN_SIZE`` where not known."""
        import numpy as np

        return np.frombuffer(self.sizes, dtype="<i8")

    def mtime_array(self) -> Int64s:
        """View the modification times in seconds since the epoch; ``UNKNOWN_MTIME`` where not known."""
        import numpy as np

        return np.frombuffer(self.mtimes, dtype="<i8")

    def rows(self) -> list[tuple[bytes, int, int]]:
        """Give (name, size, mtime) rows in the order of the names."""
        return list(zip(self.name_list(), self.size_array().tolist(), self.mtime_array().tolist(), strict=True))

    def select(self, positions: Sequence[int]) -> FileColumns:
        """Keep the files at these positions, which must ascend."""
        names = self.name_list()
        return self.pick({position: names[position] for position in positions})

    def pick(self, chosen: dict[int, bytes]) -> FileColumns:
        """Keep the files with these names, given by their positions, which must ascend."""
        sizes, mtimes = self.sizes, self.mtimes
        if len(chosen) == 1 and not self.blocks:
            # By far the most frequent: one file of a directory is missing, or one too many.
            ((i, name),) = chosen.items()
            return FileColumns(name, sizes[i << 3 : (i + 1) << 3], mtimes[i << 3 : (i + 1) << 3])
        blocks = self.block_list()
        return FileColumns(
            b"\0".join(chosen.values()),
            b"".join([sizes[i << 3 : (i + 1) << 3] for i in chosen]),
            b"".join([mtimes[i << 3 : (i + 1) << 3] for i in chosen]),
            b"\0".join([blocks[i] for i in chosen]) if blocks else b"",
        )

    def total_size(self) -> int:
        """Sum the known sizes, in bytes; where they are too large to be true it does not fit into 64 bits."""
        if len(self) < _FEW:
            return sum([size for size in array("q", self.sizes) if size > 0])
        sizes = self.size_array()
        if int(sizes.max()) > LARGEST_SIZE // len(sizes):
            return sum([size for size in array("q", self.sizes) if size > 0])
        return int(sizes.sum()) if sizes.min() >= 0 else int(sizes[sizes > 0].sum())

    def newest(self) -> int:
        """Give the latest known mtime, or ``UNKNOWN_MTIME``."""
        if len(self) < _FEW:
            return max(array("q", self.mtimes), default=UNKNOWN_MTIME)
        return int(self.mtime_array().max())

    def digest(self) -> bytes:
        """Hash names and sizes, 16 bytes.

        Every part is preceded by its length and the whole by its type, so that no two different sets of files give the
        same input. Times are not part of it: a digest knows no clock.
        """
        hasher = _FILES_HASHER.copy()
        hasher.update(len(self).to_bytes(8, "little") + len(self.names).to_bytes(8, "little"))
        hasher.update(self.names)
        hasher.update(self.sizes)
        return hasher.digest()


NO_FILES = FileColumns()


@dataclass(frozen=True, slots=True)
class DirectoryColumns:
    """Sub-directories of one directory, sorted by name (byte order), each once; encoded as in `FileColumns`.

    ``ids`` is empty, or has an int64 for each name by which the store tells directories apart, 0 where not known. It
    says the same of a link and of what that leads to; different directories may have the same one. Columns that differ
    in nothing else are equal.
    """

    names: bytes = b""
    mtimes: bytes = b""
    ids: bytes = field(default=b"", compare=False)

    def __len__(self) -> int:
        return len(self.mtimes) >> 3

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[bytes, int]]) -> DirectoryColumns:
        """Build from (name, mtime) rows in any order; of rows with the same name the last one stays."""
        ordered = sorted(dict(rows).items())
        return cls(b"\0".join([name for name, _ in ordered]), array("q", [m for _, m in ordered]).tobytes())

    @classmethod
    def with_ids(cls, rows: Iterable[tuple[bytes, int, int]]) -> DirectoryColumns:
        """Build from (name, mtime, id) rows in any order, each name once; ids that are all 0 are left out."""
        ordered = sorted(rows)
        if not ordered:
            return NO_DIRECTORIES
        names, mtimes, ids = zip(*ordered, strict=True)
        packed = array("q", ids).tobytes() if any(ids) else b""
        return cls(b"\0".join(names), array("q", mtimes).tobytes(), packed)

    def check(self) -> None:
        """Make sure that columns which come from outside belong together; raises ``ValueError``."""
        _check_columns(self.names, self.mtimes)
        if not isinstance(self.ids, bytes) or (self.ids and len(self.ids) != len(self.mtimes)):
            raise ValueError("another number of ids than of directories")

    def name_list(self) -> list[bytes]:
        """Split the names."""
        return self.names.split(b"\0") if self.mtimes else []

    def mtime_list(self) -> list[int]:
        """Give the modification times in seconds since the epoch; ``UNKNOWN_MTIME`` where not known."""
        return array("q", self.mtimes).tolist()

    def id_list(self) -> list[int]:
        """Give the ids; 0 where not known."""
        return array("q", self.ids).tolist() if self.ids else [0] * len(self)


NO_DIRECTORIES = DirectoryColumns()
