"""The work queue of the coordinator: which lister does what next, and what becomes of each directory.

A state machine. Events go into `WorkQueue.handle` together with the time; instructions come out and are carried out by
the caller; both are in `engine.work`. The queue knows no clock, no store and no actor, and it holds open work only: a
directory whose end has been told is forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from heapq import nsmallest
from typing import assert_never

from engine.paths import depth_of, parent_of
from engine.stall import Waiting
from engine.states import Reason, State
from engine.work import (
    Accept,
    Assign,
    ConfirmationFailed,
    ConfirmationsAdded,
    DirectoriesSeeded,
    DirectoryFailed,
    DirectoryListed,
    Discard,
    Event,
    GoHome,
    Instruction,
    KillRequested,
    ListerLeft,
    ListerLost,
    NamesConfirmed,
    NoMoreWork,
    QueueCounts,
    QueueLimits,
    Report,
    Settle,
    Task,
    TaskKind,
    TimePassed,
    Unconfirmed,
    Wait,
    WorkRequested,
)
from engine.worklane import FRESH, History, Lane, Lease


@dataclass(slots=True)
class _Lister:
    heard: float
    reported: float = -math.inf


@dataclass(slots=True)
class _Tally:
    found: int = 0
    listed: int = 0
    failed: int = 0
    ignored: int = 0
    confirmed: int = 0
    unconfirmed: int = 0
    retries: int = 0
    discarded: int = 0


class WorkQueue:
    """Hands out directories depth first, retries what failed elsewhere, and tells the end of each exactly once.

    ``ignored`` tells whether a directory is left out by the configuration. None, or a filter that is false because it
    has no pattern, is never asked.
    """

    def __init__(self, limits: QueueLimits, ignored: Callable[[bytes], bool] | None = None) -> None:
        self._limits = limits
        self._ignored = ignored or None
        self._lists = Lane()
        self._confirms = Lane()
        self._names: dict[bytes, tuple[bytes, ...]] = {}
        self._later: dict[bytes, tuple[bytes, ...]] = {}
        self._last_list = self._last_confirm = 0
        self._tops: set[bytes] = set()
        self._highest_top = 0
        self._listers: dict[str, _Lister] = {}
        self._next_expiry = math.inf
        self._killed_because: str | None = None
        self._closed = False
        self._tally = _Tally()

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """Take one event in; ``now`` is in seconds on any clock that never runs back.

        A `WorkRequested` is always answered by exactly one of `Assign`, `Wait` and `GoHome`. A report is answered by
        `Accept` or `Discard`, or, when it tells a failure, by `Settle` or `Unconfirmed` if that was the last word and
        by nothing if the task will be tried again.
        """
        match event:
            case DirectoryListed():
                return self._on_listed(event, now)
            case WorkRequested():
                return [self._on_request(event, now)]
            case DirectoryFailed():
                return self._on_failure(TaskKind.LIST, event, now)
            case NamesConfirmed():
                return self._on_confirmed(event, now)
            case ConfirmationFailed():
                return self._on_failure(TaskKind.CONFIRM, event, now)
            case ConfirmationsAdded():
                self._on_confirmations(event)
                return []
            case TimePassed():
                return self._expire(now)
            case DirectoriesSeeded():
                return self._on_seeds(event)
            case ListerLost():
                return self._on_lost(event)
            case ListerLeft():
                self._on_left(event)
                return []
            case KillRequested():
                if self._killed_because is None:
                    self._killed_because = event.why
                return []
            case NoMoreWork():
                self._closed = True
                return []
            case _:
                assert_never(event)

    @property
    def idle(self) -> bool:
        """Whether no task is open."""
        return not self._lists and not self._confirms

    @property
    def killed(self) -> bool:
        """Whether a kill was requested."""
        return self._killed_because is not None

    @property
    def killed_because(self) -> str:
        """Why the first kill was requested; empty when there was none."""
        return self._killed_because or ""

    @property
    def waiting(self) -> int:
        """How many tasks are open and in no lister's hands."""
        return len(self._lists) + len(self._confirms) - self.leased

    @property
    def leased(self) -> int:
        """How many tasks listers have in hand."""
        return self._lists.leased + self._confirms.leased

    def oldest(self, count: int, now: float) -> tuple[Waiting, ...]:
        """Give the tasks that listers have had in hand for longest, the oldest first."""
        leases = (item for lane in (self._lists, self._confirms) for item in lane.leases())
        longest = nsmallest(count, leases, key=lambda item: item[1].since)
        return tuple(Waiting(path, lease.lister, now - lease.since) for path, lease in longest)

    @property
    def unreached(self) -> list[bytes]:
        """The directories that are still to be listed, those in hand included, in no particular order."""
        return list(self._lists)

    @property
    def counts(self) -> QueueCounts:
        """Where the work stands."""
        lanes = (self._lists, self._confirms)
        return QueueCounts(
            sum(lane.pending for lane in lanes), sum(lane.delayed for lane in lanes), self.leased, **asdict(self._tally)
        )

    def check(self) -> None:
        """Assert what must hold after every event."""
        self._lists.check()
        self._confirms.check()
        tally = self._tally
        assert tally.found == tally.listed + tally.failed + tally.ignored + len(self._lists)
        assert set(self._confirms) == set(self._names)
        assert self._later.keys() <= self._names.keys()
        assert all(self._names.values())
        assert all(self._later.values())
        for lane in (self._lists, self._confirms):
            for _, lease in lane.leases():
                assert lease.lister in self._listers
                assert self._next_expiry <= self._deadline(lease)

    def _on_seeds(self, event: DirectoriesSeeded) -> list[Instruction]:
        self._tops.update(event.tops or event.paths)
        self._tops.update([path for path in event.paths if self._height(path) is None])
        self._highest_top = min(map(depth_of, self._tops), default=0)
        limit = self._limits.max_depth
        near: list[bytes] = []
        deep: list[bytes] = []
        # Backwards, because the last one added is the first one handed out.
        for path in reversed(event.paths):
            (deep if self._is_deeper(path, limit) else near).append(path)
        # One that was listed before goes on from the highest number that any listing had, like a confirmation.
        history = History(attempt=self._last_list) if self._last_list else FRESH
        return [*self._admit(near, history), *self._refuse(deep)]

    def _on_listed(self, event: DirectoryListed, now: float) -> list[Instruction]:
        path = event.path
        if self._release(self._lists, event, now) is None:
            return [self._discard(TaskKind.LIST, path)]
        self._tally.listed += 1
        self._last_list = max(self._last_list, event.attempt)
        instructions: list[Instruction] = [Accept(TaskKind.LIST, path)]
        if not event.children:
            return instructions
        # A top has a task of its own, wherever else it turns up.
        children = [child for child in reversed(event.children) if child not in self._tops]
        if self._is_deeper(path, self._limits.max_depth - 1):
            instructions += self._refuse(children)
        else:
            instructions += self._admit(children)
        return instructions

    def _on_failure(self, kind: TaskKind, event: DirectoryFailed | ConfirmationFailed, now: float) -> list[Instruction]:
        lease = self._release(self._lane(kind), event, now)
        if lease is None:
            return [self._discard(kind, event.path)]
        due = now + self._limits.delay_after(lease.history.tries + 1)
        return self._fail(kind, event.path, lease, event.reason, event.detail, due)

    def _on_confirmations(self, event: ConfirmationsAdded) -> None:
        path, names = event.path, tuple(dict.fromkeys(event.names))
        if path not in self._names:
            self._open_confirmation(path, names)
            return
        later = self._later.get(path, ())
        known = {*self._names[path], *later}
        later += tuple(name for name in names if name not in known)
        if later:
            self._later[path] = later

    def _on_confirmed(self, event: NamesConfirmed, now: float) -> list[Instruction]:
        if self._release(self._confirms, event, now) is None:
            return [self._discard(TaskKind.CONFIRM, event.path)]
        self._tally.confirmed += 1
        self._close_confirmation(event.path, event.attempt)
        return [Accept(TaskKind.CONFIRM, event.path)]

    def _on_request(self, event: WorkRequested, now: float) -> Assign | Wait | GoHome:
        self._listers.setdefault(event.lister, _Lister(now)).heard = now
        if self.killed or (self._closed and self.idle):
            return GoHome()
        tasks = self._assign(event.lister, min(event.want, self._limits.batch), now)
        return Assign(tuple(tasks)) if tasks else Wait(self._limits.idle_wait)

    def _on_lost(self, event: ListerLost) -> list[Instruction]:
        detail = f"lister {event.lister} was lost"
        instructions: list[Instruction] = []
        for kind, path, lease in self._take_back(event.lister):
            instructions += self._fail(kind, path, lease, Reason.LISTER_LOST, detail, None)
        return instructions

    def _on_left(self, event: ListerLeft) -> None:
        for kind, path, lease in self._take_back(event.lister):
            self._lane(kind).give_back(path, lease)

    def _take_back(self, lister: str) -> Iterator[tuple[TaskKind, bytes, Lease]]:
        self._listers.pop(lister, None)
        for kind in TaskKind:
            lane = self._lane(kind)
            for path, lease in lane.leases():
                if lease.lister == lister:
                    lane.release(path, lister, lease.attempt)
                    yield kind, path, lease

    def _expire(self, now: float) -> list[Instruction]:
        # After a kill nothing is tried again, and a late report is still worth having.
        if self.killed or now < self._next_expiry:
            return []
        limits = self._limits
        self._next_expiry = math.inf
        instructions: list[Instruction] = []
        for kind in TaskKind:
            lane = self._lane(kind)
            for path, lease in lane.leases():
                deadline = self._deadline(lease)
                if now < deadline:
                    self._next_expiry = min(self._next_expiry, deadline)
                    continue
                lane.release(path, lease.lister, lease.attempt)
                detail = f"lister {lease.lister} gave no answer within {limits.lease_seconds:g} s"
                due = now + limits.delay_after(lease.history.tries + 1)
                instructions += self._fail(kind, path, lease, Reason.TIMEOUT, detail, due)
        return instructions

    def _lane(self, kind: TaskKind) -> Lane:
        return self._lists if kind is TaskKind.LIST else self._confirms

    def _assign(self, lister: str, want: int, now: float) -> list[Task]:
        limits = self._limits
        alive = {name for name, other in self._listers.items() if now - other.heard < limits.lease_seconds}
        self._confirms.ripen(now)
        self._lists.ripen(now)
        # Whoever asks first must not take what little there is, and leave the others idle.
        pending = self._confirms.pending + self._lists.pending
        want = min(want, -(-pending // max(1, len(alive))))
        # Confirmations first: they hold the most memory, and their number does not grow by doing them.
        confirms = self._confirms.lease(lister, alive, want, now)
        lists = self._lists.lease(lister, alive, want - len(confirms), now)
        if confirms or lists:
            self._next_expiry = min(self._next_expiry, now + limits.lease_seconds)
        tasks = [Task(TaskKind.CONFIRM, path, attempt, self._names[path]) for path, attempt in confirms]
        tasks += [Task(TaskKind.LIST, path, attempt) for path, attempt in lists]
        return tasks

    def _release(self, lane: Lane, report: Report, now: float) -> Lease | None:
        lease = lane.release(report.path, report.lister, report.attempt)
        if lease is not None:
            # Only reports that count renew the other leases, so that repetitions cannot keep them for ever.
            lister = self._listers[report.lister]
            lister.heard = lister.reported = now
        return lease

    def _deadline(self, lease: Lease) -> float:
        return max(lease.since, self._listers[lease.lister].reported) + self._limits.lease_seconds

    def _fail(
        self, kind: TaskKind, path: bytes, lease: Lease, reason: Reason, detail: str, due: float | None
    ) -> list[Instruction]:
        # A kill makes listers drop what they have in hand: no verdict on a directory that might have been retried.
        if reason.retryable and (self.killed or lease.history.tries + 1 < self._limits.max_attempts):
            self._tally.retries += 1
            self._lane(kind).put_back(path, lease, due)
            return []
        if kind is TaskKind.LIST:
            self._tally.failed += 1
            self._last_list = max(self._last_list, lease.attempt)
            return [Settle(path, State.FAILED, reason, detail)]
        self._tally.unconfirmed += 1
        names = self._names[path]
        self._close_confirmation(path, lease.attempt)
        return [Unconfirmed(path, names, reason, detail)]

    def _discard(self, kind: TaskKind, path: bytes) -> Discard:
        self._tally.discarded += 1
        return Discard(kind, path)

    def _admit(self, directories: list[bytes], history: History = FRESH) -> list[Instruction]:
        instructions: list[Instruction] = []
        if self._ignored is not None:
            directories, instructions = self._leave_out(directories)
        self._tally.found += self._lists.add(directories, history)
        return instructions

    def _refuse(self, directories: list[bytes]) -> list[Instruction]:
        kept, instructions = self._leave_out(directories)
        detail = f"more than {self._limits.max_depth} levels below its top"
        self._tally.found += len(kept)
        self._tally.failed += len(kept)
        return [*instructions, *(Settle(path, State.FAILED, Reason.DEPTH, detail) for path in kept)]

    def _leave_out(self, directories: Iterable[bytes]) -> tuple[list[bytes], list[Instruction]]:
        ignored = self._ignored
        if ignored is None:
            return list(dict.fromkeys(directories)), []
        verdicts = {path: ignored(path) for path in directories}
        dropped = [path for path, out in verdicts.items() if out]
        self._tally.found += len(dropped)
        self._tally.ignored += len(dropped)
        settled: list[Instruction] = [Settle(path, State.IGNORED, Reason.IGNORED) for path in dropped]
        return [path for path, out in verdicts.items() if not out], settled

    def _is_deeper(self, path: bytes, limit: int) -> bool:
        # The nearest top is never above the highest one, which spares most paths the walk.
        return depth_of(path) - self._highest_top > limit and (self._height(path) or 0) > limit

    def _height(self, path: bytes) -> int | None:
        above: bytes | None = path
        height = 0
        while above not in self._tops:
            above = parent_of(above) if above is not None else None
            if above is None:
                return None
            height += 1
        return height

    def _open_confirmation(self, path: bytes, names: tuple[bytes, ...]) -> None:
        if names:
            self._names[path] = names
            # Numbers go on from the last confirmation closed: no report on earlier names can answer for these.
            self._confirms.add((path,), History(attempt=self._last_confirm) if self._last_confirm else FRESH)

    def _close_confirmation(self, path: bytes, attempt: int) -> None:
        self._last_confirm = max(self._last_confirm, attempt)
        del self._names[path]
        self._open_confirmation(path, self._later.pop(path, ()))
