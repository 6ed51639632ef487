"""What is done to a store through one door.

A remover asks once and reports faithfully, as listers do. What it is told to change was looked at before, and is looked
at again by whoever tells it: an answer that got lost says nothing.
"""

from __future__ import annotations

from typing import Protocol

from engine.listing import Failed

FOR_US = 0o750
"""The mode of directories that are made for what is put aside."""


class Remover(Protocol):
    """Changes one store, from any thread; paths are canonical absolute LFNs. None says that it was done."""

    def move(self, path: bytes, to: bytes) -> Failed | None:
        """Move a file, or a directory with all that is in it, to where nothing is. Whatever is there may be lost."""

    def make_directory(self, path: bytes, mode: int = FOR_US) -> Failed | None:
        """Make a directory and those above it; one that is there is as good. Not every protocol can say the mode."""

    def mode_of(self, path: bytes) -> int | None:
        """Give the mode of a directory that is there; None where the protocol or the server does not tell it."""

    def remove(self, path: bytes) -> Failed | None:
        """Delete one file for good."""

    def remove_directory(self, path: bytes) -> Failed | None:
        """Delete one directory, which is empty."""

    def link(self, path: bytes, near: bytes) -> Failed | None:
        """Say that a path is a link, through which others would be changed; None if not, as far as that can be told.

        ``near`` is a directory in which another one may be made for a moment.
        """

    def close(self) -> None:
        """Give back what it holds; further calls fail."""
