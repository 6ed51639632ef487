"""Rows of a database as entries: values of Python in the place of texts.

A driver may give text as ``str`` or ``bytes``, sizes as any kind of number, and times as numbers, texts or moments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, Int64s
from storage.inventory.entries import Rows, read_path, read_size, read_time, split_lines
from storage.inventory.errors import malformed_row
from storage.inventory.table_columns import Columns

_LIMIT = 1 << 63


def rows_of(
    records: Sequence[Sequence[Any]], columns: Columns, root: bytes | None, source: str, first_row: int = 1
) -> Rows:
    """Turn records into rows; the first of them is row ``first_row`` in messages.

    Raises:
        InventoryMalformed: a value is not what its column holds.
    """
    return rows_of_columns(list(zip(*records, strict=True)), columns, root, source, first_row)


def rows_of_columns(
    values: Sequence[Sequence[Any]], columns: Columns, root: bytes | None, source: str, first_row: int = 1
) -> Rows:
    """Do the same for columns of equal length.

    Raises:
        InventoryMalformed: a value is not what its column holds.
    """

    def column(at: int | None, read: Callable[[Any], Any]) -> list[Any] | None:
        return (
            None if at is None else [_checked(value, read, source, first_row + n) for n, value in enumerate(values[at])]
        )

    def numbers(at: int | None, read: Callable[[Any], int], least: int) -> Int64s | None:
        quick = None if at is None else _plain_integers(values[at], least)
        careful = column(at, read) if quick is None else None
        return quick if careful is None else np.array(careful, dtype=np.int64)

    located = _locate(values[columns.path])
    if located is None:
        pairs = column(columns.path, lambda value: read_path(as_bytes(value), root)) or []
        located = [[directory for directory, _ in pairs], [name for _, name in pairs]]

    def texts_of(at: int | None) -> list[bytes] | None:
        quick = None if at is None else _plain_texts(values[at])
        return column(at, text_of) if quick is None else quick

    texts = (columns.block, columns.dataset, columns.group, columns.site, columns.protected, columns.checksum)
    return Rows(
        located[0],
        located[1],
        numbers(columns.size, size_of, 0),
        numbers(columns.mtime, time_of, 1 - _LIMIT),
        *map(texts_of, texts),
    )


def as_bytes(value: Any) -> bytes:
    """Give the bytes of a name."""
    if isinstance(value, str):
        return paths.encode(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise ValueError("a path")


def size_of(value: Any) -> int:
    """Give a size in bytes; NULL is not known."""
    if value is None or value in ("", b""):
        return UNKNOWN_SIZE
    if isinstance(value, str | bytes):
        return read_size(as_bytes(value).strip())
    number = _number(value, "a size in bytes")
    if number != value or not 0 <= number < _LIMIT:
        raise ValueError("a size in bytes")
    return number


def time_of(value: Any) -> int:
    """Give seconds since the epoch, rounded down; NULL is not known. A moment without a zone is in UTC."""
    if value is None or value in ("", b""):
        return UNKNOWN_MTIME
    if isinstance(value, str | bytes):
        return read_time(as_bytes(value).strip())
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, datetime):
        value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    number = _number(value, "seconds since the epoch or a time")
    if not -_LIMIT < number < _LIMIT:
        raise ValueError("seconds since the epoch within 64 bits")
    return number


def text_of(value: Any) -> bytes:
    """Give a text; NULL is empty."""
    if value is None:
        return b""
    text = as_bytes(value) if isinstance(value, str | bytes | bytearray | memoryview) else str(value).encode()
    if b"\0" in text:
        raise ValueError("text without NUL bytes")
    return text


def _number(value: Any, expected: str) -> int:
    if not isinstance(value, int | float | Decimal):
        raise ValueError(expected)
    try:
        return math.floor(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(expected) from error


def _checked(value: Any, read: Callable[[Any], Any], source: str, row: int) -> Any:
    try:
        return read(value)
    except ValueError as error:
        # What cannot be encoded is not a path that anybody could have stored.
        expected = "text that can be encoded" if isinstance(error, UnicodeError) else str(error)
        raise malformed_row(source, row, expected, repr(value) if isinstance(error, UnicodeError) else value) from error


def _plain_integers(values: Sequence[Any], least: int) -> Int64s | None:
    if set(map(type, values)) != {int}:
        return None
    try:
        found = np.array(values, dtype=np.int64)
    except OverflowError:
        return None
    return found if int(found.min()) >= least else None


def _plain_texts(values: Sequence[Any]) -> list[bytes] | None:
    kinds = set(map(type, values))
    if kinds == {str}:
        try:
            together = "\0".join(values).encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return None
    elif kinds == {bytes}:
        together = b"\0".join(values)
    else:
        return None
    texts = together.split(b"\0")
    return texts if len(texts) == len(values) else None


def _locate(values: Sequence[Any]) -> list[list[bytes]] | None:
    """Split plain paths with a few passes over all of them; None when one is out of the ordinary."""
    try:
        data = b"\n".join(values)
    except TypeError:
        try:
            data = "\n".join(values).encode("utf-8", "surrogateescape")
        except (TypeError, UnicodeEncodeError):
            return None
    if b"\0" in data or data.count(b"\n") != len(values) - 1:
        return None
    return split_lines(data + b"\n")
