"""Whole checks, on both runtimes and a real XRootD server."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from actors.comparison import ComparisonPlan
from actors.history_store import StorePlan
from actors.listing import Oversight, Refused, StoreJob
from actors.messages import Killed, ListerSettings, ListingPlan, Progress
from actors.run import CheckJob, IncrementalListing, Results, check_site, compare_snapshots
from actors.runtime import Runtime
from engine.columns import FileColumns
from engine.record import DirectoryRecord
from engine.states import Reason, State
from engine.work import QueueLimits
from engine.young import young_after
from storage.history import HistoryDatabase, HistoryError, RunStatus
from storage.inventory import InventoryError, read_inventory
from storage.listers.memory import Fault, MemoryStore, publish
from storage.listers.protocol import Ask, StoreSpec
from storage.runs.directory import AlreadyRunning, RunDirectory, RunInfo
from storage.runs.earlier import EarlierListingFile
from storage.snapshot import Snapshot, SnapshotHeader, SnapshotWriter
from tests.servers.fixtures import ServedDirectory

SITE = "T2_TEST"


class Inventory:
    """Reads an inventory from a file of paths and sizes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, snapshot: Path, heed: Callable[[], None]) -> None:
        writer = SnapshotWriter(snapshot, SnapshotHeader("inventory", str(self.path), 1))
        try:
            read_inventory(self.path, writer.append, listed_at=1)
            heed()
            writer.finish()
        except BaseException:
            writer.discard()
            raise


def make_job(home: Path, door: str, top: bytes, inventory: dict[str, int], in_flight: int = 8) -> CheckJob:
    home.mkdir(exist_ok=True)
    file = home / "inventory.txt"
    file.write_text("".join(f"{path} {size}\n" for path, size in sorted(inventory.items())) or "# nothing\n")
    header = SnapshotHeader("listing", door, 1, SITE, (top,))
    plan = ListingPlan(header, home / "unused", QueueLimits(max_attempts=2, first_delay=0.05))
    settings = ListerSettings(StoreSpec((door,), 10.0, 1), in_flight, batch=4)
    return CheckJob(
        SITE,
        StoreJob(SITE, plan, settings, 2),
        ComparisonPlan(Path(), Path(), tops=(top,)),
        StorePlan(home / "www", SITE, home / "consistency.db"),
        Inventory(file),
        {"inventory": str(file)},
        {"door": door},
    )


def run(runtime: Runtime, home: Path, job: CheckJob, oversight: Oversight | None = None) -> Results:
    return check_site(runtime, job, RunDirectory(home, SITE), oversight or Oversight())


def names(home: Path, report: str) -> list[str]:
    return (home / "www" / f"{SITE}_compare_{report}.txt").read_text().splitlines()


def put(directory: ServedDirectory, files: dict[str, int]) -> dict[str, int]:
    """Put files on the server; gives them by LFN."""
    for name, size in files.items():
        path = directory.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(size)
    return {f"{directory.lfn.decode()}/{name}": size for name, size in files.items()}


def test_a_check_finds_exactly_what_differs(
    runtime: Runtime, xrootd_directory: ServedDirectory, tmp_path: Path
) -> None:
    top = xrootd_directory.lfn.decode()
    there = put(xrootd_directory, {"mc/a/1": 1, "mc/a/2": 2, "mc/b/1": 3, "mc/locked/x": 1, "mc/extra one/new": 8})
    (xrootd_directory.path / "mc" / "hollow").mkdir()
    inventory = there | {f"{top}/mc/a/2": 99, f"{top}/mc/a/gone": 4, f"{top}/mc/lost/1": 5, f"{top}/mc/locked/y": 6}
    del inventory[f"{top}/mc/extra one/new"]
    (xrootd_directory.path / "mc" / "locked").chmod(0o700)

    results = run(runtime, tmp_path, make_job(tmp_path, xrootd_directory.url, xrootd_directory.lfn, inventory))

    found = results.comparison
    assert names(tmp_path, "missing") == [f"{top}/mc/a/gone", f"{top}/mc/lost/1"]
    assert names(tmp_path, "orphan") == [f"{top}/mc/extra one/new"]
    assert (found.missing, found.missing_size, found.orphan, found.orphan_size) == (2, 9, 1, 8)
    assert (found.size_mismatch, found.empty, found.unlisted, found.protected) == (1, 1, 1, 2)
    assert found.reasons == {"permission denied": 2}
    with HistoryDatabase(tmp_path / "consistency.db") as history:
        assert [path.decode() for path, _, _ in history.missing(SITE)] == names(tmp_path, "missing")
        (row,) = history.runs(SITE)
        assert (row.status, row.counts.missing, row.counts.protected) == (RunStatus.INCOMPLETE, 2, 2)
    assert not RunDirectory(tmp_path, SITE).is_locked()


