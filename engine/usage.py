"""What a listing says about the storage that is used, by top directory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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
        rows = table.rows_under(top)
        if rows.start < rows.stop:
            unlisted = sum(1 for _ in table.rows_but(State.LISTED, State.IGNORED, first=rows.start, last=rows.stop))
            yield Usage(top, sum(table.files[rows]), sum(table.sizes[rows]), unlisted)
