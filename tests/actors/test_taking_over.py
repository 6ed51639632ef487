"""The coordinator with an earlier listing, run after run, against a store that changes and may lie about its times."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest

from actors.messages import Batch, Progress
from engine.compare import CompareOptions, Tally, compare
from engine.incremental import is_taken
from engine.states import Reason, State
from engine.work import DirectoriesSeeded
from storage.snapshot import Snapshot, SnapshotHeader, SnapshotWriter, part_of
from tests.actors.changing_store import DAY, LONG_AGO, TOP, Site, Store, held, listed_once, truth


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with listed_once(tmp_path) as made:
        yield made


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
        there = store.directories[leaf]
        if chance.random() < 0.5 or not there.files:
            store.put(leaf, b"n%d" % chance.randrange(10_000))
        else:
            store.remove(leaf, chance.choice(sorted(there.files)))

    def note() -> None:
        for path, there in store.directories.items():
            seen.setdefault(path, []).append(dict(there.files))

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


def test_what_was_listed_is_not_overwritten_by_what_was_listed_before(site: Site) -> None:
    site.list()
    parent, leaf = TOP + b"/1", TOP + b"/1/leaf1"
    coordinator = site.begin()
    # First it shows another time, as a directory that has changed does, and then the old one again.
    site.store.put(leaf, b"new")
    site.go_on()
    assert leaf in site.store.asked
    site.store.directories[leaf].mtime = LONG_AGO
    coordinator._handle(DirectoriesSeeded([parent], (TOP,)))
    site.go_on()
    assert held(site.end()) == truth(site.store)


def test_nothing_is_taken_over_once_what_was_is_held_against_the_inventory(site: Site) -> None:
    site.list()
    parent, leaf = TOP + b"/1", TOP + b"/1/leaf1"
    coordinator = site.begin()
    away = site.store.directories.pop(leaf)
    site.go_on()
    site.look().close()
    # It is there again, and shows the old time, though it holds something else now.
    away.files[b"new"] = 5
    site.store.directories[leaf] = away
    coordinator.list_again(msgpack.packb([parent]))
    site.go_on()
    assert site.store.asked.count(leaf) == 1
    assert held(site.end()) == truth(site.store)
