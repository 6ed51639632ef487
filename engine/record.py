"""The record of one directory, as it stands in a snapshot and travels from a lister to the coordinator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgpack

from engine.columns import (
    LARGEST_SIZE,
    NO_DIGEST,
    NO_DIRECTORIES,
    NO_FILES,
    UNKNOWN_MTIME,
    DirectoryColumns,
    FileColumns,
)
from engine.states import Reason, State

if TYPE_CHECKING:
    from engine.listing import ListingOutcome

_LIMIT = 1 << 63


@dataclass(frozen=True, slots=True)
class DirectoryRecord:
    """One directory: its canonical path, its state and, when listed, what it holds.

    ``listed_at`` is the time of the answer in seconds since the epoch, 0 when there was none. A record that is not
    `State.LISTED` has no files and no directories.
    """

    path: bytes
    state: State
    reason: Reason = Reason.NONE
    detail: str = ""
    listed_at: int = 0
    files: FileColumns = NO_FILES
    directories: DirectoryColumns = NO_DIRECTORIES

    @classmethod
    def of(cls, path: bytes, outcome: ListingOutcome, listed_at: int) -> DirectoryRecord:
        """Make the record of a lister's answer."""
        # What is read of a snapshot was no answer just now, and needs none of their classes.
        from engine.listing import Listed

        if isinstance(outcome, Listed):
            reason = Reason.OTHERS if outcome.others else Reason.NONE
            return cls(path, State.LISTED, reason, "", listed_at, outcome.files, outcome.directories)
        return cls(path, State.FAILED, outcome.reason, outcome.detail, listed_at)

    @property
    def outcome(self) -> ListingOutcome:
        """Give back what the lister said."""
        from engine.listing import Failed, Listed

        if self.state == State.LISTED:
            return Listed(self.files, self.directories, others=self.reason == Reason.OTHERS)
        return Failed(self.reason, self.detail)

    def digest(self) -> bytes:
        """Hash the files; `NO_DIGEST` unless the directory was listed completely."""
        return self.files.digest() if self.state == State.LISTED else NO_DIGEST

    def pack(self) -> bytes:
        """Encode with msgpack; the table of fields is in ``docs/formats.md``."""
        files, directories = self.files, self.directories
        ids = (directories.ids,) if directories.ids else ()
        packed: bytes = msgpack.packb(
            (
                self.path,
                int(self.state),
                int(self.reason),
                self.detail.encode("utf-8", "replace"),
                self.listed_at,
                files.names,
                files.sizes,
                files.mtimes,
                files.blocks,
                directories.names,
                directories.mtimes,
                *ids,
            )
        )
        return packed

    @classmethod
    def unpack(cls, packed: bytes | memoryview) -> DirectoryRecord:
        """Decode what `pack` made.

        Raises:
            ValueError: the bytes are not such a record.
        """
        try:
            fields: Any = msgpack.unpackb(packed, use_list=False)
            path, state, reason, detail, listed_at, names, sizes, mtimes, blocks, sub_names, sub_mtimes, *more = fields
            (ids,) = more or (b"",)
            if not isinstance(path, bytes) or not isinstance(listed_at, int) or not -_LIMIT <= listed_at < _LIMIT:
                raise ValueError("no path, or no time")
            files = FileColumns(names, sizes, mtimes, blocks)
            directories = DirectoryColumns(sub_names, sub_mtimes, ids)
            files.check()
            directories.check()
            return cls(path, State(state), Reason(reason), detail.decode("utf-8"), listed_at, files, directories)
        except (TypeError, ValueError, AttributeError, msgpack.UnpackException) as error:
            raise ValueError(f"not a directory record: {error}") from error


def unpack_files(packed: bytes | memoryview, path: bytes | None) -> FileColumns:
    """Decode the files alone of what `DirectoryRecord.pack` made; ``path``, when given, must be the record's own.

    Raises:
        ValueError: the bytes are not such a record, or another directory's.
    """
    try:
        fields: Any = msgpack.unpackb(packed, use_list=False)
        found, _, _, _, _, names, sizes, mtimes, blocks, _, _, *_ids = fields
        columns = FileColumns(names, sizes, mtimes, blocks)
        columns.check()
    except (TypeError, ValueError, msgpack.UnpackException) as error:
        raise ValueError(f"not a directory record: {error}") from error
    if path is not None and found != path:
        raise ValueError("a record of another directory than the index says")
    return columns


@dataclass(frozen=True, slots=True)
class DirectorySummary:
    """What an index keeps of a directory: everything about it except the names of its files.

    ``files`` is a count, ``size`` bytes, ``newest`` the latest file mtime and ``mtime`` the directory's own, both in
    seconds since the epoch or ``UNKNOWN_MTIME``.
    """

    path: bytes
    state: State
    reason: Reason = Reason.NONE
    detail: str = ""
    files: int = 0
    size: int = 0
    newest: int = UNKNOWN_MTIME
    mtime: int = UNKNOWN_MTIME
    listed_at: int = 0
    digest: bytes = NO_DIGEST

    @classmethod
    def of(cls, record: DirectoryRecord, mtime: int = UNKNOWN_MTIME) -> DirectorySummary:
        """Sum up a record; ``mtime`` comes from the listing of the parent."""
        files = record.files
        return cls(
            record.path,
            record.state,
            record.reason,
            record.detail,
            len(files),
            min(files.total_size(), LARGEST_SIZE),
            files.newest(),
            mtime,
            record.listed_at,
            record.digest(),
        )
