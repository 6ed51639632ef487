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

import errno
import fcntl
import os
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import msgpack

from engine.columns import DIGEST_SIZE, NO_DIGEST, NO_FILES, FileColumns, Numbers, numbers
from engine.index import Entry, IndexBuilder, Leaves
from engine.record import DirectoryRecord, unpack_files
from engine.states import Reason, State
from engine.table import DirectoryTable
from storage.file_bytes import FileBytes
from storage.frames import FRAME_HEAD, check_frames, make_frame, read_frame

MAGIC = b"DYNCONS\x01"
_TRAILER_MAGIC = b"DYNCEND\x01"
_TRAILER = struct.Struct("<Q8s")

_HEADER = 1
_DIRECTORY = 2
_INDEX = 3

_LOCK_SECONDS = 20.0

_STATES, _REASONS = bytes(State), bytes(Reason)

_INDEX_COLUMNS = ("files", "sizes", "newest", "mtimes", "listed_at")
_PART = ".part"
_OTHER_FILES = "other files than the index says"


TAKEN_UNTIL = "taken_until"
"""The key of a header's ``extra`` for a listing that takes over directories of an earlier one."""

UNREAD = "unread"
"""The key of a header's ``extra`` for words about lines that nobody could read: they may be what it does not have."""

MISFITS = "misfits"
"""The key of a header's ``extra`` for words about all lines that did not fit."""

NOTHING_TAKEN = -(2**63)


class SnapshotError(Exception):
    """A snapshot that cannot be used; the message names the file and what is wrong with it."""


class SnapshotBusy(SnapshotError):
    """A part that another process writes to; it may be gone on with later."""


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
    def unpack(cls, packed: bytes | memoryview) -> SnapshotHeader:
        """Decode the first frame; fields that a later version added are passed over.

        Raises:
            ValueError: the bytes are not such a header.
        """
        try:
            fields: Any = msgpack.unpackb(packed, unicode_errors="surrogateescape")
            known = {name: value for name, value in fields.items() if name in cls.__dataclass_fields__}
            header = cls(**{**known, "tops": tuple(known.get("tops", ()))})
        except (TypeError, AttributeError) as error:
            raise ValueError(f"not a header: {error}") from error
        words = (header.kind, header.source, header.site)
        if not (
            all(isinstance(word, str) for word in words)
            and isinstance(header.created, int)
            and isinstance(header.extra, dict)
            and all(isinstance(top, bytes) for top in header.tops)
        ):
            raise ValueError("not a header: a field is of another type")
        return header

    @property
    def taken_until(self) -> int:
        """When the last of what was taken over from an earlier listing was listed (s); `NOTHING_TAKEN` if nothing was.

        In such a listing a directory was taken over if it was listed then or before.
        """
        until: Any = self.extra.get(TAKEN_UNTIL, NOTHING_TAKEN)
        # By what is no time, nothing passes for new.
        return until if isinstance(until, int) and -(2**63) <= until < 2**63 else 2**63 - 1

    @property
    def has_unread(self) -> bool:
        """Whether something may be there that is not in it, since lines of what it was made from could not be read."""
        return bool(self.extra.get(UNREAD))

    def differs(self, other: SnapshotHeader) -> str:
        """Say why it does not belong to what another one is of; empty when it does. Who was asked may differ."""
        if (self.kind, self.site) != (other.kind, other.site):
            return f"it is the {self.kind} of {self.site or 'no site'}, not the {other.kind} of {other.site or 'none'}"
        return "" if self.tops == other.tops else "other directories were to be listed in it"


def directory_frame(record: DirectoryRecord) -> bytes:
    """Encode one directory as it stands in the file; what a lister sends and the coordinator appends unread."""
    return make_frame(_DIRECTORY, record.pack())


def check_directory_frames(frames: bytes, lengths: Iterable[int]) -> None:
    """Make sure that frames which were kept elsewhere, one behind the other, are what `directory_frame` made.

    Raises:
        ValueError: one of them is not.
    """
    check_frames(frames, lengths, _DIRECTORY)


def files_of_frame(frame: bytes) -> FileColumns:
    """Give the files in what `directory_frame` made.

    Raises:
        ValueError: it is none.
    """
    check_frames(frame, (len(frame),), _DIRECTORY)
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


