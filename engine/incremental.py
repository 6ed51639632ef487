"""Which directories are taken over from the last complete listing of a store, without a request.

A directory whose time is that of the last listing holds the same names as then, if the store's times are true. So only
leaves are taken over, whose listing began safely after that time; a share of them is listed all the same; and what
differs then, although its parent goes on showing the old time, is a disagreement: from then on the store's times are
not believed, and everything that was taken over is listed. What is taken over never leads to a finding: what differs
from the inventory is listed before it is judged (`doubtful`). Decision 17 says why.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b
from typing import TYPE_CHECKING

from engine import paths
from engine.columns import NO_FILES, UNKNOWN_MTIME, UNKNOWN_SIZE, DirectoryColumns, FileColumns
from engine.index import Known
from engine.second_looks import CACHED_FOR, SecondLooks
from engine.states import Reason, State
from engine.step import in_step
from engine.table import DirectoryTable
from engine.twins import MOST_WITH_ONE_ID

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAFELY = 86400.0
"""Seconds that have to lie between the time of a directory and its listing.

A time is known to the second or two, by a clock of the store, which may be hours off, in a wrong zone as a rule; when a
directory was listed is known by ours. What changed within a day before its listing is listed once more.
"""

_HEED_EVERY = 5000

_FILES = 100
"""So many files take as long to be taken over as a directory does."""

_LOOKS = 10
"""So many directories of the last listing are looked at in the time in which one is taken over."""


class Choice(IntEnum):
    """What becomes of a directory that a new listing names."""

    LIST = 0
    """It is listed, since nothing says that it is as it was."""
    SAMPLE = 1
    """It could be taken over, and is listed to see whether that would have been right."""
    TAKE = 2
    """Its last listing stands for a new one."""


@dataclass(frozen=True, slots=True)
class TakeOverRules:
    """How much is taken over: all but the ``share`` (0 to 1) that ``seed`` draws.

    ``margin``: so many seconds the listing was answered after the time of the directory, at least. ``delay``: so many
    seconds after a difference the time is asked for again (`engine.second_looks`).
    """

    share: float
    seed: bytes
    margin: float = SAFELY
    delay: float = CACHED_FOR

    def is_sampled(self, path: bytes) -> bool:
        """Draw; the same path is drawn or not for as long as the seed is the same."""
        drawn = int.from_bytes(blake2b(path, key=self.seed[:64], digest_size=8).digest(), "big")
        return drawn < self.share * 2.0**64


class _Mark(IntEnum):
    """How a row of the last listing stands in the new one."""

    NEVER = 0
    """It is never taken over."""
    NONE = 1
    TAKEN = 2
    SAMPLED = 3


@dataclass(frozen=True, slots=True)
class Children:
    """The sub-directories of a directory: to be ``listed``, and by row to be ``taken`` over; ``sampled`` are both."""

    listed: list[bytes]
    taken: list[int]
    sampled: list[int]


@dataclass(frozen=True, slots=True)
class Portion:
    """What is to be done next: directories to be ``taken`` over, by row, and some to be ``listed``."""

    taken: list[int]
    listed: list[bytes]


class TakeOver:
    """Decides over the directories of one listing, by the table of the last complete one.

    A state machine without clock and chance: callers carry out what it says and tell it what came of that. What may
    be about all directories at once it gives out in portions, since nobody can wait for a million of them.
    """

    def __init__(self, table: DirectoryTable, rules: TakeOverRules) -> None:
        self._table = table
        self._rules = rules
        # A byte a directory; the table, which is in order, is all that finds rows.
        self._marks = bytearray(len(table))
        self._next_row = 0
        for row in trusted_leaves(table, rules.margin):
            self._marks[row] = _Mark.NONE
        # Of directories that hold some whose listing differs.
        self._looks = SecondLooks(rules.delay)
        self.distrust = ""
        self._is_settled = False
        # What is put off: rows to be taken over, and how far the table is gone through, once for what a run before has
        # listed and once for what is to be listed after all.
        self._put_off: deque[array[int]] = deque()
        self._gone_on = self._after_all = len(table)
        # Leaves below which the run before has found directories.
        self._grown: frozenset[bytes] = frozenset()

    @property
    def taken(self) -> int:
        """How many directories are taken over and were not listed since."""
        return self._marks.count(_Mark.TAKEN)

    def path_of(self, row: int) -> bytes:
        """Give the path of a row of the last listing."""
        return self._table.paths[row]

    def choose(self, path: bytes, mtime: int, identity: int = 0) -> Choice:
        """Say what becomes of a directory that its parent's new listing shows with this time (s) and id."""
        return self._choose(self._row_of(path), path, mtime, identity)

    def _row_of(self, path: bytes) -> int | None:
        """Give the row of a directory that may be taken over.

        Many are asked for in the order of the table: then a leaf directly follows the one before it, as a rule.
        """
        known, row = self._table.paths, self._next_row
        if row == len(known) or known[row] != path:
            found = self._table.find(path)
            if found is None:
                return None
            row = found
        self._next_row = row + 1
        return None if self._marks[row] == _Mark.NEVER else row

    def _choose(self, row: int | None, path: bytes, mtime: int, identity: int) -> Choice:
        if self.distrust or self._is_settled or row is None or mtime != self._table.mtimes[row]:
            return Choice.LIST
        ids = self._table.ids
        if identity != (0 if ids is None else ids[row]):
            return Choice.LIST
        return Choice.SAMPLE if self._rules.is_sampled(path) else Choice.TAKE

    def children(self, base: bytes, directories: DirectoryColumns, spared: Callable[[bytes], bool]) -> Children:
        """Sort what a new listing names; ``base`` ends with a slash, and what is ``spared`` is not taken over."""
        found = Children([], [], [])
        columns = zip(directories.name_list(), directories.mtime_list(), directories.id_list(), strict=True)
        for name, mtime, identity in columns:
            path = base + name
            row = self._row_of(path)
            choice = self._choose(row, path, mtime, identity)
            if row is None or choice == Choice.LIST or spared(path):
                found.listed.append(path)
            elif choice == Choice.SAMPLE:
                found.listed.append(path)
                found.sampled.append(row)
            else:
                found.taken.append(row)
        return found

    def settle(self) -> None:
        """Take nothing over from now on: what was taken over is held against the inventory, once."""
        self._is_settled = True

    def sample(self, rows: Iterable[int]) -> None:
        """Note that these are listed to be held against the last listing."""
        for row in rows:
            self._marks[row] = _Mark.SAMPLED

    def take(self, rows: Iterable[int]) -> None:
        """Note that these are taken over."""
        for row in rows:
            self._marks[row] = _Mark.TAKEN

    def take_again(self, path: bytes) -> bool:
        """Note that a run before took a directory over; False when it would not be taken over now."""
        row = self._row_of(path)
        if row is None or self.distrust:
            return False
        self.take([row])
        return True

    def put_off(self, rows: Sequence[int]) -> None:
        """Note that these are to be taken over, by and by (`portion`)."""
        if rows:
            self._put_off.append(array("q", reversed(rows)))

    def go_on(self, known: Iterable[bytes]) -> None:
        """Begin to go through all that may be taken over, after a run before that has listed some of it (`portion`).

        What it has listed, although it could have been taken over, is held against the last listing; what it did not
        come to is listed, held against it as well, or taken over, as it would have been. ``known`` are all directories
        of which that run heard.
        """
        self._gone_on = 0
        above = {path.rpartition(b"/")[0] for path in known}
        self._grown = frozenset(path for path in above if path and self._row_of(path) is not None)

    def may_be_taken(self, path: bytes) -> bool:
        """Whether it is known what to do with a directory of which the last listing has one that may be taken over."""
        return self._row_of(path) is not None

    @property
    def unfinished(self) -> bool:
        """Whether there is another `portion` now."""
        return bool(self._put_off) or min(self._gone_on, self._after_all) < len(self._marks)

    def portion(
        self,
        most: int,
        now: float,
        sight_of: Callable[[bytes], Known | None],
        spared: Callable[[bytes], bool] = lambda _path: False,
    ) -> Portion:
        """Give what is to be done next, with about as much work as ``most`` directories of a few files each.

        ``now`` is in seconds on any clock that never runs back, here as elsewhere. ``sight_of`` gives what the new
        listing knows of a directory; what is ``spared`` is left alone.
        """
        portion = Portion([], [])
        left = self._list_after_all(portion, most)
        left = self._take_put_off(portion, left, sight_of)
        self._look_at_the_run_before(portion, left, now, sight_of, spared)
        return portion

    def _list_after_all(self, portion: Portion, most: int) -> int:
        end = len(self._marks)
        while self._after_all < end and len(portion.listed) < most:
            row = self._marks.find(_Mark.TAKEN, self._after_all)
            self._after_all = end if row < 0 else row + 1
            if row >= 0:
                portion.listed.append(self._table.paths[row])
        return most - len(portion.listed)

    def _take_put_off(self, portion: Portion, most: int, sight_of: Callable[[bytes], Known | None]) -> int:
        while self._put_off and most > 0:
            # The last one is the next one.
            row = self._put_off[0].pop()
            sight = sight_of(self._table.paths[row])
            if sight is None or sight.state == State.UNFILLED:
                most -= self._begin(portion, row)
            else:
                # What this run was told of a directory is never older than what an earlier one was.
                most -= 1
            if not self._put_off[0]:
                self._put_off.popleft()
        return most

    def _begin(self, portion: Portion, row: int) -> int:
        if self.distrust:
            portion.listed.append(self._table.paths[row])
        elif self._marks[row] == _Mark.NONE:
            portion.taken.append(row)
            return 1 + self._table.files[row] // _FILES
        return 1

    def _look_at_the_run_before(
        self,
        portion: Portion,
        most: int,
        now: float,
        sight_of: Callable[[bytes], Known | None],
        spared: Callable[[bytes], bool],
    ) -> None:
        last = min(len(self._marks), self._gone_on + most * _LOOKS)
        while self._gone_on < last and most > 0:
            row = self._gone_on
            self._gone_on += 1
            path = self._table.paths[row]
            sight = sight_of(path) if self._marks[row] == _Mark.NONE and not spared(path) else None
            if sight is None:
                continue
            choice = self._choose(row, path, sight.mtime, sight.identity)
            if sight.state == State.UNFILLED:
                # Nobody has queued it.
                if choice == Choice.TAKE:
                    most -= self._begin(portion, row)
                    continue
                portion.listed.append(path)
                most -= 1
            if choice != Choice.LIST:
                self.sample([row])
                if sight.state == State.LISTED:
                    self.listed(path, sight.digest, plain=path not in self._grown, now=now)

    def listed(self, path: bytes, digest: bytes, plain: bool, now: float) -> None:
        """Hold a new listing against the last one, where there is a claim that they are the same.

        ``plain``: it shows nothing but files. If they differ, the parent is listed once more (`due`): only if it goes
        on showing the old time the store has said what is not true, and did not just change.
        """
        row = self._forget(path)
        parent = paths.parent_of(path)
        if row is None or parent is None or self.distrust or (plain and digest == self._table.digest(row)):
            return
        self._looks.hold(parent, row, now)

    def due(self, now: float) -> list[bytes]:
        """Give the directories that are to be listed once more now, for the times of what they hold."""
        return self._looks.due(now)

    @property
    def waits(self) -> bool:
        """Whether some are to be listed once more later on."""
        return bool(self._looks.held)

    @property
    def wait(self) -> str:
        """Say what is waited for, if anything is."""
        held = self._looks.held
        if not held:
            return ""
        others = f" and {len(held) - 1:,} others" if len(held) > 1 else ""
        return (
            f"waiting until {self._looks.delay:g} s have passed, to see in {paths.escape(held[0])}{others} whether the "
            "times of directories have changed that differ from the last listing"
        )

    def failed(self, path: bytes) -> None:
        """Note that a directory could not be listed; what is not known is no disagreement."""
        self._forget(path)

    def _forget(self, path: bytes) -> int | None:
        row = self._row_of(path)
        if row is None or self._marks[row] == _Mark.NONE:
            return None
        self._marks[row] = _Mark.NONE
        return row

    def is_asked(self, path: bytes) -> bool:
        """Whether a directory is listed once more for the times of what it holds."""
        return self._looks.is_asked(path)

    def answered(self, parent: bytes, times: Mapping[bytes, int] | None) -> None:
        """Take in the times by name that a parent shows now, None if it does not say.

        If one is as it was, everything that was taken over is to be listed after all.
        """
        for row in self._looks.answered(parent):
            path = self._table.paths[row]
            if times is None:
                self._disagree(path, "and nobody can say whether its time has")
            elif times.get(paths.name_of(path)) == self._table.mtimes[row]:
                self._disagree(path, "and its time has not")

    def _disagree(self, path: bytes, why: str) -> None:
        if not self.distrust:
            self.distrust = f"{paths.escape(path)} has changed since the last listing, {why}"
            self._after_all = 0
            self._looks.drop()


