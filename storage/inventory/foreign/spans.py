"""Fields of many lines that were found but not cut out: where each begins and ends among the bytes of a text.

Making an object of each field costs more than all else, so that numbers and times are read where they stand. All
readers give None as soon as anything is out of the ordinary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.columns import Int64s
from storage.inventory.digits import WORD, Words, are_digits, last_bytes, numbers_of, words_in
from storage.inventory.entries import LONGEST_PATH, Bytes, times_of
from storage.inventory.times import WIDTH, moments_in

_SURE_DIGITS = 18
_SLASH, _DOT, _DASH, _UPPER_Z = b"/.-Z"
_YEAR = 4
_LONGEST_TAIL = 11
_SECONDS = 10
"""Digits of the seconds since the epoch from 2001 to 2286."""

_IS_WORD = np.zeros(256, dtype=np.bool_)
_IS_WORD[list(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")] = True

Places = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Span:
    """One field of each line: where it begins, and what is behind it."""

    starts: Places
    ends: Places

    @property
    def is_empty(self) -> Flags:
        """Tell for each line whether there is nothing in it."""
        return self.starts >= self.ends


def texts_in(data: bytes, span: Span) -> list[bytes]:
    """Cut a field out."""
    return [data[start:end] for start, end in zip(span.starts.tolist(), span.ends.tolist(), strict=True)]


def integers_in(text: Bytes, span: Span) -> Int64s | None:
    """Read plain digits."""
    words = _words_of(text, span)
    if words is None:
        return None
    values = np.zeros(len(span.starts), dtype=np.int64)
    for place, found in enumerate(words):
        digits = numbers_of(found)
        if digits is None:
            return None
        values += digits * 10 ** (place * WORD)
    return values


def _words_of(text: Bytes, span: Span) -> list[Words] | None:
    """Take fields of up to `_SURE_DIGITS` bytes eight at a time, from right to left; zeros are put before them."""
    lengths = span.ends - span.starts
    if not len(lengths) or int(lengths.min()) < 1 or int(lengths.max()) > _SURE_DIGITS:
        return None
    shortest, count = int(lengths.min()), -(-int(lengths.max()) // WORD)
    ends = span.ends
    if int(ends.min()) < count * WORD:
        # Nothing stands before the text; there may be less of it than words are read.
        text, ends = np.concatenate((np.zeros(count * WORD, dtype=np.uint8), text)), ends + count * WORD
    words = words_in(text)
    found = [words[ends - (place + 1) * WORD] for place in range(count)]
    return [
        each if shortest >= (place + 1) * WORD else last_bytes(each, (lengths - place * WORD).clip(0, WORD))
        for place, each in enumerate(found)
    ]


def times_in(data: bytes, text: Bytes, span: Span) -> Int64s | None:
    """Read seconds since the epoch, perhaps with a fraction, or ISO 8601 moments."""
    lengths = span.ends - span.starts
    if not len(lengths) or int(lengths.min()) < 1:
        return None
    if int(lengths.min()) >= WIDTH and text[span.starts[0] + _YEAR] == _DASH:
        seconds = _moments_in(text, span)
    else:
        seconds = integers_in(text, span)
        if seconds is None:
            seconds = _fractional_in(text, span)
    return times_of(texts_in(data, span)) if seconds is None else seconds


def _moments_in(text: Bytes, span: Span) -> Int64s | None:
    """Read moments in UTC, with or without fraction and ``Z``."""
    rest = span.ends - span.starts - WIDTH
    longest = int(rest.max())
    if longest > _LONGEST_TAIL:
        return None
    if longest:
        last = text[span.ends - 1]
        has_zone = (rest > 0) & (last == _UPPER_Z)
        fraction = Span(span.starts + WIDTH, span.ends - has_zone)
        if not _are_fractions(text, fraction):
            return None
    return moments_in(text, span.starts)


def _are_fractions(text: Bytes, span: Span) -> bool:
    """Tell whether each is nothing, or a dot and digits."""
    there = ~span.is_empty
    if not there.any():
        return True
    starts, ends = (span.starts, span.ends) if there.all() else (span.starts[there], span.ends[there])
    words = _words_of(text, Span(starts + 1, ends)) if (text[starts] == _DOT).all() else None
    return words is not None and all(map(are_digits, words))


def _fractional_in(text: Bytes, span: Span) -> Int64s | None:
    """Read seconds with a fraction, which is dropped; some may have none."""
    points = span.starts + _SECONDS
    if (points >= span.ends).any() or (text[points] != _DOT).any():
        dots = np.append(np.flatnonzero(text == _DOT), len(text))
        points = np.minimum(dots[np.searchsorted(dots, span.starts)], span.ends)
    seconds = integers_in(text, Span(span.starts, points))
    return seconds if seconds is not None and _are_fractions(text, Span(points, span.ends)) else None


def below_root(directories: list[bytes], root: bytes | None) -> list[bytes]:
    """Put the root before directories of relative paths."""
    before = (root or b"").rstrip(b"/")
    return [before + directory for directory in directories] if before else directories


def last_slashes(text: Bytes, span: Span) -> Places | None:
    """Give the last slash of each path; None when one is not absolute and canonical, or has no name at its end."""
    starts, ends = span.starts, span.ends
    if (text[starts] != _SLASH).any() or int((ends - starts).max()) > LONGEST_PATH:
        return None
    slashes = np.flatnonzero(text == _SLASH)
    last = slashes[np.searchsorted(slashes, ends) - 1]
    if (last < starts).any() or (last + 1 >= ends).any():
        return None
    # What stands outside of paths is looked at as well; there it does no harm to be strict.
    slashes = slashes[: np.searchsorted(slashes, len(text) - 2)]
    following = text[1:][slashes]
    if (following == _SLASH).any():
        return None
    # Names like ".profile" pass; whatever else begins with a dot is left to a careful reader.
    return last if _IS_WORD[text[slashes[following == _DOT] + 2]].all() else None


def cut_paths(text: Bytes, span: Span, *, relative: bool = False) -> tuple[list[bytes], list[bytes]] | None:
    """Cut directories (the root is empty) and names out; None when a path is not canonical, or not absolute.

    A ``relative`` path gets a slash at its beginning; a byte at least is before it.
    """
    if relative:
        span = Span(span.starts - 1, span.ends)
        text = text.copy()
        text[span.starts] = _SLASH
    slashes = last_slashes(text, span)
    if slashes is None:
        return None
    data = text.tobytes()
    return texts_in(data, Span(span.starts, slashes)), texts_in(data, Span(slashes + 1, span.ends))
