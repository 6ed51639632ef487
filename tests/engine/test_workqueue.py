from __future__ import annotations

import pytest

from engine.filters import PatternFilter
from engine.states import Reason, State
from engine.work import (
    Accept,
    ConfirmationFailed,
    ConfirmationsAdded,
    DirectoriesSeeded,
    DirectoryFailed,
    DirectoryListed,
    Discard,
    GoHome,
    Instruction,
    KillRequested,
    ListerLost,
    NamesConfirmed,
    NoMoreWork,
    QueueCounts,
    QueueLimits,
    Settle,
    Task,
    TimePassed,
    Unconfirmed,
    Wait,
)
from tests.engine.desk import CONFIRM, LIMITS, LIST, Desk, seeded


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_directory_is_handed_out_listed_and_forgotten() -> None:
    desk = seeded(b"/store")
    assert desk.take("a") == [Task(LIST, b"/store", 1)]
    assert desk.tell(DirectoryListed("a", b"/store", 1)) == [Accept(LIST, b"/store")]
    assert desk.queue.idle
    assert desk.queue.unreached == []


def test_children_follow_their_parent_depth_first_and_in_the_order_given() -> None:
    desk = seeded(b"/store", b"/other")
    desk.take("a")
    desk.tell(DirectoryListed("a", b"/store", 1, (b"/store/1", b"/store/2")))
    assert desk.paths("a") == [b"/store/1"]
    desk.tell(DirectoryListed("a", b"/store/1", 1, (b"/store/1/x",)))
    assert desk.paths("a", 9) == [b"/store/1/x", b"/store/2", b"/other"]


def test_a_lister_gets_as_much_as_it_wants_and_never_more_than_the_batch_limit() -> None:
    desk = seeded(*(b"/%d" % number for number in range(9)), limits=QueueLimits(batch=4))
    assert len(desk.take("a", 3)) == 3
    assert len(desk.take("a", 100)) == 4
    assert len(desk.take("a", 100)) == 2


def test_a_lister_that_wants_nothing_gets_nothing() -> None:
    desk = seeded(b"/store")
    assert desk.ask("a", 0) == Wait(LIMITS.idle_wait)
    assert desk.queue.waiting == 1


def test_an_idle_lister_waits_as_long_as_more_may_come() -> None:
    desk = seeded(b"/store")
    desk.take("a")
    assert desk.ask("b") == Wait(LIMITS.idle_wait)
    desk.tell(DirectoryListed("a", b"/store", 1))
    assert desk.ask("b") == Wait(LIMITS.idle_wait)


def test_listers_go_home_when_nothing_is_left_and_nothing_will_come() -> None:
    desk = seeded(b"/store")
    desk.tell(NoMoreWork())
    desk.take("a")
    assert desk.ask("b") == Wait(LIMITS.idle_wait)
    desk.tell(DirectoryListed("a", b"/store", 1))
    assert desk.ask("b") == GoHome()


@pytest.mark.parametrize(
    "report",
    [
        DirectoryListed("b", b"/store", 1),
        DirectoryListed("a", b"/store", 2),
        DirectoryListed("a", b"/never", 1),
        DirectoryFailed("b", b"/store", 1, Reason.PERMISSION),
        DirectoryFailed("stranger", b"/store", 1, Reason.PERMISSION),
    ],
)
def test_a_report_for_anything_but_the_current_lease_is_discarded(report: DirectoryListed | DirectoryFailed) -> None:
    desk = seeded(b"/store")
    desk.take("a")
    desk.ask("b")
    assert desk.tell(report) == [Discard(LIST, report.path)]
    assert desk.tell(DirectoryListed("a", b"/store", 1)) == [Accept(LIST, b"/store")]


def test_a_repeated_report_is_discarded_with_its_children() -> None:
    desk = seeded(b"/store")
    desk.take("a")
    report = DirectoryListed("a", b"/store", 1, (b"/store/x",))
    desk.tell(report)
    assert desk.tell(report) == [Discard(LIST, b"/store")]
    assert desk.paths("a", 9) == [b"/store/x"]


def test_a_child_named_twice_is_one_task() -> None:
    desk = seeded(b"/store")
    desk.take("a")
    desk.tell(DirectoryListed("a", b"/store", 1, (b"/store/x", b"/store/x")))
    assert desk.paths("a", 9) == [b"/store/x"]


