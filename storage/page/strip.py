"""The last ten runs at a glance: a row of marks, small enough for a cell of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from storage.history import RunStatus
from storage.page.runs import Run

LENGTH = 10
PITCH = 9
HEIGHT = 24

_LOWEST = 3
_STEP = 3

_SHAPES = {
    RunStatus.DONE: "bar",
    RunStatus.INCOMPLETE: "hollow",
    RunStatus.FAILED: "cross",
    RunStatus.DIED: "cross",
    RunStatus.HALTED: "halted",
    RunStatus.RUNNING: "dot",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """One run: a shape, ``x`` of its left edge, ``y`` of its upper one, and its height; the base is at `HEIGHT`."""

    shape: str
    x: int
    y: int
    height: int


@dataclass(frozen=True, slots=True)
class Strip:
    """The marks, oldest first and flush right, and the same in words."""

    marks: tuple[Mark, ...]
    words: str


def strip(runs: Sequence[Run]) -> Strip:
    """Draw the last of the runs, which come newest first."""
    last = list(reversed(runs[:LENGTH]))
    marks = []
    for place, run in enumerate(last, LENGTH - len(last)):
        height = _height(run)
        marks.append(Mark(_SHAPES[run.status], place * PITCH, HEIGHT - height, height))
    return Strip(tuple(marks), _words(last))


def _height(run: Run) -> int:
    """Give the height of a bar: a step for each digit of what the run found, so that 1 and 1,000,000 can be told."""
    found = (run.missing or 0) + (run.orphan or 0)
    return min(HEIGHT, _LOWEST + _STEP * len(str(found)) if found > 0 else _LOWEST)


def _words(runs: Sequence[Run]) -> str:
    if not runs:
        return "no runs yet"
    counts = Counter(run.status.value for run in runs)
    how = ", ".join(f"{count} {status}" for status, count in counts.items())
    word = "run" if len(runs) == 1 else "runs"
    return f"last {len(runs)} {word}: {how}; last: {runs[-1].status.value}"
