"""The comparison: two tables walked in step, directories with equal digests skipped, the others opened.

A difference is only ever reported where it was seen. What the inventory has is a missing candidate if its directory
was listed completely and does not name it, or if the nearest ancestor that was heard of was listed completely, which
shows that the directory is not there. Everything else is counted as protected: not judged, because nobody looked.
The same holds the other way for orphans, where an inventory is the listing of another store. In and below a directory
that either side did not list completely, nothing is ever reported, not even where a listing of its own is at hand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import compress, count
from operator import ne

from engine import paths
from engine.columns import NO_FILES, UNKNOWN_SIZE, FileColumns, Numbers, age_limit, numbers
from engine.filters import PatternFilter, either
from engine.findings import Finding, Kind
from engine.merge import Names, difference
from engine.states import Reason
from engine.step import in_step
from engine.table import DirectoryTable
from engine.twins import Twins


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What is not to be called a difference.

    Files with an mtime after ``young_after`` (seconds since the epoch; None: no age limit) are passed over on either
    side. ``keep_orphan`` and ``keep_missing`` take the path of a file and say whether it is to be left alone.
    ``one_name``: the remote side is what a store showed, where a directory that is there under several names, as behind
    a link, is judged under one of them. What is not in an ``open_inventory`` is no orphan, and what is not in an
    ``open_remote`` is not missing: lines of theirs could not be read, and may be these files.
    """

    young_after: float | None = None
    keep_orphan: Callable[[bytes], bool] | None = None
    keep_missing: Callable[[bytes], bool] | None = None
    one_name: bool = False
    open_inventory: bool = False
    open_remote: bool = False


def compare_options(
    young_after: float | None,
    ignored: Sequence[bytes],
    keep_orphan: Callable[[bytes], bool] | None,
    keep_missing: Callable[[bytes], bool] | None,
    one_name: bool,
    left_out: Sequence[bytes] = (),
) -> CompareOptions:
    """Make the options where paths that contain one of the ``ignored`` substrings are left alone, whatever else is, and
    what lies in one of the directories ``left_out``.
    """
    patterns = PatternFilter(ignored, left_out) or None
    return CompareOptions(young_after, either(patterns, keep_orphan), either(patterns, keep_missing), one_name)


@dataclass(slots=True)
class Tally:
    """What a comparison passed over: ``protected`` files were not judged, by ``reasons`` why nobody could look.

    ``links`` are directories whose files are judged under the name of another one, which is the same directory.
    """

    protected: int = 0
    young: int = 0
    kept: int = 0
    opened: int = 0
    reasons: dict[Reason, int] = field(default_factory=dict)
    links: dict[bytes, bytes] = field(default_factory=dict)

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
    judge = Judge(inventory, remote, options, tally)
    for left, right in in_step(inventory, remote):
        if left is not None and right is not None:
            yield from judge.both(left, right)
        elif left is not None:
            yield from judge.inventory_only(left)
        elif right is not None:
            yield from judge.remote_only(right)


class Sight:
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


@dataclass(frozen=True, slots=True)
class _Crowd:
    """Very many rows of the store's that are the same directory: one that the inventory has, if it has one; the one
    with the fewest steps; and under which of their names the inventory has each of the files.
    """

    rows: Sequence[int]
    known: list[int]
    first: int
    owners: dict[bytes, int]


