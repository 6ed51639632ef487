"""Regular expressions of rules, of which none keeps a run for ever.

Most take no time worth speaking of whatever the name. One in which what may be repeated is repeated, with several parts
of any length, or with many that may be left out, may take twice as long for each letter more of a name that it does not
fit: that is given up, and said, after `MOST_SECONDS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from engine import paths
from engine.lfn2path import Matcher
from storage.backends.protocols import BackendError
from storage.shown import printable, shown

MOST_SECONDS = 5.0
"""Seconds of CPU that a name may take; there are some millions of names."""

_MOST_REPEATED = 2
"""With so many parts of any length a name takes at most as many steps as the square of its length."""

_MOST_CHOICES = 8
"""Each alternative and each part that may be left out may double the steps, wherever it stands."""

_ONE_LETTER = re.compile(rb"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
"""What stands for one letter and may have signs in it that mean something elsewhere."""

_BRACE = re.compile(rb"(%b)|\{(?!\d*,?\d*\})" % _ONE_LETTER.pattern, re.DOTALL)
"""A brace that is none of a number: `regex` would take what is in it for how many letters may be wrong."""

_GROUP_REPEATED = re.compile(rb"\)[*+{]")
_REPEATED = re.compile(rb"[*+]|\{\d*,?\d*\}")
_CHOICE = re.compile(rb"\||(?<!\()\?")
# With blanks and comments that mean nothing, signs stand elsewhere than they seem to.
_COMMENT_OR_FLAG = re.compile(rb"\(\?[#a-z-]")


def is_quick(pattern: bytes) -> bool:
    """Tell whether a regular expression is quick whatever it is held against."""
    plain = _ONE_LETTER.sub(b"a", pattern)
    if _GROUP_REPEATED.search(plain) or _COMMENT_OR_FLAG.search(plain):
        return False
    return len(_REPEATED.findall(plain)) <= _MOST_REPEATED and len(_CHOICE.findall(plain)) <= _MOST_CHOICES


def matchers_of(where: str) -> Callable[[bytes], Matcher]:
    """Give what compiles the rules that stand ``where``, for messages."""

    def compiled(pattern: bytes) -> Matcher:
        matcher = re.compile(pattern)
        return matcher if is_quick(pattern) else _Limited(pattern, where)

    return compiled


class _Limited:
    """A regular expression that is given up when it takes too long.

    Raises:
        ValueError: it is none.
    """

    def __init__(self, pattern: bytes, where: str) -> None:
        # Imported here because most rules do without it.
        import regex

        try:
            self._compiled: Any = regex.compile(_BRACE.sub(lambda found: found[1] or b"\\{", pattern))
        except regex.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        self._where = where
        self._pattern = pattern

    @property
    def groups(self) -> int:
        """How many groups it has."""
        groups: int = self._compiled.groups
        return groups

    def fullmatch(self, text: bytes, /) -> Any:
        """Match all of a text.

        Raises:
            BackendError: it takes too long; no other name would be quicker.
        """
        try:
            # Others in the process go on meanwhile.
            return self._compiled.fullmatch(text, timeout=MOST_SECONDS, concurrent=True)
        except TimeoutError as error:
            rule, name = shown(paths.decode(self._pattern)), printable(paths.escape(text))
            raise BackendError(
                f"{self._where}: the rule {rule} takes more than {MOST_SECONDS:g} seconds for the name {name}: nothing "
                "that is repeated may be repeated in it, as in (a+)+, and few parts may be alternatives or left out"
            ) from error
