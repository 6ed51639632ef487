"""Lines that differ in their fields alone, found with a few passes over all bytes instead of some for each line.

Most dumps are made of such lines: between fields stand the same bytes on each of them, such as ``" size="`` or
``"</size><ctime>"``. One byte of these, the anchor, tells where they are: a field has none, but for the path, so that
what stands before the path is counted from the left and what stands behind it from the right. Every byte between fields
is then compared. As soon as a line is not exactly like that, nothing is said of any of them, and whoever asked reads
them one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.columns import Int64s
from storage.inventory.digits import WORD, word, words_in
from storage.inventory.entries import Bytes
from storage.inventory.foreign.spans import Places, Span, cut_paths, integers_in, texts_in, times_in

PATH = "path"
"""The name of the field that may have the anchor in it."""

_NEWLINE = b"\n"[0]


@dataclass(frozen=True, slots=True)
class Found:
    """The fields of all lines, by their names."""

    data: bytes
    text: Bytes
    spans: dict[str, Span]

    def paths(self, *, relative: bool = False) -> tuple[list[bytes], list[bytes]] | None:
        """Cut the paths into directories and names; see `cut_paths`."""
        return cut_paths(self.text, self.spans[PATH], relative=relative)

    def integers(self, name: str) -> Int64s | None:
        """Read a field of digits."""
        return integers_in(self.text, self.spans[name])

    def times(self, name: str) -> Int64s | None:
        """Read a field of times."""
        return times_in(self.data, self.text, self.spans[name])

    def texts(self, name: str) -> list[bytes]:
        """Cut a field out; where it is the same on all lines, there is one object of it."""
        span = self.spans[name]
        first = self.data[span.starts[0] : span.ends[0]]
        same = (span.ends - span.starts == len(first)).all() and stands_at(self.text, span.starts, first)
        return [first] * len(span.starts) if same else texts_in(self.data, span)


@dataclass(frozen=True, slots=True)
class Template:
    """What the lines have in common.

    ``literals`` has one more than ``names``: what stands before each field, and behind the last one. All but the first
    and the last have the ``anchor`` in them, which is one byte. Fields without a name are passed over.
    """

    anchor: bytes
    literals: tuple[bytes, ...]
    names: tuple[str, ...]

    def find(self, data: bytes) -> Found | None:
        """Find the fields in lines, each ended by a newline and without NUL; None when one of them does not fit."""
        text = np.frombuffer(data, dtype=np.uint8)
        ends = np.flatnonzero(text == _NEWLINE)
        if not len(ends) or ends[-1] != len(text) - 1:
            return None
        at = self._places(text, ends)
        if at is None or not self._fits(text, at):
            return None
        lengths = [len(literal) for literal in self.literals]
        spans = {
            name: Span(at[position] + lengths[position], at[position + 1])
            for position, name in enumerate(self.names)
            if name
        }
        return Found(data, text, spans)

    def _places(self, text: Bytes, ends: Places) -> list[Places] | None:
        """Say where each literal begins on each line, if the anchors are where they should be."""
        anchors = np.flatnonzero(text == self.anchor[0])
        counts = [literal.count(self.anchor) for literal in self.literals]
        total = sum(counts)
        found = _of_lines(anchors, ends, total, PATH in self.names)
        if found is None:
            return None
        left, right = found
        path = self.names.index(PATH) if PATH in self.names else len(self.names)
        places = [np.append(0, ends[:-1] + 1)]
        seen = counts[0]
        for position, literal in enumerate(self.literals[1:], 1):
            if not counts[position]:
                places.append(ends - len(literal))
                continue
            start = anchors[left + seen] if position <= path else anchors[right - (total - seen)]
            places.append(start - literal.index(self.anchor))
            seen += counts[position]
        return places

    def _fits(self, text: Bytes, at: list[Places]) -> bool:
        """Compare all bytes between fields."""
        for position, literal in enumerate(self.literals):
            if position and (at[position] < at[position - 1] + len(self.literals[position - 1])).any():
                return False
            if not stands_at(text, at[position], literal):
                return False
        return True


def _of_lines(anchors: Places, ends: Places, total: int, more: bool) -> tuple[Places, Places] | None:
    """Give for each line which of the anchors is its first one, and which comes behind its last one.

    None where a line has another number of them than ``total``, or, if there may be ``more``, fewer.
    """
    lines = len(ends)
    if total and len(anchors) == lines * total:
        grid = anchors.reshape(lines, total)
        if (grid[:, -1] < ends).all() and (grid[1:, 0] > ends[:-1]).all():
            left = np.arange(0, lines * total, total)
            return left, left + total
    right = np.searchsorted(anchors, ends)
    left = np.append(0, right[:-1])
    there = right - left
    return None if (there < total).any() or (not more and (there != total).any()) else (left, right)


def stands_at(text: Bytes, places: Places, literal: bytes) -> bool:
    """Tell whether the literal stands at all of these places, one at least; eight bytes are compared at a time."""
    last = int(places.max())
    if int(places.min()) < 0 or last + len(literal) > len(text):
        return False
    if len(literal) < WORD:
        if last + WORD > len(text):
            return all((text[places + offset] == byte).all() for offset, byte in enumerate(literal))
        mask, wanted = word(b"\xff" * len(literal)), word(literal)
        return bool(((words_in(text)[places] & mask) == wanted).all())
    words = words_in(text)
    offsets = [*range(0, len(literal) - WORD, WORD), len(literal) - WORD]
    return all(bool((words[offset:][places] == word(literal[offset : offset + WORD])).all()) for offset in offsets)
