"""What is new and what is gone since the run before."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from engine import paths
from storage.history.rows import rows_of_directory
from storage.history.staging import run_before
from storage.history.tables import FileRow, Table


@dataclass(frozen=True, slots=True)
class Changed:
    """Findings of one kind that came and went between run ``before`` and run ``run``.

    ``run`` is 0 when the site has had no run with findings, and ``before`` when it has had only one: nothing is new in
    a first run. The lists hold the first of the ``new`` and ``gone`` files, in tree order.
    """

    run: int = 0
    before: int = 0
    new: int = 0
    gone: int = 0
    new_files: tuple[FileRow, ...] = ()
    gone_files: tuple[FileRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed at a site since the run before."""

    missing: Changed = Changed()
    orphans: Changed = Changed()


def changes(connection: sqlite3.Connection, site: str, names: int) -> Changes:
    """Compare the last two runs of a site that had findings, with up to ``names`` files in each list.

    New is what the run before had not found. Gone is what it had found, nobody has acted on, and the last run has not
    found though it could look: what lies in, or below, a directory that was not listed is neither.
    """
    found = connection.execute("SELECT id FROM sites WHERE name = ?", (site,)).fetchone()
    if found is None:
        return Changes()
    return Changes(*(_changed(connection, found[0], table, names) for table in (Table.MISSING, Table.ORPHANS)))


def _changed(connection: sqlite3.Connection, site: int, table: Table, names: int) -> Changed:
    run = run_before(connection, site, table)
    if run is None:
        return Changed()
    before = run_before(connection, site, table, run)
    if before is None:
        return Changed(run)
    twin = f"{table}_history"
    values = {"site": site, "run": run, "before": before}
    # What was acted on since the run is in the twin, but was found all the same.
    found = {
        # Rows from before there were counters count as found once, whatever the run before had found.
        name: f"site = :site AND run = :run AND seen = 1 AND (since IS NOT NULL OR {_absent(name, twin, ':before')})"
        for name in (table, twin)
    }
    found[twin] += " AND " + _absent(twin, table)
    new = _Files(connection, values, found)
    left = "site = :site AND run = :before AND acted IS NULL"
    gone = _Files(connection, values, {twin: f"{left} AND {_absent(twin, table)} AND {_absent(twin, twin)}"})
    gone.leave_out(_unlisted(connection, site, run))
    return Changed(run, before, len(new), len(gone), tuple(new.first(names)), tuple(gone.first(names)))


def _absent(outer: str, table: str, run: str = ":run") -> str:
    return (
        f"NOT EXISTS (SELECT 1 FROM {table} o WHERE o.site = :site AND o.run = {run} "
        f"AND o.directory = {outer}.directory AND o.name = {outer}.name)"
    )


def _unlisted(connection: sqlite3.Connection, site: int, run: int) -> frozenset[bytes]:
    rows = connection.execute(
        "SELECT CAST(d.name AS BLOB) FROM unlisted u JOIN directories d ON d.id = u.directory "
        "WHERE u.site = ? AND u.run = ?",
        (site, run),
    )
    return frozenset(path for (path,) in rows)


class _Files:
    """Files for which a condition is true, in one or more tables, counted by directory first."""

    def __init__(self, connection: sqlite3.Connection, values: dict[str, Any], sources: dict[str, str]) -> None:
        self._connection = connection
        self._values = values
        self._sources = sources
        self._counts: dict[bytes, int] = {}
        for table, where in sources.items():
            rows = connection.execute(
                "SELECT CAST(d.name AS BLOB), n FROM "
                f"(SELECT directory, count(*) AS n FROM {table} WHERE {where} GROUP BY directory) "
                "JOIN directories d ON d.id = directory",
                values,
            )
            for directory, count in rows:
                self._counts[directory] = self._counts.get(directory, 0) + count

    def __len__(self) -> int:
        return sum(self._counts.values())

    def leave_out(self, unlisted: frozenset[bytes]) -> None:
        """Forget the files in and below directories that were not listed."""
        for directory in [d for d in self._counts if any(above in unlisted for above in _upwards(d))]:
            del self._counts[directory]

    def first(self, names: int) -> Iterator[FileRow]:
        """Give the first files, in tree order."""
        for directory in sorted(self._counts, key=lambda path: (paths.tree_key(path), path)):
            if names <= 0:
                return
            rows = sorted(
                chain.from_iterable(
                    rows_of_directory(self._connection, table, where, self._values, directory)
                    for table, where in self._sources.items()
                )
            )[:names]
            yield from rows
            names -= len(rows)


def _upwards(directory: bytes) -> Iterator[bytes]:
    above: bytes | None = directory
    while above is not None:
        yield above
        above = paths.parent_of(above)
