"""Directories that hold exactly what another one holds.

A link to a directory looks like a directory to most servers. What is behind it is then listed twice, under a name that
the inventory does not know as well, and whoever deletes it there deletes the real files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from engine import paths
from engine.columns import DIGEST_SIZE
from engine.table import DirectoryTable


def without_doubles(files: Iterable[bytes], table: DirectoryTable) -> tuple[list[bytes], int]:
    """Leave out the files of directories whose twin is in the table; gives the rest, and how many were left out.

    Twins have the same names and sizes of files, at least one of them.
    """
    digests = table.digests
    seen = Counter(
        digests[row * DIGEST_SIZE : (row + 1) * DIGEST_SIZE] for row, count in enumerate(table.files) if count
    )
    twins: dict[bytes, bool] = {}
    left = []
    total = 0
    for path in files:
        total += 1
        directory = paths.parent_of(path) or b"/"
        if directory not in twins:
            row = table.find(directory)
            twins[directory] = row is not None and seen[table.digest(row)] > 1
        if not twins[directory]:
            left.append(path)
    return left, total - len(left)
