"""A tree in a file: a snapshot whose header has what no row of it says, the root's name and mtime."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from engine.tree import DirectoryInfo
from storage.snapshot import Snapshot, SnapshotHeader, SnapshotWriter, is_part

KIND = "tree"
"""The kind of a snapshot that was written from a tree."""

_TreeT = TypeVar("_TreeT", bound=DirectoryInfo)


def write_tree(tree: DirectoryInfo, path: Path, site: str = "") -> None:
    """Write a tree; a file of that name, even the one that the tree was opened on, is replaced in one step.

    Raises:
        ValueError: the file is named like an unfinished snapshot.
        BadPath: the name of the tree is no path.
        SnapshotError, OSError: the file cannot be written, or what the tree was opened on cannot be read.
    """
    if is_part(path):
        raise ValueError(f"{path}: an unfinished snapshot is called so")
    header = SnapshotHeader(KIND, tree.name, int(time.time()), site, extra={"mtime": tree.mtime})
    writer = SnapshotWriter(path, header)
    try:
        for record, _ in tree.records():
            writer.append(record)
        writer.finish()
    except BaseException:
        writer.discard()
        raise


def open_tree(path: Path, kind: Callable[[str], type[_TreeT]], name: str | None = None) -> _TreeT:
    """Open the tree in a snapshot of any kind; ``kind`` gives the class for the site that the header names.

    The root is the directory ``name``; by default it is the tree that was written, or what is common to all rows.
    Directories and files are read from the snapshot when they are asked for.

    Raises:
        SnapshotError: not a snapshot, or a damaged one.
        OSError: the file cannot be read.
    """
    snapshot = Snapshot(path)
    header = snapshot.header
    saved = name is None and header.kind == KIND
    tree = kind(header.site).from_table(snapshot.table, header.source if saved else name)
    if saved:
        tree.mtime = header.extra.get("mtime")
    return tree
