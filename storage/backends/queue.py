"""The queue of requests that the backend ``files`` leaves for other programs, in one SQLite database.

Whoever carries requests out takes them with `RequestQueue.take`, or does the same with SQL, and says afterwards what
became of them. A request is open until then, and asking again for what is open changes nothing. Names are stored as
TEXT when they are valid UTF-8 and as BLOB otherwise.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine import paths
from storage.backends.protocols import BackendError
from storage.migrations import Schema, SchemaError, upgrade

BUSY_SECONDS = 30
"""How long to wait for another process that is writing."""

Table = Literal["deletions", "transfers"]
Outcome = Literal["done", "failed"]


def _table(name: str) -> tuple[str, str]:
    return (
        f"""CREATE TABLE {name} (
        id INTEGER PRIMARY KEY,
        site TEXT NOT NULL,
        name TEXT NOT NULL,
        requested REAL NOT NULL,
        status TEXT NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'taken', 'done', 'failed')),
        changed REAL NOT NULL)""",
        f"CREATE UNIQUE INDEX {name}_open ON {name}(site, name) WHERE status IN ('new', 'taken')",
    )


REGISTRY = Schema("registry", 0x64635231, (("0001_requests", (*_table("deletions"), *_table("transfers"))),))
"""The database of requests."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request: its number, the site, the LFN, when it was made, in seconds since the epoch, and how it stands."""

    id: int
    site: str
    lfn: bytes
    requested: float
    status: str


def queue_path(var_location: Path) -> Path:
    """Say where the queue is."""
    return var_location / "db" / "registry.db"


class RequestQueue:
    """The queue at a path, which is made with the first request. Every method opens and closes it.

    All of them raise `BackendError` when the database cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def enter(self, table: Table, site: str, lfns: Sequence[str]) -> int:
        """Ask for files, in this order; gives how many of them had no open request yet. All are entered, or none."""
        if not lfns:
            return 0
        now = time.time()
        rows = ((site, _stored(lfn), now, now) for lfn in lfns)
        with self._writing() as connection:
            before = connection.total_changes
            connection.executemany(
                f"INSERT INTO {table}(site, name, requested, changed) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", rows
            )
            return connection.total_changes - before

    def requests(self, table: Table, site: str | None = None, status: str | None = None) -> list[Request]:
        """Give the requests, oldest first, of one site or all, in one status or any."""
        if not self.path.exists():
            return []
        with self._opened() as connection:
            return _select(connection, table, site, status, -1)

    def of_file(self, table: Table, site: str, lfn: bytes) -> list[tuple[Request, float]]:
        """Give the requests for one LFN of a site, oldest first, each with the time (s) of its last change."""
        if not self.path.exists():
            return []
        with self._opened() as connection:
            rows = connection.execute(
                f"SELECT id, site, CAST(name AS BLOB), requested, status, changed FROM {table} "
                "WHERE site = ? AND name = ? ORDER BY id",
                (site, _stored(paths.decode(lfn))),
            )
            return [(Request(*row[:5]), row[5]) for row in rows]

    def take(self, table: Table, site: str, limit: int) -> list[Request]:
        """Take the oldest new requests of a site, at most so many; nobody else is given them."""
        if not self.path.exists():
            return []
        with self._writing() as connection:
            taken = _select(connection, table, site, "new", limit)
            _set(connection, table, "taken", [request.id for request in taken])
        return taken

    def settle(self, table: Table, numbers: Sequence[int], outcome: Outcome) -> None:
        """Say what became of requests. What was done, or failed, can be asked for again."""
        with self._writing() as connection:
            _set(connection, table, outcome, numbers)

    def settle_names(self, table: Table, site: str, lfns: Sequence[str], outcome: Outcome) -> None:
        """Say what became of the open requests for some files, of whoever entered them and asked for them himself."""
        if not lfns:
            return
        now = time.time()
        with self._writing() as connection:
            connection.executemany(
                f"UPDATE {table} SET status = ?, changed = ? "
                "WHERE site = ? AND name = ? AND status IN ('new', 'taken')",
                ((outcome, now, site, _stored(lfn)) for lfn in lfns),
            )

    def names(self, table: Table, site: str, status: str) -> set[str]:
        """Give the LFNs of all requests of a site in one status."""
        return {paths.decode(request.lfn) for request in self.requests(table, site, status)}

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BackendError(f"registry {self.path}: cannot make its directory: {error.strerror}") from error
        with self._opened() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()
                raise

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        from sqlite_utils import Database

        try:
            with closing(sqlite3.connect(self.path, BUSY_SECONDS, isolation_level=None)) as connection:
                db = Database(connection, recursive_triggers=False, execute_plugins=False)
                upgrade(db, REGISTRY)
                yield connection
        except SchemaError as error:
            raise BackendError(f"registry {self.path}: {error}; it was left as it is") from error
        except sqlite3.Error as error:
            raise BackendError(f"registry {self.path}: {_explain(error)}") from error


def _select(
    connection: sqlite3.Connection, table: Table, site: str | None, status: str | None, limit: int
) -> list[Request]:
    rows = connection.execute(
        f"SELECT id, site, CAST(name AS BLOB), requested, status FROM {table} "
        "WHERE (:site IS NULL OR site = :site) AND (:status IS NULL OR status = :status) ORDER BY id LIMIT :limit",
        {"site": site, "status": status, "limit": limit},
    )
    return [Request(*row) for row in rows]


def _set(connection: sqlite3.Connection, table: Table, status: str, numbers: Sequence[int]) -> None:
    now = time.time()
    connection.executemany(
        f"UPDATE {table} SET status = ?, changed = ? WHERE id = ?", ((status, now, number) for number in numbers)
    )


def _stored(lfn: str) -> str | bytes:
    name = paths.encode(lfn)
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name


def _explain(error: sqlite3.Error) -> str:
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_BUSY:
            return f"another process has kept it locked for over {BUSY_SECONDS} seconds"
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return (
                f"not a database of requests, or damaged ({error}); restore a copy, or move it away to start a new one "
                "without the requests that are open"
            )
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return f"cannot be opened for writing, file or directory ({error})"
        case _:
            return str(error)
