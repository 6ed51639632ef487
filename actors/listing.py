"""A listing under supervision: one coordinator and its listers, from start to sealed snapshot."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

import msgpack

from actors.coordinator import Coordinator
from actors.lister import RETIRED, ListerActor
from actors.messages import ListerSettings, ListingPlan
from actors.oversight import Killed, Progress, await_answer, heed
from actors.oversight import Oversight as Oversight
from actors.oversight import Refused as Refused
from actors.runtime import (
    ANYWHERE,
    ActorLost,
    ActorRef,
    Answer,
    NodeUnfit,
    Placement,
    Runtime,
    RuntimeUnavailable,
    dismiss,
)
from engine.gates import root_refusal
from engine.stall import GiveUp, GoesOn, ReplaceStuck, Say, StallLimits, StallWatch, Waiting, describe, duration
from storage.sites.seats import SeatBook, SeatPlan

_log = logging.getLogger(__name__)

_START_PATIENCE = 120.0
"""Seconds that an actor may take to come up; on a cluster a process has to be started for it."""

_MUSTER_SECONDS = 15.0
"""Seconds to wait for the last lister before the others begin without it."""

_PATIENCE = 60.0
"""Seconds that the coordinator may take for one message."""

_LISTER_PATIENCE = 30.0
"""Seconds after which a lister that does not say whether it works is taken for lost."""

_LOOK_EVERY = 1.0
"""Seconds between two looks at the listers."""

_SHORTEST_POLL, _LONGEST_POLL = 0.01, 0.25
"""Seconds between two looks at the progress: a fiftieth of the time so far, so that short listings end at once."""


class ListingFailed(Exception):
    """The listing cannot go on; the message says why. The journal stays."""


class CoordinatorLost(ListingFailed):
    """The coordinator died or does not answer; another one can go on from its journal."""


class Stalled(ListingFailed):
    """Nothing has answered for as long as anybody wants to wait."""


@dataclass(frozen=True, slots=True)
class StoreJob:
    """One store to be listed, by how many listers at most, how, and how long without an answer.

    With ``seats`` it shares the number of listers with other runs. Listers of a store that is not of this machine run
    where the ``placement`` says.
    """

    label: str
    plan: ListingPlan
    settings: ListerSettings
    listers: int = 1
    stall: StallLimits = field(default_factory=StallLimits)
    seats: SeatPlan | None = None
    placement: Placement = ANYWHERE


@dataclass(slots=True)
class _Employed:
    """A lister, and the question after its trouble that is under way: since when, and how long it may take.

    One that is ``retiring`` was told to take no more.
    """

    ref: ActorRef
    question: Answer
    asked_at: float
    patience: float = _START_PATIENCE
    retiring: bool = False


def must_have_place(runtime: Runtime, label: str, placement: Placement) -> None:
    """Find out before anything is begun whether listers can ever be placed.

    Raises:
        RuntimeUnavailable: no machine has what the placement wants.
    """
    why = runtime.why_not(placement)
    if why:
        raise RuntimeUnavailable(f"{label}: Placement: {why}")


def spawn_for(runtime: Runtime, job: StoreJob, name: str, actor: type, *arguments: Any) -> ActorRef:
    """Start an actor that asks the store of a job, where it can be asked from."""
    if job.settings.spec.is_of_this_machine:
        return runtime.spawn(name, actor, *arguments)
    return runtime.spawn_anywhere(name, actor, *arguments, placement=job.placement)


class Listing:
    """One coordinator with its listers. Used as a context: leaving it ends them, and the journal stays.

    ``asked`` are the requests of the coordinators before this one.
    """

    def __init__(self, runtime: Runtime, job: StoreJob, oversight: Oversight, asked: int = 0) -> None:
        self._runtime = runtime
        self._job = job
        self._label = job.label
        self._oversight = oversight
        self._asked = asked
        self._listers: list[_Employed] = []
        self._hired = 0
        self._dismissed = 0
        self._wanted = max(1, job.listers)
        self._seats = None if job.seats is None else SeatBook(job.seats, job.label)
        self._seat_note = ""
        self._looked_at = 0.0
        self._stall = StallWatch(job.stall)
        self._stall_note = ""
        self._waiting: tuple[Waiting, ...] = ()
        self._began = time.monotonic()
        self.progress = Progress()
        must_have_place(runtime, job.label, job.placement)
        self.coordinator = runtime.spawn(f"coordinator:{job.label}", Coordinator, job.plan)

    def start(self) -> None:
        """Open the journal and hire the listers.

        Raises:
            SnapshotError, OSError: the journal cannot be gone on with, or not be written.
            SeatError: listers cannot be shared with other runs.
            ActorLost: the coordinator did not come up.
            NodeUnfit: a node has another program.
        """
        if self._seats is not None:
            self._seats.check()
        await_answer(self.coordinator.ask("start"), _START_PATIENCE, self._oversight)
        self.progress = self.coordinator.ask("progress").result(_PATIENCE)
        for _ in range(self._allowed()):
            self._hire()
        # Processes that start take the processors from those that work already, so all begin together.
        patience = time.monotonic() + _MUSTER_SECONDS
        while time.monotonic() < patience and not all(lister.question.done() for lister in self._listers):
            heed(self._oversight)
            time.sleep(0.005)
        for lister in self._listers:
            if lister.question.done():
                # One that cannot be where it was to be ends the listing before it has begun.
                self._trouble_of(lister, time.monotonic())
            lister.ref.ask("start")
        self._began = time.monotonic()

    def __enter__(self) -> Listing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for lister in self._listers:
            lister.ref.kill()
        if self._seats is not None:
            self._seats.leave()
        dismiss(self.coordinator)

    def run(self, phase: str, until: Callable[[], bool] | None = None) -> Progress:
        """Wait until nothing is left to ask, and, if given, until ``until`` says so as well.

        Raises:
            Killed: the oversight asked to stop.
            Stalled: nothing has answered for too long.
            CoordinatorLost: the coordinator is lost.
            ListingFailed: all listers are lost, or the runtime can start no others.
            NodeUnfit: a lister went to a node whose program is another one.
        """
        while True:
            why = self._oversight.stop()
            try:
                if why:
                    self.coordinator.ask("kill", why).result(_PATIENCE)
                progress: Progress = self.coordinator.ask("progress").result(_PATIENCE)
            except (ActorLost, TimeoutError) as error:
                raise CoordinatorLost(f"the coordinator of {self._label} is lost: {error}") from error
            lost = self._runtime.lost
            if lost:
                kept = "what was listed is kept, and the next run goes on from there"
                raise ListingFailed(f"{self._label}: {lost}; {kept}")
            self._look_for_a_stall(progress)
            note = self._stall_note or self._seat_note or progress.note
            requests, listers = progress.requests + self._asked, len(self._listers)
            self.progress = replace(progress, seconds=self.seconds, note=note, requests=requests, listers=listers)
            self._oversight.watch(phase, self.progress)
            if self.progress.killed:
                raise Killed(self.progress.killed)
            if self.progress.idle and (until is None or until()):
                return self.progress
            self._look_after_listers()
            time.sleep(min(_LONGEST_POLL, _SHORTEST_POLL + self.seconds / 50))

    @property
    def seconds(self) -> float:
        """The time since the listers began."""
        return time.monotonic() - self._began

    @property
    def listers(self) -> list[ActorRef]:
        """The listers that work now."""
        return [lister.ref for lister in self._listers]

    def seal(self) -> None:
        """Finish the snapshot under its name."""
        self.coordinator.ask("seal").result(600)

    def list_again(self, directories: Sequence[bytes]) -> None:
        """Have directories listed after all that were taken over; `run` waits for them, and `seal` finishes again."""
        self.coordinator.ask("list_again", msgpack.packb(list(directories))).result(_PATIENCE)

    def discard(self) -> None:
        """Remove the journal: there is nothing in it to go on with."""
        self.coordinator.ask("discard").result(_PATIENCE)

    def _hire(self) -> None:
        self._hired += 1
        name = f"lister:{self._label}:{self._hired}"
        has_answered = bool(self.progress.answers or self.progress.resumed)
        settings = replace(self._job.settings, spec=replace(self._job.settings.spec, has_answered=has_answered))
        lister = spawn_for(self._runtime, self._job, name, ListerActor, name, settings, self.coordinator)
        self._listers.append(_Employed(lister, lister.ask("trouble"), time.monotonic()))

    def _look_for_a_stall(self, progress: Progress) -> None:
        """Say that nothing answers, replace whoever waits, or give up: as the watch says.

        Raises:
            Stalled: it says to give up.
        """
        # While all that is open is to be tried again later, what was waited for last says more than nothing.
        waiting = self._waiting = progress.waiting or self._waiting
        # While the coordinator takes directories over, or all seats are others', nobody is asked.
        is_asked = progress.queued + progress.in_flight > 0 and bool(self._listers)
        for instruction in self._stall.look(progress.answers, is_asked, time.monotonic()):
            said = describe(instruction.seconds, waiting, progress.in_flight - len(waiting))
            match instruction:
                case GiveUp():
                    raise Stalled(f"{said}; what was listed is kept, and the next run goes on from there")
                case ReplaceStuck():
                    self._replace_stuck({held.lister for held in progress.waiting})
                case Say():
                    self._note_stall(said)
                case GoesOn(seconds):
                    self._note_stall(f"there are answers again, after {duration(seconds)}")

    def _note_stall(self, said: str) -> None:
        self._stall_note = said
        # Whoever watches is shown the note of the progress.
        _log.info("%s: %s", self._label, said)

    def _replace_stuck(self, names: set[str]) -> None:
        """Put new listers into the place of some; a number of them is kept back for those that die."""
        for lister in list(self._listers):
            if lister.ref.name in names and self._dismissed < self._wanted + 4:
                self._dismiss(lister, "it waits for answers and gets none")

    def _look_after_listers(self) -> None:
        """Replace listers that died, gave up or do not answer; their work goes back at once."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_EVERY:
            return
        self._looked_at = now
        for lister in list(self._listers):
            trouble = self._trouble_of(lister, now)
            if trouble == RETIRED:
                self._part_with(lister)
            elif trouble:
                self._dismiss(lister, trouble)
        self._share_seats()

    def _trouble_of(self, lister: _Employed, now: float) -> str:
        if not lister.question.done():
            if now - lister.asked_at <= lister.patience:
                return ""
            why = self._why_no_place(lister)
            if why:
                # Another one would have no place either.
                lister.asked_at = now
                self._note_stall(f"{lister.ref.name} waits for a place: {why}")
            return "" if why else "it does not answer"
        try:
            trouble = str(lister.question.result(0))
        except NodeUnfit:
            # The next one might go there as well, and the one after it.
            raise
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        lister.question, lister.asked_at, lister.patience = lister.ref.ask("trouble"), now, _LISTER_PATIENCE
        return trouble

    def _why_no_place(self, lister: _Employed) -> str:
        """Say why a lister that never answered was not started yet; empty when it should have been."""
        if lister.patience < _START_PATIENCE or self._job.settings.spec.is_of_this_machine:
            return ""
        return self._runtime.why_wait(self._job.placement)

    def _dismiss(self, lister: _Employed, trouble: str) -> None:
        _log.warning("%s is %s: %s", lister.ref.name, "gone" if lister.retiring else "replaced", trouble)
        self._part_with(lister)
        self._dismissed += 1
        if self._may_replace:
            if not lister.retiring:
                self._hire_another()
        elif not self._listers:
            raise ListingFailed(f"all listers of {self._label} are lost; the last one: {trouble}")

    @property
    def _may_replace(self) -> bool:
        return self._dismissed <= 3 * self._wanted + 4

    def _part_with(self, lister: _Employed) -> None:
        self._listers.remove(lister)
        lister.ref.kill()
        self.coordinator.ask("lister_lost", lister.ref.name).result(_PATIENCE)

    def _hire_another(self) -> None:
        self._hire()
        self._listers[-1].ref.ask("start")

    def _allowed(self) -> int:
        """Give how many listers there may be now."""
        if self._seats is None:
            return self._wanted
        allowed = self._seats.ask(self._wanted, len(self._listers))
        note = ""
        if not allowed and not self._listers:
            note = f"waits for a lister: all that there may be are at {', '.join(self._seats.others) or 'other sites'}"
        if note and not self._seat_note:
            _log.info("%s: %s", self._label, note)
        self._seat_note = note
        return allowed

    def _share_seats(self) -> None:
        """Have as many listers as there may be; those that are too many go when they have handed in what they hold."""
        if self._seats is None or not self._may_replace:
            return
        allowed = self._allowed()
        staying = [lister for lister in self._listers if not lister.retiring]
        for lister in staying[allowed:]:
            lister.retiring = True
            lister.ref.ask("retire")
        for _ in range(allowed - len(self._listers)):
            self._hire_another()


def list_store(runtime: Runtime, job: StoreJob, oversight: Oversight) -> Progress:
    """List a store into the snapshot of the job's plan.

    Raises:
        Killed, ListingFailed, SnapshotError, OSError: see `Listing`. The part of the snapshot stays.
        Refused: no top directory could be listed; there is no snapshot then.
    """
    with Listing(runtime, job, oversight) as listing:
        listing.start()
        progress = listing.run("listing")
        if not progress.listed:
            listing.discard()
            raise Refused(root_refusal(progress.failures))
        listing.seal()
        return replace(progress, seconds=listing.seconds)
