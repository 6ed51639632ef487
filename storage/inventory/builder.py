"""A tree of directories from entries in any order.

Nothing can be handed on before the last entry is read, since the first record names every directory below the root.
Until then the files are held in memory up to `HELD`, and what is more is set aside on disk: memory grows with the
directories and, where there are some, the names of blocks, but not with the files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress, count, islice
from operator import ne
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from engine import paths
from engine.columns import NO_FILES, UNKNOWN_MTIME, DirectoryColumns, Int64s
from engine.record import DirectoryRecord
from engine.states import State
from storage.inventory.entries import Rows
from storage.inventory.pieces import PieceJoiner
from storage.inventory.pool import FilePool, PooledFiles
from storage.inventory.spill import Spill, pieces_of

HELD = 96 << 20
"""Bytes of files, as a pool holds them, above which they are set aside; the most that is held for them is about twice
that, since they have to be grouped."""

_NOT_KEPT = -1
_LIMIT = 1 << 63
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
    """Takes rows, all with the same columns, and gives the records of the whole tree.

    To be used in a ``with``, at whose end what was set aside is given back.
    """

    def __init__(self, keep: Sequence[bytes], scratch: Path | None = None, held: int = HELD) -> None:
        """Keep only what is below one of the canonical directories ``keep``, or everything if there is none.

        More than ``held`` bytes of files are set aside in the directory ``scratch``; in ``TMPDIR`` when it is None.
        """
        self._numbers = _Numbers(keep)
        self._blocks: dict[bytes, int] = {}
        self._pool = FilePool(self._blocks)
        self._spills: list[Spill] = []
        self._scratch = scratch
        self._held = held
        self._skipped = 0
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back what was set aside on disk."""
        while self._spills:
            self._spills.pop().close()

    def add(self, rows: Rows) -> None:
        """Take more rows.

        Raises:
            OSError: they cannot be set aside.
        """
        directories = rows.directories
        if not directories:
            return
        changes = compress(count(1), map(ne, directories, islice(directories, 1, None)))
        starts = np.fromiter((0, *changes), dtype=np.int64)
        numbers = np.array([self._numbers[directories[start]] for start in starts.tolist()], dtype=np.int32)
        if (numbers != _NOT_KEPT).all():
            self._pool.add(rows, starts, numbers)
            self._bytes += 0 if rows.sizes is None else _total(rows.sizes)
            if self._pool.held > self._held:
                self._set_aside()
            return
        kept = np.repeat(numbers != _NOT_KEPT, np.diff(starts, append=len(directories)))
        self._skipped += len(directories) - int(kept.sum())
        self.add(rows.select(kept.tolist()))

    def _set_aside(self) -> None:
        self._spills.append(Spill(PooledFiles(self._pool), self._numbers.kept, self._scratch))
        self._pool = FilePool(self._blocks)

    def _check_spills(self) -> None:
        for spill in self._spills:
            spill.check_end()

    def emit(self, append: Callable[[DirectoryRecord], None], listed_at: int) -> TreeCounts:
        """Hand every directory that has files, and every ancestor, to ``append``, in tree order.

        Raises:
            OSError: what was set aside cannot be read.
        """
        kept = self._numbers.kept
        pooled = PooledFiles(self._pool)
        places = {number: place for place, number in enumerate(pooled.directories)}
        joiner = PieceJoiner(self._blocks)
        numbers = {path: number for number, path in enumerate(kept)}
        order, children = _tree(kept)
        files = 0
        for path in order:
            number = numbers.get(path)
            columns = NO_FILES
            if number is not None:
                pieces = list(pieces_of(number, self._spills))
                if number in places:
                    pieces.append(pooled.piece_at(places[number]))
                if not pieces:
                    # Each directory has some, so that its number was misread in a spill, which is not at its end then.
                    self._check_spills()
                columns = joiner.join(pieces)
            names = children.pop(path, [])
            directories = DirectoryColumns(b"\0".join(names), _UNKNOWN_MTIME * len(names))
            append(DirectoryRecord(path, State.LISTED, listed_at=listed_at, files=columns, directories=directories))
            files += len(columns)
        self._check_spills()
        size = self._bytes - joiner.dropped
        return TreeCounts(files, size, len(order), joiner.duplicates, joiner.conflicts, self._skipped)


def _total(sizes: Int64s) -> int:
    """Sum the known sizes, also where they are too large to be true."""
    known = sizes.clip(0)
    return int(known.sum()) if int(known.max()) * len(known) < _LIMIT else sum(known.tolist())


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
