"""Filters: which files and directories are to be left alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine import paths


class PatternFilter:
    """Tells whether a path contains one of some plain substrings; there are no regular expressions in it.

    It tells the same of what is one of some ``directories``, or lies below it, by whole components.
    """

    def __init__(self, patterns: Sequence[bytes], directories: Sequence[bytes] = ()) -> None:
        self._patterns = tuple(pattern for pattern in patterns if pattern)
        self._directories = tuple(directories)

    def __bool__(self) -> bool:
        """Whether there is anything at all to leave alone."""
        return bool(self._patterns or self._directories)

    def __call__(self, path: bytes) -> bool:
        """Tell whether the path is to be left alone."""
        return any(pattern in path for pattern in self._patterns) or self.is_inside(path)

    def is_inside(self, path: bytes) -> bool:
        """Tell whether the path is to be left alone for the sake of a directory."""
        return any(paths.is_under(path, directory) for directory in self._directories)

    def which(self, path: bytes) -> tuple[bytes, ...]:
        """Name the patterns for whose sake the path is to be left alone."""
        return tuple(pattern for pattern in self._patterns if pattern in path)


class Counted:
    """A filter that counts how often it says that something is to be left alone."""

    def __init__(self, protects: Callable[[bytes], bool]) -> None:
        self._protects = protects
        self.count = 0

    def __call__(self, path: bytes) -> bool:
        """Ask the filter."""
        protected = self._protects(path)
        self.count += protected
        return protected


def either(*filters: Callable[[bytes], bool] | None) -> Callable[[bytes], bool] | None:
    """Give a filter that protects what one of some others does, asked in this order; None where there is none."""
    present = [each for each in filters if each is not None]
    if len(present) < 2:
        return present[0] if present else None
    return lambda path: any(protects(path) for protects in present)


def everything(_path: bytes) -> bool:
    """Protect every path."""
    return True
