"""What is new, still there and gone between two runs of a site, of each kind of finding.

What the later run has not found is gone only where it could look: in and below a directory that it could not list,
nobody can tell. What somebody acted on in between is neither.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any

from engine import paths
from engine.columns import UNKNOWN_SIZE
from storage.history.rows import rows_of_directory
from storage.history.tables import COUNTED, FileRow, RunRow, Table, as_held

UNLISTED = "unlisted"
"""The name of the table of directories that could not be listed."""


class Fate(StrEnum):
    """What became of a finding between two runs."""

    NEW = "new"
    STILL = "still"
    GONE = "gone"
    ACTED = "acted"
    """The earlier run had found it, somebody acted on it, and the later run has not found it."""
    UNSEEN = "unseen"
    """The earlier run had found it, and nobody knows whether the later one would have."""


@dataclass(frozen=True, slots=True)
class Part:
    """How many findings, and their bytes as far as they are known."""

    count: int = 0
    size: int = 0

    def __add__(self, other: Part) -> Part:
        return Part(self.count + other.count, as_held(self.size + other.size))


@dataclass(frozen=True, slots=True)
class Found:
    """One finding: its path, size (bytes) and, of a size mismatch, the size at the store; -1 where not known.

    ``checksums``, of a checksum mismatch, are those of inventory and store.
    """

    path: bytes
    size: int = UNKNOWN_SIZE
    remote_size: int = UNKNOWN_SIZE
    checksums: tuple[str, str] | None = None


class Hidden:
    """Tells what a run could not see: what lies in, or below, a directory that it could not list."""

    def __init__(self, unlisted: frozenset[bytes] | None) -> None:
        """``unlisted`` None: nobody knows any more which directories these were."""
        self._unlisted = unlisted

    def __call__(self, directory: bytes) -> bool:
        """Tell it of a directory."""
        return self._unlisted is None or any(above in self._unlisted for above in _upwards(directory))


def _upwards(directory: bytes) -> Iterator[bytes]:
    above: bytes | None = directory
    while above is not None:
        yield above
        above = paths.parent_of(above)


def unlisted_of(connection: sqlite3.Connection, site: int, run: int) -> frozenset[bytes]:
    """Give the directories that a run could not list, as far as that is kept."""
    rows = connection.execute(
        " UNION ".join(
            "SELECT CAST(d.name AS BLOB) FROM "
            f"{table} u JOIN directories d ON d.id = u.directory WHERE u.site = :site AND u.run = :run"
            for table in (UNLISTED, f"{UNLISTED}_history")
        ),
        {"site": site, "run": run},
    )
    return frozenset(path for (path,) in rows)


def hidden_from(connection: sqlite3.Connection, site: int, run: RunRow) -> Hidden:
    """Make what tells what a run could not see."""
    unlisted = unlisted_of(connection, site, run.id)
    return Hidden(unlisted if unlisted or not run.counts.unlisted else None)


def _absent(outer: str, table: str, run: str, key: tuple[str, ...]) -> str:
    same = " AND ".join(f"o.{column} = {outer}.{column}" for column in key)
    return f"NOT EXISTS (SELECT 1 FROM {table} o WHERE o.site = :site AND o.run = {run} AND {same})"


@dataclass(frozen=True, slots=True)
class _Sources:
    """In which tables, and under which conditions, the findings of one fate stand."""

    table: str
    key: tuple[str, ...]
    follows: bool = False

    def of(self, fate: Fate) -> dict[str, str]:
        """Give the tables and conditions; ``:site``, ``:before`` and ``:run`` stand for their numbers.

        Of a finding that is gone or unseen it is not said which of the two it is.
        """
        table, twin, key = self.table, f"{self.table}_history", self.key
        if fate in (Fate.NEW, Fate.STILL):
            # What was acted on since the run is in the twin, but was found all the same.
            found = {table: "site = :site AND run = :run", twin: "site = :site AND run = :run"}
            found[twin] += f" AND {_absent(twin, table, ':run', key)}"
            return {name: f"{where} AND {self._before(name, twin, fate)}" for name, where in found.items()}
        acted = "" if self.table == UNLISTED else f" AND acted IS {'NOT ' if fate == Fate.ACTED else ''}NULL"
        absent = f"{_absent(twin, table, ':run', key)} AND {_absent(twin, twin, ':run', key)}"
        return {twin: f"site = :site AND run = :before{acted} AND {absent}"}

    def _before(self, name: str, twin: str, fate: Fate) -> str:
        absent = _absent(name, twin, ":before", self.key)
        if self.follows and self.table in COUNTED:
            # Rows from before there were counters count as found once, whatever the run before had found.
            absent = f"(seen = 1 AND (since IS NOT NULL OR {absent}))"
        return absent if fate == Fate.NEW else f"NOT {absent}"


class Difference:
    """The findings of one kind in two runs, ``before`` and ``run``, by what became of them.

    ``follows``: the one is the run before the other. ``hidden`` tells what the later one could not see.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        table: str,
        site: int,
        before: int,
        run: int,
        hidden: Callable[[bytes], bool],
        follows: bool = False,
    ) -> None:
        self._connection = connection
        self._table = table
        self._values: dict[str, Any] = {"site": site, "before": before, "run": run}
        self._hidden = hidden
        key = ("name",) if table == Table.EMPTY else ("directory",) if table == UNLISTED else ("directory", "name")
        self._sources = _Sources(table, key, follows)

    @property
    def _of_directories(self) -> bool:
        return self._table in (Table.EMPTY, UNLISTED)

    def part(self, fate: Fate) -> Part:
        """Count the findings of one fate."""
        if self._of_directories:
            return Part(sum(1 for _ in self._directories(fate)))
        return self.files(fate).total()

    def rows(self, fate: Fate) -> Iterator[Found]:
        """Give the findings of one fate, in tree order."""
        if self._of_directories:
            return map(Found, sorted(self._directories(fate), key=paths.tree_key))
        if self._table == Table.CHECKSUMS:
            found = self.files(fate).rows(", expected, found")
            return (Found(path, size, checksums=(expected, at_store)) for path, size, _, expected, at_store in found)
        more = ", remote_size" if self._table == Table.MISMATCHES else ""
        return (Found(path, size, *rest) for path, size, _, *rest in self.files(fate).rows(more))

    def files(self, fate: Fate) -> Files:
        """Give the files of one fate, where the findings are files."""
        return Files.of(self._connection, self._values, self._sources.of(fate)).where(self._keeps(fate))

    def _keeps(self, fate: Fate) -> Callable[[bytes], bool]:
        """Tell which directories belong to a fate, beyond what the database can say."""
        if fate == Fate.GONE:
            return lambda directory: not self._hidden(directory)
        return self._hidden if fate == Fate.UNSEEN else lambda _: True

    def _directories(self, fate: Fate) -> Iterator[bytes]:
        if self._table == UNLISTED and fate == Fate.ACTED:
            return
        keeps = self._keeps(fate)
        for table, where in self._sources.of(fate).items():
            if self._table == UNLISTED:
                query = f"SELECT CAST(d.name AS BLOB) FROM {table} JOIN directories d ON d.id = directory WHERE {where}"
            else:
                query = f"SELECT CAST(name AS BLOB) FROM {table} WHERE {where}"
            yield from (path for (path,) in self._connection.execute(query, self._values) if keeps(path))


