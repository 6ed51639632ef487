"""The output of ``eos find --fileinfo``: ``keylength.file=6 file=/eos/a size=7 mtime=1700000000.5 …``.

The path is as long as is said before it, whatever is in it: blanks, keys, newlines. Only what begins behind a whole
line is the next one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.columns import UNKNOWN_MTIME
from storage.inventory.chunks import MAX_LINE, Chunk
from storage.inventory.digits import WORD, leading_digits, words_in
from storage.inventory.entries import Bytes, Rows, read_size, read_time
from storage.inventory.foreign.entry import Entry, HalfRead, Holds, rows_of_entries
from storage.inventory.foreign.lines import LineReader
from storage.inventory.foreign.spans import Places, Span, cut_paths, integers_in, texts_in, times_in
from storage.inventory.foreign.template import stands_at
from storage.inventory.formats import Format
from storage.inventory.misfits import Misfits

_LENGTH, _FILE, _SIZE, _MTIME = b"keylength.file=", b" file=", b" size=", b" mtime="
_LONGEST_LENGTH = 7
_HEAD = re.compile(rb"keylength\.file=([0-9]{1,%d}) file=" % _LONGEST_LENGTH)
_TIME = re.compile(rb" mtime=([^ \n]*)")
_CHECKSUM = re.compile(rb" xs=([0-9A-Za-z]*)(?= |\Z)")
_EXPECTED = '"keylength.file=LENGTH file=PATH size=…"'
_MOST_KEYS = 4
"""So many keys may stand between size and time."""

_LONGEST_NUMBER = 24

_IS_END = np.zeros(256, dtype=np.bool_)
_IS_END[list(b" \n")] = True

_NEWLINE, _EQUAL, _DOT = b"\n=."


@dataclass(frozen=True, slots=True)
class EosLengthsForm:
    """Nothing differs between two files of this kind."""

    format = Format.EOS
    # The next line may be the second half of a name.
    apart = False
    header = 0
    holds = Holds(times=True, checksums=True)

    @classmethod
    def of(cls, sample: Sequence[bytes]) -> EosLengthsForm | None:
        """Recognise it by how most lines begin, or the first one, where names go over several lines."""
        if _HEAD.match(sample[0]) is not None:
            return cls()
        return cls() if sum(line.startswith(_LENGTH) for line in sample) * 2 > len(sample) else None

    def reader(self, root: bytes | None, checksums: bool) -> EosLengthsReader:
        """Make a reader."""
        return EosLengthsReader(self.holds._replace(checksums=checksums), root)


class EosLengthsReader(LineReader):
    """Reads records, of which the last one of a chunk may go on in the next."""

    def __init__(self, holds: Holds, root: bytes | None) -> None:
        super().__init__(holds, root)
        self._begun = b""
        self._line = 0

    def read(self, chunk: Chunk, misfits: Misfits) -> Rows:
        """Read a chunk."""
        rows = None if self._begun else self.quick(chunk.data)
        return self._records(chunk, misfits) if rows is None else rows

    def quick(self, data: bytes) -> Rows | None:
        """Read all lines at once, or give None."""
        text = np.frombuffer(data, dtype=np.uint8)
        ends = np.flatnonzero(text == _NEWLINE)
        begins = _behind(text, np.append(0, ends[:-1] + 1), _LENGTH)
        lengths = None if begins is None else Span(begins, _number_ends(text, begins))
        if lengths is None or int((lengths.ends - lengths.starts).max()) > _LONGEST_LENGTH:
            return None
        counted, paths = integers_in(text, lengths), _behind(text, lengths.ends, _FILE)
        if counted is None or paths is None:
            return None
        # A path that is over before its line is has no newline in it.
        path = Span(paths, paths + counted)
        sizes = None if (path.ends >= ends).any() else _behind(text, path.ends, _SIZE)
        if sizes is None:
            return None
        size = Span(sizes, _number_ends(text, sizes))
        mtime = _times_of(text, size.ends, ends)
        if mtime is None or not all(_IS_END[text[span.ends]].all() for span in (size, mtime)):
            return None
        located, read, times = cut_paths(text, path), integers_in(text, size), times_in(data, text, mtime)
        if located is None or read is None or times is None:
            return None
        checksums = None
        if self.holds.checksums:
            tails = texts_in(data, Span(size.ends, ends))
            checksums = [match[1] if (match := _CHECKSUM.search(tail)) else b"" for tail in tails]
        return Rows(*located, read, times, checksums=checksums)

    def _records(self, chunk: Chunk, misfits: Misfits) -> Rows:
        """Read one record after the other, each as long as it says."""
        entries: list[Entry] = []
        data, line = self._begun + chunk.data, self._line if self._begun else chunk.first_line
        self._begun = b""
        position = 0
        while position < len(data):
            head = _HEAD.match(data, position)
            path_end = position if head is None else head.end() + int(head[1])
            if data.find(b"\n" + _LENGTH, position, path_end) >= 0:
                # The length is not true: no name has the next record in it.
                head, path_end = None, position
            end = data.find(b"\n", path_end)
            if end < 0 and path_end - position <= MAX_LINE:
                # A name with a newline goes on in the next chunk.
                self._begun, self._line = data[position:], line
                break
            if end < 0:
                # Nor is a length true that nothing of such a length follows.
                head, end = None, data.find(b"\n", position)
            record = data[position:end]
            position = end + 1
            self._take(record, head, line, misfits, entries)
            line += record.count(b"\n") + 1
        return rows_of_entries(entries, self.holds)

    def _take(
        self, record: bytes, head: re.Match[bytes] | None, line: int, misfits: Misfits, entries: list[Entry]
    ) -> None:
        if not record.strip():
            return
        if head is None:
            misfits.take(line, _EXPECTED, record)
            return
        start = head.end() - head.start()
        path, rest = record[start : start + int(head[1])], record[start + int(head[1]) :]
        try:
            entry = self._entry(path, rest)
        except HalfRead as half:
            misfits.take(line, str(half), record, known=True)
            entry = half.entry
        except ValueError as error:
            misfits.take(line, str(error), record)
            entry = None
        if entry is not None:
            entries.append(entry)

    def _entry(self, path: bytes, rest: bytes) -> Entry | None:
        if not rest.startswith(b" "):
            raise ValueError(f"{_EXPECTED}, the path as long as it says")
        if path.endswith(b"/") or b" container=" in rest:
            return None
        checksum = _CHECKSUM.search(rest)
        entry = Entry(*self.locate(path), checksum=b"" if checksum is None else checksum[1])
        size = rest.removeprefix(_SIZE).partition(b" ")[0]
        time = _TIME.search(rest)
        try:
            if not rest.startswith(_SIZE):
                raise ValueError("a size behind the path")
            mtime = UNKNOWN_MTIME if time is None else read_time(time[1])
            return entry._replace(size=read_size(size), mtime=mtime)
        except ValueError as error:
            raise HalfRead(str(error), entry) from error

    def finish(self, misfits: Misfits) -> None:
        """Say what is wrong with the end: a name that goes on where the dump stops."""
        if self._begun:
            misfits.take(self._line, f"{_EXPECTED}, the path as long as it says", self._begun)
            self._begun = b""


def _behind(text: Bytes, places: Places, literal: bytes) -> Places | None:
    """Give where the literal ends that stands at all of these places; None when it does not."""
    return places + len(literal) if stands_at(text, places, literal) else None


def _number_ends(text: Bytes, starts: Places) -> Places:
    """Give what is behind the digits that begin there, and behind a dot and others if there is one."""
    room = 2 * _LONGEST_NUMBER
    if int(starts.max()) + room > len(text):
        # Nothing stands behind the text.
        text = np.append(text, np.zeros(room, dtype=np.uint8))
    ends = _digit_ends(text, starts)
    dots = text[ends] == _DOT
    return _digit_ends(text, ends + dots) if dots.any() else ends


def _digit_ends(text: Bytes, starts: Places) -> Places:
    words, ends = words_in(text), starts
    for _ in range(_LONGEST_NUMBER // WORD):
        counts = leading_digits(words[ends])
        ends = ends + counts
        if int(counts.max()) < WORD:
            break
    return ends


def _times_of(text: Bytes, behind: Places, ends: Places) -> Span | None:
    """Find the times, the same number of keys behind the size on each line; None where they are not."""
    # Most have them right behind the size; what is between is looked for only where there is something.
    at = _behind(text, behind, _MTIME)
    if at is not None:
        return Span(at, _number_ends(text, at))
    equals = np.flatnonzero(text == _EQUAL)
    first = np.searchsorted(equals, behind)
    for key in range(_MOST_KEYS):
        at = equals[np.minimum(first + key, len(equals) - 1)] + 1
        if (at > ends).any():
            return None
        there = at - len(_MTIME) >= behind
        for offset, byte in enumerate(_MTIME):
            there &= text[at - len(_MTIME) + offset] == byte
        if there.all():
            return Span(at, _number_ends(text, at))
        if there.any():
            return None
    return None
