"""What must hold after every event, worked out again from what goes in and out of the coordinator.

The watch stands between the coordinator and everybody else, and behind its journal. It decides nothing with the help of
what it watches, but for the work queue's own `check`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from actors.coordinator import Coordinator
from actors.messages import Assignment, Batch, Progress
from actors.runtime import ActorLost
from engine import paths
from engine.findings import unpack_findings
from engine.index import Entry
from engine.record import DirectoryRecord
from engine.states import Reason, State
from engine.work import Task, TaskKind
from storage.snapshot import SnapshotWriter
from tests.simulation.before import LISTED, Before
from tests.simulation.clockwork import Clockwork
from tests.simulation.world import IGNORED, World

Key = tuple[TaskKind, bytes]


class Crashed(BaseException):
    """The coordinator's process ends here, in the middle of what it does."""


@dataclass
class Held:
    """A task in a lister's hands."""

    lister: str
    attempt: int
    since: float


class Watch:
    """Follows the work of one store over all coordinators, one after another."""

    def __init__(self, clockwork: Clockwork, world: World, before: Before | None = None) -> None:
        self._clockwork = clockwork
        self._world = world
        self._before = before
        # What stands in the journal as the last listing had it, and what is asked for although it has ended.
        self.taken: set[bytes] = set()
        self.asked_again = self.taken_ever = self.left_behind = 0
        self.distrust = ""
        self._may_be_asked_again: set[bytes] = set()
        self._closed: set[Key] = set()
        self.known: set[bytes] = set()
        self.ends: dict[bytes, State] = {}
        self.listed: dict[bytes, Entry] = {}
        self.crash_after: int | None = None
        self.synced = 0
        self._touched = False
        self.handed_out = 0
        self.answered_for: list[bytes] = []
        self._coordinator: Coordinator | None = None
        self._journal: SnapshotWriter
        self._held: dict[Key, Held] = {}
        self._attempts: dict[Key, int] = {}
        self._tries: dict[Key, int] = {}
        self._reported: dict[str, float] = {}

    def begin(self, coordinator: Coordinator) -> None:
        """Watch a coordinator that is about to start; nothing that was listed before may ever be asked for again."""
        self._touched = True
        self._coordinator = coordinator
        self._held, self._attempts, self._tries, self._reported = {}, {}, {}, {}
        self._closed = set()
        self.crash_after = None

    def started(self, resumed: dict[bytes, State], named: Iterable[bytes], taken: set[bytes]) -> None:
        """Take the journal that a coordinator goes on from; ``resumed`` has the state of each directory in it.

        ``taken`` are those that stand in it as the last listing had them.
        """
        self.taken = taken
        assert self._coordinator is not None
        self._journal = self._coordinator._journal
        self.ends = {path: state for path, state in resumed.items() if state in (State.LISTED, State.IGNORED)}
        # What is too deep is so for ever, and told again at once.
        again = [path for path in resumed if path not in self.ends and self._world.too_deep(path)]
        self.ends.update(dict.fromkeys(again, State.FAILED))
        self.listed = {path: entry for path, entry in self.listed.items() if path in self.ends}
        self.answered_for = [path for path, state in self.ends.items() if state == State.LISTED]
        self.known = {*named, *resumed, *self.ends}
        if self._before is not None:
            parents = {paths.parent_of(path) or b"/" for path in self._before.trusted}
            self._may_be_asked_again = {*self._before.trusted, *parents}
        self._watch_the_journal()

    @property
    def alive(self) -> bool:
        """Whether there is a coordinator."""
        return self._coordinator is not None

    def end(self) -> None:
        """Stop watching: the coordinator's process is gone, and what it had not handed to the system with it."""
        self._coordinator = None

    def forget_what_was_not_written(self) -> None:
        """Let what the journal has not got in its file go the way of its process."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._journal._file.fileno())
        os.close(nowhere)
        self._journal.close()

    def handle(self, method: str, *arguments: Any) -> Any:
        """Pass a message on to the coordinator, unless it is gone, and check what comes of it."""
        self._touched = True
        coordinator = self._coordinator
        if coordinator is None:
            raise ActorLost("the coordinator is gone")
        if method == "exchange":
            return self._exchange(coordinator, *arguments)
        if method == "confirm":
            self._expect_names(arguments[0])
        return getattr(coordinator, method)(*arguments)

    def look(self) -> Progress:
        """Ask how far things are, which is when leases run out."""
        self._touched = True
        coordinator, now = self._coordinator, self._clockwork.now
        assert coordinator is not None
        if not coordinator._queue.killed:
            for key, held in list(self._held.items()):
                heard = max(held.since, self._reported.get(held.lister, 0.0))
                if now >= heard + self._world.limits.lease_seconds:
                    del self._held[key]
        progress = coordinator.progress()
        self.distrust = self.distrust or progress.distrust
        return progress

    def lost(self, lister: str) -> None:
        """Note that the coordinator is told of a lister that is gone."""
        self._take_back(lister)

    def left(self, lister: str) -> None:
        """Note that the coordinator is told of a lister that leaves, which counts as no try."""
        for key in self._take_back(lister):
            self._tries[key] -= 1
            self.left_behind += 1

    def _take_back(self, lister: str) -> list[tuple[TaskKind, bytes]]:
        self._touched = True
        keys = [key for key, held in self._held.items() if held.lister == lister]
        for key in keys:
            del self._held[key]
        self._reported.pop(lister, None)
        return keys

    def check(self) -> None:
        """Assert what must hold after each event; those that did not reach the coordinator changed nothing in it."""
        coordinator = self._coordinator
        if coordinator is None or not self._touched:
            return
        self._touched = False
        queue = coordinator._queue
        queue.check()
        unreached, to_end = set(queue.unreached), self.known - self.ends.keys()
        state = coordinator._earlier.state
        assert unreached - to_end <= self._may_be_asked_again, "a directory is asked for that has ended"
        if state is None or not state.unfinished:
            assert to_end <= unreached, "a directory was lost or ended twice"
        assert queue.leased == len(self._held), "others have tasks in hand than were handed out"

    def _exchange(self, coordinator: Coordinator, lister: str, packed: bytes, want: int) -> Assignment:
        batch = Batch.unpack(packed)
        current = [
            report.entry
            for report in batch.reports
            if self._reports(lister, (TaskKind.LIST, report.entry.path), report.attempt)
        ]
        for verdict in batch.verdicts:
            self._reports(lister, (TaskKind.CONFIRM, verdict.path), verdict.attempt)
        assignment = coordinator.exchange(lister, packed, want)
        listed = [entry.path for entry in current if entry.state == State.LISTED]
        for path in listed:
            assert self.ends.get(path) == State.LISTED, "a listing that was due is not in the journal"
            assert path not in self.taken, "a listing was dropped in favour of an earlier one"
            self._closed.add((TaskKind.LIST, path))
        assert len(assignment.tasks) <= max(0, min(want, self._world.limits.batch))
        for task in assignment.tasks:
            self._hand_out(lister, task)
        self.answered_for += listed
        return assignment

    def _reports(self, lister: str, key: Key, attempt: int) -> bool:
        """Take note of a report; tell whether it is about a task that this lister has in hand."""
        held = self._held.get(key)
        if held is None or (held.lister, held.attempt) != (lister, attempt):
            return False
        del self._held[key]
        self._reported[lister] = self._clockwork.now
        return True

    def _hand_out(self, lister: str, task: Task) -> None:
        key = (task.kind, task.path)
        now, limits = self._clockwork.now, self._world.limits
        assert key not in self._held, "a task was handed out that another lister has"
        again = task.kind == TaskKind.LIST and task.path in self.ends
        if again and (key in self._closed or key not in self._attempts):
            # It has all its tries once more.
            self._closed.discard(key)
            self._tries.pop(key, None)
            self.asked_again += 1
        attempt = self._attempts.get(key, 0)
        # Those of confirmations go on from the last one that was closed, whosever it was.
        assert task.attempt > attempt, "attempts do not count up"
        may_jump = task.kind == TaskKind.CONFIRM or task.path in self._may_be_asked_again
        assert task.attempt == attempt + 1 or may_jump, "an attempt was left out"
        self._attempts[key] = task.attempt
        self._tries[key] = self._tries.get(key, 0) + 1
        assert self._tries[key] <= limits.max_attempts, "more attempts than allowed"
        if task.kind == TaskKind.LIST:
            assert task.path in self.known, "nobody has named this directory"
            assert not again or task.path in self._may_be_asked_again, "this directory has ended"
            assert IGNORED not in task.path, "this directory is ignored"
        self._held[key] = Held(lister, task.attempt, now)
        self.handed_out += 1

    def _expect_names(self, packed: bytes) -> None:
        for finding in unpack_findings(packed):
            # Another question about the same directory may take as many tries again.
            self._tries.pop((TaskKind.CONFIRM, finding.directory), None)

    def _watch_the_journal(self) -> None:
        """Look at everything that is written."""
        journal = self._journal
        append_frames, append, sync = journal.append_frames, journal.append, journal.sync

        def watched_frames(entries: Iterable[Entry], frames: bytes) -> None:
            (entry,) = entries
            if entry.state == State.LISTED:
                self._crash_perhaps()
                is_taken = self._is_taken(entry)
                self._ended(entry.path, State.LISTED, Reason.NONE)
                self.listed[entry.path] = entry
                base = entry.path
                children = [paths.join(base, name) for name in entry.directories.name_list()]
                append_frames((entry,), frames)
                self.known.update(children)
                if is_taken:
                    self.taken.add(entry.path)
                    self.taken_ever += 1
                    self._check_what_was_taken(entry, frames)
                else:
                    self._check_what_was_listed(entry, frames)
                self._crash_perhaps()
            else:
                append_frames((entry,), frames)

        def watched(record: DirectoryRecord) -> None:
            assert record.state in (State.FAILED, State.IGNORED)
            self._crash_perhaps()
            self._ended(record.path, record.state, record.reason)
            append(record)

        def watched_sync() -> None:
            sync()
            self.synced = journal.part.stat().st_size

        journal.append_frames = watched_frames  # type: ignore[method-assign]
        journal.append = watched  # type: ignore[method-assign]
        journal.sync = watched_sync  # type: ignore[method-assign]

    def _is_taken(self, entry: Entry) -> bool:
        return self._before is not None and entry.listed_at <= LISTED

    def _crash_perhaps(self) -> None:
        if self.crash_after is not None:
            self.crash_after -= 1
            if self.crash_after < 0:
                raise Crashed

    def _ended(self, path: bytes, state: State, reason: Reason) -> None:
        name = paths.escape(path)
        self._clockwork.tell(f"{name} ends as {state.name} {reason.label}")
        self.known.add(path)
        assert path not in self.ends or path in self.taken, f"{name} ended before"
        if path in self.taken:
            self.taken.remove(path)
            self.answered_for = [other for other in self.answered_for if other != path]
        assert (state == State.IGNORED) == (IGNORED in path), f"{name} is wrongly {state.name}"
        if state == State.FAILED:
            self._check_why_it_failed(path, reason)
        self.ends[path] = state

    def _check_why_it_failed(self, path: bytes, reason: Reason) -> None:
        if reason == Reason.DEPTH:
            assert self._world.too_deep(path)
            return
        tries = self._tries.get((TaskKind.LIST, path), 0)
        assert tries, "given up without a try"
        assert not reason.retryable or tries == self._world.limits.max_attempts, "given up too early"
        said = self._world.failed.get(path, set())
        by_lease = (Reason.TIMEOUT, Reason.LISTER_LOST)
        assert reason in said or reason in by_lease, f"nobody said {reason.label!r}"

    def _check_what_was_taken(self, entry: Entry, frames: bytes) -> None:
        name, before = paths.escape(entry.path), self._before
        assert before is not None
        state = None if self._coordinator is None else self._coordinator._earlier.state
        assert state is not None
        assert not state.distrust, f"{name} was taken over from a store that is not believed"
        held = before.trusted.get(entry.path)
        assert held is not None, f"{name} was taken over, and is none that may be"
        files = DirectoryRecord.unpack(frames[9:]).files
        assert {file: size for file, size, _ in files.rows()} == held.files
        said = self._world.said[paths.parent_of(entry.path) or b"/"]
        times = [dict(zip(one.directories.name_list(), one.directories.mtime_list(), strict=True)) for one in said]
        assert any(one.get(paths.name_of(entry.path)) == held.time for one in times), f"{name} has another time"

    def _check_what_was_listed(self, entry: Entry, frames: bytes) -> None:
        record = DirectoryRecord.unpack(frames[9:])
        assert record.path == entry.path
        said = self._world.said.get(entry.path, ())
        assert any(record.files == one.files and record.directories == one.directories for one in said), (
            f"no door said this of {paths.escape(entry.path)}"
        )