class SnapshotWriter:
    """Appends directories to ``NAME.part`` and makes it ``NAME`` at the end.

    One writer a file: each holds a lock on it, which ends with its process. Every method may raise ``OSError`` (disk
    full, no permission); what was flushed before is then still whole, and can be gone on with by `resume`, but not by
    this writer.
    """

    def __init__(self, path: Path, header: SnapshotHeader) -> None:
        """Start a new file, dropping a part that an earlier writer left."""
        self._start(path, header)
        # A writer that was forgotten and still lives goes on with a file that has no name any more.
        self.part.unlink(missing_ok=True)
        self._file: BinaryIO = self.part.open("xb", buffering=1 << 20)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._offset = 0
        try:
            self._write(MAGIC + make_frame(_HEADER, header.pack()))
            self.flush()
        except BaseException:
            self.discard()
            raise

    def _start(self, path: Path, header: SnapshotHeader) -> None:
        self.path = path
        self.part = part_of(path)
        self.header = header
        self.index = IndexBuilder()
        self._torn = False
        self._end = 0

    @classmethod
    def resume(
        cls,
        path: Path,
        see: Callable[[Entry, IndexBuilder], None] = lambda _entry, _index: None,
        header: SnapshotHeader | None = None,
    ) -> SnapshotWriter:
        """Go on with the part that an earlier writer left; its torn tail, if it has one, is cut off.

        ``see`` is shown everything that is in it, each with the index of what came before; its header must belong to
        the same as ``header``, if one is given.

        Raises:
            SnapshotError: there is nothing in it to go on from: it is no snapshot, of another version or site, or not
                even its header is whole.
            SnapshotBusy: another process keeps writing to it, or has just finished it.
            OSError: there is no part, or it cannot be read or written; nothing is known about what is in it.
        """
        writer = cls.__new__(cls)
        part = part_of(path)
        file = part.open("r+b", buffering=1 << 20)
        try:
            _lock(file, part)
            with closing(FileBytes(file, part)) as view:
                writer._start(path, _read_header(part, view))
                wrong = "" if header is None else writer.header.differs(header)
                if wrong:
                    raise SnapshotError(f"{part}: {wrong}")

                def add(entry: Entry, offset: int) -> None:
                    see(entry, writer.index)
                    writer.index.add(entry, offset)

                end = _scan(view, add)
            file.truncate(end)
            file.seek(end)
        except BaseException as error:
            file.close()
            if isinstance(error, ValueError):
                raise SnapshotError(f"{part}: cannot go on from this journal: {error}") from error
            raise
        writer._file, writer._offset = file, end
        return writer

    def append(self, record: DirectoryRecord) -> None:
        """Add one directory; its parent must have come before it."""
        frame = directory_frame(record)
        self.append_frames((Entry.of(record, len(frame)),), frame)

    def append_frames(self, entries: Iterable[Entry], frames: bytes) -> None:
        """Add directories whose frames stand one behind the other in ``frames``, in the order of ``entries``.

        Raises:
            ValueError: the lengths of the entries do not add up to their frames; nothing was added.
        """
        entries = tuple(entries)
        if sum(entry.length for entry in entries) != len(frames):
            raise ValueError("the lengths of the entries do not add up to their frames")
        offset = self._offset
        self._write(frames)
        for entry in entries:
            self.index.add(entry, offset)
            offset += entry.length

    def append_leaves(self, leaves: Leaves, frames: bytes) -> None:
        """Add directories whose frames stand one behind the other in ``frames``; as `append_frames`, from columns.

        Raises:
            ValueError: the lengths do not add up to the frames; nothing was added.
        """
        if sum(leaves.lengths) != len(frames):
            raise ValueError("the lengths of the entries do not add up to their frames")
        offset = self._offset
        self._write(frames)
        self.index.add_leaves(leaves, offset)

    def _write(self, data: bytes) -> None:
        if self._torn:
            raise OSError(errno.EIO, "an earlier write to it failed", str(self.part))
        # Of data that cannot be written to its end, nobody knows how much was.
        self._torn = True
        try:
            self._file.write(data)
        except OSError as error:
            raise self._named(error) from error
        self._torn = False
        self._offset += len(data)

    def _named(self, error: OSError) -> OSError:
        """Say which file it is about; a full disk is none that one could guess."""
        return OSError(error.errno, error.strerror, str(self.part))

    def flush(self) -> None:
        """Hand everything to the operating system, so that a killed process loses nothing."""
        try:
            self._file.flush()
        except OSError as error:
            raise self._named(error) from error

    def sync(self) -> None:
        """Force everything to the disk, so that a lost machine loses nothing."""
        self.flush()
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._named(error) from error

    def finish(self) -> None:
        """Write the index and give the file its name; a file of that name is replaced in one step.

        Raises:
            SnapshotError: another writer has started over in the meantime.
        """
        start = self._end = self._offset
        self._write(make_frame(_INDEX, _pack_index(self.index)))
        self._write(_TRAILER.pack(start, _TRAILER_MAGIC))
        self.sync()
        if not _has_name(self._file, self.part):
            raise SnapshotError(f"{self.part}: another writer has started over")
        # Closing it gives the lock to whoever waits to go on with the part, so its name goes first.
        os.replace(self.part, self.path)
        self._file.close()
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def reopen(self) -> None:
        """Go on with what was finished, which is a part again until it is finished once more.

        Raises:
            OSError: it cannot be done.
        """
        os.replace(self.path, self.part)
        file = self.part.open("r+b", buffering=1 << 20)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Where the index began; a process that ends before this leaves a part with an index, which is cut off later.
        file.truncate(self._end)
        file.seek(self._end)
        self._file, self._offset = file, self._end

    def close(self) -> None:
        """Stop here and keep the part, for a later `resume`."""
        try:
            self._file.close()
        except OSError as error:
            raise self._named(error) from error

    def discard(self) -> None:
        """Stop here and remove the part."""
        # What cannot be flushed to a full disk is not wanted any more.
        with suppress(OSError):
            self._file.close()
        self.part.unlink(missing_ok=True)


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
            self.header = _read_header(path, self._view)
            self._paths = b""
            self._offsets = self._lengths = numbers(b"")
            self.finished = not is_part(path)
            self.lost = 0
            if self.finished:
                self.table = self._read_index(like)
            else:
                builder = IndexBuilder()
                self.lost = len(self._view) - _scan(self._view, builder.add)
                self.table = builder.table(self._loader)[0]
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise SnapshotError(f"{path}: damaged snapshot: {error}") from error

    def _read_index(self, like: Snapshot | None) -> DirectoryTable:
        index_start = _find_index(self._view)
        end, payload = read_frame(self._view, index_start, _INDEX)
        if end + _TRAILER.size != len(self._view):
            raise ValueError("there is something between its index and its end")
        fields: Any = msgpack.unpackb(payload, strict_map_key=False)

        count = len(fields["states"])
        columns = [numbers(fields[name]) for name in (*_INDEX_COLUMNS, "offsets", "lengths")]
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
                payload = read_frame(view, offset, _DIRECTORY, length)[1]
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
            payload = read_frame(self._view, offset, _DIRECTORY, length)[1]
            record = DirectoryRecord.unpack(payload)
            frame = make_frame(_DIRECTORY, bytes(payload))
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

        end = _scan(self._view, check)
        if rows or end != _find_index(self._view):
            raise SnapshotError(f"{self.path}: damaged snapshot: byte {end}: no whole directory is there")

    def close(self) -> None:
        """Give the file back; the table can no longer load."""
        self._view.close()


