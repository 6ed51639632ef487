"""What is new and what is gone since the run before."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from storage.history.difference import Difference, Fate, Hidden, unlisted_of
from storage.history.staging import run_before
from storage.history.tables import FileRow, Table


@dataclass(frozen=True, slots=True)
class Changed:
    """Findings of one kind that came and went between run ``before`` and run ``run``.

    ``run`` is 0 when the site has had no run with findings, and ``before`` when it has had only one: nothing is new in
    a first run. The lists hold the first of the ``new`` and ``gone`` files, in tree order.
    """

    run: int = 0
    before: int = 0
    new: int = 0
    gone: int = 0
    new_files: tuple[FileRow, ...] = ()
    gone_files: tuple[FileRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed at a site since the run before."""

    missing: Changed = Changed()
    orphans: Changed = Changed()


def changes(connection: sqlite3.Connection, site: str, names: int) -> Changes:
    """Compare the last two runs of a site that had findings, with up to ``names`` files in each list.

    New is what the run before had not found. Gone is what it had found, nobody has acted on, and the last run has not
    found though it could look: what lies in, or below, a directory that was not listed is neither.
    """
    found = connection.execute("SELECT id FROM sites WHERE name = ?", (site,)).fetchone()
    if found is None:
        return Changes()
    return Changes(*(_changed(connection, found[0], table, names) for table in (Table.MISSING, Table.ORPHANS)))


def _changed(connection: sqlite3.Connection, site: int, table: Table, names: int) -> Changed:
    run = run_before(connection, site, table)
    if run is None:
        return Changed()
    before = run_before(connection, site, table, run)
    if before is None:
        return Changed(run)
    hidden = Hidden(unlisted_of(connection, site, run))
    difference = Difference(connection, table, site, before, run, hidden, follows=True)
    new, gone = difference.files(Fate.NEW), difference.files(Fate.GONE)
    return Changed(run, before, len(new), len(gone), tuple(new.first(names)), tuple(gone.first(names)))
