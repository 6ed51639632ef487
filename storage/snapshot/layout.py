"""How a snapshot stands on the disk: its names, its frames, and what is at its beginning and its end."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgpack

from engine.columns import FileColumns
from engine.index import Entry, IndexBuilder
from engine.record import DirectoryRecord, unpack_files
from storage.file_bytes import FileBytes
from storage.frames import FRAME_HEAD, check_frames, make_frame, read_frame
from storage.snapshot.header import SnapshotError, SnapshotHeader

MAGIC = b"DYNCONS\x01"
TRAILER_MAGIC = b"DYNCEND\x01"
TRAILER = struct.Struct("<Q8s")

HEADER = 1
DIRECTORY = 2
INDEX = 3

INDEX_COLUMNS = ("files", "sizes", "newest", "mtimes", "listed_at")
_PART = ".part"


def directory_frame(record: DirectoryRecord) -> bytes:
    """Encode one directory as it stands in the file; what a lister sends and the coordinator appends unread."""
    return make_frame(DIRECTORY, record.pack())


def check_directory_frames(frames: bytes, lengths: Iterable[int]) -> None:
    """Make sure that frames which were kept elsewhere, one behind the other, are what `directory_frame` made.

    Raises:
        ValueError: one of them is not.
    """
    check_frames(frames, lengths, DIRECTORY)


def files_of_frame(frame: bytes) -> FileColumns:
    """Give the files in what `directory_frame` made.

    Raises:
        ValueError: it is none.
    """
    check_frames(frame, (len(frame),), DIRECTORY)
    return unpack_files(memoryview(frame)[FRAME_HEAD:], None)


def is_snapshot(path: Path) -> bool:
    """Tell a snapshot from any other file by its first bytes."""
    with path.open("rb") as file:
        return file.read(len(MAGIC) - 1) == MAGIC[:-1]


def is_part(path: Path) -> bool:
    """Tell by its name a snapshot that still grows, or was left unfinished."""
    return path.name.endswith(_PART)


def part_of(path: Path) -> Path:
    """Give the name that a snapshot has while it grows."""
    return path.with_name(path.name + _PART)


def read_header(path: Path, view: FileBytes) -> SnapshotHeader:
    """Read what stands at the beginning.

    Raises:
        SnapshotError: it is no snapshot, or one of another version.
        ValueError: its header is damaged.
    """
    if view[: len(MAGIC) - 1] != MAGIC[:-1]:
        raise SnapshotError(f"{path}: not a snapshot: it does not start as one")
    version = view[len(MAGIC) - 1 : len(MAGIC)]
    if version != MAGIC[-1:]:
        raise SnapshotError(f"{path}: snapshot format {version[0] if version else '?'}; this program reads {MAGIC[-1]}")
    return SnapshotHeader.unpack(read_frame(view, len(MAGIC), HEADER)[1])


def find_index(view: FileBytes) -> int:
    """Give the offset of the frame of the index.

    Raises:
        ValueError: it does not end with one.
    """
    if len(view) >= TRAILER.size:
        start, magic = TRAILER.unpack(view.read(len(view) - TRAILER.size, TRAILER.size))
        if magic == TRAILER_MAGIC:
            return int(start)
    raise ValueError("it does not end with an index")


def scan(view: FileBytes, add: Callable[[Entry, int], None]) -> int:
    """Read all whole directory frames from the start; give the offset behind the last of them."""
    offset, _ = read_frame(view, len(MAGIC), HEADER)
    while True:
        try:
            end, payload = read_frame(view, offset, DIRECTORY)
            record = DirectoryRecord.unpack(payload)
        except ValueError:
            return offset
        add(Entry.of(record, end - offset), offset)
        offset = end


def pack_index(builder: IndexBuilder) -> bytes:
    """Encode what the last frame holds: a column for each thing that is known of all directories."""
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
    for name in INDEX_COLUMNS:
        fields[name] = getattr(table, name).tobytes()
    if table.ids is not None:
        fields["ids"] = table.ids.tobytes()
    packed: bytes = msgpack.packb(fields, unicode_errors="replace")
    return packed
