"""Elements that differ in their fields alone, one behind the other, wherever lines end.

JSON and XML have a byte that stands in no field unless it is escaped: the anchor. All of them are between fields, so
many to an element, so that each says by its number which element it is of. Every byte between fields, and between two
elements, is then compared. As soon as anything is not exactly like that, nothing is said of any of them.
"""

from __future__ import annotations

import numpy as np

from storage.inventory.foreign.spans import Span
from storage.inventory.foreign.template import Found, stands_at


class Series:
    """What the elements have in common.

    ``literals`` has one more than ``names``: what stands before each field, and behind the last one. The first one
    begins behind the element before. All but the last have the ``anchor`` in them, which is one byte. Fields without a
    name are passed over.
    """

    def __init__(self, anchor: bytes, literals: tuple[bytes, ...], names: tuple[str, ...]) -> None:
        self.literals = literals
        self._anchor = anchor
        self._names = names
        counts = [literal.count(anchor) for literal in literals]
        self._total = sum(counts)
        # Which anchor of an element is the first one of each literal.
        self._columns = [sum(counts[:position]) for position in range(len(literals))]
        # Neither of two literals can reach into the other where an anchor is at the end of one of them.
        self._touching = {
            position
            for position in range(1, len(literals))
            if not literals[position - 1].endswith(anchor) and not literals[position].startswith(anchor)
        }

    @property
    def newlines(self) -> int:
        """How many lines end in each element, or before it."""
        return sum(literal.count(b"\n") for literal in self.literals)

    @property
    def controls(self) -> int:
        """How many control characters are in each element, newlines among them, if there are none in its fields."""
        return sum(byte < ord(" ") for literal in self.literals for byte in literal)

    def find(self, data: bytes) -> Found | None:
        """Find the fields of elements that are all there is; None when one of them does not fit."""
        text = np.frombuffer(data, dtype=np.uint8)
        anchors = np.flatnonzero(text == self._anchor[0])
        count = len(anchors) // self._total
        if not count or count * self._total != len(anchors):
            return None
        grid = anchors.reshape(count, self._total)
        starts = grid[:, 0] - self.literals[0].index(self._anchor)
        if starts[0] != 0:
            return None
        before = starts
        ends = np.append(starts[1:], len(text))
        last = len(self.literals) - 1
        spans: dict[str, Span] = {}
        for position, literal in enumerate(self.literals):
            if position == last:
                places = ends - len(literal)
            else:
                places = grid[:, self._columns[position]] - literal.index(self._anchor)
            if position in self._touching and (places < before).any():
                return None
            if not stands_at(text, places, literal):
                return None
            if position and self._names[position - 1]:
                spans[self._names[position - 1]] = Span(before, places)
            before = places + len(literal)
        return Found(data, text, spans)
