"""The history of runs and findings, in one SQLite database.

A run's findings are staged while they trickle in, in temporary tables that no other process sees, and appear in the
database in one transaction when the run finishes. A process killed at any moment leaves what was there before.

Names are stored as TEXT when they are valid UTF-8 and as BLOB otherwise. Sizes and mtimes that are not known are NULL.
Times are in seconds since the epoch and are given by the caller. Write-ahead logging keeps readers going while a run is
written; it needs a file system that only one machine uses.

    HistoryError    everything that goes wrong with the database, in one line that names its path
"""

from __future__ import annotations

import sqlite3
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, field, fields
from enum import StrEnum
from itertools import chain, repeat
from pathlib import Path
from types import TracebackType
from typing import Any

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, FileColumns
from engine.findings import Finding, Kind
from engine.states import Reason
from storage import migrations

BUSY_SECONDS = 30
"""How long to wait for another process that is writing."""

FileRow = tuple[bytes, int, int]
"""Path, size in bytes, mtime; `UNKNOWN_SIZE` and `UNKNOWN_MTIME` where not known."""


class HistoryError(Exception):
    """The history cannot be read or written; the message names its path and says what can be done."""


class RunStatus(StrEnum):
    """How a run stands. The values are part of the history database."""

    RUNNING = "running"
    DONE = "done"
    HALTED = "halted"
    FAILED = "failed"
    INCOMPLETE = "incomplete"
    DIED = "died"
    """Its process ended without a word, or gave it up."""


