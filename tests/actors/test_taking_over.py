"""The coordinator with an earlier listing, run after run, against a store that changes and may lie about its times."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgpack
import pytest

from actors.coordinator import Coordinator
from actors.messages import Batch, EarlierListing, ListingPlan, ListingReport, Progress
from engine import paths
from engine.columns import DirectoryColumns, FileColumns
from engine.compare import CompareOptions, Tally, compare
from engine.incremental import SAFELY, doubtful, is_taken
from engine.index import Entry, IndexBuilder
from engine.links import Link
from engine.listing import Failed, Listed, ListingOutcome
from engine.record import DirectoryRecord
from engine.states import Reason, State
from engine.table import DirectoryTable
from engine.work import QueueLimits, Task
from storage.snapshot import Snapshot, SnapshotHeader, SnapshotWriter, directory_frame, part_of

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
        """Do as `actors.taking_over.list_what_differs`."""
        found = self.look()
        again = doubtful(inventory, found.table, found.header.taken_until)
        found.close()
        if again:
            assert self.coordinator is not None
            self.coordinator.list_again(msgpack.packb(again))
            self.go_on()
        return again


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site that was listed once."""
    made = Site(Store(), tmp_path)
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


def test_leaves_that_did_not_change_are_not_asked_for(site: Site) -> None:
    listed_then = Snapshot(site.earlier).table.listed_at[2]
    site.begin()
    progress = site.go_on()
    assert sorted(site.store.asked) == [TOP, *(TOP + b"/%d" % n for n in range(4))]
    assert (progress.taken, progress.listed, progress.distrust) == (20, 25, "")
    assert (progress.files, progress.size) == (40, sum(5 + leaf for leaf in range(5)) * 4)
    table = site.end()
    assert held(table) == truth(site.store)
    # The time of its own listing goes with it, however often it is taken over.
    again = site.list()
    leaf = again.find(TOP + b"/1/leaf2")
    assert leaf is not None
    assert again.listed_at[leaf] == listed_then
    assert len(site.store.asked) == 5


def test_much_is_taken_over_in_portions(site: Site) -> None:
    """Nobody waits for all of it, is sent home before its end, or goes on after a kill."""
    site.portion = 3
    coordinator = site.begin()
    coordinator.no_more_work()
    before = 0
    while not coordinator.progress().idle:
        site.go_on(1)
        listed = coordinator._journal.index.count(State.LISTED)
        # One that was listed, and what one message takes over.
        assert listed <= before + 4
        before = listed + 3
    assert coordinator.progress().taken == 20
    assert len(site.store.asked) == 5
    assert coordinator.exchange("one", Batch().pack(), 1).go_home
    assert held(site.end()) == truth(site.store)


def test_a_kill_ends_taking_over_at_once(site: Site) -> None:
    site.portion = 2
    coordinator = site.begin()
    site.go_on(3)
    coordinator.exchange("one", site.batch.pack(), 0)
    taken = coordinator.progress().taken
    assert 0 < taken < 20
    coordinator.kill("enough")
    assert coordinator.exchange("one", Batch().pack(), 1).go_home
    progress = coordinator.progress()
    assert (progress.taken, progress.idle) == (taken, False)


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_what_a_run_did_not_come_to_take_over_the_next_one_does(site: Site, share: float) -> None:
    site.portion, site.share = 1, share
    coordinator = site.begin()
    while len(site.store.asked) < 4:
        site.go_on(1)
    coordinator.exchange("one", site.batch.pack(), 0)
    coordinator.release()
    asked = {*site.store.asked}
    before = Snapshot(part_of(site.snapshot)).table
    assert before.count(State.UNFILLED) > 4
    site.begin(resume=True)
    progress = site.go_on()
    assert not asked & {*site.store.asked}
    sampled = (asked | {*site.store.asked}) & {*site.store.leaves}
    assert progress.taken == 20 - len(sampled)
    assert (progress.taken == 20) is (share == 0.0)
    assert (progress.distrust, progress.resumed) == ("", before.count(State.LISTED))
    assert held(site.end()) == truth(site.store)


def test_what_was_still_to_be_taken_over_is_listed_when_the_store_lies(site: Site) -> None:
    site.portion, site.share = 1, 0.3
    site.store.honest = False
    for leaf in site.store.leaves:
        site.store.put(leaf, b"new")
    site.begin()
    progress = site.go_on()
    assert progress.distrust
    assert progress.taken == 0
    assert held(site.end()) == truth(site.store)


