"""The removal actor: takes things away from a store, brings them back, and deletes what was put aside, some at a time.

It is where the store can be reached from, as listers are. What it has begun it brings to an end, also when nobody wants
more of it; what became of an order that nobody hears of shows when the store is asked.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from actors.oversight import Killed, Oversight, Progress, await_answer, heed
from actors.runtime import ActorLost, ActorRef, Answer, Runtime, dismiss
from actors.seated import seated
from actors.store_job import ListingFailed, spawn_for
from engine.quarantine import Fate, Order, Settled
from storage.removers.keeper import Keeper

if TYPE_CHECKING:
    from actors.store_job import StoreJob
    from storage.listers.protocol import StoreSpec

_log = logging.getLogger(__name__)

_PHASE = "acting at the store"
_FAILS = "nothing can be changed at the store"

_PATIENCE = 300.0
"""Seconds that the actor may take to come up, or to answer."""

_LOOK_EVERY = 0.1
"""Seconds between two looks at whether all is done."""

_LAST_SECONDS = 2.0
"""Seconds in which what is under way may end before the store is let go of."""

_LAST_MOMENTS = 20.0
"""Seconds in which what is under way is waited for when somebody has asked to stop."""

_MOST_FAILED = 6
"""So many orders of those that are begun with together may fail before the rest is left alone."""

_MOST_THREADS = 16


class Task(StrEnum):
    """What is done with orders; each is a method of `storage.removers.keeper.Keeper`."""

    PUT_ASIDE = "put_aside"
    TAKE_AWAY = "take_away"
    BRING_BACK = "bring_back"
    PURGE = "purge"


class RemovalActor:
    """Changes one store, with so many threads."""

    def __init__(self, spec: StoreSpec, threads: int) -> None:
        self._keeper = Keeper(spec)
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="removal")
        self._lock = threading.Lock()
        self._fates: dict[int, Settled] = {}
        self._left = self._failed = 0
        self._stopped = False
        self._idle = threading.Event()
        self._idle.set()

    def begin(self, task: Task, orders: Sequence[Order]) -> None:
        """Begin with some orders; those before are over."""
        carry_out: Callable[[Order], Settled] = getattr(self._keeper, task.value)
        with self._lock:
            self._fates, self._left, self._failed = {}, len(orders), 0
            self._idle.clear() if orders else self._idle.set()
        self._keeper.begin()
        for order in orders:
            self._pool.submit(self._carry_out, carry_out, order)

    def result(self, patience: float = 0.0) -> dict[int, Settled] | None:
        """Wait so many seconds for the fates by number; None when not all are there by then."""
        self._idle.wait(patience)
        with self._lock:
            return dict(self._fates) if not self._left else None

    def so_far(self) -> dict[int, Settled]:
        """Give the fates that there are."""
        with self._lock:
            return dict(self._fates)

    def were_put(self, orders: Sequence[Order]) -> dict[int, bool | None]:
        """Tell which lie in the quarantine; None where nobody can tell."""
        found = self._pool.map(self._keeper.was_put, orders)
        return dict(zip((order.number for order in orders), found, strict=True))

    def tidy(self, directories: Sequence[bytes]) -> None:
        """Delete directories of the quarantine that are empty, in this order."""
        for directory in directories:
            self._keeper.tidy(directory)

    def stop(self) -> None:
        """Begin no further orders; those under way come to their end."""
        self._stopped = True

    def release(self) -> None:
        """Let go of the store, where nothing is under way after a moment."""
        self.stop()
        self._idle.wait(_LAST_SECONDS)
        self._keeper.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _carry_out(self, carry_out: Callable[[Order], Settled], order: Order) -> None:
        # An order that is not begun any more has no fate.
        is_wanted = not self._stopped and self._failed <= _MOST_FAILED
        settled = self._tried(carry_out, order) if is_wanted else None
        with self._lock:
            if settled is not None:
                self._fates[order.number] = settled
                self._failed += settled.fate in (Fate.FAILED, Fate.DOUBTFUL)
            self._left -= 1
            if not self._left:
                self._idle.set()

    def _tried(self, carry_out: Callable[[Order], Settled], order: Order) -> Settled:
        try:
            return carry_out(order)
        except Exception as error:
            _log.exception("an order could not be carried out")
            return Settled(Fate.DOUBTFUL, f"{type(error).__name__}: {error}")


class StoreHand:
    """Has things done at a store, by an actor that is started when the first one is wanted. A context manager.

    Where runs share seats it has one, from the first thing to the end.

    Raises:
        Killed: by its methods, before anything was begun.
        ListingFailed: by its methods; what became of orders that were begun is not known then.
    """

    def __init__(self, runtime: Runtime, job: StoreJob, oversight: Oversight) -> None:
        self._runtime = runtime
        self._job = job
        self._oversight = oversight
        self._held = ExitStack()
        self._actor: ActorRef | None = None

    def __enter__(self) -> StoreHand:
        return self

    def __exit__(self, *_error: object) -> None:
        self._held.close()
        self._actor = None

    def carry_out(self, task: Task, orders: Sequence[Order]) -> dict[int, Settled]:
        """Have orders carried out; gives their fates by number. One that was not begun has none.

        Where somebody asks to stop meanwhile, what is under way is waited for, and no more is begun: heed it after.
        """
        actor = self._hired()
        try:
            try:
                self._answer(actor.ask("begin", task, list(orders)))
                while True:
                    self._watch()
                    found: dict[int, Settled] | None = self._answer(actor.ask("result", _LOOK_EVERY))
                    if found is not None:
                        return found
            except Killed:
                return self._last(actor)
        except ValueError as error:
            # It never came up.
            raise ListingFailed(f"{_FAILS}: {error}") from error
        except (ActorLost, TimeoutError) as error:
            raise ListingFailed(f"{_FAILS}, and what was begun may have been done: {error}") from error

    def were_put(self, orders: Sequence[Order]) -> dict[int, bool | None]:
        """Tell which orders lie in the quarantine, by number; None where nobody can tell."""
        found: dict[int, bool | None] = self._asked("were_put", list(orders))
        return found

    def tidy(self, directories: Sequence[bytes]) -> None:
        """Delete directories of the quarantine that are empty, in this order."""
        self._asked("tidy", list(directories))

    def _asked(self, method: str, argument: object) -> Any:
        try:
            return self._answer(self._hired().ask(method, argument))
        except (ActorLost, TimeoutError, ValueError) as error:
            raise ListingFailed(f"{_FAILS}: {error}") from error

    def _answer(self, answer: Answer) -> Any:
        return await_answer(answer, _PATIENCE, self._oversight)

    def _last(self, actor: ActorRef) -> dict[int, Settled]:
        actor.ask("stop").result(_PATIENCE)
        found: dict[int, Settled] | None = actor.ask("result", _LAST_MOMENTS).result(_PATIENCE)
        if found is None:
            found = actor.ask("so_far").result(_PATIENCE)
        return found or {}

    def _watch(self, note: str = "") -> None:
        heed(self._oversight)
        self._oversight.watch(_PHASE, Progress(note=note))

    def _hired(self) -> ActorRef:
        if self._actor is None:
            job, spec = self._job, self._job.settings.spec
            self._held.enter_context(seated(job, self._watch, _FAILS))
            threads = max(1, min(_MOST_THREADS, spec.connections))
            try:
                self._actor = spawn_for(self._runtime, job, f"removal:{job.label}", RemovalActor, spec, threads)
            except (ActorLost, TimeoutError, ValueError) as error:
                raise ListingFailed(f"{_FAILS}: {error}") from error
            self._held.callback(dismiss, self._actor)
        return self._actor