@dataclass(frozen=True, slots=True)
class RunCounts:
    """What a run counted. Each field is a column of the table ``runs``; ``seconds`` is how long the run took."""

    files: int = 0
    directories: int = 0
    bytes: int = 0
    requests: int = 0
    resumed: int = 0
    missing: int = 0
    missing_bytes: int = 0
    orphan: int = 0
    orphan_bytes: int = 0
    size_mismatch: int = 0
    empty: int = 0
    unlisted: int = 0
    protected: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run. ``finished`` is None while it runs and when it died; ``message`` says what stopped it, if anything."""

    id: int
    site: str
    started: float
    finished: float | None
    status: RunStatus
    message: str
    runtime: str
    counts: RunCounts


_COUNTS = tuple(column.name for column in fields(RunCounts))

_MISSING = "invalid"
_ORPHANS = "orphans"
_UNMERGED = "unmerged"
_MISMATCHES = "size_mismatches"
_EMPTY = "empty_directories"
_TARGETS = {Kind.MISSING: _MISSING, Kind.ORPHAN: _ORPHANS, Kind.SIZE_MISMATCH: _MISMATCHES}
_FILE_COLUMNS = "site, run, directory, name, size, mtime, entered"
_COLUMNS = {
    _MISSING: _FILE_COLUMNS,
    _ORPHANS: _FILE_COLUMNS,
    _UNMERGED: _FILE_COLUMNS,
    _MISMATCHES: "site, run, directory, name, size, mtime, entered, remote_size",
    _EMPTY: "site, run, name, mtime, entered",
}

# The temporary tables of a run. Files are numbered as they come; a range of numbers is what one finding holds.
_STAGED = {
    "files": "id INTEGER PRIMARY KEY, name, size INTEGER, mtime INTEGER, remote_size INTEGER",
    "ranges": "target TEXT, directory, first INTEGER, last INTEGER",
    "empty": "name, mtime INTEGER",
    "unlisted": "directory, reason INTEGER, detail TEXT",
}

# The order of the loops is forced: each range, its directory, its files.
_SELECT_FILES = """
    SELECT :site, :run, d.id, f.name, nullif(f.size, :no_size), nullif(f.mtime, :no_mtime), :entered{more}
    FROM temp.staged_ranges_{run} r
    CROSS JOIN directories d ON d.name = r.directory
    CROSS JOIN temp.staged_files_{run} f ON f.id BETWEEN r.first AND r.last
    WHERE r.target = '{table}'"""
_NOT_MISSING = """
    AND NOT EXISTS (SELECT 1 FROM invalid i WHERE i.site = :site AND i.directory = d.id AND i.name = f.name)"""


@dataclass(slots=True)
class _Staging:
    """An open run: its site, the number of its last staged file, and the tables that it replaces."""

    site: int
    last: int = 0
    replaces: set[str] = field(default_factory=lambda: {*_TARGETS.values(), _EMPTY})


class HistoryDatabase:
    """The history at a path, which is made when there is nothing yet.

    Takes one call at a time, from any thread. Every method raises `HistoryError` when the database cannot be used.
    """

    def __init__(self, path: Path) -> None:
        # Imported here because it takes a fifth of a second, which commands without a history need not wait for.
        from sqlite_utils import Database

        self.path = path
        self._staged: dict[int, _Staging] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HistoryError(f"{path}: cannot make its directory: {error.strerror}") from error
        with self._translated():
            self._connection = sqlite3.connect(path, BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._db = Database(self._connection, recursive_triggers=False, execute_plugins=False)
        try:
            with self._translated():
                self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        try:
            migrations.check(self._db, migrations.HISTORY)
            self._write_ahead()
            # With the small default a transaction of a million rows writes most of its pages more than once.
            self._db.execute("PRAGMA cache_size = -65536")
            self._db.execute(f"PRAGMA journal_size_limit = {64 << 20}")
            self._db.execute("PRAGMA foreign_keys = ON")
            migrations.upgrade(self._db, migrations.HISTORY)
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

    def __enter__(self) -> HistoryDatabase:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database. What is still staged is gone; its runs become `DIED` with the next run of their site."""
        self._staged.clear()
        self._connection.close()

    def open_run(self, site: str, started: float, runtime: str) -> int:
        """Enter a run with status `RUNNING` and give its number.

        Runs of the site that are still marked running are dead, and become `DIED`.
        """
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO sites(name) VALUES (?)", (site,))
            (site_id,) = connection.execute("SELECT id FROM sites WHERE name = ?", (site,)).fetchone()
            connection.execute(
                "UPDATE runs SET status = ? WHERE site = ? AND status = ?", (RunStatus.DIED, site_id, RunStatus.RUNNING)
            )
            run = connection.execute(
                "INSERT INTO runs(site, started, status, runtime) VALUES (?, ?, ?, ?)",
                (site_id, started, RunStatus.RUNNING, runtime),
            ).lastrowid
            assert run is not None
            dead = [older for older, staging in self._staged.items() if staging.site == site_id]
            for older in dead:
                _drop_staged(connection, older)
            for name, columns in _STAGED.items():
                connection.execute(f"CREATE TEMP TABLE staged_{name}_{run} ({columns})")
        for older in dead:
            del self._staged[older]
        self._staged[run] = _Staging(site_id)
        return run

    def stage(self, run: int, findings: Iterable[Finding]) -> None:
        """Keep findings for `finish_run`, the whole batch or nothing of it, without locking the database."""
        empty: list[tuple[str | bytes, int]] = []

        def files() -> Iterator[tuple[str, bytes, FileColumns, bytes]]:
            for finding in findings:
                if finding.kind == Kind.EMPTY:
                    empty.append((_stored(finding.directory), finding.mtime))
                else:
                    yield _TARGETS[finding.kind], finding.directory, finding.files, finding.remote_sizes

        staging = self._open(run)
        with self._transaction("DEFERRED") as connection:
            last = _stage_files(connection, run, staging.last, files())
            connection.executemany(f"INSERT INTO temp.staged_empty_{run} VALUES (?, ?)", empty)
        staging.last = last

    def stage_unmerged(self, run: int, directories: Iterable[tuple[bytes, FileColumns]]) -> None:
        """Keep unmerged files that may be deleted, by directory, for `finish_run`.

        Not every run cleans: the site's older ones are replaced only when this was called, be it with nothing.
        """
        files = ((_UNMERGED, directory, columns, b"") for directory, columns in directories)
        staging = self._open(run)
        with self._transaction("DEFERRED") as connection:
            last = _stage_files(connection, run, staging.last, files)
        staging.last = last
        staging.replaces.add(_UNMERGED)

    def stage_unlisted(self, run: int, rows: Iterable[tuple[bytes, Reason, str]]) -> None:
        """Keep directories that have no complete listing, with reason and detail, for `finish_run`."""
        self._open(run)
        with self._transaction("DEFERRED") as connection:
            connection.executemany(
                f"INSERT INTO temp.staged_unlisted_{run} VALUES (?, ?, ?)",
                ((_stored(path), int(reason), _text(detail)) for path, reason, detail in rows),
            )

    def finish_run(
        self,
        run: int,
        finished: float,
        status: RunStatus,
        counts: RunCounts,
        keep_findings: bool,
        message: str = "",
    ) -> None:
        """End a run, in one transaction.

        With ``keep_findings`` the site's older rows move to the twin tables and the staged ones take their place; an
        orphan that is also missing is left out. Without, what was staged is dropped and the older rows stay. When this
        raises, nothing has changed, and it may be called again.
        """
        staging = self._open(run)
        with self._transaction() as connection:
            (current,) = connection.execute("SELECT status FROM runs WHERE id = ?", (run,)).fetchone()
            if current != RunStatus.RUNNING:
                raise HistoryError(f"{self.path}: run {run} cannot finish, since a later run of its site has started")
            if keep_findings:
                _replace(connection, run, staging, finished)
            connection.execute(
                f"UPDATE runs SET finished = ?, status = ?, message = ?, {', '.join(f'{c} = ?' for c in _COUNTS)} "
                "WHERE id = ?",
                (finished, status, _text(message), *astuple(counts), run),
            )
            _drop_staged(connection, run)
        del self._staged[run]

    def abandon(self, run: int) -> None:
        """Drop what was staged and mark the run `DIED`; the site's older findings stay."""
        self._open(run)
        with self._transaction() as connection:
            connection.execute(
                "UPDATE runs SET status = ? WHERE id = ? AND status = ?", (RunStatus.DIED, run, RunStatus.RUNNING)
            )
            _drop_staged(connection, run)
        del self._staged[run]

    def missing(self, site: str, acting: float | None = None) -> Iterator[FileRow]:
        """Give the missing files of a site, directories in tree order, names in byte order.

        Someone who acts on them gives the time: then they are moved to the twin table before this returns. Otherwise
        the iterator reads as it goes, and sees the database as it is when its first row is asked for.
        """
        return self._files(_MISSING, site, acting)

    def orphans(self, site: str, acting: float | None = None) -> Iterator[FileRow]:
        """Give the orphans of a site; as `missing`."""
        return self._files(_ORPHANS, site, acting)

    def unmerged(self, site: str, acting: float | None = None) -> Iterator[FileRow]:
        """Give the unmerged files of a site that may be deleted; as `missing`."""
        return self._files(_UNMERGED, site, acting)

    def size_mismatches(self, site: str) -> Iterator[tuple[bytes, int, int, int]]:
        """Give path, the inventory's size and mtime, and the store's size; as `missing`."""
        with self._view() as connection:
            yield from _file_rows(connection, _MISMATCHES, site, ", remote_size")

    def empty_directories(self, site: str, acting: float | None = None) -> Iterator[tuple[bytes, int]]:
        """Give path and mtime of a site's empty directories, deepest first; ``acting`` as in `missing`."""
        query = (
            "SELECT CAST(name AS BLOB), ifnull(mtime, ?) FROM empty_directories "
            "WHERE site = (SELECT id FROM sites WHERE name = ?)"
        )
        with self._view() if acting is None else self._transaction() as connection:
            rows = connection.execute(query, (UNKNOWN_MTIME, site)).fetchall()
            if acting is not None:
                _move_to_twin(connection, _EMPTY, site, acting)
        rows.sort(key=lambda row: (-paths.depth_of(row[0]), paths.tree_key(row[0])))
        return iter(rows)

    def unlisted(self, site: str) -> list[tuple[bytes, Reason, str]]:
        """Give path, reason and detail of what the last run with findings could not list, in tree order."""
        query = (
            "SELECT CAST(d.name AS BLOB), reason, detail FROM unlisted u JOIN directories d ON d.id = u.directory "
            "WHERE u.site = (SELECT id FROM sites WHERE name = ?)"
        )
        with self._view() as connection:
            rows = [(path, Reason(reason), detail) for path, reason, detail in connection.execute(query, (site,))]
        return sorted(rows, key=lambda row: paths.tree_key(row[0]))

    def runs(self, site: str | None = None, limit: int = 10) -> list[RunRow]:
        """Give the last runs of a site, or of all sites, newest first."""
        query = (
            f"SELECT r.id, s.name, started, finished, status, message, runtime, {', '.join(_COUNTS)} "
            "FROM runs r JOIN sites s ON s.id = r.site WHERE :site IS NULL OR s.name = :site "
            "ORDER BY r.id DESC LIMIT :limit"
        )
        with self._view() as connection:
            rows = connection.execute(query, {"site": site, "limit": limit}).fetchall()
        return [
            RunRow(number, name, started, finished, RunStatus(status), message, runtime, RunCounts(*counts))
            for number, name, started, finished, status, message, runtime, *counts in rows
        ]

    def sites(self) -> list[str]:
        """Name the sites that have had a run, sorted."""
        with self._view() as connection:
            return [name for (name,) in connection.execute("SELECT name FROM sites ORDER BY name")]

    def _open(self, run: int) -> _Staging:
        staging = self._staged.get(run)
        if staging is None:
            raise HistoryError(f"{self.path}: run {run} is not open here, so nothing can be staged or finished")
        return staging

    def _files(self, table: str, site: str, acting: float | None) -> Iterator[FileRow]:
        if acting is None:
            return self._lazy_files(table, site)
        with self._transaction() as connection:
            rows = list(_file_rows(connection, table, site))
            _move_to_twin(connection, table, site, acting)
        return iter(rows)

    def _lazy_files(self, table: str, site: str) -> Iterator[FileRow]:
        with self._view() as connection:
            yield from _file_rows(connection, table, site)

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """Commit what is done inside, or undo it. A deferred one that writes only temporary tables locks nothing."""
        with self._translated():
            self._connection.execute(f"BEGIN {kind}")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.rollback()
                raise

    @contextmanager
    def _view(self) -> Iterator[sqlite3.Connection]:
        """Open a connection that sees the database as it is now, whatever is written meanwhile, and cannot write."""
        with self._translated():
            address = f"{self.path.absolute().as_uri()}?mode=ro"
            connection = sqlite3.connect(address, BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=True)
            with closing(connection):
                connection.execute("BEGIN")
                yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise HistoryError(f"{self.path}: {_explain(error)}") from error


