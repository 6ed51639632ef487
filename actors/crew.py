"""The listers of one listing: how many there are, who is replaced, and who goes because others are in need.

Processes that start take the processors from those that work already, so all begin together. A lister that died, gave
up or does not answer is replaced, up to a number of times. One that is one too many has a moment to finish what it has
in hand; the rest goes to others.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from actors.lister import RETIRED, ListerActor
from actors.runtime import ActorRef, Answer, NodeUnfit, Runtime
from actors.store_job import ListingFailed, StoreJob, spawn_for
from storage.sites.seats import SeatBook

_log = logging.getLogger(__name__)

_START_PATIENCE = 120.0
"""Seconds that a lister may take to come up; on a cluster a process has to be started for it."""

_MUSTER_SECONDS = 15.0
"""Seconds to wait for the last lister before the others begin without it."""

_PATIENCE = 60.0
"""Seconds that the coordinator may take for one message."""

_LISTER_PATIENCE = 30.0
"""Seconds after which a lister that does not say whether it works is taken for lost."""

_LOOK_EVERY = 1.0
"""Seconds between two looks at the listers."""

_LEAVE_SECONDS = 5.0
"""Seconds that a lister that is one too many has to finish; a slow door may need minutes for what it was asked."""


@dataclass(slots=True)
class _Employed:
    """A lister, and the question after its trouble that is under way: since when, and how long it may take.

    One that is ``up`` has answered such a question; one that is ``retiring`` was told to take no more, and goes at
    ``leaves_at`` in any case.
    """

    ref: ActorRef
    question: Answer
    asked_at: float
    patience: float = _START_PATIENCE
    up: bool = False
    retiring: bool = False
    leaves_at: float = math.inf


class Crew:
    """The listers that work for one coordinator.

    ``has_answered`` says whether the store has answered anything so far, ``hired`` how many had a name before these.
    """

    def __init__(
        self,
        runtime: Runtime,
        job: StoreJob,
        coordinator: ActorRef,
        has_answered: Callable[[], bool],
        hired: int = 0,
    ) -> None:
        self._runtime = runtime
        self._job = job
        self._coordinator = coordinator
        self._has_answered = has_answered
        self.hired = hired
        self._listers: list[_Employed] = []
        self._wanted = max(1, job.listers)
        self._dismissed = 0
        self._looked_at = 0.0
        self._seats = None if job.seats is None else SeatBook(job.seats, job.label)
        self._seat_note = ""
        self._place_note = ""

    @property
    def refs(self) -> list[ActorRef]:
        """The listers that work now."""
        return [lister.ref for lister in self._listers]

    @property
    def asks(self) -> bool:
        """Whether there is any lister that asks, or is about to; those that wait for a place do not."""
        return bool(self._listers) and (not self._place_note or any(lister.up for lister in self._listers))

    @property
    def note(self) -> str:
        """What listers are waited for, in one line; empty when none is."""
        return self._seat_note or self._place_note

    def begin(self, heed: Callable[[], None]) -> None:
        """Hire as many as there may be, wait for them a little, and have them begin.

        Raises:
            SeatError: listers cannot be shared with other runs.
            NodeUnfit: a node has another program.
        """
        for _ in range(self._allowed()):
            self._hire()
        patience = time.monotonic() + _MUSTER_SECONDS
        while time.monotonic() < patience and not all(lister.question.done() for lister in self._listers):
            heed()
            time.sleep(0.005)
        for lister in self._listers:
            if lister.question.done():
                # One that cannot be where it was to be ends the listing before it has begun.
                self._trouble_of(lister, time.monotonic())
            lister.ref.ask("start")

    def end(self) -> None:
        """End all at once, and give their seats back."""
        for lister in self._listers:
            lister.ref.kill()
        if self._seats is not None:
            self._seats.leave()

    def look_after(self) -> None:
        """Replace those that died, gave up or do not answer, whose work goes back at once; have as many as may be.

        Raises:
            ListingFailed: there is none any more, and none to replace them.
            NodeUnfit: one went to a node whose program is another one.
        """
        now = time.monotonic()
        if now - self._looked_at < _LOOK_EVERY:
            return
        self._looked_at = now
        last = ""
        for lister in list(self._listers):
            trouble = self._trouble_of(lister, now)
            if trouble == RETIRED or (not trouble and now > lister.leaves_at):
                self._part_with(lister, "lister_left")
            elif trouble:
                last = trouble
                self._dismiss(lister, trouble)
        if all(lister.up for lister in self._listers):
            self._place_note = ""
        self._share_seats()
        if not self._listers and not self._may_replace:
            said = f"; the last one: {last}" if last else ""
            raise ListingFailed(f"all listers of {self._job.label} are lost{said}")

    def replace_stuck(self, names: set[str]) -> None:
        """Put new listers into the place of some; a number of them is kept back for those that die."""
        for lister in list(self._listers):
            if lister.ref.name in names and self._dismissed < self._wanted + 4:
                self._dismiss(lister, "it waits for answers and gets none")

    def _hire(self) -> None:
        self.hired += 1
        name = f"lister:{self._job.label}:{self.hired}"
        spec = replace(self._job.settings.spec, has_answered=self._has_answered())
        settings = replace(self._job.settings, spec=spec)
        lister = spawn_for(self._runtime, self._job, name, ListerActor, name, settings, self._coordinator)
        self._listers.append(_Employed(lister, lister.ask("trouble"), time.monotonic()))

    def _hire_another(self) -> None:
        self._hire()
        self._listers[-1].ref.ask("start")

    def _trouble_of(self, lister: _Employed, now: float) -> str:
        if not lister.question.done():
            if now - lister.asked_at <= lister.patience:
                return ""
            why = self._why_no_place(lister)
            if why:
                # Another one would have no place either.
                lister.asked_at = now
                self._say_place(f"{lister.ref.name} waits for a place: {why}")
            return "" if why else "it does not answer"
        try:
            trouble = str(lister.question.result(0))
        except NodeUnfit:
            # The next one might go there as well, and the one after it.
            raise
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        lister.up = True
        lister.question, lister.asked_at, lister.patience = lister.ref.ask("trouble"), now, _LISTER_PATIENCE
        return trouble

    def _why_no_place(self, lister: _Employed) -> str:
        """Say why a lister that never answered was not started yet; empty when it should have been."""
        if lister.up or self._job.settings.spec.is_of_this_machine:
            return ""
        return self._runtime.why_wait(self._job.placement)

    def _say_place(self, note: str) -> None:
        if note != self._place_note:
            _log.info("%s: %s", self._job.label, note)
        self._place_note = note

    def _dismiss(self, lister: _Employed, trouble: str) -> None:
        _log.warning("%s is %s: %s", lister.ref.name, "gone" if lister.retiring else "replaced", trouble)
        self._part_with(lister, "lister_lost")
        self._dismissed += 1
        if self._may_replace and not lister.retiring:
            self._hire_another()

    @property
    def _may_replace(self) -> bool:
        return self._dismissed <= 3 * self._wanted + 4

    def _part_with(self, lister: _Employed, how: str) -> None:
        self._listers.remove(lister)
        lister.ref.kill()
        self._coordinator.ask(how, lister.ref.name).result(_PATIENCE)

    def _allowed(self) -> int:
        """Give how many listers there may be now."""
        if self._seats is None:
            return self._wanted
        wanted = self._wanted if self._may_replace else len(self._listers)
        allowed = self._seats.ask(wanted, len(self._listers))
        note = "" if allowed or self._listers else self._seats.waiting
        if note and not self._seat_note:
            _log.info("%s: %s", self._job.label, note)
        self._seat_note = note
        return allowed

    def _share_seats(self) -> None:
        """Have as many listers as there may be; those that are too many go when they have handed in what they hold."""
        if self._seats is None:
            return
        allowed = self._allowed()
        # Those that never were up have nothing in hand, and may not hear of it for long.
        staying = sorted((lister for lister in self._listers if not lister.retiring), key=lambda lister: not lister.up)
        for lister in staying[allowed:]:
            if lister.up:
                lister.retiring, lister.leaves_at = True, time.monotonic() + _LEAVE_SECONDS
                lister.ref.ask("retire")
            else:
                self._part_with(lister, "lister_left")
        if self._may_replace:
            for _ in range(allowed - len(self._listers)):
                self._hire_another()