def test_what_changed_is_listed(site: Site) -> None:
    store = site.store
    store.put(TOP + b"/1/leaf1", b"new")
    store.remove(TOP + b"/2/leaf2", b"g")
    del store.directories[TOP + b"/3/leaf3"]
    store.make(TOP + b"/0/leaf9")
    store.put(TOP + b"/0/leaf9", b"f")
    assert held(site.list()) == truth(store)
    assert sorted(set(store.asked) & set(store.leaves)) == [TOP + b"/0/leaf9", TOP + b"/1/leaf1", TOP + b"/2/leaf2"]
    # A day later nobody has to fear that they changed once more in the second of their listing.
    site.list()
    assert len(site.store.asked) == 5 + 3
    site.list()
    assert len(site.store.asked) == 5


def test_a_sample_finds_a_store_that_lies(site: Site) -> None:
    site.share = 1.0
    site.store.honest = False
    site.store.put(TOP + b"/1/leaf1", b"new")
    site.begin()
    progress = site.go_on()
    assert "/store/mc/1/leaf1" in progress.distrust
    assert "listed in full" in progress.note
    assert held(site.end()) == truth(site.store)


def test_one_disagreement_has_everything_listed(site: Site) -> None:
    site.store.honest = False
    for leaf in site.store.leaves:
        site.store.put(leaf, b"new")
    site.share = 0.4
    site.begin()
    progress = site.go_on()
    assert progress.distrust
    assert progress.taken == 0
    found = site.look()
    assert not any(is_taken(found.table, row, found.header.taken_until) for row in range(len(found.table)))
    assert held(found.table) == truth(site.store)
    assert (progress.files, progress.size) == (found.table.total_files(), found.table.total_size())


def test_what_changes_in_the_middle_is_no_disagreement(site: Site) -> None:
    site.share = 1.0
    leaf = TOP + b"/1/leaf1"

    def change(_asked: int) -> None:
        if TOP + b"/1" in site.store.asked and leaf not in site.store.asked:
            site.store.put(leaf, b"new%d" % len(site.store.asked))

    site.between = change
    site.begin()
    assert site.go_on().distrust == ""
    assert site.store.asked.count(TOP + b"/1") == 2
    assert held(site.end()) == truth(site.store)


def test_a_report_that_comes_twice_is_no_second_look(site: Site) -> None:
    site.share, site.delay = 1.0, 120.0
    leaf = TOP + b"/1/leaf1"
    site.store.cached[leaf] = site.store.directories[leaf].mtime
    site.store.put(leaf, b"new")
    coordinator = site.begin()
    first = Batch()
    while coordinator.progress().note == "":
        (task,) = coordinator.exchange("one", site.batch.pack(), 1).tasks or (None,)
        site.batch = Batch() if task is None else site._answer(task)
        if task is not None and task.path == TOP + b"/1":
            first = site.batch
    site.store.cached.clear()
    site.clock += 120
    (task,) = coordinator.exchange("one", Batch().pack(), 1).tasks
    assert task.path == TOP + b"/1"
    # It still shows the old time.
    coordinator.exchange("one", first.pack(), 0)
    assert coordinator.progress().distrust == ""
    site.batch = site._answer(task)
    assert site.go_on().distrust == ""
    assert held(site.end()) == truth(site.store)


@pytest.mark.parametrize("honest", [True, False])
def test_what_turns_out_to_be_a_link_during_a_second_look_is_none_that_cannot_be_asked(
    site: Site, monkeypatch: pytest.MonkeyPatch, honest: bool
) -> None:
    site.share = 1.0
    parent, leaf, last = TOP + b"/1", TOP + b"/1/leaf1", TOP + b"/0/leaf4"
    coordinator = site.begin()
    see = coordinator._links.see
    monkeypatch.setattr(
        coordinator._links, "see", lambda entry: [Link(parent, TOP)] if entry.path == last else see(entry)
    )
    in_hand: list[Task] = []
    while True:
        in_hand += coordinator.exchange("one", site.batch.pack(), 100).tasks
        if parent in site.store.asked and leaf not in site.store.asked:
            # Its parent shows the old time.
            site.store.honest = honest
            site.store.put(leaf, b"new")
        # The one that shows it is answered last but one, and the second look last.
        in_hand.sort(key=lambda task: (parent in site.store.asked and task.path == parent, task.path == last))
        task = in_hand.pop(0)
        if task.path == last:
            break
        site.batch = site._answer(task)
    coordinator.exchange("one", site._answer(task).pack(), 0)
    assert [task.path for task in in_hand] == [parent]
    progress = coordinator.progress()
    assert (progress.distrust, progress.failed) == ("", 1)
    site.batch = site._answer(in_hand[0])
    progress = site.go_on()
    assert (progress.idle, bool(progress.distrust)) == (True, not honest)
    table = site.look().table
    assert [(path, reason) for path, reason, _ in table.unlisted()] == [(parent, Reason.LINK)]
    assert (progress.files, progress.size) == (table.total_files(), table.total_size())


