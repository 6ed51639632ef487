"""A tree of directories from entries in any order.

Nothing can be handed on before the last entry is read, since the first record names every directory below the root.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress, count, islice
from operator import ne

import numpy as np

from engine import paths
from engine.columns import NO_FILES, UNKNOWN_MTIME, DirectoryColumns
from engine.record import DirectoryRecord
from engine.states import State
from storage.inventory.entries import Rows
from storage.inventory.pool import FilePool, PooledFiles

_NOT_KEPT = -1
_UNKNOWN_MTIME = UNKNOWN_MTIME.to_bytes(8, "little", signed=True)


@dataclass(frozen=True, slots=True)
class TreeCounts:
    """What a tree holds and what did not go into it; ``bytes`` sums the known sizes.

    ``duplicates`` counts the entries that a later one of the same path replaced, ``conflicts`` those among them whose
    size was another, which is not known then, ``skipped`` those outside of the directories to keep.
    """

    files: int
    bytes: int
    directories: int
    duplicates: int
    conflicts: int
    skipped: int


class _Numbers(dict[bytes, int]):
    """Numbers directories (canonical, the root empty) as they are first met; one that is not kept gets -1."""

    def __init__(self, keep: Sequence[bytes]) -> None:
        super().__init__()
        self._keep = keep
        self.kept: list[bytes] = []

    def __missing__(self, directory: bytes) -> int:
        path = directory or b"/"
        number = _NOT_KEPT
        if not self._keep or any(paths.is_under(path, top) for top in self._keep):
            number = len(self.kept)
            self.kept.append(path)
        self[directory] = number
        return number


class TreeBuilder:
    """Takes rows, all with the same columns, and gives the records of the whole tree."""

    def __init__(self, keep: Sequence[bytes]) -> None:
        """Keep only what is below one of the canonical directories ``keep``, or everything if there is none."""
        self._numbers = _Numbers(keep)
        self._pool = FilePool()
        self._skipped = 0

    def add(self, rows: Rows) -> None:
        """Take more rows."""
        directories = rows.directories
        if not directories:
            return
        changes = compress(count(1), map(ne, directories, islice(directories, 1, None)))
        starts = np.fromiter((0, *changes), dtype=np.int64)
        numbers = np.array([self._numbers[directories[start]] for start in starts.tolist()], dtype=np.int32)
        if (numbers != _NOT_KEPT).all():
            self._pool.add(rows, starts, numbers)
            return
        kept = np.repeat(numbers != _NOT_KEPT, np.diff(starts, append=len(directories)))
        self._skipped += len(directories) - int(kept.sum())
        self.add(rows.select(kept.tolist()))

    def emit(self, append: Callable[[DirectoryRecord], None], listed_at: int) -> TreeCounts:
        """Hand every directory that has files, and every ancestor, to ``append``, in tree order."""
        kept = self._numbers.kept
        pooled = PooledFiles(self._pool, len(kept))
        numbers = {path: number for number, path in enumerate(kept)}
        order, children = _tree(kept)
        files = 0
        for path in order:
            number = numbers.get(path)
            columns = NO_FILES if number is None else pooled.files_of(number)
            names = children.pop(path, [])
            directories = DirectoryColumns(b"\0".join(names), _UNKNOWN_MTIME * len(names))
            append(DirectoryRecord(path, State.LISTED, listed_at=listed_at, files=columns, directories=directories))
            files += len(columns)
        return TreeCounts(files, pooled.bytes, len(order), pooled.duplicates, pooled.conflicts, self._skipped)


def _tree(directories: Sequence[bytes]) -> tuple[list[bytes], dict[bytes, list[bytes]]]:
    """Give the directories and all their ancestors in tree order, and the sorted names below each that has any."""
    known = set(directories)
    for path in directories:
        parent = paths.parent_of(path)
        while parent is not None and parent not in known:
            known.add(parent)
            parent = paths.parent_of(parent)
    order = sorted(known, key=paths.tree_key)
    children: dict[bytes, list[bytes]] = {}
    for path in order:
        parent = paths.parent_of(path)
        if parent is not None:
            children.setdefault(parent, []).append(paths.name_of(path))
    return order, children
