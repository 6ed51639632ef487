"""What lies in the quarantine, as the audit log tells it."""

from __future__ import annotations

import time
from pathlib import Path

from engine.plan import Action, Cause, ItemEvent, PlanItem
from storage.plans.audit import AuditLog
from storage.plans.put_aside import of_plan, put_aside, spared

ITEMS = [PlanItem(n, Cause.ORPHAN, b"/store/\xff\n%d" % n, 5, 1, "why", Action.QUARANTINE) for n in range(1, 8)]


def test_what_was_put_there_lies_there_until_it_is_taken(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    log.note("abc", ItemEvent.BEGUN, ITEMS, asides=[b"/q/%d" % item.number for item in ITEMS])
    log.note("abc", ItemEvent.DONE, ITEMS[:4])
    log.note("abc", ItemEvent.FAILED, ITEMS[4:5])
    log.note("abc", ItemEvent.DROPPED, ITEMS[5:6])
    for event in (ItemEvent.RESTORING, ItemEvent.RESTORED):
        log.note("abc", event, ITEMS[:1])
    for event in (ItemEvent.PURGING, ItemEvent.PURGED):
        log.note("abc", event, ITEMS[1:2])
    log.note("abc", ItemEvent.PURGING, ITEMS[2:3])
    entries = put_aside(log)
    # The last one was begun by somebody who died.
    assert [(entry.item.number, entry.is_certain) for entry in entries] == [(3, True), (4, True), (7, False)]
    assert (entries[0].item.path, entries[0].aside, entries[0].item.size) == (ITEMS[2].path, b"/q/3", 5)
    assert of_plan(entries, "ab") == entries
    assert of_plan(entries, "b") == []
    places = {b"/q/%d" % item.number for item in ITEMS}
    assert spared(log, time.time() - 60) == {ITEMS[0].path, *places}
    assert spared(log, time.time() + 60) == places


def test_what_was_only_asked_for_lies_nowhere(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    assert put_aside(log) == []
    log.note("abc", ItemEvent.BEGUN, ITEMS)
    log.note("abc", ItemEvent.DONE, ITEMS)
    assert put_aside(log) == []


def test_the_state_of_a_plan_takes_what_came_later_for_done(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    log.note("abc", ItemEvent.BEGUN, ITEMS, asides=[b"/q"] * len(ITEMS))
    log.note("abc", ItemEvent.DONE, ITEMS[:2])
    log.note("abc", ItemEvent.PURGED, ITEMS[:1])
    state = log.state_of("abc", 0)
    assert state.doubles == 0
    assert [item.number for item in state.open_items(ITEMS)] == [3, 4, 5, 6, 7]
