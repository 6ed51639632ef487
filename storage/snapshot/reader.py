"""Reading a snapshot: a finished one, or the part of one that still grows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgpack

from engine.columns import DIGEST_SIZE, NO_DIGEST, NO_FILES, FileColumns, Numbers, numbers
from engine.index import Entry, IndexBuilder
from engine.record import DirectoryRecord, unpack_files
from engine.states import Reason, State
from engine.table import DirectoryTable
from storage.file_bytes import FileBytes
from storage.frames import make_frame, read_frame
from storage.snapshot.header import SnapshotError
from storage.snapshot.layout import DIRECTORY, INDEX, INDEX_COLUMNS, TRAILER, find_index, is_part, read_header, scan

_STATES, _REASONS = bytes(State), bytes(Reason)
_OTHER_FILES = "other files than the index says"


class Snapshot:
    """A snapshot opened for reading: a finished one, or the part of one that still grows or was left.

    ``table`` has a row for each directory; files are read when a row is loaded, which raises `SnapshotError` when that
    directory is damaged. ``finished`` says that the file is no part; of a part, ``lost`` is
    the number of bytes behind the last whole directory, such as those of a torn tail.
    """

    def __init__(self, path: Path, like: Snapshot | None = None) -> None:
        """Open a snapshot, in less time and memory when it has the same directories as another one.

        Raises:
            SnapshotError: not a snapshot, from a newer program, damaged, or unfinished although it is not a part.
            OSError: the file cannot be read.
        """
        self.path = path
        with path.open("rb") as file:
            self._view = FileBytes(file, path)
        if not len(self._view):
            raise SnapshotError(f"{path}: not a snapshot: the file is empty")
        try:
            self.header = read_header(path, self._view)
            self._paths = b""
            self._offsets = self._lengths = numbers(b"")
            self.finished = not is_part(path)
            self.lost = 0
            if self.finished:
                self.table = self._read_index(like)
            else:
                builder = IndexBuilder()
                self.lost = len(self._view) - scan(self._view, builder.add)
                self.table = builder.table(self._loader)[0]
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise SnapshotError(f"{path}: damaged snapshot: {error}") from error

    def _read_index(self, like: Snapshot | None) -> DirectoryTable:
        index_start = find_index(self._view)
        end, payload = read_frame(self._view, index_start, INDEX)
        if end + TRAILER.size != len(self._view):
            raise ValueError("there is something between its index and its end")
        fields: Any = msgpack.unpackb(payload, strict_map_key=False)

        count = len(fields["states"])
        columns = [numbers(fields[name]) for name in (*INDEX_COLUMNS, "offsets", "lengths")]
        files, sizes, newest, mtimes, listed_at, offsets, lengths = columns
        self._paths = fields["paths"]
        # No bytes at all stand for no directory, and for one without a name.
        if like is not None and self._paths and self._paths == like._paths:
            path_list = like.table.paths
        else:
            path_list = self._paths.split(b"\0") if count else []
        self._offsets, self._lengths = offsets, lengths
        ids = numbers(fields["ids"]) if "ids" in fields else None
        columns += [] if ids is None else [ids]
        if len(fields["digests"]) != count * DIGEST_SIZE or any(
            len(c) != count for c in (path_list, fields["reasons"], *columns)
        ):
            raise ValueError("the columns of the index differ in length")
        if count and not (
            not fields["states"].translate(None, _STATES)
            and not fields["reasons"].translate(None, _REASONS)
            and all(_none_negative(fields[name]) for name in ("offsets", "lengths", "files", "sizes"))
            and max(offsets) <= index_start
            and max(lengths) <= index_start
            and all(0 <= row < count and isinstance(text, str) for row, text in fields["details"].items())
        ):
            raise ValueError("a value in the index is out of range")
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
            self._loader(offsets, lengths, path_list, fields["digests"]),
            ids,
        )

    def _loader(
        self, offsets: Numbers, lengths: Numbers, path_list: Sequence[bytes] = (), digests: bytes = b""
    ) -> Callable[[int], FileColumns]:
        view = self._view
        path = self.path

        def load(row: int) -> FileColumns:
            length, offset = lengths[row], offsets[row]
            if not length:
                return NO_FILES
            try:
                payload = read_frame(view, offset, DIRECTORY, length)[1]
                files = unpack_files(payload, path_list[row] if path_list else None)
                expected = digests[row * DIGEST_SIZE : (row + 1) * DIGEST_SIZE]
                # A whole frame of the same directory may still be another listing's, where a disk gives old blocks.
                if digests and (files or expected != NO_DIGEST) and files.digest() != expected:
                    raise ValueError(_OTHER_FILES)
                return files
            except ValueError as error:
                raise SnapshotError(f"{path}: damaged snapshot: byte {offset}: {error}") from error

        return load

    def taken_from(self, row: int) -> tuple[Entry, bytes]:
        """Give a directory of a finished snapshot as another one takes it over: what to enter, and its frame.

        Raises:
            SnapshotError: it is damaged.
        """
        offset, length, path = self._offsets[row], self._lengths[row], self.table.paths[row]
        try:
            payload = read_frame(self._view, offset, DIRECTORY, length)[1]
            record = DirectoryRecord.unpack(payload)
            frame = make_frame(DIRECTORY, bytes(payload))
            entry = Entry.of(record, len(frame))
            is_same = (entry.path, entry.digest, entry.listed_at) == (
                path,
                self.table.digest(row),
                self.table.listed_at[row],
            )
            if not is_same or entry.state != State.LISTED or entry.directories.mtimes:
                raise ValueError(_OTHER_FILES)
        except ValueError as error:
            raise SnapshotError(f"{self.path}: damaged snapshot: byte {offset}: {error}") from error
        return entry, frame

    def verify(self) -> None:
        """Read every directory of a finished snapshot, and hold it against the index.

        Raises:
            SnapshotError: one of them is damaged.
        """
        table = self.table
        rows = {offset: row for row, offset in enumerate(self._offsets) if offset}

        def check(entry: Entry, offset: int) -> None:
            row = rows.pop(offset, None)
            # What a later record of the same directory replaced is not in the index.
            if row is not None and (entry.path, entry.digest) != (table.paths[row], table.digest(row)):
                raise SnapshotError(f"{self.path}: damaged snapshot: byte {offset}: {_OTHER_FILES}")

        end = scan(self._view, check)
        if rows or end != find_index(self._view):
            raise SnapshotError(f"{self.path}: damaged snapshot: byte {end}: no whole directory is there")

    def close(self) -> None:
        """Give the file back; the table can no longer load."""
        self._view.close()


def damage(path: Path, site: str | None = None) -> str:
    """Say what keeps a snapshot that a run of this ``site`` left from being used; empty when nothing does."""
    try:
        with closing(Snapshot(path)) as snapshot:
            if site is not None and snapshot.header.site != site:
                return f"{path}: it is of {snapshot.header.site or 'no site'}, not of {site}"
            snapshot.verify()
    except (SnapshotError, OSError) as error:
        return str(error)
    return ""


def _none_negative(column: bytes) -> bool:
    """Tell whether no int64 of a column has its sign bit set, which stands in the last byte of each."""
    return column[7::8].isascii()
