"""A tree that grows while its directories are listed, in whatever order their listings come."""

from __future__ import annotations

from typing import Generic, TypeVar

from engine import paths
from engine.states import Reason, State
from engine.tree.answer import Answer
from engine.tree.directory_info import DirectoryInfo
from engine.tree.errors import BadPath
from engine.tree.paths import split

_TreeT = TypeVar("_TreeT", bound=DirectoryInfo)

TOO_DEEP = "too deep"


def first_directory(directory: str) -> tuple[str, str]:
    """Split where a listing starts into the name of the tree's root and what is below it; that is mostly empty.

    Raises:
        BadPath: it cannot be a directory inside another.
    """
    parts = [paths.decode(part) for part in split(directory)[1]]
    if not parts:
        raise BadPath(f"not the name of a directory: {directory!r}")
    return parts[0], "/".join(parts[1:])


def join(directory: str, name: str) -> str:
    """Put a path before a name, either of which may be empty."""
    return f"{directory}/{name}" if directory and name else directory or name


class GrowingTree(Generic[_TreeT]):
    """The tree named ``name``, whose listing starts at the path ``start`` below it.

    Directories that were named but not listed yet are nodes that were never filled. What is above ``start`` is a
    master: nothing is said of what may be beside.
    """

    def __init__(self, kind: type[_TreeT], name: str, start: str = "", max_depth: int = 1 << 30) -> None:
        steps = [name, *start.split("/")] if start else [name]
        node = kind(steps[-1])
        self._waiting = {start: node}
        for step in reversed(steps[:-1]):
            node = kind(step, directories=[node])
        self.tree = node
        self._max_depth = max_depth

    @property
    def is_whole(self) -> bool:
        """Whether everything that was named was also listed, or given up."""
        return not self._waiting

    def take(self, path: str, answer: Answer) -> None:
        """Put the answer for the directory at ``path``, below the root, in its place.

        An answer for a directory that is not waited for is passed over.
        """
        node = self._waiting.pop(path, None)
        if node is None:
            return
        node.add_files(answer.files)
        node.timestamp = type(node).clock()
        if node.state == State.FAILED and answer.problem:
            node.reason, node.detail = Reason.SERVER, answer.problem
        deeper = path.count("/") + bool(path) < self._max_depth
        for name, mtime in answer.directories:
            child = node.get_node(name)
            if child is None or child.is_filled:
                continue
            child.mtime = mtime
            if deeper:
                self._waiting[join(path, name)] = child
            else:
                child.state, child.reason, child.detail = State.FAILED, Reason.DEPTH, TOO_DEEP