def test_a_listing_that_was_cut_short_makes_nothing_missing(
    runtime: Runtime, xrootd_directory: ServedDirectory, tmp_path: Path
) -> None:
    there = put(xrootd_directory, {f"d/file{number:02d}": number for number in range(30)})
    # A server ends a listing with attributes where it meets this, and calls it complete.
    (xrootd_directory.path / "d" / "loop").symlink_to("loop")
    gone = f"{xrootd_directory.lfn.decode()}/d/gone"
    job = make_job(tmp_path, xrootd_directory.url, xrootd_directory.lfn, there | {gone: 1})
    results = run(runtime, tmp_path, job)
    assert names(tmp_path, "missing") == [gone]
    assert (results.comparison.missing, results.comparison.orphan) == (1, 0)


def test_a_store_that_is_empty_after_an_outage_is_refused(
    runtime: Runtime, xrootd_directory: ServedDirectory, tmp_path: Path
) -> None:
    inventory = {f"{xrootd_directory.lfn.decode()}/a/{number}": 1 for number in range(5)}
    job = make_job(tmp_path, xrootd_directory.url, xrootd_directory.lfn, inventory)
    with pytest.raises(Refused, match="0 files where the inventory has 5"):
        run(runtime, tmp_path, job)
    assert list((tmp_path / "www").iterdir()) == []
    with HistoryDatabase(tmp_path / "consistency.db") as history:
        assert list(history.missing(SITE)) == []
        (row,) = history.runs(SITE)
        assert (row.status, row.message) == (
            RunStatus.FAILED,
            "zero-files: the store lists 0 files where the inventory has 5",
        )


def test_a_root_that_cannot_be_listed_is_refused(
    runtime: Runtime, xrootd_directory: ServedDirectory, tmp_path: Path
) -> None:
    nowhere = xrootd_directory.lfn + b"/nowhere"
    job = make_job(tmp_path, xrootd_directory.url, nowhere, {f"{nowhere.decode()}/a": 1})
    with pytest.raises(Refused, match="no top directory could be listed"):
        run(runtime, tmp_path, job)


def halting(after: int) -> Oversight:
    """Stop once so many directories are listed."""
    seen: list[Progress] = []
    return Oversight(
        lambda: "by hand" if seen and seen[-1].listed >= after else "", lambda _phase, progress: seen.append(progress)
    )


def test_a_run_that_was_halted_goes_on_where_it_stopped(
    runtime: Runtime, xrootd_directory: ServedDirectory, tmp_path: Path
) -> None:
    there = put(xrootd_directory, {f"d{number:02d}/f": 1 for number in range(60)})
    gone = f"{xrootd_directory.lfn.decode()}/d00/gone"
    job = make_job(tmp_path, xrootd_directory.url, xrootd_directory.lfn, there | {gone: 1}, in_flight=1)
    slow = replace(job, store=replace(job.store, listers=1))
    with pytest.raises(Killed, match="by hand"):
        run(runtime, tmp_path, slow, halting(after=1))
    assert not list((tmp_path / "www").glob("*"))
    results = run(runtime, tmp_path, job)
    assert results.listing.resumed >= 1
    assert (results.comparison.files, results.comparison.directories) == (60, 61)
    assert names(tmp_path, "missing") == [gone]
    with HistoryDatabase(tmp_path / "consistency.db") as history:
        assert [row.status for row in history.runs(SITE)] == [RunStatus.DONE, RunStatus.HALTED]
    assert run(runtime, tmp_path, job).listing.resumed == 0


def quick(home: Path, store: MemoryStore, inventory: dict[str, int], name: str) -> CheckJob:
    return make_job(home, publish(name, store), b"/store", inventory)


