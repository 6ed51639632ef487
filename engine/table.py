"""A whole tree as a table: one row a directory, in tree order, files left where they are.

This is what the comparison walks, what a snapshot's index holds, and what a `DirectoryInfo` can be opened on. Memory
grows with the number of directories, never with the number of files.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress, count

from engine import paths
from engine.columns import DIGEST_SIZE, NO_FILES, FileColumns, Numbers, numbers
from engine.record import DirectorySummary
from engine.states import Reason, State


def _no_files(_row: int) -> FileColumns:
    return NO_FILES


@dataclass(frozen=True, slots=True, eq=False)
class DirectoryTable:
    """Directories in tree order (`engine.paths.tree_key`), each path once.

    Columns, one entry a row: ``states`` and ``reasons`` uint8, ``digests`` 16 bytes each, ``files`` (count), ``sizes``
    (bytes), ``newest`` and ``mtimes`` (seconds since the epoch or ``UNKNOWN_MTIME``) and ``listed_at`` int64.
    ``details`` has the words of a failure by row. ``load`` gives the files of a row. ``ids`` (int64, None where no
    store gave any) are those of `DirectoryColumns`.
    """

    paths: list[bytes]
    states: bytes
    reasons: bytes
    digests: bytes
    files: Numbers
    sizes: Numbers
    newest: Numbers
    mtimes: Numbers
    listed_at: Numbers
    details: dict[int, str] = field(default_factory=dict)
    load: Callable[[int], FileColumns] = _no_files
    ids: Numbers | None = None

    def __len__(self) -> int:
        return len(self.paths)

    @classmethod
    def from_summaries(
        cls, summaries: Sequence[DirectorySummary], load: Callable[[int], FileColumns] = _no_files
    ) -> DirectoryTable:
        """Build from summaries that are already in tree order; ``load`` takes a row of the result."""

        def column(values: Iterable[int]) -> Numbers:
            return numbers(array("q", values))

        return cls(
            [s.path for s in summaries],
            bytes([s.state for s in summaries]),
            bytes([s.reason for s in summaries]),
            b"".join([s.digest for s in summaries]),
            column(s.files for s in summaries),
            column(s.size for s in summaries),
            column(s.newest for s in summaries),
            column(s.mtime for s in summaries),
            column(s.listed_at for s in summaries),
            {row: s.detail for row, s in enumerate(summaries) if s.detail},
            load,
        )

    def state(self, row: int) -> State:
        """Give the state of a row."""
        return State(self.states[row])

    def reason(self, row: int) -> Reason:
        """Give the reason of a row that is not listed."""
        return Reason(self.reasons[row])

    def digest(self, row: int) -> bytes:
        """Give the digest of a row's files; see `FileColumns.digest`."""
        return self.digests[row * DIGEST_SIZE : (row + 1) * DIGEST_SIZE]

    def find(self, path: bytes) -> int | None:
        """Look up the row of a canonical path."""
        row = bisect_left(self.paths, paths.tree_key(path), key=paths.tree_key)
        return row if row < len(self.paths) and self.paths[row] == path else None

    def rows_under(self, path: bytes) -> slice:
        """Give the rows of a directory and of everything below it; it needs no row itself."""
        key = paths.tree_key(path)
        start = bisect_left(self.paths, key, key=paths.tree_key)
        # What is below a directory directly follows it.
        return slice(start, bisect_left(self.paths, key + b"\x01", lo=start, key=paths.tree_key))

    def nearest(self, path: bytes) -> int | None:
        """Give the row of the path itself or of its nearest ancestor that has one."""
        current: bytes | None = path
        while current is not None:
            row = self.find(current)
            if row is not None:
                return row
            current = paths.parent_of(current)
        return None

    def total_files(self) -> int:
        """Count the files of all listed directories."""
        return sum(self.files)

    def total_size(self) -> int:
        """Sum the bytes of all files whose size is known."""
        return sum(self.sizes)

    def count(self, state: State) -> int:
        """Count the rows in a state."""
        return self.states.count(state)

    def unlisted(self) -> Iterator[tuple[bytes, Reason, str]]:
        """Give path, reason and detail of each directory that failed or was never reached."""
        for row in self.rows_but(State.LISTED, State.IGNORED):
            reason = Reason(self.reasons[row]) or Reason.NEVER_REACHED
            yield self.paths[row], reason, self.details.get(row, "")

    def rows_but(self, *states: State, first: int = 0, last: int | None = None) -> Iterator[int]:
        """Give the rows, from ``first`` on and before ``last``, that are in none of these states."""
        part = self.states[first:last]
        if len(states) == 1 and part.count(states[0]) == len(part):
            return iter(())
        return compress(count(first), part.translate(bytes(state not in states for state in range(256))))

    def blind_rows(self) -> array[int]:
        """Give, for each row, the row of the nearest directory at or above it that was not listed; -1 for none."""
        blind = array("q", (-1,)) * len(self)
        for row in self.rows_but(State.LISTED):
            # What is below a directory directly follows it, and the ones further down come later.
            end_key = paths.tree_key(self.paths[row]) + b"\x01"
            end = bisect_left(self.paths, end_key, lo=row, key=paths.tree_key)
            blind[row:end] = array("q", (row,)) * (end - row)
        return blind

    def empty_rows(self) -> list[int]:
        """Give the rows of directories below which there is nothing but directories, all of them seen, deepest first.

        In this order each can be removed by a plain ``rmdir``. The tops of the tree are never among them, nor is
        anything below a directory that was not listed.
        """
        has_content: set[bytes] = set()
        empty: list[int] = []
        path_list = self.paths
        blind = self.blind_rows()
        for row in range(len(path_list) - 1, -1, -1):
            path = path_list[row]
            holds = blind[row] >= 0 or self.files[row] or self.reasons[row]
            if holds or path in has_content or self.find_parent(row) is None:
                # Every ancestor, since the next one up may have no row.
                parent = paths.parent_of(path)
                while parent is not None and parent not in has_content:
                    has_content.add(parent)
                    parent = paths.parent_of(parent)
            else:
                empty.append(row)
        return empty

    def find_parent(self, row: int) -> int | None:
        """Give the row of the directory that holds this one; None for a top of the tree."""
        parent = paths.parent_of(self.paths[row])
        return None if parent is None else self.find(parent)
