"""How lines begin, and end in numbers, for all who look at one line at a time."""

from __future__ import annotations

import re
from enum import Enum

SIZED = re.compile(rb"(.*[^ \t])[ \t]([0-9]+)", re.DOTALL)
TIMED = re.compile(rb"(.*[^ \t])[ \t]([0-9]+)[ \t]+(-?[0-9]+(?:\.[0-9]*)?)", re.DOTALL)

_MESSAGE = re.compile(
    rb"error\([0-9]+\): .*|"
    rb"[A-Za-z][\w.+-]*: .*: (?:Permission denied|Operation not permitted|Input/output error|Stale file handle|"
    rb"No such file or directory|Too many levels of symbolic links|Transport endpoint is not connected|"
    rb"Connection timed out|Operation timed out|Remote I/O error|No such device or address|Host is down)[.]?",
    re.DOTALL,
)
"""What programs such as ``find`` say of what they cannot look into; among names without a slash before them it looks
like one. Whoever has a file of such a name loses nothing but a part of the findings."""


class Beginning(Enum):
    """How each line of a list of paths begins; any way, where nothing is known.

    The value is what such a line has to match, and the words for it.
    """

    ABSOLUTE = (re.compile(rb"/|x?roots?://"), "an absolute path, as on most lines")
    # What find begins with where it is told to look into ".".
    DOTTED = (re.compile(rb"\./|\.(?:[ \t]+[-0-9.]+)*\Z"), 'a path that begins with "./", as on most lines')
    RELATIVE = (re.compile(rb"(?!(?:%b)\Z)" % _MESSAGE.pattern, re.DOTALL), "a path, and not the message of a program")
    ANY = (re.compile(rb""), "a path")

    def fits(self, line: bytes) -> bool:
        """Whether a line begins like that."""
        return self.value[0].match(line) is not None

    def check(self, line: bytes) -> None:
        """Refuse one that does not.

        Raises:
            ValueError: says what was expected.
        """
        if not self.fits(line):
            raise ValueError(self.value[1])
