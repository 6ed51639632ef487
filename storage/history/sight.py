"""What a run could not see or did not look for, and what of that it notes.

What it could not list is in a table of its own. What its settings left alone is noted with the run itself, since they
may be others by now; of a run of an earlier version, or of another program, nobody knows.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

from engine import paths
from engine.scope import Scope
from storage.history.tables import RunRow, Table

UNLISTED = "unlisted"
"""The name of the table of directories that could not be listed."""

_PATHS = ("tops", "ignored", "left_out")


def packed_scope(scope: Scope) -> str:
    """Give a scope as it is stored: an object, in JSON; bytes that are no text are escaped as everywhere in JSON."""
    values: dict[str, Any] = {name: [paths.decode(path) for path in getattr(scope, name)] for name in _PATHS}
    return json.dumps({**values, "keeps_orphans": scope.keeps_orphans, "young_after": scope.young_after})


def scope_of(connection: sqlite3.Connection, run: int) -> Scope | None:
    """Give where a run looked; None where nobody noted it."""
    row = connection.execute("SELECT looked FROM runs WHERE id = ?", (run,)).fetchone()
    if row is None or not row[0]:
        return None
    try:
        values = json.loads(row[0])
        tops, ignored, left_out = (tuple(map(paths.encode, values[name])) for name in _PATHS)
        return Scope(tops, ignored, left_out, bool(values["keeps_orphans"]), values["young_after"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise sqlite3.DataError(
            f"what it has of where run {run} looked makes no sense: written by another version of this program, or "
            "changed by hand; restore a copy, or move it away to start a new one"
        ) from error


class Hidden:
    """Tells what a run could not see: what lies in, or below, a directory that it could not list."""

    def __init__(self, unlisted: frozenset[bytes] | None) -> None:
        """``unlisted`` None: nobody knows any more which directories these were."""
        self._unlisted = unlisted

    def __call__(self, directory: bytes) -> bool:
        """Tell it of a directory."""
        return self._unlisted is None or any(above in self._unlisted for above in _upwards(directory))


def _upwards(directory: bytes) -> Iterator[bytes]:
    above: bytes | None = directory
    while above is not None:
        yield above
        above = paths.parent_of(above)


def unlisted_of(connection: sqlite3.Connection, site: int, run: int) -> frozenset[bytes]:
    """Give the directories that a run could not list, as far as that is kept."""
    rows = connection.execute(
        " UNION ".join(
            "SELECT CAST(d.name AS BLOB) FROM "
            f"{table} u JOIN directories d ON d.id = u.directory WHERE u.site = :site AND u.run = :run"
            for table in (UNLISTED, f"{UNLISTED}_history")
        ),
        {"site": site, "run": run},
    )
    return frozenset(path for (path,) in rows)


class Unseen:
    """Tells of which findings a run would say nothing, be they there or not.

    ``scope`` is where it looked; None: that is not known, and only what it could not list counts.
    """

    def __init__(self, connection: sqlite3.Connection, site: int, run: RunRow, otherwise: Scope | None = None) -> None:
        """``otherwise`` is where it is believed to have looked when nobody noted it."""
        unlisted = unlisted_of(connection, site, run.id)
        self._hidden = Hidden(unlisted if unlisted or not run.counts.unlisted else None)
        self.scope = scope_of(connection, run.id) or otherwise

    def directory(self, table: str, path: bytes) -> bool:
        """Tell it of a directory that is a finding for a table, or of all findings in it."""
        scope = self.scope
        passed = scope is not None and scope.passes_over(path, table == Table.ORPHANS)
        return passed or self._hidden(path)
