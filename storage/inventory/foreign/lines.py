"""Dumps that are read line by line: how a format says what its lines are, and who reads them.

A format is a `LineForm`, found out from the first lines; it pickles, so that other processes read with it as well. What
changes while it reads, such as the directory that rows belong to, is in the reader that it makes. A reader has a quick
way for a whole chunk, which gives None as soon as anything is out of the ordinary, and a careful one for each line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from storage.inventory.chunks import Chunk, below
from storage.inventory.entries import NamesDirectory, Rows, read_path
from storage.inventory.foreign.entry import Entry, HalfRead, Holds, rows_of_entries
from storage.inventory.formats import Format
from storage.inventory.misfits import Misfits

_URL_STARTS = re.compile(rb"^x?roots?://[^/\n]+/+", re.MULTILINE)
_SLASHES = re.compile(rb"//+")


class ChunkReader(Protocol):
    """Reads the chunks of one file, in their order."""

    def read(self, chunk: Chunk, misfits: Misfits) -> Rows:
        """Read a chunk; lines that do not fit go to ``misfits``, which may raise."""

    def finish(self, misfits: Misfits) -> None:
        """Say what is wrong with the end, when all chunks were read."""


class LineForm(Protocol):
    """One way in which the lines of a dump may be written.

    ``apart`` says that any lines mean the same without those before them, so that several processes may read.
    """

    @property
    def format(self) -> Format:
        """Which format it is."""

    @property
    def holds(self) -> Holds:
        """Which columns it has."""

    @property
    def apart(self) -> bool:
        """Whether a piece of it says the same alone."""

    @property
    def header(self) -> int:
        """The line that names the columns, 0 when there is none."""

    def reader(self, root: bytes | None, checksums: bool) -> ChunkReader:
        """Make a reader; relative paths start from ``root``. ``checksums`` says whether anybody wants these."""


class LineReader:
    """Reads chunks by a quick and a careful way, which a format fills in.

    Where ``has_directories``, a path that ends with a slash is that of one, and is passed over.
    """

    has_directories = True

    def __init__(self, holds: Holds, root: bytes | None) -> None:
        self.holds = holds
        self.root = root

    def quick(self, data: bytes) -> Rows | None:
        """Read all lines at once, or give None."""
        raise NotImplementedError

    def careful(self, line: bytes) -> Entry | None:
        """Read one line, which is not blank; None when it names no file.

        Raises:
            ValueError: says what was expected; `HalfRead` when the path is known.
        """
        raise NotImplementedError

    def read(self, chunk: Chunk, misfits: Misfits) -> Rows:
        """Read a chunk."""
        rows = self.quick(chunk.data)
        if rows is None:
            # Looked for only now, since looking takes as long as reading does.
            plain = self.plain(chunk.data)
            rows = None if plain == chunk.data else self.quick(plain)
        return self._one_by_one(chunk, misfits) if rows is None else rows

    def plain(self, data: bytes) -> bytes:
        """Write what may be written in several ways as the quick way knows it."""
        return plain_paths(data)

    def _one_by_one(self, chunk: Chunk, misfits: Misfits) -> Rows:
        entries: list[Entry] = []
        for number, line in enumerate(chunk.lines(), chunk.first_line):
            if not line.strip():
                continue
            try:
                entry = self.careful(line)
            except HalfRead as half:
                misfits.take(number, str(half), line, known=True)
                entry = half.entry
            except ValueError as error:
                if isinstance(error, NamesDirectory) and self.has_directories:
                    misfits.directories += 1
                    continue
                if line.startswith(b"#"):
                    continue
                misfits.take(number, str(error), line)
                entry = None
            if entry is not None:
                entries.append(entry)
        return rows_of_entries(entries, self.holds)

    def finish(self, misfits: Misfits) -> None:
        """Say what is wrong with the end: nothing, where each line is whole by itself."""

    def locate(self, path: bytes) -> tuple[bytes, bytes]:
        """Give directory and name of a path as it stands in a line."""
        return read_path(path, self.root)


def read_foreign(chunks: Iterable[Chunk], reader: ChunkReader, head: int, misfits: Misfits) -> Iterator[Rows]:
    """Read chunks in their order, from behind the line ``head`` on."""
    for chunk in chunks:
        rest = below(chunk, head)
        if rest.data:
            yield reader.read(rest, misfits)


def plain_paths(data: bytes) -> bytes:
    """Take scheme and host off lines that begin with a URL, and make one slash of several."""
    if data.startswith((b"root", b"xroot")) and b"?" not in data:
        data = _URL_STARTS.sub(b"/", data)
    return _SLASHES.sub(b"/", data) if b"//" in data else data
