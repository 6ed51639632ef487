"""A store that changes and may lie about its times, listed again and again by a coordinator without listers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgpack

from actors.coordinator import Coordinator
from actors.messages import Batch, EarlierListing, ListingPlan, ListingReport, Progress
from engine import paths
from engine.columns import DirectoryColumns, FileColumns
from engine.incremental import SAFELY, doubtful
from engine.index import Entry, IndexBuilder
from engine.listing import Failed, Listed, ListingOutcome
from engine.record import DirectoryRecord
from engine.states import Reason, State
from engine.table import DirectoryTable
from engine.work import QueueLimits, Task
from storage.snapshot import Snapshot, SnapshotHeader, directory_frame

TOP = b"/store/mc"
DAY = 86400
LONG_AGO = 1_700_000_000


@dataclass
class Held:
    """A directory: sizes of files by name, and its time."""

    files: dict[bytes, int] = field(default_factory=dict)
    mtime: int = LONG_AGO


class Store:
    """A store of leaves in directories; ``honest`` while the times of directories tell of changes."""

    def __init__(self) -> None:
        self.now = LONG_AGO + 10 * DAY
        self.directories: dict[bytes, Held] = {TOP: Held()}
        self.honest = True
        self.asked: list[bytes] = []
        # What it still says of the time of a directory, as a cache of attributes does.
        self.cached: dict[bytes, int] = {}
        self.fails: dict[bytes, Reason] = {}
        for number in range(4):
            self.make(TOP + b"/%d" % number)
            for leaf in range(5):
                path = self.make(TOP + b"/%d/leaf%d" % (number, leaf))
                self.directories[path].files = {b"f%d-%d" % (number, leaf): 5, b"g": leaf}

    def make(self, path: bytes) -> bytes:
        self.directories[path] = Held()
        return path

    @property
    def leaves(self) -> list[bytes]:
        return [path for path in self.directories if b"leaf" in path]

    def put(self, path: bytes, name: bytes, size: int = 5) -> None:
        self._touch(path, name not in self.directories[path].files)
        self.directories[path].files[name] = size

    def remove(self, path: bytes, name: bytes) -> None:
        del self.directories[path].files[name]
        self._touch(path, True)

    def _touch(self, path: bytes, by_name: bool) -> None:
        if self.honest and by_name:
            self.directories[path].mtime = self.now

    def below(self, path: bytes) -> list[bytes]:
        return [other for other in self.directories if paths.parent_of(other) == path]

    def list(self, path: bytes) -> ListingOutcome:
        self.asked.append(path)
        if path in self.fails:
            return Failed(self.fails[path])
        held = self.directories.get(path)
        if held is None:
            return Failed(Reason.NOT_FOUND)
        times = {other: self.cached.get(other, self.directories[other].mtime) for other in self.below(path)}
        below = [(paths.name_of(other), mtime, other) for other, mtime in times.items()]
        names = [(name, mtime, int.from_bytes(other[-7:], "big")) for name, mtime, other in below]
        rows = [(name, size, LONG_AGO) for name, size in held.files.items()]
        return Listed(FileColumns.from_rows(rows), DirectoryColumns.with_ids(names))

    def table(self) -> DirectoryTable:
        """Give what it holds, as an inventory would have it."""
        index, files = IndexBuilder(), {}
        for path, held in self.directories.items():
            files[path] = FileColumns.from_rows([(name, size, 1) for name, size in held.files.items()])
            index.add(Entry.of(DirectoryRecord(path, State.LISTED, files=files[path])))
        table, _, _ = index.table(lambda _offsets, _lengths: lambda row: files[table.paths[row]])
        return table


@dataclass
class Site:
    """Listings of a store into one file, each taking over from the one before it."""

    store: Store
    home: Path
    share: float = 0.0
    portion: int = 2000
    delay: float = 0.0
    clock: float = 0.0
    between: Callable[[int], None] = lambda _asked: None
    coordinator: Coordinator | None = None
    batch: Batch = field(default_factory=Batch)

    @property
    def snapshot(self) -> Path:
        return self.home / "listing"

    @property
    def earlier(self) -> Path:
        return self.home / "earlier"

    def begin(self, resume: bool = False, takes_over: bool = True) -> Coordinator:
        self.store.asked, self.batch = [], Batch()
        header = SnapshotHeader("listing", "memory", self.store.now, "SITE", (TOP,))
        limits = QueueLimits(max_attempts=2, first_delay=0.0)
        earlier = EarlierListing(self.earlier, self.share, SAFELY, self.delay, self.portion) if takes_over else None
        plan = ListingPlan(header, self.snapshot, limits, resume=resume, earlier=earlier)
        self.coordinator = Coordinator(plan, lambda: self.clock)
        self.coordinator.start()
        return self.coordinator

    def go_on(self, until: int | None = None) -> Progress:
        """Answer for so many directories, or until nothing is left to ask."""
        coordinator, asked = self.coordinator, 0
        assert coordinator is not None
        while until is None or asked < until:
            batch, self.batch = self.batch, Batch()
            given = coordinator.exchange("one", batch.pack(), 1)
            if not given.tasks:
                if given.go_home or coordinator.progress().idle:
                    break
                self.clock += 1.0
                continue
            (task,) = given.tasks
            self.batch = self._answer(task)
            asked += 1
            self.between(asked)
        return coordinator.progress()

    def _answer(self, task: Task) -> Batch:
        record = DirectoryRecord.of(task.path, self.store.list(task.path), self.store.now)
        frame = directory_frame(record)
        frame = frame if record.state == State.LISTED else b""
        return Batch([ListingReport(task.attempt, Entry.of(record, len(frame)))], frame)

    def end(self) -> DirectoryTable:
        """Seal, and keep the listing for the next one, as a run does that is recorded."""
        assert self.coordinator is not None
        self.coordinator.seal()
        self.coordinator.release()
        self.snapshot.rename(self.earlier)
        self.store.now += DAY
        snapshot = Snapshot(self.earlier)
        snapshot.verify()
        return snapshot.table

    def list(self) -> DirectoryTable:
        self.begin()
        self.go_on()
        return self.end()

    def look(self) -> Snapshot:
        """Open the listing as it is, sealed."""
        assert self.coordinator is not None
        self.coordinator.seal()
        return Snapshot(self.snapshot)

    def list_what_differs(self, inventory: DirectoryTable) -> list[bytes]:
        """Do as `actors.doubtful.list_what_differs`."""
        found = self.look()
        again = doubtful(inventory, found.table, found.header.taken_until)
        found.close()
        if again:
            assert self.coordinator is not None
            self.coordinator.list_again(msgpack.packb(again))
            self.go_on()
        return again


@contextmanager
def listed_once(home: Path) -> Iterator[Site]:
    """Give a site that was listed once."""
    made = Site(Store(), home)
    made.list()
    yield made
    if made.coordinator is not None:
        made.coordinator.release()


def held(table: DirectoryTable) -> dict[bytes, dict[bytes, int]]:
    return {
        path: {name: size for name, size, _ in table.load(row).rows()}
        for row, path in enumerate(table.paths)
        if table.state(row) == State.LISTED
    }


def truth(store: Store) -> dict[bytes, dict[bytes, int]]:
    return {path: held.files for path, held in store.directories.items()}
