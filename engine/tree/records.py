"""A tree of nodes as the records and the table that a snapshot is written from."""

from __future__ import annotations

import math
from collections.abc import Iterator

from engine import paths
from engine.columns import NO_DIRECTORIES, NO_FILES, UNKNOWN_MTIME, DirectoryColumns, FileColumns
from engine.record import DirectoryRecord, DirectorySummary
from engine.states import State
from engine.table import DirectoryTable
from engine.tree.errors import BadPath
from engine.tree.node import TreeNode


def records(root: TreeNode) -> Iterator[tuple[DirectoryRecord, int]]:
    """Give a record of each directory and its mtime; see `engine.tree.directory_info.DirectoryInfo.records`."""
    for where, node in _recorded(root):
        listed = node.state == State.LISTED
        yield (
            DirectoryRecord(
                where,
                node.state,
                node.reason,
                node.detail,
                _listed_at(node),
                node.columns() if listed else NO_FILES,
                _directories(node) if listed else NO_DIRECTORIES,
            ),
            _whole(node.mtime),
        )


def table(root: TreeNode) -> DirectoryTable:
    """Give the tree as a table; see `engine.tree.directory_info.DirectoryInfo.table`."""
    summaries: list[DirectorySummary] = []
    sources: list[FileColumns | tuple[DirectoryTable, int]] = []
    for where, node in _recorded(root):
        files = node.columns() if node.state == State.LISTED and not node.untouched else NO_FILES
        sources.append(node.untouched or files)
        summaries.append(_summary(where, node, files))

    def load(row: int) -> FileColumns:
        source = sources[row]
        return source if isinstance(source, FileColumns) else source[0].load(source[1])

    return DirectoryTable.from_summaries(summaries, load)


def _recorded(root: TreeNode) -> Iterator[tuple[bytes, TreeNode]]:
    try:
        top = paths.canonical(root.name_bytes or paths.SEPARATOR)
    except ValueError as error:
        raise BadPath(f"the tree's name is {error}") from error
    return ((where, node) for _, where, node in root.walk(top) if not node.is_master)


def _summary(where: bytes, node: TreeNode, files: FileColumns) -> DirectorySummary:
    own = node.untouched
    if own is None:
        record = DirectoryRecord(where, node.state, node.reason, node.detail, _listed_at(node), files)
        return DirectorySummary.of(record, _whole(node.mtime))
    rows, row = own
    return DirectorySummary(
        where,
        node.state,
        node.reason,
        node.detail,
        int(rows.files[row]),
        int(rows.sizes[row]),
        int(rows.newest[row]),
        _whole(node.mtime),
        _listed_at(node),
        rows.digest(row),
    )


def _directories(node: TreeNode) -> DirectoryColumns:
    return DirectoryColumns.from_rows((child.name_bytes, _whole(child.mtime)) for child in node.subdirectories())


def _listed_at(node: TreeNode) -> int:
    return int(node.timestamp) if node.is_filled and math.isfinite(node.timestamp) else 0


def _whole(mtime: float | None) -> int:
    return UNKNOWN_MTIME if mtime is None else math.floor(mtime)
