"""The audit log is only ever added to, and read whatever a crash has left of its last line."""

from __future__ import annotations

import os
import pwd
import time
from pathlib import Path

import pytest

from engine.plan import Action, Cause, ItemEvent, PlanItem
from storage.atomic import ReportError
from storage.plans.audit import PLANNED, REJECTED, AuditLog

ITEMS = [PlanItem(n, Cause.ORPHAN, b"/store/\xff\n%d" % n, 5, 1, "why", Action.DELETE) for n in range(1, 4)]


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path / "runs" / "audit.jsonl")


def test_what_is_noted_comes_back(log: AuditLog) -> None:
    log.say("abc", PLANNED, "run 1: 3 items")
    log.note("abc", ItemEvent.BEGUN, ITEMS[:2])
    log.note("abc", ItemEvent.DROPPED, ITEMS[2:], ["it is gone"])
    planned, first, second, dropped = log.events()
    assert (planned.event, planned.item, planned.detail) == ("planned", None, "run 1: 3 items")
    assert (first.event, first.item, first.action, first.path) == ("begun", 1, "delete", ITEMS[0].path)
    assert (second.item, second.size) == (2, 5)
    assert dropped.detail == "it is gone"
    assert {event.who for event in log.events()} == {pwd.getpwuid(os.getuid()).pw_name}
    assert planned.at == pytest.approx(time.time(), abs=60)


def test_a_plan_is_as_far_as_its_own_events_say(log: AuditLog) -> None:
    log.note("old", ItemEvent.DONE, ITEMS)
    start = log.size
    log.note("abc", ItemEvent.BEGUN, ITEMS)
    log.note("abc", ItemEvent.DONE, ITEMS[:1])
    log.note("other", ItemEvent.DONE, ITEMS)
    state = log.state_of("abc", start)
    assert [item.number for item in state.open_items(ITEMS)] == [2, 3]
    assert not state.rejected
    log.say("abc", REJECTED)
    assert log.state_of("abc", start).rejected
    # One that was put away since is read from its beginning.
    assert log.state_of("abc", 1 << 40).count(ItemEvent.DONE) == 1


def test_what_was_done_in_a_while_is_told_by_its_cause(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = PlanItem(4, Cause.MISSING, b"/store/lost", 5, 1, "why", Action.TRANSFER)
    said = [
        (1.0, ItemEvent.DONE, ITEMS[:1]),
        (2.0, ItemEvent.BEGUN, [*ITEMS, missing]),
        (2.0, ItemEvent.DONE, [*ITEMS[1:], missing]),
        (3.0, ItemEvent.RESTORED, ITEMS[2:]),
        (4.0, ItemEvent.DONE, ITEMS[:1]),
    ]
    for at, event, items in said:
        monkeypatch.setattr("storage.plans.audit.time.time", lambda at=at: at)
        log.note("abc", event, items)
    assert log.done_between(1.0, 3.0) == {
        Cause.ORPHAN: frozenset([ITEMS[1].path]),
        Cause.MISSING: frozenset([b"/store/lost"]),
        Cause.EMPTY: frozenset(),
    }
    assert log.done_between(1.0, 2.0)[Cause.ORPHAN] == frozenset([ITEMS[1].path, ITEMS[2].path])
    assert log.done_between(0.0, 4.0)[Cause.ORPHAN] == frozenset([ITEMS[0].path, ITEMS[1].path])


@pytest.mark.parametrize("cut", [1, 2, 30])
def test_a_line_that_was_cut_off_is_passed_over_and_nothing_behind_it(log: AuditLog, cut: int) -> None:
    log.note("abc", ItemEvent.DONE, ITEMS[:1])
    log.note("abc", ItemEvent.DONE, ITEMS[1:2])
    os.truncate(log.path, log.size - cut)
    before = log.path.read_bytes()
    log.note("abc", ItemEvent.DONE, ITEMS[2:])
    assert log.path.read_bytes().startswith(before)
    # Without its newline alone a line is whole.
    assert [event.item for event in log.events()] == ([1, 2, 3] if cut == 1 else [1, 3])


def test_no_log_has_no_events_and_one_that_cannot_be_written_says_so(log: AuditLog) -> None:
    assert list(log.events()) == []
    assert log.size == 0
    log.path.mkdir(parents=True)
    with pytest.raises(ReportError, match=r"audit\.jsonl: cannot be written: Is a directory"):
        log.say("abc", PLANNED)


def test_the_events_of_one_path_are_found(log: AuditLog) -> None:
    assert list(log.events_of(ITEMS[0].path)) == []
    log.say("abc", PLANNED, "run 1: 3 items")
    log.note("abc", ItemEvent.BEGUN, ITEMS)
    log.note("abc", ItemEvent.DONE, ITEMS[:1])
    assert [(event.event, event.path) for event in log.events_of(ITEMS[0].path)] == [
        ("begun", ITEMS[0].path),
        ("done", ITEMS[0].path),
    ]
    assert list(log.events_of(ITEMS[0].path[:-1])) == []
