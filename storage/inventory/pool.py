"""Files of many directories, held compactly while their inventory is read in any order.

A run is a stretch of rows of one directory. The names of all files stand one behind the other, each ended by NUL, in
the order in which they came; a run knows its directory, its first row, its first byte and whether its names ascend. An
entry costs its name, a separator and 8 bytes for each of size, time and block; a run costs 21 bytes.
"""

from __future__ import annotations

from itertools import compress, count, islice, pairwise
from operator import eq, ge

import numpy as np
import numpy.typing as npt

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, FileColumns, Int64s
from storage.inventory.entries import Rows

_UNKNOWN_MTIME = UNKNOWN_MTIME.to_bytes(8, "little", signed=True)
_UNKNOWN_SIZE = UNKNOWN_SIZE.to_bytes(8, "little", signed=True)

_LIMIT = 1 << 63

Numbers = npt.NDArray[np.int32]


class FilePool:
    """Takes rows, all with the same columns, and gives them back by directory when all are in."""

    def __init__(self) -> None:
        self.names = bytearray()
        self.sizes = bytearray()
        self.mtimes = bytearray()
        self.blocks = bytearray()
        self.block_numbers: dict[bytes, int] = {}
        self.rows = 0
        self.bytes = 0
        self.run_directories = bytearray()
        self.run_rows = bytearray()
        self.run_bytes = bytearray()
        self.run_ascends = bytearray()

    def add(self, rows: Rows, starts: Int64s, directories: Numbers) -> None:
        """Take rows; a run begins at each of ``starts``, in the directory with the number at its place."""
        names = b"\0".join(rows.names) + b"\0"
        behind = np.flatnonzero(np.frombuffer(names, dtype=np.uint8) == 0) + 1
        first_bytes = np.where(starts == 0, 0, behind[starts - 1])
        self.run_directories += directories.tobytes()
        self.run_rows += (starts + self.rows).tobytes()
        self.run_bytes += (first_bytes + len(self.names)).tobytes()
        self.run_ascends += _ascending(rows.names, starts)
        self.rows += len(rows.names)
        self.names += names
        if rows.sizes is not None:
            self.sizes += rows.sizes.tobytes()
            self.bytes += _total(rows.sizes)
        if rows.mtimes is not None:
            self.mtimes += rows.mtimes.tobytes()
        if rows.blocks is not None:
            known = self.block_numbers
            numbers = [known.setdefault(block, len(known)) for block in rows.blocks]
            self.blocks += np.array(numbers, dtype=np.int64).tobytes()


def _total(sizes: Int64s) -> int:
    """Sum the known sizes, also where they are too large to be true."""
    known = sizes.clip(0)
    return int(known.sum()) if int(known.max()) * len(known) < _LIMIT else sum(known.tolist())


def _ascending(names: list[bytes], starts: Int64s) -> bytes:
    """Tell for each run, as a byte, whether each of its names is greater than the one before."""
    ascending = np.ones(len(starts), dtype=np.uint8)
    falls = np.fromiter(compress(count(1), map(ge, names, islice(names, 1, None))), dtype=np.int64)
    runs = np.searchsorted(starts, falls, side="right") - 1
    ascending[runs[starts[runs] != falls]] = 0
    return ascending.tobytes()


