"""Records of flat Avro schemas as columns, many blocks at once, instead of an object for each of them.

Where a record begins is known only when the one before was read. So all places are tried at which a path could begin,
all at once, and what follows each of them is passed over as the schema says, up to the path of the next record. From
the first record on, whose place is known, these lead from one to the next. If they do up to the end, through the
beginning of every block and with as many records in each as it says, no other reading is possible; if not, or if
anything is out of the ordinary, nothing is said, and whoever asked reads the records one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, Int64s
from storage.inventory.digits import WORD, Words, word, words_in
from storage.inventory.entries import Bytes, Rows, split_lines
from storage.inventory.foreign.spans import Flags, Places, Span, texts_in
from storage.inventory.table_columns import Columns

_CONTINUES = word(b"\x80" * WORD)
_SEVENS = word(b"\x7f" * WORD)
_ONE, _TWO, _FOUR = np.uint64(1), np.uint64(2), np.uint64(4)
_BYTES, _SHORTS, _LONGS = (np.uint64(bits) for bits in (0x007F007F007F007F, 0x00003FFF00003FFF, 0x000000000FFFFFFF))
_FIRST = np.array([(1 << 8 * count) - 1 for count in range(WORD + 1)], dtype=np.uint64)
"""The first bytes of a word, none to all."""

_FIXED = {"boolean": 1, "float": 4, "double": 8}
_TEXTS = ("string", "bytes")
_UNITS = {"timestamp-millis": 10**3, "timestamp-micros": 10**6}
_LAST_MOMENT = 253_402_300_800
"""Seconds since the epoch, at which the year 10000 begins."""


@dataclass(frozen=True, slots=True)
class Field:
    """How the values of a field are written.

    ``kind`` is a primitive type, with ``width`` bytes where it always has as many. ``null`` and ``value`` are the bytes
    before a value that say which of both it is, where it may be null. ``unit`` are the parts of a second of a time.
    """

    kind: str
    width: int = 0
    null: int | None = None
    value: int = 0
    unit: int = 0

    @classmethod
    def of(cls, declared: Any) -> Field | None:
        """Read a type of a schema; None when it is none of these."""
        if isinstance(declared, list):
            inner = [kind for kind in declared if kind != "null"]
            found = cls.of(inner[0]) if len(declared) == 2 and len(inner) == 1 else None
            if found is None or found.null is not None:
                return None
            # The place in the union, as a number that may be negative.
            null, value = (0, 2) if declared[0] == "null" else (2, 0)
            return cls(found.kind, found.width, null, value, found.unit)
        attributes: Mapping[str, Any] = declared if isinstance(declared, dict) else {"type": declared}
        kind, logical = attributes.get("type"), attributes.get("logicalType")
        if logical is not None:
            return cls("long", unit=_UNITS[logical]) if kind == "long" and logical in _UNITS else None
        if kind == "fixed":
            return cls("fixed", int(attributes["size"]))
        if kind in _FIXED:
            return cls(kind, _FIXED[kind])
        return cls("long" if kind == "int" else kind) if kind in ("int", "long", *_TEXTS) else None


@dataclass(frozen=True, slots=True)
class Column:
    """One field of all records: where its values are, empty where they ``are_null``."""

    field: Field
    span: Span
    are_null: Flags | None

    def integers(self, words: Words, unknown: int, least: int) -> Int64s | None:
        """Read numbers, or times in whole seconds; None when it is neither, or one is less than it may be.

        A time that Python has no moment for is none.
        """
        if self.field.kind != "long":
            return None
        values = _values(words[self.span.starts], self.span.ends - self.span.starts)
        if self.field.unit:
            values //= self.field.unit
        if int(values.min()) < (0 if self.field.unit else least) or (
            self.field.unit and int(values.max()) >= _LAST_MOMENT
        ):
            return None
        return values if self.are_null is None else np.where(self.are_null, unknown, values)

    def texts(self, data: bytes) -> list[bytes] | None:
        """Cut texts out, empty ones where there are none; None when one is not in UTF-8 as it should be, or has NUL."""
        if self.field.kind not in _TEXTS:
            return None
        texts = texts_in(data, self.span)
        return None if b"\0" in b"".join(texts) or not self._are_decoded(texts) else texts

    def fits(self, data: bytes, words: Words) -> bool:
        """Tell whether all values are what they should be, where nobody asks for them."""
        if self.field.kind in _TEXTS:
            return self._are_decoded(texts_in(data, self.span))
        return not self.field.unit or self.integers(words, 0, 0) is not None

    def _are_decoded(self, texts: list[bytes]) -> bool:
        if self.field.kind != "string" or b"".join(texts).isascii():
            return True
        try:
            return bool(b" ".join(texts).decode())
        except UnicodeDecodeError:
            return False


@dataclass(frozen=True, slots=True)
class Records:
    """The columns of some blocks, by the place of their fields."""

    data: bytes
    words: Words
    columns: tuple[Column, ...]

    def integers(self, at: int, unknown: int, least: int = 1 - (1 << 63)) -> Int64s | None:
        """Read a field of numbers or times."""
        return self.columns[at].integers(self.words, unknown, least)

    def sizes(self, at: int) -> Int64s | None:
        """Read a field of sizes."""
        return None if self.columns[at].field.unit else self.integers(at, UNKNOWN_SIZE, 0)

    def texts(self, at: int) -> list[bytes] | None:
        """Read a field of texts."""
        return self.columns[at].texts(self.data)

    def others_fit(self, used: Collection[int | None]) -> bool:
        """Tell whether the fields that nobody asks for are what they should be."""
        return all(column.fits(self.data, self.words) for at, column in enumerate(self.columns) if at not in used)


class FlatSchema:
    """Fields without others in them, of which the one at ``path`` is a text that is in every record."""

    def __init__(self, fields: Sequence[Field], path: int) -> None:
        self._fields = tuple(fields)
        self._path = path

    @classmethod
    def of(cls, schema: Any, path: int) -> FlatSchema | None:
        """Take a schema; None when it has something else in it."""
        if not isinstance(schema, dict) or schema.get("type") != "record":
            return None
        fields = [field for declared in schema["fields"] if (field := Field.of(declared["type"])) is not None]
        whole = len(fields) == len(schema["fields"])
        return cls(fields, path) if whole and fields[path].kind in _TEXTS else None

    def read(self, blocks: Sequence[bytes], counts: Sequence[int]) -> Records | None:
        """Read blocks of so many records each, or give None."""
        if min(counts) < 0:
            return None
        data = b"".join((*blocks, bytes(2 * WORD)))
        walk = _Walk(data)
        starts = self._starts(walk)
        if starts is None or len(starts) != sum(counts):
            return None
        bounds = np.append(starts, walk.length)
        begins = np.cumsum([0, *map(len, blocks[:-1])])
        if (bounds[np.cumsum([0, *counts[:-1]])] != begins).any():
            return None
        ends, fit, columns = walk.over(self._fields, starts)
        return Records(data, walk.words, columns) if fit.all() and (ends == bounds[1:]).all() else None

    def _starts(self, walk: _Walk) -> Places | None:
        """Find where each record begins."""
        _, first, length, fits = walk.path_behind(self._fields[: self._path + 1], np.zeros(1, dtype=np.intp))
        if not fits.all():
            return None
        # Most paths are so long that their length takes two bytes, which hardly anything else looks like.
        for short in (False, True):
            places, lengths = walk.paths_like(int(first[0]), short)
            found = self._chain(walk, places, lengths, int(first[0]), int(length[0]))
            if found is not None:
                return found
        return None

    def _chain(self, walk: _Walk, places: Places, lengths: Places, first: int, length: int) -> Places | None:
        """Go from path to path, among places where one could be."""
        at = int(np.searchsorted(places, first))
        if at == len(places) or places[at] != first or lengths[at] != length:
            return None
        ends, fit, _ = walk.over(self._fields[self._path + 1 :], np.minimum(places + lengths, walk.length))
        fit &= places + lengths <= walk.length
        is_last = fit & (ends == walk.length)
        _, following, next_lengths, more = walk.path_behind(self._fields[: self._path + 1], ends)
        fit &= more
        nearest = np.minimum(np.searchsorted(places, following), len(places) - 1)
        fit &= (places[nearest] == following) & (lengths[nearest] == next_lengths)
        if at == 0 and is_last[-1] and fit[:-1].all() and (nearest[:-1] == np.arange(1, len(places))).all():
            return np.append(0, ends[:-1])
        chain: list[int] = []
        to = np.where(is_last, len(places), np.where(fit, nearest, -1)).tolist()
        while 0 <= at < len(places):
            chain.append(at)
            at = to[at]
        return None if at < 0 else np.append(0, ends[chain[:-1]])


class _Walk:
    """Passes over fields in many places of some bytes at once; there are some more behind their end."""

    def __init__(self, data: bytes) -> None:
        self.text: Bytes = np.frombuffer(data, dtype=np.uint8)
        self.words = words_in(self.text)
        self.length = len(data) - 2 * WORD

    def paths_like(self, first: int, short: bool) -> tuple[Places, Places]:
        """Give where paths could be that begin like the one that is at ``first``, and their lengths.

        With ``short`` also those whose length may be in one byte.
        """
        places = np.flatnonzero(self.text[: self.length] == self.text[first])
        places = places[np.searchsorted(places, first) :]
        last, before = self.text[places - 1], self.text[places - 2]
        is_long = before > 0x7F
        could_be = (last < 0x80) & ((np.where(is_long, before, last) & 1) == 0) & (short | is_long)
        places, last, before, is_long = places[could_be], last[could_be], before[could_be], is_long[could_be]
        doubled = np.where(is_long, (before & 0x7F) + last.astype(np.intp) * 128, last)
        return places, doubled >> 1

    def path_behind(self, fields: Sequence[Field], at: Places) -> tuple[Places, Places, Places, Flags]:
        """Pass over fields of which the last is a path; give where that begins and its length, and whether all fits."""
        ends, fit, columns = self.over(fields, at)
        span, are_null = columns[-1].span, columns[-1].are_null
        return ends, span.starts, span.ends - span.starts, fit if are_null is None else fit & ~are_null

    def over(self, fields: Sequence[Field], at: Places) -> tuple[Places, Flags, tuple[Column, ...]]:
        """Pass over fields; gives what is behind them, whether they are as they should be, and where they are.

        What does not fit ends somewhere within the bytes.
        """
        fit = np.ones(len(at), dtype=np.bool_)
        columns: list[Column] = []
        for field in fields:
            are_null: Flags | None = None
            if field.null is not None:
                mark = self.text[at]
                are_null = mark == field.null
                fit &= are_null | (mark == field.value)
                at = np.minimum(at + 1, self.length)
            starts, ends, good = self._field(field, at)
            if are_null is not None:
                starts, ends, good = np.where(are_null, at, starts), np.where(are_null, at, ends), good | are_null
            fit &= good & (ends <= self.length)
            at = np.minimum(ends, self.length)
            columns.append(Column(field, Span(starts, at), are_null))
        return at, fit, tuple(columns)

    def _field(self, field: Field, at: Places) -> tuple[Places, Places, Flags]:
        if field.width or field.kind == "fixed":
            return at, at + field.width, np.ones(len(at), dtype=np.bool_)
        found = self.words[at]
        stops = ~found & _CONTINUES
        # Up to the lowest bit that says that nothing more follows.
        counts = ((np.bitwise_count((stops & (~stops + _ONE)) - _ONE) + 1) >> 3).astype(np.intp)
        good = stops != 0
        if field.kind == "long":
            return at, at + counts, good
        starts = at + counts
        lengths = _values(found, counts)
        return starts, starts + lengths.clip(0, self.length), good & (lengths >= 0)


def _values(words: Words, counts: Places) -> Int64s:
    """Read numbers of so many bytes, seven bits in each, of which the first one says whether it is negative."""
    bits = words & _FIRST[counts] & _SEVENS
    bits = (bits & _BYTES) | ((bits & ~_BYTES) >> _ONE)
    bits = (bits & _SHORTS) | ((bits & ~_SHORTS) >> _TWO)
    bits = (bits & _LONGS) | ((bits & ~_LONGS) >> _FOUR)
    return (bits >> _ONE).astype(np.int64) ^ -(bits & _ONE).astype(np.int64)


def rows_of_records(records: Records, columns: Columns) -> Rows | None:
    """Make rows of some columns, which are no replicas; None when anything is out of the ordinary."""
    paths = records.texts(columns.path)
    together = b"\n".join(paths or ())
    located = None
    if paths is not None and together.count(b"\n") == len(paths) - 1:
        located = split_lines(together + b"\n")
    if located is None:
        return None
    sizes = None if columns.size is None else records.sizes(columns.size)
    mtimes = None if columns.mtime is None else records.integers(columns.mtime, UNKNOWN_MTIME)
    others = (columns.block, columns.dataset, columns.group, columns.site, columns.protected, columns.checksum)
    texts = [None if at is None else records.texts(at) for at in others]
    asked = (columns.size, columns.mtime, *others)
    if any(at is not None and found is None for at, found in zip(asked, (sizes, mtimes, *texts), strict=True)):
        return None
    if not records.others_fit((columns.path, *asked)):
        return None
    return Rows(located[0], located[1], sizes, mtimes, *texts)