def _lock(file: BinaryIO, part: Path) -> None:
    """Wait for the end of a process that was told to stop, or was left behind, and still writes."""
    give_up = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            if time.monotonic() > give_up:
                raise SnapshotBusy(f"{part}: another process still writes to it") from error
            time.sleep(0.1)
    # To go on with a file that was finished meanwhile would cut the index off it.
    if not _has_name(file, part):
        raise SnapshotBusy(f"{part}: another process has finished it or started over")


def _has_name(file: BinaryIO, part: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(part))
    except FileNotFoundError:
        return False


def _read_header(path: Path, view: FileBytes) -> SnapshotHeader:
    if view[: len(MAGIC) - 1] != MAGIC[:-1]:
        raise SnapshotError(f"{path}: not a snapshot: it does not start as one")
    version = view[len(MAGIC) - 1 : len(MAGIC)]
    if version != MAGIC[-1:]:
        raise SnapshotError(f"{path}: snapshot format {version[0] if version else '?'}; this program reads {MAGIC[-1]}")
    return SnapshotHeader.unpack(read_frame(view, len(MAGIC), _HEADER)[1])


def _find_index(view: FileBytes) -> int:
    if len(view) >= _TRAILER.size:
        start, magic = _TRAILER.unpack(view.read(len(view) - _TRAILER.size, _TRAILER.size))
        if magic == _TRAILER_MAGIC:
            return int(start)
    raise ValueError("it does not end with an index")


def _scan(view: FileBytes, add: Callable[[Entry, int], None]) -> int:
    """Read all whole directory frames from the start; give the offset behind the last of them."""
    offset, _ = read_frame(view, len(MAGIC), _HEADER)
    while True:
        try:
            end, payload = read_frame(view, offset, _DIRECTORY)
            record = DirectoryRecord.unpack(payload)
        except ValueError:
            return offset
        add(Entry.of(record, end - offset), offset)
        offset = end


def _none_negative(column: bytes) -> bool:
    """Tell whether no int64 of a column has its sign bit set, which stands in the last byte of each."""
    return column[7::8].isascii()


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
    if table.ids is not None:
        fields["ids"] = table.ids.tobytes()
    packed: bytes = msgpack.packb(fields, unicode_errors="replace")
    return packed
