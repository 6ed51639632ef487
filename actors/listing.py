"""A listing under supervision: one coordinator and its listers, from start to sealed snapshot."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType

import msgpack

from actors.coordinator import Coordinator
from actors.crew import Crew
from actors.oversight import Killed, Progress, await_answer, heed
from actors.oversight import Oversight as Oversight
from actors.oversight import Refused as Refused
from actors.runtime import ActorLost, ActorRef, Runtime, dismiss
from actors.store_job import CoordinatorLost as CoordinatorLost
from actors.store_job import ListingFailed as ListingFailed
from actors.store_job import Stalled as Stalled
from actors.store_job import StoreJob as StoreJob
from actors.store_job import must_have_place
from engine.gates import root_refusal
from engine.stall import GiveUp, GoesOn, ReplaceStuck, Say, StallWatch, Waiting, describe, duration

_log = logging.getLogger(__name__)

_START_PATIENCE = 120.0
"""Seconds that an actor may take to come up; on a cluster a process has to be started for it."""

_PATIENCE = 60.0
"""Seconds that the coordinator may take for one message."""

_SHORTEST_POLL, _LONGEST_POLL = 0.01, 0.25
"""Seconds between two looks at the progress: a fiftieth of the time so far, so that short listings end at once."""


class Listing:
    """One coordinator with its listers. Used as a context: leaving it ends them, and the journal stays.

    ``before`` is the listing whose coordinator was lost, and from whose journal this one goes on, if there was one.
    """

    def __init__(self, runtime: Runtime, job: StoreJob, oversight: Oversight, before: Listing | None = None) -> None:
        self._runtime = runtime
        self._label = job.label
        self._oversight = oversight
        self._asked: int = 0 if before is None else before.progress.requests
        self._stall = StallWatch(job.stall)
        self._stall_note = ""
        self._waiting: tuple[Waiting, ...] = ()
        self._began = time.monotonic()
        self.progress: Progress = Progress(requests=self._asked)
        must_have_place(runtime, job.label, job.settings.spec, job.placement)
        self.coordinator = runtime.spawn(f"coordinator:{job.label}", Coordinator, job.plan)
        hired = 0 if before is None else before._crew.hired
        self._crew: Crew = Crew(runtime, job, self.coordinator, self._has_answered, hired)

    def start(self) -> None:
        """Open the journal and hire the listers.

        Raises:
            SnapshotError, OSError: the journal cannot be gone on with, or not be written.
            SeatError: listers cannot be shared with other runs.
            ActorLost: the coordinator did not come up.
            NodeUnfit: a node has another program.
        """
        await_answer(self.coordinator.ask("start"), _START_PATIENCE, self._oversight)
        self._take_note(self.coordinator.ask("progress").result(_PATIENCE))
        self._crew.begin(lambda: heed(self._oversight))
        self._began = time.monotonic()

    def __enter__(self) -> Listing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._crew.end()
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
            self._take_note(progress)
            self._oversight.watch(phase, self.progress)
            if self.progress.killed:
                raise Killed(self.progress.killed)
            if self.progress.idle and (until is None or until()):
                return self.progress
            self._crew.look_after()
            time.sleep(min(_LONGEST_POLL, _SHORTEST_POLL + self.seconds / 50))

    @property
    def seconds(self) -> float:
        """The time since the listers began."""
        return time.monotonic() - self._began

    @property
    def listers(self) -> list[ActorRef]:
        """The listers that work now."""
        return self._crew.refs

    def seal(self) -> None:
        """Finish the snapshot under its name."""
        self.coordinator.ask("seal").result(600)

    def list_again(self, directories: Sequence[bytes]) -> None:
        """Have directories listed after all that were taken over; `run` waits for them, and `seal` finishes again."""
        self.coordinator.ask("list_again", msgpack.packb(list(directories))).result(_PATIENCE)

    def discard(self) -> None:
        """Remove the journal: there is nothing in it to go on with."""
        self.coordinator.ask("discard").result(_PATIENCE)

    def _take_note(self, progress: Progress) -> None:
        self.progress = replace(
            progress,
            seconds=self.seconds,
            note=self._stall_note or self._crew.note or progress.note,
            requests=progress.requests + self._asked,
            listers=len(self._crew.refs),
        )

    def _has_answered(self) -> bool:
        return bool(self.progress.answers or self.progress.resumed)

    def _look_for_a_stall(self, progress: Progress) -> None:
        """Say that nothing answers, replace whoever waits, or give up: as the watch says.

        Raises:
            Stalled: it says to give up.
        """
        # While all that is open is to be tried again later, what was waited for last says more than nothing.
        waiting = self._waiting = progress.waiting or self._waiting
        # While the coordinator takes directories over, or listers are waited for, nobody is asked.
        is_asked = progress.queued + progress.in_flight > 0 and self._crew.asks
        for instruction in self._stall.look(progress.answers, is_asked, time.monotonic()):
            said = describe(instruction.seconds, waiting, progress.in_flight - len(waiting))
            match instruction:
                case GiveUp():
                    raise Stalled(
                        f"{self._label}: {said}; what was listed is kept, and the next run goes on from there"
                    )
                case ReplaceStuck():
                    self._crew.replace_stuck({held.lister for held in progress.waiting})
                case Say():
                    self._note_stall(said)
                case GoesOn(seconds):
                    self._note_stall(f"there are answers again, after {duration(seconds)}")

    def _note_stall(self, said: str) -> None:
        self._stall_note = said
        # Whoever watches is shown the note of the progress.
        _log.info("%s: %s", self._label, said)


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
