"""The lister: pulls directory paths from the coordinator, asks the store, and hands back what it saw.

One message does both: it carries what was listed and asks for more. A thread of the actor keeps a window of requests in
flight and never more than one message to the coordinator under way; whatever is answered meanwhile goes into the next
one, so that batches grow by themselves when the coordinator is far away.
"""

from __future__ import annotations

import gc
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue

from actors.messages import Assignment, Batch, ListerSettings, ListingReport
from actors.runtime import ActorLost, ActorRef, Answer
from engine import paths
from engine.confirm import Confirmation, ConfirmLimits, Question, Verdict
from engine.index import Entry
from engine.listing import Failed, Listed, Outcome
from engine.record import DirectoryRecord
from engine.stall import AwakeClock
from engine.states import Reason
from engine.work import Task, TaskKind
from storage.listers.factory import open_lister
from storage.listers.protocol import (
    LONGEST_LISTED_NAME,
    Ask,
    Lister,
    Request,
    Sink,
    StoreSpec,
    paces_of,
    window_of,
)
from storage.snapshot import directory_frame

_CONFIRM_LIMITS = ConfirmLimits(LONGEST_LISTED_NAME)

_ONE_BY_ONE = ConfirmLimits(LONGEST_LISTED_NAME, complete=False)
"""For stores whose listings of names prove nothing."""

_REPORT_AFTER = 0.1
"""Seconds after which a report goes out although the batch is not full."""

_LONGEST_WAIT = 0.1
"""Seconds between two looks around, although all that comes ends a wait."""

_GC_THRESHOLD = 100_000
"""Listings make many objects and no cycles; looking for cycles after every 700 takes a twentieth of the time."""

_LOOK_EVERY = 1.0
"""Seconds between two looks for requests whose outcome never came."""


def overdue_after(timeout: float) -> float:
    """Give the seconds after which a lister below has forgotten a request.

    It may ask twice, wait for a worker once, and be late with it all; each may take the ``timeout``, in seconds.
    """
    return 4.0 * timeout + 30.0


_FEWEST_FORGOTTEN, _MOST_FORGOTTEN = 8, 64
"""So many requests without an outcome, one after another, are enough, by how many may be in flight."""


class ListerStuck(Exception):
    """The lister of the store gives no outcomes any more; whoever supervises replaces all of it."""


RETIRED = "retired"
"""What is the matter with a lister that was told to take no more, and has handed in all that it had in hand."""

_COORDINATOR_PATIENCE = 60.0
"""Seconds after which a coordinator that does not answer is taken for dead."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A task on its way; without a confirmation it is a listing."""

    task: Task
    confirmation: Confirmation | None = None


class ListerActor:
    """Asks one store on behalf of one coordinator. Methods return at once; the work is done by a thread."""

    def __init__(self, name: str, settings: ListerSettings, coordinator: ActorRef) -> None:
        self._pump = Pump(name, settings, coordinator)
        self._thread = threading.Thread(target=self._pump.run, name=f"{name} pump", daemon=True)

    def start(self) -> None:
        """Begin to pull."""
        self._thread.start()

    def trouble(self) -> str:
        """Say why the lister gave up; empty when it did not."""
        return self._pump.trouble

    def retire(self) -> None:
        """Take no more, and be over when what is in hand is handed in; `trouble` says `RETIRED` then."""
        self._pump.retire()

    def release(self) -> None:
        """Stop pulling and drop what is in flight."""
        self._pump.stop()
        if self._thread.ident is None:
            self._pump.close()