def _primary_code(error: sqlite3.Error) -> int:
    """Give the low byte of the error code; the rest refines it. Errors of Python's own module have none."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _explain(error: sqlite3.Error) -> str:
    match _primary_code(error):
        case sqlite3.SQLITE_BUSY:
            return f"another process has kept it locked for over {BUSY_SECONDS} seconds"
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return f"not a history database, or damaged ({error}); restore a copy, or move it away to start a new one"
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return f"cannot be opened for writing, file or directory ({error})"
        case _:
            return str(error)


def _stored(name: bytes) -> str | bytes:
    """Give a name as it is stored: TEXT when valid UTF-8, else BLOB. ``CAST(… AS BLOB)`` reads both back."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name


def _stored_names(columns: FileColumns) -> Sequence[str | bytes]:
    try:
        return columns.names.decode().split("\0")
    except UnicodeDecodeError:
        return [_stored(name) for name in columns.name_list()]


def _text(message: str) -> str:
    """Make words fit for a TEXT column; a lone surrogate is not."""
    return message.encode("utf-8", "backslashreplace").decode()


def _stage_files(
    connection: sqlite3.Connection, run: int, last: int, groups: Iterable[tuple[str, bytes, FileColumns, bytes]]
) -> int:
    """Stage (table, directory, files, remote sizes) after file number ``last``; gives the new last number."""
    ranges: list[tuple[str, str | bytes, int, int]] = []

    def rows() -> Iterator[Iterable[tuple[Any, ...]]]:
        end = last
        for table, directory, columns, remote_sizes in groups:
            if columns:
                first, end = end + 1, end + len(columns)
                ranges.append((table, _stored(directory), first, end))
                remote: Iterable[int | None] = array("q", remote_sizes) if remote_sizes else repeat(None, len(columns))
                yield zip(
                    range(first, end + 1),
                    _stored_names(columns),
                    columns.size_array().tolist(),
                    columns.mtime_array().tolist(),
                    remote,
                    strict=True,
                )

    connection.executemany(f"INSERT INTO temp.staged_files_{run} VALUES (?, ?, ?, ?, ?)", chain.from_iterable(rows()))
    connection.executemany(f"INSERT INTO temp.staged_ranges_{run} VALUES (?, ?, ?, ?)", ranges)
    return ranges[-1][3] if ranges else last


