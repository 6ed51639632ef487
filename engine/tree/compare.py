"""The one-way comparison of two trees of nodes.

A file or directory counts as absent from the other tree only where the other tree was listed completely. Below and
beside an unlisted directory, on either side, nothing is reported; beside the directories of a master, nothing either.

A file is too young to be compared when it is so for either tree: what is newer than the other tree's listing may have
come after it. Where all that the other tree has in and below a directory is too young, as in one that is just being
filled, nothing in or below it is reported.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from engine import paths
from engine.columns import UNKNOWN_SIZE
from engine.states import State
from engine.tree.node import TreeNode
from engine.tree.paths import full_name


@dataclass(slots=True)
class Extra:
    """What the one tree has and the other has not.

    ``files`` and ``directories`` are full paths in tree order, ``size`` is the bytes of the files. Of directories that
    are wholly absent only the highest is named. Files for whose path ``check`` is true are left out.
    """

    check: Callable[[str], bool] | None = None
    files: list[str] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    size: int = 0

    def take_file(self, directory: bytes, name: bytes, size: int) -> None:
        """Enter one file unless the check is true for it."""
        path = paths.decode(full_name(directory, name))
        if self.check is None or not self.check(path):
            self.files.append(path)
            self.size += max(size, 0)

    def take_all(self, node: TreeNode, where: bytes, before: float = math.inf) -> bool:
        """Enter every file at and below a node; tell whether there was anything old enough to be compared.

        What is not from before ``before``, in seconds since the epoch, is too young as well.
        """
        anything = False
        stack = [(where, node)]
        while stack:
            here, current = stack.pop()
            if current.is_unlisted:
                continue
            limit = min(current.age_limit, before)
            for name, size, mtime in current.columns().rows():
                if mtime < limit:
                    anything = True
                    self.take_file(here, name, size)
            anything = anything or (current.is_bare and current.mtime is not None and current.mtime < limit)
            children = current.subdirectories()
            stack.extend((full_name(here, child.name_bytes), child) for child in reversed(children))
        return anything

    def take_different(self, mine: TreeNode, theirs: TreeNode, where: bytes) -> None:
        """Enter the files of a directory that the other tree has not, or with another size.

        A size that is not known agrees with every size. A file that is too young on the other side, perhaps still being
        written, is not compared.
        """
        if _same_files(mine, theirs):
            return
        others = {name: (size, mtime) for name, size, mtime in theirs.columns().rows()}
        other_limit = theirs.age_limit
        limit = min(mine.age_limit, other_limit)
        for name, size, mtime in mine.columns().rows():
            if mtime >= limit:
                continue
            other = others.get(name)
            if other is not None:
                other_size, other_mtime = other
                if size == other_size or UNKNOWN_SIZE in (size, other_size) or other_mtime >= other_limit:
                    continue
            self.take_file(where, name, size)


def compare(left: TreeNode, right: TreeNode | None, top: bytes, check: Callable[[str], bool] | None = None) -> Extra:
    """Give what is in ``left`` and not in ``right``; ``top`` is the full path of ``left``.

    With ``right`` None everything is extra, and no directory is named. Files and empty directories that are too young
    are passed over. Where both trees have their hashes set up, equal ones are not looked into.
    """
    extra = Extra(check)
    if right is None:
        extra.take_all(left, top)
        return extra
    stack: list[tuple[bytes, TreeNode, TreeNode | None, float]] = [(top, left, right, math.inf)]
    while stack:
        where, mine, theirs, before = stack.pop()
        if theirs is None:
            if extra.take_all(mine, where, before):
                extra.directories.append(paths.decode(where))
            continue
        if mine.is_unlisted or theirs.is_unlisted or _same_hash(mine, theirs) or theirs.is_just_filled():
            continue
        complete = theirs.state == State.LISTED
        if complete:
            extra.take_different(mine, theirs, where)
        twins = {twin.name_bytes: twin for twin in theirs.subdirectories()}
        for child in reversed(mine.subdirectories()):
            twin = twins.get(child.name_bytes)
            if complete or twin is not None:
                stack.append((full_name(where, child.name_bytes), child, twin, theirs.age_limit))
    return extra


def _same_hash(mine: TreeNode, theirs: TreeNode) -> bool:
    return mine.hash_bytes is not None and mine.hash_bytes == theirs.hash_bytes


def _same_files(mine: TreeNode, theirs: TreeNode) -> bool:
    """Tell whether names and sizes agree, without reading files if their digests are at hand."""
    own, other = mine.untouched, theirs.untouched
    if own and other:
        return own[0].digest(own[1]) == other[0].digest(other[1])
    a, b = mine.columns(), theirs.columns()
    return a.names == b.names and a.sizes == b.sizes