def test_another_inventory_is_not_compared_with_an_old_journal(
    tmp_path: Path, start_threads: Callable[[], Runtime]
) -> None:
    store = MemoryStore()
    for number in range(20):
        store.add_file(f"/store/{number}/f".encode(), 1)
        store.misbehave(f"/store/{number}".encode(), Fault(delay=0.05))
    job = quick(tmp_path, store, {"/store/1/f": 1}, "marks")
    with pytest.raises(Killed):
        run(start_threads(), tmp_path, job, halting(after=3))
    other = replace(job, inventory_mark={"inventory": "another"})
    assert run(start_threads(), tmp_path, other).listing.resumed == 0


@pytest.mark.parametrize("left", [0.0, 0.5, 1.0])
def test_an_inventory_that_was_damaged_since_is_read_again(
    tmp_path: Path, start_threads: Callable[[], Runtime], left: float, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    for number in range(20):
        store.add_file(f"/store/{number}/f".encode(), 1)
        store.misbehave(f"/store/{number}".encode(), Fault(delay=0.05))
    job = quick(tmp_path, store, {f"/store/{number}/f": 1 for number in range(21)}, "damaged")
    with pytest.raises(Killed):
        run(start_threads(), tmp_path, job, halting(after=3))
    inventory = RunDirectory(tmp_path, SITE).inventory
    data = bytearray(inventory.read_bytes())
    # In the middle of a directory, which the index knows nothing of.
    data[data.index(b"/store/7") + 2] ^= 1
    inventory.write_bytes(data[: int(len(data) * left)])
    results = run(start_threads(), tmp_path, job)
    assert results.listing.resumed > 0
    assert (results.comparison.missing, results.comparison.orphan) == (1, 0)
    assert "reading the inventory again" in caplog.text


def test_fresh_starts_over_and_so_does_a_journal_that_is_too_old(
    tmp_path: Path, start_threads: Callable[[], Runtime]
) -> None:
    store = MemoryStore()
    for number in range(20):
        store.add_file(f"/store/{number}/f".encode(), 1)
        store.misbehave(f"/store/{number}".encode(), Fault(delay=0.05))
    job = quick(tmp_path, store, {"/store/1/f": 1}, "fresh")
    for again in (replace(job, fresh=True), replace(job, list_age=0.5)):
        with pytest.raises(Killed):
            run(start_threads(), tmp_path, job, halting(after=3))
        directory = RunDirectory(tmp_path, SITE).path
        yesterday = time.time() - 86400
        for path in directory.iterdir():
            os.utime(path, (yesterday, yesterday))
        assert run(start_threads(), tmp_path, again).listing.resumed == 0


def test_what_the_store_has_after_all_marks_its_directory_and_is_not_judged(
    tmp_path: Path, start_threads: Callable[[], Runtime]
) -> None:
    store = MemoryStore()
    for number in range(10):
        store.add_file(f"/store/d/{number}".encode(), 1)
    store.misbehave(b"/store/d", Fault(keep=3, asks=frozenset((Ask.LIST,))))
    inventory = {f"/store/d/{number}": 1 for number in range(10)} | {"/store/d/gone": 1}
    results = run(start_threads(), tmp_path, quick(tmp_path, store, inventory, "cut"))
    found = results.comparison
    assert (found.missing, found.orphan, found.protected, found.unlisted, found.disagreeing) == (1, 0, 7, 1, 1)
    assert found.reasons == {"listing cut short": 7}
    assert names(tmp_path, "missing") == ["/store/d/gone"]


def test_a_directory_cut_short_behind_its_sub_directories_is_not_empty(
    tmp_path: Path, start_threads: Callable[[], Runtime]
) -> None:
    store = MemoryStore()
    for path in ("/store/hollow/a/b", "/store/cut/above/a/b", "/store/unsure/a", "/store/kept/a/b"):
        store.add_directory(path.encode())
    for path in ("/store/f", "/store/cut/above/z", "/store/kept/z"):
        store.add_file(path.encode(), 1)
    asks = frozenset((Ask.LIST,))
    store.misbehave(b"/store/cut/above", Fault(keep=1, asks=asks))
    store.misbehave(b"/store/unsure", Fault(Fault.failing(Reason.TIMEOUT).outcome, asks=frozenset((Ask.NAMES,))))
    found = run(start_threads(), tmp_path, quick(tmp_path, store, {"/store/f": 1}, "hollow")).comparison
    empty = (tmp_path / "www" / f"{SITE}_empty.txt").read_text().splitlines()
    assert sorted(empty) == sorted(
        f"/store/{name}"
        for name in (
            "cut/above/a",
            "cut/above/a/b",
            "hollow",
            "hollow/a",
            "hollow/a/b",
            "kept/a",
            "kept/a/b",
            "unsure/a",
        )
    )
    unlisted = (tmp_path / "www" / f"{SITE}_unlisted.txt").read_text().splitlines()
    assert [line.split("\t") for line in unlisted] == [
        ["/store/cut/above", "listing cut short", "the store has 1 entries that its listing lacked"],
        ["/store/unsure", "timeout", ""],
    ]
    assert (found.empty, found.unlisted, found.disagreeing) == (8, 2, 1)


def test_candidates_that_nobody_can_confirm_are_not_missing(
    tmp_path: Path, start_threads: Callable[[], Runtime]
) -> None:
    store = MemoryStore()
    store.add_file(b"/store/d/1", 1)
    asks = frozenset((Ask.STAT, Ask.NAMES))
    broken = Fault(Fault.failing(Reason.TIMEOUT).outcome, asks=asks)
    for name in ("", "/2", "/3"):
        store.misbehave(f"/store/d{name}".encode(), broken)
    inventory = {f"/store/d/{number}": 1 for number in (1, 2, 3)}
    found = run(start_threads(), tmp_path, quick(tmp_path, store, inventory, "unsure")).comparison
    assert (found.missing, found.protected, found.reasons) == (0, 2, {"timeout": 2})


def test_a_site_is_checked_once_at_a_time(tmp_path: Path, start_threads: Callable[[], Runtime]) -> None:
    store = MemoryStore()
    store.add_file(b"/store/f", 1)
    with RunDirectory(tmp_path, SITE) as other:
        other.acquire(RunInfo(4711, "elsewhere", 0.0, "threads"))
        with pytest.raises(AlreadyRunning, match="process 4711 on elsewhere"):
            run(start_threads(), tmp_path, quick(tmp_path, store, {"/store/f": 1}, "twice"))
    assert not (tmp_path / "consistency.db").exists()


def test_a_bad_inventory_ends_the_run_before_the_listing(tmp_path: Path, start_threads: Callable[[], Runtime]) -> None:
    job = quick(tmp_path, MemoryStore(), {}, "bad inventory")
    (tmp_path / "inventory.txt").write_text("/store/a 5\n/store/b five\n/store/c 6\n/store/d 6\n")
    with pytest.raises(InventoryError, match="line 2"):
        run(start_threads(), tmp_path, job)
    with HistoryDatabase(tmp_path / "consistency.db") as history:
        (row,) = history.runs(SITE)
        assert row.status == RunStatus.FAILED
        assert "line 2" in row.message


def test_a_run_that_is_recorded_stays_so_when_its_listing_cannot_be_kept(
    tmp_path: Path,
    start_threads: Callable[[], Runtime],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_arguments: object, **_named: object) -> None:
        raise MemoryError("nothing left")

    store = MemoryStore()
    store.add_file(b"/store/a/f", 5)
    job = make_job(tmp_path, publish("kept", store), b"/store", {"/store/a/f": 5})
    incremental = IncrementalListing(0.0, 10, 1.0, 1.0, {})
    monkeypatch.setattr(EarlierListingFile, "keep", fail)
    results = run(start_threads(), tmp_path, replace(job, incremental=incremental))
    assert results.listing.files == 1
    assert "not kept for an incremental one: nothing left" in caplog.text
    with HistoryDatabase(tmp_path / "consistency.db") as history:
        assert [row.status for row in history.runs(SITE)] == [RunStatus.DONE]


def test_a_history_that_cannot_be_used_is_told_before_the_listing(
    tmp_path: Path, start_threads: Callable[[], Runtime]
) -> None:
    job = quick(tmp_path, MemoryStore(), {"/store/f": 1}, "bad history")
    (tmp_path / "consistency.db").write_text("this is not a database, and it is long enough to be taken for one\n" * 20)
    with pytest.raises(HistoryError):
        run(start_threads(), tmp_path, job)


def snapshot(path: Path, files: dict[bytes, int]) -> Path:
    writer = SnapshotWriter(path, SnapshotHeader("listing", "test", 1))
    rows = FileColumns.from_rows([(name, size, 1) for name, size in files.items()])
    writer.append(DirectoryRecord(b"/d", State.LISTED, files=rows))
    writer.finish()
    return path


def test_two_snapshots_are_compared_without_asking_anybody(runtime: Runtime, tmp_path: Path) -> None:
    left = snapshot(tmp_path / "left", {b"a": 1, b"b": 2, b"c": 3})
    right = snapshot(tmp_path / "right", {b"b": 2, b"c": 4, b"d": 5})
    plan = ComparisonPlan(left, right, whole_run=False)
    results = compare_snapshots(runtime, plan, StorePlan(tmp_path, "x", lists_only=True), Oversight())
    found = results.comparison
    assert (found.missing, found.orphan, found.size_mismatch, found.protected) == (1, 1, 1, 0)
    assert (tmp_path / "x_missing.txt").read_text() == "/d/a\n"
    assert (tmp_path / "x_orphan.txt").read_text() == "/d/d\n"
    assert Snapshot(left).finished


def test_a_run_that_is_halted_while_it_is_entered_is_halted(
    tmp_path: Path, start_threads: Callable[[], Runtime]
) -> None:
    job = make_job(tmp_path, "file://", b"/nowhere", {"/nowhere/a": 1})
    with pytest.raises(Killed, match="enough"):
        run(start_threads(), tmp_path, job, Oversight(lambda: "enough"))
    with HistoryDatabase(tmp_path / "consistency.db") as history:
        assert [(row.status, row.message) for row in history.runs(SITE)] == [(RunStatus.HALTED, "enough")]


DAY = 86400.0


def test_the_age_counts_from_the_inventory() -> None:
    begun = 100 * DAY
    assert young_after(begun, inventory_time=96 * DAY, ignore_age=1) == 95 * DAY
    assert young_after(begun, inventory_time=200 * DAY, ignore_age=1) == 99 * DAY
    assert young_after(begun, inventory_time=96 * DAY, ignore_age=0) == begun


def test_what_came_after_a_dump_is_not_judged_whatever_the_age() -> None:
    assert young_after(100 * DAY, math.inf, ignore_age=0, store_time=97 * DAY) == 97 * DAY
    assert young_after(100 * DAY, math.inf, ignore_age=1, store_time=97 * DAY) == 96 * DAY
    assert young_after(100 * DAY, 95 * DAY, ignore_age=1, store_time=97 * DAY) == 94 * DAY


def test_a_file_that_is_newer_than_an_old_inventory_is_no_orphan(
    tmp_path: Path, start_threads: Callable[[], Runtime]
) -> None:
    store = MemoryStore()
    now = int(time.time())
    for name, days in (("known", 50), ("orphan", 40), ("new", 2)):
        store.add_file(f"/store/{name}".encode(), 1, now - days * 86400)
    job = quick(tmp_path, store, {"/store/known": 1}, "old inventory")
    old = replace(job, inventory_time=now - 4 * DAY, ignore_age=1.0)
    assert run(start_threads(), tmp_path, old).comparison.orphan == 1
    assert names(tmp_path, "orphan") == ["/store/orphan"]


def test_what_comes_during_the_run_is_left_alone_whatever_the_age_limit(
    tmp_path: Path, start_threads: Callable[[], Runtime]
) -> None:
    store = MemoryStore()
    store.add_file(b"/store/known", 1, 1)
    store.add_file(b"/store/during", 1, int(time.time()) + 60)
    results = run(start_threads(), tmp_path, quick(tmp_path, store, {"/store/known": 1}, "during"))
    assert (results.comparison.orphan, results.comparison.young) == (0, 1)


def test_orphans_and_files_that_are_left_alone_are_counted(
    tmp_path: Path, start_threads: Callable[[], Runtime]
) -> None:
    store = MemoryStore()
    for name in ("f", "new1", "new2", "tmp/a"):
        store.add_file(f"/store/d/{name}".encode(), 1)
    job = quick(tmp_path, store, {"/store/d/f": 1, "/store/d/gone-tmp": 1, "/store/d/gone": 1}, "kept")
    plan = replace(job.comparison, keep_orphans=True, ignored=(b"tmp",))
    found = run(start_threads(), tmp_path, replace(job, comparison=plan)).comparison
    assert (found.missing, found.orphan, found.kept, found.ignored) == (1, 0, 2, 2)
    assert names(tmp_path, "orphan") == []


def test_a_dangling_link_is_missing_however_many_files_are(
    tmp_path: Path, xrootd_directory: ServedDirectory, start_threads: Callable[[], Runtime]
) -> None:
    there = put(xrootd_directory, {"few/f": 1, "many/f": 1})
    top = xrootd_directory.lfn.decode()
    gone = [f"{top}/few/dangling", f"{top}/many/dangling", *(f"{top}/many/gone{number}" for number in range(9))]
    for directory in ("few", "many"):
        (xrootd_directory.path / directory / "dangling").symlink_to("nowhere")
    inventory = there | dict.fromkeys(gone, 1)
    job = make_job(tmp_path, xrootd_directory.url, xrootd_directory.lfn, inventory)
    found = run(start_threads(), tmp_path, job).comparison
    assert names(tmp_path, "missing") == sorted(gone)
    assert (found.missing, found.protected, found.unlisted, found.disagreeing) == (11, 0, 0, 0)


def test_one_empty_top_among_others_is_refused(tmp_path: Path, start_threads: Callable[[], Runtime]) -> None:
    store = MemoryStore()
    store.add_file(b"/store/data/f", 1)
    store.add_directory(b"/store/mc")
    job = quick(tmp_path, store, {"/store/data/f": 1, "/store/mc/a/1": 1, "/store/mc/a/2": 1}, "one top")
    tops = (b"/store/data", b"/store/mc")
    plan = replace(job.store.plan, header=replace(job.store.plan.header, tops=tops))
    job = replace(job, store=replace(job.store, plan=plan), comparison=replace(job.comparison, tops=tops))
    with pytest.raises(Refused, match="0 files below /store/mc where the inventory has 2"):
        run(start_threads(), tmp_path, job)
    with HistoryDatabase(tmp_path / "consistency.db") as history:
        assert list(history.missing(SITE)) == []


def test_a_directory_in_which_the_store_has_a_file_after_all_is_not_empty(
    tmp_path: Path, start_threads: Callable[[], Runtime]
) -> None:
    store = MemoryStore()
    store.add_file(b"/store/f", 1)
    store.add_directory(b"/store/hollow")
    # The first listing has nothing of it, the second one only a directory.
    store.add_file(b"/store/up/late/f", 1)
    store.add_directory(b"/store/cut/a")
    store.add_file(b"/store/cut/z", 1)
    asks = frozenset((Ask.LIST,))
    store.misbehave(b"/store/up/late", Fault(keep=0, asks=asks))
    store.misbehave(b"/store/cut", Fault(keep=1, asks=asks))
    inventory = {"/store/f": 1, "/store/up/late/f": 1, "/store/cut/z": 1}
    found = run(start_threads(), tmp_path, quick(tmp_path, store, inventory, "late")).comparison
    empty = (tmp_path / "www" / f"{SITE}_empty.txt").read_text().splitlines()
    assert sorted(empty) == ["/store/cut/a", "/store/hollow"]
    assert (found.missing, found.protected, found.unlisted, found.disagreeing) == (0, 2, 2, 2)


def test_a_saved_listing_of_an_empty_store_is_refused_too(tmp_path: Path, start_threads: Callable[[], Runtime]) -> None:
    inventory = snapshot(tmp_path / "inventory", {b"a": 1})
    writer = SnapshotWriter(tmp_path / "listing", SnapshotHeader("listing", "test", 1, tops=(b"/d",)))
    writer.append(DirectoryRecord(b"/d", State.LISTED))
    writer.finish()
    plan = ComparisonPlan(inventory, tmp_path / "listing", whole_run=False)
    with pytest.raises(Refused, match="0 files"):
        compare_snapshots(start_threads(), plan, StorePlan(tmp_path, "x", lists_only=True), Oversight())
    assert not (tmp_path / "x_missing.txt").exists()
