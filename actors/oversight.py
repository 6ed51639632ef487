"""Who watches a run: how far it is, whether it is to stop, and what is raised when it does.

It loads next to nothing, since every command needs it and most need nothing of what a listing does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actors.runtime import Answer
    from engine.gates import Refusal
    from engine.pace import DoorPace
    from engine.stall import Waiting
    from engine.states import Reason


class Killed(Exception):
    """The run was told to stop; its journal stays, so that a later run can go on from there."""


class Refused(Exception):
    """A safety gate closed; nothing of the run is a finding."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.gate, refusal.message)
        self.refusal = refusal

    def __str__(self) -> str:
        return f"{self.refusal.gate}: {self.refusal.message}"

    def __reduce__(self) -> tuple[type[Refused], tuple[Refusal]]:
        return Refused, (self.refusal,)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a listing is: directories by state, what is queued and being asked, and the requests sent so far.

    ``size`` is in bytes; ``resumed`` counts directories taken over from a journal; ``idle`` says that nothing is left
    to ask; ``failures`` has the last few, newest last, as (path, reason, detail); ``seconds`` is the time since the
    listers began; ``note`` is one line that somebody who watches should see, such as that a journal was of no use.
    ``answers`` counts what the store has answered, refusals included and silence not; ``waiting`` has the few tasks
    that listers have had in hand for longest, and ``doors`` how each door is asked at the moment, by all listers.
    ``failed_by`` counts what failed, by the reason, each time that it was tried. ``taken`` counts directories taken
    over from the last complete listing; ``distrust`` says why none is any more, empty while there is no reason.
    ``listers`` is how many listers work.
    """

    listed: int = 0
    failed: int = 0
    ignored: int = 0
    files: int = 0
    size: int = 0
    queued: int = 0
    in_flight: int = 0
    requests: int = 0
    resumed: int = 0
    idle: bool = False
    killed: str = ""
    failures: tuple[tuple[bytes, Reason, str], ...] = ()
    seconds: float = 0.0
    note: str = ""
    answers: int = 0
    waiting: tuple[Waiting, ...] = ()
    doors: tuple[DoorPace, ...] = ()
    taken: int = 0
    distrust: str = ""
    failed_by: tuple[tuple[Reason, int], ...] = ()
    listers: int = 0


@dataclass(frozen=True, slots=True)
class Oversight:
    """What the supervisor looks at and talks to.

    ``stop`` gives the reason to stop, empty while there is none; ``watch`` is told the phase and the progress.
    """

    stop: Callable[[], str] = lambda: ""
    watch: Callable[[str, Progress], None] = lambda _phase, _progress: None


def heed(oversight: Oversight) -> None:
    """Raise `Killed` when the oversight asks to stop."""
    why = oversight.stop()
    if why:
        raise Killed(why)


def await_answer(answer: Answer, patience: float, oversight: Oversight) -> Any:
    """Wait for an answer for up to ``patience`` seconds, with an eye on the oversight.

    Raises:
        Killed: the oversight asked to stop.
        TimeoutError, ActorLost, Exception: see `Answer.result`.
    """
    give_up = time.monotonic() + patience
    while not answer.done() and time.monotonic() < give_up:
        heed(oversight)
        with suppress(TimeoutError):
            return answer.result(0.1)
    return answer.result(0)