def _drop_staged(connection: sqlite3.Connection, run: int) -> None:
    for name in _STAGED:
        connection.execute(f"DROP TABLE temp.staged_{name}_{run}")


def _replace(connection: sqlite3.Connection, run: int, staging: _Staging, entered: float) -> None:
    """Put the staged rows in the place of the site's older ones."""
    values = {
        "site": staging.site,
        "run": run,
        "entered": entered,
        "no_size": UNKNOWN_SIZE,
        "no_mtime": UNKNOWN_MTIME,
    }
    for source in ("ranges", "unlisted"):
        connection.execute(
            f"INSERT OR IGNORE INTO directories(name) SELECT DISTINCT directory FROM temp.staged_{source}_{run}"
        )
    for table in staging.replaces:
        _move_to_twin(connection, table, staging.site)
    # Missing files go first: orphans are checked against them.
    for table, more, condition in (
        (_MISSING, "", ""),
        (_ORPHANS, "", _NOT_MISSING),
        (_UNMERGED, "", ""),
        (_MISMATCHES, ", f.remote_size", ""),
    ):
        select = _SELECT_FILES.format(run=run, table=table, more=more) + condition
        connection.execute(f"INSERT OR REPLACE INTO {table}({_COLUMNS[table]}) {select}", values)
    connection.execute(
        f"INSERT OR REPLACE INTO {_EMPTY}({_COLUMNS[_EMPTY]}) "
        f"SELECT :site, :run, name, nullif(mtime, :no_mtime), :entered FROM temp.staged_empty_{run}",
        values,
    )
    connection.execute("DELETE FROM unlisted WHERE site = :site", values)
    connection.execute(
        "INSERT OR REPLACE INTO unlisted(site, run, directory, reason, detail) "
        f"SELECT :site, :run, d.id, u.reason, u.detail FROM temp.staged_unlisted_{run} u "
        "CROSS JOIN directories d ON d.name = u.directory",
        values,
    )


