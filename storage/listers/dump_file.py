"""A file that says what a store holds, made at the site, in place of a listing (the access method ``RAL-Reader``).

It is any list that `storage.inventory` reads, packed or not, or a snapshot. A time of less than `MOST_DAYS` in it
counts days since the epoch, as in the dumps of RAL; it becomes the end of that day, so that a file is never taken for
older than it is.

A dump that was cut off proves nothing of what came behind the cut, and all of that would be called missing. One whose
last line does not end is refused; of one whose lines are in order, nothing behind the last one is denied
(`storage.listers.dump_end`).
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from engine import paths
from engine.cut import DUMP_CUT, dump_gate
from engine.gates import Refusal
from engine.record import DirectoryRecord
from storage.inventory import InventoryCounts, InventoryError, read_inventory
from storage.inventory.age import DAY as DAY
from storage.inventory.age import Made, made_at, too_old
from storage.inventory.errors import InventoryCut, words_of_both
from storage.inventory.foreign.lfn import LfnToPath, absolute_path
from storage.inventory.foreign.ral import MOST_DAYS
from storage.inventory.misfits import Misfits
from storage.listers.dump_end import EndOfLines
from storage.snapshot import MISFITS, UNREAD, Snapshot, SnapshotError, SnapshotHeader, SnapshotWriter, is_snapshot

_log = logging.getLogger(__name__)

OLD = "dump-old"
"""The name of the gate for a dump that is older than is allowed."""

_SPARED = DAY
"""Seconds for which the snapshot of an older dump is kept, since another run may still read it."""


_READER = 6
"""Grows when a dump is read into something else than before."""


class DumpError(Exception):
    """A dump cannot be used; the message is one line and names the file.

    ``refusal`` is the gate that closed, if one did.
    """

    def __init__(self, message: str, refusal: Refusal | None = None) -> None:
        super().__init__(message)
        self.refusal = refusal


def dump_time(dump: Path) -> float:
    """Give the time, in seconds since the epoch, up to which a dump knows the store: later changes are not in it.

    See `storage.inventory.age`; a snapshot knows when it was begun.

    Raises:
        DumpError: there is no such file.
    """
    return dump_made(dump).at


def dump_made(dump: Path) -> Made:
    """Say when a dump was made, and what says so.

    Raises:
        DumpError: there is no such file.
    """
    try:
        if is_snapshot(dump):
            return Made(float(Snapshot(dump).header.created), "its content")
        return made_at(dump)
    except (OSError, SnapshotError) as error:
        raise _cannot_read(dump, error) from error


def refuse_old(dump: Path, made: Made, allowed: float) -> None:
    """Refuse a dump that is older than so many days; 0 allows any age.

    Raises:
        DumpError: it is older.
    """
    words = too_old(made, allowed)
    if words:
        gate = Refusal(OLD, f"dump {paths.escape(os.fsencode(dump))}: {words}")
        raise DumpError(f"{gate.gate}: {gate.message}", gate)


def dump_into_snapshot(
    dump: Path,
    snapshot: Path,
    root: bytes,
    prefix: bytes = b"",
    site: str = "",
    format: str = "auto",  # noqa: A002 - the word that the configuration uses
    heed: Callable[[], None] = lambda: None,
    allowed: float = 0.0,
    rse: str = "",
    lfn_to_path: LfnToPath = absolute_path,
) -> int:
    """Read what a dump has below ``root`` into a snapshot; gives the number of files.

    ``prefix`` is empty or a canonical path that stands before each LFN in the dump. Relative paths start from the root.
    ``heed`` is called now and then, and may raise to give up. Where there are many files they are put in order on disk,
    beside the snapshot. Where the dump says to which site each row belongs, those of ``site`` count, or of its ``rse``.
    ``allowed`` is the part of its lines that may not fit; the header says which did not. ``lfn_to_path`` gives the LFN
    of a replica of which the dump does not say the path, and may raise errors of its own.

    Raises:
        DumpError: it cannot be read, is malformed, does not end, or names no file below the root; there is no snapshot
            then.
    """
    top = paths.canonical(prefix + root)
    created = dump_time(dump)
    header = SnapshotHeader("listing", str(dump), int(created), site, (top,), {**_identity(dump), "prefix": prefix})

    made_by = lfn_to_path
    if prefix:

        def made_by(scope: bytes, name: bytes) -> bytes:
            path = lfn_to_path(scope, name)
            return prefix + path if path.startswith(b"/") else path

    read = partial(_read_into, dump, snapshot, header, top, (site, rse), format, heed, allowed, made_by)
    counts = read(mixed=None)
    if counts.is_mixed:
        counts = read(mixed=counts.sizes_of_both)
    if counts.both:
        _log.warning("dump %s: %s", paths.escape(os.fsencode(dump)), words_of_both(counts.both, counts.unsure))
    return counts.files


def _read_into(
    dump: Path,
    snapshot: Path,
    header: SnapshotHeader,
    root: bytes,
    owner: tuple[str, str],
    format_: str,
    heed: Callable[[], None],
    allowed: float,
    lfn_to_path: LfnToPath,
    mixed: frozenset[int] | None,
) -> InventoryCounts:
    """Read a dump once, which is known to be ``mixed`` with directories of these sizes; see `dump_into_snapshot`."""
    end = EndOfLines()
    unread: dict[str, str] = {}
    writer: SnapshotWriter | None = None

    def notice(misfits: Misfits) -> None:
        if misfits.count:
            unread[MISFITS] = misfits.words()
        if misfits.lost:
            unread[UNREAD] = misfits.words()

    def append(record: DirectoryRecord) -> None:
        nonlocal writer
        if writer is None:
            # How the lines end is known only now.
            writer = _writer(snapshot, replace(header, extra={**header.extra, **end.as_extra(), **unread}))
        writer.append(_in_seconds(record))

    try:
        counts = read_inventory(
            dump,
            append,
            format=format_,
            root=root,
            keep=(root,),
            listed_at=header.created,
            heed=heed,
            see=end.see,
            scratch=snapshot.parent,
            site=owner[0],
            rse=owner[1],
            allowed=allowed,
            allowed_in_lists=allowed,
            lfn_to_path=lfn_to_path,
            notice=notice,
            of_store=True,
            mixed=mixed,
        )
        if not counts.ended:
            gate = dump_gate(paths.escape(os.fsencode(dump)))
            raise DumpError(f"{gate.gate}: {gate.message}", gate)
        if writer is None or not counts.files:
            below = paths.escape(root)
            raise DumpError(f"dump {dump}: it names no file below {below}, so it says nothing about the store")
        if mixed is None and counts.is_mixed:
            # Whoever stops before it was read again must not find empty directories in it that look like files.
            writer.discard()
        else:
            writer.finish()
    except BaseException as error:
        if writer is not None:
            writer.discard()
        if isinstance(error, InventoryCut):
            gate = Refusal(DUMP_CUT, f"dump {str(error).removeprefix('inventory ')}")
            raise DumpError(f"{gate.gate}: {gate.message}", gate) from error
        if isinstance(error, InventoryError):
            raise DumpError(f"dump {str(error).removeprefix('inventory ')}") from error
        raise
    return counts


def _writer(snapshot: Path, header: SnapshotHeader) -> SnapshotWriter:
    try:
        return SnapshotWriter(snapshot, header)
    except OSError as error:
        raise DumpError(f"{snapshot}: cannot be written: {error.strerror}") from error


def prepared(
    dump: Path,
    directory: Path,
    root: bytes,
    prefix: bytes,
    site: str,
    heed: Callable[[], None] = lambda: None,
    allowed: float = 0.0,
    rse: str = "",
    lfn_to_path: LfnToPath = absolute_path,
    made_by: str = "",
) -> Path:
    """Give the snapshot of a dump below ``directory``, made anew unless there is one of this very file.

    Its name changes with the dump, so that a run is never shown two of them; and with ``made_by``, which says what
    ``lfn_to_path`` goes by.

    Raises:
        DumpError: see `dump_into_snapshot`; a dump that is a snapshot is given back as it is.
    """
    try:
        if is_snapshot(dump):
            return dump
        mark = hashlib.blake2b(
            repr((_READER, _identity(dump), root, prefix, allowed, rse, made_by)).encode(), digest_size=8
        ).hexdigest()
        directory.mkdir(parents=True, exist_ok=True)
        start = f"{site or '%'}_dump_"
        snapshot = directory / f"{start}{mark}.snapshot"
        if not _is_whole(snapshot):
            dump_into_snapshot(
                dump, snapshot, root, prefix, site, heed=heed, allowed=allowed, rse=rse, lfn_to_path=lfn_to_path
            )
        for old in directory.glob(f"{start}*.snapshot*"):
            with suppress(OSError):
                if old != snapshot and old.stat().st_mtime < time.time() - _SPARED:
                    old.unlink()
    except OSError as error:
        raise _cannot_read(dump, error) from error
    return snapshot


def _is_whole(snapshot: Path) -> bool:
    try:
        Snapshot(snapshot).close()
    except (OSError, SnapshotError):
        return False
    return True


def _identity(dump: Path) -> dict[str, object]:
    found = os.stat(dump)
    return {"path": str(dump), "size": found.st_size, "mtime_ns": found.st_mtime_ns}


def _in_seconds(record: DirectoryRecord) -> DirectoryRecord:
    mtimes = array("q", record.files.mtimes)
    if not any(0 <= mtime < MOST_DAYS for mtime in mtimes):
        return record
    seconds = array("q", [(m + 1) * DAY - 1 if 0 <= m < MOST_DAYS else m for m in mtimes])
    return replace(record, files=replace(record.files, mtimes=seconds.tobytes()))


def _cannot_read(dump: Path, error: Exception) -> DumpError:
    what = error.strerror if isinstance(error, OSError) else str(error)
    return DumpError(f"dump {dump}: {what}")
