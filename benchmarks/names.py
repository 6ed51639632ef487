"""Writes a large made-up site and its inventory: as snapshots, and as lists of names for peers that read text.

Run as a process of its own (``python -m benchmarks.names DIRECTORY DIRECTORIES``), so that the memory it takes is not
counted as anybody else's; see `benchmarks.measure`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path

from engine import paths
from engine.columns import DirectoryColumns, FileColumns
from engine.record import DirectoryRecord
from engine.states import State
from storage.snapshot import SnapshotHeader, SnapshotWriter

TOP = b"/store"
FILES_PER_DIRECTORY = 100
BLOCKS_PER_DATASET = 100
WRITTEN = 1_700_000_000
"""The time of every file and listing, in seconds since the epoch."""

LISTS = {"inventory": 0, "remote-10": 10, "remote-1": 100}
"""Each list, and in every how many directories a file is missing from it and another is one too many (0: in none)."""


def file_name(directory: int, number: int) -> bytes:
    """Make a name as long as those that experiments use, the same in each run."""
    digits = blake2b(b"%d %d" % (directory, number), digest_size=16).hexdigest().upper()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}.root".encode()


def file_rows(directory: int) -> list[tuple[bytes, int, int]]:
    """Make the files of one directory: (name, size in bytes, mtime), sorted by name."""
    return sorted(
        (file_name(directory, number), 1_000_000_000 + directory * 1000 + number, WRITTEN)
        for number in range(FILES_PER_DIRECTORY)
    )


def changed(rows: list[tuple[bytes, int, int]]) -> list[tuple[bytes, int, int]]:
    """Drop one file in the middle and add another."""
    middle = len(rows) // 2
    return sorted([*rows[:middle], *rows[middle + 1 :], (b"orphan-" + rows[middle][0], 1, WRITTEN)])


def dataset_path(dataset: int) -> bytes:
    """Give the path of a dataset."""
    return b"%s/RunIISummer20UL18_Sample-%05d_TuneCP5_13TeV-pythia8" % (TOP, dataset)


def parents(directories: int) -> Iterator[DirectoryRecord]:
    """Make the directories above those that hold files."""
    datasets = -(-directories // BLOCKS_PER_DATASET)
    names = [(paths.name_of(dataset_path(dataset)), WRITTEN) for dataset in range(datasets)]
    yield DirectoryRecord(TOP, State.LISTED, listed_at=WRITTEN, directories=DirectoryColumns.from_rows(names))
    for dataset in range(datasets):
        blocks = min(BLOCKS_PER_DATASET, directories - dataset * BLOCKS_PER_DATASET)
        block_names = DirectoryColumns.from_rows((b"%04d" % block, WRITTEN) for block in range(blocks))
        yield DirectoryRecord(dataset_path(dataset), State.LISTED, listed_at=WRITTEN, directories=block_names)


def write_lists(target: Path, directories: int) -> None:
    """Write ``NAME.snap`` and ``NAME.txt`` for each of `LISTS`; every list has the same number of files."""
    with ExitStack() as stack:
        texts = {name: stack.enter_context((target / f"{name}.txt").open("wb", buffering=1 << 20)) for name in LISTS}
        snapshots = {
            name: SnapshotWriter(target / f"{name}.snap", SnapshotHeader("benchmark", name, WRITTEN, tops=(TOP,)))
            for name in LISTS
        }
        for record in parents(directories):
            for snapshot in snapshots.values():
                snapshot.append(record)
        for directory in range(directories):
            path = b"%s/%04d" % (dataset_path(directory // BLOCKS_PER_DATASET), directory % BLOCKS_PER_DATASET)
            rows = file_rows(directory)
            for name, every in LISTS.items():
                held = changed(rows) if every and directory % every == 0 else rows
                files = FileColumns.from_sorted_rows(held)
                snapshots[name].append(DirectoryRecord(path, State.LISTED, listed_at=WRITTEN, files=files))
                texts[name].write(b"".join([b"%s/%s\n" % (path, row[0]) for row in held]))
        for snapshot in snapshots.values():
            snapshot.finish()


if __name__ == "__main__":
    write_lists(Path(sys.argv[1]), int(sys.argv[2]))