def until_it_waits(site: Site) -> Progress:
    """Answer until nothing else is left than to wait; gives the progress then."""
    coordinator = site.coordinator
    assert coordinator is not None
    while not (progress := coordinator.progress()).note.startswith("waiting"):
        assert not progress.idle
        site.go_on(1)
        coordinator.exchange("one", site.batch.pack(), 0)
        site.batch = Batch()
    return progress


def test_a_store_that_goes_on_showing_an_old_time_for_a_while_is_believed(site: Site) -> None:
    site.share, site.delay = 1.0, 120.0
    leaf = TOP + b"/1/leaf1"
    site.store.cached[leaf] = site.store.directories[leaf].mtime
    site.store.put(leaf, b"new")
    coordinator = site.begin()
    progress = until_it_waits(site)
    assert "/store/mc/1" in progress.note
    assert (progress.idle, progress.queued, progress.in_flight, progress.distrust) == (False, 0, 0, "")
    assert site.store.asked.count(TOP + b"/1") == 1
    seen = site.clock
    site.clock = seen + 60
    site.store.cached.clear()
    site.clock = seen + 119
    coordinator.no_more_work()
    given = coordinator.exchange("one", Batch().pack(), 1)
    assert (given.tasks, given.go_home) == ((), False)
    site.clock = seen + 121
    progress = site.go_on()
    assert site.store.asked.count(TOP + b"/1") == 2
    assert (progress.idle, progress.note, progress.distrust) == (True, "", "")
    assert held(site.end()) == truth(site.store)


def test_a_store_that_lies_is_found_out_while_others_are_listed(site: Site) -> None:
    site.share, site.delay = 0.5, 120.0
    site.store.honest = False
    for leaf in site.store.leaves:
        site.store.put(leaf, b"new")
    found_after: list[int] = []

    def between(asked: int) -> None:
        site.clock += 60
        if site.coordinator is not None and site.coordinator.progress().distrust:
            found_after.append(asked)

    site.between = between
    site.begin()
    progress = site.go_on()
    assert progress.distrust
    assert found_after[0] < 12
    assert progress.taken == 0
    assert held(site.end()) == truth(site.store)


def test_a_kill_ends_a_wait_at_once(site: Site) -> None:
    site.share, site.delay = 1.0, 120.0
    site.store.honest = False
    site.store.put(TOP + b"/1/leaf1", b"new")
    coordinator = site.begin()
    until_it_waits(site)
    coordinator.kill("enough")
    assert coordinator.exchange("one", Batch().pack(), 1).go_home
    site.clock += 1000
    assert coordinator.exchange("one", Batch().pack(), 1).tasks == ()
    assert not coordinator.progress().distrust


def test_a_run_that_ends_while_it_waits_is_gone_on_with_by_one_that_waits_as_long(site: Site) -> None:
    site.share, site.delay = 1.0, 120.0
    site.store.honest = False
    site.store.put(TOP + b"/1/leaf1", b"new")
    coordinator = site.begin()
    until_it_waits(site)
    coordinator.release()
    site.clock = 0.0
    site.begin(resume=True)
    assert until_it_waits(site).resumed == 25
    assert site.store.asked == []
    progress = site.go_on()
    assert site.clock >= 120
    assert site.store.asked == [TOP + b"/1"]
    assert "/store/mc/1/leaf1" in progress.distrust


@pytest.mark.parametrize("reason", [Reason.PERMISSION, Reason.TIMEOUT])
def test_a_parent_that_cannot_be_asked_again_stays_listed(site: Site, reason: Reason) -> None:
    site.share = 1.0
    site.store.honest = False
    site.store.put(TOP + b"/1/leaf1", b"new")

    def fail(_asked: int) -> None:
        if TOP + b"/1" in site.store.asked:
            site.store.fails[TOP + b"/1"] = reason

    site.between = fail
    site.begin()
    progress = site.go_on()
    assert progress.distrust
    assert progress.failed == 0
    assert held(site.end()) == truth(site.store)


