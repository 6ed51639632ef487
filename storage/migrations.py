"""Schemas of the SQLite databases, and how a database is brought to the newest one.

A schema is a row of named steps that only ever grows at its end. `sqlite_utils.Migrations` records in the database
which steps it has had, so a step that is recorded there and not known here means that a newer version wrote it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.history.tables import COLUMNS, COUNTS

if TYPE_CHECKING:
    from sqlite_utils import Database, Migrations


@dataclass(frozen=True, slots=True)
class Schema:
    """The steps, oldest first, as (name, SQL statements), and the mark in the file's header that tells whose it is.

    ``reads`` are queries that a database must understand which has had all steps.
    """

    name: str
    application_id: int
    steps: tuple[tuple[str, tuple[str, ...]], ...]
    reads: tuple[str, ...] = ()


class SchemaError(Exception):
    """The database is another program's, a newer version's, or not as the steps left it; it was left as it was."""


def check(db: Database, schema: Schema) -> None:
    """Refuse a database that this version may not write; only reads.

    Raises:
        SchemaError: it is not of this schema, has had a step that is not known here, or lacks what its steps have made.
        sqlite3.DatabaseError: it cannot be read.
    """
    # In this order: whoever makes the database at this moment sets both in one step, and its mark is seen last.
    has_tables = db.execute("SELECT 1 FROM sqlite_master").fetchone() is not None
    (mark,) = db.execute("PRAGMA application_id").fetchone()
    if mark != schema.application_id and (mark or has_tables):
        raise SchemaError(f"an SQLite database, but not a {schema.name} database of this program")
    applied = {step.name for step in _migrations(schema).applied(db)}
    known = {name for name, _ in schema.steps}
    if newer := applied - known:
        raise SchemaError(f"written by a newer version of this program (step {max(newer)}); use that version")
    if applied == known:
        _try_reads(db, schema)


def is_pending(db: Database, schema: Schema) -> bool:
    """Tell whether there are steps that the database has not had yet."""
    return bool(_migrations(schema).pending(db))


def upgrade(db: Database, schema: Schema) -> None:
    """Check, then apply the steps that the database has not had yet, all of them or none.

    Raises:
        SchemaError: see `check`; or the steps do not fit what is there.
        sqlite3.Error: it cannot be read or written.
    """
    check(db, schema)
    migrations = _migrations(schema)
    if not migrations.pending(db):
        return
    # The write lock comes first: of two processes that open a new database at once, one finds the work done.
    db.execute("BEGIN IMMEDIATE")
    try:
        check(db, schema)
        db.execute(f"PRAGMA application_id = {schema.application_id}")
        with _fitting():
            migrations.apply(db)
        _try_reads(db, schema)
        db.commit()
    except BaseException:
        db.rollback()
        raise


def _try_reads(db: Database, schema: Schema) -> None:
    with _fitting():
        for query in schema.reads:
            db.execute(f"EXPLAIN {query}")


@contextmanager
def _fitting() -> Iterator[None]:
    """Say what it means that a statement does not fit the database; what is wrong with the file has another code."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
        raise SchemaError(
            f"half upgraded, or changed by hand ({error}); restore a copy, or move it away to start a new one"
        ) from error


def _migrations(schema: Schema) -> Migrations:
    # Imported here because it takes a fifth of a second, which commands without a database need not wait for.
    from sqlite_utils import Migrations

    migrations = Migrations(schema.name)
    for name, statements in schema.steps:
        migrations(name=name)(_step(statements))
    return migrations


def _step(statements: tuple[str, ...]) -> Callable[[Database], None]:
    def run(db: Database) -> None:
        for statement in statements:
            db.execute(statement)

    return run


def _file_tables(name: str, more: str = "") -> tuple[str, str]:
    """Give the statements for a table of files and its twin.

    Both are clustered by their key: a site's rows, and in the twin those of one run, lie together, so that no further
    index is needed to read or move them.
    """
    columns = f"""
        site INTEGER NOT NULL REFERENCES sites(id),
        run INTEGER NOT NULL REFERENCES runs(id),
        directory INTEGER NOT NULL REFERENCES directories(id),
        name TEXT NOT NULL,
        size INTEGER,
        {more}mtime INTEGER,
        entered REAL NOT NULL"""
    return (
        f"CREATE TABLE {name} ({columns}, PRIMARY KEY (site, directory, name)) WITHOUT ROWID",
        f"CREATE TABLE {name}_history ({columns}, acted REAL, PRIMARY KEY (site, run, directory, name)) WITHOUT ROWID",
    )


def _counters(name: str) -> tuple[str, ...]:
    """Give the statements that let a table of files and its twin know how long a file has been found.

    Columns are added without touching the rows, so that a large history is upgraded at once: whatever is there counts
    as found once, when it was entered.
    """
    return tuple(
        f"ALTER TABLE {table} ADD COLUMN {column}"
        for table in (name, f"{name}_history")
        for column in ("seen INTEGER NOT NULL DEFAULT 1", "since REAL")
    )


_EMPTY_COLUMNS = """
        site INTEGER NOT NULL REFERENCES sites(id),
        run INTEGER NOT NULL REFERENCES runs(id),
        name TEXT NOT NULL,
        mtime INTEGER,
        entered REAL NOT NULL"""

