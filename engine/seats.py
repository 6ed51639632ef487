"""How many listers each of several runs may have, where there is room for so many in all, or at a door.

A lister takes a seat in the pool and one at each door of its store. Seats are dealt out one at a time, to whoever has
the fewest: so a run that wants little gets all of it, and what others leave is shared evenly (max-min fairness).

Where there are fewer seats than runs, they take turns: whoever has waited for one is served before those whose turn has
lasted long enough. A first turn is short and each further one as long as all before it, so that a run which needs days
does not change seats all the time; and one that never had a seat waits for nothing but the first part of others' turns,
so that a run which needs little is soon done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

FIRST_TURN = 10.0
TURN = 600.0
"""Seconds that a run has its seats for, the first time and at most, before those that wait are served in its stead."""


@dataclass(frozen=True, slots=True)
class Seated:
    """A run that shares seats with others.

    It ``wants`` so many listers and ``holds`` so many, those that are about to go included, at each of its ``doors``.
    ``since`` is when it got the first of them, or, while it holds none, since when it has waited; ``had`` is how long
    it held some in the turns before this one; in seconds.
    """

    run: str
    wants: int
    holds: int
    doors: tuple[str, ...] = ()
    since: float = 0.0
    had: float = 0.0


@dataclass(frozen=True, slots=True)
class SeatLimits:
    """The most listers in all (None: as many as are wanted) and at each door that has a limit.

    ``first_turn`` and ``turn`` are the shortest and the longest turn, in seconds.
    """

    pool: int | None = None
    doors: Mapping[str, int] = field(default_factory=dict)
    first_turn: float = FIRST_TURN
    turn: float = TURN

    @property
    def anything(self) -> bool:
        """Whether anything is limited."""
        return self.pool is not None or bool(self.doors)


class _Room:
    """The seats that are not dealt out yet."""

    def __init__(self, limits: SeatLimits) -> None:
        self._pool = limits.pool
        self._doors = dict(limits.doors)

    def take(self, doors: Sequence[str], count: int = 1) -> None:
        if self._pool is not None:
            self._pool -= count
        for door in self._doors.keys() & set(doors):
            self._doors[door] -= count

    def left(self, doors: Sequence[str], most: int) -> int:
        """Give how many more listers there is room for at these doors, at most so many."""
        rooms = [self._doors[door] for door in self._doors.keys() & set(doors)]
        if self._pool is not None:
            rooms.append(self._pool)
        return max(0, min([most, *rooms]))


def fair_shares(runs: Sequence[Seated], limits: SeatLimits, now: float) -> dict[str, int]:
    """Give how many listers each run should have, by its name."""
    shares = {run.run: 0 for run in runs}
    room = _Room(limits)
    hungry = sorted(runs, key=lambda run: _turn(run, limits, now))
    while hungry:
        still = []
        for run in hungry:
            if shares[run.run] < run.wants and room.left(run.doors, 1):
                room.take(run.doors)
                shares[run.run] += 1
                still.append(run)
        # Room only ever gets less: who found none gets none any more.
        hungry = still
    return shares


def may_hold(name: str, runs: Sequence[Seated], limits: SeatLimits, now: float) -> int:
    """Give how many listers the run of this name may have at once: its share, as far as others have left their seats.

    That is less than it holds when it has to give some back. A seat that was left is kept for those who are served
    before it: else whoever gives one back, and has waited from then on, takes it again before they come.
    """
    (run,) = [other for other in runs if other.run == name]
    shares = fair_shares(runs, limits, now)
    if shares[name] <= run.holds:
        return shares[name]
    room, rank = _Room(limits), _turn(run, limits, now)
    for other in runs:
        is_first = _turn(other, limits, now) < rank
        room.take(other.doors, max(other.holds, shares[other.run]) if is_first else other.holds)
    return run.holds + room.left(run.doors, shares[name] - run.holds)


def _turn(run: Seated, limits: SeatLimits, now: float) -> tuple[int, float, str]:
    """Sort by who is served first, and of those whose turn is over the latest first."""
    if not run.holds:
        return 3 if run.had else 1, run.since, run.run
    has_lasted, first = now - run.since, min(limits.first_turn, limits.turn)
    if has_lasted < first:
        return 0, run.since, run.run
    return (2, run.since, run.run) if has_lasted < min(max(first, run.had), limits.turn) else (4, -run.since, run.run)
