"""The tree of directories that users hold in their hands.

Names are ``str`` in arguments and results. What a node holds is in `engine.tree.node`; here is what can be asked of it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Self

from engine import paths
from engine.columns import DIGEST_SIZE, NO_FILES
from engine.record import DirectoryRecord
from engine.states import State
from engine.table import DirectoryTable
from engine.tree.compare import compare
from engine.tree.errors import BadPath, NeverFilled, NotEmpty
from engine.tree.files import (
    UNLISTED,
    FileInfo,
    FileTuple,
    file_infos,
    is_name,
    names_before,
    old_files,
    runs,
    to_tuple,
    unlisted_info,
)
from engine.tree.node import BY_NAME, TreeNode
from engine.tree.paths import below, encode_name, full_name, inside, split
from engine.tree.records import records, table
from engine.tree.text import displays, listing_text


class DirectoryInfo(TreeNode):
    """A directory and everything below it.

    ``directories`` are nodes that become the sub-directories of this one; those of the same name are merged.
    ``files`` are (name, size in bytes, mtime in seconds since the epoch[, block]) tuples.

    ``hash`` and ``can_compare`` are as of the last `setup_hash`, which is to be called again after a change.
    """

    __slots__ = ()

    def __init__(
        self, name: str = "", directories: Iterable[Self] | None = None, files: Iterable[FileTuple] | None = None
    ) -> None:
        super().__init__(name)
        if directories is not None:
            self._files = NO_FILES
            for directory in directories:
                self._adopt(directory)
        if files is not None:
            self.add_files(files)

    @property
    def name(self) -> str:
        """The name; for the root of a tree often a path."""
        return paths.decode(self._name)

    @name.setter
    def name(self, name: str) -> None:
        self._name = paths.encode(name)

    @property
    def hash(self) -> str | None:
        """The hash that `setup_hash` made, in hexadecimal; None before, and after a change to this node."""
        return None if self._hash is None else self._hash.hex()

    @property
    def directories(self) -> list[Self]:
        """The sub-directories; sorted by name after `setup_hash` and in a tree that was opened on a table."""
        return self._opened()

    @directories.setter
    def directories(self, directories: Iterable[Self]) -> None:
        self._directories = list(directories)
        self._index = self._hash = None

    @property
    def files(self) -> list[FileInfo] | None:
        """The files, made into dictionaries at each call; None when the directory was never filled.

        A directory that could not be listed shows the pseudo-file ``_unlisted_``. None, tuples and such dictionaries
        can be assigned.
        """
        if not self.is_filled:
            return None
        infos = file_infos(self.columns(), self.age_limit)
        return [*infos, unlisted_info()] if self.is_unlisted else infos

    @files.setter
    def files(self, files: Iterable[FileInfo | FileTuple] | None) -> None:
        self._empty()
        if files is not None:
            self.add_files([to_tuple(info) for info in files])

    def add_files(self, files: Iterable[FileTuple]) -> Self:
        """Add (name, size[, mtime[, block]]) tuples and give the node back; a name that is there is passed over.

        The pseudo-file ``_unlisted_`` makes the directory an unlisted one.

        Raises:
            BadPath: something that cannot be the name of a file.
        """
        rows = list(files)
        return self._fill([row[0] for row in rows], rows)

    def add_file_list(self, file_infos: Iterable[FileTuple]) -> None:
        """Add (path, size[, mtime[, block]]) tuples, with paths that begin with the node's name or are relative to it.

        Directories are made as needed. Any order will do; grouped by directory is fastest.

        Raises:
            BadPath: an absolute path that does not begin with the node's name, or something that cannot be a path.
        """
        if not self.is_filled and not self.is_unlisted:
            self._fill([], [])
        seen: dict[str, DirectoryInfo] = {}
        late: dict[str, list[FileTuple]] = {}
        above: dict[str, DirectoryInfo] = {}
        for head, names, rows in runs(file_infos):
            if head in seen:
                late.setdefault(head, []).extend(rows)
                continue
            seen[head] = self._reach(head, above)
            seen[head]._fill(names, rows)
        for head, rows in late.items():
            seen[head]._fill([row[0][len(head) :] for row in rows], rows)

    def _reach(self, head: str, above: dict[str, Self]) -> Self:
        """Give the node at a path that ends with a slash, or make it; ``above`` keeps the parents of those before."""
        cut = head.rfind("/", 0, -1) + 1
        name = head[cut:-1]
        parent = above.get(head[:cut])
        # Most directories are beside the one before, so that most of the path need not be walked again.
        if parent is not None and is_name(name):
            part = encode_name(name)
            return parent._child(part) or parent._make(part)
        trail = self._trail(inside(self._name, head), True)
        for node in trail:
            node._hash = None
        # A relative path may or may not begin with the name of this node, which its parent alone does not tell.
        if len(trail) > 1 and is_name(name) and head.startswith("/"):
            above[head[:cut]] = trail[-2]
        return trail[-1]

    def get_node(self, path: str, make_new: bool = True) -> Self | None:
        """Give the node at a path that is relative to this one, or absolute and begins with its name.

        A missing node is made, and is never filled; with ``make_new`` false the result is None instead.

        Raises:
            BadPath: something that cannot be a path below this node.
        """
        parts = below(self._name, path) if path.startswith("/") else split(path)[1]
        trail = self._trail(parts, make_new)
        return trail[-1] if len(trail) > len(parts) else None

    def remove_node(self, path_name: str) -> Self:
        """Remove an empty directory, whose path begins with the name of this node, which is given back.

        Raises:
            NotEmpty: it has files or directories, or is not known to be empty, or not known to be old enough.
            BadPath: the path does not begin with the name of this node, or there is no such directory below it.
        """
        parts = below(self._name, path_name)
        *trail, node = self._trail(parts, False)
        if not trail or len(trail) < len(parts):
            raise BadPath(f"no directory {path_name} below {self.name}")
        if not node.is_bare:
            raise NotEmpty(f"{path_name} is not known to be empty")
        if not node.is_settled:
            raise NotEmpty(f"{path_name} is too young, or of unknown age")
        for above in trail:
            above._hash = None
        trail[-1]._detach(node)
        return self

    def get_file(self, file_name: str) -> FileInfo | None:
        """Give the file at a full path; None when there is no such file.

        Raises:
            BadPath: the path does not begin with the name of this node.
        """
        parts = below(self._name, file_name)
        trail = self._trail(parts[:-1], False)
        if not parts or len(trail) < len(parts):
            return None
        node, name = trail[-1], parts[-1]
        columns = node.columns()
        names = columns.name_list()
        position = bisect_left(names, name)
        if position < len(names) and names[position] == name:
            return file_infos(columns.select([position]), node.age_limit)[0]
        return unlisted_info() if name == paths.encode(UNLISTED) and node.is_filled and node.is_unlisted else None

    def get_files(self, min_age: float = 0, path: str = "") -> list[str]:
        """Give the full paths of files that were older than ``min_age`` seconds when listed, in tree order.

        ``path`` is put before the name of this node. Files whose mtime is not known count as being from 1970.
        """
        found: list[str] = []
        for _, where, node in self.walk(full_name(paths.encode(path), self._name)):
            names = names_before(node.columns(), node.timestamp - min_age)
            found.extend([paths.decode(full_name(where, name)) for name in names])
        return found

    def get_directory_size(self) -> int:
        """Sum the known sizes of all files, in bytes.

        Raises:
            NeverFilled: the files of a directory were never given.
        """
        total = 0
        for where, node in self.made(self._name):
            rows = node.unopened
            hole = where if not node.is_filled else rows.first_unfilled() if rows else None
            if hole is not None:
                raise NeverFilled(f"the size of {paths.escape(hole)} is not known: it was never filled")
            total += node.known_size() + (rows.size_below() if rows else 0)
        return total

    def get_num_files(self, unlisted: bool = False, place_new: bool = False) -> int:
        """Count the files, or the unlisted directories if ``unlisted``.

        With ``place_new`` there is one more in each directory that is too young, of unknown age, or never filled.
        """
        total = 0
        for _, node in self.made(self._name):
            rows = node.unopened
            if unlisted:
                total += node.is_unlisted + (rows.count_unlisted_below() if rows else 0)
            else:
                total += node.count_files() + (rows.files_below() if rows else 0)
            if place_new:
                total += not (node.is_gap or (node.is_filled and node.is_settled))
                total += rows.unsettled_below(self.ignore_age) if rows else 0
        return total

    def get_unlisted(self, path: str = "") -> list[str]:
        """Give the full paths of unlisted directories: failed, ignored, or never reached by a listing.

        ``path`` is put before the name of this node.
        """
        found: list[bytes] = []
        for where, node in self.made(full_name(paths.encode(path), self._name)):
            if node.is_unlisted:
                found.append(where)
            if node.unopened:
                found.extend(full_name(where, name) for name in node.unopened.unlisted_below())
        return [paths.decode(where) for where in found]

    def count_nodes(self, empty: bool = False) -> int:
        """Count the directories that were filled, or only those of them that are known to have no file below."""
        if empty:
            return len(self._empty_paths(lambda node: True))
        total = 0
        for _, node in self.made(self._name):
            total += node.is_filled and not node.is_gap
            total += node.unopened.filled_below() if node.unopened else 0
        return total

    def empty_nodes_list(self) -> list[str]:
        """Give the full paths of directories to delete, in an order in which each is empty when its turn comes.

        These hold nothing but such directories, and their mtimes are known and old enough. This node may be the last.
        """
        return [paths.decode(where) for where in self._empty_paths(lambda node: node.is_settled)]

    def empty_nodes_set(self) -> set[str]:
        """Give what is in `empty_nodes_list` as a set."""
        return set(self.empty_nodes_list())

    def _empty_paths(self, wanted: Callable[[Self], bool]) -> list[bytes]:
        """Give the wanted directories that hold no files and no other directories than such, deepest first.

        Nothing below an unlisted directory is among them.
        """
        seen: list[tuple[int, bytes, Self]] = []
        for step in self.walk(self._name):
            if not seen or not seen[-1][2].is_unlisted or step[0] <= seen[-1][0]:
                seen.append(step)
        found: list[bytes] = []
        holding: set[int] = set()
        for depth, where, node in reversed(seen):
            empty = depth + 1 not in holding and node.state == State.LISTED and not node.count_files()
            holding.discard(depth + 1)
            if empty and wanted(node):
                found.append(where)
            else:
                holding.add(depth)
        return found

    def setup_hash(self) -> None:
        """Set ``hash`` and ``can_compare`` here and below, and sort the directories by name.

        Two trees have the same hash if and only if they agree in what can be compared: files that are old enough by
        name and size, the directories these are in, and directories that are empty and old enough.
        """
        order = [self]
        for node in order:
            order.extend(node.directories)
        for node in reversed(order):
            node._set_hash()

    def _set_hash(self) -> None:
        children = self.directories
        children.sort(key=BY_NAME)
        digest, count = self._comparable_files()
        children = [child for child in children if child.can_compare]
        self.can_compare = bool(count or children or (self.is_bare and self.is_settled))
        hasher = blake2b(b"dynamo-consistency directory 1\0" + digest, digest_size=DIGEST_SIZE)
        hasher.update(len(children).to_bytes(8, "little"))
        for child in children:
            hasher.update(len(child._name).to_bytes(8, "little") + child._name + (child._hash or b""))
        self._hash = hasher.digest()

    def _comparable_files(self) -> tuple[bytes, int]:
        """Give the digest and the number of the files that are old enough, reading only where some may be too young."""
        own = self.untouched
        if own and own[0].newest[own[1]] < self.age_limit:
            return own[0].digest(own[1]), int(own[0].files[own[1]])
        old = old_files(self.columns(), self.age_limit)
        return old.digest(), len(old)

    def compare(
        self, other: Self | None, path: str = "", check: Callable[[str], bool] | None = None
    ) -> tuple[list[str], list[str], int]:
        """Give the files and directories that are here and not in ``other``, and the bytes of these files.

        ``path`` is put before the name of this node. Files for whose path ``check`` is true are left out. What can and
        cannot be a difference is said in `engine.tree.compare`; the hashes need not be set up, but save time.
        """
        extra = compare(self, other, full_name(paths.encode(path), self._name), check)
        return extra.files, extra.directories, extra.size

    def displays(self, path: str = "") -> str:
        """Describe this node and everything below; ``path`` is its full path, by default its name."""
        return displays(self, paths.encode(path) or self._name)

    def display(self, path: str = "") -> None:
        """Print what `displays` gives."""
        print(self.displays(path))

    def listdir(self, *args: int, printing: bool = True) -> Self:
        """Give the directory that the indices ``args`` lead to, one for each level, and print what is in it.

        Raises:
            IndexError: there are not so many directories.
        """
        node = self
        for index in args:
            node = node.directories[index]
        if printing:
            print(listing_text(node, node.directories))
        return node

    def records(self) -> Iterator[tuple[DirectoryRecord, int]]:
        """Give a record of each directory and its mtime, in tree order and with full paths, reading files on the way.

        The mtime is in seconds since the epoch, ``UNKNOWN_MTIME`` when not known. A master has no record, and a record
        that is not of a complete listing has no files.
        """
        return records(self)

    def table(self) -> DirectoryTable:
        """Give the tree as it is now as a table with the rows of `records`, without reading files from a table."""
        return table(self)
