"""The columns of a table that mean something, found by their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

PATH_COLUMNS = (b"lfn", b"path", b"file", b"name", b"pfn")
SIZE_COLUMNS = (b"size", b"bytes", b"filesize")
TIME_COLUMNS = (b"mtime", b"timestamp", b"date")
BLOCK_COLUMNS = (b"block",)
DATASET_COLUMNS = (b"dataset",)
GROUP_COLUMNS = (b"group", b"owner")
SITE_COLUMNS = (b"site",)
PROTECTED_COLUMNS = (b"protected",)
CHECKSUM_COLUMNS = (b"checksum", b"adler32", b"md5")
STATE_COLUMNS = (b"state",)
SCOPE_COLUMNS = (b"scope",)
REPLICA_COLUMNS = (SCOPE_COLUMNS, (b"rse",), (b"update_date", b"updated_at"), (b"creation_date", b"created_at"))
"""Those of replicas of Rucio, besides ``name``: its scope, whose it is, and when it was last changed, and made."""
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
"""The names of each column that means something in any table, in the order of the positions in a `Columns`."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The position of each column of a table that means something; None: there is no such column.

    With a ``scope``, these are replicas of Rucio: where the path is that of ``name``, or there is none in it, it
    follows from both. ``made`` is when one was made, where ``mtime`` is not known. ``rse`` names the RSE of each row.
    """

    path: int
    size: int | None = None
    mtime: int | None = None
    block: int | None = None
    dataset: int | None = None
    group: int | None = None
    site: int | None = None
    protected: int | None = None
    checksum: int | None = None
    state: int | None = None
    scope: int | None = None
    name: int | None = None
    made: int | None = None
    rse: int | None = None


def find_columns(names: Sequence[bytes], *, replicas: bool = False) -> Columns | None:
    """Find the columns by their names, in any case; None when none of them is a path.

    Only where rows may be ``replicas`` of Rucio, their columns mean something, and so does that of their state.

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
    columns = Columns(path, *others)
    return _of_replicas(lowered, columns) if replicas else columns


def _of_replicas(names: Sequence[bytes], columns: Columns) -> Columns:
    """Add what is there only of replicas, each of whose names may come once."""

    def at(known: Sequence[bytes]) -> int | None:
        positions = _positions(names, known)
        if len(positions) > 1 and names[positions[0]] == names[positions[1]]:
            raise ValueError("a header that names each column once")
        return positions[0] if positions else None

    scope, rse, changed, made = map(at, REPLICA_COLUMNS)
    columns = replace(columns, state=at(STATE_COLUMNS), rse=rse, site=rse if columns.site is None else columns.site)
    # Whoever names an LFN, or a file, knows its path.
    if scope is None or b"name" not in names or names[columns.path] not in (b"path", b"name"):
        return columns
    return replace(
        columns,
        scope=scope,
        name=names.index(b"name"),
        site=columns.site if rse is None else rse,
        mtime=columns.mtime if changed is None else changed,
        made=made,
    )


def _positions(names: Sequence[bytes], known: Iterable[bytes]) -> list[int]:
    """Give the positions of columns with a known name, the most telling first."""
    return [at for name in known for at, found in enumerate(names) if found == name]
