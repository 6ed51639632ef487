"""A part of a `DirectoryTable` behind a node of a tree that was opened on it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from engine import paths
from engine.columns import UNKNOWN_MTIME, FileColumns, Int64s
from engine.states import State
from engine.table import DirectoryTable

SECONDS_A_DAY = 86400


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The directory at ``path`` and, in rows ``first`` to ``last``, everything below it.

    ``row`` is the directory's own, None when the table goes over it: then it is known only as a part of other paths.
    ``opened_at`` stands in for the time of a listing that has none, in seconds since the epoch.
    """

    table: DirectoryTable
    opened_at: float
    path: bytes
    row: int | None
    first: int
    last: int

    @classmethod
    def at(cls, table: DirectoryTable, path: bytes, opened_at: float) -> Rows:
        """Find the rows at and below a canonical path."""
        start = bisect_left(table.paths, paths.tree_key(path), key=paths.tree_key)
        own = start < len(table) and table.paths[start] == path
        first = start + own
        return cls(table, opened_at, path, start if own else None, first, _end(table, path, first, len(table)))

    def children(self) -> Iterator[tuple[bytes, Rows]]:
        """Give the name and the rows of each directory inside, sorted by name."""
        table = self.table
        prefix = _prefix(self.path)
        start = self.first
        while start < self.last:
            name, deeper, _ = table.paths[start][len(prefix) :].partition(b"/")
            path = prefix + name if deeper else table.paths[start]
            first = start if deeper else start + 1
            end = _end(table, path, first, self.last)
            yield name, Rows(table, self.opened_at, path, None if deeper else start, first, end)
            start = end

    def load(self) -> FileColumns:
        """Read the directory's own files."""
        return FileColumns() if self.row is None or not self.table.files[self.row] else self.table.load(self.row)

    def timestamp(self) -> float:
        """Give the time of the directory's own listing, in seconds since the epoch."""
        return self.opened_at if self.row is None else float(self.table.listed_at[self.row]) or self.opened_at

    def files_below(self) -> int:
        """Count the files below."""
        return sum(self.table.files[self.first : self.last])

    def size_below(self) -> int:
        """Sum the bytes below."""
        return sum(self.table.sizes[self.first : self.last])

    def filled_below(self) -> int:
        """Count the directories below that were reached."""
        return self.last - self.first - self.table.states[self.first : self.last].count(State.UNFILLED)

    def first_unfilled(self) -> bytes | None:
        """Give the path of a directory below that was never reached."""
        row = self.table.states.find(State.UNFILLED, self.first, self.last)
        return None if row < 0 else self.table.paths[row]

    def unlisted_below(self) -> Iterator[bytes]:
        """Give the paths, relative to this directory, of directories below that have no complete listing."""
        cut = len(_prefix(self.path))
        for row in self._rows_without_listing():
            yield self.table.paths[int(row)][cut:]

    def count_unlisted_below(self) -> int:
        """Count the directories below that have no complete listing."""
        return len(self._rows_without_listing())

    def unsettled_below(self, ignore_age: float) -> int:
        """Count the directories below that are too young (in days), of unknown age, or were never reached."""
        part = slice(self.first, self.last)
        listed_at = np.asarray(self.table.listed_at[part]).astype(np.float64)
        limits = np.where(listed_at > 0, listed_at, self.opened_at) - ignore_age * SECONDS_A_DAY
        mtimes = np.asarray(self.table.mtimes[part])
        settled = (mtimes != UNKNOWN_MTIME) & (mtimes < limits) & (self._states() != State.UNFILLED)
        return int(np.count_nonzero(~settled))

    def _states(self) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        return np.frombuffer(self.table.states, dtype=np.uint8)[self.first : self.last]

    def _rows_without_listing(self) -> Int64s:
        return np.flatnonzero(self._states() != State.LISTED) + self.first


def common_top(table: DirectoryTable) -> bytes:
    """Give the lowest directory at or above all rows; ``/`` for an empty table."""
    if not len(table):
        return b"/"
    first, last = table.paths[0], table.paths[-1]
    top: bytes | None = first
    while top is not None and not paths.is_under(last, top):
        top = paths.parent_of(top)
    return top or b"/"


def _prefix(path: bytes) -> bytes:
    return path if path.endswith(b"/") else path + b"/"


def _end(table: DirectoryTable, path: bytes, first: int, last: int) -> int:
    """Give the end of the rows below ``path``, which start at ``first`` if there are any."""
    if first >= last or not table.paths[first].startswith(_prefix(path)):
        return first
    # In tree order NUL separates the components, so this is the lowest key after everything below.
    return bisect_left(table.paths, paths.tree_key(path) + b"\1", lo=first, hi=last, key=paths.tree_key)
