"""Who does what a plan says: the registry of a site, or this program itself at the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

from actors.plans.left_over import settle_left_over
from actors.plans.removal import StoreHand, Task
from engine import paths
from engine.gates import Refusal
from engine.plan import Action, Cause, PlanItem
from engine.quarantine import Fate, Order, Settled, place_of, top_of
from storage.backends.protocols import BackendError, Registry, Transfers, registry_actions, takes_directories
from storage.plans.audit import AuditLog
from storage.removers.factory import keeps_filled, why_not
from storage.runs.directory import RunDirectory

if TYPE_CHECKING:
    from actors.oversight import Oversight
    from actors.runtime import Runtime
    from actors.store_job import StoreJob
    from storage.config.site import SiteConfig
    from storage.listers.protocol import StoreSpec

AT_ONCE = 1000
"""Items of which a registry is asked at a time."""

_AT_ONCE_HERE = 64
"""Items that are done at the store between two entries in the log: so many may be in doubt when all ends at once."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """What became of items that were to go: ``new`` counts what was done, or asked for and not asked for before.

    ``fates`` are by the numbers of the items. None of them all: each was done. One that is in none was not begun.
    """

    new: int
    fates: Mapping[int, Settled] | None = None


class Executor(Protocol):
    """Does things to files; what it does twice is harmless.

    ``at_once`` is how many items it is given at a time.
    """

    @property
    def at_once(self) -> int:
        """See above."""

    def delete(self, items: Sequence[PlanItem]) -> Deleted:
        """Have these deleted, or put aside, in this order.

        Raises:
            BackendError: none of them may count as done.
            Killed, ListingFailed: nobody knows what became of them.
        """

    def transfer(self, items: Sequence[PlanItem]) -> Transfers:
        """Have these brought back; gives what their sources are. Raises as `delete`."""

    def asides(self, items: Sequence[PlanItem]) -> Sequence[bytes]:
        """Say where each goes that is put aside; empty for one that is not."""

    def lie_aside(self, items: Sequence[PlanItem]) -> Mapping[int, bool | None]:
        """Say of those that are put aside whether they were, by number; None where nobody can tell."""


@dataclass(frozen=True, slots=True)
class AskRegistry:
    """Leaves all of it to the registry of a site."""

    registry: Registry
    site: str

    @property
    def at_once(self) -> int:
        """See `Executor`."""
        return AT_ONCE

    def delete(self, items: Sequence[PlanItem]) -> Deleted:
        """See `Executor`."""
        if items[0].cause is Cause.EMPTY and not takes_directories(self.registry):
            # The plan was made when there was another one.
            raise BackendError("the registry deletes files alone; the next check makes a plan without directories")
        return Deleted(self.registry.delete(self.site, _lfns(items)))

    def transfer(self, items: Sequence[PlanItem]) -> Transfers:
        """See `Executor`."""
        return self.registry.transfer(self.site, _lfns(items))

    def asides(self, items: Sequence[PlanItem]) -> Sequence[bytes]:
        """See `Executor`."""
        return ()

    def lie_aside(self, items: Sequence[PlanItem]) -> Mapping[int, bool | None]:
        """See `Executor`."""
        return {}


@dataclass(frozen=True, slots=True)
class ChangeStore:
    """Puts aside and deletes at the store, and leaves the rest to the registry.

    ``plan`` is the name of the plan, ``tops`` are the directories that are looked at, and ``quarantine`` is the one for
    what is put aside, empty where it goes for good at once.
    """

    hand: StoreHand
    plan: str
    quarantine: bytes
    tops: Sequence[bytes]
    others: AskRegistry
    at_once: int = field(default=_AT_ONCE_HERE)

    def delete(self, items: Sequence[PlanItem]) -> Deleted:
        """See `Executor`."""
        task = Task.PUT_ASIDE if items[0].action is Action.QUARANTINE else Task.TAKE_AWAY
        fates: dict[int, Settled] = {}
        for group in _one_behind_the_other(items):
            fates |= self.hand.carry_out(task, [self._order(item) for item in group])
        return Deleted(sum(settled.fate is Fate.DONE for settled in fates.values()), fates)

    def transfer(self, items: Sequence[PlanItem]) -> Transfers:
        """See `Executor`."""
        return self.others.transfer(items)

    def asides(self, items: Sequence[PlanItem]) -> Sequence[bytes]:
        """See `Executor`."""
        return [self._order(item).aside for item in items]

    def lie_aside(self, items: Sequence[PlanItem]) -> Mapping[int, bool | None]:
        """See `Executor`."""
        aside = [order for order in map(self._order, items) if order.aside]
        found: dict[int, bool | None] = {}
        for start in range(0, len(aside), self.at_once):
            found |= self.hand.were_put(aside[start : start + self.at_once])
        return found

    def _order(self, item: PlanItem) -> Order:
        aside = top = b""
        if item.action is Action.QUARANTINE:
            aside = place_of(self.quarantine, self.plan, item.number, item.path)
            top = top_of(aside, self.plan)
        is_directory = item.cause is Cause.EMPTY
        below = next((top for top in self.tops if paths.is_under(item.path, top)), b"/")
        return Order(item.number, item.path, item.size, item.mtime, aside, is_directory, top, below)


@dataclass(frozen=True, slots=True)
class Executors:
    """Makes who does what the plans of a site say.

    ``job`` says how its store is asked.
    """

    site: SiteConfig
    registry: Registry
    runtime: Runtime
    job: StoreJob
    oversight: Oversight

    @property
    def actions(self) -> Mapping[Cause, Action]:
        """What follows from each finding."""
        actions = dict(registry_actions(self.registry))
        if self.site.deletes_itself:
            actions[Cause.ORPHAN] = Action.QUARANTINE if self.site.quarantine else Action.DELETE
            actions[Cause.EMPTY] = Action.DELETE
        return actions

    @property
    def takes_directories(self) -> bool:
        """Whether empty directories can be deleted."""
        if self.site.deletes_itself:
            return keeps_filled(self._spec)
        return takes_directories(self.registry)

    @property
    def refusal(self) -> Refusal | None:
        """Say why nothing can be done; None if it can."""
        why = why_not(self.site, self._spec)
        return Refusal("deletion", why) if why else None

    @contextmanager
    def of_plan(self, name: str) -> Iterator[Executor]:
        """Give who does what the plan of that name says; what plans before it had begun is looked for first."""
        others = AskRegistry(self.registry, self.site.name)
        if not self.site.deletes_itself:
            yield others
            return
        with StoreHand(self.runtime, self.job, self.oversight) as hand:
            audit = AuditLog(RunDirectory(self.site.var_location, self.site.name).audit)
            settle_left_over(audit, hand, name)
            yield ChangeStore(hand, name, self.site.quarantine, self.site.directories, others)

    @property
    def _spec(self) -> StoreSpec:
        return self.job.settings.spec


def _one_behind_the_other(items: Sequence[PlanItem]) -> Iterator[list[PlanItem]]:
    """Give groups that are done one after the other: of directories, those inside others come before these."""
    if items[0].cause is not Cause.EMPTY:
        yield list(items)
        return
    deepest_first = sorted(items, key=lambda item: paths.depth_of(item.path), reverse=True)
    for _, group in groupby(deepest_first, key=lambda item: paths.depth_of(item.path)):
        yield list(group)


def _lfns(items: Sequence[PlanItem]) -> list[str]:
    return [paths.decode(item.path) for item in items]
