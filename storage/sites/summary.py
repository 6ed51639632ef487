"""The summary: how each site stands, and what its runs counted, in one SQLite database beside the page.

The names of tables and columns are those that people know from earlier versions. Times are in seconds since the epoch
and are given by the caller; in the database they are UTC as SQLite writes it. Write-ahead logging keeps readers going
while something is written; it needs a file system that only one machine uses.

    SummaryError    everything that goes wrong with the database, in one line that names its path
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from engine.site_states import BUSY, BadAction, NoMatchingSite, Reporting, SiteStatus, after_interrupt
from storage import migrations
from storage.shown import printable, quoted
from storage.sites.process import DONE, Owner
from storage.sites.schema import SUMMARY

BUSY_SECONDS = 30.0
"""How long to wait for another process that is writing."""

DATABASE = "stats.db"
"""The name of the database in WebDir."""


class SummaryError(Exception):
    """The summary cannot be read or written; the message names its path and says what can be done."""


@dataclass(frozen=True, slots=True)
class SiteRow:
    """How a site stands.

    ``is_good`` is whether the backend lists it and calls it ready. ``last_started`` is when a run of it last began,
    None when never. ``owner`` is the process that the status belongs to, None when it belongs to none.
    """

    site: str
    is_good: bool = False
    status: SiteStatus = SiteStatus.READY
    reporting: Reporting = Reporting.DRY
    last_started: float | None = None
    owner: Owner | None = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A sign of life of the run of a site: what it does, and how far its listing is.

    ``given`` is when, in seconds since the epoch by the clock of its machine. ``note`` is one line that somebody who
    watches should see, such as what the run waits for.
    """

    phase: str
    directories: int = 0
    files: int = 0
    note: str = ""
    given: float = 0.0


@dataclass(frozen=True, slots=True)
class StatsRow:
    """What one run of a site counted.

    ``entered`` is when it was written down; ``nodes`` are directories, ``cores`` the listers. ``no_source`` are missing
    files with no other copy on disk, ``unrecoverable`` with none on disk or tape. ``unlisted_bad`` are those of the
    ``unlisted`` directories that failed.
    """

    site: str
    entered: float
    seconds: float = 0.0
    files: int = 0
    nodes: int = 0
    empty: int = 0
    cores: int = 0
    missing: int = 0
    missing_bytes: int = 0
    orphan: int = 0
    orphan_bytes: int = 0
    no_source: int = 0
    unrecoverable: int = 0
    unlisted: int = 0
    unlisted_bad: int = 0
    unmerged: int = 0
    unmerged_logs: int = 0


_SITE_COLUMNS = "site, isready, isrunning, isgood, laststarted, pid, host, process"
_STATS_COLUMNS = (
    *("site", "entered", "time", "files", "nodes", "empty", "cores", "missing", "m_size", "orphan", "o_size"),
    *("nosource", "unrecoverable", "unlisted", "unlisted_bad", "unmerged", "unmergedlogs"),
)
"""The columns in the order of the fields of `StatsRow`."""
_STATS = ", ".join(_STATS_COLUMNS)

_NEW_BEATS = (
    "FROM heartbeats AS b WHERE b.host != :host AND NOT EXISTS ("
    "SELECT 1 FROM heartbeats_seen AS s WHERE s.observer = :observer AND s.since <= :now "
    "AND (s.site, s.pid, s.host, s.process, s.beat) = (b.site, b.pid, b.host, b.process, b.beat))"
)
"""The signs of life of other machines that an observer has not seen yet."""


