"""What is to be done at a site because of the findings of a run, item by item, and how far that is.

A plan is made whole and never changed. What becomes of its items is told by events, one after another, which are kept
elsewhere; `PlanState` makes of them what is left to do. An item that was begun and never ended, since the program was
killed in between, is open: whoever goes on finds out what became of it before anything is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from engine.actions import TOP, ActionLimits, Findings, closed_gates
from engine.gates import Refusal


class Action(StrEnum):
    """What is done with an item."""

    DELETE = "delete"
    """It goes for good."""
    QUARANTINE = "quarantine"
    """It is put aside, and goes for good some time later."""
    TRANSFER = "transfer"
    """It is brought back from another copy."""
    DECLARE = "declare"
    """It is said to be lost; who is told so brings it back, or gives it up."""

    @property
    def removes(self) -> bool:
        """Whether something goes from the store."""
        return self in (Action.DELETE, Action.QUARANTINE)


class Cause(StrEnum):
    """The finding that an item follows from."""

    MISSING = "missing"
    ORPHAN = "orphan"
    EMPTY = "empty"


USUAL_ACTIONS = {Cause.ORPHAN: Action.DELETE, Cause.EMPTY: Action.DELETE, Cause.MISSING: Action.TRANSFER}
"""What follows from each finding, where whoever does it says nothing else."""


@dataclass(frozen=True, slots=True)
class PlanItem:
    """One thing to be done: its place in the plan, from 1, the LFN, and why.

    ``size`` (bytes) and ``mtime`` (seconds since the epoch) are as they were found, `engine.columns.UNKNOWN_SIZE` and
    `UNKNOWN_MTIME` when not known; those of a missing file are the inventory's.
    """

    number: int
    cause: Cause
    path: bytes
    size: int
    mtime: int
    reason: str
    action: Action

    @property
    def weight(self) -> int:
        """Its bytes, as far as they are known."""
        return max(0, self.size)


@dataclass(frozen=True, slots=True)
class PlanRun:
    """The run that a plan follows from: its number, when it started, and what it found.

    ``begun`` is when its inventory was read; times are in seconds since the epoch. What changed after ``young_after``
    is left alone (None: no age limit).
    """

    number: int
    started: float
    begun: float | None = None
    young_after: float | None = None
    missing: int = 0
    orphan: int = 0
    missing_size: int = 0
    orphan_size: int = 0
    inventory_files: int = 0
    store_files: int = 0
    directories: int = 0
    unlisted: int = 0

    def findings(self, gates: tuple[Refusal, ...], now: float) -> Findings:
        """Give what decides about acting, ``now``; of the ``gates`` that closed then those stay that do not depend on
        limits.
        """
        return Findings(
            self.missing,
            self.orphan,
            self.missing_size,
            self.orphan_size,
            self.inventory_files,
            self.store_files,
            self.directories,
            self.unlisted,
            age=0.0 if self.begun is None else now - self.begun,
            closed=tuple(gate for gate in gates if gate.gate == TOP),
        )

    def is_run(self, number: int, started: float) -> bool:
        """Whether that is the run; a history that was restored may number another one the same."""
        return (self.number, self.started) == (number, started)


@dataclass(frozen=True, slots=True)
class Held:
    """Findings of the run from which nothing follows in its plan, how many there are, and why."""

    cause: Cause
    items: int
    why: str


@dataclass(frozen=True, slots=True)
class PlanHeader:
    """Where a plan comes from: the site, the run, when it was made (seconds since the epoch).

    ``gates`` closed when it was made. ``mark`` is a digest of the settings that say which store was listed, and what it
    was compared with; a plan of others is not applied. ``audit`` is how long the audit log was then, in bytes: nothing
    about this plan stands before. ``held`` are the findings that are in no item.
    """

    site: str
    run: PlanRun
    made: float
    gates: tuple[Refusal, ...] = ()
    mark: str = ""
    audit: int = 0
    held: tuple[Held, ...] = ()


@dataclass(slots=True)
class PlanSums:
    """How many items follow from each finding, and their bytes as far as they are known."""

    items: dict[Cause, int] = field(default_factory=dict)
    size: dict[Cause, int] = field(default_factory=dict)

    def add(self, item: PlanItem) -> None:
        """Count one."""
        self.items[item.cause] = self.items.get(item.cause, 0) + 1
        self.size[item.cause] = self.size.get(item.cause, 0) + item.weight

    @classmethod
    def of(cls, items: Iterable[PlanItem]) -> PlanSums:
        """Count all."""
        sums = cls()
        for item in items:
            sums.add(item)
        return sums

    @property
    def total(self) -> int:
        """All items."""
        return sum(self.items.values())

    @property
    def total_size(self) -> int:
        """The bytes of all."""
        return sum(self.size.values())


class ItemEvent(StrEnum):
    """What happens to an item."""

    BEGUN = "begun"
    DONE = "done"
    DROPPED = "dropped"
    """It is not any more as it was found, and is left alone for good: the next run judges it anew."""
    FAILED = "failed"
    """It could not be done, and may be tried again."""
    SOURCELESS = "sourceless"
    """No other copy is known that it could be brought back from; it waits for one, or to be given up."""
    RESTORING = "restoring"
    RESTORED = "restored"
    """It was brought back from the quarantine of the store."""
    PURGING = "purging"
    PURGED = "purged"
    """It has gone from the quarantine for good."""

    @property
    def is_end(self) -> bool:
        """Whether nothing is left to do with the item behind it."""
        return self not in (ItemEvent.BEGUN, ItemEvent.FAILED, ItemEvent.SOURCELESS)


_LATER = (ItemEvent.RESTORING, ItemEvent.RESTORED, ItemEvent.PURGING, ItemEvent.PURGED)
"""What may happen to an item that was done."""

DONE = (ItemEvent.DONE, *_LATER)
"""The last words on items that were done."""


class PlanState:
    """How far a plan is, by the events about it, in their order.

    It ``is_known`` when the log says that it was made: without that nobody can tell what was done of it.
    """

    def __init__(self) -> None:
        self.is_known = self.rejected = False
        self.doubles = 0
        self._last: dict[int, ItemEvent] = {}

    def take(self, numbers: Iterable[int], event: ItemEvent) -> None:
        """Take an event about some items in. What has ended stays so, whatever comes behind it."""
        last = self._last
        for number in numbers:
            before = last.get(number)
            if before is not None and before.is_end and event not in _LATER:
                self.doubles += 1
            else:
                last[number] = event

    def last(self, number: int) -> ItemEvent | None:
        """Give the last word on an item; None when there is none."""
        return self._last.get(number)

    def count(self, *events: ItemEvent) -> int:
        """Count the items of which one of these is the last word."""
        return sum(last in events for last in self._last.values())

    def is_open(self, number: int) -> bool:
        """Whether there is something left to do with an item."""
        last = self._last.get(number)
        return last is None or not last.is_end

    def is_in_doubt(self, number: int) -> bool:
        """Whether an item was begun, and nobody knows what became of it."""
        return self._last.get(number) == ItemEvent.BEGUN

    def open_items(self, items: Iterable[PlanItem]) -> Iterator[PlanItem]:
        """Give what is left to do, in the order of the plan."""
        return (item for item in items if self.is_open(item.number))


def portion(items: Sequence[PlanItem], limit: int | None, most_bytes: int | None) -> list[PlanItem]:
    """Give the first items, at most ``limit`` of them and no more bytes than ``most_bytes``; None: any number.

    Bytes are those of what is deleted. An item that alone has more is where it ends, so that nothing is passed over.
    """
    chosen: list[PlanItem] = []
    left = most_bytes
    for item in items:
        if limit is not None and len(chosen) >= limit:
            break
        if left is not None and item.action.removes:
            left -= item.weight
            if left < 0:
                break
        chosen.append(item)
    return chosen


def refusal_of(plan: PlanHeader, state: PlanState, now: float, oldest: float, limits: ActionLimits) -> Refusal | None:
    """Say why a plan must not be applied now, by itself and the log; None when it may be.

    ``oldest`` is how old it may be, in days, and ``limits`` are those of the site by now.
    """
    again = f"check {plan.site} makes a new one"
    if state.rejected:
        return Refusal("rejected", f"the plan was rejected; {again}")
    if not state.is_known:
        return Refusal("log", f"the audit log does not know the plan, so nobody can tell what was done of it; {again}")
    age = (now - plan.made) / 86400
    if age > oldest:
        return Refusal("plan-old", f"the plan is {age:.1f} days old, MaxPlanAge is {oldest:g}; {again}")
    if age < 0:
        return Refusal("plan-future", f"the plan was made {-age:.1f} days from now: a clock was set; {again}")
    for gate in (*plan.gates, *closed_gates(plan.run.findings(plan.gates, now), limits)):
        return Refusal(gate.gate, f"{gate.message}; the plan of such a run is not applied")
    return None
