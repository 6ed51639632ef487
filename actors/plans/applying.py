"""Doing what a plan says: each item is asked for once more, noted, done, and noted again.

Whatever ends the program in between leaves the log with what was begun: whoever goes on asks the store again, and does
what is still to be done. Nothing is done twice, and nothing is forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING

from actors.listing import ListingFailed
from actors.oversight import Killed, Oversight, heed
from engine import paths
from engine.plan import DONE, Cause, ItemEvent, PlanItem, PlanState
from engine.quarantine import Fate, Settled
from engine.recheck import Candidates, Dropped, Rechecked
from storage.atomic import ReportError
from storage.backends.protocols import BackendError, Transfers
from storage.config.files import ConfigError
from storage.inventory import InventoryError

if TYPE_CHECKING:
    from actors.plans.executors import Deleted, Executor
    from storage.plans.audit import AuditLog
    from storage.plans.plan_file import Plan

_log = logging.getLogger(__name__)

BACKEND_ERRORS = (BackendError, ConfigError, InventoryError)
"""What a backend may raise; one that looks into a file of the inventory may find it changed, or gone."""

NOTHING = "nothing was asked for"

BATCH = 1000
"""Items that are asked for again at a time."""

_NOT_MEANT = "inventory or settings say otherwise now"
_NOT_MEANT_SINCE = f"it was begun before, and may have been done: {_NOT_MEANT}"

_WORDS = {
    "back": "it is there",
    "gone": "it is gone",
    "changed": "it has changed since the listing",
    "young": "it is too young by now",
    "filled": "it is not empty",
    "uncertain": "the store gave no certain answer",
}


_WANTED = "it was put aside before, and is wanted by now; plan undo brings it back"
_UNSEEN = "it may have been put aside before, which cannot be seen now"
_SOURCELESS = "nothing was asked for: no other copy of it is known"
_REFUSED = "the registry did not take it"

_FEW, _MOST_UNCERTAIN, _MOST_CHANGED = 5, 0.1, 0.5
"""With more than so many items, and more than that part of what the store is asked for at a time, without a certain
answer, or gone or changed, nothing more is done."""

_AS_WANTED = ("gone", "back")
"""What becomes of an item that was done."""

_AS_CHANGED = (*_AS_WANTED, "changed", "filled")
"""What looks as if somebody had been at the store; there may be something new in the place of what was put aside."""


_EVENTS = {Fate.DONE: ItemEvent.DONE, Fate.DROPPED: ItemEvent.DROPPED, Fate.FAILED: ItemEvent.FAILED}
"""How the fates of items are noted; of one in doubt there is nothing to note."""


class Trouble(Exception):
    """So much went wrong that nothing more is done; the message says what."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of items: how many are ``done``, how many deletions among them were new to the registry.

    ``dropped`` counts what is not any more as it was found, ``left_since`` what inventory or settings do not mean any
    more, ``begun_before`` those of the latter that a process that died had begun with, and ``sourceless`` the missing
    files that nothing can bring back. ``transfers`` are the missing files by their sources. ``failure`` is what ended
    it before its end; ``failed`` says in words what was not done then. ``stays`` has what was tried in vain, by path,
    and why.
    """

    left_since: int = 0
    begun_before: int = 0
    done: int = 0
    deletions: int = 0
    sourceless: int = 0
    dropped: Dropped = field(default_factory=Dropped)
    transfers: Transfers = field(default_factory=Transfers)
    failed: str = ""
    failure: Exception | None = None
    stays: tuple[tuple[bytes, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Doubts:
    """Who is asked again before anything is done.

    ``meant`` is asked once for all items, and gives those that inventory and settings still mean; ``store`` is asked
    for some at a time. Both may raise `Killed` and `ListingFailed`.
    """

    meant: Callable[[Candidates], Candidates]
    store: Callable[[Candidates], Rechecked]


def apply_items(
    plan: str,
    items: Sequence[PlanItem],
    state: PlanState,
    audit: AuditLog,
    executor: Executor,
    doubts: Doubts,
    oversight: Oversight,
    going: Sequence[bytes] = (),
) -> Applied:
    """Do what is left of the items of the plan of that name, which ``state`` knows, in their order.

    ``going`` are the empty directories that the plan has asked to go before. Whatever goes wrong ends it, with what was
    done by then; so does a store of which too much is not as it was found, or that gives no certain answers.
    """
    work = _Work(plan, state, audit, executor, doubts, list(going))
    todo = list(state.open_items(items))
    try:
        heed(oversight)
        for batch in _batches(work.still_meant(todo)):
            heed(oversight)
            work.do(batch, oversight)
    except (*BACKEND_ERRORS, ReportError, ListingFailed, Trouble, Killed) as error:
        return replace(work.applied, failed=work.not_done(len(todo)), failure=error)
    return work.applied


@dataclass(frozen=True, slots=True)
class EndedBefore:
    """What a plan has asked for before: missing files, as LFNs, and empty directories."""

    missing: list[str]
    directories: list[bytes]


def ended_before(plan: Plan, state: PlanState) -> EndedBefore:
    """Find what of a plan is done already, or could not be."""
    ended = [item for item in plan.items if not state.is_open(item.number)]
    return EndedBefore(
        [paths.decode(item.path) for item in ended if item.cause is Cause.MISSING],
        [item.path for item in ended if item.cause is Cause.EMPTY and state.last(item.number) in DONE],
    )


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
    doubts: Doubts
    going: list[bytes]
    applied: Applied = field(default_factory=Applied)
    _begun: int = 0
    _transfers: bool = False
    _tried: int = 0
    _failed: int = 0
    _doubtful: int = 0

    def not_done(self, total: int) -> str:
        """Say in words what of so many items was not done."""
        done = self.applied.done
        if unknown := self._begun + self._doubtful:
            return f"{done:,} of {total:,} were asked for, and {unknown:,} more may have been"
        if not done:
            return NOTHING
        if self._transfers and not self.applied.transfers.requested:
            return "deletions were asked for, and no transfers"
        return f"{done:,} of {total:,} were asked for"

    def still_meant(self, items: Sequence[PlanItem]) -> Sequence[PlanItem]:
        """Give what inventory and settings still mean; the rest is noted as left alone."""
        if not items:
            return items
        meant = self.doubts.meant(_candidates(items))
        left = {*meant.missing, *meant.empty, *(path for path, _, _ in meant.orphans)}
        others = [item for item in items if item.path not in left]
        # What a process that died has put aside, somebody may miss.
        aside = self.executor.lie_aside([item for item in others if self._is_in_doubt(item)])
        dropped = [item for item in others if aside.get(item.number, False) is False]
        begun = [item for item in dropped if self._is_in_doubt(item)]
        words = [_NOT_MEANT_SINCE if self._is_in_doubt(item) else _NOT_MEANT for item in dropped]
        self._note(ItemEvent.DROPPED, dropped, words)
        put = [item for item in others if aside.get(item.number)]
        self._note_aside(put, [_NOT_MEANT] * len(put))
        doubtful = [item for item in others if aside.get(item.number, False) is not False]
        stays = [(item.path, _WANTED if aside[item.number] else _UNSEEN) for item in doubtful]
        stays = [*self.applied.stays, *stays]
        self.applied = replace(self.applied, left_since=len(others), begun_before=len(begun), stays=tuple(stays))
        return [item for item in items if item.path in left]

    def do(self, batch: Sequence[PlanItem], oversight: Oversight) -> None:
        """Do one batch.

        Raises:
            BackendError, ReportError, ListingFailed, Trouble, Killed: something went wrong.
        """
        still = self.doubts.store(_candidates(batch, self.going))
        left = {*still.missing, *still.orphans, *still.empty}
        self.applied = replace(self.applied, dropped=self.applied.dropped.plus(still.dropped))
        others = [item for item in batch if item.path not in left]
        before = self._done_before(others, still)
        settled = sum(still.fates.get(item.path) in _AS_CHANGED for item in others if before[item.number] is not False)
        _look_for_trouble(still.dropped, settled, len(batch))
        self._leave(others, still, before)
        todo, size = [item for item in batch if item.path in left], self.executor.at_once
        for start in range(0, len(todo), size):
            heed(oversight)
            self._carry_out(todo[start : start + size])
        heed(oversight)

    def _carry_out(self, todo: Sequence[PlanItem]) -> None:
        doubted = frozenset(item.number for item in todo if self._is_in_doubt(item))
        self._note(ItemEvent.BEGUN, todo, asides=self.executor.asides(todo))
        self._begun = len(todo)
        self._transfers = not todo[0].action.removes
        try:
            if self._transfers:
                found = self.executor.transfer(todo)
                requested = frozenset(map(paths.encode, found.requested))
            else:
                deleted = self.executor.delete(todo)
        except BACKEND_ERRORS as error:
            self._begun = 0
            self._note(ItemEvent.FAILED, todo, [str(error)] * len(todo))
            raise
        if self._transfers:
            self._transferred(todo, found, requested)
            self._begun = 0
        else:
            self._deleted(todo, deleted, doubted)

    def _deleted(self, todo: Sequence[PlanItem], deleted: Deleted, doubted: Collection[int]) -> None:
        """Note what became of what was to go; what nobody knows stays as it was begun.

        So does what could not be done of what was ``doubted`` before: it may have been done then.

        Raises:
            Trouble: too much could not be done.
        """
        fates = deleted.fates
        if fates is None:
            fates = {item.number: Settled(Fate.DONE) for item in todo}
        by_fate: dict[Fate, list[PlanItem]] = {}
        for item in todo:
            fate = fates[item.number].fate if item.number in fates else Fate.DOUBTFUL
            fate = Fate.DOUBTFUL if fate is Fate.FAILED and item.number in doubted else fate
            by_fate.setdefault(fate, []).append(item)
        for fate, event in _EVENTS.items():
            rows = by_fate.get(fate, [])
            words = [fates[item.number].said for item in rows]
            asides = self.executor.asides(rows) if rows and event is ItemEvent.DONE else ()
            # With where it lies: that it was begun may stand nowhere any more.
            self._note(event, rows, words, asides)
        done, dropped = by_fate.get(Fate.DONE, []), by_fate.get(Fate.DROPPED, [])
        self.going += [item.path for item in done if item.cause is Cause.EMPTY]
        tried = [*by_fate.get(Fate.FAILED, []), *by_fate.get(Fate.DOUBTFUL, [])]
        stays = [(item.path, fates[item.number].said) for item in tried if item.number in fates]
        applied = self.applied
        self.applied = replace(
            applied,
            done=applied.done + len(done),
            deletions=applied.deletions + deleted.new,
            dropped=applied.dropped.plus(Dropped(changed=len(dropped))),
            stays=(*applied.stays, *stays),
        )
        self._begun = 0
        self._doubtful += len(by_fate.get(Fate.DOUBTFUL, []))
        self._tried += len(todo)
        failed = [settled for settled in fates.values() if settled.fate in (Fate.FAILED, Fate.DOUBTFUL)]
        self._failed += len(failed)
        # Where several failed the rest of them was not begun with.
        is_ended = len(fates) < len(todo) and len(failed) > _FEW
        if is_ended or self._failed > max(_FEW, _MOST_UNCERTAIN * self._tried):
            said = failed[-1].said if failed else ""
            raise Trouble(f"{self._failed:,} of {self._tried:,} could not be done, the last one: {said}")

    def _transferred(self, todo: Sequence[PlanItem], found: Transfers, requested: frozenset[bytes]) -> None:
        done = [item for item in todo if item.path in requested]
        others = [item for item in todo if item.path not in requested]
        refused = frozenset(map(paths.encode, found.refused))
        self._note(ItemEvent.DONE, done)
        left = [item for item in others if item.path in refused]
        self._note(ItemEvent.DROPPED, left, [_REFUSED] * len(left))
        waiting = [item for item in others if item.path not in refused]
        self._note(ItemEvent.SOURCELESS, waiting, [_SOURCELESS] * len(waiting))
        applied = self.applied
        self.applied = replace(
            applied,
            done=applied.done + len(done),
            sourceless=applied.sourceless + len(waiting),
            transfers=together(applied.transfers, found),
        )

    def _done_before(self, items: Sequence[PlanItem], still: Rechecked) -> Mapping[int, bool | None]:
        """Say of what is not as it was found whether a process that died has done it; None where nobody can tell.

        What is put aside lies in the quarantine then, also where the log has lost its end, and so that it was begun.
        """
        fates = {item.number: still.fates.get(item.path, "uncertain") for item in items}
        doubted = {item.number for item in items if self._is_in_doubt(item)}
        wanted = [item for item in items if item.number in doubted or fates[item.number] == "gone"]
        aside = self.executor.lie_aside([item for item in wanted if fates[item.number] != "uncertain"])
        found: dict[int, bool | None] = {}
        for number, fate in fates.items():
            found[number] = aside.get(number, number in doubted and fate in _AS_WANTED)
            if fate == "uncertain" and number in doubted:
                found[number] = None
        return found

    def _leave(self, items: Sequence[PlanItem], still: Rechecked, before: Mapping[int, bool | None]) -> None:
        """Note why these are left alone, or that they were done ``before``; what is in doubt stays so."""
        events: dict[ItemEvent, list[tuple[PlanItem, str]]] = {}
        for item in items:
            fate = still.fates.get(item.path, "uncertain")
            event, said = ItemEvent.DROPPED, _WORDS.get(fate, fate)
            if before[item.number]:
                event, said = ItemEvent.DONE, f"it was begun before, and {said} now"
            elif fate == "uncertain":
                event = ItemEvent.FAILED
            if before[item.number] is not None:
                events.setdefault(event, []).append((item, said))
        for event, rows in events.items():
            named, words = [item for item, _ in rows], [said for _, said in rows]
            if event is ItemEvent.DONE:
                self._note_aside(named, words)
            else:
                self._note(event, named, words)

    def _note_aside(self, items: Sequence[PlanItem], details: Sequence[str]) -> None:
        """Note what was done, with where it lies: that it was begun may stand nowhere any more."""
        self._note(ItemEvent.DONE, items, details, self.executor.asides(items) if items else ())

    def _is_in_doubt(self, item: PlanItem) -> bool:
        return self.state.is_in_doubt(item.number)

    def _note(
        self,
        event: ItemEvent,
        items: Sequence[PlanItem],
        details: Sequence[str] = (),
        asides: Sequence[bytes] = (),
    ) -> None:
        self.audit.note(self.plan, event, items, details, asides)
        self.state.take([item.number for item in items], event)


def _look_for_trouble(dropped: Dropped, settled: int, asked: int) -> None:
    """See whether a store looks as if something had befallen it; ``settled`` items are as a dead process left them.

    Raises:
        Trouble: nothing more should be done; nothing is noted of what it said.
    """
    if dropped.uncertain > max(_FEW, _MOST_UNCERTAIN * asked):
        raise Trouble(f"the store gave no certain answer about {dropped.uncertain:,} of {asked:,}; look at its doors")
    other = dropped.gone + dropped.changed + dropped.filled - settled
    if other > max(_FEW, _MOST_CHANGED * asked):
        raise Trouble(
            f"{other:,} of {asked:,} are gone or have changed since the listing; look at the store, or have a check "
            "judge it anew"
        )


def _candidates(items: Sequence[PlanItem], going: Sequence[bytes] = ()) -> Candidates:
    return Candidates(
        [item.path for item in items if item.cause is Cause.MISSING],
        [(item.path, item.size, item.mtime) for item in items if item.cause is Cause.ORPHAN],
        [item.path for item in items if item.cause is Cause.EMPTY],
        going,
    )


def together(one: Transfers, other: Transfers) -> Transfers:
    """Put two answers together."""
    return Transfers(
        [*one.requested, *other.requested],
        [*one.no_disk, *other.no_disk],
        [*one.unrecoverable, *other.unrecoverable],
        [*one.refused, *other.refused],
    )
