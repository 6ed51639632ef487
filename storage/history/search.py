"""The findings of the last runs, looked through by their paths."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from engine import paths
from engine.columns import UNKNOWN_SIZE
from storage.history.tables import COUNTED, Table, stored
from storage.history.two_runs import FindingKind


@dataclass(frozen=True, slots=True)
class Match:
    """One finding of the last run of a site that looked for its kind.

    ``size`` and, of a size mismatch, ``remote_size`` at the store are in bytes, -1 where not known. It was found in
    ``run``, and in all runs before it back to ``first_run``, which started at ``since`` (seconds since the epoch).
    ``checksums``, of a checksum mismatch, are those of inventory and store.
    """

    site: str
    kind: FindingKind
    path: bytes
    size: int
    remote_size: int
    run: int
    first_run: int
    since: float | None
    checksums: tuple[str, str] | None = None


def search(
    connection: sqlite3.Connection, site: str, matches: Callable[[bytes], bool], kinds: Iterable[FindingKind]
) -> Iterator[Match]:
    """Give the findings of a site whose paths match, as they come."""
    row = connection.execute("SELECT id FROM sites WHERE name = ?", (site,)).fetchone()
    if row is None:
        return
    for kind in kinds:
        yield from _Kind(connection, row[0], site, kind).matching(matches)


class _Kind:
    """The findings of one kind at one site."""

    def __init__(self, connection: sqlite3.Connection, number: int, site: str, kind: FindingKind) -> None:
        self._connection = connection
        self._number = number
        self._site = site
        self._kind = kind
        self._started = cache(self._start_of)
        # Whoever says which files are missing says what is unlisted as well.
        table = Table.MISSING if kind == FindingKind.UNLISTED else kind.table
        rows = connection.execute(
            "SELECT run FROM reported WHERE site = ? AND findings = ? ORDER BY run DESC", (number, table)
        )
        self._runs = [run for (run,) in rows]

    def matching(self, matches: Callable[[bytes], bool]) -> Iterator[Match]:
        for directory, identity, name, size, remote_size, run, seen, *checksums in self._rows():
            path = directory if name is None else paths.join(directory, name) if directory else name
            if matches(path):
                first = self._first_run(run, seen, identity, name if name is not None else directory)
                pair = (checksums[0], checksums[1]) if checksums else None
                yield Match(self._site, self._kind, path, size, remote_size, run, first, self._started(first), pair)

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        """Give directory, its number, name (None: it is a directory), sizes, run, and in how many runs it was found."""
        values: dict[str, Any] = {"site": self._number, "none": UNKNOWN_SIZE}
        table = self._kind.table
        if self._kind == FindingKind.EMPTY:
            query = f"SELECT CAST(name AS BLOB), NULL, NULL, :none, :none, run, 0 FROM {table} WHERE site = :site"
        elif self._kind == FindingKind.UNLISTED:
            query = (
                f"SELECT CAST(d.name AS BLOB), d.id, NULL, :none, :none, f.run, 0 FROM {table} f "
                "JOIN directories d ON d.id = f.directory WHERE f.site = :site"
            )
        else:
            remote = "f.remote_size" if self._kind == FindingKind.SIZE_MISMATCH else ":none"
            seen = "f.seen" if table in COUNTED else "0"
            more = ", f.expected, f.found" if self._kind == FindingKind.CHECKSUM_MISMATCH else ""
            # In the order of the key, so that the first ones come at once.
            query = (
                "SELECT CAST(d.name AS BLOB), d.id, CAST(f.name AS BLOB), ifnull(f.size, :none), "
                f"{remote}, f.run, {seen}{more} "
                f"FROM {table} f CROSS JOIN directories d ON d.id = f.directory WHERE f.site = :site"
            )
        return self._connection.execute(query, values)

    def _first_run(self, run: int, seen: int, directory: int | None, name: bytes) -> int:
        """Give the first of the runs, one behind the other, that have found it."""
        earlier = self._runs[bisect_left(self._runs, -run, key=lambda number: -number) :]
        if seen:
            return earlier[min(seen, len(earlier)) - 1] if earlier else run
        first = run
        for before in earlier[1:]:
            if not self._was_found(before, directory, name):
                break
            first = before
        return first

    def _was_found(self, run: int, directory: int | None, name: bytes) -> bool:
        values: dict[str, Any] = {"site": self._number, "run": run, "directory": directory}
        if self._kind == FindingKind.UNLISTED:
            condition = "directory = :directory"
        else:
            condition = "name = :name" + ("" if self._kind == FindingKind.EMPTY else " AND directory = :directory")
            values["name"] = stored(name)
        table = self._kind.table
        query = f"SELECT 1 FROM {table}_history WHERE site = :site AND run = :run AND {condition}"
        return self._connection.execute(query, values).fetchone() is not None

    def _start_of(self, run: int) -> float | None:
        row = self._connection.execute("SELECT started FROM runs WHERE id = ?", (run,)).fetchone()
        return None if row is None else float(row[0])
