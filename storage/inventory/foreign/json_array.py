"""Arrays of JSON objects, one for each file: the output of ``rclone lsjson``, and that of EOS as JSON.

Lines that hold one object each, all written alike, are read all at once. Everything else is decoded one object after
the other, wherever its lines end. Names come back out as the bytes that they were: what is no UTF-8 stays as it is. A
name in which the program that wrote it has put one character in the place of another is none that could be relied on.
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
from storage.inventory.foreign.spans import below_root
from storage.inventory.foreign.streams import Asked, control_characters, portions
from storage.inventory.foreign.template import Template
from storage.inventory.formats import Format

PATHS = ("Path", "path", "file", "lfn", "name")
SIZES = ("Size", "size")
TIMES = ("ModTime", "mtime", "ctime")
CHECKSUMS = ("checksum", "checksumvalue", "xs", "adler32", "md5", "MD5")
"""The keys that are known, the most telling first."""

_START = re.compile(r"\s*(\{[^\[\]{}]*)?\[")
_HEAD = re.compile(rb"\s*(?:\{[^\[\]{}]*)?\[\s*(\{|\Z)")
_END = re.compile(r"\][^\[\]{}]*\}\s*")
_SPACE = re.compile(r"\s*")
_KEYS = re.compile(rb'"([A-Za-z]\w*)"\s*:')
_TOKENS = re.compile(rb'"([^"\\]*)"(\s*:)?|-?[0-9][0-9.eE+-]*|[{}\[\]]')
_NEXT_LINE = re.compile(r"\n\s*\{")
_LONGEST = 1 << 20
"""Bytes of an object, above which it is not taken for one any more."""

_IS_DIRECTORY = b'"IsDir":true'
_LOST = "\ufffd"
_REPLACED = "\u2400-\u2421\u201b\uff0e\uff0f"
"""What rclone writes for control characters, DEL, dots and slashes, and before such a character that is itself."""

_FIRST_BYTES = (b"\xe2", b"\xef")
"""The first byte of each of these in UTF-8; one byte is found far quicker than several."""

_KINDS = ("type",)
_DIRECTORY_KINDS = ("directory", "dir", "d")
"""The keys that tell a directory, and what stands there for one."""


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
        self._template: Template | None = None
        self._relative = False

    def rows(self) -> Iterator[Rows]:
        """Give what it has."""
        at_line_start = True
        for chunk in portions(self._blocks, _LONGEST):
            count = count_lines(chunk)
            quick = at_line_start and not self._buffer.strip() and self._expects == "{"
            rows = self._quick(chunk) if quick and self._template is not None else None
            if rows is None:
                self._buffer += self._decode(chunk)
                rows = rows_of_entries(list(self._objects()), self.holds)
                if self._template is None:
                    self._learn(chunk)
            else:
                self._line += count
                self._buffer = ""
            self.lines += count
            at_line_start = chunk.endswith(b"\n")
            yield rows
        self._buffer += self._decode(b"", True)
        yield rows_of_entries(list(self._objects(at_end=True)), self.holds)

    def _quick(self, chunk: bytes) -> Rows | None:
        """Read lines that hold an object each, followed by a comma and written as the first ones were."""
        template = self._template
        # A name may have no control characters, which JSON forbids.
        if (
            template is None
            or b"\\" in chunk
            or (any(byte in chunk for byte in _FIRST_BYTES) and self._is_spoilt(chunk))
            or control_characters(chunk) != count_lines(chunk)
        ):
            return None
        found = template.find(chunk)
        if found is None and chunk.endswith(b"\n") and _IS_DIRECTORY in chunk:
            found = template.find(_without_directories(chunk))
        located = None if found is None else found.paths(relative=self._relative)
        sizes = None if found is None else found.integers("size")
        if found is None or located is None or sizes is None:
            return None
        mtimes = found.times("mtime") if "mtime" in found.spans else np.full(len(sizes), UNKNOWN_MTIME)
        if mtimes is None:
            return None
        directories, names = located
        if self._relative:
            if self._asked.root is None:
                return None
            directories = below_root(directories, self._asked.root)
        has_checksums = self._asked.checksums and "checksum" in found.spans
        checksums = found.texts("checksum") if has_checksums else [b""] * len(sizes)
        return Rows(directories, names, sizes, mtimes, checksums=checksums if self.holds.checksums else None)

    def _is_spoilt(self, chunk: bytes) -> bool:
        return self._spoilt.search(chunk.decode("utf-8", "surrogateescape")) is not None

    def _learn(self, chunk: bytes) -> None:
        """Find out how lines that hold one object each are written."""
        for line in chunk.split(b"\n", 100)[:100]:
            if line.startswith(b"{") and line.endswith(b"},") and _IS_DIRECTORY not in line:
                template = _template_of(line)
                found = None if template is None else template.find(line + b"\n")
                if found is not None:
                    self._template = template
                    self._relative = not found.texts("path")[0].startswith(b"/")
                    return

    def _objects(self, at_end: bool = False) -> Iterator[Entry]:
        """Decode what is whole in the buffer."""
        position = 0
        while True:
            position = self._pass(position, match.end() if (match := _SPACE.match(self._buffer, position)) else 0)
            if position >= len(self._buffer):
                break
            found = self._step(position, at_end)
            if found is None:
                break
            position, entry = found
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
        misfits = self._asked.misfits
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
            misfits.take(self._line, "a JSON object", self._shown(position))
            self._expects = "{"
            return self._pass(position, following.start()), None
        entry = None
        try:
            entry = self._read(value)
        except HalfRead as half:
            misfits.take(self._line, str(half), self._shown(position, end), known=True)
            entry = half.entry
        except ValueError as error:
            misfits.take(self._line, _expected(error), self._shown(position, end))
        self._expects = ",]"
        return self._pass(position, end), entry

    def _read(self, value: Mapping[str, Any]) -> Entry | None:
        path = next((value[key] for key in PATHS if isinstance(value.get(key), str)), None)
        if path is None:
            raise ValueError(f"an object with {', '.join(PATHS[:-1])} or {PATHS[-1]}")
        if (
            value.get("IsDir") is True
            or path.endswith("/")
            or any(value.get(key) in _DIRECTORY_KINDS for key in _KINDS)
        ):
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
        return malformed(self._asked.source, self._line, expected, self._shown(position))

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
    hashes = value.get("Hashes")
    for of in (value, hashes if isinstance(hashes, dict) else {}):
        for key in CHECKSUMS:
            if isinstance(of.get(key), str):
                return str(of[key]).encode("utf-8", "replace")
    return b""


def _without_directories(chunk: bytes) -> bytes:
    """Leave out the lines of directories; no name has a quote in it that is not escaped."""
    kept: list[bytes] = []
    start = 0
    while (at := chunk.find(_IS_DIRECTORY, start)) >= 0:
        kept.append(chunk[start : chunk.rfind(b"\n", start, at) + 1])
        start = chunk.index(b"\n", at) + 1
    kept.append(chunk[start:])
    return b"".join(kept)


def _template_of(line: bytes) -> Template | None:
    """Say how a line that holds one object is written: what is between the values, and which of them are needed.

    None when it has escaped characters, or lacks what is needed.
    """
    if b"\\" in line:
        return None
    literals, keys, depth, key, start = list[bytes](), list[str](), 0, "", 0
    for match in _TOKENS.finditer(line):
        if match[0] in (b"{", b"["):
            depth += 1
        elif match[0] in (b"}", b"]"):
            depth -= 1
        elif match[2] is not None:
            key = match[1].decode("utf-8", "replace")
        elif key not in _KINDS:
            begin, end = match.span(1) if match[1] is not None else match.span()
            literals.append(line[start:begin])
            # What is deeper belongs to something else, but for the sums in "Hashes".
            keys.append(key if depth == 1 or key in CHECKSUMS else "")
            start = end
    literals.append(line[start:])
    names = [""] * len(keys)
    for name, known in (("path", PATHS), ("size", SIZES), ("mtime", TIMES), ("checksum", CHECKSUMS)):
        best = next((key for key in known if key in keys), None)
        if best is not None:
            names[keys.index(best)] = name
    is_anchored = all(b'"' in literal for literal in literals[1:-1])
    return Template(b'"', tuple(literals), tuple(names)) if is_anchored and {"path", "size"} <= {*names} else None
