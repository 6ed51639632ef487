"""The bytes of a file, read where they are asked for.

Each is a read of its own and a copy of just what was asked for: a comparison opens a few thousand of a snapshot's
directories, far apart. Mapping the file instead costs a page fault for each and holds on to pages that nobody reads
again; and where a mapped file is cut short meanwhile, or its disk fails, the process is killed without a word.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO


def read_at(descriptor: int, start: int, length: int) -> bytes:
    """Give so many bytes of an open file from ``start`` on, fewer only where it ends.

    Raises:
        OSError: they cannot be read.
    """
    found = os.pread(descriptor, length, start)
    # The system gives at most 2 GiB at a time, and may give less.
    while len(found) < length:
        more = os.pread(descriptor, length - len(found), start + len(found))
        if not more:
            break
        found += more
    return found


class FileBytes:
    """A file as a sequence of bytes, as long as it was when it was opened.

    Slices without a step, from a start that is not negative, give ``bytes``; like those of any sequence they end where
    the file ends. The file is closed with `close`, or when nobody has it any more.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is closed.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        """Read from an open file, which the caller may close."""
        self._path = path
        self._descriptor = os.dup(file.fileno())
        self._length = os.fstat(self._descriptor).st_size

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> bytes:
        start = part.start or 0
        return self.read(start, (self._length if part.stop is None else part.stop) - start)

    def read(self, start: int, length: int) -> bytes:
        """Give so many bytes from ``start`` on, fewer only where the file ends."""
        # A length that comes from a damaged file must not be made room for.
        length = min(length, self._length - start)
        if length <= 0:
            return b""
        try:
            return read_at(self._descriptor, start, length)
        except OSError as error:
            if self._descriptor < 0:
                raise ValueError("the file is closed") from error
            raise OSError(error.errno, error.strerror, str(self._path)) from error

    def close(self) -> None:
        """Give the file back."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        # Where opening failed there is nothing to close.
        if hasattr(self, "_descriptor"):
            self.close()
