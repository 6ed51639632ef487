"""The connection to the history database: how it is opened, checked, upgraded, written and read.

HistoryError    everything that goes wrong with the database, in one line that names its path
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from storage import migrations
from storage.history.schema import HISTORY

BUSY_SECONDS = 30
"""How long to wait for another process that is writing."""

_UNWRITABLE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM)

_AGAIN_SECONDS = 1
"""How long to wait for one that did not let go in all that time."""


class HistoryError(Exception):
    """The history cannot be read or written; the message names its path and says what can be done."""


class HistoryConnection:
    """A connection to the database at a path, which is made when there is nothing yet and upgraded when it is old.

    Takes one call at a time, from any thread. Every method raises `HistoryError` when the database cannot be used.
    """

    def __init__(self, path: Path) -> None:
        # Imported here because it takes a fifth of a second, which commands without a history need not wait for.
        from sqlite_utils import Database

        self.path = path
        self._is_locked_out = False
        self._mode = "mode=ro"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HistoryError(f"{path}: cannot make its directory: {error.strerror}") from error
        with self._translated():
            self.sqlite = sqlite3.connect(path, BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._db = Database(self.sqlite, recursive_triggers=False, execute_plugins=False)
        try:
            with self._translated():
                self._prepare()
        except BaseException:
            self.sqlite.close()
            raise

    @classmethod
    def reading(cls, path: Path) -> HistoryConnection:
        """Open a history that is there, be it without being able to write it; then it has to be of this version."""
        if not path.exists():
            raise HistoryError(f"{path}: does not exist; a check makes it")
        try:
            return cls(path)
        except HistoryError as error:
            cause = error.__cause__
            if not isinstance(cause, sqlite3.Error) or _primary_code(cause) not in _UNWRITABLE:
                raise
        return cls._only_reading(path)

    @classmethod
    def _only_reading(cls, path: Path) -> HistoryConnection:
        from sqlite_utils import Database

        connection = cls.__new__(cls)
        connection.path = path
        connection._is_locked_out = False
        with connection._translated():
            connection._mode, connection.sqlite = _connect_to_read(path)
            connection._db = Database(connection.sqlite, recursive_triggers=False, execute_plugins=False)
            try:
                migrations.check(connection._db, HISTORY)
                if migrations.is_pending(connection._db, HISTORY):
                    said = "written by an earlier version of this program; a check by who may write it brings it up"
                    raise HistoryError(f"{path}: {said}")
            except migrations.SchemaError as error:
                connection.close()
                raise HistoryError(f"{path}: {error}; it was left as it is") from error
            except BaseException:
                connection.close()
                raise
        return connection

    def _prepare(self) -> None:
        try:
            migrations.check(self._db, HISTORY)
            self._write_ahead()
            # With the small default a transaction of a million rows writes most of its pages more than once.
            self._db.execute("PRAGMA cache_size = -65536")
            self._db.execute(f"PRAGMA journal_size_limit = {64 << 20}")
            self._db.execute("PRAGMA foreign_keys = ON")
            migrations.upgrade(self._db, HISTORY)
        except migrations.SchemaError as error:
            raise HistoryError(f"{self.path}: {error}; it was left as it is") from error

    def _write_ahead(self) -> None:
        # SQLite does not wait here by itself when another process makes the same switch or recovers a log.
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if _primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def close(self) -> None:
        """Close it; its temporary tables are gone then."""
        self.sqlite.close()

    @contextmanager
    def transaction(self, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """Commit what is done inside, or undo it. A deferred one that writes only temporary tables locks nothing.

        Whoever was kept waiting in vain waits for no long time again, until there was one that went well.
        """
        with self._translated(), self._patience():
            self.sqlite.execute(f"BEGIN {kind}")
            try:
                yield self.sqlite
                self.sqlite.execute("COMMIT")
            except BaseException:
                self.sqlite.rollback()
                raise

    @contextmanager
    def _patience(self) -> Iterator[None]:
        if self._is_locked_out:
            self.sqlite.execute(f"PRAGMA busy_timeout = {_AGAIN_SECONDS * 1000}")
        try:
            yield
        except sqlite3.Error as error:
            self._is_locked_out |= _primary_code(error) == sqlite3.SQLITE_BUSY
            raise
        if self._is_locked_out:
            self._is_locked_out = False
            self.sqlite.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")

    @contextmanager
    def view(self) -> Iterator[sqlite3.Connection]:
        """Open a connection that sees the database as it is now, whatever is written meanwhile, and cannot write."""
        with self._translated():
            connection = _connected(self.path, self._mode)
            with closing(connection):
                connection.execute("BEGIN")
                yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise HistoryError(f"{self.path}: {_explain(error)}") from error


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?{mode}"
    return sqlite3.connect(address, BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=True)


def _connect_to_read(path: Path) -> tuple[str, sqlite3.Connection]:
    """Connect to a database that may not be written; gives how that was possible, too."""
    connection = _connected(path, "mode=ro")
    try:
        connection.execute("SELECT 1 FROM sqlite_master")
        return "mode=ro", connection
    except sqlite3.Error as error:
        connection.close()
        # Where nothing can be written, the index of the log cannot be made. Without a log there is no need.
        log = path.with_name(f"{path.name}-wal")
        if _primary_code(error) not in _UNWRITABLE or (log.exists() and log.stat().st_size):
            raise
    return "immutable=1", _connected(path, "immutable=1")


def connect(path: Path) -> sqlite3.Connection:
    """Give a plain connection to the history, for SQL of the caller's own, who commits and closes.

    The database is made, checked and upgraded as `HistoryConnection` does.

    Raises:
        HistoryError: it cannot be used.
    """
    connection = HistoryConnection(path).sqlite
    connection.isolation_level = "DEFERRED"
    return connection


def _primary_code(error: sqlite3.Error) -> int:
    """Give the low byte of the error code; the rest refines it. Errors of Python's own module have none."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _explain(error: sqlite3.Error) -> str:
    match _primary_code(error):
        case sqlite3.SQLITE_BUSY:
            return f"another process has kept it locked for over {BUSY_SECONDS} seconds; try again when that is over"
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return f"not a history database, or damaged ({error}); restore a copy, or move it away to start a new one"
        case code if code in _UNWRITABLE:
            said = f"cannot be opened for writing, file or directory ({error})"
            return f"{said}; let this user write both, or be the user whose checks do"
        case _:
            return str(error)
