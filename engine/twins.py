"""Directories of a listing that are one and the same, come upon under several names.

A store that shows a link to a directory as a directory has what is behind it listed twice, once under a name that no
inventory has to know. Files there are not orphans of their own: whoever deletes them deletes the real ones.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine import paths
from engine.columns import UNKNOWN_MTIME, Numbers, numbers
from engine.states import State
from engine.table import DirectoryTable

_FEW = 5000
"""Below so many rows numpy need not be loaded to sort them."""

MOST_WITH_ONE_ID = 64
"""A store that gives more directories than this the same id does not tell directories apart by it."""


class Twins:
    """Tells which rows of a table are the same directory.

    Where the store tells directories apart, those with the same id are, unless both their own time and their files
    differ, since an id may be cut short; one that very many have says nothing. Elsewhere it is those with the same
    files, times and all, and the same time of their own: copies that were made with all times look like that too. What
    it needs is worked out when it is needed.
    """

    def __init__(self, table: DirectoryTable) -> None:
        self._table = table
        self._ids: _Sorted | None = None
        self._digests: _Sorted | None = None
        self._crowds: dict[int, _Crowd] = {}

    def of(self, row: int) -> list[int]:
        """Give the other rows that are the same directory as this one, ascending."""
        few, many = self.kin(row)
        return sorted({*few, *many} - {row}) if many else few

    def kin(self, row: int) -> tuple[list[int], Sequence[int]]:
        """Give the rows that are the same directory, ascending: some, and very many that are all alike.

        The latter, where there are any, are the very same sequence for each of them, and may have the row itself, so
        that nobody need look through it again for the next one.
        """
        table = self._table
        found, many = set(self._of_id(row)), _NOBODY
        if table.files[row]:
            # Half a digest is enough to find candidates.
            halves = numbers(table.digests)[::2]
            half = halves[row]
            crowd = self._crowds.get(half)
            if crowd is None:
                self._digests = self._digests or _Sorted(halves)
                alike = self._digests.rows_like(row)
                if len(alike) > MOST_WITH_ONE_ID:
                    crowd = self._crowds[half] = self._crowd(alike)
                else:
                    found.update(alike)
            if crowd is not None:
                some, many = self._of_crowd(row, crowd)
                found.update(some)
        return sorted(other for other in found if other != row and self.are_same(row, other)), many

    def are_same(self, row: int, other: int) -> bool:
        """Whether two rows are the same directory, both of them listed."""
        table = self._table
        if not table.states[row] == table.states[other] == State.LISTED:
            return False
        like = table.digest(row) == table.digest(other)
        times = table.mtimes[row], table.mtimes[other]
        if self._of_id(row) and self._of_id(other):
            return other in self._of_id(row) and (like or times[0] == times[1])
        if not like or not table.files[row] or not (times[0] == times[1] != UNKNOWN_MTIME or self._is_top(row, other)):
            return False
        newest = table.newest[row]
        return newest == table.newest[other] != UNKNOWN_MTIME and table.load(row).mtimes == table.load(other).mtimes

    def _of_id(self, row: int) -> Sequence[int]:
        """Give the rows that have the id of this one, itself included; none where the id says nothing."""
        ids = self._table.ids
        if ids is None or not ids[row]:
            return ()
        self._ids = self._ids or _Sorted(ids)
        rows = self._ids.rows_like(row)
        return rows if len(rows) <= MOST_WITH_ONE_ID else ()

    def _of_crowd(self, row: int, crowd: _Crowd) -> tuple[Iterable[int], Sequence[int]]:
        """Give those of very many rows with the same files that may be the same directory as this one, and those that
        are.

        Each of them asks for its twins, so that nobody can look at all the others.
        """
        if row in crowd.tops:
            return crowd.rows, _NOBODY
        table = self._table
        times = table.mtimes[row], table.newest[row]
        # Two whose ids can be relied on are told apart by these.
        has_id = bool(self._of_id(row))
        by_time = crowd.without_id if has_id else crowd.by_time
        group = by_time.get(times, ())
        if len(group) <= MOST_WITH_ONE_ID:
            return (*group, *crowd.tops), _NOBODY
        parts = crowd.parts.get((has_id, times))
        if parts is None:
            parts = crowd.parts[has_id, times] = self._parts(group)
        listed = table.states[row] == State.LISTED
        return crowd.tops, parts.get(self._content(row), _NOBODY) if listed else _NOBODY

    def _parts(self, rows: Sequence[int]) -> dict[_Content, list[int]]:
        """Part rows of the same times by all that is in them."""
        parts: dict[_Content, list[int]] = {}
        for row in rows:
            if self._table.states[row] == State.LISTED:
                parts.setdefault(self._content(row), []).append(row)
        return parts

    def _content(self, row: int) -> _Content:
        return self._table.digest(row), self._table.load(row).mtimes

    def _crowd(self, alike: Sequence[int]) -> _Crowd:
        mtimes, newest = self._table.mtimes, self._table.newest
        crowd = _Crowd(alike, {}, {}, frozenset(row for row in alike if self._is_top(row)), {})
        for row in alike:
            # Where a time is not known nothing is the same but by its id.
            if UNKNOWN_MTIME not in (mtimes[row], newest[row]):
                times = mtimes[row], newest[row]
                crowd.by_time.setdefault(times, []).append(row)
                if not self._of_id(row):
                    crowd.without_id.setdefault(times, []).append(row)
        return crowd

    def _is_top(self, *rows: int) -> bool:
        """Whether one of these is a top of the listing, of which nobody gave the time."""
        return any(self._table.mtimes[row] == UNKNOWN_MTIME and self._table.find_parent(row) is None for row in rows)

    def highest(self, row: int, other: int) -> tuple[bytes, bytes]:
        """Climb from two rows that are the same to the highest two that hold them and are; gives their paths."""
        table = self._table
        while paths.name_of(table.paths[row]) == paths.name_of(table.paths[other]):
            above, others_above = table.find_parent(row), table.find_parent(other)
            if above is None or others_above is None or above == others_above:
                break
            if not self.are_same(above, others_above):
                break
            row, other = above, others_above
        return table.paths[row], table.paths[other]


_NOBODY: Sequence[int] = ()

_Times = tuple[int, int]
"""A directory's own time, and that of its newest file."""

