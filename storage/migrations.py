"""What a schema of an SQLite database is, and how a database is brought to the newest one.

A schema is a row of named steps that only ever grows at its end. `sqlite_utils.Migrations` records in the database
which steps it has had, so a step that is recorded there and not known here means that a newer version wrote it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
