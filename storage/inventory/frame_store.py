"""Frames of directories that are held until their tree is known: in memory, and on disk where they are many.

On disk they are in a file without a name, which is gone with its process, however that ends. Each frame has a checksum
in it.
"""

from __future__ import annotations

import os
import tempfile
from array import array
from contextlib import suppress
from pathlib import Path
from typing import IO

from engine.columns import DIGEST_SIZE
from storage.file_bytes import read_at
from storage.inventory.packing import Packed
from storage.inventory.spill import damaged, scratch_error
from storage.snapshot import check_directory_frames

_NONE = -1
_BUFFER = 1 << 18


class FrameStore:
    """Keeps at most one frame for each directory, which is known by its number.

    ``files``, ``sizes``, ``newest`` and ``lengths`` are those of `storage.inventory.packing.Packed`, by the row that
    `row_of` gives; ``offsets`` say where a frame starts, and frames that came together stand together.
    """

    def __init__(self, scratch: Path | None, held: int) -> None:
        """Hold ``held`` bytes in memory; more is set aside in ``scratch``, in ``TMPDIR`` when it is None."""
        self._scratch = scratch
        self._most = held
        self._file: IO[bytes] | None = None
        self._end = 0
        self._held = bytearray()
        self._rows = array("i")
        self.offsets = array("q")
        self.lengths = array("q")
        self.files = array("q")
        self.sizes = array("q")
        self.newest = array("q")
        self._digests = bytearray()

    def add(self, numbers: list[int], packed: Packed) -> None:
        """Keep frames; ``numbers``, which ascend, are those of the directories, greater than any before.

        Raises:
            OSError: there is no room for them.
        """
        first = len(self.offsets)
        self._rows.extend([_NONE] * (numbers[0] - len(self._rows)))
        self._rows.extend(range(first, first + len(numbers)))
        for length in packed.lengths:
            self.offsets.append(self._end)
            self._end += length
        self.lengths.extend(packed.lengths)
        self.files.extend(packed.files)
        self.sizes.extend(packed.sizes)
        self.newest.extend(packed.newest)
        self._digests += packed.digests
        if self._file is None and len(self._held) + len(packed.frames) <= self._most:
            self._held += packed.frames
            return
        try:
            self._file = self._file or self._set_aside()
            self._file.write(packed.frames)
        except OSError as error:
            raise scratch_error(error, self._where) from error

    @property
    def _where(self) -> str:
        # What is never set aside needs no temporary directory, and there may be none.
        return tempfile.gettempdir() if self._scratch is None else os.fspath(self._scratch)

    def _set_aside(self) -> IO[bytes]:
        # It is given back by `close`.
        file: IO[bytes] = tempfile.TemporaryFile(buffering=_BUFFER, dir=self._where)  # noqa: SIM115
        try:
            file.write(self._held)
        except BaseException:
            with suppress(OSError):
                file.close()
            raise
        self._held = bytearray()
        return file

    def row_of(self, number: int) -> int:
        """Give the row of a directory's frame, or -1 when it has none."""
        return self._rows[number] if number < len(self._rows) else _NONE

    def digests(self, first: int, end: int) -> bytes:
        """Give the digests of the files in the frames of the rows from ``first`` to before ``end``."""
        return bytes(self._digests[first * DIGEST_SIZE : end * DIGEST_SIZE])

    def frames(self, first: int, end: int) -> bytes:
        """Give the frames of the rows from ``first`` to before ``end``.

        Raises:
            OSError: they cannot be read back, or are not what was written.
        """
        start, stop = self.offsets[first], self.offsets[end - 1] + self.lengths[end - 1]
        if self._file is None:
            return bytes(self._held[start:stop])
        try:
            self._file.flush()
            data = read_at(self._file.fileno(), start, stop - start)
            try:
                check_directory_frames(data, self.lengths[first:end])
            except ValueError as error:
                raise damaged() from error
        except OSError as error:
            raise scratch_error(error, self._where) from error
        return data

    def close(self) -> None:
        """Give its place on the disk back."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
