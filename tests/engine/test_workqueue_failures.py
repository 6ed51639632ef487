"""What fails, is late, or is lost with its lister."""

from __future__ import annotations

import pytest

from engine.states import Reason, State
from engine.work import (
    Accept,
    DirectoryFailed,
    DirectoryListed,
    Discard,
    Event,
    ListerLeft,
    ListerLost,
    QueueLimits,
    Settle,
    Task,
    TimePassed,
    Wait,
    WorkRequested,
)
from tests.engine.desk import LIMITS, LIST, seeded


def test_a_final_reason_settles_a_directory_at_once() -> None:
    desk = seeded(b"/store")
    desk.take("a")
    told = desk.tell(DirectoryFailed("a", b"/store", 1, Reason.PERMISSION, "3010"))
    assert told == [Settle(b"/store", State.FAILED, Reason.PERMISSION, "3010")]
    assert desk.queue.idle


def test_a_passing_reason_is_tried_again_after_a_delay_that_doubles_until_the_attempts_are_used_up() -> None:
    desk = seeded(b"/store", limits=QueueLimits(max_attempts=4, first_delay=1.0, max_delay=3.0))
    for attempt, delay in ((1, 1.0), (2, 2.0), (3, 3.0)):
        assert desk.take("a") == [Task(LIST, b"/store", attempt)]
        assert desk.tell(DirectoryFailed("a", b"/store", attempt, Reason.SERVER, "busy")) == []
        desk.now += delay - 0.25
        assert isinstance(desk.ask("a"), Wait)
        desk.now += 0.25
    assert desk.take("a") == [Task(LIST, b"/store", 4)]
    told = desk.tell(DirectoryFailed("a", b"/store", 4, Reason.TIMEOUT, "slow"))
    assert told == [Settle(b"/store", State.FAILED, Reason.TIMEOUT, "slow")]
    assert desk.queue.idle


def test_a_single_attempt_leaves_no_room_for_another() -> None:
    desk = seeded(b"/store", limits=QueueLimits(max_attempts=1))
    desk.take("a")
    told = desk.tell(DirectoryFailed("a", b"/store", 1, Reason.SERVER))
    assert told == [Settle(b"/store", State.FAILED, Reason.SERVER)]


def test_a_late_report_of_an_earlier_attempt_is_discarded() -> None:
    desk = seeded(b"/store")
    desk.take("a")
    desk.tell(DirectoryFailed("a", b"/store", 1, Reason.SERVER))
    desk.now += 1.0
    assert desk.take("a") == [Task(LIST, b"/store", 2)]
    assert desk.tell(DirectoryListed("a", b"/store", 1)) == [Discard(LIST, b"/store")]
    assert desk.tell(DirectoryListed("a", b"/store", 2)) == [Accept(LIST, b"/store")]


def test_what_failed_is_offered_to_another_lister() -> None:
    desk = seeded(b"/store")
    desk.take("a")
    desk.ask("b")
    desk.tell(DirectoryFailed("a", b"/store", 1, Reason.CONNECTION))
    desk.now += 1.0
    assert isinstance(desk.ask("a"), Wait)
    assert desk.take("b") == [Task(LIST, b"/store", 2)]


def test_a_lister_that_must_not_get_what_it_failed_still_gets_everything_else() -> None:
    desk = seeded(b"/bad", b"/good")
    desk.take("a")
    desk.ask("b", 0)
    desk.tell(DirectoryFailed("a", b"/bad", 1, Reason.CONNECTION))
    desk.now += 1.0
    assert desk.paths("a", 9) == [b"/good"]
    assert desk.paths("b", 9) == [b"/bad"]


def test_none_of_the_listers_that_failed_gets_it_while_another_has_not_tried() -> None:
    desk = seeded(b"/store")
    for lister, attempt in (("a", 1), ("b", 2)):
        for other in "abc":
            desk.ask(other, 0)
        desk.take(lister)
        desk.tell(DirectoryFailed(lister, b"/store", attempt, Reason.CONNECTION))
        desk.now += 2.0
    assert isinstance(desk.ask("a"), Wait)
    assert isinstance(desk.ask("b"), Wait)
    assert desk.take("c") == [Task(LIST, b"/store", 3)]


def test_what_every_living_lister_failed_goes_to_any_of_them() -> None:
    desk = seeded(b"/store")
    desk.take("a")
    desk.ask("b")
    desk.tell(DirectoryFailed("a", b"/store", 1, Reason.CONNECTION))
    desk.now += 1.0
    desk.take("b")
    desk.tell(DirectoryFailed("b", b"/store", 2, Reason.CONNECTION))
    desk.now += 2.0
    assert desk.take("a") == [Task(LIST, b"/store", 3)]


@pytest.mark.parametrize("silent", [False, True])
def test_the_last_living_lister_gets_back_what_it_failed(silent: bool) -> None:
    desk = seeded(b"/store")
    desk.take("a")
    desk.ask("b")
    desk.tell(DirectoryFailed("a", b"/store", 1, Reason.CONNECTION))
    desk.now += 1.0
    assert isinstance(desk.ask("a"), Wait)
    if silent:
        desk.now += LIMITS.lease_seconds
    else:
        desk.tell(ListerLost("b"))
    assert desk.take("a") == [Task(LIST, b"/store", 2)]


