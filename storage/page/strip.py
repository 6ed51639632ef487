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
BASE = 25
"""Where marks stand, y downwards."""

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
class Strip:
    """A path for each kind of mark that there is, oldest run first and flush right, and the same in words."""

    paths: tuple[tuple[str, str], ...]
    words: str


def strip(runs: Sequence[Run]) -> Strip:
    """Draw the last of the runs, which come newest first; what only cleaned the unmerged area is none of them."""
    last = list(reversed([run for run in runs if not run.cleaned][:LENGTH]))
    drawn: dict[str, list[str]] = {}
    for place, run in enumerate(last, LENGTH - len(last)):
        shape = _SHAPES[run.status]
        drawn.setdefault(shape, []).append(_draw(shape, place * PITCH, _height(run)))
    return Strip(tuple((shape, "".join(marks)) for shape, marks in drawn.items()), _words(last))


def _draw(shape: str, x: int, height: int) -> str:
    """Draw a mark with its left edge at ``x``; one path for many is a tenth of the work for a browser."""
    match shape:
        case "bar":
            return f"M{x + 1} {BASE}v-{height}h6v{height}z"
        case "hollow":
            return f"M{x + 1.5} {BASE - 0.5}v-{height - 1}h5v{height - 1}z"
        case "cross":
            return f"M{x + 1} {BASE - 7}l6 6m0-6l-6 6"
        case "halted":
            return f"M{x + 2.5} {BASE - 8}v8m3-8v8"
        case _:
            return f"M{x + 1} {BASE - 3}a3 3 0 1 0 6 0a3 3 0 1 0-6 0z"


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
