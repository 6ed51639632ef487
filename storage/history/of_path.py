"""What the history knows of one path: each run that has found something there, and what is below a directory."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from engine import paths
from engine.states import Reason
from storage.history.tables import COUNTED, Table, as_held, stored
from storage.history.two_runs import FindingKind


@dataclass(frozen=True, slots=True)
class PastFinding:
    """A finding of a run: what kind, in which run, when it was entered; sizes in bytes, None where not known.

    ``current``: nobody has acted on it, and no later run has looked for its kind. ``seen`` counts the runs that had
    found it one after the other, ``since`` is when the first of these was entered; 0 and None where nobody counts.
    ``acted`` is when somebody acted on it. ``detail`` has the words of an unlisted directory, or both checksums.
    """

    kind: FindingKind
    run: int
    entered: float
    size: int | None = None
    remote_size: int | None = None
    current: bool = False
    seen: int = 0
    since: float | None = None
    acted: float | None = None
    detail: str = ""


def is_deletable(connection: sqlite3.Connection, site: str, path: bytes) -> bool:
    """Tell whether the last cleaning of the unmerged area found that a file, or a whole directory, may be deleted."""
    query = (
        f"SELECT 1 FROM {Table.UNMERGED} WHERE site = (SELECT id FROM sites WHERE name = ?) "
        "AND directory = (SELECT id FROM directories WHERE name = ?) AND name = ?"
    )
    above: bytes | None = path
    while above is not None and above != b"/":
        row = (site, stored(paths.parent_of(above) or b""), stored(paths.name_of(above)))
        if connection.execute(query, row).fetchone() is not None:
            return True
        above = paths.parent_of(above)
    return False


@dataclass(frozen=True, slots=True)
class CountBelow:
    """How many findings of the last run of a kind lie in and below a directory, and their known bytes."""

    kind: FindingKind
    count: int
    size: int


def findings_of(connection: sqlite3.Connection, site: str, path: bytes) -> list[PastFinding]:
    """Give every finding of a path that is kept, the newest run first."""
    row = connection.execute("SELECT id FROM sites WHERE name = ?", (site,)).fetchone()
    if row is None:
        return []
    found = [finding for kind in FindingKind for finding in _of_kind(connection, row[0], kind, path)]
    return sorted(found, key=lambda finding: (-finding.run, list(FindingKind).index(finding.kind)))


def _of_kind(connection: sqlite3.Connection, site: int, kind: FindingKind, path: bytes) -> Iterator[PastFinding]:
    key, values = _key(kind, path)
    values["site"] = site
    current = _rows(connection, kind, kind.table, f"site = :site AND {key}", values, "NULL")
    # What is known of a run lies together there, so that each is looked up by its number.
    of_runs = f"site = :site AND run IN (SELECT id FROM runs WHERE site = :site) AND {key}"
    acted = "NULL" if kind == FindingKind.UNLISTED else "acted"
    earlier = _rows(connection, kind, f"{kind.table}_history", of_runs, values, acted)
    for run, finding in current.items():
        # What was acted on and reported once more stands in both.
        yield replace(finding, current=True, acted=earlier[run].acted if run in earlier else None)
    yield from (finding for run, finding in earlier.items() if run not in current)


def _key(kind: FindingKind, path: bytes) -> tuple[str, dict[str, Any]]:
    """Give the condition for the rows of a path, and its values."""
    if kind == FindingKind.EMPTY:
        return "name = :name", {"name": stored(path)}
    if kind == FindingKind.UNLISTED:
        return "directory = (SELECT id FROM directories WHERE name = :name)", {"name": stored(path)}
    of_file = "directory = (SELECT id FROM directories WHERE name = :directory) AND name = :name"
    return of_file, {"directory": stored(paths.parent_of(path) or b""), "name": stored(paths.name_of(path))}


def _rows(
    connection: sqlite3.Connection, kind: FindingKind, table: str, where: str, values: dict[str, Any], acted: str
) -> dict[int, PastFinding]:
    """Give the findings of a path in one table, by run."""
    size = "size" if kind.has_size else "NULL"
    remote = "remote_size" if kind == FindingKind.SIZE_MISMATCH else "NULL"
    counted = "seen, coalesce(since, entered)" if kind.table in COUNTED else "0, NULL"
    unlisted = kind == FindingKind.UNLISTED
    entered, words = ("NULL", "reason, detail") if unlisted else ("entered", "0, ''")
    if kind == FindingKind.CHECKSUM_MISMATCH:
        words = "0, found || ' at the store, ' || expected || ' in the inventory'"
    rows = connection.execute(
        f"SELECT run, {size}, {remote}, {entered}, {counted}, {acted}, {words} FROM {table} WHERE {where}", values
    )
    found = {}
    for run, of_file, at_store, when, seen, since, acted_at, reason, detail in rows.fetchall():
        said = Reason(reason).label + (f" ({detail})" if detail else "") if unlisted else detail
        when = _ended(connection, run) if when is None else when
        found[run] = PastFinding(kind, run, when, of_file, at_store, False, seen, since, acted_at, said)
    return found


def _ended(connection: sqlite3.Connection, run: int) -> float:
    (ended,) = connection.execute("SELECT coalesce(finished, started) FROM runs WHERE id = ?", (run,)).fetchone()
    return float(ended)


def counts_below(connection: sqlite3.Connection, site: str, directory: bytes) -> list[CountBelow]:
    """Count the findings of the last run of each kind in and below a directory, the directory itself included."""
    row = connection.execute("SELECT id FROM sites WHERE name = ?", (site,)).fetchone()
    if row is None:
        return []
    return [_count(connection, row[0], kind, directory) for kind in FindingKind]


def _count(connection: sqlite3.Connection, site: int, kind: FindingKind, directory: bytes) -> CountBelow:
    values: dict[str, Any] = {"site": site}
    conditions = []
    # TEXT is never within a range of BLOB, nor the other way round.
    forms: tuple[Callable[[bytes], str | bytes | None], ...] = (_as_text, bytes)
    for number, form in enumerate(forms):
        bounds = form(directory), form(directory.rstrip(b"/") + b"/"), form(directory.rstrip(b"/") + b"0")
        if None not in bounds:
            values |= {f"{name}{number}": bound for name, bound in zip("abc", bounds, strict=True)}
            conditions.append(f"n.name = :a{number} OR (n.name > :b{number} AND n.name < :c{number})")
    below = " OR ".join(conditions)
    size = "sum(size >> 31), sum(size & 2147483647)" if kind.has_size else "0, 0"
    if kind == FindingKind.EMPTY:
        query = f"SELECT count(*), {size} FROM {kind.table} n WHERE site = :site AND ({below})"
    else:
        query = (
            f"SELECT count(*), {size} FROM {kind.table} WHERE site = :site AND directory IN "
            f"(SELECT id FROM directories n WHERE {below})"
        )
    count, high, low = connection.execute(query, values).fetchone()
    return CountBelow(kind, count, as_held(((high or 0) << 31) + (low or 0)))


def _as_text(path: bytes) -> str | None:
    try:
        return path.decode()
    except UnicodeDecodeError:
        return None
