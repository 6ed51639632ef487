"""Times of whole columns: moments as ISO 8601 writes them, and seconds with a fraction.

All give None as soon as anything is out of the ordinary; `storage.inventory.entries.read_time` then looks at each.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.columns import Int64s

WIDTH = 19
"""Bytes of a date and a time of day, ``YYYY-MM-DD HH:MM:SS``, without fraction and zone."""

_DIGITS_AT = (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18)
_DASHES_AT, _COLONS_AT, _BETWEEN = (4, 7), (13, 16), 10
_ZERO, _DASH, _COLON, _BLANK, _DOT, _T = b"0-: .T"

_TAIL = re.compile(rb"(?:\.[0-9]{1,9})?(Z|[+-][0-9]{2}:?[0-9]{2})?")
_MOST_TAILS = 1000
"""Different ends of moments that are worth looking at one by one; fractions make more."""

_SECONDS = 10
"""Digits of the seconds since the epoch from 2001 to 2286."""

_POWERS = 10 ** np.arange(_SECONDS - 1, -1, -1, dtype=np.int64)
_BEFORE_MONTH = np.cumsum([0, 0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30], dtype=np.int64)
_MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.int64)

Matrix = npt.NDArray[np.uint8]


def iso_seconds(texts: Sequence[bytes]) -> Int64s | None:
    """Read moments with or without fraction and zone, in UTC where there is none; fractions are dropped."""
    heads = b"".join([text[:WIDTH] for text in texts])
    if not texts or len(heads) != WIDTH * len(texts):
        return None
    seconds = moments_of(np.frombuffer(heads, dtype=np.uint8).reshape(-1, WIDTH))
    if seconds is None:
        return None
    ends = [text[WIDTH:] for text in texts]
    kinds = set(ends)
    if kinds <= {b"", b"Z"}:
        return seconds
    if len(kinds) > _MOST_TAILS:
        # Most differ in the fraction alone; the zone is what stands behind it.
        ends = [end.lstrip(b".0123456789") if end.startswith(b".") else end for end in ends]
        kinds = set(ends)
    offsets = {kind: _offset(kind) for kind in kinds} if len(kinds) <= _MOST_TAILS else {}
    if not offsets or None in offsets.values():
        return None
    return seconds - np.array([offsets[end] for end in ends], dtype=np.int64)


def _offset(tail: bytes) -> int | None:
    """Give the seconds by which a zone is ahead of UTC; None for what is no end of a moment."""
    match = _TAIL.fullmatch(tail)
    if match is None:
        return None
    zone = match[1] or b"Z"
    if zone == b"Z":
        return 0
    digits = zone[1:].replace(b":", b"")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        return None
    return (hours * 3600 + minutes * 60) * (-1 if zone.startswith(b"-") else 1)


def moments_of(texts: Matrix) -> Int64s | None:
    """Read rows of `WIDTH` bytes, in UTC, as seconds since the epoch."""
    if not (
        (texts[:, _DASHES_AT] == _DASH).all()
        and (texts[:, _COLONS_AT] == _COLON).all()
        and ((texts[:, _BETWEEN] == _BLANK) | (texts[:, _BETWEEN] == _T)).all()
    ):
        return None
    digits = texts[:, _DIGITS_AT] - np.uint8(_ZERO)
    if (digits > 9).any():
        return None
    digits = digits.astype(np.int64)
    year = digits[:, 0] * 1000 + digits[:, 1] * 100 + digits[:, 2] * 10 + digits[:, 3]
    month, day, hour, minute, second = (digits[:, at] * 10 + digits[:, at + 1] for at in range(4, 14, 2))
    if not _are_in(((year, 1, 9999), (month, 1, 12), (hour, 0, 23), (minute, 0, 59), (second, 0, 59))):
        return None
    is_leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    if (day < 1).any() or (day > _MONTH_DAYS[month] + (is_leap & (month == 2))).any():
        return None
    before = year - 1
    days = before * 365 + before // 4 - before // 100 + before // 400 - 719_162
    days += _BEFORE_MONTH[month] + (is_leap & (month > 2)) + day - 1
    seconds: Int64s = days * 86400 + hour * 3600 + minute * 60 + second
    return seconds


def _are_in(ranges: Sequence[tuple[Int64s, int, int]]) -> bool:
    return all(least <= int(values.min()) and int(values.max()) <= most for values, least, most in ranges)


def fractional_seconds(texts: Sequence[bytes]) -> Int64s | None:
    """Read seconds since the epoch of ten digits each, with a fraction, which is dropped."""
    together = b" ".join(texts) + b" "
    characters = np.frombuffer(together, dtype=np.uint8)
    ends = np.flatnonzero(characters == _BLANK)
    if not texts or len(ends) != len(texts):
        return None
    starts = np.append(0, ends[:-1] + 1)
    if int((ends - starts).min()) <= _SECONDS or (characters[starts + _SECONDS] != _DOT).any():
        return None
    others = characters - np.uint8(_ZERO) > 9
    # Besides digits there are the blanks, and the one dot of each.
    if np.count_nonzero(others) != 2 * len(texts):
        return None
    digits = characters[starts[:, None] + np.arange(_SECONDS)] - np.uint8(_ZERO)
    seconds: Int64s = digits.astype(np.int64) @ _POWERS
    return seconds
