"""The output of ``xrdfs ls -l``, in both of its forms.

``-rw-r--r-- own grp 7 2026-01-02 03:04:05 /p`` since XRootD 5, ``-r-- 2026-01-02 03:04:05 7 /p`` before. Times are in
UTC. The path is the rest of the line, whatever is in it. Directories, which ``-R`` lists as well, name no file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.columns import Int64s
from storage.inventory.entries import Bytes, Rows, read_size, read_time
from storage.inventory.foreign.entry import Entry, HalfRead, Holds
from storage.inventory.foreign.lines import LineReader
from storage.inventory.foreign.spans import Places, Span, cut_paths, integers_in
from storage.inventory.formats import Format
from storage.inventory.times import WIDTH, moments_in

_NEWLINE, _BLANK, _SLASH, _DASH, _D = b"\n /-d"

_WORD = rb"[^ \n]+"
_FIELDS = rb"[-rwxsStT]{3,9}[.+]? +%b +%b +(?P<size>[0-9]+) (?P<time>%b %b) " % (_WORD, _WORD, _WORD, _WORD)
_OLD_FIELDS = rb"[-rwx]{3} (?P<time>%b %b) +(?P<size>[0-9]+) " % (_WORD, _WORD)
_PATH = rb"(?P<path>(?:/|x?roots?://).*)"
_NEW = re.compile(rb"(?P<kind>[-dl])" + _FIELDS + _PATH, re.DOTALL)
_OLD = re.compile(rb"(?P<kind>[-dl])" + _OLD_FIELDS + _PATH, re.DOTALL)
_DIRECTORY = re.compile(rb"^d" + _FIELDS + _PATH + rb"\n", re.MULTILINE)
_OLD_DIRECTORY = re.compile(rb"^d" + _OLD_FIELDS + _PATH + rb"\n", re.MULTILINE)

_MODE, _OLD_MODE = 10, 4
"""Characters of a mode, the first of which says what it is of."""

_WORDS, _OLD_WORDS = 6, 4
"""Words behind it, the path as the last one."""

_IS_FLAG, _IS_OLD_FLAG = np.zeros((2, 256), dtype=np.bool_)
_IS_FLAG[list(b"-rwxsStT")] = True
_IS_OLD_FLAG[list(b"-rwx")] = True


@dataclass(frozen=True, slots=True)
class XrdfsForm:
    """``old``: the form of before XRootD 5."""

    old: bool
    format = Format.XRDFS
    apart = True
    header = 0
    holds = Holds(times=True)

    @classmethod
    def of(cls, sample: Sequence[bytes]) -> XrdfsForm | None:
        """Recognise it by most of the first lines."""
        for old, pattern in ((True, _OLD), (False, _NEW)):
            if sum(pattern.fullmatch(line) is not None for line in sample) * 2 > len(sample):
                return cls(old)
        return None

    def reader(self, root: bytes | None, checksums: bool) -> XrdfsReader:
        """Make a reader."""
        del checksums
        return XrdfsReader(self.holds, root, self.old)


class XrdfsReader(LineReader):
    """Reads lines of a form."""

    def __init__(self, holds: Holds, root: bytes | None, old: bool) -> None:
        super().__init__(holds, root)
        self._old = old
        self._line = _OLD if old else _NEW

    def quick(self, data: bytes) -> Rows | None:
        """Read all lines at once, or give None."""
        text = np.frombuffer(data, dtype=np.uint8)
        ends = np.flatnonzero(text == _NEWLINE)
        if (text[np.append(0, ends[:-1] + 1)] == _D).any():
            data = (_OLD_DIRECTORY if self._old else _DIRECTORY).sub(b"", data)
            text = np.frombuffer(data, dtype=np.uint8)
            ends = np.flatnonzero(text == _NEWLINE)
        slashes = np.flatnonzero(text == _SLASH)
        if not len(ends) or not len(slashes):
            return None
        starts = np.append(0, ends[:-1] + 1)
        first = np.minimum(np.searchsorted(slashes, starts), len(slashes) - 1)
        paths = slashes[first]
        if (text[starts] != _DASH).any() or (paths >= ends).any():
            return None
        found = self._before_paths(text, starts, paths)
        located = None if found is None else cut_paths(text, Span(paths, ends))
        return None if found is None or located is None else Rows(*located, *found)

    def _before_paths(self, text: Bytes, starts: Places, paths: Places) -> tuple[Int64s, Int64s] | None:
        """Read sizes and times, which stand before the paths: the time in front of the size, or behind it."""
        mode, words = (_OLD_MODE, _OLD_WORDS) if self._old else (_MODE, _WORDS)
        if (paths - starts < mode + WIDTH + 2).any():
            return None
        flags = text[starts[:, None] + np.arange(1, mode)]
        blanks = np.flatnonzero(text == _BLANK)
        begins = blanks[text[blanks + 1] != _BLANK]
        there = np.searchsorted(begins, paths) - np.searchsorted(begins, starts)
        known = _IS_OLD_FLAG if self._old else _IS_FLAG
        if not known[flags].all() or (text[starts + mode] != _BLANK).any() or (there != words).any():
            return None
        times = starts + mode + 1 if self._old else paths - WIDTH - 1
        ends = paths - 1 if self._old else times - 1
        if not all((text[at] == _BLANK).all() for at in (paths - 1, times - 1, times + WIDTH)):
            return None
        sizes = integers_in(text, Span(blanks[np.searchsorted(blanks, ends) - 1] + 1, ends))
        moments = moments_in(text, times)
        return None if sizes is None or moments is None else (sizes, moments)

    def careful(self, line: bytes) -> Entry | None:
        """Read one line."""
        match = self._line.fullmatch(line)
        if match is None:
            raise ValueError("mode, size, time and path as xrdfs ls -l gives them")
        if match["kind"] == b"d":
            return None
        entry = Entry(*self.locate(match["path"]))
        try:
            return entry._replace(size=read_size(match["size"]), mtime=read_time(match["time"]))
        except ValueError as error:
            raise HalfRead(str(error), entry) from error
