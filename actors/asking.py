"""An actor that asks a store some questions of one kind, when the listers of the run have gone home.

What is asked, and what the answers come to, is decided by a state machine of the engine; here it is asked as the
listers ask: with the same doors, seats, patience and placement. A thread of the actor does the work.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from actors.messages import ListerSettings
from actors.oversight import Oversight, Progress, await_answer, heed
from actors.runtime import ActorLost, ActorRef, Runtime, dismiss
from actors.seated import seated
from actors.store_job import ListingFailed, spawn_for
from engine.listing import Failed, Outcome
from engine.stall import GiveUp, GoesOn, Say, StallWatch, describe, duration
from engine.work import QueueLimits
from storage.listers.factory import open_lister
from storage.listers.protocol import Request

if TYPE_CHECKING:
    from actors.store_job import StoreJob

_log = logging.getLogger(__name__)

_PATIENCE = 300.0
"""Seconds that the actor may take to come up, or to answer."""

_LOOK_EVERY = 0.1
"""Seconds between two looks at whether the result is there."""

_ACTORS = 2
"""How many are tried one after another, where one is lost."""


class Questions(Protocol):
    """Decides what is asked: a state machine that pickles before it is begun."""

    def begin(self) -> Iterable[Any]:
        """Give the first questions."""

    def take(self, query: Any, outcome: Outcome, /) -> Iterable[Any]:
        """Take an answer; gives further questions."""

    def result(self) -> Any:
        """Give what the answers came to; what was not answered is uncertain."""


AsRequest = Callable[[int, Any], Request]
"""Puts a question into a request of a number; a function of a module, since it travels."""


class AskingActor:
    """Asks one store what ``questions`` want to know."""

    def __init__(
        self, settings: ListerSettings, limits: QueueLimits, questions: Questions, as_request: AsRequest
    ) -> None:
        self._work = _Work(settings, limits, questions, as_request)
        self._result: Any = None
        self._error: Exception | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="asking", daemon=True)
        self._thread.start()

    def result(self, patience: float = 0.0) -> Any:
        """Wait so many seconds for the result; None when it is not there by then. Raises what went wrong."""
        self._over.wait(patience)
        if self._error is not None:
            raise self._error
        return self._result

    def answers(self) -> int:
        """Count what the store has answered so far; silence does not count."""
        return self._work.answers

    def release(self) -> None:
        """Ask no more; the result is then what there is."""
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
    """Asks from beginning to end."""

    def __init__(
        self, settings: ListerSettings, limits: QueueLimits, questions: Questions, as_request: AsRequest
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._questions = questions
        self._as_request = as_request
        self._inbox: SimpleQueue[tuple[int, Outcome] | None] = SimpleQueue()
        self._stopped = False
        self._number = 0
        self.answers = 0
        # Queries with the number of tries that failed; the delayed ones by the time when they are due.
        self._ready: deque[tuple[Any, int]] = deque()
        self._delayed: list[tuple[float, int, Any, int]] = []
        self._asked: dict[int, tuple[Any, int]] = {}

    def stop(self) -> None:
        self._stopped = True
        self._inbox.put(None)

    def run(self) -> Any:
        """Ask, and judge; what the store leaves unanswered is uncertain."""
        self._ready.extend((query, 0) for query in self._questions.begin())
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
                    lister.submit(self._as_request(self._number, query))
                if self._collect():
                    heard = time.monotonic()
                elif self._asked and time.monotonic() - heard > self._limits.lease_seconds:
                    _log.warning("the store left %d questions unanswered", len(self._asked))
                    return self._questions.result()
        finally:
            lister.close()
        return self._questions.result()

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
        self._ready.extend((further, 0) for further in self._questions.take(query, outcome))


@dataclass(frozen=True, slots=True)
class Errand:
    """Questions to a store: a ``name`` and the class for the actor, the ``phase`` for whoever watches, and what it
    means, in words, when they ``failed``. ``make`` makes the state machine, each time that it is begun.

    ``look`` is called with the actor while there is no result yet, and says whether what there is should do.
    """

    name: str
    actor: type[AskingActor]
    phase: str
    failed: str
    make: Callable[[], Questions]
    as_request: AsRequest
    look: Callable[[ActorRef], bool] = lambda _actor: False


class _Stall:
    """Says that the store does not answer, and gives up in the end."""

    def __init__(self, job: StoreJob, errand: Errand) -> None:
        self._label = job.label
        self._errand = errand
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
                    raise ListingFailed(f"{self._errand.failed}: {describe(seconds, ())}")
                case Say(seconds):
                    self._note(describe(seconds, ()))
                case GoesOn(seconds):
                    self._note(f"there are answers again, after {duration(seconds)}")
                case _:
                    # Its lister asks for everything by itself; there is none to be replaced.
                    continue

    def _note(self, said: str) -> None:
        self.note = said
        _log.info("%s: %s: %s", self._label, self._errand.phase, said)


def ask_store(runtime: Runtime, job: StoreJob, errand: Errand, oversight: Oversight, progress: Progress) -> Any:
    """Ask a store; ``job`` says how. Gives what the state machine makes of the answers.

    ``progress`` is that of the listing, for whoever watches.

    Raises:
        Killed: the oversight asked to stop.
        ListingFailed: the store cannot be asked, or has not answered for too long; nothing is certain then.
    """

    def waiting(note: str) -> None:
        heed(oversight)
        oversight.watch(errand.phase, replace(progress, note=note))

    with seated(job, waiting, errand.failed):
        left = _ACTORS
        while True:
            left -= 1
            try:
                return _ask(runtime, job, errand, oversight, progress)
            except (ActorLost, TimeoutError, ValueError) as error:
                if not left or runtime.lost:
                    raise ListingFailed(f"{errand.failed}: {error}") from error
                said = f"{type(error).__name__}: {error}"
                _log.warning("%s: %s: who asks the store is replaced: %s", job.label, errand.phase, said)


def _ask(runtime: Runtime, job: StoreJob, errand: Errand, oversight: Oversight, progress: Progress) -> Any:
    """Have one actor ask, from the beginning."""
    asks = (job.settings, job.plan.limits, errand.make(), errand.as_request)
    actor = spawn_for(runtime, job, f"{errand.name}:{job.label}", errand.actor, *asks)
    stall = _Stall(job, errand)
    is_enough = False
    try:
        while True:
            heed(oversight)
            oversight.watch(errand.phase, replace(progress, note=stall.note))
            result = await_answer(actor.ask("result", _LOOK_EVERY), _PATIENCE, oversight)
            if result is not None:
                return result
            stall.look(await_answer(actor.ask("answers"), _PATIENCE, oversight))
            if not is_enough and errand.look(actor):
                is_enough = True
                await_answer(actor.ask("release"), _PATIENCE, oversight)
    finally:
        dismiss(actor)
