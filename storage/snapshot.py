"""The snapshot: journal of a running listing, cache of a finished one, and the form that moves between machines.

A snapshot is an append-only file of frames, one a directory, with an index at its end; ``docs/formats.md`` describes
it field by field. While it grows it is called ``NAME.part`` and can be read already; finishing it writes the index
and renames it, so that a file called ``NAME`` is always whole.

Errors:
    SnapshotError: the file is not a snapshot, is from a newer program, or is damaged beyond its last frames.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import msgpack
import numpy as np

from engine.columns import DIGEST_SIZE, FileColumns, Int64s
from engine.index import Entry, IndexBuilder
from engine.record import DirectoryRecord
from engine.table import DirectoryTable

MAGIC = b"DYNCONS\x01"
_TRAILER_MAGIC = b"DYNCEND\x01"
_FRAME = struct.Struct("<BII")
_TRAILER = struct.Struct("<Q8s")

_HEADER = 1
_DIRECTORY = 2
_INDEX = 3

_INDEX_COLUMNS = ("files", "sizes", "newest", "mtimes", "listed_at")


class SnapshotError(Exception):
    """A snapshot that cannot be used; the message names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class SnapshotHeader:
    """Where a snapshot comes from. ``created`` is in seconds since the epoch; ``tops`` are canonical paths."""

    kind: str
    source: str
    created: int
    site: str = ""
    tops: tuple[bytes, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def pack(self) -> bytes:
        """Encode for the first frame."""
        packed: bytes = msgpack.packb(asdict(self), unicode_errors="surrogateescape")
        return packed

    @classmethod
    def unpack(cls, packed: bytes) -> SnapshotHeader:
        """Decode the first frame; fields that a later version added are passed over."""
        fields: Any = msgpack.unpackb(packed, unicode_errors="surrogateescape")
        known = {name: value for name, value in fields.items() if name in cls.__dataclass_fields__}
        return cls(**{**known, "tops": tuple(known.get("tops", ()))})


def make_frame(kind: int, payload: bytes) -> bytes:
    """Put length and checksum before a payload."""
    return _FRAME.pack(kind, len(payload), zlib.crc32(payload, kind)) + payload


def directory_frame(record: DirectoryRecord) -> bytes:
    """Encode one directory as it stands in the file; what a lister sends and the coordinator appends unread."""
    return make_frame(_DIRECTORY, record.pack())


def is_snapshot(path: Path) -> bool:
    """Tell a snapshot from any other file by its first bytes."""
    with path.open("rb") as file:
        return file.read(len(MAGIC) - 1) == MAGIC[:-1]


def part_of(path: Path) -> Path:
    """Give the name that a snapshot has while it grows."""
    return path.with_name(path.name + ".part")


class SnapshotWriter:
    """Appends directories to ``NAME.part`` and makes it ``NAME`` at the end.

    One writer a file; whoever uses it sees to that. Every method may raise ``OSError`` (disk full, no permission);
    what was flushed before is then still whole.
    """

    def __init__(self, path: Path, header: SnapshotHeader) -> None:
        """Start a new file, dropping a part that an earlier writer left."""
        self._start(path, header)
        self._file: BinaryIO = self.part.open("wb", buffering=1 << 20)
        self._offset = 0
        self._write(MAGIC + make_frame(_HEADER, header.pack()))
        self.flush()

    def _start(self, path: Path, header: SnapshotHeader) -> None:
        self.path = path
        self.part = part_of(path)
        self.header = header
        self.index = IndexBuilder()

    @classmethod
    def resume(cls, path: Path) -> SnapshotWriter:
        """Go on with the part that an earlier writer left; its torn tail, if it has one, is cut off.

        Raises:
            SnapshotError: there is no part, or not even its header is whole.
        """
        writer = cls.__new__(cls)
        part = part_of(path)
        try:
            with part.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                header = _read_header(part, view)
                writer._start(path, header)
                end = _scan(view, writer.index.add)
        except (OSError, ValueError) as error:
            raise SnapshotError(f"{part}: cannot go on from this journal: {error}") from error
        writer._file = part.open("r+b", buffering=1 << 20)
        writer._file.truncate(end)
        writer._file.seek(end)
        writer._offset = end
        return writer

    def append(self, record: DirectoryRecord) -> None:
        """Add one directory; its parent must have come before it."""
        frame = directory_frame(record)
        self.append_frames((Entry.of(record, len(frame)),), frame)

    def append_frames(self, entries: Iterable[Entry], frames: bytes) -> None:
        """Add directories whose frames stand one behind the other in ``frames``, in the order of ``entries``."""
        offset = self._offset
        for entry in entries:
            self.index.add(entry, offset)
            offset += entry.length
        if offset != self._offset + len(frames):
            raise ValueError("the lengths of the entries do not add up to their frames")
        self._write(frames)

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._offset += len(data)

    def flush(self) -> None:
        """Hand everything to the operating system, so that a killed process loses nothing."""
        self._file.flush()

    def sync(self) -> None:
        """Force everything to the disk, so that a lost machine loses nothing."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def finish(self) -> None:
        """Write the index and give the file its name; a file of that name is replaced in one step."""
        start = self._offset
        self._write(make_frame(_INDEX, _pack_index(self.index)))
        self._write(_TRAILER.pack(start, _TRAILER_MAGIC))
        self.sync()
        self._file.close()
        os.replace(self.part, self.path)
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def close(self) -> None:
        """Stop here and keep the part, for a later `resume`."""
        self._file.close()

    def discard(self) -> None:
        """Stop here and remove the part."""
        self._file.close()
        self.part.unlink(missing_ok=True)


class Snapshot:
    """A snapshot opened for reading, finished or not.

    ``table`` has a row for each directory; files are read through ``mmap`` when a row is loaded. ``lost`` is the number
    of bytes of a torn tail that could not be read, 0 for a whole file; ``finished`` says whether it has its index.
    """

    def __init__(self, path: Path) -> None:
        """Open a snapshot.

        Raises:
            SnapshotError: not a snapshot, from a newer program, or damaged.
            OSError: the file cannot be read.
        """
        self.path = path
        with path.open("rb") as file:
            try:
                self._view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError as error:
                raise SnapshotError(f"{path}: not a snapshot: the file is empty") from error
        try:
            self.header = _read_header(path, self._view)
            index_start = _find_index(self._view)
            self.finished = index_start is not None
            self.lost = 0
            if index_start is not None:
                self.table = self._read_index(index_start)
            else:
                builder = IndexBuilder()
                self.lost = len(self._view) - _scan(self._view, builder.add)
                self.table = builder.table(self._loader)[0]
        except ValueError as error:
            raise SnapshotError(f"{path}: damaged snapshot: {error}") from error

    def _read_index(self, start: int) -> DirectoryTable:
        _, payload = _read_frame(self._view, start, _INDEX)
        fields: Any = msgpack.unpackb(payload, strict_map_key=False, unicode_errors="surrogateescape")

        def column(name: str) -> Int64s:
            return np.frombuffer(fields[name], dtype="<i8")

        count = len(fields["states"])
        columns = [column(name) for name in (*_INDEX_COLUMNS, "offsets", "lengths")]
        path_list = fields["paths"].split(b"\0") if count else []
        if len(fields["digests"]) != count * DIGEST_SIZE or any(len(c) != count for c in (path_list, *columns)):
            raise ValueError("the columns of the index differ in length")
        files, sizes, newest, mtimes, listed_at, offsets, lengths = columns
        return DirectoryTable(
            path_list,
            fields["states"],
            fields["reasons"],
            fields["digests"],
            files,
            sizes,
            newest,
            mtimes,
            listed_at,
            fields["details"],
            self._loader(offsets, lengths),
        )

    def _loader(self, offsets: Int64s, lengths: Int64s) -> Callable[[int], FileColumns]:
        view = self._view
        path = self.path

        def load(row: int) -> FileColumns:
            if not lengths[row]:
                return FileColumns()
            try:
                return DirectoryRecord.unpack(_read_frame(view, int(offsets[row]), _DIRECTORY)[1]).files
            except ValueError as error:
                raise SnapshotError(f"{path}: damaged snapshot: {error}") from error

        return load

    def close(self) -> None:
        """Give the file back; the table can no longer load."""
        self._view.close()


def _read_header(path: Path, view: mmap.mmap) -> SnapshotHeader:
    if view[: len(MAGIC) - 1] != MAGIC[:-1]:
        raise SnapshotError(f"{path}: not a snapshot: it does not start as one")
    version = view[len(MAGIC) - 1 : len(MAGIC)]
    if version != MAGIC[-1:]:
        raise SnapshotError(f"{path}: snapshot format {version[0] if version else '?'}; this program reads {MAGIC[-1]}")
    return SnapshotHeader.unpack(_read_frame(view, len(MAGIC), _HEADER)[1])


def _read_frame(view: mmap.mmap, offset: int, expected: int) -> tuple[int, bytes]:
    """Give the offset behind a frame and its payload; ValueError when it is not whole or of another kind."""
    start = offset + _FRAME.size
    if offset < 0 or start > len(view):
        raise ValueError(f"no frame at byte {offset}")
    kind, length, checksum = _FRAME.unpack_from(view, offset)
    payload = view[start : start + length]
    if kind != expected or len(payload) != length or zlib.crc32(payload, kind) != checksum:
        raise ValueError(f"the frame at byte {offset} does not match its checksum")
    return start + length, payload


def _find_index(view: mmap.mmap) -> int | None:
    if len(view) < _TRAILER.size:
        return None
    start, magic = _TRAILER.unpack_from(view, len(view) - _TRAILER.size)
    return int(start) if magic == _TRAILER_MAGIC else None


def _scan(view: mmap.mmap, add: Callable[[Entry, int], None]) -> int:
    """Read all whole directory frames from the start; give the offset behind the last of them."""
    offset, _ = _read_frame(view, len(MAGIC), _HEADER)
    while True:
        try:
            end, payload = _read_frame(view, offset, _DIRECTORY)
            record = DirectoryRecord.unpack(payload)
        except ValueError:
            return offset
        add(Entry.of(record, end - offset), offset)
        offset = end


def _pack_index(builder: IndexBuilder) -> bytes:
    table, offsets, lengths = builder.table(lambda _offsets, _lengths: lambda _row: FileColumns())
    fields: dict[str, Any] = {
        "paths": b"\0".join(table.paths),
        "states": table.states,
        "reasons": table.reasons,
        "digests": table.digests,
        "details": table.details,
        "offsets": offsets.tobytes(),
        "lengths": lengths.tobytes(),
    }
    for name in _INDEX_COLUMNS:
        fields[name] = getattr(table, name).tobytes()
    packed: bytes = msgpack.packb(fields, unicode_errors="surrogateescape")
    return packed
