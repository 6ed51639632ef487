"""What is new and what is gone since the run before."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from storage.history.difference import Difference, Fate
from storage.history.rows import run_rows
from storage.history.sight import Unseen
from storage.history.staging import run_before
from storage.history.tables import FileRow, Table
from storage.history.two_runs import settings_between


@dataclass(frozen=True, slots=True)
class Changed:
    """Findings of one kind that came and went between run ``before`` and run ``run``.

    ``run`` is 0 when the site has had no run with findings, and ``before`` when it has had only one: nothing is new in
    a first run. ``unseen`` are neither there nor gone, since run ``run`` did not look, or could not. The lists hold the
    first of the ``new`` and ``gone`` files, in tree order.
    """

    run: int = 0
    before: int = 0
    new: int = 0
    gone: int = 0
    new_files: tuple[FileRow, ...] = ()
    gone_files: tuple[FileRow, ...] = ()
    unseen: int = 0


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed at a site since the run before.

    ``settings`` are the keys of the configuration in which the last run looked elsewhere than the one before.
    """

    missing: Changed = Changed()
    orphans: Changed = Changed()
    settings: tuple[str, ...] = ()


def changes(connection: sqlite3.Connection, site: str, names: int) -> Changes:
    """Compare the last two runs of a site that had findings, with up to ``names`` files in each list.

    New is what the run before had not found. Gone is what it had found, nobody has acted on, and the last run has not
    found though it looked: what lies in, or below, a directory that was not listed is neither, nor is what the settings
    of the last run left alone.
    """
    found = connection.execute("SELECT id FROM sites WHERE name = ?", (site,)).fetchone()
    if found is None:
        return Changes()
    missing, orphans = (_changed(connection, site, found[0], table, names) for table in (Table.MISSING, Table.ORPHANS))
    settings = settings_between(connection, missing.before, missing.run) if missing.before else None
    return Changes(missing, orphans, settings or ())


def _changed(connection: sqlite3.Connection, name: str, site: int, table: Table, names: int) -> Changed:
    run = run_before(connection, site, table)
    if run is None:
        return Changed()
    before = run_before(connection, site, table, run)
    if before is None:
        return Changed(run)
    unseen = Unseen(connection, site, run_rows(connection, name, 1, up_to=run)[0])
    difference = Difference(connection, table, site, before, run, unseen, follows=True)
    new, gone = difference.files(Fate.NEW), difference.files(Fate.GONE)
    files = tuple(new.first(names)), tuple(gone.first(names))
    return Changed(run, before, len(new), len(gone), *files, unseen=len(difference.files(Fate.UNSEEN)))