def test_an_open_directory_that_is_seeded_again_stays_one_task() -> None:
    desk = seeded(b"/in-hand", b"/failed", b"/fresh", b"/fresh")
    assert desk.paths("a", 2) == [b"/in-hand", b"/failed"]
    desk.tell(DirectoryFailed("a", b"/failed", 1, Reason.SERVER))
    desk.tell(DirectoriesSeeded((b"/in-hand", b"/failed", b"/fresh")))
    assert desk.queue.counts == QueueCounts(pending=1, delayed=1, leased=1, found=3, retries=1)


@pytest.mark.parametrize("ended", [False, True])
def test_a_repeated_report_never_stands_for_a_directory_that_was_seeded_again_later(ended: bool) -> None:
    desk = seeded(b"/store", limits=QueueLimits(max_attempts=2, first_delay=0.0))
    desk.take("a")
    desk.tell(DirectoryFailed("a", b"/store", 1, Reason.TIMEOUT))
    desk.take("a")
    reports = [
        DirectoryFailed("a", b"/store", 2, Reason.TIMEOUT) if ended else DirectoryListed("a", b"/store", 2),
        DirectoryListed("a", b"/store", 1),
    ]
    desk.tell(reports[0])
    desk.tell(DirectoriesSeeded((b"/store",)))
    assert desk.take("a") == [Task(LIST, b"/store", 3)]
    for report in reports:
        assert desk.tell(report) == [Discard(LIST, b"/store")]
    # It has all its attempts, whatever their numbers.
    assert desk.tell(DirectoryFailed("a", b"/store", 3, Reason.TIMEOUT)) == []
    assert desk.take("a") == [Task(LIST, b"/store", 4)]
    assert desk.tell(DirectoryListed("a", b"/store", 4)) == [Accept(LIST, b"/store")]


def test_ignored_directories_are_settled_when_they_are_found() -> None:
    ignored = PatternFilter([b"/tmp"])
    desk = Desk(ignored=ignored)
    settled = Settle(b"/tmp", State.IGNORED, Reason.IGNORED)
    assert desk.tell(DirectoriesSeeded((b"/store", b"/tmp"))) == [settled]
    desk.take("a")
    children = (b"/store/mc", b"/store/tmp", b"/store/tmp")
    assert desk.tell(DirectoryListed("a", b"/store", 1, children)) == [
        Accept(LIST, b"/store"),
        Settle(b"/store/tmp", State.IGNORED, Reason.IGNORED),
    ]
    assert desk.paths("a", 9) == [b"/store/mc"]


def test_a_filter_without_patterns_is_never_asked() -> None:
    class Empty:
        def __bool__(self) -> bool:
            return False

        def __call__(self, path: bytes) -> bool:
            raise AssertionError(path)

    desk = seeded(b"/store", ignored=Empty())
    desk.take("a")
    desk.tell(DirectoryListed("a", b"/store", 1, (b"/store/x",)))
    assert desk.paths("a", 9) == [b"/store/x"]


def test_what_lies_too_deep_below_its_top_is_settled_as_failed() -> None:
    desk = seeded(b"/store/mc", limits=QueueLimits(max_depth=1))
    desk.take("a")
    assert desk.tell(DirectoryListed("a", b"/store/mc", 1, (b"/store/mc/1",))) == [Accept(LIST, b"/store/mc")]
    desk.take("a")
    deep = (b"/store/mc/1/2", b"/store/mc/1/3", b"/store/mc/1/3")
    detail = "more than 1 levels below its top"
    accept, *settled = desk.tell(DirectoryListed("a", b"/store/mc/1", 1, deep))
    assert accept == Accept(LIST, b"/store/mc/1")
    assert sorted(settled, key=repr) == [
        Settle(b"/store/mc/1/2", State.FAILED, Reason.DEPTH, detail),
        Settle(b"/store/mc/1/3", State.FAILED, Reason.DEPTH, detail),
    ]
    assert desk.queue.idle


def test_an_ignored_directory_that_also_lies_too_deep_is_ignored() -> None:
    desk = seeded(b"/store", limits=QueueLimits(max_depth=0), ignored=PatternFilter([b"tmp"]))
    desk.take("a")
    _, settled = desk.tell(DirectoryListed("a", b"/store", 1, (b"/store/tmp",)))
    assert settled == Settle(b"/store/tmp", State.IGNORED, Reason.IGNORED)


def test_depth_counts_from_the_nearest_top() -> None:
    desk = Desk(QueueLimits(max_depth=1))
    frontier = (b"/store/mc/1", b"/store/mc/1/2", b"/store/1", b"/store/1/2")
    told = desk.tell(DirectoriesSeeded(frontier, tops=(b"/store", b"/store/mc")))
    assert {instruction.path for instruction in told if isinstance(instruction, Settle)} == {
        b"/store/mc/1/2",
        b"/store/1/2",
    }
    assert desk.paths("a", 9) == [b"/store/mc/1", b"/store/1"]


