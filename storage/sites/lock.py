"""Locks that sites share which are listed in the same way: one of them is listed at a time.

A lock is a file in ``VarLocation/locks`` that is locked with ``flock``: it ends with the process that holds it, however
that ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from pathlib import Path
from types import TracebackType

from storage.runs.directory import RunDirError, directory_name

_GLANCE = 0.5
"""Seconds that others may hold the lock for no more than a look."""


class SiteLock:
    """One such lock, free as long as nobody acquires it. It raises `RunDirError` when its file cannot be used."""

    def __init__(self, var_location: Path, name: str) -> None:
        self.name = name
        self.path = var_location / "locks" / directory_name(name)
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock; gives whether it could be had, without waiting for whoever has it."""
        if self._descriptor is not None:
            return True
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise RunDirError(f"cannot use {self.path}: {error.strerror}") from error
        if not _take(descriptor, self.path, _GLANCE):
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back, if this has it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def is_held(self) -> bool:
        """Whether a process, this one included, has the lock now."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        except FileNotFoundError:
            return False
        except OSError as error:
            raise RunDirError(f"cannot use {self.path}: {error.strerror}") from error
        # Shared, so that two who look do not take each other for the holder.
        if not _take(descriptor, self.path, 0.0, fcntl.LOCK_SH):
            return True
        os.close(descriptor)
        return False

    def __enter__(self) -> SiteLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _take(descriptor: int, path: Path, patience: float, how: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file; it is closed unless that works."""
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > end:
                os.close(descriptor)
                return False
        except OSError as error:
            os.close(descriptor)
            raise RunDirError(f"cannot lock {path}: {error.strerror}") from error
        time.sleep(0.01)
