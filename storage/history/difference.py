"""What is new, still there and gone between two runs of a site, of each kind of finding.

What the later run has not found is gone only where it has looked: in and below a directory that it could not list, and
of what its settings left alone, nobody can tell. What somebody acted on in between is neither.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, count
from typing import Any

from engine import paths
from engine.columns import UNKNOWN_SIZE
from storage.history.rows import rows_of_directory
from storage.history.sight import UNLISTED, Unseen
from storage.history.tables import COUNTED, FileRow, Table, as_held

_NUMBERS = count()
"""Tell the functions of SQL apart that are made for a connection."""

_PATH = """CAST((SELECT CASE name WHEN '/' THEN '/' WHEN '' THEN '' ELSE name || '/' END
    FROM directories WHERE id = directory) || name AS BLOB)"""
"""The path of a file, as bytes."""


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


def _absent(outer: str, table: str, run: str, key: tuple[str, ...]) -> str:
    same = " AND ".join(f"o.{column} = {outer}.{column}" for column in key)
    return f"NOT EXISTS (SELECT 1 FROM {table} o WHERE o.site = :site AND o.run = {run} AND {same})"


@dataclass(frozen=True, slots=True)
class _Sources:
    """In which tables, and under which conditions, the findings of one fate stand."""

    table: str
    key: tuple[str, ...]
    follows: bool = False
    acted: str = "acted IS NOT NULL"

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
        acted = "" if self.table == UNLISTED else f" AND {'' if fate == Fate.ACTED else 'NOT '}({self.acted})"
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

    ``follows``: the one is the run before the other. ``unseen`` tells of what the later one says nothing. ``done`` are
    the paths that somebody acted on between the two, besides what the history itself knows of that.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        table: str,
        site: int,
        before: int,
        run: int,
        unseen: Unseen,
        follows: bool = False,
        done: Container[bytes] = (),
    ) -> None:
        self._connection = connection
        self._table = table
        self._values: dict[str, Any] = {"site": site, "before": before, "run": run}
        self._unseen = unseen
        self._condition = ""
        key = ("name",) if table == Table.EMPTY else ("directory",) if table == UNLISTED else ("directory", "name")
        self._sources = _Sources(table, key, follows)
        if done:
            function = f"done_{next(_NUMBERS)}"
            connection.create_function(function, 1, done.__contains__)
            path = "CAST(name AS BLOB)" if table == Table.EMPTY else _PATH
            self._sources = _Sources(table, key, follows, f"acted IS NOT NULL OR {function}({path})")

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
        sources = self._sources.of(fate)
        if fate in (Fate.GONE, Fate.UNSEEN):
            no = "NOT " if fate == Fate.GONE else ""
            unseen = self._condition or self._make_condition()
            sources = {name: f"{where} AND {no}({unseen})" for name, where in sources.items()}
        return Files.of(self._connection, self._values, sources)

    def _make_condition(self) -> str:
        """Say in SQL, where the names of files are, of which of them the later run would say nothing."""
        table, unseen, scope = self._table, self._unseen, self._unseen.scope
        known: dict[int, bool] = {}

        def is_unseen(directory: int) -> bool:
            told = known.get(directory)
            if told is None:
                query = "SELECT CAST(name AS BLOB) FROM directories WHERE id = ?"
                (path,) = self._connection.execute(query, (directory,)).fetchone()
                told = known[directory] = unseen.directory(table, path)
            return told

        function = f"unseen_{next(_NUMBERS)}"
        self._connection.create_function(function, 1, is_unseen)
        conditions = [f"{function}(directory)"]
        if scope is not None and scope.young_after is not None:
            conditions.append("ifnull(mtime > :young_after, 0)")
            self._values["young_after"] = scope.young_after
        for number, pattern in enumerate(filter(None, scope.ignored if scope is not None else ())):
            conditions.append(f"instr({_PATH}, :ignored_{number})")
            self._values[f"ignored_{number}"] = pattern
        self._condition = " OR ".join(conditions)
        return self._condition

    def _directories(self, fate: Fate) -> Iterator[bytes]:
        if self._table == UNLISTED and fate == Fate.ACTED:
            return
        asked = fate in (Fate.GONE, Fate.UNSEEN)
        for table, where in self._sources.of(fate).items():
            if self._table == UNLISTED:
                select = f"CAST(d.name AS BLOB), NULL FROM {table} JOIN directories d ON d.id = directory"
            else:
                select = f"CAST(name AS BLOB), mtime FROM {table}"
            for path, mtime in self._connection.execute(f"SELECT {select} WHERE {where}", self._values):
                if not asked or self._is_unseen(path, mtime) == (fate == Fate.UNSEEN):
                    yield path

    def _is_unseen(self, path: bytes, mtime: int | None) -> bool:
        """Tell whether the later run would say nothing of a directory, which is empty or could not be listed."""
        if self._unseen.directory(self._table, path):
            return True
        return mtime is not None and self._unseen.scope is not None and self._unseen.scope.is_too_young(mtime)


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
            for directory, files, high, low in rows:
                part = Part(files, as_held((high << 31) + low))
                parts[directory] = parts.get(directory, Part()) + part
        return cls(connection, values, sources, parts)

    def __len__(self) -> int:
        return self.total().count

    def total(self) -> Part:
        """Count all of them."""
        return sum(self._parts.values(), Part())

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
