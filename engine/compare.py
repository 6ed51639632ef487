"""The comparison: two tables walked in step, directories with equal digests skipped, the others opened.

A difference is only ever reported where it was seen. What the inventory has is a missing candidate if its directory
was listed completely and does not name it, or if the nearest ancestor that was heard of was listed completely, which
shows that the directory is not there. Everything else is counted as protected: not judged, because nobody looked.
The same holds the other way for orphans, where an inventory is the listing of another store. In and below a directory
that either side did not list completely, nothing is ever reported, not even where a listing of its own is at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from engine import paths
from engine.columns import UNKNOWN_SIZE, FileColumns
from engine.findings import Finding, Kind
from engine.merge import Names, difference
from engine.states import Reason, State
from engine.table import DirectoryTable


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What is not to be called a difference.

    Files with an mtime after ``young_after`` (seconds since the epoch; None: no age limit) are passed over on either
    side. ``keep_orphan`` and ``keep_missing`` take the path of a file and say whether it is to be left alone.
    """

    young_after: float | None = None
    keep_orphan: Callable[[bytes], bool] | None = None
    keep_missing: Callable[[bytes], bool] | None = None


@dataclass(slots=True)
class Tally:
    """What a comparison passed over: ``protected`` files were not judged, by ``reasons`` why nobody could look."""

    protected: int = 0
    young: int = 0
    kept: int = 0
    opened: int = 0
    reasons: dict[Reason, int] = field(default_factory=dict)

    def protect(self, files: int, reason: Reason) -> None:
        """Count files that are not judged."""
        if files:
            self.protected += files
            self.reasons[reason] = self.reasons.get(reason, 0) + files


def compare(
    inventory: DirectoryTable, remote: DirectoryTable, options: CompareOptions, tally: Tally
) -> Iterator[Finding]:
    """Give the differences in tree order, at most one finding of a kind for each directory.

    Missing ones are candidates: a listing alone never proves that something is absent.
    """
    judge = _Judge(inventory, remote, options, tally)
    for left, right in _in_step(inventory, remote):
        if left is not None and right is not None:
            yield from judge.both(left, right)
        elif left is not None:
            yield from judge.inventory_only(left)
        elif right is not None:
            yield from judge.remote_only(right)


def _in_step(left: DirectoryTable, right: DirectoryTable) -> Iterator[tuple[int | None, int | None]]:
    """Merge the rows of two tables that are in tree order; pairs with equal digests are left out."""
    left_paths, right_paths = left.paths, right.paths
    left_digests, right_digests = left.digests, right.digests
    left_count, right_count = len(left_paths), len(right_paths)
    complete = State.LISTED
    i = j = 0
    while i < left_count and j < right_count:
        a, b = left_paths[i], right_paths[j]
        if a == b:
            if (
                left_digests[i << 4 : (i + 1) << 4] != right_digests[j << 4 : (j + 1) << 4]
                or left.states[i] != complete
                or right.states[j] != complete
            ):
                yield i, j
            i += 1
            j += 1
        elif paths.tree_key(a) < paths.tree_key(b):
            yield i, None
            i += 1
        else:
            yield None, j
            j += 1
    for row in range(i, left_count):
        yield row, None
    for row in range(j, right_count):
        yield None, row


class _Sight:
    """What one side has seen."""

    def __init__(self, table: DirectoryTable) -> None:
        self._table = table
        self._blind = table.blind_rows()

    def unseen(self, row: int) -> Reason | None:
        """Say why a row cannot be judged; None when it and everything above it was listed completely."""
        blind = self._blind[row]
        return None if blind < 0 else Reason(self._table.reasons[blind]) or Reason.NEVER_REACHED

    def unseen_above(self, path: bytes) -> Reason | None:
        """Say why the table does not prove that a directory it has no row for is absent; None when it does."""
        parent = paths.parent_of(path)
        row = None if parent is None else self._table.nearest(parent)
        return Reason.NEVER_REACHED if row is None else self.unseen(row)


