"""Lines that do not fit: counted, and the first of them kept, where a few of them are let pass.

A line that nobody can read may stand for any file, or be the message of a program that could not look into some
directory. Whoever lets it pass has to know that the list is not the whole truth then: what it does not name may be
there all the same. Where only the path of a line can be read, its file is known, and nothing else of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from storage.inventory.errors import InventoryMalformed, malformed, place, shown

KEPT = 10
"""So many of the lines are kept, to be shown."""

ALL = 1.0
"""Lets every line pass, for those who only want to know what is in a file."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """A line that does not fit: its number, counted from 1, what was expected, and what stands there, for people.

    ``entry`` counts the entries up to it where they, and not the lines, tell where it is; 0 elsewhere.
    """

    line: int
    expected: str
    found: str
    entry: int = 0

    def __str__(self) -> str:
        return f'{place(self.line, self.entry)}: expected {self.expected}, found "{self.found}"'


@dataclass(slots=True)
class Misfits:
    """The lines of ``source`` that do not fit; ``allowed`` is the part of all lines that may be so, none by default.

    ``count`` counts them, ``lost`` those among them whose file nobody knows. ``first`` are the first ones. Lines of
    ``directories``, whose paths end with a slash, are passed over, and are none of them.
    """

    source: str
    allowed: float = 0.0
    count: int = 0
    lost: int = 0
    first: list[Misfit] = field(default_factory=list)
    directories: int = 0

    def take(self, line: int, expected: str, found: bytes, *, known: bool = False, entry: int = 0) -> None:
        """Take note of a line; ``known`` says that the path of its file could be read.

        Where there may be several entries in a line, ``entry`` counts them from the beginning of the file.

        Raises:
            InventoryMalformed: none is allowed.
        """
        # A line with fewer entries before it than lines is where one looks for it.
        entry = entry if entry > line else 0
        if not self.allowed:
            raise malformed(self.source, line, expected, found, entry)
        self.count += 1
        self.lost += not known
        if len(self.first) < KEPT:
            self.first.append(Misfit(line, expected, shown(found), entry))

    def check(self, lines: int) -> None:
        """Refuse a file of so many lines if too many of them do not fit.

        Raises:
            InventoryMalformed: the message has the first of them.
        """
        if self.count > self.allowed * lines:
            raise InventoryMalformed(
                f"inventory {self.source}: {self.count:,} of {lines:,} {self._kind(2)} do not fit, and MaxMalformed "
                f"lets {self.allowed:g} of them pass; the first is {self.first[0]}"
            )

    def words(self) -> str:
        """Say in one line what does not fit; empty when all does."""
        if not self.count:
            return ""
        lines = f"{self.count:,} {self._kind(self.count)} {'does' if self.count == 1 else 'do'}"
        known = self.count - self.lost
        of = "" if not known else f" ({known:,} of a file whose path is known)"
        return f"{lines} not fit{of}; the first is {self.first[0]}"

    def _kind(self, count: int) -> str:
        """Say what so many of them are."""
        one, several = ("entry", "entries") if self.first[0].entry else ("line", "lines")
        return one if count == 1 else several
