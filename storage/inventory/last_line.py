"""The last line of a text that does not end with a newline, as `engine.cut` judges it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from engine.cut import LastLine
from engine.paths import unescape
from storage.inventory.chunks import Chunk, is_void
from storage.inventory.detect import Header, Layout
from storage.inventory.entries import Rows, read_path
from storage.inventory.errors import malformed

_HALF_ESCAPE = re.compile(rb"(?<!\\)((?:\\\\)*)\\(?:x[0-9a-f]?|u[0-9a-f]{0,3})?\Z")
_HALF_SCHEMES = tuple(scheme[:cut] for scheme in (b"root://", b"xroot://") for cut in range(1, len(scheme)))


class Tail:
    """Remembers how a text ends while it is read."""

    def __init__(self, source: str) -> None:
        self.line = 0
        self.ended = True
        self._source = source
        self._text = b""
        self._escaped = False
        self._rows: Rows | None = None

    def see(self, chunk: Chunk) -> None:
        """Look at a chunk; the last one of a text is the only one that may not end."""
        self.ended = chunk.ended
        text = b"" if chunk.ended else chunk.data[chunk.data.rfind(b"\n", 0, -1) + 1 : -1]
        if text and not is_void(text):
            self.line, self._text, self._escaped = chunk.next_line - 1, text, chunk.escaped

    def note(self, batches: Iterator[Rows]) -> Iterator[Rows]:
        """Pass rows on and remember the last ones."""
        for rows in batches:
            if rows.names:
                self._rows = rows
            yield rows

    def last_line(self, layout: Layout, root: bytes | None, site: bytes) -> LastLine | None:
        """Give the last line when all rows were read; None when it ended, or tells nothing of this ``site``.

        Raises:
            InventoryMalformed: it stops within the scheme of a URL.
        """
        rows = self._rows
        if not self.line or rows is None:
            return None
        if self._text in _HALF_SCHEMES:
            raise malformed(self._source, self.line, "a whole URL", self._text)
        directory, name = rows.directories[-1], rows.names[-1]
        size = UNKNOWN_SIZE if rows.sizes is None else int(rows.sizes[-1])
        mtime = UNKNOWN_MTIME if rows.mtimes is None else int(rows.mtimes[-1])
        line = LastLine(self._source, self.line, directory + b"/" + name)
        if layout.header is not None:
            return _of_table(line, layout.header, rows, size, mtime, site)
        line = replace(line, begins=self._begins(root))
        return replace(line, mtime=mtime) if layout.numbers > 1 else replace(line, size=size)

    def _begins(self, root: bytes | None) -> bytes:
        """Read the whole line as a path: names may have blanks and numbers in them."""
        text = self._text
        try:
            if self._escaped:
                text = unescape(_HALF_ESCAPE.sub(rb"\1", text).decode("utf-8", "surrogateescape"))
            directory, name = read_path(text, root)
        except ValueError:
            return b""
        return directory + b"/" + name


def _of_table(line: LastLine, header: Header, rows: Rows, size: int, mtime: int, site: bytes) -> LastLine | None:
    """Say what stands in the last column, the only one that may be cut."""
    columns, at_end = header.columns, header.width - 1
    owner = site if not site or rows.sites is None else rows.sites[-1].strip()
    if owner != site:
        is_cut = columns.site == at_end and site.startswith(owner)
        return replace(line, site=True) if is_cut else None
    if columns.path == at_end:
        return replace(line, begins=line.path)
    if columns.size == at_end:
        return replace(line, size=size)
    return replace(line, mtime=mtime) if columns.mtime == at_end else line
