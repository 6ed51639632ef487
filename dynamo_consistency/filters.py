"""Tools for filtering file names out of the result of a comparison.

Each filter can be called with the name of a file, as `datatypes.compare` does with its checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine import filters, paths


class Filters:
    """Protects what one of several functions protects."""

    def __init__(self, *args: Callable[[str], bool]) -> None:
        self._functions = list(args)

    def add(self, func: Callable[[str], bool]) -> None:
        """Add a function of one file name. Exceptions should be handled by the function."""
        self._functions.append(func)

    def protected(self, file_name: str) -> bool:
        """Tell whether one of the functions returns true for the name. Exceptions are not handled here."""
        return any(func(file_name) for func in self._functions)

    __call__ = protected


class FullFilter:
    """Protects every file."""

    def protected(self, _: str) -> bool:
        """Return true without looking at the name."""
        return filters.everything(b"")

    __call__ = protected


class PatternFilter:
    """Protects files whose names contain one of the patterns, plain strings; an empty one counts for nothing."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._filter = filters.PatternFilter([paths.encode(pattern) for pattern in patterns])

    def protected(self, file_name: str) -> bool:
        """Tell whether one of the patterns is in the name."""
        return self._filter(paths.encode(file_name))

    __call__ = protected