def trusted_leaves(table: DirectoryTable, margin: float) -> Iterator[int]:
    """Give the rows of a complete listing that may be taken over while their directories show the same time.

    Not one that is empty, which is judged by itself, or holds what is no file; not one that is there under several
    names; and none whose time is unknown or was not safely over when it was listed.
    """
    repeated = _repeated(table)
    for row in range(len(table)):
        if table.states[row] != State.LISTED or table.reasons[row] != Reason.NONE or not table.files[row]:
            continue
        if not _is_leaf(table, row):
            continue
        mtime = table.mtimes[row]
        if mtime > 0 and table.listed_at[row] - mtime >= margin and not repeated[row]:
            yield row


def _is_leaf(table: DirectoryTable, row: int) -> bool:
    # What is below a directory directly follows it.
    return row + 1 == len(table) or not table.paths[row + 1].startswith(table.paths[row] + b"/")


def _repeated(table: DirectoryTable) -> bytes:
    """Give a byte for each row, not 0 where its files, or its id, are those of another one."""
    # Whoever only looks at a run needs no numpy.
    import numpy as np

    if not len(table):
        return b""
    # Two that share a half of their digests by chance are listed.
    halves = np.frombuffer(table.digests, dtype=np.int64)[::2]
    has_files = np.asarray(table.files) != 0
    repeated = has_files & np.isin(halves, _twice(halves[has_files]))
    if table.ids is not None:
        ids = np.asarray(table.ids)
        repeated |= np.isin(ids, _twice(ids[ids != 0]))
    return bytes(repeated)


