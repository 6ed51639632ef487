"""The checksum of a file, worked out by reading it."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Callable
from typing import Protocol

from engine.checksums.digest import ADLER32, MD5, WIDTHS, Checksum
from engine.listing import ChecksumOutcome, Failed, NoChecksum
from engine.states import Reason

_PIECE = 1 << 22
"""Bytes that are read at a time."""


_CHANGED = Failed(Reason.PARTIAL, "changed while it was read")


class _Sum(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class _Adler32:
    """Like what `hashlib` has."""

    def __init__(self) -> None:
        self._value = zlib.adler32(b"")

    def update(self, data: bytes, /) -> None:
        self._value = zlib.adler32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:0{WIDTHS[ADLER32]}x}"


def sum_of_file(path: bytes, algorithm: str, may_go_on: Callable[[], bool] = lambda: True) -> ChecksumOutcome:
    """Read a file to its end; what changes meanwhile, or takes until ``may_go_on`` says no, has no checksum.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb", buffering=0, opener=_open_at_once) as file:
        before = os.fstat(file.fileno())
        if not stat.S_ISREG(before.st_mode):
            return NoChecksum("no plain file")
        total = _new_sum(algorithm)
        if total is None:
            return NoChecksum(f"{algorithm or 'no algorithm'} is not worked out here")
        at = 0
        while data := file.read(_PIECE):
            total.update(data)
            # Nobody else wants it in memory because it was looked at here.
            os.posix_fadvise(file.fileno(), at, len(data), os.POSIX_FADV_DONTNEED)
            at += len(data)
            if at > before.st_size:
                # One that grows may do so for ever.
                return _CHANGED
            if not may_go_on():
                return Failed(Reason.TIMEOUT, f"not read to its end in time, {at} of {before.st_size} bytes")
        after = os.fstat(file.fileno())
    if (at, after.st_size, after.st_mtime_ns) != (before.st_size, before.st_size, before.st_mtime_ns):
        return _CHANGED
    return Checksum(algorithm, total.hexdigest())


def _open_at_once(path: bytes | str, flags: int) -> int:
    # What has become a pipe would wait for somebody who writes.
    return os.open(path, flags | os.O_NONBLOCK)


def _new_sum(algorithm: str) -> _Sum | None:
    if algorithm == ADLER32:
        return _Adler32()
    if algorithm == MD5:
        import hashlib

        return hashlib.md5(usedforsecurity=False)
    return None