class Judge:
    """Decides for one pair of rows at a time. ``twins`` may be those of a table that ``remote`` is a part of."""

    def __init__(
        self,
        inventory: DirectoryTable,
        remote: DirectoryTable,
        options: CompareOptions,
        tally: Tally,
        twins: Twins | None = None,
    ) -> None:
        self._inventory = inventory
        self._remote = remote
        self._inventory_sight = Sight(inventory)
        self._remote_sight = Sight(remote)
        self._options = options
        self._tally = tally
        self._twins = (twins or Twins(remote)) if options.one_name else None
        self._crowds: dict[int, _Crowd] = {}

    def both(self, left: int, right: int) -> list[Finding]:
        """Judge a directory that both sides know."""
        unseen = self._remote_sight.unseen(right)
        if unseen is not None:
            self._tally.protect(self._inventory.files[left], unseen)
            return []
        unseen = self._inventory_sight.unseen(left)
        if unseen is not None:
            self._tally.protect(self._remote.files[right], unseen)
            return []
        self._tally.opened += 1
        expected = self._inventory.load(left) if self._inventory.files[left] else NO_FILES
        found = self._remote.load(right) if self._remote.files[right] else NO_FILES
        return self._differences(right, expected, found)

    def inventory_only(self, row: int) -> list[Finding]:
        """Judge a directory that the store's listing does not have."""
        files = self._inventory.files[row]
        if not files:
            return []
        path = self._inventory.paths[row]
        unseen = self._inventory_sight.unseen(row) or self._remote_sight.unseen_above(path)
        if unseen is not None:
            self._tally.protect(files, unseen)
            return []
        self._tally.opened += 1
        expected = self._inventory.load(row)
        return self._report(Kind.MISSING, path, expected, dict(enumerate(expected.name_list())))

    def remote_only(self, row: int) -> list[Finding]:
        """Judge a directory that the inventory does not have."""
        files = self._remote.files[row]
        if not files:
            return []
        path = self._remote.paths[row]
        unseen = self._remote_sight.unseen(row) or self._inventory_sight.unseen_above(path)
        if unseen is not None:
            self._tally.protect(files, unseen)
            return []
        twin = self._judged_elsewhere(row)
        if twin is not None:
            self._pass_over(row, twin, files)
            return []
        self._tally.opened += 1
        found = self._remote.load(row)
        return self._report(Kind.ORPHAN, path, found, dict(enumerate(found.name_list())))

    def _judged_elsewhere(self, row: int) -> int | None:
        """Give the row under whose name the files of a directory are judged that the inventory does not have."""
        if self._twins is None:
            return None
        few, many = self._twins.kin(row)
        if not (few or many):
            return None
        known = [twin for twin in few if self._is_known(twin)]
        firsts = [row, *few]
        if many:
            crowd = self._crowd(many)
            known += crowd.known
            firsts.append(crowd.first)
        if known:
            return min(known)
        # Of several that are unknown, the one with the fewest steps is reported.
        first = min(firsts, key=self._steps)
        return None if first == row else first

    def _is_known(self, row: int) -> bool:
        return self._inventory.find(self._remote.paths[row]) is not None

    def _steps(self, row: int) -> tuple[int, int]:
        return paths.depth_of(self._remote.paths[row]), row

    def _crowd(self, rows: Sequence[int]) -> _Crowd:
        """Look through very many rows that are the same directory, once for all of them."""
        crowd = self._crowds.get(id(rows))
        if crowd is None:
            known = next(([row] for row in rows if self._is_known(row)), [])
            owners: dict[bytes, int] = {}
            for row in rows:
                for name in self._names_known(row):
                    owners.setdefault(name, row)
            crowd = self._crowds[id(rows)] = _Crowd(rows, known, min(rows, key=self._steps), owners)
        return crowd

    def _names_known(self, row: int) -> list[bytes]:
        """Give the files that the inventory has under the name of a row of the store's."""
        other = self._inventory.find(self._remote.paths[row])
        return [] if other is None or not self._inventory.files[other] else self._inventory.load(other).name_list()

    def _pass_over(self, row: int, twin: int, files: int) -> None:
        self._tally.protect(files, Reason.LINK)
        if self._twins is not None:
            path, target = self._twins.highest(row, twin)
            self._tally.links[path] = target

    def _but_known_elsewhere(self, row: int, orphan: Names) -> Names:
        """Leave out files that the inventory has under another name of the same directory."""
        if self._twins is None:
            return orphan
        few, many = self._twins.kin(row)
        for twin in few:
            orphan = self._but(row, twin, frozenset(self._names_known(twin)), orphan)
        if many:
            owners = self._crowd(many).owners
            for twin in sorted({owners[name] for name in orphan.values() if name in owners}):
                orphan = self._but(row, twin, {name for name in orphan.values() if owners.get(name) == twin}, orphan)
        return orphan

    def _but(self, row: int, twin: int, known: Set[bytes], orphan: Names) -> Names:
        """Leave out files that are judged under the name of a twin."""
        left = {position: name for position, name in orphan.items() if name not in known}
        if len(left) < len(orphan):
            self._pass_over(row, twin, len(orphan) - len(left))
        return left

    def _differences(self, row: int, expected: FileColumns, found: FileColumns) -> list[Finding]:
        """Compare the files of one directory, all of them seen on both sides; ``row`` is the store's."""
        directory = self._remote.paths[row]
        missing, orphan = difference(expected.names, found.names)
        findings = self._report(Kind.MISSING, directory, expected, missing) if missing else []
        if orphan:
            findings += self._report(Kind.ORPHAN, directory, found, self._but_known_elsewhere(row, orphan))
        # Without what only one side has, the columns stand side by side.
        sizes, other_sizes = _without(expected.sizes, missing), _without(found.sizes, orphan)
        if sizes != other_sizes:
            different = _both_known_and_different(numbers(sizes), numbers(other_sizes))
            left, right = _behind(different, missing), _behind(different, orphan)
            findings += self._mismatches(directory, expected, found, left, right)
        return findings

    def _report(self, kind: Kind, directory: bytes, files: FileColumns, chosen: Names) -> list[Finding]:
        limit = age_limit(self._options.young_after, files.mtimes)
        if limit is not None and chosen:
            mtimes = numbers(files.mtimes)
            old = {i: name for i, name in chosen.items() if mtimes[i] <= limit}
            self._tally.young += len(chosen) - len(old)
            chosen = old
        keep = self._options.keep_missing if kind == Kind.MISSING else self._options.keep_orphan
        if keep is not None:
            left = {i: name for i, name in chosen.items() if not keep(paths.join(directory, name))}
            self._tally.kept += len(chosen) - len(left)
            chosen = left
        if not chosen:
            return []
        if self._options.open_remote if kind == Kind.MISSING else self._options.open_inventory:
            self._tally.protect(len(chosen), Reason.UNREAD)
            return []
        return [Finding(kind, directory, files if len(chosen) == len(files) else files.pick(chosen))]

    def _mismatches(
        self, directory: bytes, expected: FileColumns, found: FileColumns, left: list[int], right: list[int]
    ) -> list[Finding]:
        """Report files whose sizes differ, given by their positions on either side."""
        limit = age_limit(self._options.young_after, expected.mtimes)
        if limit is not None:
            mtimes, other_mtimes = numbers(expected.mtimes), numbers(found.mtimes)
            old = [mtimes[i] <= limit and other_mtimes[j] <= limit for i, j in zip(left, right, strict=True)]
            self._tally.young += old.count(False)
            left, right = list(compress(left, old)), list(compress(right, old))
        if not left:
            return []
        remote_sizes = b"".join([found.sizes[j << 3 : (j + 1) << 3] for j in right])
        return [Finding(Kind.SIZE_MISMATCH, directory, expected.select(left), remote_sizes)]


