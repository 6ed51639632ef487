"""Answering from a dump: a file in which the site wrote down what its store holds.

A dump names files. A directory is there when a file below it is, has no mtime, and is never empty; one that is not
named is absent. Of a dump whose lines are in order, nothing is denied that would come behind the last one, where it may
be cut off; one with lines that could not be read denies nothing at all. What came after the dump is not in it, and
whoever judges has to look at `storage.listers.dump_file.dump_time`.
"""

from __future__ import annotations

import tempfile
import threading
from functools import lru_cache
from pathlib import Path
from queue import SimpleQueue

from engine import paths
from engine.columns import UNKNOWN_MTIME, DirectoryColumns, FileColumns
from engine.listing import Absent, Failed, Listed, NamesListed, NoChecksum, Outcome, Present
from engine.states import Reason, State
from storage.listers.doors import Door
from storage.listers.dump_end import LastInOrder
from storage.listers.dump_file import DumpError, dump_into_snapshot
from storage.listers.protocol import Ask, Request, Sink
from storage.snapshot import Snapshot, SnapshotError, is_snapshot
from storage.threads import named

_KEPT = 64
"""Directories whose names are kept, for questions about several files in one."""

_BEHIND = Failed(Reason.CUT_SHORT, "it would come behind the last line of the dump, where that may be cut off")
"""The answer for what nobody can deny."""

_UNREAD = Failed(Reason.UNREAD, "the dump has lines that cannot be read, of which one may be this file")
"""The answer for what may be in such a line."""


class DumpLister:
    """Answers from the dump, or the snapshot of one, whose path is that of the door, one question after another.

    Raises:
        ValueError: the file cannot be used.
    """

    def __init__(self, door: Door, sink: Sink, timeout: float = 30.0) -> None:
        del timeout
        try:
            self._dump = _open(Path(paths.decode(door.prefix)))
        except (DumpError, SnapshotError, OSError) as error:
            raise ValueError(str(error)) from error
        self._sink = sink
        self._requests = 0
        self._closed = False
        self._queue: SimpleQueue[Request | None] = SimpleQueue()
        threading.Thread(target=self._work, name=named("dump-lister"), daemon=True).start()

    @property
    def requests(self) -> int:
        """How many requests were answered so far."""
        return self._requests

    def submit(self, request: Request) -> None:
        """Answer one request; see `storage.listers.protocol.Lister`."""
        self._requests += 1
        self._queue.put(request)

    def close(self) -> None:
        """Drop what is in flight and end the thread."""
        self._closed = True
        self._queue.put(None)

    def _work(self) -> None:
        while (request := self._queue.get()) is not None and not self._closed:
            try:
                outcome = self._dump.answer(request)
            except SnapshotError as error:
                outcome = Failed(Reason.SERVER, str(error))
            except Exception as error:
                outcome = Failed(Reason.SERVER, f"{type(error).__name__}: {error}")
            self._sink(request.number, outcome)


def _open(file: Path) -> _Dump:
    if is_snapshot(file):
        return _Dump(Snapshot(file))
    with tempfile.TemporaryDirectory(prefix="dump-") as scratch:
        snapshot = Path(scratch, "dump.snapshot")
        dump_into_snapshot(file, snapshot, b"/")
        # It stays open when its name is gone.
        return _Dump(Snapshot(snapshot))


class _Dump:
    """A snapshot that is asked as a store is."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._table = snapshot.table
        self._prefix: bytes = snapshot.header.extra.get("prefix", b"")
        self._last = LastInOrder.of_extra(snapshot.header.extra)
        self._has_unread = snapshot.header.has_unread
        self._below: dict[bytes, list[tuple[bytes, int]]] = {}
        for path, mtime in zip(self._table.paths, self._table.mtimes, strict=True):
            above = paths.parent_of(path)
            if above is not None:
                self._below.setdefault(above, []).append((paths.name_of(path), mtime))
        self._files = lru_cache(_KEPT)(self._load)

    def answer(self, request: Request) -> Outcome:
        path = request.path if not self._prefix else paths.canonical(self._prefix + request.path)
        match request.ask:
            case Ask.LIST:
                return self._list(path)
            case Ask.NAMES:
                if self._last is not None and self._last.hides_in(path):
                    return _BEHIND
                if self._has_unread:
                    return _UNREAD
                outcome = self._list(path)
                if isinstance(outcome, Failed):
                    return outcome
                return NamesListed(frozenset(outcome.files.name_list() + outcome.directories.name_list()))
            case Ask.STAT:
                return self._stat(path)
            case Ask.CHECKSUM:
                return NoChecksum("a dump has no files to be read")

    def _list(self, path: bytes) -> Listed | Failed:
        row = self._table.find(path)
        if row is None:
            return Failed(*self._why_not(path))
        state = self._table.state(row)
        if state != State.LISTED:
            reason = self._table.reason(row)
            return Failed(reason or Reason.NEVER_REACHED, "the dump does not know what is in it")
        return Listed(self._table.load(row), DirectoryColumns.from_rows(self._below.get(path, ())))

    def _stat(self, path: bytes) -> Outcome:
        if self._table.find(path) is not None:
            return Present(0, UNKNOWN_MTIME, True)
        found = self._file(path)
        if found is not None:
            return Present(*found, False)
        if self._last is not None and self._last.hides_file(path):
            return _BEHIND
        reason, detail = self._why_not(path)
        if reason != Reason.NOT_FOUND:
            return Failed(reason, detail)
        return _UNREAD if self._has_unread else Absent()

    def _why_not(self, path: bytes) -> tuple[Reason, str]:
        """Say why a directory is not in the dump, or a file in none of its directories."""
        above: bytes | None = path
        while above is not None:
            row = self._table.find(above)
            if row is not None:
                if self._table.state(row) == State.LISTED:
                    break
                return self._table.reason(row) or Reason.NEVER_REACHED, "the dump does not know what is in it"
            if self._file(above) is not None:
                return Reason.NOT_A_DIRECTORY, "a file in the dump"
            above = paths.parent_of(above)
        return Reason.NOT_FOUND, "not in the dump"

    def _file(self, path: bytes) -> tuple[int, int] | None:
        above = paths.parent_of(path)
        row = None if above is None else self._table.find(above)
        return None if row is None else self._files(row).get(paths.name_of(path))

    def _load(self, row: int) -> dict[bytes, tuple[int, int]]:
        files: FileColumns = self._table.load(row)
        return {name: (size, mtime) for name, size, mtime in files.rows()}
