"""The snapshot: journal of a running listing, cache of a finished one, and the form that moves between machines.

A snapshot is an append-only file of frames, one a directory, with an index at its end; ``docs/formats.md`` describes
it field by field. While it grows it is called ``NAME.part`` and can be read already; finishing it writes the index
and renames it, so that a file called ``NAME`` is always whole, and one that is not is refused.

Errors:
    SnapshotError: the file is not a snapshot, is from a newer program, or is damaged; of a part, everything before the
        first damaged frame can still be read.
        SnapshotBusy: nothing is wrong with it, but another process has it.
"""

from __future__ import annotations

from storage.snapshot.header import (
    MISFITS,
    NOTHING_TAKEN,
    TAKEN_UNTIL,
    UNREAD,
    SnapshotBusy,
    SnapshotError,
    SnapshotHeader,
)
from storage.snapshot.layout import (
    MAGIC,
    check_directory_frames,
    directory_frame,
    files_of_frame,
    is_part,
    is_snapshot,
    part_of,
)
from storage.snapshot.reader import Snapshot, damage
from storage.snapshot.writer import SnapshotWriter

__all__ = [
    "MAGIC",
    "MISFITS",
    "NOTHING_TAKEN",
    "TAKEN_UNTIL",
    "UNREAD",
    "Snapshot",
    "SnapshotBusy",
    "SnapshotError",
    "SnapshotHeader",
    "SnapshotWriter",
    "check_directory_frames",
    "damage",
    "directory_frame",
    "files_of_frame",
    "is_part",
    "is_snapshot",
    "part_of",
]
