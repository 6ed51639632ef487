"""What becomes of the items of a plan when something goes wrong between two of its steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from actors.oversight import Killed, Oversight
from actors.plans import applying
from actors.plans.applying import Doubts, apply_items
from actors.plans.executors import AskRegistry
from engine.plan import Action, Cause, ItemEvent, PlanItem, PlanState
from engine.recheck import Candidates, Dropped, Rechecked
from storage.atomic import ReportError
from storage.backends.protocols import BackendError, Transfers
from storage.plans.audit import AuditLog
from tests.actors.small_site import Registry

ITEMS = [PlanItem(n, Cause.ORPHAN, b"/store/o%d" % n, 5, 1, "", Action.DELETE) for n in range(1, 7)]
ITEMS += [PlanItem(n, Cause.MISSING, b"/store/m%d" % n, 5, 1, "", Action.TRANSFER) for n in range(7, 10)]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "BATCH", 2)


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path / "audit.jsonl")


class FullDisk(AuditLog):
    """A log on a disk that is full after so many events."""

    room = 0

    def note(
        self,
        plan: str,
        event: ItemEvent,
        items: Sequence[PlanItem],
        details: Iterable[str] = (),
        asides: Iterable[bytes] = (),
    ) -> None:
        if items:
            self.room -= 1
            if self.room < 0:
                raise ReportError(f"{self.path}: cannot be written: No space left on device")
        super().note(plan, event, items, details, asides)


def unchanged(candidates: Candidates) -> Rechecked:
    orphans = tuple(path for path, _, _ in candidates.orphans)
    return Rechecked(tuple(candidates.missing), orphans, tuple(candidates.empty))


AS_FOUND = Doubts(lambda candidates: candidates, unchanged)


def apply(log: AuditLog, registry: Registry, doubts: Doubts = AS_FOUND, stop: str = "") -> applying.Applied:
    left = 3

    def asked() -> str:
        nonlocal left
        left -= bool(stop)
        return stop if left < 0 else ""

    state = AuditLog(log.path).state_of("abc", 0)
    return apply_items("abc", ITEMS, state, log, AskRegistry(registry, "T2_X"), doubts, Oversight(asked))


def asked_of(registry: Registry) -> list[str]:
    return [lfn.rpartition("/")[2] for lfn in (*registry.deletions, *registry.transfers)]


EVERYTHING = ["o1", "o2", "o3", "o4", "o5", "o6", "m7", "m8", "m9"]


def test_all_is_done_in_order(log: AuditLog) -> None:
    registry = Registry()
    applied = apply(log, registry)
    assert (applied.done, applied.deletions, applied.failure) == (9, 6, None)
    assert asked_of(registry) == EVERYTHING
    assert apply(log, registry).done == 0
    assert asked_of(registry) == EVERYTHING


@pytest.mark.parametrize(
    ("room", "failed"),
    [
        (0, "nothing was asked for"),
        (1, "0 of 9 were asked for, and 2 more may have been"),
        (2, "2 of 9 were asked for"),
        (3, "2 of 9 were asked for, and 2 more may have been"),
    ],
)
def test_a_disk_that_is_full_is_not_said_to_have_kept_anything_from_being_asked_for(
    log: AuditLog, room: int, failed: str
) -> None:
    full, registry = FullDisk(log.path), Registry()
    full.room = room
    applied = apply(full, registry)
    assert isinstance(applied.failure, ReportError)
    assert applied.failed == failed
    # Nothing is asked for that was not noted before.
    assert len(registry.deletions) == 2 * ((room + 1) // 2)
    assert apply(log, registry).failure is None
    assert sorted(set(asked_of(registry))) == sorted(EVERYTHING)


def test_what_a_dead_process_has_done_counts_as_done(log: AuditLog) -> None:
    log.note("abc", ItemEvent.BEGUN, ITEMS[:2])
    registry = Registry()

    def one_is_gone(candidates: Candidates) -> Rechecked:
        found = unchanged(candidates)
        gone = [path for path in found.orphans if path in (ITEMS[0].path, ITEMS[2].path)]
        left = tuple(path for path in found.orphans if path not in gone)
        return Rechecked(found.missing, left, (), Dropped(gone=len(gone)), dict.fromkeys(gone, "gone"))

    apply(log, registry, Doubts(lambda candidates: candidates, one_is_gone))
    events = {event.item: event for event in log.events()}
    assert (events[1].event, events[1].detail) == ("done", "it was begun before, and it is gone now")
    assert (events[3].event, events[3].detail) == ("dropped", "it is gone")
    assert asked_of(registry) == ["o2", "o4", "o5", "o6", "m7", "m8", "m9"]


def test_a_registry_that_fails_leaves_what_is_behind(log: AuditLog) -> None:
    registry = Registry("o5")
    applied = apply(log, registry)
    assert isinstance(applied.failure, BackendError)
    assert (applied.done, applied.failed) == (4, "4 of 9 were asked for")
    assert [event.event for event in log.events()][-4:] == ["begun", "begun", "failed", "failed"]
    registry.refuses = "transfer"
    applied = apply(log, registry)
    assert (applied.done, applied.failed) == (2, "deletions were asked for, and no transfers")
    registry.refuses = ""
    assert apply(log, registry).done == 3
    assert asked_of(registry) == EVERYTHING


def test_a_halt_ends_it_between_two_batches(log: AuditLog) -> None:
    registry = Registry()
    applied = apply(log, registry, stop="enough")
    assert isinstance(applied.failure, Killed)
    assert applied.done == len(registry.deletions) > 0
    assert apply(log, registry).failure is None
    assert asked_of(registry) == EVERYTHING


def test_what_is_not_meant_any_more_is_asked_of_nobody(log: AuditLog) -> None:
    registry, asked = Registry(), []

    def meant(candidates: Candidates) -> Candidates:
        asked.append(len(candidates))
        return Candidates(candidates.missing[1:], candidates.orphans[:1])

    applied = apply(log, registry, Doubts(meant, unchanged))
    assert asked == [9]
    assert (applied.done, applied.left_since) == (3, 6)
    assert asked_of(registry) == ["o1", "m8", "m9"]


def test_what_was_begun_before_and_is_not_meant_any_more_may_have_been_done(log: AuditLog) -> None:
    """As where a Rucio was told of a lost file by a process that died: the file is not wanted there any more."""
    log.note("abc", ItemEvent.BEGUN, ITEMS[6:8])
    meant = Candidates((b"/store/m7",), (), ())
    applied = apply(log, Registry(), Doubts(lambda _: meant, unchanged))
    assert (applied.done, applied.left_since, applied.begun_before) == (1, 8, 1)
    said = {event.item: event.detail for event in log.events() if event.event == ItemEvent.DROPPED}
    assert said[8] == "it was begun before, and may have been done: inventory or settings say otherwise now"
    assert said[9] == "inventory or settings say otherwise now"


def test_what_has_no_source_is_tried_again_and_what_was_refused_is_not(log: AuditLog) -> None:
    class Poor(Registry):
        def transfer(self, site: str, lfns: Sequence[str]) -> Transfers:
            super().transfer(site, lfns)
            lost = [lfn for lfn in lfns if lfn.endswith("m8")]
            refused = [lfn for lfn in lfns if lfn.endswith("m9")]
            return Transfers([lfn for lfn in lfns if lfn.endswith("m7")], lost, lost, refused)

    registry = Poor()
    applied = apply(log, registry)
    assert (applied.done, applied.sourceless, applied.transfers.refused) == (7, 1, ("/store/m9",))
    state = AuditLog(log.path).state_of("abc", 0)
    assert [item.number for item in state.open_items(ITEMS)] == [8]
    assert (state.last(8), state.last(9)) == (ItemEvent.SOURCELESS, ItemEvent.DROPPED)
    assert apply(log, registry).sourceless == 1


def test_an_unknown_state_is_no_reason_to_do_a_thing_twice() -> None:
    state = PlanState()
    state.take([1], ItemEvent.DONE)
    state.take([1], ItemEvent.FAILED)
    assert not state.is_open(1)
