"""Arrays of JSON objects, one for each file: the output of ``rclone lsjson``, and that of EOS as JSON.

Objects that are all written alike are read all at once, be each of them on a line, on several, or all of them on one.
Everything else is decoded one object after the other. Names come back out as the bytes that they were: what is no UTF-8
stays as it is. A name in which the program that wrote it has put one character in the place of another is none that
could be relied on.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from storage.inventory.chunks import count_lines
from storage.inventory.entries import Rows, read_size, read_time
from storage.inventory.errors import InventoryCut, cut_off, malformed
from storage.inventory.foreign.entry import Entry, HalfRead, Holds, locate, rows_of_entries
from storage.inventory.foreign.json_objects import (
    CHECKSUMS,
    DIRECTORY_KINDS,
    HASHES,
    KINDS,
    PATHS,
    SIZES,
    TIMES,
    are_written,
    series_of,
)
from storage.inventory.foreign.series import Series
from storage.inventory.foreign.spans import below_root
from storage.inventory.foreign.streams import Asked, control_characters, portions
from storage.inventory.formats import Format

_START = re.compile(r"\s*(\{[^\[\]{}]*)?\[")
_HEAD = re.compile(rb"\s*(?:\{[^\[\]{}]*)?\[\s*(\{|\Z)")
_END = re.compile(r"\][^\[\]{}]*\}\s*")
_SPACE = re.compile(r"\s*")
_KEYS = re.compile(rb'"([A-Za-z]\w*)"\s*:')
_NEXT_LINE = re.compile(r"\n\s*\{")
_LONGEST = 1 << 20
"""Bytes of an object, above which it is not taken for one any more."""

_FEW = 100
"""So many of the first objects may say how all are written."""

_IS_DIRECTORY = b'"IsDir":true'
_LOST = "\ufffd"
_REPLACED = "\u2400-\u2421\u201b\uff0e\uff0f"
"""What rclone writes for control characters, DEL, dots and slashes, and before such a character that is itself."""

_FIRST_BYTES = (b"\xe2", b"\xef")
"""The first byte of each of these in UTF-8; one byte is found far quicker than several."""


def is_json_array(head: bytes) -> bool:
    """Tell an array of files by its first bytes."""
    head = head.removeprefix(b"\xef\xbb\xbf")
    if _HEAD.match(head) is None:
        return False
    keys = {key.decode() for key in _KEYS.findall(head)}
    return not keys.isdisjoint(PATHS) and not keys.isdisjoint((*SIZES, *TIMES))


class JsonStream:
    """Reads an array."""

    def __init__(self, blocks: Iterable[bytes], asked: Asked, head: bytes) -> None:
        self.lines = 0
        self.format = Format.RCLONE if b'"Path"' in head else Format.EOS
        self.holds = Holds(times=True, checksums=asked.checksums)
        self.has_checksums = any(b'"%b"' % key.encode() in head for key in CHECKSUMS)
        self.misfits = asked.misfits
        self._spoilt = re.compile(f"[{_LOST}{_REPLACED if self.format is Format.RCLONE else ''}]")
        self._blocks = blocks
        self._asked = asked
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape").decode
        self._decoder = json.JSONDecoder()
        self._buffer = ""
        self._line = 1
        self._expects = "["
        self._wrapped = False
        self._number = 0
        self._written: list[bytes] = []
        self._series: Series | None = None
        self._relative = False

    def rows(self) -> Iterator[Rows]:
        """Give what it has."""
        for chunk in portions(self._blocks, _LONGEST, self._end):
            rows = self._quick(chunk) if self._expects == ",]" and not self._buffer else None
            if rows is None:
                # What comes may be written otherwise from here on.
                self._series = None
                self._buffer += self._decode(chunk)
                rows = rows_of_entries(list(self._objects()), self.holds)
                self._learn()
                self.lines += count_lines(chunk)
            yield rows
        self._buffer += self._decode(b"", True)
        yield rows_of_entries(list(self._objects(at_end=True)), self.holds)

    def _end(self) -> bytes:
        """Say how an object ends, which a name can do as well as long as nothing else is known."""
        return b"}" if self._series is None else self._series.literals[-1]

    def _quick(self, chunk: bytes) -> Rows | None:
        """Read objects, each behind a comma and written as the first ones were."""
        series = self._series
        if series is None or b"\\" in chunk or (any(byte in chunk for byte in _FIRST_BYTES) and self._is_spoilt(chunk)):
            return None
        found = series.find(chunk)
        directories = 0
        if found is None and _IS_DIRECTORY in chunk:
            kept, directories = self._without_directories(chunk, series.literals[0])
            found = series.find(kept)
        sizes = None if found is None else found.integers("size")
        # A name may have no control characters, which JSON forbids.
        if found is None or sizes is None or control_characters(found.data) != series.controls * len(sizes):
            return None
        located = found.paths(relative=self._relative)
        mtimes = found.times("mtime") if "mtime" in found.spans else np.full(len(sizes), UNKNOWN_MTIME)
        others = all(are_written(found, name) for name in found.spans)
        if located is None or mtimes is None or not others:
            return None
        directories_of, names = located
        if self._relative:
            if self._asked.root is None:
                return None
            directories_of = below_root(directories_of, self._asked.root)
        newlines = series.newlines * len(sizes) if found.data is chunk else count_lines(chunk)
        self.lines += newlines
        self._line += newlines
        self._number += len(sizes) + directories
        has_checksums = self._asked.checksums and "checksum" in found.spans
        checksums = found.texts("checksum") if has_checksums else [b""] * len(sizes)
        return Rows(directories_of, names, sizes, mtimes, checksums=checksums if self.holds.checksums else None)

    def _without_directories(self, chunk: bytes, start: bytes) -> tuple[bytes, int]:
        """Leave out the objects of directories, which ``start`` like all others, and count them.

        No name has a quote in it that is not escaped, as both the start and what tells a directory have.
        """
        kept: list[bytes] = []
        position = count = 0
        while (at := chunk.find(_IS_DIRECTORY, position)) >= 0:
            begin, end = chunk.rfind(start, position, at), at + len(_IS_DIRECTORY) + 1
            if begin < 0 or not self._is_directory(chunk[begin + start.index(b"{") : end]):
                break
            kept.append(chunk[position:begin])
            position, count = end, count + 1
        kept.append(chunk[position:])
        return b"".join(kept), count

    def _is_directory(self, text: bytes) -> bool:
        """Tell whether this is an object of a directory, and nothing else."""
        decoded = text.decode("utf-8", "surrogateescape")
        try:
            value, end = self._decoder.raw_decode(decoded)
            return end == len(decoded) and self._read(value) is None
        except (ValueError, RecursionError):
            return False

    def _is_spoilt(self, chunk: bytes) -> bool:
        return self._spoilt.search(chunk.decode("utf-8", "surrogateescape")) is not None

    def _learn(self) -> None:
        """Find out how objects are written, each with what is between it and the one before."""
        written, self._written = self._written, []
        for text in written:
            series = series_of(text)
            found = None if series is None else series.find(text)
            if found is not None:
                self._series = series
                self._relative = not found.texts("path")[0].startswith(b"/")
                return

    def _objects(self, at_end: bool = False) -> Iterator[Entry]:
        """Decode what is whole in the buffer."""
        position = 0
        # Where the object before ended, if there was one.
        ended = 0 if self._expects == ",]" else None
        while True:
            position = self._pass(position, match.end() if (match := _SPACE.match(self._buffer, position)) else 0)
            if position >= len(self._buffer):
                break
            number = self._number
            found = self._step(position, at_end)
            if found is None:
                break
            position, entry = found
            if self._number > number:
                if entry is not None and ended is not None and len(self._written) < _FEW:
                    self._written.append(self._buffer[ended:position].encode("utf-8", "surrogateescape"))
                ended = position if self._expects == ",]" else None
            if entry is not None:
                yield entry
        self._buffer = self._buffer[position:]
        if at_end and (self._expects or self._buffer):
            raise self._cut()

    def _cut(self) -> InventoryCut:
        return cut_off(self._asked.source, self._line, "the end of its JSON")

    def _pass(self, start: int, end: int) -> int:
        """Go on, and count the lines."""
        self._line += self._buffer.count("\n", start, end)
        return end

    def _step(self, position: int, at_end: bool) -> tuple[int, Entry | None] | None:
        """Take one token; gives where the next one is, or None when more has to be read first."""
        if self._expects == "[":
            match = _START.match(self._buffer, position)
            if match is None:
                if at_end or len(self._buffer) - position > _LONGEST:
                    raise self._unexpected("an array of objects", position)
                return None
            self._wrapped, self._expects = match[1] is not None, "{]"
            return self._pass(position, match.end()), None
        character = self._buffer[position]
        if character not in self._expects:
            raise self._unexpected("JSON that goes on with " + " or ".join(self._expects or ["nothing"]), position)
        if character == ",":
            self._expects = "{"
            return position + 1, None
        if character == "]":
            if self._wrapped:
                match = _END.match(self._buffer, position)
                if match is None:
                    if at_end:
                        raise self._cut()
                    return None
                self._expects = ""
                return self._pass(position, match.end()), None
            self._expects = ""
            return position + 1, None
        return self._object(position, at_end)

    def _object(self, position: int, at_end: bool) -> tuple[int, Entry | None] | None:
        try:
            value, end = self._decoder.raw_decode(self._buffer, position)
        except (ValueError, RecursionError) as error:
            following = _NEXT_LINE.search(self._buffer, position)
            if following is None:
                if at_end:
                    raise self._cut() from error
                if len(self._buffer) - position > _LONGEST:
                    raise self._unexpected(f"an object of at most {_LONGEST} bytes", position) from error
                return None
            # No object goes over the beginning of the next one: this one is spoilt.
            self._number += 1
            self._take("a JSON object", position)
            self._expects = "{"
            return self._pass(position, following.start()), None
        entry = None
        self._number += 1
        try:
            entry = self._read(value)
        except HalfRead as half:
            self._take(str(half), position, end, known=True)
            entry = half.entry
        except ValueError as error:
            self._take(_expected(error), position, end)
        self._expects = ",]"
        return self._pass(position, end), entry

    def _take(self, expected: str, position: int, end: int | None = None, *, known: bool = False) -> None:
        """Take note of an object that does not fit."""
        found = self._shown(position, end)
        self._asked.misfits.take(self._line, expected, found, known=known, entry=self._number)

    def _read(self, value: Mapping[str, Any]) -> Entry | None:
        path = next((value[key] for key in PATHS if isinstance(value.get(key), str)), None)
        if path is None:
            raise ValueError(f"an object with {', '.join(PATHS[:-1])} or {PATHS[-1]}")
        if value.get("IsDir") is True or path.endswith("/") or any(value.get(key) in DIRECTORY_KINDS for key in KINDS):
            return None
        if self._spoilt.search(path):
            raise ValueError("a name of which no character was lost, or replaced by another one")
        located = locate(path.encode("utf-8", "surrogateescape"), self._asked.root)
        entry = Entry(*located, checksum=_checksum(value))
        try:
            return entry._replace(size=_size(value), mtime=_time(value))
        except (ValueError, OverflowError) as error:
            raise HalfRead(str(error), entry) from error

    def _unexpected(self, expected: str, position: int) -> Exception:
        entry = self._number if self._number > self._line else 0
        return malformed(self._asked.source, self._line, expected, self._shown(position), entry)

    def _shown(self, position: int, end: int | None = None) -> bytes:
        return self._buffer[position : min(end or position + 200, position + 200)].encode("utf-8", "surrogateescape")


def _expected(error: ValueError) -> str:
    return "a name that can be encoded" if isinstance(error, UnicodeError) else str(error)


def _size(value: Mapping[str, Any]) -> int:
    size = next((value[key] for key in SIZES if key in value), None)
    if size is None or size == -1:
        # That is what rclone says of a file whose size nobody knows.
        return UNKNOWN_SIZE
    if isinstance(size, bool) or not isinstance(size, int | str):
        raise ValueError("a size in bytes")
    return read_size(str(size).encode())


def _time(value: Mapping[str, Any]) -> int:
    time = next((value[key] for key in TIMES if key in value), None)
    if time in (None, ""):
        return UNKNOWN_MTIME
    if isinstance(time, bool) or not isinstance(time, int | float | str):
        raise ValueError("seconds since the epoch or an ISO 8601 time")
    return read_time(repr(time).encode() if isinstance(time, int | float) else time.encode("utf-8", "replace"))


def _checksum(value: Mapping[str, Any]) -> bytes:
    hashes = value.get(HASHES)
    for of in (value, hashes if isinstance(hashes, dict) else {}):
        for key in CHECKSUMS:
            if isinstance(of.get(key), str):
                return str(of[key]).encode("utf-8", "replace")
    return b""