class Files:
    """Files for which a condition is true, in one or more tables, counted by directory first."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        values: Mapping[str, Any],
        sources: Mapping[str, str],
        parts: dict[bytes, Part],
    ) -> None:
        self._connection = connection
        self._values = dict(values)
        self._sources = sources
        self._parts = parts

    @classmethod
    def of(cls, connection: sqlite3.Connection, values: Mapping[str, Any], sources: Mapping[str, str]) -> Files:
        """Count them; ``sources`` has the condition for each table."""
        parts: dict[bytes, Part] = {}
        for table, where in sources.items():
            # Added up in two halves, since sizes that are each possible can add up to more than SQLite holds.
            rows = connection.execute(
                "SELECT CAST(d.name AS BLOB), n, ifnull(high, 0), ifnull(low, 0) FROM (SELECT directory, "
                "count(*) AS n, sum(size >> 31) AS high, sum(size & 2147483647) AS low "
                f"FROM {table} WHERE {where} GROUP BY directory) JOIN directories d ON d.id = directory",
                dict(values),
            )
            for directory, count, high, low in rows:
                part = Part(count, as_held((high << 31) + low))
                parts[directory] = parts.get(directory, Part()) + part
        return cls(connection, values, sources, parts)

    def __len__(self) -> int:
        return self.total().count

    def total(self) -> Part:
        """Count all of them."""
        return sum(self._parts.values(), Part())

    def where(self, keeps: Callable[[bytes], bool]) -> Files:
        """Give those in directories that are to be kept."""
        parts = {directory: part for directory, part in self._parts.items() if keeps(directory)}
        return Files(self._connection, self._values, self._sources, parts)

    def rows(self, more: str = "") -> Iterator[Any]:
        """Give path, size, mtime and further columns of each, directories in tree order, names in byte order."""
        for directory in sorted(self._parts, key=lambda path: (paths.tree_key(path), path)):
            yield from sorted(
                chain.from_iterable(
                    rows_of_directory(self._connection, table, where, self._values, directory, more)
                    for table, where in self._sources.items()
                )
            )

    def first(self, names: int) -> Iterator[FileRow]:
        """Give the first files, in tree order."""
        for _, row in zip(range(names), self.rows(), strict=False):
            yield row
