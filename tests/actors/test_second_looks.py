"""What the coordinator does when a directory differs from the last listing, although its time is the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.messages import Batch, Progress
from engine.incremental import is_taken
from engine.links import Link
from engine.states import Reason
from engine.work import Task
from tests.actors.changing_store import TOP, Site, held, listed_once, truth


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with listed_once(tmp_path) as made:
        yield made


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


@pytest.mark.parametrize("more", [b"", b"/directory"], ids=["a file more", "nothing but a directory more"])
def test_a_run_that_ends_while_it_waits_is_gone_on_with_by_one_that_waits_as_long(site: Site, more: bytes) -> None:
    site.share, site.delay = 1.0, 120.0
    site.store.honest = False
    if more:
        site.store.make(TOP + b"/1/leaf1" + more)
    else:
        site.store.put(TOP + b"/1/leaf1", b"new")
    coordinator = site.begin()
    until_it_waits(site)
    coordinator.release()
    site.clock = 0.0
    site.begin(resume=True)
    assert until_it_waits(site).resumed == len(site.store.directories)
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