class PooledFiles:
    """The files of each directory in a full pool.

    ``duplicates`` counts the entries so far that a later one of the same path replaced, ``conflicts`` those among them
    whose size was another than that of the later one, and ``bytes`` sums the known sizes.
    """

    def __init__(self, pool: FilePool, directories: int) -> None:
        """Group the runs of ``pool`` for directory numbers from 0 to ``directories`` - 1."""
        numbers = np.frombuffer(pool.run_directories, dtype=np.int32)
        self._runs = np.argsort(numbers, kind="stable")
        self._bounds = np.searchsorted(numbers[self._runs], np.arange(directories + 1)).tolist()
        # The end of the last run; the pool must not grow any more.
        pool.run_rows += pool.rows.to_bytes(8, "little")
        pool.run_bytes += len(pool.names).to_bytes(8, "little")
        self._rows = memoryview(pool.run_rows).cast("q")
        self._bytes = memoryview(pool.run_bytes).cast("q")
        self._row_array = np.frombuffer(pool.run_rows, dtype=np.int64)
        self._byte_array = np.frombuffer(pool.run_bytes, dtype=np.int64)
        self._ascends = np.frombuffer(pool.run_ascends, dtype=np.bool_)
        self._names = pool.names
        self._sizes = np.frombuffer(pool.sizes, dtype=np.int64)
        self._mtimes = np.frombuffer(pool.mtimes, dtype=np.int64)
        self._blocks = np.frombuffer(pool.blocks, dtype=np.int64)
        self._block_names = list(pool.block_numbers)
        self.duplicates = 0
        self.conflicts = 0
        self.bytes = pool.bytes

    def files_of(self, directory: int) -> FileColumns:
        """Give the files of a directory by its number; of entries with the same name the last one stays.

        Its size is not known where that of another one differs.
        """
        runs = self._runs[self._bounds[directory] : self._bounds[directory + 1]]
        first = int(runs[0])
        if len(runs) == 1 and self._ascends[first]:
            names = bytes(self._names[self._bytes[first] : self._bytes[first + 1] - 1])
            return self._columns(names, slice(self._rows[first], self._rows[first + 1]))
        starts, ends = self._byte_array[runs].tolist(), self._byte_array[runs + 1].tolist()
        pieces = [self._names[start:end] for start, end in zip(starts, ends, strict=True)]
        names = b"".join(pieces)[:-1]
        rows = _ranges(self._row_array[runs], self._row_array[runs + 1])
        if self._ascends[runs].all() and all(_last(a) < _first(b) for a, b in pairwise(pieces)):
            return self._columns(names, rows)
        return self._sorted(names.split(b"\0"), rows)

    def _sorted(self, names: list[bytes], rows: Int64s) -> FileColumns:
        order = sorted(range(len(names)), key=names.__getitem__)
        ordered = [names[at] for at in order]
        replaced = [*map(eq, ordered, islice(ordered, 1, None)), False]
        if any(replaced):
            self._count_replaced(rows[order], replaced)
            order = [at for at, gone in zip(order, replaced, strict=True) if not gone]
            ordered = [names[at] for at in order]
        return self._columns(b"\0".join(ordered), rows[order])

    def _count_replaced(self, rows: Int64s, replaced: list[bool]) -> None:
        self.duplicates += sum(replaced)
        if not len(self._sizes):
            return
        stays, row = UNKNOWN_SIZE, 0
        for at, size, gone in zip(
            reversed(rows.tolist()), reversed(self._sizes[rows].tolist()), reversed(replaced), strict=True
        ):
            if not gone:
                stays, row = size, at
                continue
            self.bytes -= max(size, 0)
            if UNKNOWN_SIZE not in (size, stays) and size != stays:
                self.conflicts += 1
                # Nobody can tell which of them is right, so that none may be called wrong.
                self.bytes -= max(int(self._sizes[row]), 0)
                self._sizes[row] = UNKNOWN_SIZE

    def _columns(self, names: bytes, rows: slice | Int64s) -> FileColumns:
        files = names.count(b"\0") + 1
        blocks = [self._block_names[number] for number in self._blocks[rows]] if len(self._blocks) else []
        return FileColumns(
            names,
            self._sizes[rows].tobytes() if len(self._sizes) else _UNKNOWN_SIZE * files,
            self._mtimes[rows].tobytes() if len(self._mtimes) else _UNKNOWN_MTIME * files,
            b"\0".join(blocks),
        )


def _ranges(starts: Int64s, ends: Int64s) -> Int64s:
    """Join the ranges of integers from each start to its end."""
    lengths = ends - starts
    before = np.cumsum(lengths) - lengths
    ranges: Int64s = np.arange(int(lengths.sum())) + np.repeat(starts - before, lengths)
    return ranges


def _first(piece: bytearray) -> bytearray:
    return piece[: piece.index(0)]


def _last(piece: bytearray) -> bytearray:
    return piece[piece.rfind(0, 0, -1) + 1 : -1]
