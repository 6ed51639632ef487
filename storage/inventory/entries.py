"""The parts of an entry: its path, its size, its time.

Each part has a quick reader for a whole column, which gives None as soon as anything in it is out of the ordinary, and
a careful one for a single text, which raises ``ValueError`` with the words for what was expected.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import compress, pairwise

import numpy as np
import numpy.typing as npt

from engine import paths
from engine.columns import Int64s
from storage.inventory.times import fractional_seconds, iso_seconds

_NEWLINE, _BLANK, _TAB, _DOT, _SLASH, _ZERO = b"\n \t./0"
_SURE_DIGITS = 18
_MOST_DIGITS = 100
_LIMIT = 1 << 63

LONGEST_PATH = 1 << 14
"""Bytes of a path, four times what Linux takes. Its directories are held one by one, each with its whole path, so that
one line of half a million slashes would take hours and all memory."""

_URL = re.compile(rb"x?roots?://[^/]+(/[^?]*)", re.DOTALL)
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://")
_DIGITS = re.compile(rb"[0-9]+")
_SECONDS = re.compile(rb"-?[0-9]+(?:\.[0-9]*)?")
_FRACTIONS = re.compile(rb"(?<=[0-9])\.[0-9]*(?= |\Z)")

_EPOCH, _SECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(seconds=1)

Bytes = npt.NDArray[np.uint8]


class NamesDirectory(ValueError):
    """A path ends with a slash, or is ``.``, as that of a directory may, and that of a file does not."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Entries as columns of equal length, in the order of the file.

    ``directories`` are canonical, but the root is empty; ``sizes`` are in bytes and ``mtimes`` in seconds since the
    epoch, both None when the format has none; so are the other columns, which are texts. ``checksums`` are as they
    stand in the file; `storage.inventory.foreign.checksums` reads them.
    """

    directories: list[bytes]
    names: list[bytes]
    sizes: Int64s | None = None
    mtimes: Int64s | None = None
    blocks: list[bytes] | None = None
    datasets: list[bytes] | None = None
    groups: list[bytes] | None = None
    sites: list[bytes] | None = None
    protected: list[bytes] | None = None
    checksums: list[bytes] | None = None

    def select(self, mask: Sequence[bool]) -> Rows:
        """Keep the rows whose place in ``mask`` is true."""

        def texts(column: list[bytes] | None) -> list[bytes] | None:
            return None if column is None else list(compress(column, mask))

        def numbers(column: Int64s | None) -> Int64s | None:
            return None if column is None else column[np.asarray(mask, dtype=np.bool_)]

        return Rows(
            list(compress(self.directories, mask)),
            list(compress(self.names, mask)),
            numbers(self.sizes),
            numbers(self.mtimes),
            texts(self.blocks),
            texts(self.datasets),
            texts(self.groups),
            texts(self.sites),
            texts(self.protected),
            texts(self.checksums),
        )


def read_path(text: bytes, root: bytes | None) -> tuple[bytes, bytes]:
    """Give the directory (the root as empty) and the name; a relative path is joined to ``root``."""
    if text.startswith(b"/"):
        path = text
    elif _SCHEME.match(text):
        match = _URL.fullmatch(text)
        if match is None:
            raise ValueError("an absolute path or a root://host//path URL without parameters")
        path = match.group(1)
    elif root is None or not text:
        raise ValueError("an absolute path")
    else:
        path = paths.join(root, text.removeprefix(b"./"))
    if len(path) > LONGEST_PATH:
        raise ValueError(f"a path of at most {LONGEST_PATH:,} bytes")
    if path.endswith(b"/") or text == b".":
        raise NamesDirectory("the path of a file, not of a directory")
    try:
        directory, _, name = paths.canonical(path).rpartition(b"/")
    except ValueError as error:
        raise ValueError('a path without "." and ".." components') from error
    return directory, name


def read_size(text: bytes) -> int:
    """Give a size in bytes."""
    if not _DIGITS.fullmatch(text) or len(text) > _MOST_DIGITS or int(text) >= _LIMIT:
        raise ValueError("a size in bytes")
    return int(text)


def read_time(text: bytes) -> int:
    """Give seconds since the epoch, rounded down, of such a number or of an ISO 8601 time (UTC if it has no zone)."""
    try:
        if _SECONDS.fullmatch(text):
            seconds = math.floor(Decimal(text.decode("ascii")))
        else:
            moment = datetime.fromisoformat(text.decode("ascii"))
            # A float has not enough digits for fractions of a far time.
            seconds = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _SECOND
    except ValueError as error:
        raise ValueError("seconds since the epoch or an ISO 8601 time") from error
    if not -_LIMIT < seconds < _LIMIT:
        raise ValueError("seconds since the epoch within 64 bits")
    return seconds


def sizes_of(texts: list[bytes]) -> Int64s | None:
    """Read plain digits."""
    together = b" ".join(texts)
    characters = np.frombuffer(together, dtype=np.uint8)
    blanks = np.flatnonzero(characters == _BLANK)
    if len(blanks) != len(texts) - 1 or np.count_nonzero(characters - _ZERO < 10) != len(characters) - len(blanks):
        return None
    lengths = np.diff(blanks, prepend=-1, append=len(characters)) - 1
    if lengths.min() < 1 or lengths.max() > _SURE_DIGITS:
        return None
    return np.fromstring(together, dtype=np.int64, sep=" ")


def times_of(texts: list[bytes]) -> Int64s | None:
    """Read seconds since the epoch or ISO 8601 times."""
    plain = sizes_of(texts)
    if plain is None:
        plain = fractional_seconds(texts)
    if plain is None:
        plain = iso_seconds(texts)
    if plain is None:
        plain = sizes_of(_FRACTIONS.sub(b"", b" ".join(texts)).split(b" "))
    if plain is None:
        try:
            plain = np.array([read_time(text) for text in texts], dtype=np.int64)
        except ValueError:
            return None
    return plain if len(plain) == len(texts) else None


def split_lines(data: bytes, numbers: int = 0) -> list[list[bytes]] | None:
    """Cut lines of an absolute path and ``numbers`` fields behind it into columns: directory, name, fields.

    Each line ends with a newline and there is no NUL. Only the structure is looked at, with a few passes over all bytes
    instead of some for each line: None when a path is not canonical, a line is very long, or the fields are not
    separated by one blank or tab. The fields can still be anything without blanks.
    """
    text = np.frombuffer(data, dtype=np.uint8)
    if not len(text):
        return None
    slashes = np.flatnonzero(text == _SLASH)
    if numbers:
        blanks, ends_at = _blanks(text)
        ends = blanks[ends_at]
    else:
        ends = np.flatnonzero(text == _NEWLINE)
    if np.diff(ends, prepend=-1).max() > LONGEST_PATH or not _canonical_lines(text, slashes, ends):
        return None
    last_slashes = slashes[np.searchsorted(slashes, ends) - 1]
    marked = text.copy()
    marked[ends] = 0
    marked[last_slashes] = 0
    if numbers:
        if (ends_at < numbers).any():
            return None
        # With fewer blanks than fields this reaches into another line, and is no longer behind the slash.
        fields = [blanks[ends_at - back] for back in range(numbers, -1, -1)]
        if (fields[0] <= last_slashes + 1).any():
            return None
        if any((after <= before + 1).any() for before, after in pairwise(fields)):
            return None
        before_fields = text[fields[0] - 1]
        if ((before_fields == _BLANK) | (before_fields == _TAB)).any():
            return None
        for field in fields[:-1]:
            marked[field] = 0
    elif (ends <= last_slashes + 1).any():
        return None
    parts = marked.tobytes().split(b"\0")
    return [parts[column : -1 : numbers + 2] for column in range(numbers + 2)]


def _blanks(text: Bytes) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Give the positions of blanks, tabs and newlines, and where among them the newlines are."""
    found = np.flatnonzero(text <= _BLANK)
    kinds = text[found]
    known = (kinds == _BLANK) | (kinds == _NEWLINE) | (kinds == _TAB)
    if not known.all():
        found, kinds = found[known], kinds[known]
    return found, np.flatnonzero(kinds == _NEWLINE)


def _canonical_lines(text: Bytes, slashes: npt.NDArray[np.intp], ends: npt.NDArray[np.intp]) -> bool:
    """Tell whether every line starts with a slash and no slash is followed by another or by a suspicious dot."""
    if text[0] != _SLASH or (text[ends[:-1] + 1] != _SLASH).any():
        return False
    following = text[slashes + 1]
    if (following == _SLASH).any():
        return False
    dots = slashes[following == _DOT]
    # Names like ".profile" pass; "..profile" is left to the careful reader.
    second = text[dots + 2]
    return not ((second == _SLASH) | (second == _DOT) | (second <= _BLANK)).any()