class _Judge:
    """Decides for one pair of rows at a time."""

    def __init__(
        self, inventory: DirectoryTable, remote: DirectoryTable, options: CompareOptions, tally: Tally
    ) -> None:
        self._inventory = inventory
        self._remote = remote
        self._inventory_sight = _Sight(inventory)
        self._remote_sight = _Sight(remote)
        self._options = options
        self._tally = tally

    def both(self, left: int, right: int) -> Iterator[Finding]:
        """Judge a directory that both sides know."""
        unseen = self._remote_sight.unseen(right)
        if unseen is not None:
            self._tally.protect(int(self._inventory.files[left]), unseen)
            return
        unseen = self._inventory_sight.unseen(left)
        if unseen is not None:
            self._tally.protect(int(self._remote.files[right]), unseen)
            return
        self._tally.opened += 1
        expected = self._inventory.load(left) if self._inventory.files[left] else FileColumns()
        found = self._remote.load(right) if self._remote.files[right] else FileColumns()
        yield from self._differences(self._remote.paths[right], expected, found)

    def inventory_only(self, row: int) -> Iterator[Finding]:
        """Judge a directory that the store's listing does not have."""
        count = int(self._inventory.files[row])
        if not count:
            return
        path = self._inventory.paths[row]
        unseen = self._inventory_sight.unseen(row) or self._remote_sight.unseen_above(path)
        if unseen is not None:
            self._tally.protect(count, unseen)
            return
        self._tally.opened += 1
        expected = self._inventory.load(row)
        yield from self._report(Kind.MISSING, path, expected, dict(enumerate(expected.name_list())))

    def remote_only(self, row: int) -> Iterator[Finding]:
        """Judge a directory that the inventory does not have."""
        count = int(self._remote.files[row])
        if not count:
            return
        path = self._remote.paths[row]
        unseen = self._remote_sight.unseen(row) or self._inventory_sight.unseen_above(path)
        if unseen is not None:
            self._tally.protect(count, unseen)
            return
        self._tally.opened += 1
        found = self._remote.load(row)
        yield from self._report(Kind.ORPHAN, path, found, dict(enumerate(found.name_list())))

    def _differences(self, directory: bytes, expected: FileColumns, found: FileColumns) -> Iterator[Finding]:
        """Compare the files of one directory, all of them seen on both sides."""
        missing, orphan = difference(expected.names, found.names)
        yield from self._report(Kind.MISSING, directory, expected, missing)
        yield from self._report(Kind.ORPHAN, directory, found, orphan)
        # Without what only one side has, the columns stand side by side.
        if _without(expected.sizes, missing) != _without(found.sizes, orphan):
            yield from self._mismatches(directory, expected, found, missing, orphan)

    def _report(self, kind: Kind, directory: bytes, files: FileColumns, chosen: Names) -> Iterator[Finding]:
        limit = self._options.young_after
        if limit is not None and chosen:
            mtimes = files.mtime_array()
            old = {i: name for i, name in chosen.items() if mtimes[i] <= limit}
            self._tally.young += len(chosen) - len(old)
            chosen = old
        keep = self._options.keep_missing if kind == Kind.MISSING else self._options.keep_orphan
        if keep is not None:
            left = {i: name for i, name in chosen.items() if not keep(paths.join(directory, name))}
            self._tally.kept += len(chosen) - len(left)
            chosen = left
        if chosen:
            yield Finding(kind, directory, files if len(chosen) == len(files) else files.pick(chosen))

    def _mismatches(
        self, directory: bytes, expected: FileColumns, found: FileColumns, missing: Names, orphan: Names
    ) -> Iterator[Finding]:
        """Report what is on both sides with different known sizes."""
        left = np.delete(np.arange(len(expected)), list(missing))
        right = np.delete(np.arange(len(found)), list(orphan))
        sizes, other_sizes = expected.size_array()[left], found.size_array()[right]
        differ = (sizes != other_sizes) & (sizes != UNKNOWN_SIZE) & (other_sizes != UNKNOWN_SIZE)
        left, right = left[differ], right[differ]
        limit = self._options.young_after
        if limit is not None:
            old = (expected.mtime_array()[left] <= limit) & (found.mtime_array()[right] <= limit)
            self._tally.young += len(left) - int(old.sum())
            left, right = left[old], right[old]
        if len(left):
            remote_sizes = found.size_array()[right].tobytes()
            yield Finding(Kind.SIZE_MISMATCH, directory, expected.select(left.tolist()), remote_sizes)


def _without(column: bytes, positions: Names) -> bytes:
    """Leave some values out of a column of int64."""
    if not positions:
        return column
    cuts = [0, *(position + 1 for position in positions)]
    return b"".join([column[a << 3 : b << 3] for a, b in zip(cuts, [*positions, len(column) >> 3], strict=True)])


def empty_directories(
    remote: DirectoryTable, young_after: float | None, refuted: Iterable[bytes] = ()
) -> Iterator[Finding]:
    """Give directories below which there is no file, in an order in which each can be removed by a plain ``rmdir``.

    With an age limit, those that are too young or of unknown age are left out, and with them the directories above; so
    are the ``refuted``, of which the store said that they hold more than their listing.
    """
    spared = set(refuted)
    for row in remote.empty_rows():
        path, mtime = remote.paths[row], int(remote.mtimes[row])
        if path in spared or (young_after is not None and not 0 <= mtime <= young_after):
            parent = paths.parent_of(path)
            if parent is not None:
                spared.add(parent)
        else:
            yield Finding(Kind.EMPTY, path, mtime=mtime)
