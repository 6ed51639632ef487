"""The work queue against a model, with events in any order.

The model knows a small tree, who holds what and since when, and what ended how; it works all that out again in the
plainest way and compares after every event. At the end the queue is driven until it stops.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.paths import join, parent_of
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
    QueueLimits,
    Settle,
    Task,
    TaskKind,
    TimePassed,
    Unconfirmed,
    Wait,
    WorkRequested,
)
from engine.workqueue import WorkQueue

LISTERS = ("a", "b", "c")
LIMITS = QueueLimits(max_attempts=3, first_delay=1.0, max_delay=4.0, lease_seconds=8.0, max_depth=3, batch=4)
TOP = b"/store"

Key = tuple[TaskKind, bytes]
Handed = tuple[str, Task]


@dataclass(frozen=True)
class Turn:
    """What a lister says at once: how the first of its tasks went (None is well), and what it has room for.

    Every rule ends with one, because hypothesis switches rules off for whole runs, and listers never sleep.
    """

    lister: str
    outcomes: tuple[Reason | None, ...]
    want: int


listers = st.sampled_from(LISTERS)
outcomes = st.sampled_from((None, None, None, None, Reason.SERVER, Reason.CONNECTION, Reason.PERMISSION))
turns = st.builds(Turn, listers, st.lists(outcomes, max_size=2).map(tuple), st.sampled_from((2, 4, 1, 6, 0)))


@st.composite
def trees(draw: st.DrawFn) -> dict[bytes, list[bytes]]:
    """Give the children of each directory of a tree below `TOP`."""
    tree: dict[bytes, list[bytes]] = {TOP: []}
    for number in range(draw(st.integers(8, 30))):
        parent = draw(st.sampled_from(sorted(tree)))
        child = join(parent, draw(st.sampled_from((b"d%d", b"d%d", b"d%d", b"skip%d"))) % number)
        tree[parent].append(child)
        tree[child] = []
    return tree


def ignored(path: bytes) -> bool:
    return b"skip" in path


@dataclass
class Held:
    lister: str
    task: Task
    since: float


class QueueMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.queue = WorkQueue(LIMITS, ignored)
        self.now = 0.0
        self.killed = False
        self.closed = False
        self.tree: dict[bytes, list[bytes]] = {}
        self.tops: set[bytes] = set()
        self.found: set[bytes] = set()
        self.ends: Counter[bytes] = Counter()
        self.listed: set[bytes] = set()
        self.handed: list[Handed] = []
        self.held: dict[Key, Held] = {}
        self.tries: Counter[Key] = Counter()
        self.due: dict[Key, float] = {}
        self.failed_by: dict[Key, set[str]] = {}
        self.last_attempt: Counter[Key] = Counter()
        self.heard: dict[str, float] = {}
        self.reported: dict[str, float] = {}
        self.asked_names: set[tuple[bytes, bytes]] = set()
        self.answers: Counter[tuple[bytes, bytes]] = Counter()

    @initialize(tree=trees(), chosen=st.sets(st.integers(0, 30), min_size=2, max_size=5), killable=st.booleans())
    def seed(self, tree: dict[bytes, list[bytes]], chosen: set[int], killable: bool) -> None:
        self.tree = tree
        self.killable = killable
        self.tops = {TOP, *(sorted(tree)[number % len(tree)] for number in chosen)}
        seeds = [*sorted(self.tops), TOP]
        self.expect_settled(sorted(self.tops), self.tell(DirectoriesSeeded(seeds)))

    @rule(turn=turns)
    def take_turn(self, turn: Turn) -> None:
        self.play(turn)

    @precondition(lambda self: self.handed)
    @rule(choice=st.integers(0, 99), lister=st.none() | listers, reason=outcomes, turn=turns)
    def report_late_again_or_in_a_wrong_name(
        self, choice: int, lister: str | None, reason: Reason | None, turn: Turn
    ) -> None:
        holder, task = self.handed[choice % len(self.handed)]
        if reason is None:
            self.succeed((lister or holder, task))
        else:
            self.fail((lister or holder, task), reason)
        self.play(turn)

    @precondition(lambda self: self.held)
    @rule(lister=listers, turn=turns)
    def lose(self, lister: str, turn: Turn) -> None:
        instructions = self.tell(ListerLost(lister))
        self.heard.pop(lister, None)
        self.reported.pop(lister, None)
        lost = [key for key, held in self.held.items() if held.lister == lister]
        self.expect_failures(lost, Reason.LISTER_LOST, instructions, None)
        self.play(turn)

    @precondition(lambda self: self.held)
    @rule(lister=listers, turn=turns)
    def leave(self, lister: str, turn: Turn) -> None:
        assert self.tell(ListerLeft(lister)) == []
        self.heard.pop(lister, None)
        self.reported.pop(lister, None)
        # No try is counted, and nobody is spared what it had in hand.
        for key in [key for key, held in self.held.items() if held.lister == lister]:
            del self.held[key]
        self.play(turn)

    @rule(seconds=st.sampled_from((4.0, 0.5, 1.0, 2.0, 7.5, 8.0)), turn=turns)
    def wait(self, seconds: float, turn: Turn) -> None:
        self.pass_time(seconds)
        self.play(turn)

    @precondition(lambda self: len(self.asked_names) < 12)
    @rule(choice=st.integers(0, 99), size=st.integers(0, 3), repeated=st.booleans(), turn=turns)
    def add_confirmations(self, choice: int, size: int, repeated: bool, turn: Turn) -> None:
        path = sorted(self.tree)[choice % len(self.tree)]
        names = [b"f%d" % (len(self.asked_names) + number) for number in range(size)]
        self.asked_names.update((path, name) for name in names)
        for _ in range(1 + repeated):
            assert self.tell(ConfirmationsAdded(path, names)) == []
        self.play(turn)

    @precondition(lambda self: self.killable and not self.killed and len(self.handed) > 3)
    @rule(turn=turns)
    def kill(self, turn: Turn) -> None:
        assert self.tell(KillRequested("enough")) == []
        self.killed = True
        self.play(turn)

    @invariant()
    def what_is_open_is_what_was_found_and_has_not_ended(self) -> None:
        open_paths = self.queue.unreached
        assert len(open_paths) == len(set(open_paths))
        assert set(open_paths) == self.found - set(self.ends)
        assert set(self.ends.values()) <= {1}
        assert self.queue.leased == len(self.held)

    @invariant()
    def no_name_is_answered_twice(self) -> None:
        assert set(self.answers.values()) <= {1}

    def teardown(self) -> None:
        if not self.tree:
            return
        habits = (self.drain_by_success, self.drain_by_failure, self.drain_by_silence)
        self.tell(NoMoreWork())
        self.closed = True
        habits[len(self.handed) % len(habits)]()
        if self.killed:
            assert not self.found - set(self.ends) - set(self.queue.unreached)
        else:
            assert self.queue.idle
            assert set(self.ends) == self.found == self.reachable()
            assert set(self.answers) == self.asked_names
        assert all(self.ends[path] == 1 for path in self.ends)

    def drain_by_success(self) -> None:
        self.drain(lambda held: self.succeed((held.lister, held.task)))

    def drain_by_failure(self) -> None:
        self.drain(lambda held: self.fail((held.lister, held.task), Reason.SERVER))

    def drain_by_silence(self) -> None:
        self.drain(lambda held: None)

    def drain(self, answer: Callable[[Held], None]) -> None:
        """Let time pass and every lister answer and ask in turn, until all may go home."""
        # Every round but the last ends at least one attempt; names may need a second task for the same directory.
        for _ in range(LIMITS.max_attempts * (len(self.tree) + len(self.asked_names)) + 2):
            for held in list(self.held.values()):
                answer(held)
            self.pass_time(LIMITS.lease_seconds)
            if all(isinstance(self.request(lister, 4), GoHome) for lister in LISTERS):
                return
        raise AssertionError("the queue does not come to an end")

    def play(self, turn: Turn) -> None:
        held = [held for held in self.held.values() if held.lister == turn.lister]
        for one, reason in zip(held, turn.outcomes, strict=False):
            if reason is None:
                self.succeed((one.lister, one.task))
            else:
                self.fail((one.lister, one.task), reason)
        self.request(turn.lister, turn.want)

    def request(self, lister: str, want: int) -> Instruction:
        (answer,) = self.tell(WorkRequested(lister, want))
        self.heard[lister] = self.now
        if isinstance(answer, Assign):
            assert not self.killed
            assert 0 < len(answer.tasks) <= min(want, LIMITS.batch)
            for task in answer.tasks:
                self.hand_over(lister, task)
        elif isinstance(answer, Wait):
            assert not self.killed
            assert want == 0 or not any(self.may_have(lister, key) for key in self.open_keys())
        else:
            assert answer == GoHome()
            assert self.killed or (self.closed and not self.open_keys())
        return answer

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        instructions = self.tell(TimePassed())
        silent = [
            key
            for key, held in self.held.items()
            if self.now - max(held.since, self.reported.get(held.lister, 0.0)) >= LIMITS.lease_seconds
        ]
        if self.killed:
            assert instructions == []
        else:
            self.expect_failures(silent, Reason.TIMEOUT, instructions, self.now)

    def tell(self, event: Event) -> list[Instruction]:
        instructions = self.queue.handle(event, self.now)
        self.queue.check()
        return instructions

    def open_keys(self) -> set[Key]:
        """Give what has not ended, in the hands of listers or not."""
        listings = {(TaskKind.LIST, path) for path in self.found - set(self.ends)}
        return listings | {(TaskKind.CONFIRM, path) for path, _ in self.asked_names - set(self.answers)}

    def may_have(self, lister: str, key: Key) -> bool:
        """Tell whether an open task can go to this lister now."""
        living = {name for name, heard in self.heard.items() if self.now - heard < LIMITS.lease_seconds}
        failed_by = self.failed_by.get(key, set())
        allowed = lister not in failed_by or living <= failed_by
        return allowed and key not in self.held and self.due.get(key, 0.0) <= self.now

    def hand_over(self, lister: str, task: Task) -> None:
        key = (task.kind, task.path)
        assert task.attempt > self.last_attempt[key]
        assert self.tries[key] < LIMITS.max_attempts
        assert self.may_have(lister, key)
        if task.kind == TaskKind.LIST:
            assert task.path in self.found
            assert task.path not in self.ends
        else:
            assert task.names
            assert {(task.path, name) for name in task.names} <= self.asked_names - set(self.answers)
        self.last_attempt[key] = task.attempt
        self.held[key] = Held(lister, task, self.now)
        self.handed.append((lister, task))

    def succeed(self, handed: Handed) -> None:
        lister, task = handed
        children = self.tree[task.path]
        event: Event
        if task.kind == TaskKind.LIST:
            event = DirectoryListed(lister, task.path, task.attempt, [*children, *children[:1]])
        else:
            event = NamesConfirmed(lister, task.path, task.attempt)
        current = self.is_current(handed)
        instructions = self.tell(event)
        if not current:
            assert instructions == [Discard(task.kind, task.path)]
            return
        self.note_report(lister)
        accept, *settled = instructions
        assert accept == Accept(task.kind, task.path)
        self.close((task.kind, task.path))
        if task.kind == TaskKind.LIST:
            self.end(task.path)
            self.listed.add(task.path)
            self.expect_settled([child for child in children if child not in self.tops], settled)
        else:
            assert settled == []
            self.answers.update((task.path, name) for name in task.names)

    def fail(self, handed: Handed, reason: Reason) -> None:
        lister, task = handed
        report = DirectoryFailed if task.kind == TaskKind.LIST else ConfirmationFailed
        current = self.is_current(handed)
        instructions = self.tell(report(lister, task.path, task.attempt, reason, "words"))
        if current:
            self.note_report(lister)
            self.expect_failures([(task.kind, task.path)], reason, instructions, self.now)
        else:
            assert instructions == [Discard(task.kind, task.path)]

    def is_current(self, handed: Handed) -> bool:
        lister, task = handed
        held = self.held.get((task.kind, task.path))
        return held is not None and (held.lister, held.task.attempt) == (lister, task.attempt)

    def note_report(self, lister: str) -> None:
        self.heard[lister] = self.reported[lister] = self.now

    def expect_failures(
        self, keys: list[Key], reason: Reason, instructions: list[Instruction], failed_at: float | None
    ) -> None:
        """Check what came of leases that ended in failure; ``failed_at`` is None when there is no back-off."""
        last_words = {}
        for instruction in instructions:
            assert isinstance(instruction, Settle | Unconfirmed)
            assert instruction.reason == reason
            kind = TaskKind.LIST if isinstance(instruction, Settle) else TaskKind.CONFIRM
            last_words[kind, instruction.path] = instruction
        assert len(last_words) == len(instructions)
        final = set()
        for key in keys:
            held = self.held.pop(key)
            self.tries[key] += 1
            self.failed_by.setdefault(key, set()).add(held.lister)
            if not reason.retryable or (self.tries[key] >= LIMITS.max_attempts and not self.killed):
                final.add(key)
                self.give_up(held.task, last_words[key])
            elif failed_at is not None:
                self.due[key] = failed_at + LIMITS.first_delay * 2 ** (self.tries[key] - 1)
        assert set(last_words) == final

    def give_up(self, task: Task, told: Instruction) -> None:
        if isinstance(told, Settle):
            assert told.state == State.FAILED
            self.end(task.path)
        else:
            assert isinstance(told, Unconfirmed)
            assert told.names == task.names
            self.answers.update((task.path, name) for name in task.names)
        self.close((task.kind, task.path))

    def expect_settled(self, found: list[bytes], instructions: list[Instruction]) -> None:
        """Check what was settled of newly found directories: those that are ignored or too deep, and no other."""
        assert not self.found & set(found)
        self.found.update(found)
        fates = {}
        for path in found:
            if ignored(path):
                fates[path] = (State.IGNORED, Reason.IGNORED)
            elif self.depth(path) > LIMITS.max_depth:
                fates[path] = (State.FAILED, Reason.DEPTH)
        assert len(instructions) == len(fates)
        for instruction in instructions:
            assert isinstance(instruction, Settle)
            assert (instruction.state, instruction.reason) == fates[instruction.path]
            self.end(instruction.path)

    def end(self, path: bytes) -> None:
        self.ends[path] += 1

    def close(self, key: Key) -> None:
        self.held.pop(key, None)
        self.tries.pop(key, None)
        self.due.pop(key, None)
        self.failed_by.pop(key, None)

    def depth(self, path: bytes) -> int:
        depth = 0
        while path not in self.tops:
            path = parent_of(path) or TOP
            depth += 1
        return depth

    def reachable(self) -> set[bytes]:
        """Give the tops and everything directly below a listed directory."""
        return self.tops | {child for path in self.listed for child in self.tree[path]}


TestWorkQueue = QueueMachine.TestCase
TestWorkQueue.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
