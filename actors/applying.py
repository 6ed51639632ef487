"""Doing what a plan says: each item is asked for once more, noted, done, and noted again.

Whatever ends the program in between leaves the log with what was begun: whoever goes on asks the store again, and does
what is still to be done. Nothing is done twice, and nothing is forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

from actors.listing import ListingFailed
from actors.oversight import Killed, Oversight, heed
from engine import paths
from engine.plan import Action, Cause, ItemEvent, PlanItem, PlanState
from engine.recheck import Candidates, Dropped, Rechecked
from storage.atomic import ReportError
from storage.backends.protocols import BackendError, Registry, Transfers
from storage.config.files import ConfigError
from storage.inventory import InventoryError

if TYPE_CHECKING:
    from storage.plans.audit import AuditLog

_log = logging.getLogger(__name__)

BACKEND_ERRORS = (BackendError, ConfigError, InventoryError)
"""What a backend may raise; one that looks into a file of the inventory may find it changed, or gone."""

NOTHING = "nothing was asked for"

BATCH = 1000
"""Items that are asked for again, and then done, at a time."""

_NOT_MEANT = "inventory or settings say otherwise now"

_WORDS = {
    "back": "it is there",
    "gone": "it is gone",
    "changed": "it has changed since the listing",
    "young": "it is too young by now",
    "filled": "it is not empty",
    "uncertain": "the store gave no certain answer",
}


_FEW_UNCERTAIN = 5
"""So many items without a certain answer are never too many."""


class Trouble(Exception):
    """So much went wrong that nothing more is done; the message says what."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of items: how many are ``done``, how many deletions among them were new to the registry.

    ``dropped`` counts what is not any more as it was found, ``sourceless`` the missing files that nothing can bring
    back. ``transfers`` are the missing files by their sources. ``failure`` is what ended it before its end; ``failed``
    says in words what was not done then.
    """

    done: int = 0
    deletions: int = 0
    sourceless: int = 0
    dropped: Dropped = field(default_factory=Dropped)
    transfers: Transfers = field(default_factory=Transfers)
    failed: str = ""
    failure: Exception | None = None


class Executor(Protocol):
    """Does things to files; what it does twice is harmless."""

    def delete(self, items: Sequence[PlanItem]) -> int:
        """Have these deleted, in this order; gives how many were not asked for before.

        Raises:
            BackendError: none of them may count as done.
        """

    def transfer(self, items: Sequence[PlanItem]) -> Transfers:
        """Have these brought back; gives what their sources are. Raises as `delete`."""


@dataclass(frozen=True, slots=True)
class AskRegistry:
    """Leaves all of it to the registry of a site."""

    registry: Registry
    site: str

    def delete(self, items: Sequence[PlanItem]) -> int:
        """See `Executor`."""
        return self.registry.delete(self.site, _lfns(items))

    def transfer(self, items: Sequence[PlanItem]) -> Transfers:
        """See `Executor`."""
        return self.registry.transfer(self.site, _lfns(items))


def apply_items(
    plan: str,
    items: Sequence[PlanItem],
    state: PlanState,
    audit: AuditLog,
    executor: Executor,
    recheck: Callable[[Candidates], Rechecked],
    oversight: Oversight,
    most_uncertain: float = 1.0,
) -> Applied:
    """Do what is left of the items of the plan of that name, which ``state`` knows, in their order.

    ``recheck`` asks the store again, and may raise `Killed` and `ListingFailed`. Whatever goes wrong ends it, with what
    was done by then; so does a store that gives no certain answer about more than the part ``most_uncertain`` of what
    it is asked at a time.
    """
    work = _Work(plan, state, audit, executor, recheck, most_uncertain)
    applied = Applied()
    try:
        for batch in _batches(list(state.open_items(items))):
            heed(oversight)
            applied = work.do(batch, applied, oversight)
    except _Ended as end:
        return end.applied
    except Killed as error:
        return replace(applied, failed=_not_done(applied), failure=error)
    return applied


def _not_done(applied: Applied) -> str:
    if not applied.done:
        return NOTHING
    if not applied.transfers.requested:
        return "deletions were asked for, and no transfers"
    return f"{applied.done} of what was planned was asked for, and the rest was not"


class _Ended(Exception):
    """Nothing more is done; carries what was."""

    def __init__(self, applied: Applied) -> None:
        super().__init__(applied)
        self.applied = applied


def _batches(items: Sequence[PlanItem]) -> Iterator[Sequence[PlanItem]]:
    for cause, group in groupby(items, key=lambda item: item.cause):
        rows = list(group)
        # An empty directory may hold others that are to go before it: they are looked at together.
        size = len(rows) if cause is Cause.EMPTY else BATCH
        yield from (rows[start : start + size] for start in range(0, len(rows), size))


@dataclass(slots=True)
class _Work:
    plan: str
    state: PlanState
    audit: AuditLog
    executor: Executor
    recheck: Callable[[Candidates], Rechecked]
    most_uncertain: float

    def do(self, batch: Sequence[PlanItem], so_far: Applied, oversight: Oversight) -> Applied:
        """Do one batch; gives all that was done by now.

        Raises:
            _Ended: something went wrong.
        """
        try:
            still = self.recheck(_candidates(batch))
        except ListingFailed as error:
            raise _Ended(replace(so_far, failed=_not_done(so_far), failure=error)) from error
        applied = replace(so_far, dropped=so_far.dropped.plus(still.dropped))
        left = {*still.missing, *still.orphans, *still.empty}
        todo = [item for item in batch if item.path in left]
        try:
            self._drop([item for item in batch if item.path not in left], still)
            heed(oversight)
            self._note(ItemEvent.BEGUN, todo)
            try:
                applied = self._carry_out(todo, applied)
            except BACKEND_ERRORS as error:
                self._note(ItemEvent.FAILED, todo, [str(error)] * len(todo))
                raise
        except (*BACKEND_ERRORS, ReportError, Trouble, Killed) as error:
            raise _Ended(replace(applied, failed=_not_done(applied), failure=error)) from error
        return applied

    def _carry_out(self, todo: Sequence[PlanItem], applied: Applied) -> Applied:
        if not todo:
            return applied
        if todo[0].action is Action.DELETE:
            new = self.executor.delete(todo)
            self._note(ItemEvent.DONE, todo)
            return replace(applied, done=applied.done + len(todo), deletions=applied.deletions + new)
        found = self.executor.transfer(todo)
        requested = frozenset(map(paths.encode, found.requested))
        done = [item for item in todo if item.path in requested]
        others = [item for item in todo if item.path not in requested]
        self._note(ItemEvent.DONE, done)
        self._note(ItemEvent.DROPPED, others, ["nothing was asked for: it has no source"] * len(others))
        return replace(
            applied,
            done=applied.done + len(done),
            sourceless=applied.sourceless + len(others),
            transfers=_together(applied.transfers, found),
        )

    def _drop(self, items: Sequence[PlanItem], still: Rechecked) -> None:
        fates = [(item, still.fates.get(item.path, "")) for item in items]
        certain = [(item, _WORDS.get(fate, _NOT_MEANT)) for item, fate in fates if fate != "uncertain"]
        doubtful = [item for item, fate in fates if fate == "uncertain"]
        self._note(ItemEvent.DROPPED, [item for item, _ in certain], [words for _, words in certain])
        self._note(ItemEvent.FAILED, doubtful, [_WORDS["uncertain"]] * len(doubtful))
        asked = len(items) + len(still.missing) + len(still.orphans) + len(still.empty)
        if len(doubtful) > max(_FEW_UNCERTAIN, self.most_uncertain * asked):
            raise Trouble(
                f"the store gave no certain answer about {len(doubtful)} of {asked} asked for; look at its doors"
            )

    def _note(self, event: ItemEvent, items: Sequence[PlanItem], details: Sequence[str] = ()) -> None:
        self.audit.note(self.plan, event, items, details)
        self.state.take([item.number for item in items], event)


def _candidates(items: Sequence[PlanItem]) -> Candidates:
    return Candidates(
        [item.path for item in items if item.cause is Cause.MISSING],
        [(item.path, item.size, item.mtime) for item in items if item.cause is Cause.ORPHAN],
        [item.path for item in items if item.cause is Cause.EMPTY],
    )


def _lfns(items: Sequence[PlanItem]) -> list[str]:
    return [paths.decode(item.path) for item in items]


def _together(one: Transfers, other: Transfers) -> Transfers:
    return Transfers(
        [*one.requested, *other.requested],
        [*one.no_disk, *other.no_disk],
        [*one.unrecoverable, *other.unrecoverable],
    )
