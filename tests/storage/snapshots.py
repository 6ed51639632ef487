"""A snapshot that has everything in it that the format can hold, and how to look into one."""

import struct
import zlib
from pathlib import Path

from engine.columns import NO_FILES, UNKNOWN_MTIME, UNKNOWN_SIZE, DirectoryColumns, FileColumns
from engine.record import DirectoryRecord
from engine.states import Reason, State
from engine.table import DirectoryTable
from storage.snapshot import (
    MAGIC,
    Snapshot,
    SnapshotHeader,
    SnapshotWriter,
    part_of,
)

GOLDEN = Path(__file__).parent / "golden" / "version-1.snapshot"

WITH_IDS = GOLDEN.with_name("version-1-ids.snapshot")

FRAME = struct.Struct("<BII")
TRAILER = struct.Struct("<Q8s")

HEADER = SnapshotHeader(
    "listing",
    "root://door.example:1094",
    1_700_000_000,
    "T2_EXAMPLE",
    (b"/store/mc", b"/store/\xff"),
    {"note": "größe"},
)


def files(*rows: tuple[bytes, int, int], blocks: bytes = b"") -> FileColumns:
    columns = FileColumns.from_rows(rows)
    return FileColumns(columns.names, columns.sizes, columns.mtimes, blocks)


def listed(path: bytes, held: FileColumns = NO_FILES, *children: tuple[bytes, int]) -> DirectoryRecord:
    return DirectoryRecord(
        path, State.LISTED, Reason.NONE, "", 1_700_000_100, held, DirectoryColumns.from_rows(children)
    )


RECORDS = [
    listed(b"/store/mc", NO_FILES, (b"a", 1_600_000_000), (b"a-b", UNKNOWN_MTIME), (b"queue", 5), (b"secret", 6)),
    DirectoryRecord(b"/store/mc/a", State.FAILED, Reason.TIMEOUT, "after 30 s", 1_700_000_101),
    DirectoryRecord(b"/store/mc/secret", State.IGNORED, Reason.IGNORED),
    listed(
        b"/store/mc/a-b",
        files(
            (b"blank name", 0, 1_650_000_000),
            (b"new\nline", 2**40, -1),
            (b"\xff", UNKNOWN_SIZE, UNKNOWN_MTIME),
            blocks=b"/data#1\0\0/data#2",
        ),
    ),
    # The second answer for a directory replaces the first.
    listed(b"/store/mc/a", files((b"f", 7, 1_690_000_000)), (b"x", 9)),
    listed(b"/store/mc/a/x"),
    DirectoryRecord(b"/store/\xff", State.FAILED, Reason.SERVER, "überlastet"),
]
"""Every state, and everything else that the format can hold."""

LATEST = {record.path: record for record in RECORDS}


def write_golden(path: Path) -> None:
    """Write the snapshot that stands in ``golden`` for version 1."""
    writer = SnapshotWriter(path, HEADER)
    for record in RECORDS:
        writer.append(record)
    writer.finish()


def write_with_ids(path: Path) -> None:
    """Write the snapshot that stands in ``golden`` beside it, whose directories have ids."""
    writer = SnapshotWriter(path, HEADER)
    children = DirectoryColumns.with_ids([(b"b", 6, 2**62), (b"a", 5, -7), (b"link", 5, -7), (b"unknown", 8, 0)])
    writer.append(DirectoryRecord(b"/store/mc", State.LISTED, Reason.OTHERS, "", 1_700_000_100, NO_FILES, children))
    writer.append(listed(b"/store/mc/a", files((b"f", 7, 1_690_000_000))))
    writer.append(DirectoryRecord(b"/store/mc/link", State.FAILED, Reason.LINK, "the same"))
    writer.finish()


def rows_of(table: DirectoryTable) -> list[tuple[object, ...]]:
    """Give everything that a table says, its files too."""
    return [
        (
            table.paths[row],
            table.state(row),
            table.reason(row),
            table.details.get(row, ""),
            table.digest(row),
            int(table.files[row]),
            int(table.sizes[row]),
            int(table.newest[row]),
            int(table.mtimes[row]),
            int(table.listed_at[row]),
            table.load(row),
        )
        for row in range(len(table))
    ]


def read(path: Path) -> tuple[list[tuple[object, ...]], int]:
    snapshot = Snapshot(path)
    try:
        return rows_of(snapshot.table), snapshot.lost
    finally:
        snapshot.close()


def part_with(path: Path, records: list[DirectoryRecord]) -> Path:
    writer = SnapshotWriter(path, HEADER)
    for record in records:
        writer.append(record)
    writer.close()
    return part_of(path)


def frames_of(content: bytes) -> list[tuple[int, int]]:
    """Give start and end of each frame, worked out from ``docs/formats.md`` alone."""
    found, start = [], len(MAGIC)
    while start + FRAME.size <= len(content):
        kind, length, checksum = FRAME.unpack_from(content, start)
        payload = content[start + FRAME.size : start + FRAME.size + length]
        if len(payload) < length or zlib.crc32(payload, kind) != checksum:
            break
        found.append((start, start + FRAME.size + length))
        start = found[-1][1]
    return found
