"""How a node of a tree holds its files and sub-directories, and how the nodes are walked.

A node keeps its files as columns, or leaves them in the `DirectoryTable` that the tree was opened on and reads them
when they are asked for. Nothing here recurses: a tree may be as deep as it likes.

Three kinds of nodes have no listing. One that was *never filled* has no files at all, not even none. A *master*, put
together from other trees, has none, and says nothing of what may be beside the directories that it was given. An
*unlisted* one failed, was ignored, or was never reached although a listing was wanted.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import ClassVar, Self, TypeVar

from engine import paths
from engine.columns import NO_FILES, UNKNOWN_MTIME, FileColumns
from engine.states import Reason, State
from engine.table import DirectoryTable
from engine.tree.files import FileTuple, merge, old_files, to_columns
from engine.tree.paths import full_name
from engine.tree.rows import SECONDS_A_DAY, Rows, common_top

_LINEAR = 8
"""Up to so many sub-directories are searched one by one, without a dictionary."""

BY_NAME = attrgetter("_name")

_NodeT = TypeVar("_NodeT", bound="TreeNode")


def _no_clock() -> float:
    return math.inf


class TreeNode:
    """A directory. Names are ``bytes`` here; `engine.tree.directory_info.DirectoryInfo` is what users see.

    ``mtime`` is the directory's own, None when not known, and ``timestamp`` the time at which it was listed, both in
    seconds since the epoch. ``state``, ``reason`` and ``detail`` say how the listing went.
    """

    __slots__ = (
        "_directories",
        "_files",
        "_hash",
        "_index",
        "_name",
        "_rows",
        "can_compare",
        "detail",
        "mtime",
        "reason",
        "state",
        "timestamp",
    )

    ignore_age: ClassVar[float] = 1.0
    """Days; younger files and empty directories are not compared."""

    clock: ClassVar[Callable[[], float]] = staticmethod(_no_clock)
    """Gives the time of a new node, in seconds since the epoch. With the one given here nothing is ever too young."""

    def __init__(self, name: str = "") -> None:
        self._name = paths.encode(name)
        self._directories: list[Self] | None = []
        self._index: dict[bytes, Self] | None = None
        self._files: FileColumns | None = None
        self._rows: Rows | None = None
        self._hash: bytes | None = None
        self.can_compare = False
        self.mtime: float | None = None
        self.timestamp = type(self).clock()
        self.state = State.UNFILLED
        self.reason = Reason.NONE
        self.detail = ""

    @classmethod
    def from_table(cls, table: DirectoryTable, name: str | None = None) -> Self:
        """Open the part of a table at and below the path ``name``, by default all of it.

        Nodes are made when they are asked for. Files are read from the table each time and not kept. Above several
        tops stands a master.
        """
        top = common_top(table) if name is None else paths.canonical(paths.encode(name or "/"))
        root = cls._from_rows(top if name is None else paths.encode(name), Rows.at(table, top, cls.clock()))
        if root.is_gap:
            root._directories = root.subdirectories()
            root._rows = None
        return root

    @classmethod
    def _from_rows(cls, name: bytes, rows: Rows) -> Self:
        node = cls(paths.decode(name))
        node._rows = rows
        node.timestamp = rows.timestamp()
        if rows.first < rows.last:
            node._directories = None
        table, row = rows.table, rows.row
        if row is None:
            node._files = NO_FILES
            return node
        mtime = int(table.mtimes[row])
        node.mtime = None if mtime == UNKNOWN_MTIME else mtime
        node.state = table.state(row)
        node.reason = table.reason(row)
        if node.state == State.UNFILLED:
            node.reason = node.reason or Reason.NEVER_REACHED
        node.detail = table.details.get(row, "")
        return node

    @property
    def name_bytes(self) -> bytes:
        """The name as it is kept inside."""
        return self._name

    @property
    def hash_bytes(self) -> bytes | None:
        """The hash of what can be compared, once it was set up."""
        return self._hash

    @property
    def is_filled(self) -> bool:
        """Whether the files were ever given, be it as the word that they could not be listed."""
        return self._files is not None or self.state != State.UNFILLED

    @property
    def is_unlisted(self) -> bool:
        """Whether a listing was wanted and is not there: failed, ignored or never reached."""
        return self.state != State.LISTED and (self.state != State.UNFILLED or self.reason != Reason.NONE)

    @property
    def is_master(self) -> bool:
        """Whether this only holds together the directories that are in it."""
        return self.state == State.UNFILLED and self._files is not None and not self.is_unlisted

    @property
    def is_bare(self) -> bool:
        """Whether the directory was listed and nothing was in it."""
        return self.state == State.LISTED and self._directories == [] and not self.count_files()

    @property
    def is_settled(self) -> bool:
        """Whether the directory's mtime is known and old enough."""
        return self.mtime is not None and self.mtime < self.age_limit

    @property
    def age_limit(self) -> float:
        """Seconds since the epoch; what was changed from then on is too young to be compared."""
        return self.timestamp - self.ignore_age * SECONDS_A_DAY

    @property
    def untouched(self) -> tuple[DirectoryTable, int] | None:
        """The table and the row that have this directory's own files; None when they are in memory."""
        rows = self._rows
        if rows is None or rows.row is None or self._files is not None or self.state != State.LISTED:
            return None
        return rows.table, rows.row

    @property
    def unopened(self) -> Rows | None:
        """The rows of everything below, as long as no node was made for it."""
        return self._rows if self._directories is None else None

    @property
    def is_gap(self) -> bool:
        """Whether the table goes over this directory, so that it is known only as a part of other paths."""
        return self.state == State.UNFILLED and self._rows is not None and self._rows.row is None

    def columns(self) -> FileColumns:
        """Give the files as columns, read from the table if they are there."""
        if self._files is not None:
            return self._files
        return NO_FILES if self._rows is None or self.state != State.LISTED else self._rows.load()

    def count_files(self) -> int:
        """Count the files in this directory itself, without reading them."""
        own = self.untouched
        return int(own[0].files[own[1]]) if own else len(self.columns())

    def known_size(self) -> int:
        """Sum the known sizes of the files in this directory itself, in bytes, without reading them from a table."""
        own = self.untouched
        return int(own[0].sizes[own[1]]) if own else self.columns().total_size()

    def subdirectories(self) -> list[Self]:
        """Give the sub-directories sorted by name; nodes that this makes from a table are not kept."""
        if self._directories is None:
            return [] if self._rows is None else [self._from_rows(name, rows) for name, rows in self._rows.children()]
        return sorted(self._directories, key=BY_NAME) if len(self._directories) > 1 else self._directories

    def is_just_filled(self) -> bool:
        """Tell whether there are files here or below, and nothing that is old enough to be compared."""
        files = False
        for _, _, node in self.walk(b""):
            if node.is_unlisted:
                continue
            if node._holds_old_files() or (node.is_bare and node.is_settled):
                return False
            files = files or node.count_files() > 0
        return files

    def _holds_old_files(self) -> bool:
        own = self.untouched
        if own and (not own[0].files[own[1]] or own[0].newest[own[1]] < self.age_limit):
            return bool(own[0].files[own[1]])
        return len(old_files(self.columns(), self.age_limit)) > 0

    def walk(self, top: bytes) -> Iterator[tuple[int, bytes, Self]]:
        """Give depth, path and node of each directory in tree order; ``top`` is the path of this one."""
        return _visit(self, top, lambda node: node.subdirectories())

    def made(self, top: bytes) -> Iterator[tuple[bytes, Self]]:
        """Give path and node of each directory that has one; what is below others is in their ``unopened`` rows."""
        visited = _visit(self, top, lambda node: [] if node._directories is None else node.subdirectories())
        return ((where, node) for _, where, node in visited)

    def _opened(self) -> list[Self]:
        if self._directories is None:
            self._directories = self.subdirectories()
        return self._directories

    def _fill(self, names: list[str], rows: Sequence[FileTuple]) -> Self:
        """Add files, whose ``names`` stand apart; those that are already there stay as they are."""
        columns, unlisted = to_columns(names, rows)
        self._files = merge(self.columns(), columns)
        self._hash = None
        if unlisted:
            self.state, self.reason = State.FAILED, Reason.PARTIAL
        elif self.state == State.UNFILLED:
            self.state, self.reason = State.LISTED, Reason.NONE
        return self

    def _empty(self) -> None:
        """Go back to never filled."""
        self._files = self._hash = None
        self.state, self.reason, self.detail = State.UNFILLED, Reason.NONE, ""

    def _trail(self, parts: Iterable[bytes], make_new: bool) -> list[Self]:
        """Give the nodes on a path, this one first, as far as there are any or, if wanted, making them."""
        trail = [self]
        for part in parts:
            child = trail[-1]._child(part)
            if child is None:
                if not make_new:
                    break
                child = trail[-1]._make(part)
                for node in trail:
                    node._hash = None
            trail.append(child)
        return trail

    def _child(self, name: bytes) -> Self | None:
        children = self._opened()
        if len(children) <= _LINEAR:
            return next((child for child in children if child._name == name), None)
        if self._index is None or len(self._index) != len(children):
            self._index = {child._name: child for child in children}
        return self._index.get(name)

    def _make(self, name: bytes) -> Self:
        # Whoever names what is inside knows the directory, unless a listing of it was wanted and did not come.
        if not self.is_filled and not self.is_unlisted:
            self._fill([], [])
        child = type(self)(paths.decode(name))
        self._attach(child)
        return child

    def _attach(self, child: Self) -> None:
        self._opened().append(child)
        if self._index is not None:
            self._index[child._name] = child

    def _detach(self, child: Self) -> None:
        children = self._opened()
        position = bisect_left(children, child._name, key=BY_NAME)
        if position == len(children) or children[position] is not child:
            position = children.index(child)
        del children[position]
        if self._index is not None:
            self._index.pop(child._name, None)

    def _adopt(self, directory: Self) -> None:
        """Take a node as a sub-directory, or merge it with the one of that name."""
        twin = self._child(directory._name)
        if twin is None:
            self._attach(directory)
            return
        pairs = [(twin, directory)]
        while pairs:
            mine, theirs = pairs.pop()
            mine._absorb(theirs)
            for child in theirs._opened():
                twin = mine._child(child._name)
                if twin is None:
                    mine._attach(child)
                else:
                    pairs.append((twin, child))

    def _absorb(self, other: Self) -> None:
        """Take over the files of another node for the same directory; unlisted in either is unlisted."""
        if other.is_filled:
            self._files = merge(self.columns(), other.columns())
        if not self.is_unlisted and (other.is_unlisted or self.state == State.UNFILLED):
            self.state, self.reason, self.detail = other.state, other.reason, other.detail
        self.timestamp = min(self.timestamp, other.timestamp)
        self.mtime = max((time for time in (self.mtime, other.mtime) if time is not None), default=None)
        self._hash = None


def _visit(root: _NodeT, top: bytes, children: Callable[[_NodeT], list[_NodeT]]) -> Iterator[tuple[int, bytes, _NodeT]]:
    stack = [(0, top, root)]
    while stack:
        depth, where, node = stack.pop()
        yield depth, where, node
        stack.extend((depth + 1, full_name(where, child._name), child) for child in reversed(children(node)))
