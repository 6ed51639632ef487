"""``path|size|mtime|checksum``, as sites publish for several experiments; the first two are required.

There may be blanks around the bars, and ``na`` or ``N/A`` stands for what is not known. Some sites write milliseconds.
Fields are taken from the right, since a name may have a bar in it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.columns import UNKNOWN_MTIME, Int64s
from storage.inventory.entries import Rows, read_size, read_time
from storage.inventory.foreign.entry import Entry, HalfRead, Holds
from storage.inventory.foreign.lines import LineReader
from storage.inventory.foreign.template import Found, Template
from storage.inventory.formats import Format

_MOST_FIELDS = 4
_MILLISECONDS = 10**11
"""As seconds this is the year 5138, as milliseconds 1973."""

_NOT_KNOWN = frozenset((b"", b"na", b"n/a", b"none", b"null", b"-"))
_BEGINNING = re.compile(rb"/|x?roots?://|[^|]+/")
_SIZE = re.compile(rb" *(?:[0-9]+|[nN]/?[aA])? *")


@dataclass(frozen=True, slots=True)
class PipeForm:
    """``width`` fields a line, perhaps ``spaced`` with a blank on either side of each bar."""

    width: int
    spaced: bool
    timed: bool
    format = Format.PIPE
    apart = True
    header = 0

    @classmethod
    def of(cls, sample: Sequence[bytes]) -> PipeForm | None:
        """Recognise it by most of the first lines."""
        begun = [line for line in sample if b"|" in line and _BEGINNING.match(line)]
        if len(begun) * 2 <= len(sample):
            return None
        bars = Counter(line.count(b"|") for line in begun)
        # A name with a bar in it has one more than the others.
        usual = min(bars, key=lambda count: (-bars[count], count))
        for width in range(min(usual + 1, _MOST_FIELDS), 1, -1):
            cut = [(line, line.rsplit(b"|", width - 1)) for line in begun]
            fitting = [line for line, fields in cut if len(fields) == width and _SIZE.fullmatch(fields[1])]
            if len(fitting) * 2 > len(sample):
                return cls._of(fitting, width)
        return None

    @classmethod
    def _of(cls, fitting: Sequence[bytes], width: int) -> PipeForm:
        spaced = sum(line.count(b" | ") >= width - 1 for line in fitting) * 2 > len(fitting)
        timed = False
        if width > 2:
            thirds = [line.rsplit(b"|", width - 1)[2].strip() for line in fitting]
            timed = sum(third.lower() in _NOT_KNOWN or _is_time(third) for third in thirds) * 2 > len(thirds)
        return cls(width, spaced, timed)

    @property
    def holds(self) -> Holds:
        """Which columns it has."""
        return Holds(times=self.timed, checksums=self.width == _MOST_FIELDS)

    def reader(self, root: bytes | None, checksums: bool) -> PipeReader:
        """Make a reader."""
        return PipeReader(self, root, checksums)


class PipeReader(LineReader):
    """Reads lines of a form."""

    def __init__(self, form: PipeForm, root: bytes | None, checksums: bool) -> None:
        super().__init__(form.holds._replace(checksums=form.holds.checksums and checksums), root)
        self._form = form
        bar = b" | " if form.spaced else b"|"
        names = ("path", "size", "mtime", "checksum")[: form.width]
        self._template = Template(b"|", (b"", *[bar] * (form.width - 1), b""), names)

    def quick(self, data: bytes) -> Rows | None:
        """Read all lines at once, or give None."""
        found = self._template.find(data)
        located = None if found is None else found.paths()
        sizes = None if found is None else found.integers("size")
        if found is None or located is None or sizes is None:
            return None
        mtimes = self._times(found) if self._form.timed else None
        if self._form.timed and mtimes is None:
            return None
        checksums = found.texts("checksum") if self.holds.checksums else None
        return Rows(*located, sizes, mtimes, checksums=checksums)

    def _times(self, found: Found) -> Int64s | None:
        span = found.spans["mtime"]
        first = found.data[span.starts[0] : span.ends[0]]
        if first.lower() in _NOT_KNOWN:
            texts = set(found.texts("mtime"))
            return np.full(len(span.starts), UNKNOWN_MTIME) if texts == {first} else None
        times = found.times("mtime")
        return None if times is None else np.where(times >= _MILLISECONDS, times // 1000, times)

    def careful(self, line: bytes) -> Entry | None:
        """Read one line."""
        fields = line.rsplit(b"|", self._form.width - 1)
        if len(fields) < 2:
            raise ValueError('"path|size"')
        # Where a blank is behind a bar, one is before it: lists of two kinds may stand one behind the other.
        spaced = self._form.spaced or fields[1].startswith(b" ")
        path = fields[0].removesuffix(b" ") if spaced else fields[0]
        size, *others = (field.strip() for field in fields[1:])
        located = self.locate(path)
        if size.lower() in _NOT_KNOWN:
            raise HalfRead("a size in bytes", Entry(*located))
        entry = Entry(*located, read_size(size), checksum=others[1] if len(others) > 1 else b"")
        if not self._form.timed or not others or others[0].lower() in _NOT_KNOWN:
            return entry
        try:
            mtime = read_time(others[0])
        except ValueError as error:
            raise HalfRead(str(error), entry) from error
        return entry._replace(mtime=mtime // 1000 if mtime >= _MILLISECONDS else mtime)


def _is_time(text: bytes) -> bool:
    try:
        read_time(text)
    except ValueError:
        return False
    return True
