"""Taking away from a file system of this machine."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from engine.listing import Failed
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.posix import failure
from storage.removers.protocol import FOR_US

_RIGHTS = 0o777
_HERE, _NOT_OVER = -100, 1
_NOT_KNOWN = (errno.ENOSYS, errno.EINVAL)


class PosixRemover:
    """See `storage.removers.protocol.Remover`. A link is moved and deleted itself, never what it leads to."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def move(self, path: bytes, to: bytes) -> Failed | None:
        """Rename; what lies on another file system cannot be."""
        source, target = self._door.locate(path), self._door.locate(to)
        return _tried(lambda: _rename_to_nothing(source, target))

    def make_directory(self, path: bytes, mode: int = FOR_US) -> Failed | None:
        """Make it, with those above it; another mode than the usual one whatever this process has masked."""
        located = self._door.locate(path)

        def make() -> None:
            if mode == FOR_US:
                os.makedirs(located, mode, exist_ok=True)
                return
            with suppress(FileExistsError):
                os.makedirs(located, mode)
                # What it has from the one above it, such as its group's, stays.
                os.chmod(located, mode | (os.stat(located).st_mode & ~_RIGHTS & 0o7777))

        return _tried(make)

    def mode_of(self, path: bytes) -> int | None:
        """See `storage.removers.protocol.Remover`."""
        try:
            return os.stat(self._door.locate(path)).st_mode & _RIGHTS
        except (OSError, ValueError):
            return None

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


def _rename_to_nothing(source: bytes, target: bytes) -> None:
    """Rename, never over what is there.

    Raises:
        OSError: it was not renamed.
    """
    rename = _renameat2()
    # A name would end at such a byte.
    if rename is not None and b"\0" not in source + target:
        if rename(_HERE, source, _HERE, target, _NOT_OVER) == 0:
            return
        number = ctypes.get_errno()
        if number not in _NOT_KNOWN:
            raise OSError(number, os.strerror(number))
    # Not all file systems know how to do that at once.
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    os.rename(source, target)


@cache
def _renameat2() -> Any:
    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


def _tried(change: Callable[[], None]) -> Failed | None:
    try:
        change()
    except (OSError, ValueError) as error:
        return failure(error) if isinstance(error, OSError) else Failed(Reason.BAD_NAME, str(error))
    return None
