"""Files of an inventory that are set aside on disk while the rest is read, so that memory does not grow with them.

What was held is written directory by directory, in tree order, to a file without a name: it is gone with its process,
however that ends. At the end the files are read side by side from the start to the end. The format is private to one
process and not kept: a head with the directory's number, the length of each column and a checksum, then the columns;
behind the last one a head with the number -1.
"""

from __future__ import annotations

import errno
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from engine import paths
from storage.inventory.pieces import Piece
from storage.inventory.pool import PooledFiles

_HEAD = struct.Struct("<i?QQQQ")
_CHECKSUM = struct.Struct("<I")
_BUFFER = 1 << 18
_NO_DIRECTORY = -1


class Spill:
    """Pieces on disk, one a directory, given back in the order in which they were written."""

    def __init__(self, pooled: PooledFiles, directories: Sequence[bytes], scratch: Path | None) -> None:
        """Write everything in ``pooled``; ``directories`` are the canonical paths by number.

        ``scratch`` is where, ``TMPDIR`` when it is None.

        Raises:
            OSError: it cannot be written; nothing of it is left.
        """
        self.where = tempfile.gettempdir() if scratch is None else os.fspath(scratch)
        self.next_directory = _NO_DIRECTORY
        self._head = b""
        try:
            # It is given to whoever reads it back, who closes it.
            self._file: IO[bytes] = tempfile.TemporaryFile(buffering=_BUFFER, dir=self.where)  # noqa: SIM115
        except OSError as error:
            raise scratch_error(error, self.where) from error
        try:
            self._write(pooled, directories)
            self._advance()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise scratch_error(error, self.where) from error
            raise

    def _write(self, pooled: PooledFiles, directories: Sequence[bytes]) -> None:
        numbers = pooled.directories
        keys = [paths.tree_key(directories[number]) for number in numbers]
        for place in sorted(range(len(keys)), key=keys.__getitem__):
            piece = pooled.piece_at(place)
            columns = (piece.names, piece.sizes, piece.mtimes, piece.blocks)
            head = _HEAD.pack(numbers[place], piece.ascends, *map(len, columns))
            self._write_piece(head, b"".join(columns))
        self._write_piece(_HEAD.pack(_NO_DIRECTORY, True, 0, 0, 0, 0), b"")
        self._length = self._file.tell()
        self._file.seek(0)

    def _write_piece(self, head: bytes, data: bytes) -> None:
        self._file.write(head + _CHECKSUM.pack(zlib.crc32(data, zlib.crc32(head))) + data)

    def take(self) -> Piece:
        """Give the piece of ``next_directory`` and go on to the next one; behind the last it is -1.

        Raises:
            OSError: it cannot be read, or is not what was written.
        """
        _, ascends, *lengths = _HEAD.unpack(self._head)
        try:
            data = self._take(lengths)
            self._advance()
        except OSError as error:
            raise scratch_error(error, self.where) from error
        return Piece(*_cut(data, ascends, lengths))

    def check_end(self) -> None:
        """Make sure that every piece was taken; raises ``OSError``."""
        try:
            if self.next_directory != _NO_DIRECTORY:
                raise damaged()
            self._take(_HEAD.unpack(self._head)[2:])
        except OSError as error:
            raise scratch_error(error, self.where) from error

    def _take(self, lengths: Sequence[int]) -> bytes:
        wanted = sum(lengths)
        if wanted > self._length:
            raise damaged()
        data = self._file.read(wanted)
        if len(data) != wanted or zlib.crc32(data, zlib.crc32(self._head)) != self._checksum:
            raise damaged()
        return data

    def _advance(self) -> None:
        head = self._file.read(_HEAD.size + _CHECKSUM.size)
        if len(head) != _HEAD.size + _CHECKSUM.size:
            raise damaged()
        self._head = head[: _HEAD.size]
        (self._checksum,) = _CHECKSUM.unpack(head[_HEAD.size :])
        self.next_directory = _HEAD.unpack(self._head)[0]

    def close(self) -> None:
        """Give its place on the disk back."""
        # What cannot be flushed to a full disk is not wanted any more.
        with suppress(OSError):
            self._file.close()


def damaged() -> OSError:
    """Say that what comes back is not what was written."""
    return OSError(errno.EIO, "what was written there is damaged")


def scratch_error(error: OSError, where: str) -> OSError:
    """Say what was to be done there; a file without a name is none that one could guess."""
    what = f"{error.strerror or error} (the files of an inventory are put in order there)"
    return OSError(error.errno, what, where)


def _cut(data: bytes, ascends: bool, lengths: Sequence[int]) -> tuple[bytes, bool, bytes, bytes, bytes]:
    ends = [sum(lengths[:end]) for end in range(5)]
    names, sizes, mtimes, blocks = (data[ends[at] : ends[at + 1]] for at in range(4))
    return names, ascends, sizes, mtimes, blocks


def pieces_of(directory: int, spills: Sequence[Spill]) -> Iterator[Piece]:
    """Take the pieces of a directory from all spills that have one, in their order."""
    for spill in spills:
        if spill.next_directory == directory:
            yield spill.take()
