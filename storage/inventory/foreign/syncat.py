"""XML dumps of storage elements, as dCache and DPM write them ("SynCat").

``<dump recorded="…"><entry-set><entry name="/p"><size>7</size><ctime>…</ctime><checksum>AD:…</checksum></entry>…``,
perhaps inside of ``<cat>``; names of elements are taken without their namespace. Whoever declares entities is refused,
and nothing is ever fetched.

Entries that are all written alike are read all at once, be each of them on a line, on several, or all of them on one;
everything else goes through expat. Since these are whole elements, expat need not see them to know where it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.parsers import expat

import numpy as np

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from storage.inventory.chunks import count_lines
from storage.inventory.entries import Rows, read_size, read_time
from storage.inventory.errors import InventoryMalformed, cut_off, malformed
from storage.inventory.foreign.entry import Entry, HalfRead, Holds, locate, rows_of_entries
from storage.inventory.foreign.series import Series
from storage.inventory.foreign.streams import Asked, control_characters, count_bytes, portions
from storage.inventory.formats import Format

ROOTS = ("dump", "cat")
TIMES = ("mtime", "last-modified", "ctime")
"""The elements that may hold the time of a file, the most telling first."""

RECORDED = ("recorded", "recordtime", "recordTime")
"""The attributes in which the root, or the dump in it, may say when it was made."""

_ROOT = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?(dump|cat)[\s>/]")
_BEGINNING = re.compile(rb"\s*<")
_ENTRY = re.compile(
    rb'(<(?:[\w.-]+:)?entry name=")([^"<&]*)(">)((?:\s*<[^<>]+>[^<>&]*</[^<>]+>)+)(\s*</(?:[\w.-]+:)?entry>)'
)
_ELEMENT = re.compile(rb"\s*<(?:[\w.-]+:)?([\w.-]+)([^<>]*)>([^<>&]*)</[^<>]+>")
_END = b"entry>"
"""How every entry ends, with and without a namespace."""

_ENCODINGS = {"utf-8": "utf-8", "us-ascii": "utf-8", "iso-8859-1": "latin-1", "utf-16": "utf-8"}
_DEEPEST = 50
_LONGEST_SILENCE = 4 << 20
"""Bytes without any element after which this is not taken for a dump any more."""
_LONGEST_LINE = 1 << 20
_LONG = 1000
"""Bytes of a line of which the beginning does not show what is wrong in it."""

_WHOLE = (b"\n", b">")
"""Behind these, nothing begins that would go on in the next portion."""

_LEARNT_FROM = 1 << 16
"""So many of the first bytes may say how entries are written."""

_DECLARED = 2
"""Bytes of what only the declaration at the beginning may start with."""


def is_syncat(head: bytes) -> bool:
    """Tell such a dump by its first bytes."""
    return _BEGINNING.match(head.removeprefix(b"\xef\xbb\xbf")) is not None and _ROOT.search(head) is not None


class _Refused(Exception):
    """Raised inside of a handler; the message says what was expected."""


class SyncatStream:
    """Reads a dump; ``recorded`` is when it was made as it says, once its head was read."""

    format = Format.SYNCAT
    has_checksums = True

    def __init__(self, blocks: Iterable[bytes], asked: Asked) -> None:
        self.lines = 0
        self.holds = Holds(times=True, checksums=asked.checksums)
        self.recorded = b""
        self.misfits = asked.misfits
        self._blocks = blocks
        self._asked = asked
        self._series: Series | None = None
        self._is_plain = True
        self._skipped = 0
        self._encoding = "utf-8"
        self._depth = 0
        self._entry: dict[str, str] | None = None
        self._entry_line = 0
        self._number = 0
        self._leaf = ""
        self._text: list[str] = []
        self._entries: list[Entry] = []
        self._silence = 0
        self._fed = 0
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.XmlDeclHandler = self._declare
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype
        self._parser.EntityDeclHandler = self._refuse_doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters

    def rows(self) -> Iterator[Rows]:
        """Give what it has."""
        is_whole = True
        for chunk in portions(self._blocks, _LONGEST_LINE, self._close):
            rows = self._quick(chunk) if is_whole and self._is_between_entries() else None
            if rows is None:
                rows = self._careful(chunk)
                self._learn(chunk)
                self.lines += count_lines(chunk)
            is_whole = chunk.endswith(_WHOLE)
            yield rows
        yield self._careful(b"", at_end=True)

    def _close(self) -> bytes:
        """Say how an entry ends."""
        return _END if self._series is None else self._series.literals[-1]

    def _is_between_entries(self) -> bool:
        return self._series is not None and self._is_plain and self._entry is None and self._depth > 0

    def _quick(self, chunk: bytes) -> Rows | None:
        """Read entries that are written as the first ones were, each with what is between it and the one before."""
        series = self._series
        # What ends a section of plain text may stand in an attribute alone.
        if series is None or b"&" in chunk or (b"]" in chunk and b"]]>" in chunk):
            return None
        found = series.find(chunk)
        located = None if found is None else found.paths()
        sizes = None if found is None else found.integers("size")
        if found is None or located is None or sizes is None:
            return None
        count = len(sizes)
        quotes = sum(literal.count(b'"') for literal in series.literals)
        # A name may have neither control characters, which XML turns into others or forbids, nor quotes.
        if control_characters(chunk) != series.controls * count or count_bytes(chunk, b'"') != quotes * count:
            return None
        mtimes = found.times("mtime") if "mtime" in found.spans else np.full(count, UNKNOWN_MTIME)
        if mtimes is None or not self._is_encoded(chunk):
            return None
        newlines = series.newlines * count
        self.lines += newlines
        self._skipped += newlines
        self._number += count
        has_checksums = self._asked.checksums and "checksum" in found.spans
        checksums = found.texts("checksum") if has_checksums else [b""] * count
        return Rows(*located, sizes, mtimes, checksums=checksums if self.holds.checksums else None)

    def _learn(self, chunk: bytes) -> None:
        """Find out how entries are written, each with what is between it and the one before."""
        self._series = None
        ended = -1
        for match in _ENTRY.finditer(chunk, 0, _LEARNT_FROM):
            between = chunk[ended : match.start()] if ended >= 0 else b"-"
            if not between.strip():
                self._series = _series_of(between, match)
                return
            ended = match.end()

    def _is_encoded(self, chunk: bytes) -> bool:
        try:
            # Of most names there is nothing to decode; the last two characters before U+10000 are none of XML.
            return chunk.isascii() or (b"\xef\xbf" not in chunk and bool(chunk.decode(self._encoding)))
        except UnicodeDecodeError:
            return False

    def _careful(self, chunk: bytes, at_end: bool = False) -> Rows:
        """Have expat read a part of the dump."""
        source = self._asked.source
        before, self._fed = self._fed, self._fed + len(chunk)
        try:
            self._silence += len(chunk)
            self._parser.Parse(chunk, at_end)
        except _Refused as refused:
            raise self._malformed(self._line(), str(refused), chunk, before) from refused
        except expat.ExpatError as error:
            line = error.lineno + self._skipped
            if at_end:
                raise cut_off(source, line, "the end of its XML") from error
            what = expat.errors.messages[error.code]
            raise self._malformed(line, f"XML ({what})", chunk, before) from error
        # In a comment that goes on below, what looks like an entry is none.
        if not chunk.endswith(_WHOLE) or b"<!" in chunk or b"<?" in chunk[_DECLARED:]:
            self._is_plain = False
        if self._silence > _LONGEST_SILENCE:
            raise malformed(source, self._line(), f"an element within {_LONGEST_SILENCE} bytes", chunk[:100])
        entries, self._entries = self._entries, []
        return rows_of_entries(entries, self.holds)

    def _malformed(self, line: int, expected: str, chunk: bytes, before: int) -> InventoryMalformed:
        """Say what was expected in the part that is being read, behind so many bytes that expat was given."""
        found = b"".join(chunk.split(b"\n")[max(line - self.lines - 1, 0) :][:1])
        if len(found) > _LONG:
            # In a line of many entries, what is at its beginning says nothing.
            found = chunk[max(self._parser.CurrentByteIndex - before, 0) :][:_LONG]
        return malformed(self._asked.source, line, expected, found, self._number if self._number > line else 0)

    def _line(self) -> int:
        return int(self._parser.CurrentLineNumber) + self._skipped

    def _declare(self, version: str, encoding: str | None, standalone: int) -> None:
        del version, standalone
        known = _ENCODINGS.get((encoding or "utf-8").lower())
        if known is None:
            raise _Refused("XML in UTF-8 or ISO-8859-1")
        # Programs write the bytes of a name as they are, and say in what encoding these are meant.
        self._encoding = known

    def _refuse_doctype(self, *declared: object) -> None:
        del declared
        raise _Refused("XML without a document type and entities of its own")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._silence = 0
        name = tag.rpartition(":")[2]
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Refused(f"XML of no more than {_DEEPEST} levels")
        if self._depth == 1 and name not in ROOTS:
            raise _Refused(f"a root element {' or '.join(ROOTS)}")
        if name in ROOTS and not self.recorded:
            self.recorded = next((attributes[key].encode() for key in RECORDED if key in attributes), b"")
        if self._entry is not None:
            self._leaf, self._text = name, []
            if name == "checksum" and "algorithm" in attributes:
                self._text.append(attributes["algorithm"] + ":")
        elif name == "entry":
            self._entry, self._entry_line, self._leaf = dict(attributes), self._line(), ""
            self._number += 1

    def _characters(self, text: str) -> None:
        if self._leaf:
            self._text.append(text)

    def _end(self, tag: str) -> None:
        self._silence = 0
        self._depth -= 1
        name = tag.rpartition(":")[2]
        if self._entry is None:
            return
        if name == "entry":
            self._take(self._entry)
            self._entry = None
        elif name == self._leaf:
            # An entry may name several places, as of a file on tape; the first of each kind counts.
            self._entry.setdefault(f"<{name}", "".join(self._text))
            self._leaf = ""

    def _take(self, entry: dict[str, str]) -> None:
        misfits, line = self._asked.misfits, self._entry_line
        shown = entry.get("name", "").encode("utf-8", "surrogatepass")
        try:
            self._entries.append(self._read(entry))
        except HalfRead as half:
            misfits.take(line, str(half), shown, known=True, entry=self._number)
            self._entries.append(half.entry)
        except ValueError as error:
            expected = "a name in the encoding of the dump" if isinstance(error, UnicodeError) else str(error)
            misfits.take(line, expected, shown, entry=self._number)

    def _read(self, entry: dict[str, str]) -> Entry:
        if "name" not in entry:
            raise ValueError("an entry with a name")
        located = locate(entry["name"].encode(self._encoding), self._asked.root)
        checksum = entry.get("<checksum", "").strip().encode("utf-8", "replace")
        read = Entry(*located, checksum=checksum)
        time = next((entry[f"<{name}"] for name in TIMES if entry.get(f"<{name}", "").strip()), "")
        try:
            size = read_size(entry["<size"].strip().encode()) if "<size" in entry else UNKNOWN_SIZE
            mtime = read_time(time.strip().encode()) if time else UNKNOWN_MTIME
        except ValueError as error:
            raise HalfRead(str(error), read) from error
        return read._replace(size=size, mtime=mtime)


def _series_of(between: bytes, match: re.Match[bytes]) -> Series | None:
    """Say how an entry is written, behind what is between two of them; None where it lacks what is needed."""
    start, _, end, elements, close = match.groups()
    literals, names, position = [between + start, end], ["path"], 0
    found = list(_ELEMENT.finditer(elements))
    known = [element[1].decode("utf-8", "replace") for element in found]
    time = next((time for time in TIMES if time in known), "")
    for element, local in zip(found, known, strict=True):
        literals[-1] += elements[position : element.start(3)]
        position = element.end(3)
        literals.append(b"")
        name = local if local in ("size", "checksum") else "mtime" if local == time else ""
        # An algorithm stands in the element itself, where one by one it is put before the digits.
        names.append("" if name in names or (local == "checksum" and b"algorithm" in element[2]) else name)
    literals[-1] += elements[position:] + close
    # Without a size, and where an algorithm stands apart from its digits, entries are read one by one.
    return None if "size" not in names or b"algorithm" in elements else Series(b"<", tuple(literals), tuple(names))
