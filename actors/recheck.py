"""The recheck actor: asks a store once more for what is about to be acted on. What it says is judged in the engine.

It is a lister of its own, since the listers of the run have gone home by then. A thread of the actor does the work.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import replace
from heapq import heappop, heappush
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from actors.messages import ListerSettings
from actors.oversight import Oversight, Progress, await_answer, heed
from actors.runtime import ActorLost, Runtime, dismiss
from actors.seated import seated
from actors.store_job import ListingFailed, spawn_for
from engine.confirm import ConfirmLimits
from engine.listing import Failed, Outcome
from engine.recheck import Candidates, Query, Recheck, Rechecked
from engine.stall import GiveUp, GoesOn, Say, StallWatch, describe, duration
from engine.work import QueueLimits
from storage.listers.factory import open_lister
from storage.listers.protocol import LONGEST_LISTED_NAME, Ask, Request

if TYPE_CHECKING:
    from actors.store_job import StoreJob

_log = logging.getLogger(__name__)

_PHASE = "asking again before acting"

_PATIENCE = 300.0
"""Seconds that the actor may take to come up, or to answer."""

_LOOK_EVERY = 0.1
"""Seconds between two looks at whether the result is there."""

_ACTORS = 2
"""How many are tried one after another, where one is lost."""


class RecheckActor:
    """Asks one store for the candidates of one run; ``young_after`` as in `engine.recheck`."""

    def __init__(
        self, settings: ListerSettings, limits: QueueLimits, candidates: Candidates, young_after: float | None
    ) -> None:
        self._work = _Work(settings, limits, candidates, young_after)
        self._result: Rechecked | None = None
        self._error: Exception | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recheck", daemon=True)
        self._thread.start()

    def result(self, patience: float = 0.0) -> Rechecked | None:
        """Wait so many seconds for the result; None when it is not there by then. Raises what went wrong."""
        self._over.wait(patience)
        if self._error is not None:
            raise self._error
        return self._result

    def answers(self) -> int:
        """Count what the store has answered so far; silence does not count."""
        return self._work.answers

    def release(self) -> None:
        """Ask no more."""
        self._work.stop()

    def _run(self) -> None:
        try:
            self._result = self._work.run()
        except Exception as error:
            # Whoever asks for the result is told.
            self._error = error
        finally:
            self._over.set()


class _Work:
    """One recheck from beginning to end."""

    def __init__(
        self, settings: ListerSettings, limits: QueueLimits, candidates: Candidates, young_after: float | None
    ) -> None:
        self._settings = settings
        self._limits = limits
        spec = settings.spec
        confirm = ConfirmLimits(LONGEST_LISTED_NAME, complete=spec.names_are_complete)
        self._recheck = Recheck(candidates, young_after, confirm)
        self._inbox: SimpleQueue[tuple[int, Outcome] | None] = SimpleQueue()
        self._stopped = False
        self._number = 0
        self.answers = 0
        # Queries with the number of tries that failed; the delayed ones by the time when they are due.
        self._ready: deque[tuple[Query, int]] = deque()
        self._delayed: list[tuple[float, int, Query, int]] = []
        self._asked: dict[int, tuple[Query, int]] = {}

    def stop(self) -> None:
        self._stopped = True
        self._inbox.put(None)

    def run(self) -> Rechecked:
        """Ask, and judge; what the store leaves unanswered is uncertain."""
        self._ready.extend((query, 0) for query in self._recheck.begin())
        lister = open_lister(self._settings.spec, lambda number, outcome: self._inbox.put((number, outcome)))
        heard = time.monotonic()
        try:
            while (self._ready or self._delayed or self._asked) and not self._stopped:
                now = time.monotonic()
                while self._delayed and self._delayed[0][0] <= now:
                    _, _, query, tries = heappop(self._delayed)
                    self._ready.append((query, tries))
                while self._ready and len(self._asked) < self._settings.in_flight:
                    self._number += 1
                    query, tries = self._asked[self._number] = self._ready.popleft()
                    lister.submit(Request(self._number, Ask.NAMES if query.name is None else Ask.STAT, query.path))
                if self._collect():
                    heard = time.monotonic()
                elif self._asked and time.monotonic() - heard > self._limits.lease_seconds:
                    _log.warning("the store left %d questions unanswered", len(self._asked))
                    return self._recheck.result()
        finally:
            lister.close()
        return self._recheck.result()

    def _collect(self) -> bool:
        """Take in what has come, waiting a moment for the first of it; gives whether anything came."""
        came = False
        try:
            item = self._inbox.get(timeout=_LOOK_EVERY)
            while True:
                if item is not None:
                    came = True
                    self._take(*item)
                item = self._inbox.get_nowait()
        except Empty:
            return came

    def _take(self, number: int, outcome: Outcome) -> None:
        query, tries = self._asked.pop(number)
        tries += 1
        self.answers += not (isinstance(outcome, Failed) and outcome.reason.is_silence)
        if isinstance(outcome, Failed) and outcome.reason.retryable and tries < self._limits.max_attempts:
            self._number += 1
            heappush(self._delayed, (time.monotonic() + self._limits.delay_after(tries), self._number, query, tries))
            return
        self._ready.extend((further, 0) for further in self._recheck.take(query, outcome))


class _Stall:
    """Says that the store does not answer, and gives up in the end."""

    def __init__(self, job: StoreJob) -> None:
        self._label = job.label
        self._watch = StallWatch(job.stall)
        self.note = ""

    def look(self, answers: int) -> None:
        """Take the answers so far.

        Raises:
            ListingFailed: there have been none for too long.
        """
        for instruction in self._watch.look(answers, True, time.monotonic()):
            match instruction:
                case GiveUp(seconds):
                    raise ListingFailed(
                        f"the store could not be asked again for what was found: {describe(seconds, ())}"
                    )
                case Say(seconds):
                    self._note(describe(seconds, ()))
                case GoesOn(seconds):
                    self._note(f"there are answers again, after {duration(seconds)}")
                case _:
                    # Its lister asks for everything by itself; there is none to be replaced.
                    continue

    def _note(self, said: str) -> None:
        self.note = said
        _log.info("%s: %s: %s", self._label, _PHASE, said)


def recheck(
    runtime: Runtime,
    job: StoreJob,
    candidates: Candidates,
    young_after: float | None,
    oversight: Oversight,
    progress: Progress,
) -> Rechecked:
    """Ask a store once more for what is about to be acted on; ``job`` says how it is asked.

    ``progress`` is that of the listing, for whoever watches.

    Raises:
        Killed: the oversight asked to stop.
        ListingFailed: the store cannot be asked, or has not answered for too long; nothing is certain then.
    """
    if not candidates:
        return Rechecked()

    def waiting(note: str) -> None:
        heed(oversight)
        oversight.watch(_PHASE, replace(progress, note=note))

    with seated(job, waiting, "the store could not be asked again for what was found"):
        left = _ACTORS
        while True:
            left -= 1
            try:
                return _ask(runtime, job, candidates, young_after, oversight, progress)
            except (ActorLost, TimeoutError, ValueError) as error:
                if not left or runtime.lost:
                    raise ListingFailed(f"the store could not be asked again for what was found: {error}") from error
                said = f"{type(error).__name__}: {error}"
                _log.warning("%s: who asks the store again is replaced: %s", job.label, said)


def _ask(
    runtime: Runtime,
    job: StoreJob,
    candidates: Candidates,
    young_after: float | None,
    oversight: Oversight,
    progress: Progress,
) -> Rechecked:
    """Have one actor ask, from the beginning."""
    asks = (job.settings, job.plan.limits, candidates, young_after)
    actor = spawn_for(runtime, job, f"recheck:{job.label}", RecheckActor, *asks)
    stall = _Stall(job)
    try:
        while True:
            heed(oversight)
            oversight.watch(_PHASE, replace(progress, note=stall.note))
            result: Rechecked | None = await_answer(actor.ask("result", _LOOK_EVERY), _PATIENCE, oversight)
            if result is not None:
                return result
            stall.look(await_answer(actor.ask("answers"), _PATIENCE, oversight))
    finally:
        dismiss(actor)
