"""Whether a listing gets on: how long nothing has answered, and what is to be done about it.

A state machine that is shown, every second or so, how many answers have come and whether anything is still to be asked.
Time in which nobody looked counts for next to nothing: a machine that was suspended, a process that was stopped or a
clock that jumped makes no stall.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine import paths

_LONGEST_STEP = 5.0
"""Seconds between two looks that count; what is beyond them, nobody was awake to see."""


class AwakeClock:
    """Seconds in which somebody looked: of the time between two looks no more counts than ``longest_step``."""

    def __init__(self, longest_step: float = _LONGEST_STEP) -> None:
        self._longest = longest_step
        self._last: float | None = None
        self._awake = 0.0

    def at(self, now: float) -> float:
        """Give the seconds awake so far, where ``now`` is in seconds on any clock."""
        if self._last is not None:
            self._awake += min(max(0.0, now - self._last), self._longest)
        self._last = now
        return self._awake


@dataclass(frozen=True, slots=True)
class StallLimits:
    """After how many seconds without an answer something is said, stuck listers are replaced, and the run given up.

    ``give_up_after`` 0 is never; what is replaced is replaced once in a stall, and never where nothing is given up.
    """

    say_after: float = 60.0
    replace_after: float = 900.0
    give_up_after: float = 1800.0

    @classmethod
    def of(cls, minutes: float, timeout: float) -> StallLimits:
        """Give up after ``minutes``, and not before a request of ``timeout`` seconds could have ended three times."""
        if not minutes:
            return cls(give_up_after=0.0)
        patience = max(60.0 * minutes, 3.0 * timeout)
        return cls(min(60.0, patience / 3), patience / 2, patience)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A directory that is waited for: in whose hands, and for how many seconds."""

    path: bytes
    lister: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Say:
    """Say that nothing has answered for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ReplaceStuck:
    """Replace the listers that hold what is waited for."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End the run: nothing has answered for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GoesOn:
    """Say that an answer has come, after so many seconds of which it was said that there was none."""

    seconds: float


Instruction = Say | ReplaceStuck | GiveUp | GoesOn


class StallWatch:
    """Decides, by the answers so far, whether a listing gets on."""

    def __init__(self, limits: StallLimits) -> None:
        self._limits = limits
        self._clock = AwakeClock()
        self._answers = -1
        self._since = 0.0
        self._say_at = limits.say_after
        self._replaced = self._given_up = False

    def look(self, answers: int, is_open: bool, now: float) -> list[Instruction]:
        """Take the ``answers`` of the store so far, and whether anything is still to be asked; ``now`` in seconds."""
        awake = self._clock.at(now)
        quiet = awake - self._since
        if answers != self._answers or not is_open:
            said = self._say_at > self._limits.say_after and answers != self._answers
            self._answers, self._since, self._say_at = answers, awake, self._limits.say_after
            self._replaced = self._given_up = False
            return [GoesOn(quiet)] if said else []
        instructions: list[Instruction] = []
        if quiet >= self._say_at:
            # Twice as long each time, so that a night of silence does not fill a log.
            self._say_at *= 2.0 ** (1 + math.floor(math.log2(quiet / self._say_at)))
            instructions.append(Say(quiet))
        if self._limits.give_up_after:
            if quiet >= self._limits.give_up_after:
                if not self._given_up:
                    self._given_up = True
                    instructions.append(GiveUp(quiet))
            elif quiet >= self._limits.replace_after and not self._replaced:
                self._replaced = True
                instructions.append(ReplaceStuck(quiet))
        return instructions


def describe(seconds: float, waiting: Sequence[Waiting], others: int = 0) -> str:
    """Say in one line what is waited for; ``others`` counts what is waited for besides."""
    words = f"nothing has answered for {duration(seconds)}"
    if not waiting:
        return words
    shown = ", ".join(f"{paths.escape(w.path)} ({w.lister}, for {duration(w.seconds)})" for w in waiting)
    more = f" and {others:,} more" if others > 0 else ""
    return f"{words}; waiting for {shown}{more}"


def duration(seconds: float) -> str:
    """Write a time for people."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