class Pump:
    """What the lister's thread does: submit, talk, collect, in turn.

    ``clock`` gives seconds and never runs back; ``open_store`` opens the lister of the store. Only `run` ever waits, so
    that a simulation, whose time is its own, can do the same step by step.
    """

    def __init__(
        self,
        name: str,
        settings: ListerSettings,
        coordinator: ActorRef,
        clock: Callable[[], float] = time.monotonic,
        open_store: Callable[[StoreSpec, Sink], Lister] | None = None,
    ) -> None:
        self.trouble = ""
        self._clock = clock
        self._open_store = open_store or open_lister
        self._name = name
        self._settings = settings
        self._coordinator = coordinator
        # Outcomes of requests, and None to look around (an answer of the coordinator, or the end).
        self._inbox: SimpleQueue[tuple[int, Outcome] | None] = SimpleQueue()
        self._stopped = False
        self._retiring = False
        self._window = settings.in_flight
        self._number = 0
        self._backlog: deque[Task] = deque()
        self._unasked: deque[tuple[_Job, Question]] = deque()
        # By number of the request.
        self._asked: dict[int, tuple[_Job, Question]] = {}
        self._awake = AwakeClock()
        self._asked_at: dict[int, float] = {}
        self._overdue_after = overdue_after(settings.spec.timeout)
        self._look_at = 0.0
        self._forgotten = 0
        self._reports: list[ListingReport] = []
        self._frames: list[bytes] = []
        self._verdicts: list[Verdict] = []
        self._oldest = 0.0
        self._exchange: Answer | None = None
        self._sent_at = 0.0
        self._pull_after = 0.0
        # Opened here, since loading a protocol's library takes longer than the listing of a small site.
        self._lister = self._open()

    def _open(self) -> Lister | None:
        try:
            return self._open_store(self._settings.spec, lambda number, outcome: self._inbox.put((number, outcome)))
        except ModuleNotFoundError:
            # Another one in its place would not find it either: this is the machine's trouble, and said as such.
            raise
        except Exception as error:
            self.trouble = f"{type(error).__name__}: {error}"
            return None

    def stop(self) -> None:
        """End the thread at its next look."""
        self._stopped = True
        self._inbox.put(None)

    def retire(self) -> None:
        """Take no more tasks, and end when those in hand are done."""
        self._retiring = True
        self._inbox.put(None)

    def close(self) -> None:
        """Release the lister of a thread that was never started."""
        if self._lister is not None:
            self._lister.close()

    def run(self) -> None:
        """Work until the coordinator sends everyone home."""
        lister = self._lister
        if lister is None:
            return
        gc.set_threshold(_GC_THRESHOLD)
        try:
            while not self._stopped:
                self.collect(min(_LONGEST_WAIT, self.turn(lister)))
            if self._retiring:
                self.trouble = RETIRED
        except ActorLost as error:
            self.trouble = f"lost the coordinator: {error}"
        except Exception as error:
            # The supervisor asks for this; a thread that just ended would look like a hang.
            self.trouble = f"{type(error).__name__}: {error}"
        finally:
            lister.close()

    @property
    def stopped(self) -> bool:
        """Whether there is no further turn: the coordinator sent everyone home, or `stop` was called."""
        return self._stopped

    def turn(self, lister: Lister) -> float:
        """Submit what there is room for, and talk; give the seconds until there is something to do if nothing comes.

        Raises:
            ActorLost: the coordinator is gone.
            ListerStuck: as many requests as there may be in flight, or 64, got no outcome, one after another.
        """
        self._end_forgotten()
        self._submit(lister)
        self._talk(lister)
        return max(0.0, self._next_cause() - self._clock())

    def _end_forgotten(self) -> None:
        """End what the lister below has forgotten: a request without an outcome would keep its place for ever."""
        now = self._clock()
        awake = self._awake.at(now)
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_EVERY
        # In the order in which they were asked.
        for number, asked_at in list(self._asked_at.items()):
            if awake - asked_at < self._overdue_after:
                break
            self._forgotten += 1
            self._take(number, Failed(Reason.TIMEOUT, f"no outcome within {self._overdue_after:g} s"))
        if self._forgotten >= min(self._settings.in_flight, max(self._window, _FEWEST_FORGOTTEN), _MOST_FORGOTTEN):
            raise ListerStuck(f"no outcome of {self._forgotten} requests, one after another")

    def _next_cause(self) -> float:
        if self._exchange is not None:
            return self._sent_at + _COORDINATOR_PATIENCE
        causes = [self._pull_after] if self._may_pull() else []
        if self._asked:
            causes.append(self._look_at)
        if self._reports or self._verdicts:
            causes.append(self._oldest + _REPORT_AFTER)
        return min(causes, default=math.inf)

    def _submit(self, lister: Lister) -> None:
        self._window = min(self._settings.in_flight, window_of(lister))
        while len(self._asked) < self._window:
            if self._unasked:
                self._ask(lister, *self._unasked.popleft())
            elif self._backlog:
                self._begin(self._backlog.popleft())
            else:
                return

    def _begin(self, task: Task) -> None:
        if task.kind == TaskKind.LIST:
            self._unasked.append((_Job(task), None))
            return
        limits = _CONFIRM_LIMITS if self._settings.spec.names_are_complete else _ONE_BY_ONE
        confirmation = Confirmation(task.names, limits)
        job = _Job(task, confirmation)
        self._unasked.extend((job, question) for question in confirmation.begin())

    def _ask(self, lister: Lister, job: _Job, question: Question) -> None:
        self._number += 1
        self._asked[self._number] = (job, question)
        self._asked_at[self._number] = self._awake.at(self._clock())
        path = job.task.path
        if question is not None:
            request = Request(self._number, Ask.STAT, paths.join(path, question))
        else:
            request = Request(self._number, Ask.LIST if job.confirmation is None else Ask.NAMES, path)
        lister.submit(request)

    def collect(self, timeout: float) -> None:
        """Take in what has come, waiting up to ``timeout`` seconds for the first of it."""
        try:
            item = self._inbox.get(timeout=timeout) if timeout > 0 else self._inbox.get_nowait()
            while True:
                if item is not None and item[0] in self._asked:
                    # Others were ended before, for want of an outcome.
                    self._forgotten = 0
                    self._take(*item)
                item = self._inbox.get_nowait()
        except Empty:
            return

    def _take(self, number: int, outcome: Outcome) -> None:
        job, question = self._asked.pop(number)
        del self._asked_at[number]
        if not self._reports and not self._verdicts:
            self._oldest = self._clock()
        if job.confirmation is None:
            self._listed(job.task, outcome)
            return
        self._unasked.extend((job, further) for further in job.confirmation.take(question, outcome))
        if job.confirmation.settled:
            self._verdicts.append(job.confirmation.verdict(job.task.path, job.task.attempt))

    def _listed(self, task: Task, outcome: Outcome) -> None:
        if not isinstance(outcome, Listed | Failed):
            outcome = Failed(Reason.SERVER, "something else than a listing came")
        record = DirectoryRecord.of(task.path, outcome, int(time.time()))
        if isinstance(outcome, Listed) and outcome.note:
            record = replace(record, detail=outcome.note)
        frame = directory_frame(record)
        self._frames.append(frame)
        self._reports.append(ListingReport(task.attempt, Entry.of(record, len(frame))))

    def _talk(self, lister: Lister) -> None:
        """Take the coordinator's answer if it is there, and send the next message if there is cause to."""
        now = self._clock()
        if self._exchange is not None:
            if not self._exchange.done():
                if now - self._sent_at > _COORDINATOR_PATIENCE:
                    raise ActorLost(f"{self._coordinator.name} has not answered for {_COORDINATOR_PATIENCE:.0f} s")
                return
            assignment: Assignment = self._exchange.result(0)
            self._exchange = None
            self._backlog.extend(assignment.tasks)
            self._pull_after = now + assignment.wait
            if assignment.go_home:
                self._stopped = True
                return
            self._submit(lister)
        held = len(self._reports) + len(self._verdicts)
        if self._retiring and not held and not self._open_work:
            self._stopped = True
            return
        full = held >= self._settings.batch
        stale = bool(held) and (now - self._oldest >= _REPORT_AFTER or not self._open_work)
        if full or stale or (self._may_pull() and now >= self._pull_after):
            self._send(lister, now)

    @property
    def _open_work(self) -> int:
        return len(self._backlog) + len(self._unasked) + len(self._asked)

    def _may_pull(self) -> bool:
        """Whether it is time for more work: early enough to keep the window full until it comes."""
        return not self._retiring and self._open_work <= self._window + self._settings.batch // 2

    def _send(self, lister: Lister, now: float) -> None:
        frames = b"".join(self._frames)
        batch = Batch(self._reports, frames, self._verdicts, lister.requests, paces_of(lister))
        want = 0 if self._retiring else max(0, self._window + self._settings.batch - self._open_work)
        self._exchange = self._coordinator.ask("exchange", self._name, batch.pack(), want)
        self._sent_at = now
        self._reports, self._frames, self._verdicts = [], [], []
        self._exchange.on_done(lambda: self._inbox.put(None))
