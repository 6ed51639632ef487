"""Files of many directories, held compactly while their inventory is read in any order.

The names of all files stand one behind the other, each ended by NUL, in the order in which they came; a run knows its
directory, its first row, its first byte and whether its names ascend. An entry costs its name, a separator and 8 bytes
for each of size, time and block; a run costs 21 bytes. A pool that grows too large is set aside on disk, by
`storage.inventory.spill`.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.columns import Int64s
from storage.inventory.packing import Runs
from storage.inventory.pieces import Numbering, Piece, ascend_together

Numbers = npt.NDArray[np.int32]


class FilePool:
    """Takes runs, all with the same columns; `PooledFiles` gives them back by directory."""

    def __init__(self, block_numbers: Numbering) -> None:
        """Start empty; ``block_numbers`` are those of the blocks."""
        self.block_numbers = block_numbers
        self.names = bytearray()
        self.sizes = bytearray()
        self.mtimes = bytearray()
        self.blocks = bytearray()
        self.rows = 0
        self.run_directories = bytearray()
        self.run_rows = bytearray()
        self.run_bytes = bytearray()
        self.run_ascends = bytearray()

    def add(self, runs: Runs, directories: Numbers) -> None:
        """Take runs, in the directories with these numbers."""
        self.run_directories += directories.tobytes()
        self.run_rows += (runs.starts + self.rows).tobytes()
        self.run_bytes += (runs.first_bytes + len(self.names)).tobytes()
        self.run_ascends += runs.ascends
        self.rows += runs.rows
        self.names += runs.names
        self.sizes += runs.sizes
        self.mtimes += runs.mtimes
        if runs.blocks is not None:
            known = self.block_numbers
            self.blocks += np.array([known[block] for block in runs.blocks], dtype=np.int64).tobytes()

    @property
    def held(self) -> int:
        """How many bytes are held."""
        columns = (self.names, self.sizes, self.mtimes, self.blocks)
        return sum(map(len, (*columns, self.run_directories, self.run_rows, self.run_bytes, self.run_ascends)))


class PooledFiles:
    """The files of each directory in a full pool, as they came."""

    def __init__(self, pool: FilePool) -> None:
        """Group the runs of ``pool``, which must not grow any more."""
        numbers = np.frombuffer(pool.run_directories, dtype=np.int32)
        self._runs = np.argsort(numbers, kind="stable")
        grouped = numbers[self._runs]
        firsts = np.flatnonzero(np.diff(grouped, prepend=-1))
        self.directories: Sequence[int] = grouped[firsts].tolist()
        self._bounds = array("q", np.append(firsts, len(grouped)).astype(np.int64).tobytes())
        # The end of the last run.
        pool.run_rows += pool.rows.to_bytes(8, "little")
        pool.run_bytes += len(pool.names).to_bytes(8, "little")
        self._rows = memoryview(pool.run_rows).cast("q")
        self._bytes = memoryview(pool.run_bytes).cast("q")
        self._row_array = np.frombuffer(pool.run_rows, dtype=np.int64)
        self._byte_array = np.frombuffer(pool.run_bytes, dtype=np.int64)
        self._ascends = np.frombuffer(pool.run_ascends, dtype=np.bool_)
        self._names = pool.names
        self._columns = [
            np.frombuffer(column, dtype=np.int64) if column else None
            for column in (pool.sizes, pool.mtimes, pool.blocks)
        ]

    def piece_at(self, place: int) -> Piece:
        """Give the files of the directory at a place in ``directories``."""
        runs = self._runs[self._bounds[place] : self._bounds[place + 1]]
        first = int(runs[0])
        if len(runs) == 1:
            names = bytes(self._names[self._bytes[first] : self._bytes[first + 1] - 1])
            return self._piece(names, slice(self._rows[first], self._rows[first + 1]), bool(self._ascends[first]))
        starts, ends = self._byte_array[runs].tolist(), self._byte_array[runs + 1].tolist()
        stretches = [self._names[start:end] for start, end in zip(starts, ends, strict=True)]
        ascends = bool(self._ascends[runs].all()) and ascend_together([bytes(names[:-1]) for names in stretches])
        rows = _ranges(self._row_array[runs], self._row_array[runs + 1])
        return self._piece(b"".join(stretches)[:-1], rows, ascends)

    def _piece(self, names: bytes, rows: slice | Int64s, ascends: bool) -> Piece:
        columns = [b"" if column is None else column[rows].tobytes() for column in self._columns]
        return Piece(names, ascends, *columns)


def _ranges(starts: Int64s, ends: Int64s) -> Int64s:
    """Join the ranges of integers from each start to its end."""
    lengths = ends - starts
    before = np.cumsum(lengths) - lengths
    ranges: Int64s = np.arange(int(lengths.sum())) + np.repeat(starts - before, lengths)
    return ranges
