"""Handles the history database, ``VarLocation/db/consistency.db``: what runs reported, and what was acted on.

A run of the site ``config.SITE`` begins with `start_run` and ends with `finish_run`. In between each list that is
reported takes the place of what an earlier run of the site had reported, at once and whole; what is not reported stays.
LFNs are ``str``, with ``surrogateescape`` for bytes that are not UTF-8. ``docs/formats.md`` has the tables.

Every function raises `HistoryError` when the database cannot be used, and `OSError` or `ConfigError` when the
configuration cannot.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dynamo_consistency import config
from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from engine.tree.files import UNLISTED
from storage.history import FileRow, HistoryDatabase, HistoryError, RunStatus, Table, connect
from storage.runs.directory import RunDirectory, RunDirError

__all__ = [
    "HistoryError",
    "LockedConn",
    "empty_directories",
    "finish_run",
    "hand_over",
    "is_open",
    "missing_files",
    "orphan_files",
    "report_empty",
    "report_missing",
    "report_orphan",
    "report_unmerged",
    "start_run",
    "unmerged_files",
]


class LockedConn:
    """Holds a connection to the history database, ``conn``, and a cursor of it, ``curs``, for SQL of one's own.

    It is that of ``config.SITE``, in case the site has a VarLocation of its own. The first statement that writes locks
    out other writers, until `close` or ``conn.commit()``.
    """

    def __init__(self) -> None:
        self.conn = connect(_path(config.SITE or ""))
        self.curs = self.conn.cursor()

    def close(self) -> None:
        """Commit and close the connection."""
        try:
            self.conn.commit()
        finally:
            self.conn.close()


@dataclass(frozen=True, slots=True)
class _Run:
    site: str
    database: HistoryDatabase
    number: int
    started: float
    process: int


_run: _Run | None = None
_handed_over = False


def start_run() -> None:
    """Register the start of a run of ``config.SITE``; called in `main.main`.

    A run of the site that `start_run` began and nobody finished, here or in another process, is given up.

    Raises:
        HistoryError: also while another process checks the site, whose run this would end.
    """
    global _run, _handed_over
    if not config.SITE:
        raise HistoryError("no site for the run: set config.SITE")
    _handed_over = False
    if _run is not None:
        earlier, _run = _run, None
        _give_up(earlier)
    _spare_others(config.SITE)
    database, started = HistoryDatabase(_path(config.SITE)), time.time()
    try:
        _run = _Run(config.SITE, database, database.open_run(config.SITE, started, "front end"), started, os.getpid())
    except BaseException:
        database.close()
        raise


def finish_run() -> None:
    """Register the end of the run that `start_run` began; called in `main.main`."""
    global _run, _handed_over
    if _handed_over:
        _handed_over = False
        return
    run, now = _started(), time.time()
    counts = replace(run.database.counts(run.number), seconds=now - run.started)
    run.database.finish_run(run.number, now, RunStatus.DONE, counts, keep_findings=False)
    run.database.close()
    _run = None


def hand_over(site: str) -> None:
    """Leave the run that `start_run` began, if one of the site is open, to a whole run, which registers itself.

    `finish_run` then has nothing left to do. What was reported before stays.
    """
    global _run, _handed_over
    if is_open() and _started().site == site:
        run, _run, _handed_over = _started(), None, True
        run.database.withdraw(run.number)
        run.database.close()


def is_open() -> bool:
    """Tell whether this process has started a run that is not finished yet."""
    return _run is not None and _run.process == os.getpid()


def report_missing(missing: Iterable[tuple[str, Mapping[str, Any] | None]]) -> None:
    """Store missing files in the table ``invalid``.

    ``missing`` has a tuple (LFN, info) for each file, where info may hold ``size`` in bytes and ``mtime`` in seconds
    since the epoch. LFNs become canonical, an ``_unlisted_`` is passed over, and of several with the same LFN the last
    counts. All are stored, or none.

    Raises:
        HistoryError: no run was started, or another process has started a later one.
        ValueError: something that cannot be an LFN, a size or a time.
    """
    _report(Table.MISSING, missing)


def report_orphan(orphan: Iterable[tuple[str, Mapping[str, Any] | None]]) -> None:
    """Store orphans, as `report_missing`; what the run has reported missing is no orphan, and is left out."""
    _report(Table.ORPHANS, orphan)


def report_unmerged(unmerged: Iterable[tuple[str, Mapping[str, Any] | None]]) -> None:
    """Store unmerged files that may be deleted, as `report_missing`."""
    _report(Table.UNMERGED, unmerged)


def report_empty(directories: Iterable[tuple[str, float | None]]) -> None:
    """Store empty directories, given as (name, mtime in seconds since the epoch); else as `report_missing`."""
    run = _started()
    rows = (
        (path, _whole(name, mtime, UNKNOWN_MTIME))
        for name, mtime in directories
        if paths.name_of(path := _canonical(name)) != _UNLISTED
    )
    run.database.report_empty(run.number, rows, time.time())


def missing_files(site: str, acting: bool = False) -> list[str]:
    """Give the LFNs that were missing at a site.

    With ``acting`` they are moved into the history, where ``acted`` is the time of it.
    """
    return _lfns(HistoryDatabase.missing, site, acting)


def orphan_files(site: str, acting: bool = False) -> list[str]:
    """Give the LFNs that were orphans at a site; ``acting`` as in `missing_files`."""
    return _lfns(HistoryDatabase.orphans, site, acting)


def unmerged_files(site: str, acting: bool = False) -> list[str]:
    """Give the LFNs in unmerged that may be deleted at a site; ``acting`` as in `missing_files`."""
    return _lfns(HistoryDatabase.unmerged, site, acting)


def empty_directories(site: str, acting: bool = False) -> list[str]:
    """Give the empty directories of a site, deepest first; ``acting`` as in `missing_files`."""
    return _lfns(HistoryDatabase.empty_directories, site, acting)


_UNLISTED = paths.encode(UNLISTED)


def _var_location(site: str) -> Path:
    """Give the VarLocation of a site, which may have its own."""
    configured = config.current()
    settings = configured.site(site) if site in configured.sites else configured.top_level(site)
    return settings.var_location


def _path(site: str) -> Path:
    return _var_location(site) / "db" / "consistency.db"


def _spare_others(site: str) -> None:
    directory = RunDirectory(_var_location(site), site)
    try:
        holder = directory.running() if directory.is_locked() else None
    except RunDirError as error:
        raise HistoryError(str(error)) from error
    if holder is not None and (holder.pid, holder.host) != (os.getpid(), socket.gethostname()):
        raise HistoryError(f"{site} is being checked by process {holder.pid} on {holder.host}")


def _started() -> _Run:
    if _run is None:
        raise HistoryError("no run has been started: call history.start_run() first")
    if _run.process != os.getpid():
        # SQLite's connections must not be used on the other side of a fork.
        raise HistoryError("the run was started by another process: call history.start_run() in this one")
    return _run


def _give_up(run: _Run) -> None:
    if run.process == os.getpid():
        # Its database may have been removed meanwhile; where it has not, the next run of its site gives it up.
        with contextlib.suppress(HistoryError):
            run.database.abandon(run.number)
        run.database.close()


def _report(table: Table, files: Iterable[tuple[str, Mapping[str, Any] | None]]) -> None:
    run = _started()
    run.database.report(run.number, table, _rows(files), time.time())


def _rows(files: Iterable[tuple[str, Mapping[str, Any] | None]]) -> Iterator[FileRow]:
    for name, info in files:
        path = _canonical(name)
        if path == paths.SEPARATOR:
            raise ValueError(f"{name!r} cannot be the name of a file")
        if paths.name_of(path) != _UNLISTED:
            size, mtime = (info.get("size"), info.get("mtime")) if info else (None, None)
            yield path, _whole(name, size, UNKNOWN_SIZE), _whole(name, mtime, UNKNOWN_MTIME)


def _canonical(name: str) -> bytes:
    try:
        return paths.canonical(paths.encode(name))
    except ValueError as error:
        raise ValueError(f"{name!r}: {error}") from error


def _whole(name: str, value: float | None, unknown: int) -> int:
    """Give a size or time as it is stored."""
    if value is None:
        return unknown
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name!r}: neither a size nor a time: {value!r}") from error
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{name!r}: no size and no time is as large as {value!r}")
    return number


def _lfns(
    read: Callable[[HistoryDatabase, str, float | None], Iterable[tuple[Any, ...]]], site: str, acting: bool
) -> list[str]:
    with HistoryDatabase(_path(site)) as database:
        return [paths.decode(row[0]) for row in read(database, site, time.time() if acting else None)]
