"""What the tables of the history hold: their names and columns, and the values of a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, TypeVar

from engine.columns import LARGEST_SIZE, FileColumns
from engine.findings import Kind
from engine.gates import Refusal

_Number = TypeVar("_Number", int, float)

FileRow = tuple[bytes, int, int]
"""Path, size in bytes, mtime; `UNKNOWN_SIZE` and `UNKNOWN_MTIME` where not known."""


class Table(StrEnum):
    """The tables of findings, each with a twin ``NAME_history``. The values are part of the history database."""

    MISSING = "invalid"
    ORPHANS = "orphans"
    UNMERGED = "unmerged"
    MISMATCHES = "size_mismatches"
    EMPTY = "empty_directories"
    CHECKSUMS = "checksum_mismatches"


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
    """What a run counted. Each field is a column of the table ``runs``.

    ``seconds`` is how long the run took. ``inventory_files`` are those of the inventory, 0 where nobody noted them.
    ``checksums`` are files whose checksums were compared, ``checksums_unchecked`` those that should have been.
    """

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
    inventory_files: int = 0
    checksum_mismatch: int = 0
    checksums: int = 0
    checksums_unchecked: int = 0


_SAID_BY = {
    Table.MISSING: ("missing", "missing_bytes", "protected"),
    Table.ORPHANS: ("orphan", "orphan_bytes"),
    Table.MISMATCHES: ("size_mismatch",),
    Table.EMPTY: ("empty",),
    Table.CHECKSUMS: ("checksum_mismatch", "checksums", "checksums_unchecked"),
}
"""The counts that mean something only of a run that reported to a table."""


@dataclass(frozen=True, slots=True)
class RunSigns:
    """Whether what a run found is to be relied on.

    ``begun`` is when its inventory was read, in seconds since the epoch, by an earlier run where it goes on with one;
    None: when it started. ``gates`` are those that closed; ``accepted``: one of them was told to let the run through.
    ``reasons`` say in words why files were not judged, with the number of files for each.
    """

    begun: float | None = None
    gates: tuple[Refusal, ...] = ()
    accepted: bool = False
    reasons: tuple[tuple[str, int], ...] = ()


NO_SIGNS = RunSigns()
"""Those of a run of which nothing is known but what it found."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run. ``finished`` is None while it runs and when it died; ``message`` says what stopped it, if anything.

    ``reported`` has the tables for which the run said what belongs in them, be it nothing.
    """

    id: int
    site: str
    started: float
    finished: float | None
    status: RunStatus
    message: str
    runtime: str
    counts: RunCounts
    reported: frozenset[Table] = frozenset()
    signs: RunSigns = NO_SIGNS

    @property
    def cleaned(self) -> bool:
        """Whether it looked through the unmerged area and nothing else: its counts are of that area."""
        return self.reported == {Table.UNMERGED}

    @property
    def unknown(self) -> frozenset[str]:
        """The counts of what the run did not look for, or not to the end: their 0 does not say that there was none."""
        return frozenset(name for table, names in _SAID_BY.items() if table not in self.reported for name in names)


COUNTS = tuple(column.name for column in fields(RunCounts))
"""The columns of ``runs`` that are fields of `RunCounts`, in that order."""

TABLE_OF = {Kind.MISSING: Table.MISSING, Kind.ORPHAN: Table.ORPHANS, Kind.SIZE_MISMATCH: Table.MISMATCHES}
"""Where the files of a finding go."""

NOT_OF_EACH_RUN = frozenset((Table.UNMERGED, Table.CHECKSUMS))
"""The tables of what only some runs look for; where one does not, the rows of an earlier one stay."""

COUNTED = frozenset((Table.MISSING, Table.ORPHANS))
"""The tables that know in how many consecutive runs a file was found."""


@dataclass(frozen=True, slots=True)
class Known:
    """Which missing files or orphans are meant: found in at least ``least`` consecutive runs, the first time at the
    latest at ``before``, in seconds since the epoch; None: whenever.
    """

    least: int = 1
    before: float | None = None

    @property
    def condition(self) -> str:
        """The condition as SQL that follows another one; its values are `values`."""
        # What was found before there was a column for it is known since its row was entered.
        since = "" if self.before is None else " AND coalesce(since, entered) <= :before"
        return (" AND seen >= :least" if self.least > 1 else "") + since

    @property
    def values(self) -> dict[str, Any]:
        """The values in the condition."""
        return {"least": self.least, "before": self.before}


ANY = Known()
"""All of them."""

_FILE_COLUMNS = "site, run, directory, name, size, mtime, entered"

COLUMNS = {
    Table.MISSING: f"{_FILE_COLUMNS}, seen, since",
    Table.ORPHANS: f"{_FILE_COLUMNS}, seen, since",
    Table.UNMERGED: _FILE_COLUMNS,
    Table.MISMATCHES: f"{_FILE_COLUMNS}, remote_size",
    Table.EMPTY: "site, run, name, mtime, entered",
    Table.CHECKSUMS: f"{_FILE_COLUMNS}, expected, found",
}
"""The columns that a table and its twin share."""


def as_held(count: _Number) -> _Number:
    """Give a count as SQLite can hold it: sizes that are each possible can add up to more."""
    return min(count, LARGEST_SIZE)


def stored(name: bytes) -> str | bytes:
    """Give a name as it is stored: TEXT when valid UTF-8, else BLOB. ``CAST(… AS BLOB)`` reads both back."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name


def stored_names(columns: FileColumns) -> Sequence[str | bytes]:
    """Give the names of files as they are stored."""
    try:
        return columns.names.decode().split("\0")
    except UnicodeDecodeError:
        return [stored(name) for name in columns.name_list()]


def text(message: str) -> str:
    """Make words fit for a TEXT column; a lone surrogate is not."""
    return message.encode("utf-8", "backslashreplace").decode()


def packed_gates(gates: Iterable[Refusal]) -> str:
    """Give gates as they are stored: pairs of name and figures, in JSON."""
    return json.dumps([(gate.gate, gate.message) for gate in gates])


def packed_reasons(reasons: Iterable[tuple[str, int]]) -> str:
    """Give reasons as they are stored: an object of words and numbers, in JSON."""
    return json.dumps(dict(reasons))


def unpacked_reasons(stored_reasons: str) -> tuple[tuple[str, int], ...]:
    """Read what `packed_reasons` wrote."""
    return tuple(json.loads(stored_reasons).items())


def unpacked_gates(stored_gates: str) -> tuple[Refusal, ...]:
    """Read what `packed_gates` wrote."""
    return tuple(Refusal(gate, message) for gate, message in json.loads(stored_gates))
