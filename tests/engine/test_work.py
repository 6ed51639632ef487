from __future__ import annotations

import pickle

import pytest

from engine.states import Reason, State
from engine.work import (
    Accept,
    Assign,
    ConfirmationFailed,
    ConfirmationsAdded,
    DirectoriesSeeded,
    DirectoryFailed,
    DirectoryListed,
    Discard,
    GoHome,
    KillRequested,
    ListerLeft,
    ListerLost,
    NamesConfirmed,
    NoMoreWork,
    QueueCounts,
    QueueLimits,
    Settle,
    Task,
    TaskKind,
    TimePassed,
    Unconfirmed,
    Wait,
    WorkRequested,
)

LIST, CONFIRM = TaskKind.LIST, TaskKind.CONFIRM


@pytest.mark.parametrize(
    "value",
    [
        Task(CONFIRM, b"/store/\xff", 2, (b"x", b"\xfe")),
        QueueLimits(max_attempts=2),
        DirectoriesSeeded((b"/1",), (b"/",)),
        ConfirmationsAdded(b"/1", (b"x",)),
        WorkRequested("a", 1),
        DirectoryListed("a", b"/1", 1, (b"/1/x",)),
        DirectoryFailed("a", b"/1", 1, Reason.SERVER, "busy"),
        NamesConfirmed("a", b"/1", 1),
        ConfirmationFailed("a", b"/1", 1, Reason.SERVER, "busy"),
        ListerLost("a"),
        ListerLeft("a"),
        KillRequested("why"),
        NoMoreWork(),
        TimePassed(),
        Assign((Task(LIST, b"/1", 1),)),
        Wait(0.5),
        GoHome(),
        Accept(LIST, b"/1"),
        Discard(LIST, b"/1"),
        Settle(b"/1", State.FAILED, Reason.SERVER, "busy"),
        Unconfirmed(b"/1", (b"x",), Reason.SERVER, "busy"),
        QueueCounts(found=1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_everything_that_goes_in_or_comes_out_pickles(value: object) -> None:
    assert pickle.loads(pickle.dumps(value)) == value


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"max_attempts": 101},
        {"batch": 0},
        {"max_depth": -1},
        {"lease_seconds": 0.0},
        {"idle_wait": 0.0},
        {"first_delay": -1.0},
        {"first_delay": 2.0, "max_delay": 1.0},
    ],
    ids=str,
)
def test_limits_with_which_the_queue_could_not_work_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        QueueLimits(**wrong)  # type: ignore[arg-type]