class SummaryDatabase:
    """The summary at a path, which is made when there is nothing yet.

    Takes one call at a time, from any thread. Every method raises `SummaryError` when the database cannot be used, and
    `NoMatchingSite`, with the sites there are, when it does not know a site.
    """

    def __init__(self, path: Path, patience: float = BUSY_SECONDS) -> None:
        self.path = path
        self._patience = patience
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SummaryError(f"{path}: cannot make its directory: {error.strerror}") from error
        with self._translated():
            self._connection = sqlite3.connect(path, patience, isolation_level=None, check_same_thread=False)
        self._closing_on_error(self._prepare)

    @classmethod
    def reading(cls, path: Path) -> SummaryDatabase:
        """Open a summary that is there without being able to change it; its directory need not be writable."""
        database = cls.__new__(cls)
        database.path = path
        database._patience = BUSY_SECONDS
        if not path.is_file():
            raise SummaryError(f"{path}: does not exist; a check makes it")
        with database._translated():
            database._connection = database._connect_to_read()
        database._closing_on_error(database._check)
        return database

    def _connect_to_read(self) -> sqlite3.Connection:
        address = self.path.absolute().as_uri()
        for mode in ("mode=ro", "immutable=1"):
            connection = sqlite3.connect(
                f"{address}?{mode}", self._patience, isolation_level=None, check_same_thread=False, uri=True
            )
            try:
                connection.execute("SELECT 1 FROM sqlite_master")
                return connection
            except sqlite3.OperationalError as error:
                connection.close()
                # Where nothing can be written, the index of the log cannot be made. Without a log there is no need.
                log = self.path.with_name(f"{self.path.name}-wal")
                if _primary_code(error) not in _UNWRITABLE or mode != "mode=ro" or _has_content(log):
                    raise
            except sqlite3.Error:
                connection.close()
                raise
        raise AssertionError("unreachable")

    def _closing_on_error(self, check: Any) -> None:
        try:
            with self._translated():
                try:
                    check()
                except migrations.SchemaError as error:
                    raise SummaryError(
                        f"{self.path}: {error}; it was left as it is: "
                        "use that program, or move it away to start a new one"
                    ) from error
        except BaseException:
            self._connection.close()
            raise

    def _check(self) -> None:
        migrations.check(_database_of(self._connection), SUMMARY)

    def _prepare(self) -> None:
        database = _database_of(self._connection)
        migrations.check(database, SUMMARY)
        self._write_ahead()
        migrations.upgrade(database, SUMMARY)

    def _write_ahead(self) -> None:
        # SQLite does not wait here by itself when another process makes the same switch or recovers a log.
        deadline = time.monotonic() + self._patience
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if _primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def __enter__(self) -> SummaryDatabase:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def sites(self) -> list[SiteRow]:
        """Give all sites, by name."""
        with self._translated():
            rows = self._connection.execute(f"SELECT {_SITE_COLUMNS} FROM sites ORDER BY site").fetchall()
            return [self._site_row(row) for row in rows]

    def site(self, name: str) -> SiteRow:
        """Give one site."""
        with self._translated():
            query = f"SELECT {_SITE_COLUMNS} FROM sites WHERE site = ?"
            row = self._connection.execute(query, (_text(name),)).fetchone()
            if row is None:
                raise self._no_site(name)
            return self._site_row(row)

    def stats(self) -> dict[str, StatsRow]:
        """Give the last result of each site that has one, by the name of the site."""
        with self._translated():
            rows = self._connection.execute(f"SELECT {_STATS} FROM stats ORDER BY site").fetchall()
        return {row[0]: self._stats_row(row) for row in rows}

    def history(self, site: str) -> list[StatsRow]:
        """Give all results of a site, oldest first, the last one included; none for a site without results."""
        query = (
            f"SELECT {_STATS}, 0, rowid FROM stats_history WHERE site = :site "
            f"UNION ALL SELECT {_STATS}, 1, 0 FROM stats WHERE site = :site ORDER BY 18, 2, 19"
        )
        with self._translated():
            rows = self._connection.execute(query, {"site": _text(site)}).fetchall()
        return [self._stats_row(row[:-2]) for row in rows]

    def sync(self, sites: Mapping[str, bool]) -> None:
        """Take over which sites the backend lists, and whether it calls them ready.

        New ones are ready to be checked and dry. Those that are not listed any more keep their states, and are not
        good.
        """
        with self._transaction() as connection:
            known = dict(connection.execute("SELECT site, isready FROM sites"))
            wanted = {_text(site): int(ready) for site, ready in sites.items()}
            wanted |= {site: 0 for site in known if site not in wanted}
            connection.executemany(
                "INSERT INTO sites(site, isready) VALUES (?, ?) "
                "ON CONFLICT(site) DO UPDATE SET isready = excluded.isready",
                [(site, ready) for site, ready in wanted.items() if known.get(site) != ready],
            )

    def learn(self, site: str, ready: bool) -> None:
        """Let it know a site that it may not know yet; a known one stays as it is."""
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO sites(site, isready) VALUES (?, ?)", (_text(site), int(ready)))

    def set_status(self, site: str, status: SiteStatus, owner: Owner | None = None) -> SiteRow:
        """Set how a site stands, and give how it stood.

        ``owner`` is the process that a busy state belongs to. A run that is halted or disabled keeps its own, so that
        it can be seen when it is over.
        """
        with self._transaction():
            before = self.site(site)
            if status not in BUSY:
                owner = None if status == SiteStatus.READY else before.owner
            self._put(before.site, status, owner)
        return before

    def set_reporting(self, site: str, reporting: Reporting) -> SiteRow:
        """Set what follows from the findings of a site, and give how it stood."""
        with self._transaction() as connection:
            before = self.site(site)
            connection.execute("UPDATE sites SET isgood = ? WHERE site = ?", (int(reporting), before.site))
        return before

    def swap(self, before: SiteRow, status: SiteStatus, owner: Owner | None = None) -> bool:
        """Set how a site stands if it still stands, and belongs to whom, as it did; gives whether it does."""
        with self._transaction():
            now = self.site(before.site)
            if (now.status, now.owner) != (before.status, before.owner):
                return False
            self._put(before.site, status, owner)
        return True

    def running(self, site: str, owner: Owner, now: float) -> SiteRow:
        """Note that a process checks a site from now on, and give how it stood.

        Raises:
            BadAction: the site is disabled.
        """
        with self._transaction() as connection:
            before = self.site(site)
            if before.status == SiteStatus.DISABLED:
                raise BadAction(f"{printable(site)} is disabled; set it ready first")
            if owner != before.owner:
                self._forget_beats(before.site)
            self._put(before.site, SiteStatus.RUNNING, owner)
            connection.execute("UPDATE sites SET laststarted = ? WHERE site = ?", (_stamp(now), before.site))
        return before

    def interrupt(self, site: str) -> SiteStatus:
        """Tell the run of a site to halt, unless the site is disabled; gives how it stands now."""
        with self._transaction():
            before = self.site(site)
            status = after_interrupt(before.status)
            self._put(before.site, status, before.owner)
        return status

    def unlock(self, site: str, owner: Owner | None = None) -> None:
        """Set a site ready that is picked or running; any other state stays, but belongs to no run any more.

        With an ``owner`` a site that is another process's by now is left to it.
        """
        with self._transaction():
            before = self.site(site)
            if owner not in (None, before.owner):
                return
            self._forget_beats(before.site)
            if before.status in BUSY:
                self._put(before.site, SiteStatus.READY, None)
            elif before.owner is not None:
                self._put(before.site, before.status, replace(before.owner, pid=DONE))

    def update(self, row: StatsRow, again: bool = False) -> None:
        """Enter the result of a run; the one before it moves to the history. A site that is not known becomes so.

        With ``again`` a result that was entered at the same time is this one, by a process that died since.
        """
        site, entered, *counts = _values_of(row)
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO sites(site) VALUES (?)", (site,))
            connection.execute(
                "INSERT INTO stats_history SELECT * FROM stats WHERE site = ? AND (entered IS NOT ? OR NOT ?)",
                (site, entered, again),
            )
            marks = ", ".join("?" * len(_STATS_COLUMNS))
            connection.execute(f"REPLACE INTO stats({_STATS}) VALUES ({marks})", (site, entered, *counts))

    def beat(self, site: str, owner: Owner, sign: Heartbeat) -> bool:
        """Take a sign of life of the process that a site belongs to; gives whether it belongs to that one still."""
        with self._transaction() as connection:
            if self.site(site).owner != owner:
                return False
            values = (_text(site), owner.pid, owner.host, owner.start, _stamp(sign.given), _text(sign.phase))
            # Signs are told apart by their number: clocks may be set.
            connection.execute(
                "INSERT OR REPLACE INTO heartbeats"
                "(site, pid, host, process, given, phase, directories, files, note, beat) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1 + COALESCE((SELECT beat FROM heartbeats WHERE site = ?), 0))",
                (*values, sign.directories, sign.files, _text(sign.note), _text(site)),
            )
        return True

    def beats(self) -> dict[str, Heartbeat]:
        """Give the last sign of life of each site that is some process's which gives any."""
        if not self._has_beats():
            return {}
        query = (
            "SELECT site, phase, directories, files, note, given "
            "FROM heartbeats JOIN sites USING (site, pid, host, process)"
        )
        with self._translated():
            rows = self._connection.execute(query).fetchall()
        return {
            site: Heartbeat(phase, directories, files, note, self._seconds(given))
            for site, phase, directories, files, note, given in rows
        }

    def observe(self, observer: str, host: str, now: float) -> None:
        """Note which signs of life an observer sees of processes that are not on its own ``host``.

        ``now`` is in seconds of a clock of the observer's own that is never set; see `unchanged`.
        """
        names = {"observer": observer, "host": host, "now": now}
        with self._translated():
            if self._connection.execute(f"SELECT 1 {_NEW_BEATS}", names).fetchone() is None:
                return
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO heartbeats_seen(site, observer, pid, host, process, beat, since) "
                f"SELECT site, :observer, pid, host, process, beat, :now {_NEW_BEATS}",
                names,
            )

    def unchanged(self, observer: str, now: float) -> dict[str, float]:
        """Give for how many seconds an observer has known the last sign of life of the sites that it looked at."""
        if not self._has_beats():
            return {}
        query = (
            "SELECT site, since FROM heartbeats_seen JOIN heartbeats USING (site, pid, host, process, beat) "
            "JOIN sites USING (site, pid, host, process) WHERE observer = ? AND since <= ?"
        )
        with self._translated():
            rows = self._connection.execute(query, (observer, now)).fetchall()
        return {site: now - since for site, since in rows}

    def _has_beats(self) -> bool:
        """Tell whether there are signs of life at all: who may only read is shown older databases, too."""
        query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'heartbeats'"
        with self._translated():
            return self._connection.execute(query).fetchone() is not None

    def _forget_beats(self, site: str) -> None:
        for table in ("heartbeats", "heartbeats_seen"):
            self._connection.execute(f"DELETE FROM {table} WHERE site = ?", (site,))

    def _put(self, site: str, status: SiteStatus, owner: Owner | None) -> None:
        values = (None, None, None) if owner is None else (owner.pid, owner.host, owner.start)
        self._connection.execute(
            "UPDATE sites SET isrunning = ?, pid = ?, host = ?, process = ? WHERE site = ?",
            (int(status), *values, site),
        )

    def _no_site(self, name: object) -> NoMatchingSite:
        known = [site for (site,) in self._connection.execute("SELECT site FROM sites ORDER BY site")]
        return NoMatchingSite(
            f"no site {quoted(str(name))} in {self.path}; known: {', '.join(map(printable, known)) or 'none'}"
        )

    def _site_row(self, row: tuple[Any, ...]) -> SiteRow:
        site, is_good, status, reporting, started, pid, host, process = row
        if not isinstance(site, str):
            raise SummaryError(f"{self.path}: {quoted(ascii(site))} is no name of a site; restore a copy")
        return SiteRow(
            site,
            bool(is_good),
            SiteStatus(status),
            Reporting(reporting),
            None if started is None else self._seconds(started),
            None if pid is None else Owner(pid, host or "", process or ""),
        )

    def _stats_row(self, row: tuple[Any, ...]) -> StatsRow:
        site, entered, *counts = row
        return StatsRow(site, self._seconds(entered), *counts)

    def _seconds(self, stamp: str) -> float:
        try:
            moment = datetime.fromisoformat(stamp)
        except (TypeError, ValueError) as error:
            raise SummaryError(f"{self.path}: {quoted(str(stamp))} is no time; restore a copy") from error
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what is done inside, or undo it."""
        with self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.rollback()
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OverflowError) as error:
            raise SummaryError(f"{self.path}: {_explain(error, self._patience)}") from error


def open_locked(path: Path) -> sqlite3.Connection:
    """Open the summary for people who want SQL, and keep other writers away until they commit; readers go on.

    Raises:
        SummaryError: it cannot be used, or another process keeps it locked.
    """
    with SummaryDatabase(path) as database, database._translated():
        connection = sqlite3.connect(path, BUSY_SECONDS, isolation_level="IMMEDIATE")
        try:
            connection.execute("BEGIN IMMEDIATE")
        except BaseException:
            connection.close()
            raise
        return connection


def _database_of(connection: sqlite3.Connection) -> Any:
    # Imported here because it takes a fifth of a second, which whoever has no summary need not wait for.
    from sqlite_utils import Database

    return Database(connection, recursive_triggers=False, execute_plugins=False)


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


_UNWRITABLE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM)


def _primary_code(error: Exception) -> int:
    """Give the low byte of the error code; the rest refines it. Errors of Python's own module have none."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _explain(error: Exception, patience: float) -> str:
    match _primary_code(error):
        case sqlite3.SQLITE_BUSY:
            return f"another process has kept it locked for over {patience:g} seconds"
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return f"not a summary database, or damaged ({error}); restore a copy, or move it away to start a new one"
        case sqlite3.SQLITE_ERROR:
            # What the program asks is right for what it makes, and its steps say that this is it.
            return f"half upgraded, or changed by hand ({error}); restore a copy, or move it away to start a new one"
        case code if code in _UNWRITABLE:
            return f"the file or its directory cannot be opened or written ({error})"
        case _:
            return str(error)


def _text(name: object) -> str:
    """Make a name fit for a TEXT column; a lone surrogate is not."""
    return str(name).encode("utf-8", "backslashreplace").decode()


def _stamp(seconds: float) -> str:
    """Write a time as SQLite does, with microseconds, so that times sort as text."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _values_of(row: StatsRow) -> list[Any]:
    counts = [int(getattr(row, field)) for field in StatsRow.__slots__[3:]]
    return [_text(row.site), _stamp(row.entered), float(row.seconds), *counts]
