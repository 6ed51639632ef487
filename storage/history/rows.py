"""What is read from the history: findings of the last run, what was acted on, runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from engine.states import Reason
from engine.usual import EarlierRun
from storage.history.staging import move_rows
from storage.history.tables import (
    ANY,
    COUNTS,
    Known,
    RunCounts,
    RunRow,
    RunSigns,
    RunStatus,
    Table,
    stored,
    unpacked_gates,
    unpacked_reasons,
)
from storage.shown import one_line

_SITE = "(SELECT id FROM sites WHERE name = :site)"

_REPORTED = "EXISTS (SELECT 1 FROM reported WHERE site = r.site AND findings = '{table}' AND run = r.id)"


@dataclass(frozen=True, slots=True)
class Acted:
    """A finding that somebody acted on: ``size`` (bytes) and ``mtime`` as in `FileRow`, the time in ``acted``."""

    path: bytes
    size: int
    mtime: int
    run: int
    acted: float


def file_rows(
    connection: sqlite3.Connection, table: Table, site: str, known: Known = ANY, more: str = ""
) -> Iterator[Any]:
    """Give path, size, mtime and further columns of a site's rows, directories in tree order, names in byte order.

    Of missing files and orphans only those that are ``known`` for long enough.
    """
    (number,) = connection.execute(f"SELECT {_SITE}", {"site": site}).fetchone()
    where = f"site = :site{known.condition}"
    values = {"site": number, **known.values}
    directories = connection.execute(
        "SELECT CAST(name AS BLOB) FROM directories "
        f"WHERE id IN (SELECT DISTINCT directory FROM {table} WHERE {where})",
        values,
    ).fetchall()
    directories.sort(key=lambda row: (paths.tree_key(row[0]), row[0]))
    yield from chain.from_iterable(
        rows_of_directory(connection, table, where, values, directory, more) for (directory,) in directories
    )


def rows_of_directory(
    connection: sqlite3.Connection, table: str, where: str, values: dict[str, Any], directory: bytes, more: str = ""
) -> list[Any]:
    """Give the rows of one directory, of a table of files or its twin, for which a condition is true."""
    found = connection.execute(
        f"SELECT CAST(name AS BLOB), ifnull(size, {UNKNOWN_SIZE}), ifnull(mtime, {UNKNOWN_MTIME}){more} "
        f"FROM {table} WHERE {where} AND directory = (SELECT id FROM directories WHERE name = :directory)",
        values | {"directory": stored(directory)},
    )
    prefix = _prefix(directory)
    # TEXT sorts before BLOB, so the order of the key is not quite that of the bytes.
    rows = sorted(found)
    if more:
        return [(prefix + name, *rest) for name, *rest in rows]
    # The same, but there may be a million of them.
    return [(prefix + name, size, mtime) for name, size, mtime in rows]


def _prefix(directory: bytes) -> bytes:
    """Give what stands before the names in a directory; the empty one holds relative paths of one name."""
    return paths.join(directory, b"") if directory else b""


def empty_rows(connection: sqlite3.Connection, site: str) -> list[tuple[bytes, int]]:
    """Give path and mtime of a site's empty directories, deepest first."""
    query = f"SELECT CAST(name AS BLOB), ifnull(mtime, {UNKNOWN_MTIME}) FROM empty_directories WHERE site = {_SITE}"
    rows = connection.execute(query, {"site": site}).fetchall()
    rows.sort(key=lambda row: (-paths.depth_of(row[0]), paths.tree_key(row[0])))
    return rows


def unlisted_rows(connection: sqlite3.Connection, site: str) -> list[tuple[bytes, Reason, str]]:
    """Give path, reason and detail of what could not be listed, in tree order."""
    query = (
        "SELECT CAST(d.name AS BLOB), reason, detail FROM unlisted u JOIN directories d ON d.id = u.directory "
        f"WHERE u.site = {_SITE}"
    )
    rows = [(path, Reason(reason), detail) for path, reason, detail in connection.execute(query, {"site": site})]
    return sorted(rows, key=lambda row: paths.tree_key(row[0]))


def run_rows(
    connection: sqlite3.Connection,
    site: str | None,
    limit: int,
    reported: Table | None = None,
    up_to: int | None = None,
    ended: bool = False,
) -> list[RunRow]:
    """Give the last runs of a site, or of all sites, newest first.

    Of a site maybe only those that filled a table, none after number ``up_to``, and only such as came to results.
    """
    # Not one condition for both: the runs of one site are found by an index.
    where = "" if site is None else "WHERE r.site = (SELECT id FROM sites WHERE name = :site) "
    if reported is not None:
        where += f"AND {_REPORTED.format(table=reported)} "
    if up_to is not None:
        where += "AND r.id <= :up_to "
    if ended:
        where += f"AND status IN ('{RunStatus.DONE}', '{RunStatus.INCOMPLETE}') "
    query = (
        "SELECT r.id, s.name, started, finished, status, message, runtime, begun, gates, accepted, reasons, "
        + "".join(f"{_REPORTED.format(table=table)}, " for table in Table)
        + f"{', '.join(COUNTS)} "
        f"FROM runs r JOIN sites s ON s.id = r.site {where}ORDER BY r.id DESC LIMIT :limit"
    )
    return [
        _run_row(row) for row in connection.execute(query, {"site": site, "limit": limit, "up_to": up_to}).fetchall()
    ]


