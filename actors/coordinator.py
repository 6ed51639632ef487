"""The coordinator: owns the work queue and the journal, and assembles the tree.

Its decisions are those of `engine.workqueue`; this shell carries them out. A listing is in the journal before the
lister that brought it gets an answer, and the journal alone is enough to go on after the loss of this actor.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable

import msgpack

from actors.messages import Assignment, Batch, ListingPlan, ListingReport, Progress
from actors.taking_over import EarlierListings
from engine.confirm import Verdict, pack_verdicts
from engine.filters import PatternFilter
from engine.findings import unpack_findings
from engine.incremental import Children, TakeOver
from engine.index import Entry, IndexBuilder
from engine.links import LinkWatch
from engine.pace import DoorPace, by_door
from engine.record import DirectoryRecord
from engine.states import Reason, State
from engine.work import (
    Accept,
    Assign,
    ConfirmationFailed,
    ConfirmationsAdded,
    DirectoriesSeeded,
    DirectoryFailed,
    DirectoryListed,
    Event,
    GoHome,
    Instruction,
    KillRequested,
    ListerLeft,
    ListerLost,
    NamesConfirmed,
    NoMoreWork,
    Settle,
    Task,
    TimePassed,
    Unconfirmed,
    Wait,
    WorkRequested,
)
from engine.workqueue import WorkQueue
from storage.snapshot import SnapshotBusy, SnapshotError, SnapshotWriter, part_of
from storage.verdicts import VerdictJournal

_log = logging.getLogger(__name__)

_SYNC_EVERY = 10.0
"""Seconds between two times that the journal is forced to the disk."""

_SAY_EVERY = 60.0
"""Seconds between two lines about how far the listing is."""

_LAST_FAILURES = 20

_SHOWN_WAITING = 3


class Coordinator:
    """Hands out work, journals what comes back and knows when it is over. Every method returns at once.

    ``clock`` gives seconds and never runs back.
    """

    def __init__(self, plan: ListingPlan, clock: Callable[[], float] = time.monotonic) -> None:
        self._plan = plan
        self._clock = clock
        self._ignored = PatternFilter(plan.ignored, plan.left_out)
        self._queue = WorkQueue(plan.limits, self._ignored)
        self._requests: dict[str, int] = {}
        self._paces: dict[str, tuple[DoorPace, ...]] = {}
        self._failed_by: Counter[Reason] = Counter()
        self._verdicts: list[Verdict] = []
        self._failures: deque[tuple[bytes, Reason, str]] = deque(maxlen=_LAST_FAILURES)
        self._files = self._size = self._resumed = self._answers = 0
        self._killed = self._note = ""
        self._said: VerdictJournal | None = None
        self._open = self._has_waited = False
        self._earlier = EarlierListings(plan)
        self._synced = self._say_at = clock()

    def start(self) -> None:
        """Open the journal, or go on from the one that is there, and queue what is to be listed.

        Raises:
            SnapshotBusy: another process writes to the journal that is there.
            OSError: the journal cannot be read or written. Like the other one, this leaves it as it is.
        """
        plan = self._plan
        tops = plan.header.tops
        self._earlier.open()
        resumed = plan.resume and self._resume()
        if not resumed:
            self._journal = SnapshotWriter(plan.snapshot, self._earlier.header)
            self._links = LinkWatch(self._journal.index.mtime_of, tops)
            self._earlier.begin(self._journal.header)
        self._open = True
        self._said = None if plan.verdicts is None else VerdictJournal(plan.verdicts, resumed)
        if resumed:
            self._take_over(tops)
            return
        for top in tops:
            self._journal.index.know(top)
        self._handle(DirectoriesSeeded(tops, tops))

    def _resume(self) -> bool:
        """Open the journal that is there; what is no journal is replaced, since the store has it all again."""
        if not part_of(self._plan.snapshot).exists():
            return False
        links: LinkWatch | None = None

        def see_again(entry: Entry, index: IndexBuilder) -> None:
            nonlocal links
            # Its journal is not there before it was read to its end.
            links = links or LinkWatch(index.mtime_of, self._plan.header.tops)
            if entry.state == State.LISTED:
                links.see(entry)

        try:
            self._journal = SnapshotWriter.resume(self._plan.snapshot, see_again, self._plan.header)
        except SnapshotBusy:
            raise
        except SnapshotError as error:
            self._note = f"starting over: {error}"
            _log.warning("%s", self._note)
            return False
        self._links = links or LinkWatch(self._journal.index.mtime_of, self._plan.header.tops)
        return True

    def _take_over(self, tops: tuple[bytes, ...]) -> None:
        """Go on from a journal: what it has listed stays, everything else that it names is asked again."""
        index = self._journal.index
        for top in tops:
            index.know(top)
        again = self._earlier.go_on(self._journal.header, index)
        self._resumed = index.count(State.LISTED) - len(again)
        self._files, self._size = index.totals()
        failed = [path for path in index.in_state(State.FAILED) if index.reason_of(path) != Reason.LINK]
        unfilled: Iterable[bytes] = index.in_state(State.UNFILLED)
        state = self._earlier.state
        if state is not None:
            # What may be taken over is looked at by and by.
            unfilled = [path for path in unfilled if self._is_spared(path) or not state.may_be_taken(path)]
        frontier = [*unfilled, *failed, *again]
        self._handle(DirectoriesSeeded(frontier, tops))

    def exchange(self, lister: str, packed: bytes, want: int) -> Assignment:
        """Take in a batch (`Batch.pack`) and give up to ``want`` tasks."""
        batch = Batch.unpack(packed)
        self._requests[lister] = batch.requests
        self._paces[lister] = tuple(batch.paces)
        if batch.reports:
            self._take_reports(lister, batch)
        for verdict in batch.verdicts:
            self._take_verdict(lister, verdict)
        self._take_a_portion()
        tasks: list[Task] = []
        wait, go_home = 0.0, False
        for instruction in self._handle(WorkRequested(lister, want)):
            match instruction:
                case Assign(given):
                    tasks.extend(given)
                case Wait(seconds):
                    wait = seconds
                case GoHome() if self._queue.killed or not self._more_to_come:
                    go_home = True
                case GoHome():
                    wait = self._plan.limits.idle_wait
                case _:
                    continue
        self._save()
        return Assignment(tuple(tasks), wait, go_home)

    def _take_reports(self, lister: str, batch: Batch) -> None:
        offset = 0
        for report in batch.reports:
            frame = batch.frames[offset : offset + report.entry.length]
            offset += report.entry.length
            self._take_report(lister, report, frame)

    def _take_report(self, lister: str, report: ListingReport, frame: bytes) -> None:
        entry = report.entry
        event: Event
        self._answers += not entry.reason.is_silence
        if entry.state == State.FAILED:
            self._failed_by[entry.reason] += 1
        state = self._earlier.state
        if state is not None and state.is_asked(entry.path):
            self._take_second_look(lister, report, state)
            return
        children: Children | None = None
        links = {link.path: link for link in self._links.see(entry)} if entry.state == State.LISTED else {}
        if entry.path in links:
            event = DirectoryFailed(lister, entry.path, report.attempt, Reason.LINK, links[entry.path].words)
        elif entry.state == State.LISTED:
            base = entry.path if entry.path.endswith(b"/") else entry.path + b"/"
            if state is not None:
                children = state.children(base, entry.directories, self._is_spared)
                named = children.listed
            else:
                named = [base + name for name in entry.directories.name_list()]
            event = DirectoryListed(lister, entry.path, report.attempt, named)
        else:
            event = DirectoryFailed(lister, entry.path, report.attempt, entry.reason, entry.detail)
        instructions = self._queue.handle(event, self._clock())
        # The parent's frame goes first: the journal names a child before it says anything about it.
        if isinstance(event, DirectoryListed) and any(isinstance(i, Accept) for i in instructions):
            self._enter(entry, frame)
            if state is not None and children is not None:
                state.sample(children.sampled)
                state.put_off(children.taken)
                self._hold_against_earlier(entry, state)
        self._carry_out(instructions)
        for link in links.values():
            if link.path != entry.path:
                # Nothing that was asked is answered by this, such as a second look at it.
                self._record(DirectoryRecord(link.path, State.FAILED, Reason.LINK, link.words))

    def _enter(self, entry: Entry, frame: bytes) -> None:
        # One that was taken over may be listed after all.
        files, size = self._journal.index.listing_of(entry.path)
        self._journal.append_frames((entry,), frame)
        self._files += entry.files - files
        self._size += entry.size - size

    def _is_spared(self, path: bytes) -> bool:
        """Whether the queue has the last word on a directory, so that it is not taken over."""
        return path in self._plan.header.tops or self._ignored(path)

    def _take_a_portion(self) -> None:
        """Take over, or list after all, a part of what is to be; all of it might take longer than listers wait."""
        state = self._earlier.state
        if state is None or not self._open or self._queue.killed:
            return
        if state.unfinished:
            portion = self._earlier.portion(self._journal.index, self._is_spared, self._clock())
            for entry, frame in self._earlier.frames(portion):
                self._enter(entry, frame)
            self._list_after_all(portion.listed)
        self._list_after_all(state.due(self._clock()))

    @property
    def _more_to_come(self) -> bool:
        """Whether there is more to be taken over, or to be listed, than the queue knows of."""
        state = self._earlier.state
        return state is not None and (state.unfinished or state.waits)

    def _said_now(self) -> str:
        """Give the one line that matters most to whoever watches."""
        state = self._earlier.state
        distrust = f"listed in full from now on: {state.distrust}" if state is not None and state.distrust else ""
        return self._wait() or distrust or self._earlier.note or self._note

    def _wait(self) -> str:
        """Say what is waited for, if nothing is done meanwhile; the log has it once."""
        state = self._earlier.state
        said = state.wait if state is not None and self._queue.idle and not state.unfinished else ""
        if said and not self._has_waited:
            _log.info("%s", said)
        self._has_waited = bool(said)
        return said

    def _hold_against_earlier(self, entry: Entry, state: TakeOver) -> None:
        plain = not entry.directories.mtimes and entry.reason == Reason.NONE
        state.listed(entry.path, entry.digest, plain, self._clock())

    def _take_second_look(self, lister: str, report: ListingReport, state: TakeOver) -> None:
        """Take in the listing of a directory that was asked for once more; what is in the journal stays."""
        entry = report.entry
        if entry.state == State.LISTED:
            event: Event = DirectoryListed(lister, entry.path, report.attempt)
        else:
            event = DirectoryFailed(lister, entry.path, report.attempt, entry.reason, entry.detail)
        instructions = self._queue.handle(event, self._clock())
        if isinstance(event, DirectoryListed) and any(isinstance(i, Accept) for i in instructions):
            columns = entry.directories
            state.answered(entry.path, dict(zip(columns.name_list(), columns.mtime_list(), strict=True)))
        self._carry_out(instructions)

    def _list_after_all(self, directories: list[bytes]) -> None:
        if directories:
            self._handle(DirectoriesSeeded(directories, self._plan.header.tops))

    def _take_verdict(self, lister: str, verdict: Verdict) -> None:
        event: Event
        self._answers += not verdict.unknown or not verdict.reason.is_silence
        if verdict.unknown:
            self._failed_by[verdict.reason] += 1
            event = ConfirmationFailed(lister, verdict.path, verdict.attempt, verdict.reason, verdict.detail)
        else:
            event = NamesConfirmed(lister, verdict.path, verdict.attempt)
        instructions = self._queue.handle(event, self._clock())
        given_up = any(isinstance(i, Unconfirmed) for i in instructions)
        accepted = any(isinstance(i, Accept) for i in instructions)
        if given_up or (accepted and not verdict.unknown):
            # What could be settled in the last try is worth more than no answer for all names.
            self._verdicts.append(verdict)
            if self._said is not None and not verdict.unknown:
                self._said.keep(verdict)
        self._carry_out([i for i in instructions if not isinstance(i, Unconfirmed)])

    def _handle(self, event: Event) -> list[Instruction]:
        instructions = self._queue.handle(event, self._clock())
        self._carry_out(instructions)
        return instructions

    def _carry_out(self, instructions: Iterable[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Settle(path, state, reason, detail):
                    self._settle(DirectoryRecord(path, state, reason, detail))
                case Unconfirmed(path, names, reason, detail):
                    self._verdicts.append(Verdict(path, 0, unknown=names, reason=reason, detail=detail))
                case _:
                    continue

    def _settle(self, record: DirectoryRecord) -> None:
        path, earlier = record.path, self._earlier.state
        if earlier is not None:
            if earlier.is_asked(path):
                # It was asked for once more, and what it showed before stays.
                earlier.answered(path, None)
                return
            earlier.failed(path)
        self._record(record)

    def _record(self, record: DirectoryRecord) -> None:
        path = record.path
        files, size = self._journal.index.listing_of(path)
        self._files, self._size = self._files - files, self._size - size
        self._journal.append(record)
        if record.state == State.FAILED:
            self._failures.append((path, record.reason, record.detail))

    def list_again(self, packed: bytes) -> None:
        """Have directories listed after all that were taken over into what is sealed (msgpack, an array of paths).

        Raises:
            OSError: what is sealed cannot be opened again.
        """
        if not self._open:
            self._journal.reopen()
            self._open = True
        if self._earlier.state is not None:
            self._earlier.state.settle()
        self._list_after_all(list(msgpack.unpackb(packed)))
        self._save()

    def _save(self) -> None:
        if self._said is not None:
            self._said.flush()
        if not self._open:
            return
        now = self._clock()
        if now - self._synced >= _SYNC_EVERY:
            self._journal.sync()
            self._synced = now
        else:
            self._journal.flush()

    def progress(self) -> Progress:
        """Say how far things are; also the moment at which leases that ran out are noticed."""
        self._handle(TimePassed())
        self._take_a_portion()
        self._save()
        index, earlier = self._journal.index, self._earlier.state
        progress = Progress(
            listed=index.count(State.LISTED),
            failed=index.count(State.FAILED),
            ignored=index.count(State.IGNORED),
            files=self._files,
            size=self._size,
            queued=self._queue.waiting,
            in_flight=self._queue.leased,
            requests=sum(self._requests.values()),
            resumed=self._resumed,
            idle=self._queue.idle and not self._more_to_come,
            killed=self._killed,
            failures=tuple(self._failures),
            note=self._said_now(),
            answers=self._answers,
            waiting=self._queue.oldest(_SHOWN_WAITING, self._clock()),
            doors=by_door([pace for paces in self._paces.values() for pace in paces]),
            taken=earlier.taken if earlier is not None else 0,
            distrust=earlier.distrust if earlier is not None else "",
            failed_by=tuple(sorted(self._failed_by.items())),
        )
        self._say(progress)
        return progress

    def _say(self, progress: Progress) -> None:
        """Say now and then how far it is, to whoever reads the log of this actor alone; a run has its own words."""
        now = self._clock()
        if now >= self._say_at:
            self._say_at = now + _SAY_EVERY
            _log.debug(
                "%d directories, %d files, %d in the queue, %d in flight, %d failed, %d requests",
                progress.listed,
                progress.files,
                progress.queued,
                progress.in_flight,
                progress.failed,
                progress.requests,
            )

    def kill(self, why: str) -> None:
        """Stop handing out work; listers go home at their next pull, and the journal stays."""
        self._killed = self._killed or why
        self._handle(KillRequested(why))
        self._save()

    def lister_lost(self, lister: str) -> None:
        """Take back what a lister held that is gone."""
        self._take_leave(lister)
        self._handle(ListerLost(lister))

    def lister_left(self, lister: str) -> None:
        """Take back what a lister holds that goes so that others have its place; that counts against nothing."""
        self._take_leave(lister)
        self._handle(ListerLeft(lister))

    def _take_leave(self, lister: str) -> None:
        self._paces[lister] = tuple(pace.left for pace in self._paces.get(lister, ()))

    def confirm(self, packed: bytes) -> None:
        """Queue missing candidates (`pack_findings`) to be asked for one by one, but for those that were, before."""
        for finding in unpack_findings(packed):
            names = tuple(finding.files.name_list())
            said = None if self._said is None else self._said.take(finding.directory, names)
            if said is not None:
                self._verdicts.append(said)
            else:
                self._handle(ConfirmationsAdded(finding.directory, names))

    def take_verdicts(self) -> bytes:
        """Give the verdicts since the last call (`pack_verdicts`)."""
        packed = pack_verdicts(self._verdicts)
        self._verdicts = []
        return packed

    def no_more_work(self) -> None:
        """Send the listers home as soon as nothing is left to ask."""
        self._handle(NoMoreWork())

    def seal(self) -> int:
        """Finish the snapshot and give it its name; gives the number of directories in it."""
        if self._open:
            self._journal.finish()
            self._open = False
        return len(self._journal.index)

    def discard(self) -> None:
        """Remove the journal."""
        self._journal.discard()
        self._open = False

    def release(self) -> None:
        """Close the journal and keep it, unless it was sealed."""
        if self._said is not None:
            self._said.close()
        self._earlier.close()
        if self._open:
            self._journal.close()
            self._open = False