def _move_to_twin(connection: sqlite3.Connection, table: str, site: int | str, acted: float | None = None) -> None:
    """Move a site's rows, the site given by number or name; ``acted`` is None when a newer run replaces them."""
    values = {"site": site, "acted": acted}
    where = "WHERE site = " + (":site" if isinstance(site, int) else "(SELECT id FROM sites WHERE name = :site)")
    columns = _COLUMNS[table]
    connection.execute(
        f"INSERT INTO {table}_history({columns}, acted) SELECT {columns}, :acted FROM {table} {where}", values
    )
    connection.execute(f"DELETE FROM {table} {where}", values)


def _file_rows(connection: sqlite3.Connection, table: str, site: str, more: str = "") -> Iterator[Any]:
    """Give path, size, mtime and further columns of a site's rows, directories in tree order, names in byte order."""
    found = connection.execute("SELECT id FROM sites WHERE name = ?", (site,)).fetchone()
    if found is None:
        return
    directories = connection.execute(
        "SELECT id, CAST(name AS BLOB) FROM directories "
        f"WHERE id IN (SELECT DISTINCT directory FROM {table} WHERE site = ?)",
        found,
    ).fetchall()
    directories.sort(key=lambda row: paths.tree_key(row[1]))
    query = (
        f"SELECT CAST(name AS BLOB), ifnull(size, {UNKNOWN_SIZE}), ifnull(mtime, {UNKNOWN_MTIME}){more} "
        f"FROM {table} WHERE site = ? AND directory = ?"
    )
    for number, directory in directories:
        prefix = paths.join(directory, b"")
        # TEXT sorts before BLOB, so the order of the key is not quite that of the bytes.
        for name, *values in sorted(connection.execute(query, (*found, number))):
            yield (prefix + name, *values)