def _run_row(row: tuple[Any, ...]) -> RunRow:
    number, name, started, finished, status, message, runtime, begun, gates, accepted, reasons, *rest = row
    try:
        for moment in filter(None, (started, finished, begun)):
            datetime.fromtimestamp(moment, UTC)
        return RunRow(
            *(number, name, started, finished, RunStatus(status), message, runtime),
            RunCounts(*rest[len(Table) :]),
            frozenset(table for table, reported in zip(Table, rest, strict=False) if reported),
            RunSigns(begun, unpacked_gates(gates), bool(accepted), unpacked_reasons(reasons)),
        )
    except (ValueError, TypeError, AttributeError, OverflowError, OSError) as error:
        raise sqlite3.DataError(
            f"what it has of run {number} makes no sense ({one_line(error)}): written by another version of this "
            "program, or changed by hand; restore a copy, or move it away to start a new one"
        ) from error


def acted_rows(connection: sqlite3.Connection, table: Table, site: str) -> Iterator[Acted]:
    """Give what somebody acted on, the latest first."""
    where = f"h.site = {_SITE} AND h.acted IS NOT NULL"
    if table == Table.EMPTY:
        columns, source = f"NULL, CAST(h.name AS BLOB), {UNKNOWN_SIZE}", f"{table}_history h"
    else:
        columns = f"CAST(d.name AS BLOB), CAST(h.name AS BLOB), ifnull(h.size, {UNKNOWN_SIZE})"
        source = f"{table}_history h JOIN directories d ON d.id = h.directory"
    query = (
        f"SELECT {columns}, ifnull(h.mtime, {UNKNOWN_MTIME}), h.run, h.acted FROM {source} WHERE {where} "
        "ORDER BY h.acted DESC, 1, 2"
    )
    for directory, name, *rest in connection.execute(query, {"site": site}):
        yield Acted(name if directory is None else _prefix(directory) + name, *rest)


def act_on(connection: sqlite3.Connection, table: Table, site: str, names: Iterable[bytes], acted: float) -> int:
    """Move the rows with these paths to the twin, with the time; paths that have none are passed over."""
    (number,) = connection.execute(f"SELECT {_SITE}", {"site": site}).fetchone()
    values: dict[str, Any] = {"site": number, "acted": acted}
    if table == Table.EMPTY:
        where = "site = :site AND name = :name"
        rows = [values | {"name": stored(path)} for path in names]
    else:
        where = "site = :site AND directory = (SELECT id FROM directories WHERE name = :directory) AND name = :name"
        rows = [
            values | {"directory": stored(paths.parent_of(path) or b""), "name": stored(paths.name_of(path))}
            for path in names
        ]
    return move_rows(connection, table, where, rows)


def count_reported(connection: sqlite3.Connection, table: Table, site: str) -> int:
    """Count the runs of a site that had findings for a table, be it none."""
    query = f"SELECT count(*) FROM reported WHERE site = {_SITE} AND findings = :table"
    (count,) = connection.execute(query, {"site": site, "table": table}).fetchone()
    return int(count)


def has_reported(connection: sqlite3.Connection, site: str, run: int, started: float) -> bool:
    """Tell whether a run of a site, named by number and start, said which files are missing, be it none."""
    query = f"SELECT 1 FROM runs r WHERE site = {_SITE} AND id = :run AND started = :started AND "
    values = {"site": site, "run": run, "started": started}
    return connection.execute(query + _REPORTED.format(table=Table.MISSING), values).fetchone() is not None


def earlier_files(connection: sqlite3.Connection, site: str, most: int) -> Iterator[EarlierRun]:
    """Give how many files the last runs with findings saw, newest first, down to one whose fewer files were accepted.

    Runs that Python code reported know no files, and do not count.
    """
    query = (
        "SELECT files, inventory_files, status, accepted FROM runs r "
        f"WHERE site = {_SITE} AND status IN (:done, :incomplete) AND files > 0 "
        f"AND {_REPORTED.format(table=Table.MISSING)} ORDER BY id DESC LIMIT :most"
    )
    values = {"site": site, "most": most, "done": RunStatus.DONE, "incomplete": RunStatus.INCOMPLETE}
    for files, inventory_files, status, accepted in connection.execute(query, values):
        yield EarlierRun(files, inventory_files, status == RunStatus.DONE)
        if accepted:
            return