def _both_known_and_different(sizes: Numbers, other_sizes: Numbers) -> list[int]:
    """Give the positions, ascending, at which two columns of the same length have different known sizes."""
    return [
        position
        for position in compress(count(), map(ne, sizes, other_sizes))
        if UNKNOWN_SIZE not in (sizes[position], other_sizes[position])
    ]


def _behind(positions: list[int], left_out: Names) -> list[int]:
    """Turn ascending positions in a column that leaves some values out into those in the whole column."""
    if not left_out:
        return positions
    gaps = [*left_out, sys.maxsize]
    passed = 0
    whole = []
    for position in positions:
        while gaps[passed] <= position + passed:
            passed += 1
        whole.append(position + passed)
    return whole


def _without(column: bytes, positions: Names) -> bytes:
    """Leave some values out of a column of int64."""
    if not positions:
        return column
    if len(positions) == 1:
        (position,) = positions
        return column[: position << 3] + column[(position + 1) << 3 :]
    cuts = [0, *(position + 1 for position in positions)]
    return b"".join([column[a << 3 : b << 3] for a, b in zip(cuts, [*positions, len(column) >> 3], strict=True)])


def empty_directories(
    remote: DirectoryTable, young_after: float | None, refuted: Iterable[bytes] = ()
) -> Iterator[Finding]:
    """Give directories below which there is no file, in an order in which each can be removed by a plain ``rmdir``.

    With an age limit, those that are too young or of unknown age are left out, and with them the directories above; so
    are the ``refuted``, of which the store said that they hold more than their listing, and those that are there under
    several names.
    """
    spared = set(refuted)
    twins = Twins(remote)
    for row in remote.empty_rows():
        path, mtime = remote.paths[row], int(remote.mtimes[row])
        too_young = young_after is not None and not 0 <= mtime <= young_after
        if path in spared or too_young or twins.of(row):
            parent = paths.parent_of(path)
            if parent is not None:
                spared.add(parent)
        else:
            yield Finding(Kind.EMPTY, path, mtime=mtime)
