"""Whole listings, on both runtimes and a real XRootD server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from actors import crew
from actors.listing import Listing, ListingFailed, Oversight, Refused, Stalled, StoreJob, list_store
from actors.messages import EarlierListing, Killed, ListerSettings, ListingPlan, Progress
from actors.runtime import Runtime
from engine.incremental import SAFELY
from engine.seats import SeatLimits
from engine.stall import StallLimits
from engine.states import Reason, State
from engine.work import QueueLimits
from storage.listers.memory import Fault, MemoryStore, publish
from storage.listers.protocol import StoreSpec
from storage.sites.seats import SeatBook, SeatPlan
from storage.snapshot import Snapshot, SnapshotHeader, part_of
from tests.servers.faulty_proxy import Fault as ProxyFault
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.fixtures import ServedDirectory


def job(door: str, top: bytes, snapshot: Path, listers: int = 2, in_flight: int = 4, resume: bool = False) -> StoreJob:
    header = SnapshotHeader("listing", door, int(time.time()), "SITE", (top,))
    limits = QueueLimits(max_attempts=2, first_delay=0.05)
    plan = ListingPlan(header, snapshot, limits, (b"/ignored",), resume)
    return StoreJob("SITE", plan, ListerSettings(StoreSpec((door,), 10.0, 1), in_flight, batch=4), listers)


def plant(root: Path, directories: int = 12, files: int = 5) -> int:
    for number in range(directories):
        leaf = root / f"d{number % 3}" / f"leaf{number}"
        leaf.mkdir(parents=True)
        for position in range(files):
            (leaf / f"f {position}").write_bytes(b"x" * position)
    return directories * files


def test_a_site_is_listed_into_a_snapshot(runtime: Runtime, xrootd_directory: ServedDirectory, tmp_path: Path) -> None:
    count = plant(xrootd_directory.path)
    (xrootd_directory.path / "ignored").mkdir()
    locked = xrootd_directory.path / "locked"
    locked.mkdir(mode=0o700)
    progress = list_store(runtime, job(xrootd_directory.url, xrootd_directory.lfn, tmp_path / "s"), Oversight())
    assert (progress.files, progress.listed, progress.failed, progress.ignored) == (count, 1 + 3 + 12, 1, 1)
    assert progress.requests >= progress.listed
    snapshot = Snapshot(tmp_path / "s")
    assert snapshot.finished
    assert snapshot.table.total_files() == count
    assert [(path, reason) for path, reason, _ in snapshot.table.unlisted()] == [
        (xrootd_directory.lfn + b"/locked", Reason.PERMISSION)
    ]
    assert snapshot.table.count(State.IGNORED) == 1
    snapshot.close()


def test_a_listing_without_a_root_is_refused_and_leaves_nothing(
    runtime: Runtime, xrootd_directory: ServedDirectory, tmp_path: Path
) -> None:
    nowhere = xrootd_directory.lfn + b"/nowhere"
    with pytest.raises(Refused, match=r"no top directory could be listed .*nowhere"):
        list_store(runtime, job(xrootd_directory.url, nowhere, tmp_path / "s"), Oversight())
    assert list(tmp_path.iterdir()) == []


def stop_after(directories: int) -> Oversight:
    """Stop once so many directories are listed."""
    seen: list[Progress] = []

    def watch(_phase: str, progress: Progress) -> None:
        seen.append(progress)

    return Oversight(lambda: "that is enough" if seen and seen[-1].listed >= directories else "", watch)


def test_a_listing_that_is_stopped_keeps_its_journal_and_can_be_gone_on_with(
    runtime: Runtime, xrootd_directory: ServedDirectory, tmp_path: Path
) -> None:
    count = plant(xrootd_directory.path, directories=60)
    slow = job(xrootd_directory.url, xrootd_directory.lfn, tmp_path / "s", listers=1, in_flight=1)
    with pytest.raises(Killed, match="that is enough"):
        list_store(runtime, slow, stop_after(1))
    assert not (tmp_path / "s").exists()
    journal = Snapshot(part_of(tmp_path / "s"))
    taken_over = journal.table.count(State.LISTED)
    journal.close()
    assert taken_over >= 1

    rest = job(xrootd_directory.url, xrootd_directory.lfn, tmp_path / "s", resume=True)
    progress = list_store(runtime, rest, Oversight())
    assert progress.resumed == taken_over
    assert progress.requests == progress.listed - taken_over
    assert (progress.files, progress.listed) == (count, 64)
    snapshot = Snapshot(tmp_path / "s")
    assert snapshot.table.total_files() == count
    snapshot.close()


def test_a_lister_that_dies_is_replaced_and_nothing_is_lost(
    runtime: Runtime, xrootd_directory: ServedDirectory, tmp_path: Path
) -> None:
    count = plant(xrootd_directory.path, directories=40)
    with Listing(runtime, job(xrootd_directory.url, xrootd_directory.lfn, tmp_path / "s"), Oversight()) as listing:
        listing.start()
        for lister in list(listing.listers):
            lister.kill()
        progress = listing.run("listing")
        listing.seal()
    assert (progress.files, progress.listed, progress.failed) == (count, 44, 0)


def test_nothing_can_be_listed_into_a_directory_that_is_not_there(
    runtime: Runtime, xrootd_directory: ServedDirectory, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        list_store(runtime, job(xrootd_directory.url, xrootd_directory.lfn, tmp_path / "no" / "s"), Oversight())


def test_a_directory_that_fails_once_is_listed_at_the_second_try(
    tmp_path: Path, start_threads: Callable[[], Runtime]
) -> None:
    store = MemoryStore()
    store.add_file(b"/store/a/f", 5)
    store.misbehave(b"/store/a", Fault.failing(Reason.TIMEOUT, times=1))
    progress = list_store(start_threads(), job(publish("retry", store), b"/store", tmp_path / "s"), Oversight())
    assert (progress.listed, progress.failed, progress.files, progress.requests) == (2, 0, 1, 3)


def test_deep_narrow_and_wide_flat_trees(tmp_path: Path, start_threads: Callable[[], Runtime]) -> None:
    store = MemoryStore()
    store.add_file(b"/store" + b"/deep" * 30 + b"/f", 1)
    for number in range(500):
        store.add_directory(f"/store/wide/{number}".encode())
    progress = list_store(start_threads(), job(publish("shapes", store), b"/store", tmp_path / "s"), Oversight())
    assert (progress.listed, progress.files) == (1 + 30 + 1 + 500, 1)
    snapshot = Snapshot(tmp_path / "s")
    assert len(snapshot.table.empty_rows()) == 501
    snapshot.close()


def test_a_store_that_falls_silent_is_waited_for_and_then_given_up(
    tmp_path: Path, start_threads: Callable[[], Runtime]
) -> None:
    store = MemoryStore()
    store.add_file(b"/store/a/f", 5)
    store.add_directory(b"/store/mute")
    store.misbehave(b"/store/mute", Fault(silent=True))
    silent = replace(job(publish("silent", store), b"/store", tmp_path / "s"), stall=StallLimits(0.2, 0.4, 0.8))
    notes: list[str] = []
    oversight = Oversight(watch=lambda _phase, progress: notes.append(progress.note))
    with pytest.raises(Stalled, match=r"^SITE: nothing has answered for 1 s; waiting for /store/mute \(lister:SITE:\d"):
        list_store(start_threads(), silent, oversight)
    assert any("waiting for /store/mute (lister:SITE:" in note for note in notes)

    store.misbehave(b"/store/mute", None)
    again = job(publish("silent", store), b"/store", tmp_path / "s", resume=True)
    progress = list_store(start_threads(), again, Oversight())
    assert (progress.listed, progress.failed, progress.resumed, progress.requests) == (3, 0, 2, 1)


def test_a_coordinator_that_takes_directories_over_is_not_taken_for_a_store_that_is_silent(
    tmp_path: Path, start_threads: Callable[[], Runtime]
) -> None:
    store = MemoryStore()
    for number in range(200):
        store.add_file(b"/store/%d/f%d" % (number, number), 5, 1_700_000_000)
    door = publish("taken over", store)
    plain = job(door, b"/store", tmp_path / "s")
    list_store(start_threads(), plain, Oversight())
    (tmp_path / "s").rename(tmp_path / "earlier")
    earlier = EarlierListing(tmp_path / "earlier", 0.0, SAFELY, 0.0, portion=1)
    header = replace(plain.plan.header, created=plain.plan.header.created + 5)
    plan = replace(plain.plan, header=header, earlier=earlier, limits=replace(plain.plan.limits, idle_wait=0.02))
    impatient = replace(plain, plan=plan, stall=StallLimits(0.1, 0.2, 0.4), listers=1)
    progress = list_store(start_threads(), impatient, Oversight())
    assert (progress.taken, progress.listed, progress.requests) == (200, 201, 1)


def test_who_waits_until_a_store_shows_its_times_is_not_taken_for_one_whose_store_is_silent(
    tmp_path: Path, start_threads: Callable[[], Runtime]
) -> None:
    store = MemoryStore()
    for number in range(3):
        store.add_file(b"/store/%d/f%d" % (number, number), 5, 1_700_000_000)
    plain = job(publish("waited for", store), b"/store", tmp_path / "s")
    list_store(start_threads(), plain, Oversight())
    (tmp_path / "s").rename(tmp_path / "earlier")
    store.add_file(b"/store/1/f1", 6, 1_700_000_000)
    earlier = EarlierListing(tmp_path / "earlier", 1.0, SAFELY, 1.0)
    header = replace(plain.plan.header, created=plain.plan.header.created + 5)
    impatient = replace(
        plain, plan=replace(plain.plan, header=header, earlier=earlier), stall=StallLimits(0.1, 0.2, 0.4)
    )
    notes: list[str] = []
    oversight = Oversight(watch=lambda _phase, progress: notes.append(progress.note))
    progress = list_store(start_threads(), impatient, oversight)
    assert "/store/1 has changed" in progress.distrust
    assert any(note.startswith("waiting until 1 s have passed, to see in /store whether") for note in notes)
    assert not any("nothing has answered" in note for note in notes)
    assert progress.requests == 1 + 3 + 1


@pytest.fixture
def slow_site(xrootd_directory: ServedDirectory) -> Iterator[str]:
    """A door to 60 directories, 300 files in all, each of whose answers takes a moment."""
    plant(xrootd_directory.path, directories=60)
    with FaultyProxy(int(xrootd_directory.url.rpartition(":")[2]), ProxyFault(delay=0.15)) as proxy:
        yield proxy.url


def test_listers_are_shared_with_other_runs(
    runtime: Runtime, slow_site: str, xrootd_directory: ServedDirectory, tmp_path: Path
) -> None:
    seats = SeatPlan(tmp_path, SeatLimits(pool=4))
    other = SeatBook(seats, "OTHER")
    shared = replace(job(slow_site, xrootd_directory.lfn, tmp_path / "s", listers=3, in_flight=1), seats=seats)
    had: list[int] = []
    held = 0

    def watch(_phase: str, progress: Progress) -> None:
        nonlocal held
        if progress.listed >= 3 and held != 2:
            held = other.ask(2, held)
        had.append(len(listing.listers))
        assert len(listing.listers) + held <= 4

    with Listing(runtime, shared, Oversight(watch=watch)) as listing:
        listing.start()
        progress = listing.run("listing")
        listing.seal()
    # Those that went had handed in what they had in hand: nothing was asked twice.
    assert (progress.files, progress.listed, progress.requests) == (300, 64, 64)
    assert (had[0], had[-1], held) == (3, 2, 2)
    assert other.ask(3, 2) == 3, "whoever is done gives its seats back"


def test_a_run_without_a_seat_waits_for_one_and_says_so(tmp_path: Path, start_threads: Callable[[], Runtime]) -> None:
    store = MemoryStore()
    store.add_file(b"/store/a/f", 5)
    seats = SeatPlan(tmp_path, SeatLimits(doors={"door.example:1094": 1}), ("door.example:1094",))
    other = SeatBook(seats, "OTHER")
    assert other.ask(1, 0) == 1
    waiting = replace(job(publish("seats", store), b"/store", tmp_path / "s"), seats=seats, stall=StallLimits(1.0, 1.0))
    notes: list[str] = []

    def watch(_phase: str, progress: Progress) -> None:
        notes.append(progress.note)
        if len(notes) == 12:
            # Longer than anybody would wait for a door.
            other.leave()

    progress = list_store(start_threads(), waiting, Oversight(watch=watch))
    assert (progress.listed, progress.files) == (2, 1)
    assert notes[0] == "waits for a lister: all that there may be are at OTHER"
    assert notes[-1] == ""


def test_a_lister_that_waits_for_a_slow_door_leaves_its_seat_all_the_same(
    tmp_path: Path, start_threads: Callable[[], Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "_LEAVE_SECONDS", 0.2)
    monkeypatch.setattr(crew, "_LOOK_EVERY", 0.05)
    store = MemoryStore()
    store.add_file(b"/store/slow/f", 5)
    store.misbehave(b"/store/slow", Fault(delay=60.0))
    seats = SeatPlan(tmp_path, SeatLimits(1, first_turn=0.2))
    other = SeatBook(seats, "OTHER")
    shared = replace(job(publish("leaving", store), b"/store", tmp_path / "s"), seats=seats)
    shared = replace(shared, settings=replace(shared.settings, spec=replace(shared.settings.spec, timeout=120.0)))
    turns, waits = 0, False

    def watch(_phase: str, progress: Progress) -> None:
        nonlocal turns, waits
        if turns < 4 and (progress.in_flight or waits):
            waits = not other.ask(1, 0)
            if not waits:
                turns += 1
                if turns == 4:
                    # More often than anything may fail.
                    store.misbehave(b"/store/slow", None)
                other.leave()

    progress = list_store(start_threads(), shared, Oversight(watch=watch))
    assert (progress.files, progress.listed, progress.failed, progress.failed_by) == (1, 2, 0, ())
    assert turns == 4
    assert progress.requests > progress.listed


def test_a_run_that_has_lost_all_its_listers_ends(
    tmp_path: Path, start_threads: Callable[[], Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "_LOOK_EVERY", 0.01)
    with pytest.raises(ListingFailed, match=r"all listers of SITE are lost; the last one: .*nowhere"):
        list_store(start_threads(), job("memory://nowhere", b"/store", tmp_path / "s"), Oversight())
    # Whoever goes on from here finds a journal without anything in it.
    assert Snapshot(part_of(tmp_path / "s")).table.count(State.LISTED) == 0