HISTORY = Schema(
    "history",
    0x64634831,
    (
        (
            "0001_findings_by_site_and_run",
            (
                "CREATE TABLE sites (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
                """CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        site INTEGER NOT NULL REFERENCES sites(id),
        started REAL NOT NULL,
        finished REAL,
        status TEXT NOT NULL,
        message TEXT NOT NULL DEFAULT '',
        runtime TEXT NOT NULL,
        files INTEGER NOT NULL DEFAULT 0,
        directories INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0,
        requests INTEGER NOT NULL DEFAULT 0,
        resumed INTEGER NOT NULL DEFAULT 0,
        missing INTEGER NOT NULL DEFAULT 0,
        missing_bytes INTEGER NOT NULL DEFAULT 0,
        orphan INTEGER NOT NULL DEFAULT 0,
        orphan_bytes INTEGER NOT NULL DEFAULT 0,
        size_mismatch INTEGER NOT NULL DEFAULT 0,
        empty INTEGER NOT NULL DEFAULT 0,
        unlisted INTEGER NOT NULL DEFAULT 0,
        protected INTEGER NOT NULL DEFAULT 0,
        seconds REAL NOT NULL DEFAULT 0)""",
                "CREATE INDEX runs_by_site ON runs(site)",
                "CREATE TABLE directories (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
                *_file_tables("invalid"),
                *_file_tables("orphans"),
                *_file_tables("unmerged"),
                *_file_tables("size_mismatches", "remote_size INTEGER NOT NULL,\n        "),
                f"CREATE TABLE empty_directories ({_EMPTY_COLUMNS}, PRIMARY KEY (site, name)) WITHOUT ROWID",
                f"""CREATE TABLE empty_directories_history ({_EMPTY_COLUMNS},
        acted REAL,
        PRIMARY KEY (site, run, name)) WITHOUT ROWID""",
                """CREATE TABLE unlisted (
        site INTEGER NOT NULL REFERENCES sites(id),
        run INTEGER NOT NULL REFERENCES runs(id),
        directory INTEGER NOT NULL REFERENCES directories(id),
        reason INTEGER NOT NULL,
        detail TEXT NOT NULL,
        PRIMARY KEY (site, directory)) WITHOUT ROWID""",
            ),
        ),
        (
            "0002_how_long_a_file_has_been_found",
            (
                *_counters("invalid"),
                *_counters("orphans"),
                """CREATE TABLE reported (
        site INTEGER NOT NULL REFERENCES sites(id),
        findings TEXT NOT NULL,
        run INTEGER NOT NULL REFERENCES runs(id),
        PRIMARY KEY (site, findings, run)) WITHOUT ROWID""",
                *(
                    "INSERT INTO reported(site, findings, run) "
                    f"SELECT site, '{name}', id FROM runs WHERE status IN ('done', 'incomplete')"
                    for name in ("invalid", "orphans", "size_mismatches", "empty_directories")
                ),
                # Only what was acted on has an entry, which is little.
                *(
                    f"CREATE INDEX {name}_acted ON {name}_history(site, acted) WHERE acted IS NOT NULL"
                    for name in ("invalid", "orphans", "unmerged", "empty_directories")
                ),
            ),
        ),
        (
            "0003_what_the_gates_of_a_run_said",
            tuple(
                f"ALTER TABLE runs ADD COLUMN {column}"
                for column in (
                    "inventory_files INTEGER NOT NULL DEFAULT 0",
                    "begun REAL",
                    "gates TEXT NOT NULL DEFAULT '[]'",
                    "accepted INTEGER NOT NULL DEFAULT 0",
                )
            ),
        ),
        (
            "0004_why_files_were_not_judged",
            ("ALTER TABLE runs ADD COLUMN reasons TEXT NOT NULL DEFAULT '{}'",),
        ),
        (
            "0005_what_earlier_runs_could_not_list",
            (
                """CREATE TABLE unlisted_history (
        site INTEGER NOT NULL REFERENCES sites(id),
        run INTEGER NOT NULL REFERENCES runs(id),
        directory INTEGER NOT NULL REFERENCES directories(id),
        reason INTEGER NOT NULL,
        detail TEXT NOT NULL,
        PRIMARY KEY (site, run, directory)) WITHOUT ROWID""",
            ),
        ),
        (
            "0006_files_with_another_checksum",
            (
                *_file_tables("checksum_mismatches", "expected TEXT NOT NULL,\n        found TEXT NOT NULL,\n        "),
                *(
                    f"ALTER TABLE runs ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0"
                    for column in ("checksum_mismatch", "checksums", "checksums_unchecked")
                ),
            ),
        ),
        (
            "0007_where_a_run_looked",
            ("ALTER TABLE runs ADD COLUMN looked TEXT NOT NULL DEFAULT ''",),
        ),
    ),
    (
        "SELECT id, name FROM sites",
        "SELECT id, name FROM directories",
        "SELECT site, findings, run FROM reported",
        *(f"SELECT site, run, directory, reason, detail FROM {table}" for table in ("unlisted", "unlisted_history")),
        f"SELECT id, site, started, finished, status, message, runtime, begun, gates, accepted, reasons, "
        f"looked, {', '.join(COUNTS)} FROM runs",
        *(f"SELECT {columns} FROM {table}" for table, columns in COLUMNS.items()),
        *(f"SELECT {columns}, acted FROM {table}_history" for table, columns in COLUMNS.items()),
    ),
)
"""The history database; see `storage.history`."""
