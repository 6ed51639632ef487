"""Writes the two snapshots of a made-up site that may be very large, as fast as one process can.

Run as a process of its own (``python -m benchmarks.scale_sites DIRECTORY DIRECTORIES``), so that the memory it takes is
not counted as anybody else's; see `benchmarks.measure`. What `benchmarks.names` writes for peers is left out, and each
directory is encoded once for both sides.
"""

from __future__ import annotations

import sys
from hashlib import shake_128
from pathlib import Path

from benchmarks.names import (
    BLOCKS_PER_DATASET,
    FILES_PER_DIRECTORY,
    TOP,
    WRITTEN,
    changed,
    dataset_path,
    parents,
)
from engine.columns import FileColumns
from engine.index import Entry
from engine.record import DirectoryRecord
from engine.states import State
from storage.snapshot import SnapshotHeader, SnapshotWriter, directory_frame

EVERY = 100
"""In every how many directories a file is missing from the store and another is one too many."""

SIDES = ("inventory", "remote")

_DIGITS = 32
"""Of a file's name, before its ending."""


def file_rows(directory: int) -> list[tuple[bytes, int, int]]:
    """Make the files of one directory: (name, size in bytes, mtime), sorted by name, the same in each run."""
    digits = shake_128(b"%d" % directory).hexdigest(FILES_PER_DIRECTORY * _DIGITS // 2).upper().encode()
    names = sorted(digits[start : start + _DIGITS] + b".root" for start in range(0, len(digits), _DIGITS))
    first = 1_000_000_000 + directory * 1000
    return [(name, first + number, WRITTEN) for number, name in enumerate(names)]


def write_sides(target: Path, directories: int) -> None:
    """Write ``inventory.snap`` and ``remote.snap``, with the same number of files in each."""
    inventory, remote = (
        SnapshotWriter(target / f"{side}.snap", SnapshotHeader("benchmark", side, WRITTEN, tops=(TOP,)))
        for side in SIDES
    )
    for record in parents(directories):
        for writer in (inventory, remote):
            writer.append(record)
    for directory in range(directories):
        path = b"%s/%04d" % (dataset_path(directory // BLOCKS_PER_DATASET), directory % BLOCKS_PER_DATASET)
        rows = file_rows(directory)
        record = DirectoryRecord(path, State.LISTED, listed_at=WRITTEN, files=FileColumns.from_sorted_rows(rows))
        frame = directory_frame(record)
        entries = (Entry.of(record, len(frame)),)
        inventory.append_frames(entries, frame)
        if directory % EVERY:
            remote.append_frames(entries, frame)
        else:
            files = FileColumns.from_sorted_rows(changed(rows))
            remote.append(DirectoryRecord(path, State.LISTED, listed_at=WRITTEN, files=files))
    inventory.finish()
    remote.finish()


if __name__ == "__main__":
    write_sides(Path(sys.argv[1]), int(sys.argv[2]))
