"""The index of a listing while it grows.

The coordinator and every snapshot writer keep one. It knows each directory that was listed, and each that a listing
named, in columns: about 250 bytes a directory and nothing for its files.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from engine import paths
from engine.columns import (
    DIGEST_SIZE,
    LARGEST_SIZE,
    NO_DIGEST,
    NO_DIRECTORIES,
    UNKNOWN_MTIME,
    DirectoryColumns,
    FileColumns,
    Numbers,
    numbers,
)
from engine.record import DirectoryRecord
from engine.states import Reason, State
from engine.table import DirectoryTable


@dataclass(frozen=True, slots=True)
class Entry:
    """What a lister says of one directory to whoever does not need the names of its files.

    ``files`` is a count, ``size`` bytes, ``newest`` the latest file mtime and ``listed_at`` the time of the answer in
    seconds since the epoch; ``length`` is that of the directory's frame in bytes.
    """

    path: bytes
    state: State
    reason: Reason
    detail: str
    listed_at: int
    files: int
    size: int
    newest: int
    digest: bytes
    directories: DirectoryColumns
    length: int

    @classmethod
    def of(cls, record: DirectoryRecord, length: int = 0) -> Entry:
        """Sum up a record."""
        files = record.files
        return cls(
            record.path,
            record.state,
            record.reason,
            record.detail,
            record.listed_at,
            len(files),
            min(files.total_size(), LARGEST_SIZE),
            files.newest(),
            record.digest(),
            record.directories,
            length,
        )


@dataclass(frozen=True, slots=True)
class Leaves:
    """What `Entry` says, as columns, of directories that were listed and have no directories below.

    ``digests`` has 16 bytes for each.
    """

    paths: Sequence[bytes]
    listed_at: int
    files: array[int]
    sizes: array[int]
    newest: array[int]
    digests: bytes
    lengths: array[int]

    def entries(self) -> Iterator[Entry]:
        """Give them one by one."""
        for place, path in enumerate(self.paths):
            yield Entry(
                path,
                State.LISTED,
                Reason.NONE,
                "",
                self.listed_at,
                self.files[place],
                self.sizes[place],
                self.newest[place],
                self.digests[place * DIGEST_SIZE : (place + 1) * DIGEST_SIZE],
                NO_DIRECTORIES,
                self.lengths[place],
            )


@dataclass(frozen=True, slots=True)
class Known:
    """What an index has of one directory: its state, time (s) and id as the parent shows them, and its digest."""

    state: State
    mtime: int
    identity: int
    digest: bytes


class IndexBuilder:
    """Takes entries in any order in which a parent comes before its children; later entries replace earlier ones.

    A child that a listing names gets a row at once, as `State.UNFILLED`, with the mtime that its parent gave: what
    was never reached is therefore in the table too.
    """

    def __init__(self) -> None:
        self._rows: dict[bytes, int] = {}
        self._states = bytearray()
        self._reasons = bytearray()
        self._digests = bytearray()
        self._files = array("q")
        self._sizes = array("q")
        self._newest = array("q")
        self._mtimes = array("q")
        self._ids = array("q")
        self._listed_at = array("q")
        self._offsets = array("q")
        self._lengths = array("q")
        self._details: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def totals(self) -> tuple[int, int]:
        """Give the number of files of all listed directories, and their bytes."""
        return sum(self._files), sum(self._sizes)

    def count(self, state: State) -> int:
        """Count the directories in a state."""
        return self._states.count(state)

    def state_of(self, path: bytes) -> State | None:
        """Give the state of a directory; None when it was never heard of."""
        row = self._rows.get(path)
        return None if row is None else State(self._states[row])

    def mtime_of(self, path: bytes) -> int:
        """Give the mtime that its parent's listing gave a directory, or `UNKNOWN_MTIME`."""
        row = self._rows.get(path)
        return UNKNOWN_MTIME if row is None else self._mtimes[row]

    def reason_of(self, path: bytes) -> Reason:
        """Give the reason of a directory that is known."""
        return Reason(self._reasons[self._rows[path]])

    def listing_of(self, path: bytes) -> tuple[int, int]:
        """Give the number of files that a directory was last entered with, and their bytes; none when it was not."""
        row = self._rows.get(path)
        return (0, 0) if row is None else (self._files[row], self._sizes[row])

    def sight_of(self, path: bytes) -> Known | None:
        """Give what is known of a directory; None when it was never heard of."""
        row = self._rows.get(path)
        if row is None:
            return None
        digest = bytes(self._digests[row * DIGEST_SIZE : (row + 1) * DIGEST_SIZE])
        return Known(State(self._states[row]), self._mtimes[row], self._ids[row], digest)

    def paths(self) -> Iterable[bytes]:
        """Give all paths, in the order in which they became known."""
        return self._rows.keys()

    def listed_until(self, until: int) -> list[bytes]:
        """Give the directories whose listing was answered then (seconds since the epoch) or before."""
        rows = self._rows.items()
        return [path for path, row in rows if self._states[row] == State.LISTED and self._listed_at[row] <= until]

    def in_state(self, state: State) -> Iterator[bytes]:
        """Give the paths in a state, in the order in which they became known."""
        return (path for path, row in self._rows.items() if self._states[row] == state)

    def add(self, entry: Entry, offset: int = 0) -> None:
        """Enter one directory; ``offset`` is where its frame starts in the file."""
        row, rows = self.know(entry.path), self._rows
        self._states[row] = entry.state
        self._reasons[row] = entry.reason
        self._digests[row * DIGEST_SIZE : (row + 1) * DIGEST_SIZE] = entry.digest
        self._files[row] = entry.files
        self._sizes[row] = entry.size
        self._newest[row] = entry.newest
        self._listed_at[row] = entry.listed_at
        self._offsets[row] = offset
        self._lengths[row] = entry.length
        if entry.detail:
            self._details[row] = entry.detail
        else:
            self._details.pop(row, None)
        children = entry.directories
        if children.mtimes:
            base = entry.path if entry.path.endswith(b"/") else entry.path + b"/"
            below = [base + name for name in children.name_list()]
            new = set(below)
            # What was damaged, or made by others, may name one twice.
            if len(new) == len(below) and rows.keys().isdisjoint(new):
                self._know_all(below, children.mtimes)
            else:
                for path, mtime in zip(below, children.mtime_list(), strict=True):
                    self._mtimes[self.know(path)] = mtime
            if children.ids:
                for path, number in zip(below, children.id_list(), strict=True):
                    self._ids[rows[path]] = number

    def add_leaves(self, leaves: Leaves, offset: int) -> None:
        """Enter directories whose frames stand one behind the other from ``offset`` on; as `add`, but all at once."""
        count = len(leaves.paths)
        rows = [self.know(path) for path in leaves.paths]
        if self._details or not count or rows != list(range(rows[0], rows[0] + count)):
            for entry in leaves.entries():
                self.add(entry, offset)
                offset += entry.length
            return
        first, end = rows[0], rows[0] + count
        self._states[first:end] = bytes((State.LISTED,)) * count
        self._reasons[first:end] = bytes((Reason.NONE,)) * count
        self._digests[first * DIGEST_SIZE : end * DIGEST_SIZE] = leaves.digests
        self._files[first:end] = leaves.files
        self._sizes[first:end] = leaves.sizes
        self._newest[first:end] = leaves.newest
        self._listed_at[first:end] = array("q", [leaves.listed_at]) * count
        self._lengths[first:end] = leaves.lengths
        self._offsets[first:end] = array("q", accumulate(leaves.lengths[:-1], initial=offset))

    def _know_all(self, below: list[bytes], mtimes: bytes) -> None:
        """Give rows to different directories that have none yet; as `know`, but all at once."""
        rows, count = self._rows, len(below)
        if len(mtimes) != 8 * count:
            raise ValueError(f"{count} directories with {len(mtimes)} bytes of times")
        rows.update(zip(below, range(len(rows), len(rows) + count), strict=True))
        self._states += bytes((State.UNFILLED,)) * count
        self._reasons += bytes((Reason.NEVER_REACHED,)) * count
        self._digests += NO_DIGEST * count
        self._mtimes.frombytes(mtimes)
        self._newest.extend([UNKNOWN_MTIME] * count)
        for column in (self._files, self._sizes, self._ids, self._listed_at, self._offsets, self._lengths):
            column.frombytes(bytes(8 * count))

    def know(self, path: bytes) -> int:
        """Make sure that a directory has a row."""
        rows = self._rows
        row = rows.get(path)
        if row is not None:
            return row
        row = rows[path] = len(rows)
        self._states.append(State.UNFILLED)
        self._reasons.append(Reason.NEVER_REACHED)
        self._digests += NO_DIGEST
        self._files.append(0)
        self._sizes.append(0)
        self._newest.append(UNKNOWN_MTIME)
        self._mtimes.append(UNKNOWN_MTIME)
        self._ids.append(0)
        self._listed_at.append(0)
        self._offsets.append(0)
        self._lengths.append(0)
        return row

    def table(
        self, loader: Callable[[Numbers, Numbers], Callable[[int], FileColumns]]
    ) -> tuple[DirectoryTable, Numbers, Numbers]:
        """Sort into tree order.

        ``loader`` is given the offsets and lengths of the frames by row, and makes the table's ``load``. Returns the
        table and these two columns.
        """
        path_list = list(self._rows)
        keys = list(map(paths.tree_key, path_list))
        order = sorted(range(len(keys)), key=keys.__getitem__)

        def column(values: array[int]) -> Numbers:
            return numbers(array("q", map(values.__getitem__, order)))

        offsets, lengths = column(self._offsets), column(self._lengths)
        digests = bytes(self._digests)
        new_row = {old: new for new, old in enumerate(order)} if self._details else {}
        table = DirectoryTable(
            [path_list[i] for i in order],
            bytes(map(self._states.__getitem__, order)),
            bytes(map(self._reasons.__getitem__, order)),
            b"".join([digests[start : start + DIGEST_SIZE] for start in (row * DIGEST_SIZE for row in order)]),
            column(self._files),
            column(self._sizes),
            column(self._newest),
            column(self._mtimes),
            column(self._listed_at),
            {new_row[row]: text for row, text in sorted(self._details.items())},
            loader(offsets, lengths),
            column(self._ids) if any(self._ids) else None,
        )
        return table, offsets, lengths
