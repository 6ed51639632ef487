"""The removal of empty directories from a tree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.tree.directory_info import DirectoryInfo
from engine.tree.errors import BadPath, NotEmpty


@dataclass(frozen=True, slots=True)
class Removed:
    """A directory that was taken out of a tree: its path as the tree has it, and its mtime."""

    path: str
    mtime: float


def remove_empty(tree: DirectoryInfo, protected: Callable[[str], bool]) -> list[Removed]:
    """Take the empty directories out of a tree that are not protected, deepest first, and give them.

    Only what was listed completely, holds nothing and is known to be old enough is empty; the tree's own root never is
    removed. A directory with a protected one inside stays as well.
    """
    removed = []
    for path in tree.empty_nodes_list():
        if path == tree.name or protected(path):
            continue
        node = tree.get_node(path[len(tree.name) :].strip("/"), make_new=False)
        try:
            tree.remove_node(path)
        except (NotEmpty, BadPath):
            # It holds what stays, or the tree changed meanwhile.
            continue
        if node is not None and node.mtime is not None:
            removed.append(Removed(path, node.mtime))
    return removed
