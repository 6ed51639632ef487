"""Fields of many lines that were found but not cut out: where each begins and ends among the bytes of a text.

Making an object of each field costs more than all else, so that numbers and times are read where they stand. All
readers give None as soon as anything is out of the ordinary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.columns import Int64s
from storage.inventory.entries import LONGEST_PATH, Bytes, times_of
from storage.inventory.times import WIDTH, moments_of

_SURE_DIGITS = 18
_SLASH, _DOT, _DASH, _UPPER_Z = b"/.-Z"
_YEAR = 4
_LONGEST_TAIL = 11
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
    lengths = span.ends - span.starts
    if not len(lengths) or int(lengths.min()) < 1 or int(lengths.max()) > _SURE_DIGITS:
        return None
    values = np.zeros(len(lengths), dtype=np.int64)
    shortest = int(lengths.min())
    for position in range(int(lengths.max())):
        at = span.ends - (position + 1)
        digits = text[at] - np.uint8(b"0"[0])
        if position >= shortest:
            # Where a number has no digit here, this is what stands before it.
            digits = np.where(at >= span.starts, digits, np.uint8(0))
        if (digits > 9).any():
            return None
        values += digits.astype(np.int64) * 10**position
    return values


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
    return moments_of(text[span.starts[:, None] + np.arange(WIDTH)])


def _are_fractions(text: Bytes, span: Span) -> bool:
    """Tell whether each is nothing, or a dot and digits."""
    there = ~span.is_empty
    starts, ends = span.starts[there], span.ends[there]
    if not len(starts):
        return True
    return bool((text[starts] == _DOT).all()) and integers_in(text, Span(starts + 1, ends)) is not None


def _fractional_in(text: Bytes, span: Span) -> Int64s | None:
    """Read seconds with a fraction, which is dropped; some may have none."""
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
    slashes = slashes[slashes + 2 < len(text)]
    following = text[slashes + 1]
    if (following == _SLASH).any():
        return None
    # Names like ".profile" pass; whatever else begins with a dot is left to a careful reader.
    return last if _IS_WORD[text[slashes[following == _DOT] + 2]].all() else None


def cut_paths(text: Bytes, span: Span, *, relative: bool = False) -> tuple[list[bytes], list[bytes]] | None:
    """Cut directories (the root is empty) and names out; None when a path is not canonical, or not absolute.

    There is no NUL in the text. A ``relative`` path gets a slash at its beginning; two bytes at least are before it.
    """
    marked = text.copy()
    if relative:
        span = Span(span.starts - 1, span.ends)
        marked[span.starts] = _SLASH
    slashes = last_slashes(marked, span)
    if slashes is None:
        return None
    before = span.starts - 1
    together = before[1:] == span.ends[:-1]
    if together.any() != together.all():
        return None
    marked[before[before >= 0]] = 0
    marked[slashes] = 0
    marked[span.ends] = 0
    parts = marked.tobytes().split(b"\0")
    # Behind a name comes what is between two paths, unless only one byte is.
    first, step = int(before[0] >= 0), 2 if together.any() else 3
    count = len(span.starts)
    return parts[first::step][:count], parts[first + 1 :: step][:count]
