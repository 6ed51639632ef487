"""A desk at which listers ask the work queue for work and report."""

from __future__ import annotations

from collections.abc import Callable

from engine.work import (
    Assign,
    DirectoriesSeeded,
    Event,
    Instruction,
    QueueLimits,
    Task,
    TaskKind,
    WorkRequested,
)
from engine.workqueue import WorkQueue

LIST, CONFIRM = TaskKind.LIST, TaskKind.CONFIRM
LIMITS = QueueLimits()


class Desk:
    """A queue and the time, with invariants checked after every event."""

    def __init__(self, limits: QueueLimits = LIMITS, ignored: Callable[[bytes], bool] | None = None) -> None:
        self.queue = WorkQueue(limits, ignored)
        self.now = 1000.0

    def tell(self, event: Event) -> list[Instruction]:
        instructions = self.queue.handle(event, self.now)
        self.queue.check()
        return instructions

    def ask(self, lister: str, want: int = 1) -> Instruction:
        (answer,) = self.tell(WorkRequested(lister, want))
        return answer

    def take(self, lister: str, want: int = 1) -> list[Task]:
        answer = self.ask(lister, want)
        assert isinstance(answer, Assign), answer
        return list(answer.tasks)

    def paths(self, lister: str, want: int = 1) -> list[bytes]:
        return [task.path for task in self.take(lister, want)]


def seeded(*paths: bytes, limits: QueueLimits = LIMITS, ignored: Callable[[bytes], bool] | None = None) -> Desk:
    desk = Desk(limits, ignored)
    assert desk.tell(DirectoriesSeeded(paths)) == []
    return desk
