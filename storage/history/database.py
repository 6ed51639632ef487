"""The history of runs and findings, in one SQLite database.

A run's findings are staged while they trickle in, in temporary tables that no other process sees, and appear in the
database in one transaction when the run finishes; or they are entered at once, a table at a time. A process killed at
any moment leaves what was there before.

Names are stored as TEXT when they are valid UTF-8 and as BLOB otherwise. Sizes and mtimes that are not known are NULL.
Times are in seconds since the epoch and are given by the caller. Write-ahead logging keeps readers going while a run is
written; it needs a file system that only one machine uses.

    HistoryError    everything that goes wrong with the database, in one line that names its path
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple
from pathlib import Path
from types import TracebackType
from typing import Any

from engine.columns import FileColumns
from engine.findings import Finding, Kind
from engine.gates import Refusal
from engine.scope import Scope
from engine.states import Reason
from engine.usual import EarlierRun
from storage.history import changes as history_changes
from storage.history import rows as history_rows
from storage.history import staging as history_staging
from storage.history.changes import Changed, Changes
from storage.history.connection import BUSY_SECONDS, HistoryConnection, HistoryError, connect
from storage.history.rows import Acted
from storage.history.sight import packed_scope
from storage.history.staging import ONCE, FileGroup, Staging
from storage.history.tables import (
    ANY,
    COUNTS,
    NO_SIGNS,
    TABLE_OF,
    FileRow,
    Known,
    RunCounts,
    RunRow,
    RunSigns,
    RunStatus,
    Table,
    as_held,
    packed_gates,
    packed_reasons,
    stored,
    text,
    unpacked_gates,
)

__all__ = [
    "BUSY_SECONDS",
    "Acted",
    "Changed",
    "Changes",
    "FileRow",
    "HistoryDatabase",
    "HistoryError",
    "RunCounts",
    "RunRow",
    "RunSigns",
    "RunStatus",
    "Table",
    "connect",
]


class HistoryDatabase:
    """The history at a path, which is made when there is nothing yet.

    Takes one call at a time, from any thread. Every method raises `HistoryError` when the database cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: dict[int, Staging] = {}
        self._connection = HistoryConnection(path)

    @classmethod
    def reading(cls, path: Path) -> HistoryDatabase:
        """Open a history that is there, in order to read; neither it nor its directory need be writable."""
        database = cls.__new__(cls)
        database.path = path
        database._open = {}
        database._connection = HistoryConnection.reading(path)
        return database

    def __enter__(self) -> HistoryDatabase:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database. What is still staged is gone; its runs become `DIED` with the next run of their site."""
        self._open.clear()
        self._connection.close()

    def open_run(self, site: str, started: float, runtime: str) -> int:
        """Enter a run with status `RUNNING` and give its number.

        Runs of the site that are still marked running are dead, and become `DIED`.
        """
        with self._connection.transaction() as connection:
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
            dead = [older for older, staging in self._open.items() if staging.site == site_id]
            for older in dead:
                history_staging.drop(connection, older)
            history_staging.create(connection, run)
        for older in dead:
            del self._open[older]
        self._open[run] = Staging(site_id)
        return run

    def stage(self, run: int, findings: Iterable[Finding]) -> None:
        """Keep findings for `finish_run`, the whole batch or nothing of it, without locking the database."""
        empty: list[tuple[bytes, int]] = []
        checksums: list[Finding] = []

        def files() -> Iterator[FileGroup]:
            for finding in findings:
                if finding.kind == Kind.EMPTY:
                    empty.append((finding.directory, finding.mtime))
                elif finding.kind == Kind.CHECKSUM_MISMATCH:
                    checksums.append(finding)
                else:
                    yield TABLE_OF[finding.kind], finding.directory, finding.files, finding.remote_sizes

        staging = self._staging(run)
        with self._connection.transaction("DEFERRED") as connection:
            last = history_staging.stage_files(connection, run, staging.last, files())
            history_staging.stage_empty(connection, run, empty)
            history_staging.stage_checksums(connection, run, checksums)
        staging.last = last

    def replaces_checksums(self, run: int) -> None:
        """Note that a run says which files have another checksum, be it none: the site's older ones are replaced."""
        self._staging(run).replaces.add(Table.CHECKSUMS)

    def stage_unmerged(self, run: int, directories: Iterable[tuple[bytes, FileColumns]]) -> None:
        """Keep unmerged files that may be deleted, by directory, for `finish_run`.

        Not every run cleans: the site's older ones are replaced only when this was called, be it with nothing.
        """
        files = ((Table.UNMERGED, directory, columns, b"") for directory, columns in directories)
        staging = self._staging(run)
        with self._connection.transaction("DEFERRED") as connection:
            last = history_staging.stage_files(connection, run, staging.last, files)
        staging.last = last
        staging.replaces.add(Table.UNMERGED)

    def stage_unlisted(self, run: int, rows: Iterable[tuple[bytes, Reason, str]]) -> None:
        """Keep directories that have no complete listing, with reason and detail, for `finish_run`."""
        self._staging(run)
        with self._connection.transaction("DEFERRED") as connection:
            connection.executemany(
                f"INSERT INTO temp.staged_unlisted_{run} VALUES (?, ?, ?)",
                ((stored(path), int(reason), text(detail)) for path, reason, detail in rows),
            )

    def report(self, run: int, table: Table, rows: Iterable[FileRow], entered: float) -> None:
        """Enter files of an open run at once, all of them or none: they can be read back before it is finished.

        ``rows`` are missing files, orphans or unmerged files, in any order. The first time that the run reports to a
        table, the site's older rows of it move to the twin; later calls add. A file that the run has reported missing
        is no orphan. Such a run is finished without ``keep_findings``.
        """
        if table in (Table.EMPTY, Table.MISMATCHES, Table.CHECKSUMS):
            raise ValueError(f"{table} takes no plain files")
        self._report(run, table, history_staging.by_directory(table, rows), (), entered)

    def report_empty(self, run: int, rows: Iterable[tuple[bytes, int]], entered: float) -> None:
        """Enter empty directories, path and mtime, at once; see `report`."""
        self._report(run, Table.EMPTY, (), rows, entered)

    def finish_run(
        self,
        run: int,
        finished: float,
        status: RunStatus,
        counts: RunCounts,
        keep_findings: bool,
        message: str = "",
        signs: RunSigns = NO_SIGNS,
        replaces: int | None = None,
        looked: Scope | None = None,
    ) -> None:
        """End a run, in one transaction.

        With ``keep_findings`` the site's older rows move to the twin tables and the staged ones take their place; an
        orphan that is also missing is left out. Without, what was staged is dropped and the older rows stay. When this
        raises, nothing has changed, and it may be called again.

        A run that ``replaces`` an earlier one of its site has judged the same listing: what both have found counts as
        found once, and the earlier one is no run with findings any more. ``looked`` is where it looked for findings,
        None where that is not known.
        """
        staging = self._staging(run)
        with self._connection.transaction() as connection:
            self._heed_later_runs(run)
            if keep_findings:
                if replaces is not None:
                    history_staging.take_back(connection, replaces, run, staging)
                history_staging.replace(connection, run, staging, finished)
            connection.execute(
                "UPDATE runs SET finished = ?, status = ?, message = ?, begun = ?, gates = ?, accepted = ?, "
                "reasons = ?, looked = ?, "
                f"{', '.join(f'{c} = ?' for c in COUNTS)} WHERE id = ?",
                (
                    *(finished, status, text(message), signs.begun, packed_gates(signs.gates), signs.accepted),
                    *(packed_reasons(signs.reasons), "" if looked is None else packed_scope(looked)),
                    *(*map(as_held, astuple(counts)), run),
                ),
            )
            history_staging.drop(connection, run)
        del self._open[run]

    def note(self, run: int, message: str, gates: Sequence[Refusal] = ()) -> None:
        """Add something to the message of a run, also of one that is finished, and gates that closed behind it.

        What it says already is not added once more, since a run that was killed says it again.
        """
        with self._connection.transaction() as connection:
            row = connection.execute("SELECT gates FROM runs WHERE id = ?", (run,)).fetchone()
            if row is None:
                raise HistoryError(f"{self.path}: there is no run {run}")
            if message:
                connection.execute(
                    "UPDATE runs SET message = CASE WHEN message = '' THEN ?1 ELSE message || '; ' || ?1 END "
                    "WHERE id = ?2 AND instr('; ' || message || '; ', '; ' || ?1 || '; ') = 0",
                    (text(message), run),
                )
            all_gates = packed_gates(dict.fromkeys((*unpacked_gates(row[0]), *gates)))
            connection.execute("UPDATE runs SET gates = ? WHERE id = ?", (all_gates, run))

    def abandon(self, run: int) -> None:
        """Drop what was staged and mark the run `DIED`; the site's older findings stay."""
        self._staging(run)
        with self._connection.transaction() as connection:
            connection.execute(
                "UPDATE runs SET status = ? WHERE id = ? AND status = ?", (RunStatus.DIED, run, RunStatus.RUNNING)
            )
            history_staging.drop(connection, run)
        del self._open[run]

    def withdraw(self, run: int) -> None:
        """Take an open run back as if it had never begun; one that has reported something is abandoned."""
        if self._staging(run).reported:
            self.abandon(run)
            return
        with self._connection.transaction() as connection:
            history_staging.drop(connection, run)
            connection.execute("DELETE FROM runs WHERE id = ? AND status = ?", (run, RunStatus.RUNNING))
        del self._open[run]

    def missing(
        self, site: str, acting: float | None = None, least: int = 1, before: float | None = None
    ) -> Iterator[FileRow]:
        """Give the missing files of a site, directories in tree order, names in byte order.

        Only those that were missing in at least ``least`` consecutive runs and, if ``before`` is given, were found
        first at that time or earlier. Someone who acts on them gives the time: then they are moved to the twin table
        before this returns. Otherwise the iterator reads as it goes, and sees the database as it is when its first row
        is asked for.
        """
        return self._files(Table.MISSING, site, acting, Known(least, before))

    def orphans(
        self, site: str, acting: float | None = None, least: int = 1, before: float | None = None
    ) -> Iterator[FileRow]:
        """Give the orphans of a site; as `missing`."""
        return self._files(Table.ORPHANS, site, acting, Known(least, before))

    def unmerged(self, site: str, acting: float | None = None) -> Iterator[FileRow]:
        """Give the unmerged files of a site that may be deleted; as `missing`."""
        return self._files(Table.UNMERGED, site, acting)

    def size_mismatches(self, site: str) -> Iterator[tuple[bytes, int, int, int]]:
        """Give path, the inventory's size and mtime, and the store's size; as `missing`."""
        with self._connection.view() as connection:
            yield from history_rows.file_rows(connection, Table.MISMATCHES, site, more=", remote_size")

    def checksum_mismatches(self, site: str) -> Iterator[tuple[bytes, int, int, str, str]]:
        """Give path, size, mtime, and the checksums of inventory and store; as `missing`."""
        with self._connection.view() as connection:
            yield from history_rows.file_rows(connection, Table.CHECKSUMS, site, more=", expected, found")

    def empty_directories(self, site: str, acting: float | None = None) -> Iterator[tuple[bytes, int]]:
        """Give path and mtime of a site's empty directories, deepest first; ``acting`` as in `missing`."""
        with self._connection.view() if acting is None else self._connection.transaction() as connection:
            rows = history_rows.empty_rows(connection, site)
            if acting is not None:
                history_staging.move_to_twin(connection, Table.EMPTY, site, acting)
        return iter(rows)

    def mark_acted(self, site: str, table: Table, names: Iterable[bytes], acted: float) -> int:
        """Note that somebody acted on some findings, given by their paths, at a time; gives how many there were.

        They move to the twin, all in one transaction; paths that are not among the site's findings are passed over.
        """
        with self._connection.transaction() as connection:
            return history_rows.act_on(connection, table, site, names, acted)

    def acted(self, site: str, table: Table) -> Iterator[Acted]:
        """Give the findings of a site that somebody acted on, of all its runs, the latest first."""
        with self._connection.view() as connection:
            yield from history_rows.acted_rows(connection, table, site)

    def changes(self, site: str, names: int = 0) -> Changes:
        """Tell which missing files and orphans are new and which are gone since the run before, in numbers.

        What the last run did not look for, or could not, is counted apart. The lists hold the first ``names`` files of
        each kind.
        """
        with self._connection.view() as connection:
            return history_changes.changes(connection, site, names)

    def runs_with_findings(self, site: str) -> int:
        """Count the runs of the site that said which files are missing, be it none."""
        with self._connection.view() as connection:
            return history_rows.count_reported(connection, Table.MISSING, site)

    def earlier_files(self, site: str, most: int = 100) -> list[EarlierRun]:
        """Give how many files the last runs with findings saw, newest first, as far as they are to be compared with."""
        with self._connection.view() as connection:
            return list(history_rows.earlier_files(connection, site, most))

    def last_run_with(self, site: str, table: Table) -> RunRow | None:
        """Give the last run of a site that said what belongs in a table, be it nothing."""
        with self._connection.view() as connection:
            return next(iter(history_rows.run_rows(connection, site, 1, table)), None)

    def with_findings(self, site: str, runs: Iterable[tuple[int, float]]) -> list[int]:
        """Give those of some runs, each named by number and start, that said which files of a site are missing."""
        with self._connection.view() as connection:
            return [run for run, started in runs if history_rows.has_reported(connection, site, run, started)]

    def counts(self, run: int) -> RunCounts:
        """Count what an open run has reported so far; what it cannot know is 0."""
        staging = self._staging(run)
        with self._connection.view() as connection:
            return history_staging.counts_of(connection, run, staging.site)

    def unlisted(self, site: str) -> list[tuple[bytes, Reason, str]]:
        """Give path, reason and detail of what the last run with findings could not list, in tree order."""
        with self._connection.view() as connection:
            return history_rows.unlisted_rows(connection, site)

    def view(self) -> AbstractContextManager[sqlite3.Connection]:
        """Open a connection that sees the database as it is now and cannot write, for other modules to ask."""
        return self._connection.view()

    def runs(self, site: str | None = None, limit: int = 10) -> list[RunRow]:
        """Give the last runs of a site, or of all sites, newest first."""
        with self._connection.view() as connection:
            return history_rows.run_rows(connection, site, limit)

    def sites(self) -> list[str]:
        """Name the sites that have had a run, sorted."""
        with self._connection.view() as connection:
            return [name for (name,) in connection.execute("SELECT name FROM sites ORDER BY name")]

    def _staging(self, run: int) -> Staging:
        staging = self._open.get(run)
        if staging is None:
            raise HistoryError(f"{self.path}: run {run} is not open here, so nothing can be staged or finished")
        return staging

    def _heed_later_runs(self, run: int) -> None:
        (status,) = self._connection.sqlite.execute("SELECT status FROM runs WHERE id = ?", (run,)).fetchone()
        if status != RunStatus.RUNNING:
            raise HistoryError(f"{self.path}: run {run} cannot go on, since a later run of its site has started")

    def _report(
        self,
        run: int,
        table: Table,
        files: Iterable[FileGroup],
        empty: Iterable[tuple[bytes, int]],
        entered: float,
    ) -> None:
        staging = self._staging(run)
        # Staged first, so that nobody has to wait for the names to be sorted.
        with self._connection.transaction("DEFERRED") as connection:
            history_staging.create(connection, ONCE)
            history_staging.stage_files(connection, ONCE, 0, files)
            history_staging.stage_empty(connection, ONCE, empty)
        try:
            with self._connection.transaction() as connection:
                self._heed_later_runs(run)
                history_staging.report(connection, run, staging, table, entered)
        finally:
            with self._connection.transaction("DEFERRED") as connection:
                history_staging.drop(connection, ONCE)
        staging.reported.add(table)

    def _files(self, table: Table, site: str, acting: float | None, known: Known = ANY) -> Iterator[FileRow]:
        if acting is None:
            return self._lazy_files(table, site, known)
        with self._connection.transaction() as connection:
            rows: list[Any] = list(history_rows.file_rows(connection, table, site, known))
            history_staging.move_to_twin(connection, table, site, acting, known)
        return iter(rows)

    def _lazy_files(self, table: Table, site: str, known: Known) -> Iterator[FileRow]:
        with self._connection.view() as connection:
            yield from history_rows.file_rows(connection, table, site, known)