def test_depth_counts_from_the_root_when_the_root_is_the_top() -> None:
    desk = seeded(b"/", limits=QueueLimits(max_depth=1))
    desk.take("a")
    assert desk.tell(DirectoryListed("a", b"/", 1, (b"/a",))) == [Accept(LIST, b"/")]
    desk.take("a")
    _, settled = desk.tell(DirectoryListed("a", b"/a", 1, (b"/a/b",)))
    assert isinstance(settled, Settle)


def test_a_seed_below_none_of_the_tops_is_a_top_of_its_own() -> None:
    desk = Desk(QueueLimits(max_depth=0))
    assert desk.tell(DirectoriesSeeded((b"/a/b/c",), tops=(b"/store",))) == []
    assert desk.paths("a") == [b"/a/b/c"]


def test_a_top_below_another_top_is_listed_once() -> None:
    desk = seeded(b"/store/mc", b"/store")
    assert desk.paths("a") == [b"/store/mc"]
    desk.tell(DirectoryListed("a", b"/store/mc", 1))
    assert desk.paths("a") == [b"/store"]
    desk.tell(DirectoryListed("a", b"/store", 1, (b"/store/mc",)))
    assert desk.queue.idle


def test_missing_candidates_are_asked_for_by_name_once_each(desk: Desk) -> None:
    desk.tell(ConfirmationsAdded(b"/store", (b"1.root", b"2.root", b"1.root")))
    assert desk.take("a") == [Task(CONFIRM, b"/store", 1, (b"1.root", b"2.root"))]
    assert desk.tell(NamesConfirmed("a", b"/store", 1)) == [Accept(CONFIRM, b"/store")]
    assert desk.tell(NamesConfirmed("a", b"/store", 1)) == [Discard(CONFIRM, b"/store")]
    assert desk.queue.idle


def test_no_names_are_no_task(desk: Desk) -> None:
    desk.tell(ConfirmationsAdded(b"/store", ()))
    assert desk.queue.idle


def test_a_directory_may_be_listed_and_confirmed_at_the_same_time() -> None:
    desk = seeded(b"/store")
    desk.tell(ConfirmationsAdded(b"/store", (b"x",)))
    assert desk.take("a", 9) == [Task(CONFIRM, b"/store", 1, (b"x",)), Task(LIST, b"/store", 1)]
    assert desk.tell(DirectoryListed("a", b"/store", 1)) == [Accept(LIST, b"/store")]
    assert desk.tell(NamesConfirmed("a", b"/store", 1)) == [Accept(CONFIRM, b"/store")]


def test_names_added_to_an_open_confirmation_are_asked_for_after_it(desk: Desk) -> None:
    desk.tell(ConfirmationsAdded(b"/store", (b"x",)))
    desk.take("a")
    desk.tell(ConfirmationsAdded(b"/store", (b"x", b"y")))
    desk.tell(ConfirmationsAdded(b"/store", (b"y", b"z")))
    assert isinstance(desk.ask("a"), Wait)
    desk.tell(NamesConfirmed("a", b"/store", 1))
    (task,) = desk.take("a", 9)
    assert task.names == (b"y", b"z")


def test_a_repeated_answer_never_stands_for_names_that_were_added_later(desk: Desk) -> None:
    desk.tell(ConfirmationsAdded(b"/store", (b"x",)))
    desk.take("a")
    answer = NamesConfirmed("a", b"/store", 1)
    desk.tell(answer)
    desk.tell(ConfirmationsAdded(b"/store", (b"y",)))
    (task,) = desk.take("a")
    assert task.names == (b"y",)
    assert desk.tell(answer) == [Discard(CONFIRM, b"/store")]
    assert desk.tell(NamesConfirmed("a", b"/store", task.attempt)) == [Accept(CONFIRM, b"/store")]


def test_a_confirmation_has_all_its_attempts_whatever_their_numbers(desk: Desk) -> None:
    told: list[Instruction] = []
    for path in (b"/1", b"/2"):
        desk.tell(ConfirmationsAdded(path, (b"x",)))
        for _ in range(LIMITS.max_attempts):
            assert told == []
            desk.now += 60.0
            (task,) = desk.take("a")
            told = desk.tell(ConfirmationFailed("a", path, task.attempt, Reason.SERVER, "busy"))
        assert told == [Unconfirmed(path, (b"x",), Reason.SERVER, "busy")]
        told = []


