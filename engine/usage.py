"""What a listing says about the storage that is used, by top directory."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engine import paths
from engine.states import State
from engine.table import DirectoryTable


@dataclass(frozen=True, slots=True)
class Usage:
    """What is in and below a directory: files, their bytes as far as known, and directories that were not listed."""

    path: bytes
    files: int
    size: int
    unlisted: int


def usage(table: DirectoryTable, tops: Iterable[bytes]) -> Iterator[Usage]:
    """Sum up each of the tops; one that the listing has never heard of is left out."""
    for top in tops:
        key = paths.tree_key(top)
        first = bisect_left(table.paths, key, key=paths.tree_key)
        last = bisect_left(table.paths, key + b"\x01", lo=first, key=paths.tree_key)
        if first < last:
            unlisted = sum(1 for _ in table.rows_but(State.LISTED, State.IGNORED, first=first, last=last))
            yield Usage(top, sum(table.files[first:last]), sum(table.sizes[first:last]), unlisted)
