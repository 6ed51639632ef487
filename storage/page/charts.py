"""Charts over the runs of a site: where lines, ticks and marks stand in an SVG that needs no library.

Coordinates are those of the picture, `WIDTH` by `HEIGHT`, y downwards. The horizontal axis is time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor

from storage.history import RunStatus
from storage.page import words
from storage.page.runs import Run

WIDTH, HEIGHT = 380, 170
LEFT, RIGHT, TOP, BOTTOM = 46, 372, 12, 146
"""The edges of the plot; the labels of the axes stand outside of it."""

_TICKS = 3
_SHORT = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis and its label."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart. ``line`` and ``area`` are paths, ``crosses`` the x of runs that ended without results.

    ``limit`` is a line or None. ``points`` has x and y of each run that knows the value, oldest first; ``words`` says
    what the picture shows.
    """

    key: str
    title: str
    line: str
    area: str
    points: tuple[tuple[float, float], ...]
    crosses: tuple[float, ...]
    rows: tuple[Tick, ...]
    times: tuple[Tick, ...]
    limit: Tick | None
    words: str


@dataclass(frozen=True, slots=True)
class _Subject:
    """What a chart is about. ``from_zero``: the ground is 0, not just below the lowest value; ``whole``: no halves."""

    key: str
    title: str
    value_of: Callable[[Run], float | None]
    show: str = ",.0f"
    from_zero: bool = True
    whole: bool = True


_MISSING = _Subject("missing", "Missing files", lambda run: run.missing)
_ORPHAN = _Subject("orphan", "Orphans", lambda run: run.orphan)
_FILES = _Subject("files", "Files", lambda run: run.files, from_zero=False)
_TIME = _Subject(
    "time", "Duration [min]", lambda run: None if run.seconds is None else run.seconds / 60, show=",.1f", whole=False
)


def charts(runs: Sequence[Run], max_missing: int, max_orphan: int) -> tuple[Chart, ...]:
    """Draw the charts of a site's runs, which come newest first; none of what no run knows.

    A run that only cleaned the unmerged area is in none of them.
    """
    runs = [run for run in runs if not run.cleaned]
    limits = {_MISSING: (max_missing, "MaxMissing"), _ORPHAN: (max_orphan, "MaxOrphan")}
    return tuple(
        _chart(subject, runs, *limits.get(subject, ()))
        for subject in (_MISSING, _ORPHAN, _FILES, _TIME)
        if any(run.counted and subject.value_of(run) is not None for run in runs)
    )


def _chart(subject: _Subject, runs: Sequence[Run], limit: int = 0, limit_name: str = "") -> Chart:
    """Draw one chart. The limit is drawn when a value comes near it: else it would press the line to the ground."""
    oldest_first = runs[::-1]
    known = [
        (run.started, value) for run in oldest_first if run.counted and (value := subject.value_of(run)) is not None
    ]
    times, values = [time for time, _ in known], [float(value) for _, value in known]
    begin, end = oldest_first[0].started, oldest_first[-1].started
    near = 0 < limit <= max(values) * 2
    # A change of less than a thousandth is none to look at, and its ticks would be told apart by no short label.
    lowest = 0.0 if subject.from_zero else min(*values, max(values) * 0.999)
    low, step = axis(lowest, max(values), subject.whole)
    if near:
        low, step = axis(0.0, max(limit, *values), subject.whole)

    def x_of(time: float) -> float:
        share = (time - begin) / (end - begin) if end > begin else 1.0
        return round(LEFT + share * (RIGHT - LEFT), 1)

    def y_of(value: float) -> float:
        return round(BOTTOM - (value - low) / (step * _TICKS) * (BOTTOM - TOP), 1)

    points = tuple((x_of(time), y_of(value)) for time, value in zip(times, values, strict=True))
    line = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
    return Chart(
        key=subject.key,
        title=subject.title,
        line=line,
        area=f"{line}L{points[-1][0]:g} {BOTTOM}L{points[0][0]:g} {BOTTOM}Z",
        points=points,
        crosses=tuple(x_of(run.started) for run in oldest_first if not run.counted and run.status != RunStatus.RUNNING),
        rows=tuple(Tick(y_of(low + step * row), short(low + step * row)) for row in range(_TICKS + 1)),
        times=_times(begin, end),
        limit=Tick(y_of(limit), f"{limit_name} {limit:,}") if near else None,
        words=_words(subject, values),
    )


def axis(low: float, high: float, whole: bool) -> tuple[float, float]:
    """Give the lowest tick and the distance of the ticks, a 1, 2, 2.5 or 5 with zeros behind it, that hold the values.

    All values alike are a line in the middle of nowhere, so the axis then starts from 0.
    """
    if high <= low:
        low = min(0.0, low)
    for exponent in range(-3 if not whole else 0, 25):
        for factor in (1.0, 2.0, 2.5, 5.0):
            step = factor * 10.0**exponent
            ground = floor(low / step) * step
            if ground + step * _TICKS >= high and not (whole and step % 1):
                return ground, step
    return 0.0, max(high, 1.0)


def short(value: float) -> str:
    """Write a tick in few letters: 2.5k, 40M."""
    for factor, letter in _SHORT:
        if value >= factor:
            return f"{value / factor:g}{letter}"
    return f"{value:.3g}"


def _times(begin: float, end: float) -> tuple[Tick, ...]:
    form = "%Y-%m-%d" if end - begin >= 2 * 86400 else "%m-%d %H:%M"
    if end <= begin:
        return (Tick(RIGHT, words.utc(end, form)),)
    return (Tick(LEFT, words.utc(begin, form)), Tick(RIGHT, words.utc(end, form)))


def _words(subject: _Subject, values: Sequence[float]) -> str:
    last, lowest, highest = (format(value, subject.show) for value in (values[-1], min(values), max(values)))
    runs = "1 run" if len(values) == 1 else f"{len(values)} runs"
    return f"{subject.title} over {runs}: last {last}, lowest {lowest}, highest {highest}"