def test_what_differs_from_the_inventory_is_listed_before_it_is_judged(site: Site) -> None:
    store = site.store
    store.honest = False
    store.put(TOP + b"/1/leaf1", b"orphan")
    site.list()
    # It was taken over as it was, and agrees; now the inventory loses a file elsewhere.
    assert held(Snapshot(site.earlier).table) != truth(store)
    store.put(TOP + b"/2/leaf2", b"unknown")
    expected = Store()
    del expected.directories[TOP + b"/2/leaf2"].files[b"g"]
    site.begin()
    site.go_on()
    assert site.list_what_differs(expected.table()) == [TOP + b"/2/leaf2"]
    # It has changed, its time has not, and that is the end of taking over.
    progress = site.coordinator.progress() if site.coordinator else Progress()
    assert progress.distrust
    assert held(site.end()) == truth(store)


def test_a_directory_that_cannot_be_listed_after_all_is_unlisted(site: Site) -> None:
    leaf = TOP + b"/2/leaf2"
    inventory = site.store.table()
    site.store.directories[leaf].files[b"more"] = 1
    known = site.store.table()
    del site.store.directories[leaf].files[b"more"]
    site.store.directories[leaf].mtime += 1
    site.list()
    site.list()
    site.store.fails[leaf] = Reason.PERMISSION
    site.begin()
    assert site.go_on().taken == 20
    assert site.list_what_differs(inventory) == []
    assert leaf in site.list_what_differs(known)
    table = site.end()
    assert [path for path, _, _ in table.unlisted()] == [leaf]
    assert not list(compare(known, table, CompareOptions(), Tally()))


