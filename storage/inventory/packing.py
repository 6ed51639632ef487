"""Rows of an inventory made ready for its tree: as frames of a snapshot where that can be, else as runs.

A run is a stretch of rows of one directory. In an inventory that is in some order most directories are one run, and of
such a run the frame can be made at once, by whoever reads the rows, even in another process. It is the record of the
directory if nothing else of it follows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress, count, islice
from operator import ge, ne

import numpy as np
import numpy.typing as npt

from engine import paths
from engine.columns import DIGEST_SIZE, LARGEST_SIZE, UNKNOWN_MTIME, UNKNOWN_SIZE, FileColumns, Int64s
from engine.record import DirectoryRecord
from engine.states import State
from storage.inventory.entries import Rows
from storage.snapshot import directory_frame, files_of_frame

FEWEST = 2
"""Rows to a run, on average, from which frames are made; below, an inventory is in no order that helps."""

_MOST_KNOWN = 10_000
_WORD = 8
_MANY = 4
"""Where more than every so manieth pair of names begins with the same bytes, all are compared."""

_LIMIT = 1 << 63
_UNKNOWN_MTIME = UNKNOWN_MTIME.to_bytes(8, "little", signed=True)
_UNKNOWN_SIZE = UNKNOWN_SIZE.to_bytes(8, "little", signed=True)


@dataclass(frozen=True, slots=True)
class Runs:
    """Rows as one column each: what a pool takes.

    ``directories`` has one for each run (the root is empty), ``starts`` its first row, ``first_bytes`` the first byte
    of its names, and ``ascends`` a byte that says whether each of them is greater than the one before. Every name is
    ended by NUL. ``sizes`` and ``mtimes`` are int64, empty where the inventory has none; ``blocks`` is None then.
    """

    directories: list[bytes]
    starts: Int64s
    first_bytes: Int64s
    ascends: bytes
    names: bytes
    sizes: bytes
    mtimes: bytes
    blocks: list[bytes] | None
    rows: int

    @classmethod
    def of(cls, rows: Rows) -> Runs:
        """Take rows, of which there is at least one."""
        return cls._of(rows, _starts(rows.directories), _Names(rows.names))

    @classmethod
    def _of(cls, rows: Rows, starts: Int64s, names: _Names) -> Runs:
        return cls(
            [rows.directories[start] for start in starts.tolist()],
            starts,
            names.begins[starts],
            names.ascending(starts).tobytes(),
            names.joined,
            b"" if rows.sizes is None else rows.sizes.tobytes(),
            b"" if rows.mtimes is None else rows.mtimes.tobytes(),
            rows.blocks,
            len(rows.names),
        )

    @classmethod
    def of_files(cls, directory: bytes, files: FileColumns, like: Packed) -> Runs:
        """Take back the files of a directory that were packed."""
        at_start = np.zeros(1, dtype=np.int64)
        sizes, mtimes = files.sizes if like.has_sizes else b"", files.mtimes if like.has_mtimes else b""
        blocks = files.blocks.split(b"\0") if like.has_blocks else None
        return cls([directory], at_start, at_start, b"\1", files.names + b"\0", sizes, mtimes, blocks, len(files))


@dataclass(frozen=True, slots=True)
class Packed:
    """Rows that were made ready.

    ``frames`` has the records of ``directories`` (the root is empty), one behind the other, each with all rows of it
    that there were; ``files`` counts them, ``sizes`` sums their known bytes, ``newest`` is the latest mtime,
    ``digests`` has 16 bytes for each and ``lengths`` are those of the frames. All other rows are in ``runs``.
    ``total`` sums all known sizes in bytes, and ``skipped`` counts the rows outside of the directories to keep.
    """

    skipped: int = 0
    total: int = 0
    has_sizes: bool = False
    has_mtimes: bool = False
    has_blocks: bool = False
    directories: Sequence[bytes] = ()
    frames: bytes | memoryview = b""
    files: Sequence[int] = ()
    sizes: Sequence[int] = ()
    newest: Sequence[int] = ()
    digests: bytes = b""
    lengths: Sequence[int] = ()
    runs: Runs | None = None

    def files_of(self, mask: Sequence[bool]) -> Iterator[tuple[bytes, FileColumns]]:
        """Take apart the frames whose place in ``mask`` is true."""
        for directory, frame in compress(zip(self.directories, self._each(), strict=True), mask):
            yield directory, files_of_frame(bytes(frame))

    def without(self, mask: Sequence[bool]) -> Packed:
        """Leave out the frames whose place in ``mask`` is true; of the other columns only those of frames stay."""
        gone = sum(mask)
        if all(mask[:gone]):
            # By far the most frequent: a directory that began in the rows before.
            return replace(
                self,
                directories=self.directories[gone:],
                frames=memoryview(self.frames)[sum(self.lengths[:gone]) :],
                files=self.files[gone:],
                sizes=self.sizes[gone:],
                newest=self.newest[gone:],
                digests=self.digests[gone * DIGEST_SIZE :],
                lengths=self.lengths[gone:],
                runs=None,
            )
        stay = [not gone for gone in mask]
        digests = (self.digests[at : at + DIGEST_SIZE] for at in range(0, len(self.digests), DIGEST_SIZE))
        return replace(
            self,
            directories=list(compress(self.directories, stay)),
            frames=b"".join(compress(self._each(), stay)),
            files=list(compress(self.files, stay)),
            sizes=list(compress(self.sizes, stay)),
            newest=list(compress(self.newest, stay)),
            digests=b"".join(compress(digests, stay)),
            lengths=list(compress(self.lengths, stay)),
            runs=None,
        )

    def _each(self) -> Iterator[memoryview]:
        start, view = 0, memoryview(self.frames)
        for length in self.lengths:
            yield view[start : start + length]
            start += length


class Packer:
    """Makes rows ready, all with the same columns.

    Only what is below one of the canonical directories ``keep`` stays, or everything if there is none. The records are
    of ``listed_at`` (seconds since the epoch); when it is None there are no frames, but runs alone.
    """

    def __init__(self, keep: Sequence[bytes] = (), listed_at: int | None = None) -> None:
        self._keep = keep
        self._kept: dict[bytes, bool] = {}
        self._listed_at = listed_at

    def pack(self, rows: Rows) -> Packed:
        """Make rows ready."""
        if not rows.names:
            return Packed()
        starts = _starts(rows.directories)
        kept = self._are_kept([rows.directories[start] for start in starts.tolist()])
        skipped = 0
        if kept is not None:
            mask = np.repeat(kept, np.diff(starts, append=len(rows.names)))
            skipped = len(mask) - int(mask.sum())
            if skipped == len(mask):
                return Packed(skipped)
            if skipped:
                rows = rows.select(mask.tolist())
                starts = _starts(rows.directories)
        total = 0 if rows.sizes is None else _total(rows.sizes)
        columns = (rows.sizes is not None, rows.mtimes is not None, rows.blocks is not None)
        names = _Names(rows.names)
        if self._listed_at is None or len(rows.names) < FEWEST * len(starts):
            return Packed(skipped, total, *columns, runs=Runs._of(rows, starts, names))
        return _Frames(rows, starts, names, self._listed_at).packed(skipped, total, columns)

    def _are_kept(self, directories: list[bytes]) -> npt.NDArray[np.bool_] | None:
        if not self._keep:
            return None
        known = self._kept
        if len(known) > _MOST_KNOWN:
            known.clear()
        for directory in directories:
            if directory not in known:
                path = directory or b"/"
                known[directory] = any(paths.is_under(path, top) for top in self._keep)
        return np.array([known[directory] for directory in directories], dtype=np.bool_)


class _Names:
    """Names of rows, one behind the other, each ended by NUL; ``begins`` and ``ends`` are the bytes of each."""

    def __init__(self, names: list[bytes]) -> None:
        self._names = names
        self.joined = b"\0".join(names) + b"\0"
        self.ends = np.flatnonzero(np.frombuffer(self.joined, dtype=np.uint8) == 0)
        self.begins = np.append(0, self.ends[:-1] + 1)

    def ascending(self, starts: Int64s) -> npt.NDArray[np.bool_]:
        """Tell for each run whether each of its names is greater than the one before."""
        ascending = np.ones(len(starts), dtype=np.bool_)
        falls = self._falls()
        runs = np.searchsorted(starts, falls, side="right") - 1
        ascending[runs[starts[runs] != falls]] = False
        return ascending

    def _falls(self) -> Int64s:
        """Give the places of names that are not greater than the one before."""
        names = self._names
        if int((self.ends - self.begins).min()) >= _WORD:
            # As numbers, the first bytes of names are compared all at once; only where they say nothing, names are.
            words = np.ndarray((len(self.joined) - _WORD + 1,), ">u8", self.joined, strides=(1,))
            firsts = words[self.begins].astype(np.uint64)
            maybe = np.flatnonzero(firsts[1:] <= firsts[:-1]) + 1
            if len(maybe) * _MANY < len(names):
                return np.array([at for at in maybe.tolist() if names[at - 1] >= names[at]], dtype=np.int64)
        return np.fromiter(compress(count(1), map(ge, names, islice(names, 1, None))), dtype=np.int64)

    def of_runs(self, starts: Int64s, ends: Int64s) -> Iterator[bytes | None]:
        """Give the names of each run, separated by NUL, where they ascend."""
        bounds = zip(self.begins[starts].tolist(), self.ends[ends - 1].tolist(), self.ascending(starts), strict=True)
        return (self.joined[begin:end] if ascends else None for begin, end, ascends in bounds)


class _Frames:
    """The frames of all directories that are a single run in some rows."""

    def __init__(self, rows: Rows, starts: Int64s, names: _Names, listed_at: int) -> None:
        self._rows = rows
        self._starts = starts
        self._ends = np.append(starts[1:], len(rows.names))
        self._names = names
        self._listed_at = listed_at
        self._sizes = None if rows.sizes is None else rows.sizes.tobytes()
        self._mtimes = None if rows.mtimes is None else rows.mtimes.tobytes()

    def packed(self, skipped: int, total: int, columns: tuple[bool, bool, bool]) -> Packed:
        rows, starts = self._rows, self._starts
        directories = [rows.directories[start] for start in starts.tolist()]
        often = {directory for directory, times in Counter(directories).items() if times > 1}
        left = np.zeros(len(starts), dtype=np.bool_)
        frames: list[bytes] = []
        digests: list[bytes] = []
        names = self._names.of_runs(starts, self._ends)
        bounds = zip(starts.tolist(), self._ends.tolist(), names, strict=True)
        for place, (start, end, together) in enumerate(bounds):
            files = None if directories[place] in often else self._files(start, end, together)
            if files is None:
                left[place] = True
                continue
            path = directories[place] or b"/"
            frames.append(directory_frame(DirectoryRecord(path, State.LISTED, listed_at=self._listed_at, files=files)))
            digests.append(files.digest())
        taken = ~left
        return Packed(
            skipped,
            total,
            *columns,
            directories if taken.all() else list(compress(directories, taken.tolist())),
            b"".join(frames),
            (self._ends - starts)[taken].tolist(),
            self._sums(taken),
            self._newest(taken),
            b"".join(digests),
            [len(frame) for frame in frames],
            self._rest(left),
        )

    def _files(self, start: int, end: int, together: bytes | None) -> FileColumns | None:
        """Give the files of a run, whose names are ``together`` if they ascend.

        None where one comes twice, which all that follows has its say in.
        """
        rows, count_ = self._rows, end - start
        sizes = _UNKNOWN_SIZE * count_ if self._sizes is None else self._sizes[start << 3 : end << 3]
        mtimes = _UNKNOWN_MTIME * count_ if self._mtimes is None else self._mtimes[start << 3 : end << 3]
        blocks = None if rows.blocks is None else rows.blocks[start:end]
        if together is None:
            names = rows.names[start:end]
            order = sorted(range(count_), key=names.__getitem__)
            names = [names[at] for at in order]
            if any(map(ge, names, islice(names, 1, None))):
                return None
            sizes = np.frombuffer(sizes, dtype=np.int64)[order].tobytes()
            mtimes = np.frombuffer(mtimes, dtype=np.int64)[order].tobytes()
            blocks = None if blocks is None else [blocks[at] for at in order]
            together = b"\0".join(names)
        return FileColumns(together, sizes, mtimes, b"" if blocks is None else b"\0".join(blocks))

    def _sums(self, taken: npt.NDArray[np.bool_]) -> list[int]:
        """Sum the known sizes of each run, as an index holds them."""
        sizes = self._rows.sizes
        if sizes is None:
            return [0] * int(taken.sum())
        known = sizes.clip(0)
        if int(known.max()) * len(known) < _LIMIT:
            sums: list[int] = np.add.reduceat(known, self._starts)[taken].tolist()
            return sums
        bounds = zip(self._starts[taken].tolist(), self._ends[taken].tolist(), strict=True)
        return [min(sum(known[start:end].tolist()), LARGEST_SIZE) for start, end in bounds]

    def _newest(self, taken: npt.NDArray[np.bool_]) -> list[int]:
        mtimes = self._rows.mtimes
        if mtimes is None:
            return [UNKNOWN_MTIME] * int(taken.sum())
        newest: list[int] = np.maximum.reduceat(mtimes, self._starts)[taken].tolist()
        return newest

    def _rest(self, left: npt.NDArray[np.bool_]) -> Runs | None:
        if not left.any():
            return None
        return Runs.of(self._rows.select(np.repeat(left, self._ends - self._starts).tolist()))


def _starts(directories: list[bytes]) -> Int64s:
    """Give the first row of each run."""
    changes = compress(count(1), map(ne, directories, islice(directories, 1, None)))
    return np.fromiter((0, *changes), dtype=np.int64)


def _total(sizes: Int64s) -> int:
    """Sum the known sizes, also where they are too large to be true."""
    known = sizes.clip(0)
    return int(known.sum()) if int(known.max()) * len(known) < _LIMIT else sum(known.tolist())