_Content = tuple[bytes, bytes]
"""The digest of a directory's files, and their times."""


@dataclass(frozen=True, slots=True)
class _Crowd:
    """Very many rows with the same files, by their own time and the newest file's, and of these the ones whose id says
    nothing. ``parts`` has, of those of one time, if they are many, the ones that are the same directory.
    """

    rows: Sequence[int]
    by_time: dict[_Times, list[int]]
    without_id: dict[_Times, list[int]]
    tops: frozenset[int]
    parts: dict[tuple[bool, _Times], dict[_Content, list[int]]]


class _Sorted:
    """The rows of a column by their values."""

    def __init__(self, values: Numbers) -> None:
        self._rows: Sequence[int]
        self._single = b""
        if len(values) < _FEW:
            self._rows = sorted(range(len(values)), key=values.__getitem__)
        else:
            import numpy as np

            column = np.asarray(values)
            order = np.argsort(column, kind="stable")
            self._rows = numbers(array("q", order.tobytes()))
            # Most values have one row as a rule, and need not be searched for.
            ordered = column[order]
            differs = np.concatenate(([True], ordered[1:] != ordered[:-1], [True]))
            single = np.empty(len(ordered), dtype=np.bool_)
            single[order] = differs[1:] & differs[:-1]
            self._single = single.tobytes()
        self._values = values

    def rows_like(self, row: int) -> Sequence[int]:
        """Give the rows that have the value of this one, itself included."""
        if self._single and self._single[row]:
            return (row,)
        value = self._values[row]
        start = bisect_left(self._rows, value, key=self._values.__getitem__)
        return self._rows[start : bisect_right(self._rows, value, lo=start, key=self._values.__getitem__)]