def test_what_failed_before_is_handed_out_before_what_is_new() -> None:
    desk = seeded(b"/1", b"/2")
    desk.take("a")
    desk.tell(DirectoryFailed("a", b"/1", 1, Reason.SERVER))
    desk.now += 1.0
    assert desk.take("a", 9) == [Task(LIST, b"/1", 2), Task(LIST, b"/2", 1)]


def test_a_lease_without_an_answer_counts_as_a_timeout() -> None:
    desk = seeded(b"/store", limits=QueueLimits(max_attempts=2, lease_seconds=120.0))
    desk.take("a")
    desk.now += 119.5
    assert desk.tell(TimePassed()) == []
    assert desk.queue.leased == 1
    desk.now += 0.5
    assert desk.tell(TimePassed()) == []
    assert (desk.queue.leased, desk.queue.waiting) == (0, 1)
    assert desk.tell(DirectoryListed("a", b"/store", 1)) == [Discard(LIST, b"/store")]
    desk.now += 1.0
    assert desk.take("b") == [Task(LIST, b"/store", 2)]
    desk.now += 120.0
    detail = "lister b gave no answer within 120 s"
    assert desk.tell(TimePassed()) == [Settle(b"/store", State.FAILED, Reason.TIMEOUT, detail)]


def test_a_report_that_comes_before_the_loss_of_a_lease_was_noticed_is_accepted() -> None:
    desk = seeded(b"/store")
    desk.take("a")
    desk.now += 1000.0
    assert desk.tell(DirectoryListed("a", b"/store", 1)) == [Accept(LIST, b"/store")]


def test_a_lister_that_reports_keeps_its_other_leases() -> None:
    desk = seeded(b"/1", b"/2", b"/3")
    desk.take("a", 2)
    desk.take("b")
    desk.now += 100.0
    desk.tell(DirectoryListed("a", b"/1", 1))
    desk.now += 100.0
    desk.tell(TimePassed())
    assert desk.tell(DirectoryListed("a", b"/2", 1)) == [Accept(LIST, b"/2")]
    assert desk.tell(DirectoryListed("b", b"/3", 1)) == [Discard(LIST, b"/3")]


@pytest.mark.parametrize("sign", [WorkRequested("a", 0), DirectoryListed("a", b"/1", 1)])
def test_neither_asking_for_work_nor_a_repetition_keeps_a_lease(sign: Event) -> None:
    desk = seeded(b"/1", b"/2")
    desk.take("a", 2)
    desk.tell(DirectoryListed("a", b"/1", 1))
    desk.now += 119.0
    desk.tell(sign)
    desk.now += 1.0
    desk.tell(TimePassed())
    assert desk.queue.leased == 0


def test_a_lost_lister_gives_its_leases_back_at_once() -> None:
    desk = seeded(b"/1", b"/2")
    desk.take("a", 2)
    assert desk.tell(ListerLost("a")) == []
    assert sorted(desk.take("b", 9), key=lambda task: task.path) == [Task(LIST, b"/1", 2), Task(LIST, b"/2", 2)]
    assert desk.tell(DirectoryListed("a", b"/1", 1)) == [Discard(LIST, b"/1")]


def test_what_a_lister_leaves_counts_against_nothing() -> None:
    desk = seeded(b"/1", limits=QueueLimits(max_attempts=2))
    for attempt in range(1, 6):
        assert desk.take("a") == [Task(LIST, b"/1", attempt)]
        assert desk.tell(ListerLeft("a")) == []
    assert desk.take("b") == [Task(LIST, b"/1", 6)]
    assert desk.tell(DirectoryListed("a", b"/1", 5)) == [Discard(LIST, b"/1")]
    # What failed before is still known: the second failure is the last.
    assert desk.tell(DirectoryFailed("b", b"/1", 6, Reason.SERVER)) == []
    desk.now += 1000.0
    assert desk.take("c") == [Task(LIST, b"/1", 7)]
    assert desk.tell(ListerLeft("c")) == []
    assert desk.take("d") == [Task(LIST, b"/1", 8)]
    assert [type(told) for told in desk.tell(DirectoryFailed("d", b"/1", 8, Reason.SERVER))] == [Settle]


def test_a_directory_cannot_kill_listers_for_ever() -> None:
    desk = seeded(b"/poison", limits=QueueLimits(max_attempts=3))
    for lister in ("a", "b"):
        desk.take(lister)
        assert desk.tell(ListerLost(lister)) == []
    desk.take("c")
    told = desk.tell(ListerLost("c"))
    assert told == [Settle(b"/poison", State.FAILED, Reason.LISTER_LOST, "lister c was lost")]


def test_a_lister_that_comes_back_under_its_name_does_not_answer_for_its_former_life() -> None:
    desk = seeded(b"/store")
    desk.take("a")
    desk.tell(ListerLost("a"))
    assert desk.take("a") == [Task(LIST, b"/store", 2)]
    assert desk.tell(DirectoryListed("a", b"/store", 1)) == [Discard(LIST, b"/store")]


def test_losing_an_unknown_lister_changes_nothing() -> None:
    desk = seeded(b"/store")
    desk.take("a")
    assert desk.tell(ListerLost("b")) == []
    assert desk.queue.leased == 1
