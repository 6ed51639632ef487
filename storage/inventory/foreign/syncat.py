"""XML dumps of storage elements, as dCache and DPM write them ("SynCat").

``<dump recorded="…"><entry-set><entry name="/p"><size>7</size><ctime>…</ctime><checksum>AD:…</checksum></entry>…``,
perhaps inside of ``<cat>``; names of elements are taken without their namespace. Whoever declares entities is refused,
and nothing is ever fetched.

Lines that hold one entry each, all written alike, are read all at once; everything else goes through expat. Since these
lines are whole elements, expat need not see them to know where it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.parsers import expat

import numpy as np

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from storage.inventory.chunks import count_lines
from storage.inventory.entries import Rows, read_size, read_time
from storage.inventory.errors import cut_off, malformed
from storage.inventory.foreign.entry import Entry, HalfRead, Holds, locate, rows_of_entries
from storage.inventory.foreign.streams import Asked, control_characters, count_bytes, portions
from storage.inventory.foreign.template import Template
from storage.inventory.formats import Format

ROOTS = ("dump", "cat")
TIMES = ("mtime", "last-modified", "ctime")
"""The elements that may hold the time of a file, the most telling first."""

RECORDED = ("recorded", "recordtime", "recordTime")
"""The attributes in which the root, or the dump in it, may say when it was made."""

_ROOT = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?(dump|cat)[\s>/]")
_BEGINNING = re.compile(rb"\s*<")
_ENTRY = re.compile(
    rb'([ \t]*<(?:[\w.-]+:)?entry name=")([^"<&]*)(">)((?:<[^<>]+>[^<>&]*</[^<>]+>)+)(</[\w.-:]+>[ \t]*)'
)
_ELEMENT = re.compile(rb"(<(?:[\w.-]+:)?([\w.-]+)[^<>]*>)([^<>&]*)(</[^<>]+>)")
_ENCODINGS = {"utf-8": "utf-8", "us-ascii": "utf-8", "iso-8859-1": "latin-1", "utf-16": "utf-8"}
_DEEPEST = 50
_LONGEST_SILENCE = 4 << 20
"""Bytes without any element after which this is not taken for a dump any more."""
_LONGEST_LINE = 1 << 20
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
        self._template: Template | None = None
        self._is_plain = True
        self._skipped = 0
        self._encoding = "utf-8"
        self._depth = 0
        self._entry: dict[str, str] | None = None
        self._entry_line = 0
        self._leaf = ""
        self._text: list[str] = []
        self._entries: list[Entry] = []
        self._silence = 0
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
        at_line_start = True
        for chunk in portions(self._blocks, _LONGEST_LINE):
            count = count_lines(chunk)
            rows = self._quick(chunk) if at_line_start and self._is_between_entries() else None
            if rows is None:
                rows = self._careful(chunk)
            else:
                self._skipped += count
            self.lines += count
            at_line_start = chunk.endswith(b"\n")
            yield rows
        yield self._careful(b"", at_end=True)

    def _is_between_entries(self) -> bool:
        return self._template is not None and self._is_plain and self._entry is None and self._depth > 0

    def _quick(self, chunk: bytes) -> Rows | None:
        """Read lines that hold an entry each, written as the first ones were."""
        template = self._template
        if template is None or b"&" in chunk:
            return None
        newlines = count_lines(chunk)
        quotes = sum(literal.count(b'"') for literal in template.literals)
        # A name may have neither control characters, which XML turns into others or forbids, nor quotes.
        if control_characters(chunk) != newlines or count_bytes(chunk, b'"') != quotes * newlines:
            return None
        found = template.find(chunk)
        located = None if found is None else found.paths()
        if found is None or located is None or not self._is_encoded(chunk):
            return None
        sizes = found.integers("size")
        mtimes = found.times("mtime") if "mtime" in found.spans else np.full(newlines, UNKNOWN_MTIME)
        if sizes is None or mtimes is None:
            return None
        has_checksums = self._asked.checksums and "checksum" in found.spans
        checksums = found.texts("checksum") if has_checksums else [b""] * newlines
        return Rows(*located, sizes, mtimes, checksums=checksums if self.holds.checksums else None)

    def _is_encoded(self, chunk: bytes) -> bool:
        try:
            chunk.decode(self._encoding)
        except UnicodeDecodeError:
            return False
        return True

    def _careful(self, chunk: bytes, at_end: bool = False) -> Rows:
        """Have expat read a part of the dump."""
        source = self._asked.source
        try:
            self._silence += len(chunk)
            self._parser.Parse(chunk, at_end)
        except _Refused as refused:
            line = self._line()
            raise malformed(source, line, str(refused), self._there(chunk, line)) from refused
        except expat.ExpatError as error:
            if at_end:
                raise cut_off(source, error.lineno + self._skipped, "the end of its XML") from error
            line = error.lineno + self._skipped
            what = expat.errors.messages[error.code]
            raise malformed(source, line, f"XML ({what})", self._there(chunk, line)) from error
        # In a comment that goes on below, what looks like an entry is none.
        if not chunk.endswith(b"\n") or b"<!" in chunk or b"<?" in chunk[_DECLARED:]:
            self._is_plain = False
        if self._silence > _LONGEST_SILENCE:
            raise malformed(source, self._line(), f"an element within {_LONGEST_SILENCE} bytes", chunk[:100])
        if self._template is None:
            self._template = _template_of(chunk)
        entries, self._entries = self._entries, []
        return rows_of_entries(entries, self.holds)

    def _there(self, chunk: bytes, line: int) -> bytes:
        """Give what stands in a line of the part that is being read."""
        return b"".join(chunk.split(b"\n")[max(line - self.lines - 1, 0) :][:1])

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
            misfits.take(line, str(half), shown, known=True)
            self._entries.append(half.entry)
        except ValueError as error:
            expected = "a name in the encoding of the dump" if isinstance(error, UnicodeError) else str(error)
            misfits.take(line, expected, shown)

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


def _template_of(chunk: bytes) -> Template | None:
    """Say how lines that hold one entry are written; None where the first ones do not."""
    for line in chunk.split(b"\n", 100)[:100]:
        match = _ENTRY.fullmatch(line)
        if match is None:
            continue
        start, _, end, elements, close = match.groups()
        literals, names, times = [start, end], ["path"], [b"<" + time.encode() for time in TIMES]
        found = _ELEMENT.findall(elements)
        known = [b"<" + local for _, local, _, _ in found]
        time = next((time for time in times if time in known), b"")
        for opening, local, _, closing in found:
            literals[-1] += opening
            literals.append(closing)
            name = local.decode() if local in (b"size", b"checksum") else "mtime" if b"<" + local == time else ""
            # An algorithm stands in the element itself, where one by one it is put before the digits.
            name = "" if name in names or (local == b"checksum" and b"algorithm" in opening) else name
            names.append(name)
        literals[-1] += close
        # Without a size, and where an algorithm stands apart from its digits, entries are read one by one.
        return (
            None if "size" not in names or b"algorithm" in elements else Template(b"<", tuple(literals), tuple(names))
        )
    return None
