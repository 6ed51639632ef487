"""The columns of a table that mean something, found by their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PATH_COLUMNS = (b"lfn", b"path", b"file", b"name", b"pfn")
SIZE_COLUMNS = (b"size", b"bytes", b"filesize")
TIME_COLUMNS = (b"mtime", b"timestamp", b"date")
BLOCK_COLUMNS = (b"block",)
DATASET_COLUMNS = (b"dataset",)
GROUP_COLUMNS = (b"group", b"owner")
SITE_COLUMNS = (b"site",)
PROTECTED_COLUMNS = (b"protected",)
CHECKSUM_COLUMNS = (b"checksum", b"adler32", b"md5")
KNOWN_COLUMNS = (
    PATH_COLUMNS,
    SIZE_COLUMNS,
    TIME_COLUMNS,
    BLOCK_COLUMNS,
    DATASET_COLUMNS,
    GROUP_COLUMNS,
    SITE_COLUMNS,
    PROTECTED_COLUMNS,
    CHECKSUM_COLUMNS,
)
"""The names of each column that means something, in the order of the positions in a `Columns`."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The position of each column of a table that means something; None: there is no such column."""

    path: int
    size: int | None = None
    mtime: int | None = None
    block: int | None = None
    dataset: int | None = None
    group: int | None = None
    site: int | None = None
    protected: int | None = None
    checksum: int | None = None


def find_columns(names: Sequence[bytes]) -> Columns | None:
    """Find the columns by their names, in any case; None when none of them is a path.

    Raises:
        ValueError: a name comes twice; says what was expected.
    """
    lowered = [name.strip().lower() for name in names]
    found = [_positions(lowered, known) for known in KNOWN_COLUMNS]
    if not found[0]:
        return None
    for positions in found:
        if len(positions) > 1 and lowered[positions[0]] == lowered[positions[1]]:
            raise ValueError("a header that names each column once")
    path, *others = (positions[0] if positions else None for positions in found)
    assert path is not None
    return Columns(path, *others)


def _positions(names: Sequence[bytes], known: Iterable[bytes]) -> list[int]:
    """Give the positions of columns with a known name, the most telling first."""
    return [at for name in known for at, found in enumerate(names) if found == name]
