"""How the findings of a run get into the history.

They are staged while they trickle in, in temporary tables that no other process sees: files are numbered as they come,
and a range of numbers is what one finding holds. From there one transaction puts them in the place of the site's older
rows, which go to the twins. A file that the run before had found too carries its counter over.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, FileColumns
from engine.findings import Finding
from storage.history.tables import (
    ANY,
    COLUMNS,
    COUNTED,
    NOT_OF_EACH_RUN,
    FileRow,
    Known,
    RunCounts,
    RunStatus,
    Table,
    as_held,
    stored,
    stored_names,
)

FileGroup = tuple[Table, bytes, FileColumns, bytes]
"""Table, directory, files, and for size mismatches the sizes at the store."""

KEPT_UNLISTED = 10
"""Of so many runs of a site with findings it is kept which directories they could not list."""

ONCE = "report"
"""Names the temporary tables of what is entered at once, where those of a run have its number."""

_STAGED = {
    "files": "id INTEGER PRIMARY KEY, name, size INTEGER, mtime INTEGER, remote_size INTEGER",
    "ranges": "target TEXT, directory, first INTEGER, last INTEGER",
    "empty": "name, mtime INTEGER",
    "checksums": "directory, name, size INTEGER, mtime INTEGER, expected TEXT, found TEXT",
    "unlisted": "directory, reason INTEGER, detail TEXT",
}

# The order of the loops is forced: each range, its directory, its files.
_SELECT_FILES = """
    SELECT :site, :run, d.id, f.name, nullif(f.size, :no_size), nullif(f.mtime, :no_mtime), :entered{more}
    FROM temp.staged_ranges_{staged} r
    CROSS JOIN directories d ON d.name = r.directory
    CROSS JOIN temp.staged_files_{staged} f ON f.id BETWEEN r.first AND r.last{join}
    WHERE r.target = '{table}'{condition}"""

_SELECT_CHECKSUMS = """
    SELECT :site, :run, d.id, c.name, nullif(c.size, :no_size), nullif(c.mtime, :no_mtime), :entered,
        c.expected, c.found
    FROM temp.staged_checksums_{staged} c JOIN directories d ON d.name = c.directory"""

# Whatever became of the row of the run before, replaced or acted on, it is in the twin by now.
_SEEN = ", ifnull(h.seen, 0) + 1, coalesce(h.since, h.entered, :entered)"
_RUN_BEFORE = """
    LEFT JOIN {table}_history h
    ON h.site = :site AND h.run = :before AND h.directory = d.id AND h.name = f.name"""

_NOT_MISSING = """ AND NOT EXISTS (
    SELECT 1 FROM invalid i WHERE i.site = :site AND i.directory = d.id AND i.name = f.name AND i.run = :run)"""
_DROP_MISSING = """
    DELETE FROM orphans WHERE site = :site AND run = :run AND EXISTS (
    SELECT 1 FROM invalid i
    WHERE i.site = :site AND i.directory = orphans.directory AND i.name = orphans.name AND i.run = :run)"""


@dataclass(slots=True)
class Staging:
    """An open run: its site, the number of its last staged file, and the tables that it replaces or has replaced."""

    site: int
    last: int = 0
    replaces: set[Table] = field(default_factory=lambda: {*Table} - NOT_OF_EACH_RUN)
    reported: set[Table] = field(default_factory=set)


def create(connection: sqlite3.Connection, staged: int | str) -> None:
    """Make the temporary tables of a run."""
    for name, columns in _STAGED.items():
        connection.execute(f"CREATE TEMP TABLE staged_{name}_{staged} ({columns})")


def drop(connection: sqlite3.Connection, staged: int | str) -> None:
    """Drop them with what is in them."""
    for name in _STAGED:
        connection.execute(f"DROP TABLE temp.staged_{name}_{staged}")


def stage_files(connection: sqlite3.Connection, staged: int | str, last: int, groups: Iterable[FileGroup]) -> int:
    """Stage files after file number ``last``; gives the new last number."""
    ranges: list[tuple[str, str | bytes, int, int]] = []

    def rows() -> Iterator[Iterable[tuple[Any, ...]]]:
        end = last
        for table, directory, columns, remote_sizes in groups:
            if columns:
                first, end = end + 1, end + len(columns)
                ranges.append((table, stored(directory), first, end))
                remote: Iterable[int | None] = array("q", remote_sizes) if remote_sizes else repeat(None, len(columns))
                yield zip(
                    range(first, end + 1),
                    stored_names(columns),
                    columns.size_array().tolist(),
                    columns.mtime_array().tolist(),
                    remote,
                    strict=True,
                )

    connection.executemany(
        f"INSERT INTO temp.staged_files_{staged} VALUES (?, ?, ?, ?, ?)", chain.from_iterable(rows())
    )
    connection.executemany(f"INSERT INTO temp.staged_ranges_{staged} VALUES (?, ?, ?, ?)", ranges)
    return ranges[-1][3] if ranges else last


def stage_empty(connection: sqlite3.Connection, staged: int | str, rows: Iterable[tuple[bytes, int]]) -> None:
    """Stage empty directories: path and mtime."""
    connection.executemany(
        f"INSERT INTO temp.staged_empty_{staged} VALUES (?, ?)", ((stored(path), mtime) for path, mtime in rows)
    )


def stage_checksums(connection: sqlite3.Connection, staged: int | str, findings: Iterable[Finding]) -> None:
    """Stage files with another checksum than the inventory's."""
    connection.executemany(
        f"INSERT INTO temp.staged_checksums_{staged} VALUES (?, ?, ?, ?, ?, ?)",
        (
            (stored(finding.directory), stored(name), size, mtime, *pair)
            for finding in findings
            for (name, size, mtime), pair in zip(finding.files.rows(), finding.checksums, strict=True)
        ),
    )


