"""Dumps of dCache, grouped by directory: a line with a directory, and below it a row for each of its files.

A row is ``name pnfsid adler32 size epoch pools,``, separated by tabs, perhaps with one before the name. What a row
means depends on the directory before it, so that a dump is read by one process.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np

from engine.columns import UNKNOWN_MTIME
from storage.inventory.entries import LONGEST_PATH, Rows, read_size, read_time
from storage.inventory.foreign.entry import Entry, HalfRead, Holds
from storage.inventory.foreign.lines import LineReader
from storage.inventory.foreign.template import Template
from storage.inventory.formats import Format

COLUMNS = ("name", "", "checksum", "size", "mtime", "")
_FEWEST_TABS = 4

_NEWLINE, _TAB = b"\n\t"
_HASH_ROW = re.compile(rb"#[^\t]*\t[^\t]*\t[^\t]*\t\d+\t")
_NO_NAME = re.compile(rb"^\.{0,2}$", re.MULTILINE)


def may_be_row(line: bytes) -> bool:
    """Tell whether what looks like a comment may be the row of a file whose name begins with a "#"."""
    return _HASH_ROW.match(line) is not None


@dataclass(frozen=True, slots=True)
class DcacheForm:
    """``tabs`` in each row; the first one is before the name where they are ``indented``."""

    tabs: int
    indented: bool
    format = Format.DCACHE
    apart = False
    header = 0
    holds = Holds(times=True, checksums=True)

    @classmethod
    def of(cls, sample: Sequence[bytes]) -> DcacheForm | None:
        """Recognise it by a directory before most rows, which have tabs."""
        if len(sample) < 2 or b"\t" in sample[0] or not sample[0].startswith(b"/"):
            return None
        rows = [line for line in sample if b"\t" in line]
        heads = [line for line in sample if b"\t" not in line]
        # A row whose name begins with "#" may not be in the sample.
        if not rows or len(rows) + 1 < len(heads) or sum(head.startswith(b"/") for head in heads) * 2 <= len(heads):
            return None
        ((tabs, _),) = Counter(row.count(b"\t") for row in rows).most_common(1)
        indented = sum(row.startswith(b"\t") for row in rows) * 2 > len(rows)
        form = cls(tabs, indented)
        sizes = [row.split(b"\t")[form.at("size")] for row in rows if row.count(b"\t") == tabs >= _FEWEST_TABS]
        return form if sum(map(bytes.isdigit, sizes)) * 2 > len(rows) else None

    def at(self, column: str) -> int:
        """Say which field of a row it is."""
        return COLUMNS.index(column) + self.indented

    def reader(self, root: bytes | None, checksums: bool) -> DcacheReader:
        """Make a reader."""
        return DcacheReader(self, root, checksums)


class DcacheReader(LineReader):
    """Reads rows, and remembers to which directory they belong."""

    def __init__(self, form: DcacheForm, root: bytes | None, checksums: bool) -> None:
        super().__init__(form.holds._replace(checksums=checksums), root)
        self._form = form
        names = ["", *COLUMNS] if form.indented else [*COLUMNS]
        names += [""] * (form.tabs + 1 - len(names))
        self._template = Template(b"\t", (b"", *[b"\t"] * form.tabs, b""), tuple(names[: form.tabs + 1]))
        self._directory: bytes | None = None

    def quick(self, data: bytes) -> Rows | None:
        """Read all lines at once, or give None."""
        groups = self._groups(data)
        if groups is None:
            return None
        directories, rows, counts = groups
        found = self._template.find(rows)
        if found is None:
            return None
        names, sizes, mtimes = found.texts("name"), found.integers("size"), found.times("mtime")
        if sizes is None or mtimes is None or _are_no_names(names):
            return None
        self._directory = directories[-1]
        every = list(chain.from_iterable(map(repeat, directories, counts)))
        return Rows(every, names, sizes, mtimes, checksums=found.texts("checksum") if self.holds.checksums else None)

    def _groups(self, data: bytes) -> tuple[list[bytes], bytes, list[int]] | None:
        """Take directories and rows apart; gives how many rows each directory has."""
        text = np.frombuffer(data, dtype=np.uint8)
        ends = np.flatnonzero(text == _NEWLINE)
        tabs = np.searchsorted(np.flatnonzero(text == _TAB), ends)
        heads = np.flatnonzero(np.diff(tabs, prepend=0) == 0)
        directories, pieces = [] if self._directory is None else [self._directory], list[bytes]()
        start, before = 0, -1
        counts: list[int] = []
        for head in heads.tolist():
            begin = int(ends[head - 1]) + 1 if head else 0
            directory = self._directory_of(data[begin : int(ends[head])])
            if directory is None:
                return None
            pieces.append(data[start:begin])
            counts.append(head - before - 1)
            directories.append(directory)
            start, before = int(ends[head]) + 1, head
        pieces.append(data[start:])
        counts.append(len(ends) - before - 1)
        if self._directory is None and counts and counts.pop(0) != 0:
            return None
        return (directories, b"".join(pieces), counts) if directories else None

    def _directory_of(self, line: bytes) -> bytes | None:
        if not line.startswith(b"/"):
            return None
        try:
            return self.locate(line.rstrip(b"/") + b"/x")[0]
        except ValueError:
            return None

    def careful(self, line: bytes) -> Entry | None:
        """Read one line."""
        if b"\t" not in line:
            # What comes below a line that is neither belongs to nobody knows which directory.
            self._directory = self._directory_of(line)
            if self._directory is None:
                raise ValueError("a directory, or a row of fields separated by tabs")
            return None
        fields = line.split(b"\t")
        if len(fields) != self._form.tabs + 1:
            raise ValueError(f"a row with {self._form.tabs} tabs")
        if self._directory is None:
            raise ValueError("a directory above the row")
        name = fields[self._form.at("name")]
        if b"/" in name or name in (b"", b".", b"..") or len(self._directory) + len(name) >= LONGEST_PATH:
            raise ValueError("the name of a file")
        entry = Entry(self._directory, name, checksum=fields[self._form.at("checksum")])
        try:
            size = read_size(fields[self._form.at("size")])
            mtime = read_time(text) if (text := fields[self._form.at("mtime")]) else UNKNOWN_MTIME
        except ValueError as error:
            raise HalfRead(str(error), entry) from error
        return entry._replace(size=size, mtime=mtime)


def _are_no_names(names: list[bytes]) -> bool:
    """Tell whether one of the texts cannot be the name of a file."""
    together = b"\n".join(names)
    return b"/" in together or _NO_NAME.search(together) is not None or max(map(len, names)) > LONGEST_PATH // 2