def test_names_that_cannot_be_confirmed_stay_unjudged(desk: Desk) -> None:
    desk.tell(ConfirmationsAdded(b"/store", (b"x", b"y")))
    desk.take("a")
    told = desk.tell(ConfirmationFailed("a", b"/store", 1, Reason.PERMISSION, "3010"))
    assert told == [Unconfirmed(b"/store", (b"x", b"y"), Reason.PERMISSION, "3010")]
    assert desk.queue.idle


def test_confirmations_expire_and_outlive_their_listers_like_listings(desk: Desk) -> None:
    desk.tell(ConfirmationsAdded(b"/store", (b"x",)))
    desk.take("a")
    desk.now += 120.0
    assert desk.tell(TimePassed()) == []
    desk.now += 1.0
    (task,) = desk.take("b")
    assert desk.tell(ListerLost("b")) == []
    assert desk.take("c") == [Task(CONFIRM, b"/store", task.attempt + 1, (b"x",))]


def test_after_a_kill_everybody_goes_home_and_the_rest_is_unreached() -> None:
    desk = seeded(b"/1", b"/2", b"/3")
    assert desk.paths("a", 2) == [b"/1", b"/2"]
    desk.tell(DirectoryFailed("a", b"/2", 1, Reason.SERVER))
    assert not desk.queue.killed
    assert desk.tell(KillRequested("operator")) == []
    desk.tell(KillRequested("somebody else"))
    assert (desk.queue.killed, desk.queue.killed_because) == (True, "operator")
    desk.now += 60.0
    assert desk.ask("a") == GoHome()
    assert desk.ask("b") == GoHome()
    assert sorted(desk.queue.unreached) == [b"/1", b"/2", b"/3"]


def test_what_was_in_hand_when_the_kill_came_is_still_accepted_and_its_children_are_unreached() -> None:
    desk = seeded(b"/store")
    desk.take("a")
    desk.tell(KillRequested())
    desk.now += 1000.0
    assert desk.tell(TimePassed()) == []
    assert desk.tell(DirectoryListed("a", b"/store", 1, (b"/store/x",))) == [Accept(LIST, b"/store")]
    assert desk.ask("a") == GoHome()
    assert desk.queue.unreached == [b"/store/x"]


def test_a_kill_never_turns_a_directory_that_could_be_tried_again_into_a_failed_one() -> None:
    desk = seeded(b"/1", b"/2", b"/3", limits=QueueLimits(max_attempts=1))
    desk.take("a", 3)
    desk.tell(KillRequested())
    assert desk.tell(DirectoryFailed("a", b"/1", 1, Reason.CONNECTION)) == []
    told = desk.tell(DirectoryFailed("a", b"/2", 1, Reason.PERMISSION))
    assert told == [Settle(b"/2", State.FAILED, Reason.PERMISSION)]
    assert desk.tell(ListerLost("a")) == []
    assert sorted(desk.queue.unreached) == [b"/1", b"/3"]


def test_what_is_seeded_after_a_kill_is_unreached() -> None:
    desk = Desk()
    desk.tell(KillRequested())
    desk.tell(DirectoriesSeeded((b"/store",)))
    assert desk.ask("a") == GoHome()
    assert desk.queue.unreached == [b"/store"]


def test_counts_say_where_the_work_stands() -> None:
    desk = seeded(b"/1", b"/2", b"/3", b"/4", ignored=PatternFilter([b"tmp"]))
    desk.tell(ConfirmationsAdded(b"/0", (b"x",)))
    desk.take("a", 4)
    desk.tell(NamesConfirmed("a", b"/0", 1))
    desk.tell(DirectoryListed("a", b"/1", 1, (b"/1/tmp", b"/1/x")))
    desk.tell(DirectoryFailed("a", b"/2", 1, Reason.SERVER))
    desk.tell(DirectoryFailed("a", b"/3", 1, Reason.PERMISSION))
    desk.tell(DirectoryFailed("a", b"/3", 1, Reason.PERMISSION))
    desk.take("a")
    assert desk.queue.counts == QueueCounts(
        pending=1,
        delayed=1,
        leased=1,
        found=6,
        listed=1,
        failed=1,
        ignored=1,
        confirmed=1,
        retries=1,
        discarded=1,
    )
    assert (desk.queue.waiting, desk.queue.leased) == (2, 1)


def test_what_little_there_is_is_shared_among_the_listers() -> None:
    desk = Desk()
    for lister in ("a", "b", "c"):
        assert desk.ask(lister, 100) == Wait(LIMITS.idle_wait)
    desk.tell(DirectoriesSeeded([b"/%d" % number for number in range(7)]))
    assert [len(desk.take(lister, 100)) for lister in ("a", "b", "c", "a")] == [3, 2, 1, 1]
