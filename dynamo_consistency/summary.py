"""Module that handles the summary database and the web page.

The page is installed in the web directory the first time that something needs it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from types import TracebackType

from dynamo_consistency import config, parser
from engine.site_states import BadAction as BadAction
from engine.site_states import NoMatchingSite as NoMatchingSite
from engine.site_states import Reporting, SiteStatus, reporting_of, status_of
from storage.config.published import publish
from storage.runs.web_files import move_lists
from storage.sites import picker
from storage.sites.lock import SiteLock
from storage.sites.process import Owner
from storage.sites.summary import StatsRow, SummaryDatabase, open_locked

DISABLED = SiteStatus.DISABLED
HALT = SiteStatus.HALT
READY = SiteStatus.READY
LOCKED = SiteStatus.LOCKED
RUNNING = SiteStatus.RUNNING

DRY = Reporting.DRY
ACT = Reporting.ACT

_locks: dict[str, SiteLock] = {}


class LockedConn:
    """Holds a connection to the summary database, and keeps other writers away until it is closed or commits.

    ``conn`` is the `sqlite3.Connection` and ``curs`` a cursor of it; ``cursor``, ``execute`` and ``commit`` are those
    of the connection. Readers go on meanwhile. As a context manager it is closed at the end, and what was done in it is
    undone when an exception ends it.

    Raises:
        SummaryError: the database cannot be used, or another process keeps it locked.
    """

    conn: sqlite3.Connection
    curs: sqlite3.Cursor

    def __init__(self) -> None:
        webdir()
        self.conn = open_locked(picker.summary_path(config.current()))
        self.curs = self.conn.cursor()
        self.cursor, self.execute, self.commit = self.conn.cursor, self.conn.execute, self.conn.commit

    def close(self) -> None:
        """Commit what was done, close the connection and let others write."""
        try:
            self.conn.commit()
        finally:
            self.conn.close()

    def __enter__(self) -> LockedConn:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.conn.close()


def install_webpage() -> None:
    """Install the files of the web page in the configured WebDir.

    Raises:
        ReportError: a file cannot be written.
    """
    from storage.page.install import install_page

    install_page(config.current().top_level().web_dir)


def webdir() -> str:
    """Give the web directory; if it does not exist, it is made and the page installed in it."""
    directory = config.current().top_level().web_dir
    if not directory.exists():
        install_webpage()
    return str(directory)


def get_sites(reporting: bool = False) -> list[str]:
    """Name the sites that are in the database, sorted; with ``reporting`` only those that are set to act."""
    with _database() as database:
        return [row.site for row in database.sites() if not reporting or row.reporting == ACT]


def get_status(site: str) -> int:
    """Give the running status of a site.

    A status that a process has left which is gone counts as `READY`, and is set so.

    Raises:
        NoMatchingSite: the site is not in the database.
    """
    with _database() as database:
        current = config.current()
        if picker.state_of(database.site(site), None, current).over:
            picker.free_stale(database, current)
        return database.site(site).status


def is_debugged(site: str) -> bool:
    """Tell whether a site is cleared for acting on consistency results; raises `NoMatchingSite`."""
    with _database() as database:
        return database.site(site).reporting == ACT


def set_status(site: str, status: int) -> None:
    """Set the run status of a site.

    Raises:
        BadAction: there is no such status, or it would take the site from another process that is at work there.
        NoMatchingSite: nobody knows the site.
    """
    wanted = status_of(status)
    with _database() as database:
        _known(database, site)
        picker.set_status(database, config.current(), site, wanted)


def set_reporting(site: str, status: int) -> None:
    """Set the reporting status of a site: `DRY` or `ACT`.

    Raises:
        BadAction: there is no such status.
        NoMatchingSite: nobody knows the site.
    """
    wanted = reporting_of(status)
    with _database() as database:
        _known(database, site)
        database.set_reporting(site, wanted)


def running(site: str) -> None:
    """Show the site as running on the web page and note the start time.

    Raises:
        BadAction: the site is disabled.
        NoMatchingSite: nobody knows the site.
    """
    with _database() as database:
        _known(database, site)
        database.running(site, Owner.this(), time.time())


def unlock_site(site: str) -> None:
    """Set the site running status back to 0 if it is picked or running, and let go of the lock that came with it."""
    try:
        with _database() as database:
            database.unlock(site)
    finally:
        lock = _locks.pop(site, None)
        if lock is not None:
            lock.release()


def update_summary(
    site: str,
    duration: float,
    numfiles: int,
    numnodes: int,
    numempty: int,
    nummissing: int,
    missingsize: int,
    numorphan: int,
    orphansize: int,
    numnosource: int,
    numunrecoverable: int,
    numunlisted: int,
    numbadunlisted: int,
    numunmerged: int = 0,
    numlogs: int = 0,
) -> bool:
    """Update the summary of a site with what a run counted; gives whether it did, which `do_update` decides.

    ``duration`` is in seconds, sizes are in bytes. The result before moves to the table ``stats_history``.
    """
    if not do_update():
        return False
    settings = picker.settings_of(config.current(), site)
    row = StatsRow(
        site=site,
        entered=time.time(),
        seconds=duration,
        files=numfiles,
        nodes=numnodes,
        empty=numempty,
        cores=settings.gfal_threads if settings.access_method == "SRM" else settings.listers,
        missing=nummissing,
        missing_bytes=missingsize,
        orphan=numorphan,
        orphan_bytes=orphansize,
        no_source=numnosource,
        unrecoverable=numunrecoverable,
        unlisted=numunlisted,
        unlisted_bad=numbadunlisted,
        unmerged=numunmerged,
        unmerged_logs=numlogs,
    )
    with _database() as database:
        database.update(row)
    return True


def do_update() -> bool:
    """Tell whether the summary table should be updated.

    That is so in a normal run, which is any but one with the options ``--test`` or ``--no-inventory``, or with ListAge
    or InventoryAge in its environment, which works on what was there before; and with ``--update-summary`` in every
    run. Options are those that `parser` has read; without any it is a normal run.
    """

    def given(name: str) -> bool:
        return bool(getattr(parser.OPTS, name, False))

    from_cache = not os.environ.keys().isdisjoint(("ListAge", "InventoryAge"))
    return given("UPDATESUMMARY") or not (given("TEST") or given("NO_INV") or from_cache)


def get_dst() -> int:
    """Give 1 for daylight savings time, 0 otherwise, -1 if unsure; of the local time now."""
    return time.localtime().tm_isdst


def move_local_files(site: str) -> None:
    """Move the lists of a site from the working directory, ``work`` in VarLocation, to the web page."""
    move_lists(site, Path(config.vardir("work")), Path(webdir()))


def update_config() -> None:
    """Update the copy of the configuration beside the summary; passwords and tokens are blotted out in it."""
    publish(config.config_dict(), Path(config.LOCATION), Path(webdir()))


def _database() -> SummaryDatabase:
    webdir()
    return SummaryDatabase(picker.summary_path(config.current()))


def _known(database: SummaryDatabase, site: str) -> None:
    """Let the database know the site when only the backend does so far."""
    from storage.backends import choose

    current = config.current()
    picker.learn(database, choose(current, current.top_level()).sites, site)
