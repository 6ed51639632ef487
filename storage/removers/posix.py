"""Taking away from a file system of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable

from engine.listing import Failed
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.posix import failure

_FOR_US = 0o750
"""The mode of directories that are made."""


class PosixRemover:
    """See `storage.removers.protocol.Remover`. A link is moved and deleted itself, never what it leads to."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def move(self, path: bytes, to: bytes) -> Failed | None:
        """Rename; what lies on another file system cannot be."""
        source, target = self._door.locate(path), self._door.locate(to)
        if os.path.lexists(target):
            return Failed(Reason.SERVER, "something has its name there")
        return _tried(lambda: os.rename(source, target))

    def make_directory(self, path: bytes) -> Failed | None:
        """Make it, with those above it."""
        return _tried(lambda: os.makedirs(self._door.locate(path), _FOR_US, exist_ok=True))

    def remove(self, path: bytes) -> Failed | None:
        """Unlink."""
        return _tried(lambda: os.unlink(self._door.locate(path)))

    def remove_directory(self, path: bytes) -> Failed | None:
        """Remove what is empty."""
        return _tried(lambda: os.rmdir(self._door.locate(path)))

    def link(self, path: bytes, near: bytes) -> Failed | None:
        """See `storage.removers.protocol.Remover`."""
        return Failed(Reason.LINK, "a link") if os.path.islink(self._door.locate(path)) else None

    def close(self) -> None:
        """Hold nothing."""


def _tried(change: Callable[[], None]) -> Failed | None:
    try:
        change()
    except (OSError, ValueError) as error:
        return failure(error) if isinstance(error, OSError) else Failed(Reason.BAD_NAME, str(error))
    return None