def by_directory(table: Table, rows: Iterable[FileRow]) -> Iterator[FileGroup]:
    """Group files, which come in any order, by directory; of those with the same path the last one stays.

    A relative path of one name is in the directory with the empty name.
    """
    groups: dict[bytes, list[tuple[bytes, int, int]]] = {}
    for path, size, mtime in rows:
        directory = paths.parent_of(path) or b""
        groups.setdefault(directory, []).append((paths.name_of(path), size, mtime))
    for directory, files in groups.items():
        yield table, directory, FileColumns.from_rows(files), b""


def replace(connection: sqlite3.Connection, run: int, staging: Staging, entered: float) -> None:
    """Put all that a run has staged in the place of its site's older rows, except where it has done so already."""
    tables = staging.replaces | staging.reported
    for table in staging.replaces - staging.reported:
        begin_table(connection, run, staging.site, table)
    enter(connection, run, run, staging, tables, entered)
    replace_unlisted(connection, run, staging.site)


def take_back(connection: sqlite3.Connection, earlier: int, run: int, staging: Staging) -> None:
    """Have an earlier run count as one without findings, since a run has judged the same listing again.

    The rows of both go on from the run before the two. What was acted on stays noted.
    """
    connection.executemany(
        "DELETE FROM reported WHERE site = ? AND findings = ? AND run = ?",
        [(staging.site, table, earlier) for table in staging.replaces],
    )
    said = f"its listing was compared again: run {run} takes its place"
    connection.execute(
        "UPDATE runs SET status = ?, message = CASE WHEN message = '' THEN ? ELSE message || '; ' || ? END "
        "WHERE id = ? AND site = ?",
        (RunStatus.DIED, said, said, earlier, staging.site),
    )


def report(connection: sqlite3.Connection, run: int, staging: Staging, table: Table, entered: float) -> None:
    """Enter what is staged under `ONCE`, in the place of the site's older rows the first time a run does it."""
    if not staging.reported:
        # What an earlier run could not list says nothing about the findings of this one.
        replace_unlisted(connection, run, staging.site)
    if table not in staging.reported:
        begin_table(connection, run, staging.site, table)
    enter(connection, run, ONCE, staging, {table}, entered)


def begin_table(connection: sqlite3.Connection, run: int, site: int, table: Table) -> None:
    """Note that a run has findings for a table, and move the site's older rows of it to the twin."""
    connection.execute("INSERT INTO reported(site, findings, run) VALUES (?, ?, ?)", (site, table, run))
    move_to_twin(connection, table, site)


def enter(
    connection: sqlite3.Connection,
    run: int,
    staged: int | str,
    staging: Staging,
    tables: Collection[Table],
    entered: float,
) -> None:
    """Add the staged rows of some tables to those of the run, with the time at which they are entered."""
    site = staging.site
    values = {"site": site, "run": run, "entered": entered, "no_size": UNKNOWN_SIZE, "no_mtime": UNKNOWN_MTIME}
    _add_directories(connection, staged, "ranges")
    _add_directories(connection, staged, "checksums")
    # Missing files go first: orphans are checked against them.
    for table in Table:
        if table not in tables:
            continue
        columns = COLUMNS[table]
        if table == Table.EMPTY:
            select = f"SELECT :site, :run, name, nullif(mtime, :no_mtime), :entered FROM temp.staged_empty_{staged}"
        elif table == Table.CHECKSUMS:
            select = _SELECT_CHECKSUMS.format(staged=staged)
        else:
            select = _select_files(table, staged)
        before = {"before": run_before(connection, site, table, run)}
        connection.execute(f"INSERT OR REPLACE INTO {table}({columns}) {select}", values | before)
    if Table.MISSING in tables and Table.ORPHANS in staging.reported:
        connection.execute(_DROP_MISSING, values)


