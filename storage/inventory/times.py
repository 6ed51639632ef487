"""Times of whole columns: moments as ISO 8601 writes them, and seconds with a fraction.

All give None as soon as anything is out of the ordinary; `storage.inventory.entries.read_time` then looks at each.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.columns import Int64s
from storage.inventory.digits import Words, are_digits, pairs_in, word, words_in

WIDTH = 19
"""Bytes of a date and a time of day, ``YYYY-MM-DD HH:MM:SS``, without fraction and zone."""

_DATE_AT, _DAY_AT, _TIME_AT = 0, 8, 11
"""Where ``YYYY-MM-``, ``DD HH:MM`` and ``HH:MM:SS`` begin, a word each."""

_ZERO, _BLANK, _DOT = b"0 ."

_ZEROS = word(b"00000000")
_DASHES, _DASHES_THERE = word(b"\0\0\0\0\xff\0\0\xff"), word(b"\0\0\0\0-\0\0-")
_COLONS, _COLONS_THERE = word(b"\0\0\xff\0\0\xff\0\0"), word(b"\0\0:\0\0:\0\0")
_THIRD, _BLANK_BETWEEN, _T_BETWEEN = (word(b"\0\0" + byte) for byte in (b"\xff", b" ", b"T"))

_TAIL = re.compile(rb"(?:\.[0-9]{1,9})?(Z|[+-][0-9]{2}:?[0-9]{2})?")
_MOST_TAILS = 1000
"""Different ends of moments that are worth looking at one by one; fractions make more."""

_SECONDS = 10
"""Digits of the seconds since the epoch from 2001 to 2286."""

_POWERS = 10 ** np.arange(_SECONDS - 1, -1, -1, dtype=np.int64)
_BEFORE_MONTH = np.cumsum([0, 0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30], dtype=np.int64)
_MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.int64)

_YEARS = np.arange(10_000, dtype=np.int64)
_IS_LEAP = (_YEARS % 4 == 0) & ((_YEARS % 100 != 0) | (_YEARS % 400 == 0))
_BEFORE_YEAR = np.cumsum(365 + np.append(0, _IS_LEAP[:-1])) - 719_893
"""Days from the epoch to the first one of each year."""

Places = npt.NDArray[np.intp]


def iso_seconds(texts: Sequence[bytes]) -> Int64s | None:
    """Read moments with or without fraction and zone, in UTC where there is none; fractions are dropped."""
    heads = b"".join([text[:WIDTH] for text in texts])
    if not texts or len(heads) != WIDTH * len(texts):
        return None
    seconds = moments_in(np.frombuffer(heads, dtype=np.uint8), np.arange(0, len(heads), WIDTH))
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


def moments_in(text: npt.NDArray[np.uint8], starts: Places) -> Int64s | None:
    """Read moments of `WIDTH` bytes in UTC, one at least, that begin at these places, as seconds since the epoch."""
    words = words_in(text)
    dates, days, times = (words[starts + at] for at in (_DATE_AT, _DAY_AT, _TIME_AT))
    between = days & _THIRD
    if not (
        ((dates & _DASHES) == _DASHES_THERE).all()
        and ((times & _COLONS) == _COLONS_THERE).all()
        and ((between == _BLANK_BETWEEN) | (between == _T_BETWEEN)).all()
    ):
        return None
    # With zeros in the place of what separates them, there are digits alone.
    words_of_digits = ((dates, _DASHES), (days, _COLONS), (times, _COLONS))
    if not all(are_digits((found & ~others) | (_ZEROS & others)) for found, others in words_of_digits):
        return None
    dates, days, times = map(pairs_in, (dates, days, times))
    year = _byte(dates, 0) * 100 + _byte(dates, 2)
    month, day, hour, minute, second = (
        _byte(found, at) for found, at in ((dates, 5), (days, 0), (days, 3), (days, 6), (times, 6))
    )
    if not _are_in(((year, 1, 9999), (month, 1, 12), (hour, 0, 23), (minute, 0, 59), (second, 0, 59))):
        return None
    is_leap = _IS_LEAP[year]
    if (day < 1).any() or (day > _MONTH_DAYS[month] + (is_leap & (month == 2))).any():
        return None
    whole = _BEFORE_YEAR[year] + _BEFORE_MONTH[month] + (is_leap & (month > 2)) + day - 1
    seconds: Int64s = whole * 86400 + hour * 3600 + minute * 60 + second
    return seconds


def _byte(words: Words, at: int) -> Int64s:
    return ((words >> np.uint64(8 * at)) & np.uint64(0xFF)).astype(np.int64)


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
