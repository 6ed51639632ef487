"""A tree of directories from entries in any order.

Nothing can be handed on before the last entry is read, since the first record names every directory below the root.
Until then the files are held in memory up to `HELD`, and what is more is set aside on disk: memory grows with the
directories and, where there are some, the names of blocks, but not with the files.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

import numpy as np

from engine import paths
from engine.columns import (
    NO_DIRECTORIES,
    NO_FILES,
    UNKNOWN_MTIME,
    UNKNOWN_SIZE,
    UNSETTLED_MTIME,
    DirectoryColumns,
    FileColumns,
)
from engine.index import Leaves
from engine.record import DirectoryRecord
from engine.states import State
from storage.inventory.entries import Rows
from storage.inventory.frame_store import FrameStore
from storage.inventory.packing import Packed, Packer, Runs
from storage.inventory.pieces import Numbering, Piece, PieceJoiner
from storage.inventory.pool import FilePool, PooledFiles
from storage.inventory.spill import Spill, pieces_of
from storage.snapshot import files_of_frame

HELD = 96 << 20
"""Bytes of files, as a pool holds them, above which they are set aside; the most that is held for them is about twice
that, since they have to be grouped."""

AppendLeaves: TypeAlias = Callable[[Leaves, bytes], None]
"""Takes directories whose frames stand one behind the other; see `storage.snapshot.SnapshotWriter.append_leaves`."""

_SIZES_OF_EMPTY = frozenset((0, 2, 6, 40, 4096))
"""Bytes of an empty directory on Btrfs and CephFS, ZFS, XFS, tmpfs, and on file systems that give each one a block."""

_BATCH = 1 << 20
"""Bytes of frames that are handed on at a time."""

_UNKNOWN_MTIME = UNKNOWN_MTIME.to_bytes(8, "little", signed=True)


@dataclass(frozen=True, slots=True)
class TreeCounts:
    """What a tree holds and what did not go into it; ``bytes`` sums the known sizes.

    ``both`` counts the entries below which there are others: what a list of directories has, and no file.
    ``unsure`` counts those that may be empty directories, in a list that has directories, and ``sizes_of_both`` are
    what the list has as the sizes of directories.

    ``duplicates`` counts the entries that a later one of the same path replaced, ``conflicts`` those among them whose
    size was another, which is not known then, ``skipped`` those outside of the directories to keep.
    """

    files: int
    bytes: int
    directories: int
    duplicates: int
    conflicts: int
    skipped: int
    both: int = 0
    unsure: int = 0
    sizes_of_both: frozenset[int] = frozenset()


class TreeBuilder:
    """Takes rows, all with the same columns, and gives the records of the whole tree.

    To be used in a ``with``, at whose end what was set aside is given back.
    """

    def __init__(
        self,
        keep: Sequence[bytes],
        scratch: Path | None = None,
        held: int = HELD,
        *,
        listed_at: int | None = None,
    ) -> None:
        """Keep only what is below one of the canonical directories ``keep``, or everything if there is none.

        More than ``held`` bytes of files are set aside in the directory ``scratch``; in ``TMPDIR`` when it is None.
        With ``listed_at``, which must then be that of `emit`, frames are made as soon as they can be.
        """
        self._numbers = Numbering()
        self._blocks = Numbering()
        self._pool = FilePool(self._blocks)
        self._spills: list[Spill] = []
        self._frames = FrameStore(scratch, held // 3)
        self._packer = Packer(keep, listed_at)
        self._scratch = scratch
        self._held = held
        self._skipped = 0
        self._bytes = 0
        self._like = Packed()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back what was set aside on disk."""
        self._frames.close()
        while self._spills:
            self._spills.pop().close()

    def add(self, rows: Rows) -> None:
        """Take more rows.

        Raises:
            OSError: they cannot be set aside.
        """
        self.add_packed(self._packer.pack(rows))

    def add_packed(self, packed: Packed) -> None:
        """Take more rows, made ready for the same directories to keep and the same time.

        Raises:
            OSError: they cannot be set aside.
        """
        self._skipped += packed.skipped
        self._bytes += packed.total
        if packed.directories:
            self._add_frames(packed)
        if packed.runs is not None:
            self._add_runs(packed.runs)

    def _add_frames(self, packed: Packed) -> None:
        self._like = packed
        first = len(self._numbers)
        numbers = [self._numbers[directory] for directory in packed.directories]
        if min(numbers) < first:
            # What was there before must stay before it: the last entry of a path counts.
            again = [number < first for number in numbers]
            for directory, files in packed.files_of(again):
                self._add_runs(Runs.of_files(directory, files, packed))
            packed = packed.without(again)
            numbers = [number for number in numbers if number >= first]
        if numbers:
            self._frames.add(numbers, packed)

    def _add_runs(self, runs: Runs) -> None:
        numbers = np.array([self._numbers[directory] for directory in runs.directories], dtype=np.int32)
        self._pool.add(runs, numbers)
        if self._pool.held > self._held:
            self._spills.append(Spill(PooledFiles(self._pool), self._numbers.texts, self._scratch))
            self._pool = FilePool(self._blocks)

    def _check_spills(self) -> None:
        for spill in self._spills:
            spill.check_end()

    def emit(
        self,
        append: Callable[[DirectoryRecord], None],
        listed_at: int,
        append_leaves: AppendLeaves | None = None,
        *,
        typed: bool = True,
        mixed: frozenset[int] | None = None,
    ) -> TreeCounts:
        """Hand every directory that has files, and every ancestor, to ``append``, in tree order.

        Frames that were made go to ``append_leaves``, if there is one. Unless the entries are ``typed``, so that each
        is known to be a file, one with others below it is a directory, as far as anybody knows, and is not judged; in
        a list that is known to be ``mixed`` with directories, some of which have these sizes, neither is what may be
        an empty one by its size.

        Raises:
            OSError: what was set aside cannot be read.
        """
        pooled = PooledFiles(self._pool)
        places = {number: place for place, number in enumerate(pooled.directories)}
        joiner = PieceJoiner(self._blocks)
        # There the root is empty.
        order, children = _tree([path or b"/" for path in self._numbers.texts])
        ready = _Ready(self._frames, listed_at, append_leaves)
        files = both = unsure = 0
        sizes_of_both = set[int]()
        for path in order:
            number = self._numbers.get(b"" if path == b"/" else path)
            columns = NO_FILES
            names = children.pop(path, None)
            if number is not None:
                pieces = list(pieces_of(number, self._spills)) if self._spills else []
                if number in places:
                    pieces.append(pooled.piece_at(places[number]))
                row = self._frames.row_of(number)
                if row >= 0:
                    if not pieces and names is None and ready.take(path, row):
                        continue
                    pieces.insert(0, self._piece_of(row))
                elif not pieces:
                    # Each directory has some, so that its number was misread in a spill, which is not at its end then.
                    self._check_spills()
                columns = joiner.join(pieces)
                if not typed and (names is not None or mixed is not None) and len(columns):
                    doubtful = frozenset(names or ()).intersection(columns.name_list())
                    both += len(doubtful)
                    if doubtful:
                        sizes_of_both.update(size for name, size, _ in columns.rows() if name in doubtful)
                    if mixed is not None:
                        others = _may_be_empty(columns, mixed | _SIZES_OF_EMPTY) - doubtful
                        unsure += len(others)
                        doubtful |= others
                    columns, dropped = _not_judged(columns, doubtful)
                    self._bytes -= dropped
            ready.hand_on()
            directories = NO_DIRECTORIES
            if names is not None:
                directories = DirectoryColumns(b"\0".join(names), _UNKNOWN_MTIME * len(names))
            append(DirectoryRecord(path, State.LISTED, listed_at=listed_at, files=columns, directories=directories))
            files += len(columns)
        ready.hand_on()
        self._check_spills()
        size = self._bytes - joiner.dropped
        files += ready.files
        return TreeCounts(
            files,
            size,
            len(order),
            joiner.duplicates,
            joiner.conflicts,
            self._skipped,
            both,
            unsure,
            frozenset(sizes_of_both),
        )

    def _piece_of(self, row: int) -> Piece:
        """Take a frame apart again, since there is more to say of its directory."""
        like, files = self._like, files_of_frame(self._frames.frames(row, row + 1))
        blocks = b""
        if like.has_blocks:
            blocks = array("q", [self._blocks[block] for block in files.blocks.split(b"\0")]).tobytes()
        sizes, mtimes = files.sizes if like.has_sizes else b"", files.mtimes if like.has_mtimes else b""
        return Piece(files.names, True, sizes, mtimes, blocks)