@pytest.mark.parametrize("kept", ["nothing", "garbage", "another site", "a later time", "a part"])
def test_what_cannot_be_taken_over_from_is_listed(site: Site, kept: str, tmp_path: Path) -> None:
    if kept == "nothing":
        site.earlier.unlink()
    elif kept == "garbage":
        site.earlier.write_bytes(b"x" * 100)
    elif kept == "another site":
        writer = SnapshotWriter(site.earlier, SnapshotHeader("listing", "memory", 1, "OTHER", (TOP,)))
        writer.finish()
    elif kept == "a later time":
        site.store.now -= 5 * DAY
    else:
        data = site.earlier.read_bytes()
        site.earlier.write_bytes(data[: len(data) // 2])
    site.begin()
    progress = site.go_on()
    assert "listing in full" in progress.note
    assert progress.taken == 0
    assert len(site.store.asked) == 25
    assert site.look().header.extra == {}


def test_a_directory_that_is_damaged_is_listed(site: Site) -> None:
    leaf = TOP + b"/2/leaf2"
    data = bytearray(site.earlier.read_bytes())
    at = data.index(b"f2-2")
    data[at] ^= 1
    site.earlier.write_bytes(data)
    site.begin()
    progress = site.go_on()
    assert "damaged" in progress.note
    assert site.store.asked.count(leaf) == 1
    assert held(site.end()) == truth(site.store)


def damage_all(site: Site) -> None:
    """Change a byte in each leaf of the last listing."""
    data = bytearray(site.earlier.read_bytes())
    for leaf in range(5):
        for number in range(4):
            data[data.index(b"f%d-%d" % (number, leaf))] ^= 1
    site.earlier.write_bytes(data)


def test_of_many_damaged_directories_the_first_are_named_and_the_others_counted(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    damage_all(site)
    caplog.clear()
    coordinator = site.begin()
    progress = site.go_on()
    assert "damaged" in progress.note
    assert progress.taken == 0
    assert held(site.end()) == truth(site.store)
    coordinator.release()
    said = [record.message for record in caplog.records]
    assert len([line for line in said if line.startswith("listed although it may be the same: ")]) == 3
    assert said[-1] == "20 directories in all are damaged in the last listing, and were listed"
    assert len(said) == 4


def test_that_a_store_is_not_believed_is_said_also_where_a_directory_is_damaged(site: Site) -> None:
    damage_all(site)
    site.share, site.portion, site.store.honest = 0.5, 1, False
    for leaf in site.store.leaves:
        site.store.put(leaf, b"new")
    coordinator = site.begin()
    progress = site.go_on()
    assert coordinator._earlier.note
    assert progress.note == f"listed in full from now on: {progress.distrust}"


@pytest.mark.parametrize("asked", range(1, 12))
def test_a_run_that_is_killed_is_gone_on_with(site: Site, asked: int) -> None:
    site.share = 0.3
    coordinator = site.begin()
    site.go_on(asked)
    coordinator.release()
    before = {*site.store.asked[: asked - 1]}
    site.begin(resume=True)
    progress = site.go_on()
    # What was answered for is not asked for again.
    assert not before & {*site.store.asked}
    assert progress.distrust == ""
    found = site.look()
    taken = sum(is_taken(found.table, row, found.header.taken_until) for row in range(len(found.table)))
    assert taken == progress.taken > 0
    assert held(found.table) == truth(site.store)


def test_what_was_taken_over_is_listed_when_the_store_is_not_believed_any_more(site: Site) -> None:
    coordinator = site.begin()
    site.go_on(3)
    coordinator.release()
    site.store.honest = False
    for leaf in site.store.leaves:
        site.store.put(leaf, b"new")
    before = Snapshot(part_of(site.snapshot))
    taken = sum(is_taken(before.table, row, before.header.taken_until) for row in range(len(before.table)))
    assert taken > 0
    site.begin(resume=True, takes_over=False)
    progress = site.go_on()
    assert progress.taken == 0
    # What is listed again is not gone on with.
    assert progress.resumed == before.table.count(State.LISTED) - taken
    assert held(site.end()) == truth(site.store)
    assert {*site.store.leaves} <= {*site.store.asked}


def test_a_lie_that_was_listed_just_before_the_end_is_noticed_by_the_next(site: Site) -> None:
    site.share = 1.0
    site.store.honest = False
    for leaf in site.store.leaves:
        site.store.put(leaf, b"new")
    coordinator = site.begin()
    while not {*site.store.leaves} & {*site.store.asked}:
        site.go_on(1)
    # The listing that shows it is handed in, and nothing comes of it any more.
    site.go_on(1)
    coordinator.release()
    site.share = 0.0
    site.begin(resume=True)
    progress = site.go_on()
    assert progress.distrust
    assert progress.taken == 0
    assert held(site.end()) == truth(site.store)


def test_a_sealed_listing_is_a_part_again_while_more_is_listed(site: Site) -> None:
    site.begin()
    site.go_on()
    assert site.coordinator is not None
    site.coordinator.seal()
    site.coordinator.list_again(msgpack.packb([TOP + b"/1/leaf1"]))
    assert not site.snapshot.exists()
    # A process that ends here leaves a journal.
    assert Snapshot(part_of(site.snapshot)).table.count(State.LISTED) == 25
    site.go_on()
    assert held(site.end()) == truth(site.store)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_nothing_false_comes_of_it(tmp_path: Path, seed: int) -> None:
    """Runs of a store that changes before and during them, lies or not, with kills and a share that is drawn.

    A finding always rests on a listing of the very run; where times are true, the listing is that of the store at some
    moment of the run.
    """
    chance = random.Random(seed)
    store = Store()
    site = Site(store, tmp_path, chance.choice((0.0, 0.1, 0.5, 1.0)), chance.choice((1, 3, 2000)))
    site.delay = chance.choice((0.0, 7.0, 120.0))
    site.list()
    store.honest = chance.random() < 0.6
    busy = chance.choice((0.0, 0.0, 0.2))
    seen: dict[bytes, list[dict[bytes, int]]] = {}

    def change() -> None:
        leaf = chance.choice(store.leaves)
        held = store.directories[leaf]
        if chance.random() < 0.5 or not held.files:
            store.put(leaf, b"n%d" % chance.randrange(10_000))
        else:
            store.remove(leaf, chance.choice(sorted(held.files)))

    def note() -> None:
        for path, held in store.directories.items():
            seen.setdefault(path, []).append(dict(held.files))

    def between(_asked: int) -> None:
        site.clock += chance.choice((0.0, 1.0, 30.0))
        if chance.random() < busy:
            change()
            note()

    distrust = ""
    for _ in range(4):
        for _ in range(chance.choice((0, 0, 1, 3))):
            change()
        seen.clear()
        note()
        site.between = between
        site.begin(takes_over=not distrust)
        for _ in range(chance.choice((0, 0, 1, 2))):
            site.go_on(chance.randrange(1, 12))
            assert site.coordinator is not None
            site.coordinator.release()
            store.now += chance.choice((1, 3600))
            site.begin(resume=True, takes_over=not distrust)
        progress = site.go_on()
        inventory = store.table() if chance.random() < 0.5 else Store().table()
        site.list_what_differs(inventory)
        assert site.coordinator is not None
        progress = site.coordinator.progress()
        assert progress.idle
        distrust = distrust or progress.distrust
        found = site.look()
        table, until = found.table, found.header.taken_until
        assert (progress.files, progress.size) == (table.total_files(), table.total_size())
        assert not distrust or progress.taken == 0
        for finding in compare(inventory, table, CompareOptions(), Tally()):
            row = table.nearest(finding.directory)
            assert row is not None
            assert not is_taken(table, row, until)
        for path, files in held(table).items():
            fresh = not is_taken(table, table.find(path) or 0, until)
            assert files in seen[path] or (not store.honest and not fresh)
        if store.honest:
            assert distrust == ""
        site.end()
