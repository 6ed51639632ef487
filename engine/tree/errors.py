"""Errors that a tree raises.

TreeError
├── BadPath       a path or name that does not make sense here
├── NotEmpty      a directory that is not known to be empty and old was to be removed
└── NeverFilled   sizes were asked of a directory whose files were never given; also a TypeError
"""

from __future__ import annotations


class TreeError(Exception):
    """The base of all errors of a tree."""


class BadPath(TreeError):
    """A path or name does not make sense here."""


class NotEmpty(TreeError):
    """A directory that is not known to be empty and old was to be removed."""


class NeverFilled(TreeError, TypeError):
    """Sizes were asked of a directory whose files were never given."""
