"""What tables say of replicas of Rucio, whatever they are written in: where one is, and whether it has to be there.

A replica that is not available, be it on its way in or out, is in the inventory so that its file is no orphan, but is
not judged: see `UNSETTLED_MTIME`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, UNSETTLED_MTIME, Int64s
from storage.inventory.foreign.entry import Entry, HalfRead, Holds, locate
from storage.inventory.foreign.lfn import LfnToPath
from storage.inventory.table_columns import Columns
from storage.inventory.values import as_bytes, size_of, text_of, time_of

AVAILABLE = b"A"
STATES = frozenset((AVAILABLE, b"U", b"C", b"B", b"D", b"T"))
"""Available; unavailable, copying, being deleted, bad and temporarily unavailable."""

NULLS = frozenset((b"", b"\\N", b"NULL", b"None"))
"""What stands for nothing."""

_MILLISECONDS = 10**11
"""As seconds this is the year 5138, as milliseconds 1973."""


def is_settled(state: bytes) -> bool:
    """Whether a replica in this state has to be there.

    Raises:
        ValueError: nobody knows such a state.
    """
    if state not in STATES:
        raise ValueError(f"a state, one of {', '.join(sorted(known.decode() for known in STATES))}")
    return state == AVAILABLE


def by_states(states: Sequence[bytes], sizes: Int64s | None, mtimes: Int64s | None) -> tuple[Int64s, Int64s] | None:
    """Give sizes and times by which nothing is judged that need not be there; None when a state is not known."""
    if not STATES.issuperset(kinds := set(states)):
        return None
    sizes = np.full(len(states), UNKNOWN_SIZE) if sizes is None else sizes
    mtimes = np.full(len(states), UNKNOWN_MTIME) if mtimes is None else mtimes
    if kinds <= {AVAILABLE}:
        return sizes, mtimes
    settled = np.array([state == AVAILABLE for state in states])
    return np.where(settled, sizes, UNKNOWN_SIZE), np.where(settled, mtimes, UNSETTLED_MTIME)


def columns_held(columns: Columns, checksums: bool) -> Holds:
    """Say which columns the rows of a table have; a state needs sizes and times to be said with."""
    by_state = columns.state is not None
    sizes, times = columns.size is not None or by_state, columns.mtime is not None or by_state
    has_site = columns.site is not None
    return Holds(
        sizes, times or columns.made is not None, checksums, has_site, has_site and columns.site == columns.rse
    )


def read_record(value: Callable[[int | None], Any], columns: Columns, root: bytes | None, made_by: LfnToPath) -> Entry:
    """Read one row of a table; ``value`` gives what stands in a column, None where there is none.

    Raises:
        ValueError: says what was expected; `HalfRead` when the path is known.
    """
    entry = Entry(
        *locate(_path_of(value, columns, made_by), root),
        checksum=text_of(value(columns.checksum)),
        site=text_of(value(columns.site)),
    )
    try:
        settled = columns.state is None or is_settled(text_of(value(columns.state)).strip())
    except ValueError as error:
        raise HalfRead(str(error), entry._replace(mtime=UNSETTLED_MTIME)) from error
    if not settled:
        return entry._replace(mtime=UNSETTLED_MTIME)
    try:
        return entry._replace(size=size_of(_stripped(value(columns.size))), mtime=_time_of(value, columns))
    except (ValueError, OverflowError) as error:
        raise HalfRead(str(error), entry) from error


def _path_of(value: Callable[[int | None], Any], columns: Columns, made_by: LfnToPath) -> bytes:
    if columns.scope is None:
        return as_bytes(value(columns.path))
    path = b"" if columns.path == columns.name else text_of(value(columns.path))
    return made_by(as_bytes(value(columns.scope)), as_bytes(value(columns.name))) if path in NULLS else path


def _time_of(value: Callable[[int | None], Any], columns: Columns) -> int:
    """Read when a replica was last changed, or made where that is not said."""
    mtime = time_of(_stripped(value(columns.mtime)))
    if mtime == UNKNOWN_MTIME:
        mtime = time_of(_stripped(value(columns.made)))
    return mtime // 1000 if columns.scope is not None and mtime >= _MILLISECONDS else mtime


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str | bytes) else value
