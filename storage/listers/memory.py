"""A store that is held in memory, for tests and examples.

It answers as the other listers do, and can be told to misbehave in the ways that real stores do, path by path.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from weakref import WeakValueDictionary

from engine import paths
from engine.checksums.digest import Checksum
from engine.columns import DirectoryColumns, FileColumns
from engine.listing import (
    Absent,
    Failed,
    Listed,
    ListingOutcome,
    NamesListed,
    NamesOutcome,
    NoChecksum,
    Outcome,
    Present,
)
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.protocol import Ask, Request, Sink
from storage.threads import named


@dataclass(frozen=True, slots=True)
class Fault:
    """How one path misbehaves.

    ``outcome`` is given instead of the true answer, for the first ``times`` questions or for all of them. ``delay`` is
    in seconds. With ``keep``, a listing gives only the first so many entries and calls itself complete, as a server
    does that stops at an entry it cannot read; the names alone remain complete. With ``silent``, no answer ever comes,
    which no lister should do and everything above must survive. ``asks`` are the questions that are affected.
    """

    outcome: Failed | Absent | None = None
    times: int | None = None
    delay: float = 0.0
    keep: int | None = None
    silent: bool = False
    asks: frozenset[Ask] = frozenset(Ask)

    @classmethod
    def failing(cls, reason: Reason, detail: str = "", times: int | None = None) -> Fault:
        """Fail for a reason: always, or the first so many times."""
        return cls(Failed(reason, detail), times)


PARTIAL = Fault(Failed(Reason.PARTIAL, "the server's answer is partial"))
FALSE_EMPTY = Fault(Failed(Reason.FALSE_EMPTY, "empty with attributes, 1 names without"), asks=frozenset((Ask.LIST,)))
SILENT = Fault(silent=True)


@dataclass(slots=True)
class _Directory:
    mtime: int
    number: int = field(default_factory=itertools.count(1).__next__)
    files: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    sums: dict[tuple[bytes, str], Checksum] = field(default_factory=dict)
    directories: set[bytes] = field(default_factory=set)


class MemoryStore:
    """Directories and files by canonical path. A directory exists as soon as something is put into it.

    Threads may change it and ask it at the same time.
    """

    def __init__(self) -> None:
        self._directories: dict[bytes, _Directory] = {b"/": _Directory(0)}
        self._faults: dict[bytes, Fault] = {}
        self._asked: dict[tuple[bytes, Fault], int] = {}
        self._lock = threading.Lock()

    def add_directory(self, path: bytes, mtime: int = 0) -> None:
        """Make a directory, and those above it; ``mtime`` in seconds since the epoch."""
        with self._lock:
            self._make(paths.canonical(path), mtime).mtime = mtime

    def add_file(self, path: bytes, size: int = 0, mtime: int = 0) -> None:
        """Put a file of ``size`` bytes, or replace one; ``mtime`` in seconds since the epoch."""
        path = paths.canonical(path)
        with self._lock:
            self._make(paths.parent_of(path) or b"/", mtime).files[paths.name_of(path)] = (size, mtime)

    def add_checksum(self, path: bytes, checksum: Checksum) -> None:
        """Say which checksum a file has; without one the store has none of it."""
        path = paths.canonical(path)
        with self._lock:
            self._make(paths.parent_of(path) or b"/", 0).sums[paths.name_of(path), checksum.algorithm] = checksum

    def remove(self, path: bytes) -> None:
        """Remove a file, or a directory with everything below it.

        Raises:
            KeyError: there is no such path.
        """
        path = paths.canonical(path)
        name = paths.name_of(path)
        with self._lock:
            above = self._directories[paths.parent_of(path) or b"/"]
            if above.files.pop(name, None) is None:
                above.directories.remove(name)
                for known in [known for known in self._directories if paths.is_under(known, path)]:
                    del self._directories[known]

    def misbehave(self, path: bytes, fault: Fault | None) -> None:
        """Make questions about this very path go wrong; None mends it."""
        with self._lock:
            if fault is None:
                self._faults.pop(path, None)
            else:
                self._faults[path] = fault

    def fault(self, request: Request) -> Fault | None:
        """Give the fault that a question meets."""
        fault = self._faults.get(request.path)
        return fault if fault is not None and request.ask in fault.asks else None

    def answer(self, request: Request) -> Outcome:
        """Answer a question, faults other than delay and silence included."""
        fault = self.fault(request)
        with self._lock:
            if fault is not None and fault.outcome is not None:
                asked = self._asked[request.path, fault] = self._asked.get((request.path, fault), 0) + 1
                if fault.times is None or asked <= fault.times:
                    return fault.outcome
            match request.ask:
                case Ask.LIST:
                    return self._list(request.path, fault.keep if fault is not None else None)
                case Ask.NAMES:
                    return self._names(request.path)
                case Ask.STAT:
                    return self._stat(request.path)
                case Ask.CHECKSUM:
                    return self._checksum(request.path, request.algorithm)

    def _make(self, path: bytes, mtime: int) -> _Directory:
        known = self._directories.get(path)
        if known is None:
            known = self._directories[path] = _Directory(mtime)
            above = self._make(paths.parent_of(path) or b"/", mtime)
            above.directories.add(paths.name_of(path))
        return known

    def _list(self, path: bytes, keep: int | None) -> ListingOutcome:
        found = self._directories.get(path)
        if found is None:
            return self._no_directory(path)
        kept = set(itertools.islice(self._in_order(found), keep))
        return Listed(
            FileColumns.from_rows((name, *found.files[name]) for name in kept & found.files.keys()),
            DirectoryColumns.with_ids(
                (name, directory.mtime, directory.number)
                for name in kept & found.directories
                for directory in (self._directories[paths.join(path, name)],)
            ),
        )

    def _names(self, path: bytes) -> NamesOutcome:
        found = self._directories.get(path)
        return self._no_directory(path) if found is None else NamesListed(frozenset(self._in_order(found)))

    def _stat(self, path: bytes) -> Outcome:
        directory = self._directories.get(path)
        if directory is not None:
            return Present(0, directory.mtime, True)
        file = self._file(path)
        if file is not None:
            return Present(*file, False)
        above = paths.parent_of(path)
        below_a_file = above is not None and self._file(above) is not None
        return Failed(Reason.NOT_A_DIRECTORY, "a file on the way") if below_a_file else Absent()

    def _checksum(self, path: bytes, algorithm: str) -> Outcome:
        if self._file(path) is None:
            return Absent()
        sums = self._directories[paths.parent_of(path) or b"/"].sums
        return sums.get((paths.name_of(path), algorithm)) or NoChecksum("none is known")

    def _file(self, path: bytes) -> tuple[int, int] | None:
        above = self._directories.get(paths.parent_of(path) or b"/")
        return above.files.get(paths.name_of(path)) if above is not None else None

    def _no_directory(self, path: bytes) -> Failed:
        if self._file(path) is None:
            return Failed(Reason.NOT_FOUND, "no such directory")
        return Failed(Reason.NOT_A_DIRECTORY, "a file")

    @staticmethod
    def _in_order(directory: _Directory) -> Iterator[bytes]:
        return iter(sorted([*directory.files, *directory.directories]))


_published: WeakValueDictionary[str, MemoryStore] = WeakValueDictionary()


def publish(name: str, store: MemoryStore) -> str:
    """Make a store known in this process, as long as somebody holds it; gives the URL of its door."""
    _published[name] = store
    return f"memory://{name}"


class MemoryLister:
    """Asks a store that was published under the name in the door.

    Answers come from a thread of the lister, in the order of the questions unless a fault delays them.

    Raises:
        ValueError: there is no such store in this process.
    """

    def __init__(self, door: Door, sink: Sink, timeout: float = 30.0) -> None:
        store = _published.get(door.host)
        if store is None:
            raise ValueError(f"no store named {door.host!r} in this process")
        self._store = store
        self._door = door
        self._sink = sink
        self._timeout = timeout
        self._requests = 0
        self._due: list[tuple[float, int, Request, Failed | None]] = []
        self._changed = threading.Condition()
        self._closed = False
        threading.Thread(target=self._deliver, name=named("memory-lister"), daemon=True).start()

    @property
    def requests(self) -> int:
        """How many requests were sent so far."""
        return self._requests

    def submit(self, request: Request) -> None:
        """Send one request; see `storage.listers.protocol.Lister`."""
        located = replace(request, path=self._door.locate(request.path))
        fault = self._store.fault(located)
        with self._changed:
            self._requests += 1
            if fault is not None and fault.silent:
                return
            delay = fault.delay if fault is not None else 0.0
            late = Failed(Reason.TIMEOUT, f"no answer within {self._timeout:g} s") if delay > self._timeout else None
            due = time.monotonic() + min(delay, self._timeout)
            heapq.heappush(self._due, (due, self._requests, located, late))
            self._changed.notify()

    def close(self) -> None:
        """Drop what is in flight and end the thread."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify()

    def _deliver(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (not self._due or self._due[0][0] > time.monotonic()):
                    self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
                if self._closed:
                    return
                _, _, request, late = heapq.heappop(self._due)
            try:
                outcome = late or self._store.answer(request)
            except Exception as error:
                outcome = Failed(Reason.SERVER, f"{type(error).__name__}: {error}")
            self._sink(request.number, outcome)
