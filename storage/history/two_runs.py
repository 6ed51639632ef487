"""Two runs of a site, held against each other: which they are, and what became of their findings."""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from engine.scope import Scope
from storage.history.difference import Difference, Fate, Found, Part
from storage.history.rows import run_rows
from storage.history.sight import UNLISTED, Unseen, scope_of
from storage.history.staging import run_before
from storage.history.tables import RunRow, Table


class FindingKind(StrEnum):
    """The kinds of findings of a run, in the words of reports and of JSON."""

    MISSING = "missing"
    ORPHAN = "orphan"
    SIZE_MISMATCH = "size_mismatch"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    EMPTY = "empty"
    UNLISTED = "unlisted"

    @property
    def table(self) -> str:
        """The table of the history that holds them."""
        return _TABLES[self]

    @property
    def has_size(self) -> bool:
        """Whether they are files."""
        return self not in (FindingKind.EMPTY, FindingKind.UNLISTED)


_TABLES: dict[FindingKind, str] = {
    FindingKind.MISSING: Table.MISSING,
    FindingKind.ORPHAN: Table.ORPHANS,
    FindingKind.SIZE_MISMATCH: Table.MISMATCHES,
    FindingKind.CHECKSUM_MISMATCH: Table.CHECKSUMS,
    FindingKind.EMPTY: Table.EMPTY,
    FindingKind.UNLISTED: UNLISTED,
}


class NoSuchRuns(Exception):
    """There are no two such runs; the message says which there are."""


@dataclass(frozen=True, slots=True)
class TwoRuns:
    """Two runs of a site with findings, the earlier one first."""

    before: RunRow
    after: RunRow


def choose_runs(
    connection: sqlite3.Connection, site: str, before: int | None = None, after: int | None = None
) -> TwoRuns:
    """Choose two runs with findings: the last two; one that is named and the one before it; or both by their numbers.

    Raises:
        NoSuchRuns: there are none.
    """
    if before is not None and after is not None:
        first, second = sorted((before, after))
        if first == second:
            raise NoSuchRuns(f"{site}: run {first} is compared with itself; name two runs, or one for what it changed")
        return TwoRuns(_run(connection, site, first), _run(connection, site, second))
    newest = None if before is None else _run(connection, site, before).id
    runs = run_rows(connection, site, 2, Table.MISSING, newest, ended=True)
    if len(runs) < 2:
        which = "has no run with findings" if not runs else f"has no run with findings before run {runs[0].id}"
        raise NoSuchRuns(f"{site} {which}, so there is nothing to compare; `history {site}` shows its runs")
    return TwoRuns(runs[1], runs[0])


def _run(connection: sqlite3.Connection, site: str, number: int) -> RunRow:
    runs = run_rows(connection, site, 1, up_to=number)
    if not runs or runs[0].id != number:
        raise NoSuchRuns(f"{site} has no run {number}; `history {site}` shows its runs")
    found = run_rows(connection, site, 1, Table.MISSING, number, ended=True)
    if not found or found[0].id != number:
        raise NoSuchRuns(f"{site}: run {number} has no findings: it is {runs[0].status}; `history {site}` shows why")
    return found[0]


class Comparison:
    """What became of the findings of two runs, by kind. A kind that one of them did not look for has no difference."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        runs: TwoRuns,
        otherwise: Scope | None = None,
        done: Mapping[FindingKind, Container[bytes]] | None = None,
    ) -> None:
        """``otherwise`` is where the later run is believed to have looked when nobody noted it.

        ``done`` are the paths that plans acted on between the runs, by the kind of finding that these were.
        """
        self._done = done or {}
        self._connection = connection
        self._runs = runs
        query = "SELECT id FROM sites WHERE name = ?"
        (self._site,) = connection.execute(query, (runs.after.site,)).fetchone()
        self._unseen = Unseen(connection, self._site, runs.after, otherwise)

    @property
    def other_settings(self) -> tuple[str, ...] | None:
        """The keys of the configuration in which the runs looked elsewhere; None when nobody noted where they did."""
        return settings_between(self._connection, self._runs.before.id, self._runs.after.id)

    def parts(self, kind: FindingKind) -> dict[Fate, Part] | None:
        """Count the findings of a kind by their fate; None when one of the runs cannot tell."""
        difference = self._difference(kind)
        if difference is None:
            return None
        return {fate: difference.part(fate) for fate in Fate}

    def rows(self, kind: FindingKind, fate: Fate) -> Iterator[Found]:
        """Give the findings of a kind and a fate, in tree order."""
        difference = self._difference(kind)
        return iter(()) if difference is None else difference.rows(fate)

    def _difference(self, kind: FindingKind) -> Difference | None:
        before, after = self._runs.before, self._runs.after
        follows = False
        if kind == FindingKind.UNLISTED:
            if not all(_is_kept(self._connection, self._site, run) for run in (before, after)):
                return None
        else:
            table = Table(kind.table)
            if table not in before.reported & after.reported:
                return None
            follows = run_before(self._connection, self._site, table, after.id) == before.id
        done = self._done.get(kind, ())
        return Difference(self._connection, kind.table, self._site, before.id, after.id, self._unseen, follows, done)


def settings_between(connection: sqlite3.Connection, before: int, after: int) -> tuple[str, ...] | None:
    """Name the keys of the configuration in which two runs looked elsewhere; None when that is not known of both."""
    first, second = scope_of(connection, before), scope_of(connection, after)
    return None if first is None or second is None else second.differs_in(first)


def _is_kept(connection: sqlite3.Connection, site: int, run: RunRow) -> bool:
    """Tell whether it is kept which directories a run could not list."""
    if not run.counts.unlisted:
        return True
    query = " UNION ALL ".join(
        f"SELECT 1 FROM {table} WHERE site = :site AND run = :run" for table in (UNLISTED, f"{UNLISTED}_history")
    )
    return connection.execute(f"{query} LIMIT 1", {"site": site, "run": run.id}).fetchone() is not None