def _twice(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give those that are there more than once."""
    ordered = values.copy()
    ordered.sort()
    repeated: NDArray[np.int64] = ordered[1:][ordered[1:] == ordered[:-1]]
    return repeated


def doubtful(
    inventory: DirectoryTable, remote: DirectoryTable, until: int, heed: Callable[[], None] = lambda: None
) -> list[bytes]:
    """Give the directories that were taken over, listed at ``until`` (s) or before, and on which a finding might rest.

    They differ from the inventory, or it has something below them. With them go those that may be the same directory as
    any that differs, under another name: both have to be seen as they are now. ``heed`` is called now and then.
    """
    found: set[int] = set()
    different: list[int] = []
    last: int | None = None
    for step, (left, right) in enumerate(in_step(inventory, remote)):
        if step % _HEED_EVERY == 0:
            heed()
        if right is None:
            if left is not None and inventory.files[left]:
                last = _leaf_above(remote, inventory.paths[left], until, last)
                found.update(() if last is None else (last,))
            continue
        if remote.states[right] != State.LISTED or not _differs(inventory, left, remote, right):
            continue
        different.append(right)
        if is_taken(remote, right, until):
            found.add(right)
    if different:
        found.update(_perhaps_the_same(remote, different, until))
    return [remote.paths[row] for row in sorted(found)]


def is_taken(table: DirectoryTable, row: int, until: int) -> bool:
    """Whether the listing of a row is one of an earlier run, the last of which was answered at ``until`` (s)."""
    return table.states[row] == State.LISTED and table.listed_at[row] <= until


def _perhaps_the_same(table: DirectoryTable, rows: Sequence[int], until: int) -> Iterator[int]:
    """Give the rows that were taken over and that `engine.twins` might take for one of these, if it saw them now.

    Where ids tell directories apart, it goes by them, and elsewhere by the time.
    """
    ids = None if table.ids is None else table.ids.tolist()
    count = Counter(ids or ())

    def id_of(row: int) -> int:
        return 0 if ids is None or count[ids[row]] > MOST_WITH_ONE_ID else ids[row]

    numbers = {id_of(row) for row in rows} - {0}
    times = {table.mtimes[row] for row in rows} - {UNKNOWN_MTIME}
    times_alone = {table.mtimes[row] for row in rows if not id_of(row)} - {UNKNOWN_MTIME}
    # Of a top nobody gives time and id, so that it may be any.
    any_of_them = any(table.mtimes[row] == UNKNOWN_MTIME and not id_of(row) and _is_leaf(table, row) for row in rows)
    for row in range(len(table)):
        number, mtime = id_of(row), table.mtimes[row]
        alike = (number in numbers or mtime in times_alone) if number else mtime in times
        if (alike or any_of_them) and is_taken(table, row, until):
            yield row


def _leaf_above(remote: DirectoryTable, path: bytes, until: int, last: int | None) -> int | None:
    """Give the row of the nearest directory above one that the store does not show, if it was taken over."""
    # One that has others below it, which after a jump of the clock may pass for taken over, is not always the nearest.
    if last is not None and path.startswith(remote.paths[last] + b"/") and _is_leaf(remote, last):
        return last
    row = remote.nearest(path)
    return row if row is not None and is_taken(remote, row, until) else None


def _differs(inventory: DirectoryTable, left: int | None, remote: DirectoryTable, right: int) -> bool:
    """Tell whether there is anything to say about a directory of the store; sizes that nobody knows say nothing."""
    found = remote.load(right) if remote.files[right] else NO_FILES
    if left is None:
        return bool(found)
    expected = inventory.load(left) if inventory.files[left] else NO_FILES
    if expected.names != found.names or len(expected) != len(found):
        return True
    return expected.sizes != found.sizes and _sizes_differ(expected, found)


def _sizes_differ(expected: FileColumns, found: FileColumns) -> bool:
    pairs = zip(expected.size_array().tolist(), found.size_array().tolist(), strict=True)
    return any(ours != theirs and UNKNOWN_SIZE not in (ours, theirs) for ours, theirs in pairs)
