"""Seats are shared fairly, never above a limit, and nobody waits for ever."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from engine.seats import Seated, SeatLimits, fair_shares, may_hold

A, B = "a.example:1094", "b.example:1094"


def shares(*runs: Seated, pool: int | None = None, doors: dict[str, int] | None = None) -> list[int]:
    return list(fair_shares(runs, SeatLimits(pool, doors or {}), now=0.0).values())


def test_without_a_limit_everyone_has_what_it_wants() -> None:
    assert shares(Seated("x", 3, 0), Seated("y", 500, 0)) == [3, 500]


def test_who_wants_little_gets_it_and_the_others_share_what_is_left() -> None:
    assert shares(Seated("small", 1, 0), Seated("large", 50, 9), Seated("larger", 90, 0), pool=9) == [1, 4, 4]


def test_a_door_has_room_for_so_many_whoever_they_are() -> None:
    runs = Seated("x", 4, 0, (A, B)), Seated("y", 4, 0, (A,)), Seated("z", 4, 0, (B,))
    assert shares(*runs, doors={A: 3}) == [2, 1, 4]


def test_a_seat_is_taken_when_it_is_free_and_not_before() -> None:
    large, small = Seated("large", 8, 8), Seated("small", 2, 0)
    limits = SeatLimits(pool=8)
    assert may_hold("small", [large, small], limits, now=0.0) == 0
    assert may_hold("large", [large, small], limits, now=0.0) == 6
    assert may_hold("small", [replace(large, holds=7), small], limits, now=0.0) == 1
    assert may_hold("small", [replace(large, holds=6), small], limits, now=0.0) == 2


def test_with_fewer_seats_than_runs_they_take_turns() -> None:
    runs = [Seated("x", 4, 1, since=0.0, had=900.0), Seated("y", 4, 0, since=1.0, had=10.0)]
    limits = SeatLimits(pool=1, first_turn=10.0, turn=600.0)
    assert fair_shares(runs, limits, now=599.0) == {"x": 1, "y": 0}
    assert fair_shares(runs, limits, now=600.0) == {"x": 0, "y": 1}
    # The other one has its seat now, and a turn of its own, as long as what it had before.
    turned = [Seated("x", 4, 0, since=605.0, had=1505.0), Seated("y", 4, 1, since=605.0, had=40.0)]
    assert fair_shares(turned, limits, now=644.0) == {"x": 0, "y": 1}
    assert fair_shares(turned, limits, now=645.0) == {"x": 1, "y": 0}


def test_who_never_had_a_seat_waits_for_a_first_turn_and_no_longer() -> None:
    long, waiting, new = (
        Seated("long", 4, 1, since=0.0, had=900.0),
        Seated("waiting", 4, 0, since=1.0, had=900.0),
        Seated("new", 1, 0, since=2.0),
    )
    limits = SeatLimits(pool=1, first_turn=10.0, turn=600.0)
    assert fair_shares([long, waiting, new], limits, now=9.0) == {"long": 1, "waiting": 0, "new": 0}
    assert fair_shares([long, waiting, new], limits, now=10.0) == {"long": 0, "waiting": 0, "new": 1}
    seated, left = replace(new, holds=1, since=10.0), replace(long, holds=0, since=10.0)
    assert fair_shares([left, waiting, seated], limits, now=19.0) == {"long": 0, "waiting": 0, "new": 1}
    assert fair_shares([left, waiting, seated], limits, now=20.0) == {"long": 0, "waiting": 1, "new": 0}


def test_a_seat_that_was_left_is_kept_for_whoever_is_served_first() -> None:
    left, new, other = (
        Seated("left", 1, 0, since=15.0, had=15.0),
        Seated("new", 1, 0, since=2.0),
        Seated("other", 1, 1, since=1.0),
    )
    limits = SeatLimits(pool=2, first_turn=10.0)
    # The other one's turn is over as well, so both that wait have a share; but only one seat is free.
    runs = [left, new, other]
    assert fair_shares(runs, limits, now=15.0) == {"left": 1, "new": 1, "other": 0}
    assert may_hold("left", runs, limits, now=15.0) == 0
    assert may_hold("new", runs, limits, now=15.0) == 1


DOORS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=3, unique=True).map(tuple)
LIMITS = st.builds(
    SeatLimits,
    st.none() | st.integers(1, 12),
    st.dictionaries(st.sampled_from(["a", "b"]), st.integers(1, 6)),
    st.just(10.0),
    st.just(10.0),
)
RUNS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), DOORS, st.integers(0, 30)), min_size=1, max_size=6).map(
    lambda rows: [Seated(f"run{n}", *row) for n, row in enumerate(rows)]
)


def taken(runs: list[Seated], limits: SeatLimits) -> dict[str | None, int]:
    pool: dict[str | None, int] = {None: sum(run.holds for run in runs)}
    return pool | {door: sum(run.holds for run in runs if door in run.doors) for door in limits.doors}


def is_within(runs: list[Seated], limits: SeatLimits) -> bool:
    held = taken(runs, limits)
    pool = limits.pool is None or held[None] <= limits.pool
    return pool and all(held[door] <= most for door, most in limits.doors.items())


@given(RUNS, LIMITS)
def test_shares_keep_the_limits_and_leave_nothing_over(runs: list[Seated], limits: SeatLimits) -> None:
    shared = fair_shares(runs, limits, now=20.0)
    seated = [replace(run, holds=shared[run.run]) for run in runs]
    assert is_within(seated, limits)
    assert all(run.holds <= run.wants for run in seated)
    for run in seated:
        if run.holds < run.wants:
            more = [replace(other, holds=other.holds + (other.run == run.run)) for other in seated]
            assert not is_within(more, limits)


@given(RUNS, LIMITS, st.lists(st.integers(0, 5), max_size=60))
def test_runs_that_ask_one_after_another_never_exceed_a_limit_and_come_to_their_shares(
    runs: list[Seated], limits: SeatLimits, order: list[int]
) -> None:
    runs = [replace(run, holds=0) for run in runs]

    def ask(number: int) -> None:
        run = runs[number]
        runs[number] = replace(run, holds=may_hold(run.run, runs, limits, now=5.0), since=0.0)
        assert is_within(runs, limits)

    for number in order:
        ask(number % len(runs))
    # Whoever has too much gives it back first, and then the others can take it.
    for _ in range(2 * len(runs)):
        for number in range(len(runs)):
            ask(number)
    assert {run.run: run.holds for run in runs} == fair_shares(runs, limits, now=5.0)


@given(RUNS, st.integers(1, 3))
def test_nobody_waits_for_ever(runs: list[Seated], pool: int) -> None:
    limits = SeatLimits(pool, first_turn=2.0, turn=10.0)
    runs = [replace(run, wants=max(1, run.wants), holds=0, doors=(), since=0.0) for run in runs]
    last = {run.run: 0.0 for run in runs}
    for now in range(400):
        for number, run in enumerate(runs):
            holds = may_hold(run.run, runs, limits, now)
            if bool(holds) != bool(run.holds):
                run = replace(run, since=now, had=run.had + (0.0 if holds else now - run.since))
            runs[number] = replace(run, holds=holds)
            if holds:
                last[run.run] = now
        assert all(now - at <= 10.0 * len(runs) + len(runs) for at in last.values())