def _select_files(table: Table, staged: int | str) -> str:
    counted = table in COUNTED
    return _SELECT_FILES.format(
        table=table,
        staged=staged,
        more=_SEEN if counted else ", f.remote_size" if table == Table.MISMATCHES else "",
        join=_RUN_BEFORE.format(table=table) if counted else "",
        condition=_NOT_MISSING if table == Table.ORPHANS else "",
    )


def run_before(connection: sqlite3.Connection, site: int, table: Table, run: int | None = None) -> int | None:
    """Give the last run, before one or of all, that had findings for a table, be it none; None without such a run."""
    (before,) = connection.execute(
        "SELECT max(run) FROM reported WHERE site = :site AND findings = :table AND (:run IS NULL OR run < :run)",
        {"site": site, "table": table, "run": run},
    ).fetchone()
    return None if before is None else int(before)


def replace_unlisted(connection: sqlite3.Connection, run: int, site: int) -> None:
    """Put the unlisted directories that a run has staged in the place of those of an earlier run."""
    _add_directories(connection, run, "unlisted")
    columns = "site, run, directory, reason, detail"
    connection.execute(
        f"INSERT OR REPLACE INTO unlisted_history({columns}) SELECT {columns} FROM unlisted WHERE site = ?", (site,)
    )
    connection.execute(
        "DELETE FROM unlisted_history WHERE site = :site AND run < (SELECT min(run) FROM (SELECT run FROM reported "
        "WHERE site = :site AND findings = :table ORDER BY run DESC LIMIT :kept))",
        {"site": site, "table": Table.MISSING, "kept": KEPT_UNLISTED},
    )
    connection.execute("DELETE FROM unlisted WHERE site = ?", (site,))
    connection.execute(
        "INSERT OR REPLACE INTO unlisted(site, run, directory, reason, detail) "
        f"SELECT ?, ?, d.id, u.reason, u.detail FROM temp.staged_unlisted_{run} u "
        "CROSS JOIN directories d ON d.name = u.directory",
        (site, run),
    )


def _add_directories(connection: sqlite3.Connection, staged: int | str, source: str) -> None:
    connection.execute(
        f"INSERT OR IGNORE INTO directories(name) SELECT DISTINCT directory FROM temp.staged_{source}_{staged}"
    )


def move_to_twin(
    connection: sqlite3.Connection, table: Table, site: int | str, acted: float | None = None, known: Known = ANY
) -> None:
    """Move a site's rows, the site given by number or name; ``acted`` is None when a newer run replaces them.

    Of missing files and orphans only those move that are ``known`` for long enough.
    """
    where = "site = " + (":site" if isinstance(site, int) else "(SELECT id FROM sites WHERE name = :site)")
    move_rows(connection, table, where + known.condition, [{"site": site, "acted": acted, **known.values}])


def move_rows(connection: sqlite3.Connection, table: Table, where: str, values: Sequence[dict[str, Any]]) -> int:
    """Move the rows for which a condition is true, with any of the values, to the twin; gives their number.

    ``:acted`` is when somebody acted on them.
    """
    columns = COLUMNS[table]
    key = "site, run, name" if table == Table.EMPTY else "site, run, directory, name"
    # A run may report what was acted on once more; that somebody acted on it stays.
    connection.executemany(
        f"INSERT INTO {table}_history({columns}, acted) SELECT {columns}, :acted FROM {table} WHERE {where} "
        f"ON CONFLICT ({key}) DO UPDATE SET acted = ifnull(excluded.acted, acted)",
        values,
    )
    return connection.executemany(f"DELETE FROM {table} WHERE {where}", values).rowcount


def counts_of(connection: sqlite3.Connection, run: int, site: int) -> RunCounts:
    """Count what a run has entered so far, whether it was acted on or not; everything else is 0."""
    found = {}
    for table in (Table.MISSING, Table.ORPHANS):
        found[table] = connection.execute(
            f"SELECT count(*), total(size) FROM (SELECT size FROM {table} WHERE site = :site AND run = :run "
            f"UNION ALL SELECT size FROM {table}_history WHERE site = :site AND run = :run)",
            {"site": site, "run": run},
        ).fetchone()
    (empty,) = connection.execute(
        "SELECT (SELECT count(*) FROM empty_directories WHERE site = :site AND run = :run) + "
        "(SELECT count(*) FROM empty_directories_history WHERE site = :site AND run = :run)",
        {"site": site, "run": run},
    ).fetchone()
    return RunCounts(
        missing=found[Table.MISSING][0],
        missing_bytes=as_held(int(found[Table.MISSING][1])),
        orphan=found[Table.ORPHANS][0],
        orphan_bytes=as_held(int(found[Table.ORPHANS][1])),
        empty=empty,
    )