def _may_be_empty(columns: FileColumns, of_directories: frozenset[int]) -> frozenset[bytes]:
    """Name what may be an empty directory, by the size that a list has of it."""
    return frozenset(name for name, size, _ in columns.rows() if size == UNKNOWN_SIZE or size in of_directories)


def _not_judged(columns: FileColumns, doubtful: frozenset[bytes]) -> tuple[FileColumns, int]:
    """Make files of which nobody knows whether they are any unsettled: neither missing nor orphans.

    Gives the sum of their sizes as well, in bytes, which are not known then.

    On a file system such a name is a directory, in a bucket it may be an object as well.
    """
    sizes, mtimes, dropped = array("q", columns.sizes), array("q", columns.mtimes), 0
    for place, name in enumerate(columns.name_list()):
        if name in doubtful:
            dropped += max(sizes[place], 0)
            sizes[place], mtimes[place] = UNKNOWN_SIZE, UNSETTLED_MTIME
    return replace(columns, sizes=sizes.tobytes(), mtimes=mtimes.tobytes()), dropped


class _Ready:
    """Hands frames on in batches, as long as they stand one behind the other."""

    def __init__(self, frames: FrameStore, listed_at: int, append: AppendLeaves | None) -> None:
        self._frames = frames
        self._listed_at = listed_at
        self._append = append
        self._paths: list[bytes] = []
        self._first = 0
        self._size = 0
        self.files = 0

    def take(self, path: bytes, row: int) -> bool:
        """Take the frame of a row; False when nobody wants frames."""
        if self._append is None:
            return False
        waiting = self._paths
        if waiting and (row != self._first + len(waiting) or self._size > _BATCH):
            self.hand_on()
        if not waiting:
            self._first = row
        waiting.append(path)
        self._size += self._frames.lengths[row]
        self.files += self._frames.files[row]
        return True

    def hand_on(self) -> None:
        """Hand on all that were taken."""
        if self._append is None or not self._paths:
            return
        frames, first, end = self._frames, self._first, self._first + len(self._paths)
        leaves = Leaves(
            tuple(self._paths),
            self._listed_at,
            frames.files[first:end],
            frames.sizes[first:end],
            frames.newest[first:end],
            frames.digests(first, end),
            frames.lengths[first:end],
        )
        self._append(leaves, frames.frames(first, end))
        self._paths.clear()
        self._size = 0


def _tree(directories: Sequence[bytes]) -> tuple[list[bytes], dict[bytes, list[bytes]]]:
    """Give the directories and all their ancestors in tree order, and the sorted names below each that has any."""
    known = set(directories)
    for path in directories:
        parent = paths.parent_of(path)
        while parent is not None and parent not in known:
            known.add(parent)
            parent = paths.parent_of(parent)
    order = sorted(known, key=paths.tree_key)
    children: dict[bytes, list[bytes]] = {}
    for path in order:
        parent = paths.parent_of(path)
        if parent is not None:
            children.setdefault(parent, []).append(paths.name_of(path))
    return order, children
