"""The share of files whose checksums are compared in each run, and where on the ring the next run begins.

Every file has a place on a ring, by its name. A run takes the files of an arc of it, and the next run goes on where
that one ended: so those are always taken that were compared the longest time ago, each once in a round, and what has
to be remembered is one place, however many files there are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

RING = 1 << 32
"""So many places there are."""

_MASK = RING - 1
_SPREADING = 0x9E3779B1
"""An odd number: multiplied by it, places that differ in their last digits differ in their first ones."""

_MOST_PARTS = 1_000_000
_TEXT = re.compile(r"([0-9]{1,7})\s*/\s*([0-9]{1,7})")


@dataclass(frozen=True, slots=True)
class Share:
    """``parts`` of so many, ``of``, are compared in each run.

    Raises:
        ValueError: not a part of a whole; says why.
    """

    parts: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.parts <= self.of:
            raise ValueError("the first number is 1 or more, and the second one not below it")
        if self.of > _MOST_PARTS:
            raise ValueError(f"more than {_MOST_PARTS:,} parts")

    def __str__(self) -> str:
        return f"{self.parts}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> Share:
        """Read ``n/t``.

        Raises:
            ValueError: it is none; says why.
        """
        match = _TEXT.fullmatch(text.strip())
        if match is None:
            raise ValueError("two numbers with a slash between them")
        return cls(int(match[1]), int(match[2]))

    @property
    def width(self) -> int:
        """How many places of the ring a run takes, rounded up, so that no round needs one run more."""
        return -(-RING * self.parts // self.of)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place on the ring, and a name there: several files can have one place, and are told apart by their names."""

    number: int = 0
    path: bytes = b""


BEGINNING = Place()


def place_of(path: bytes) -> Place:
    """Give the place of a file, by its LFN."""
    return Place((crc32(path) * _SPREADING) & _MASK, path)


@dataclass(frozen=True, slots=True)
class Arc:
    """What of the ring a run takes: ``width`` places from behind ``start`` on."""

    start: Place
    width: int

    @property
    def end(self) -> Place:
        """Where the next run begins when this one has compared all."""
        if self.width >= RING:
            return self.start
        return Place((self.start.number + self.width) & _MASK)

    def distance(self, place: Place) -> tuple[int, bytes]:
        """Give how far behind the start a place is, by which places are put in order."""
        far = (place.number - self.start.number) & _MASK
        if not far and place.path <= self.start.path:
            far = RING
        return far, place.path

    def holds(self, place: Place) -> bool:
        """Whether a place is within."""
        return self.width >= RING or self.distance(place)[0] < self.width

    def chosen(self, directory: bytes, names: Sequence[bytes]) -> list[int]:
        """Give the positions of those files of a directory that are within.

        This runs once for each file of a store, so it tells by the number alone; with a path as well there are few.
        """
        if self.width >= RING:
            return list(range(len(names)))
        base = crc32(directory if directory.endswith(b"/") else directory + b"/")
        start, width = self.start.number, self.width
        near = [
            at for at, name in enumerate(names) if (crc32(name, base) * _SPREADING - start) & _MASK < width
        ]  # fmt: skip
        if not self.start.path or not near:
            return near
        prefix = directory.rstrip(b"/") + b"/"
        return [at for at in near if self.holds(place_of(prefix + names[at]))]
