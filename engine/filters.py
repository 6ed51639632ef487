"""Filters: which files and directories are to be left alone."""

from __future__ import annotations

from collections.abc import Sequence


class PatternFilter:
    """Tells whether a path contains one of some plain substrings; there are no regular expressions in it."""

    def __init__(self, patterns: Sequence[bytes]) -> None:
        self._patterns = tuple(pattern for pattern in patterns if pattern)

    def __bool__(self) -> bool:
        """Whether there is any pattern at all."""
        return bool(self._patterns)

    def __call__(self, path: bytes) -> bool:
        """Tell whether the path is to be left alone."""
        return any(pattern in path for pattern in self._patterns)


def everything(_path: bytes) -> bool:
    """Protect every path."""
    return True
