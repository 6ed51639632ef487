"""Writing a snapshot, in one go or in several."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO

from engine.index import Entry, IndexBuilder, Leaves
from engine.record import DirectoryRecord
from storage.file_bytes import FileBytes
from storage.frames import make_frame
from storage.snapshot.header import SnapshotBusy, SnapshotError, SnapshotHeader
from storage.snapshot.layout import (
    HEADER,
    INDEX,
    MAGIC,
    TRAILER,
    TRAILER_MAGIC,
    directory_frame,
    pack_index,
    part_of,
    read_header,
    scan,
)

_LOCK_SECONDS = 20.0


class SnapshotWriter:
    """Appends directories to ``NAME.part`` and makes it ``NAME`` at the end.

    One writer a file: each holds a lock on it, which ends with its process. Every method may raise ``OSError`` (disk
    full, no permission); what was flushed before is then still whole, and can be gone on with by `resume`, but not by
    this writer.
    """

    def __init__(self, path: Path, header: SnapshotHeader) -> None:
        """Start a new file, dropping a part that an earlier writer left."""
        self._start(path, header)
        # A writer that was forgotten and still lives goes on with a file that has no name any more.
        self.part.unlink(missing_ok=True)
        self._file: BinaryIO = self.part.open("xb", buffering=1 << 20)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._offset = 0
        try:
            self._write(MAGIC + make_frame(HEADER, header.pack()))
            self.flush()
        except BaseException:
            self.discard()
            raise

    def _start(self, path: Path, header: SnapshotHeader) -> None:
        self.path = path
        self.part = part_of(path)
        self.header = header
        self.index = IndexBuilder()
        self._torn = False
        self._end = 0

    @classmethod
    def resume(
        cls,
        path: Path,
        see: Callable[[Entry, IndexBuilder], None] = lambda _entry, _index: None,
        header: SnapshotHeader | None = None,
    ) -> SnapshotWriter:
        """Go on with the part that an earlier writer left; its torn tail, if it has one, is cut off.

        ``see`` is shown everything that is in it, each with the index of what came before; its header must belong to
        the same as ``header``, if one is given.

        Raises:
            SnapshotError: there is nothing in it to go on from: it is no snapshot, of another version or site, or not
                even its header is whole.
            SnapshotBusy: another process keeps writing to it, or has just finished it.
            OSError: there is no part, or it cannot be read or written; nothing is known about what is in it.
        """
        writer = cls.__new__(cls)
        part = part_of(path)
        file = part.open("r+b", buffering=1 << 20)
        try:
            _lock(file, part)
            with closing(FileBytes(file, part)) as view:
                writer._start(path, read_header(part, view))
                wrong = "" if header is None else writer.header.differs(header)
                if wrong:
                    raise SnapshotError(f"{part}: {wrong}")

                def add(entry: Entry, offset: int) -> None:
                    see(entry, writer.index)
                    writer.index.add(entry, offset)

                end = scan(view, add)
            file.truncate(end)
            file.seek(end)
        except BaseException as error:
            file.close()
            if isinstance(error, ValueError):
                raise SnapshotError(f"{part}: cannot go on from this journal: {error}") from error
            raise
        writer._file, writer._offset = file, end
        return writer

    def append(self, record: DirectoryRecord) -> None:
        """Add one directory; its parent must have come before it."""
        frame = directory_frame(record)
        self.append_frames((Entry.of(record, len(frame)),), frame)

    def append_frames(self, entries: Iterable[Entry], frames: bytes) -> None:
        """Add directories whose frames stand one behind the other in ``frames``, in the order of ``entries``.

        Raises:
            ValueError: the lengths of the entries do not add up to their frames; nothing was added.
        """
        entries = tuple(entries)
        if sum(entry.length for entry in entries) != len(frames):
            raise ValueError("the lengths of the entries do not add up to their frames")
        offset = self._offset
        self._write(frames)
        for entry in entries:
            self.index.add(entry, offset)
            offset += entry.length

    def append_leaves(self, leaves: Leaves, frames: bytes) -> None:
        """Add directories whose frames stand one behind the other in ``frames``; as `append_frames`, from columns.

        Raises:
            ValueError: the lengths do not add up to the frames; nothing was added.
        """
        if sum(leaves.lengths) != len(frames):
            raise ValueError("the lengths of the entries do not add up to their frames")
        offset = self._offset
        self._write(frames)
        self.index.add_leaves(leaves, offset)

    def _write(self, data: bytes) -> None:
        if self._torn:
            raise OSError(errno.EIO, "an earlier write to it failed", str(self.part))
        # Of data that cannot be written to its end, nobody knows how much was.
        self._torn = True
        try:
            self._file.write(data)
        except OSError as error:
            raise self._named(error) from error
        self._torn = False
        self._offset += len(data)

    def _named(self, error: OSError) -> OSError:
        """Say which file it is about; a full disk is none that one could guess."""
        return OSError(error.errno, error.strerror, str(self.part))

    def flush(self) -> None:
        """Hand everything to the operating system, so that a killed process loses nothing."""
        try:
            self._file.flush()
        except OSError as error:
            raise self._named(error) from error

    def sync(self) -> None:
        """Force everything to the disk, so that a lost machine loses nothing."""
        self.flush()
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._named(error) from error

    def finish(self) -> None:
        """Write the index and give the file its name; a file of that name is replaced in one step.

        Raises:
            SnapshotError: another writer has started over in the meantime.
        """
        start = self._end = self._offset
        self._write(make_frame(INDEX, pack_index(self.index)))
        self._write(TRAILER.pack(start, TRAILER_MAGIC))
        self.sync()
        if not _has_name(self._file, self.part):
            raise SnapshotError(f"{self.part}: another writer has started over")
        # Closing it gives the lock to whoever waits to go on with the part, so its name goes first.
        os.replace(self.part, self.path)
        self._file.close()
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def reopen(self) -> None:
        """Go on with what was finished, which is a part again until it is finished once more.

        Raises:
            OSError: it cannot be done.
        """
        os.replace(self.path, self.part)
        file = self.part.open("r+b", buffering=1 << 20)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Where the index began; a process that ends before this leaves a part with an index, which is cut off later.
        file.truncate(self._end)
        file.seek(self._end)
        self._file, self._offset = file, self._end

    def close(self) -> None:
        """Stop here and keep the part, for a later `resume`."""
        try:
            self._file.close()
        except OSError as error:
            raise self._named(error) from error

    def discard(self) -> None:
        """Stop here and remove the part."""
        # What cannot be flushed to a full disk is not wanted any more.
        with suppress(OSError):
            self._file.close()
        self.part.unlink(missing_ok=True)


def _lock(file: BinaryIO, part: Path) -> None:
    """Wait for the end of a process that was told to stop, or was left behind, and still writes."""
    give_up = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            if time.monotonic() > give_up:
                raise SnapshotBusy(f"{part}: another process still writes to it") from error
            time.sleep(0.1)
    # To go on with a file that was finished meanwhile would cut the index off it.
    if not _has_name(file, part):
        raise SnapshotBusy(f"{part}: another process has finished it or started over")


def _has_name(file: BinaryIO, part: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(part))
    except FileNotFoundError:
        return False
