from __future__ import annotations

import math

from engine.listing import Absent, Failed, Listed, Outcome
from engine.outage import FIRST_TRY, Instruction, Outage, OutageLimits, Send, Tell
from engine.states import Reason

DOWN = Failed(Reason.CONNECTION, "refused")
SLOW = Failed(Reason.TIMEOUT, "expired")
REFUSED = Failed(Reason.AUTHENTICATION, "no such key")

WHOLE = OutageLimits(hold=25)
PART = OutageLimits(hold=25, patience=50, timeouts=True)


def given_up(seconds: int, last: str = "refused", reason: Reason = Reason.CONNECTION) -> Failed:
    return Failed(reason, f"given up after {seconds} s without an answer: {last}")


def answering(limits: OutageLimits = PART, at: float = 0) -> Outage:
    """One that has answered, at a time, and has nothing in flight."""
    outage = Outage(limits)
    assert outage.ask(0, at) == [Send(0)]
    assert outage.take(0, Listed(), at) == [Tell(0, Listed())]
    return outage


def down(limits: OutageLimits = PART, held: int = 3) -> Outage:
    """One whose requests 1 to ``held`` failed at 1 second, all at once."""
    outage = answering(limits)
    for number in range(1, held + 1):
        outage.ask(number, 1)
    for number in range(1, held + 1):
        assert outage.take(number, DOWN, 1) == []
    return outage


def away() -> Outage:
    """A part that was waited for in vain, from 1 second to 51, while others answered; its requests 1 and 2 are lost."""
    outage = down(held=2)
    assert outage.look(51, others_heard=30) == [Tell(1, given_up(50)), Tell(2, given_up(50))]
    return outage


def test_what_is_answered_is_told() -> None:
    outage = answering()
    outcomes: list[Outcome] = [Listed(), Absent(), Failed(Reason.PERMISSION), Failed(Reason.SERVER), REFUSED]
    for number, outcome in enumerate(outcomes, 1):
        assert outage.ask(number, 1) == [Send(number)]
        assert outage.take(number, outcome, 1) == [Tell(number, outcome)]
        assert outage.take(number, Absent(), 2) == []
    assert not outage.is_on
    assert outage.look(1000, 1000) == []


def test_what_never_answered_is_not_waited_for() -> None:
    outage = Outage(PART)
    for number in range(3):
        assert outage.ask(number, 1) == [Send(number)]
        assert outage.take(number, DOWN, 1) == [Tell(number, DOWN)]


def test_what_answered_before_is_away_and_not_mistyped() -> None:
    outage = Outage(PART, has_answered=True)
    outage.ask(1, 1)
    assert outage.take(1, DOWN, 1) == []


def test_a_failed_connection_is_held_for_so_long_and_then_told() -> None:
    outage = down(WHOLE, held=1)
    assert outage.look(1.5) == []
    assert outage.look(1 + FIRST_TRY) == [Send(1)]
    assert outage.take(1, DOWN, 4) == []
    assert outage.look(26) == [Tell(1, DOWN)]


def test_one_request_at_a_time_tries_less_and_less_often() -> None:
    outage = down(WHOLE, held=3)
    tried: dict[float, Instruction] = {}
    for tick in range(2, 50):
        for instruction in outage.look(tick / 2):
            tried[tick / 2] = instruction
            assert isinstance(instruction, Send)
            assert outage.take(instruction.number, DOWN, tick / 2) == []
    # The one that was sent least recently, each time.
    assert tried == {3: Send(1), 7: Send(2), 15: Send(3), 23: Send(1)}


def test_new_requests_are_held_as_well_and_try_first() -> None:
    outage = down(WHOLE, held=2)
    assert outage.ask(3, 1.1) == []
    assert outage.look(3) == [Send(3)]
    assert outage.ask(4, 100) == []
    assert outage.take(3, DOWN, 100) == [Tell(3, DOWN)]
    # It is time for another try, which somebody comes for.
    assert outage.ask(5, 100) == [Send(5)]


def test_what_is_held_is_sent_once_more_when_there_is_an_answer() -> None:
    outage = down(held=3)
    assert outage.look(3) == [Send(1)]
    assert outage.take(1, Listed(), 4) == [Tell(1, Listed())]
    assert outage.is_on
    assert outage.look(4.5) == [Send(2), Send(3)]
    assert not outage.is_on
    assert outage.take(2, Absent(), 5) == [Tell(2, Absent())]
    # Others were answered, so it is not the store.
    assert outage.take(3, DOWN, 5) == [Tell(3, DOWN)]


def test_a_store_may_go_away_anew_before_what_was_held_is_sent() -> None:
    # One door of several that go away one after another may answer in between.
    outage = down(WHOLE, held=1)
    outage.ask(2, 1.1)
    assert outage.look(3.2) == [Send(2)]
    outage.take(2, Absent(), 3.3)
    assert outage.look(3.5) == [Send(1)]
    assert outage.take(1, DOWN, 3.5) == []
    assert outage.ask(3, 6) == [Send(3)]
    outage.take(3, Absent(), 6)
    assert outage.look(6.5) == [Send(1)]
    # What brings it down each time does so no more.
    assert outage.take(1, DOWN, 6.5) == [Tell(1, DOWN)]


def test_a_request_that_runs_out_of_time_during_an_outage_is_held() -> None:
    outage = down(WHOLE, held=2)
    assert outage.look(3) == [Send(1)]
    assert outage.take(1, SLOW, 4) == []


def test_somebody_who_lets_nobody_in_is_there() -> None:
    outage = down(held=2)
    assert outage.look(3) == [Send(1)]
    assert outage.take(1, REFUSED, 3) == [Tell(1, REFUSED)]
    assert outage.ask(3, 3) == [Send(3)]
    assert outage.look(3.5) == [Send(2)]


def test_an_error_without_an_answer_ends_nothing() -> None:
    outage = down(held=2)
    assert outage.look(3) == [Send(1)]
    assert outage.take(1, Failed(Reason.SERVER), 3) == [Tell(1, Failed(Reason.SERVER))]
    assert outage.ask(3, 3) == []


def test_a_whole_store_is_never_given_up() -> None:
    outage = down(WHOLE)
    assert outage.look(1e6, others_heard=1e6) == [Tell(1, DOWN), Tell(2, DOWN), Tell(3, DOWN)]
    assert not outage.is_away
    assert outage.ask(9, 1e6) == [Send(9)]
    assert outage.ask(10, 1e6) == []


def test_a_part_is_given_up_as_a_whole() -> None:
    outage = away()
    assert outage.is_away
    assert outage.ask(3, 51) == [Send(3)]
    assert outage.take(3, DOWN, 51) == [Tell(3, DOWN)]
    for number in range(4, 1000):
        assert outage.ask(number, 52) == [Tell(number, given_up(51))]


def test_a_part_is_not_given_up_while_others_are_silent_too() -> None:
    outage = down(held=1)
    assert outage.look(25.5, others_heard=0.9) == [Send(1)]
    assert outage.take(1, DOWN, 25.5) == []
    assert outage.ask(2, 40) == [Send(2)]
    assert outage.take(2, DOWN, 40) == []
    assert outage.look(60, others_heard=1) == [Tell(1, DOWN), Send(2)]
    assert not outage.is_away
    assert outage.take(2, DOWN, 60) == []
    assert outage.look(60.5, others_heard=60.2) == [Tell(2, given_up(60))]
    assert outage.is_away


def test_what_was_given_up_is_tried_now_and_then() -> None:
    outage = away()
    asked = [outage.ask(number, 51 + number / 10) for number in range(10, 410)]
    sent = [instruction for instructions in asked for instruction in instructions if isinstance(instruction, Send)]
    # Nobody has said what became of the first.
    assert sent == [Send(10)]
    assert outage.take(10, DOWN, 100) == [Tell(10, DOWN)]
    assert outage.ask(500, 100) == [Send(500)]
    assert outage.take(500, DOWN, 100) == [Tell(500, DOWN)]
    assert outage.ask(501, 104) == [Tell(501, given_up(103))]
    assert outage.ask(502, 108) == [Send(502)]


def test_what_comes_right_after_a_try_waits_for_it() -> None:
    outage = away()
    assert outage.ask(3, 60) == [Send(3)]
    assert outage.ask(4, 60.1) == []
    assert outage.look(61, others_heard=30) == []
    assert outage.look(62, others_heard=30) == [Tell(4, given_up(61))]
    assert outage.ask(5, 62.1) == [Tell(5, given_up(61))]


def test_what_was_given_up_comes_back() -> None:
    outage = away()
    assert outage.ask(3, 60) == [Send(3)]
    assert outage.ask(4, 60.1) == []
    assert outage.take(3, Listed(), 60.2) == [Tell(3, Listed())]
    assert not outage.is_away
    assert outage.ask(5, 60.3) == [Send(5)]
    assert outage.look(60.5) == [Send(4)]


def test_what_never_answered_is_given_up_as_well() -> None:
    outage = Outage(PART)
    for number, now in enumerate((5, 10, 15, 20, 25, 30, 35, 40, 45, 50)):
        assert outage.ask(number, now - 5) == [Send(number)]
        assert outage.take(number, SLOW, now) == [Tell(number, SLOW)]
        assert outage.look(now, others_heard=now) == []
    assert outage.look(55, others_heard=55) == []
    assert outage.ask(97, 55) == [Send(97)]
    assert outage.ask(98, 58) == [Tell(98, given_up(53, "expired", Reason.TIMEOUT))]


def test_silence_is_held_where_nothing_was_answered_for_most_of_the_time() -> None:
    outage = answering(PART)
    outage.ask(1, 0.9)
    outage.ask(2, 0.9)
    outage.ask(3, 0.9)
    assert outage.take(1, Absent(), 1) == [Tell(1, Absent())]
    assert outage.take(2, SLOW, 5.9) == []
    assert outage.look(8) == [Send(2)]
    assert outage.take(2, Absent(), 9) == [Tell(2, Absent())]
    # Its time has not gone by in silence.
    assert outage.take(3, SLOW, 10) == [Tell(3, SLOW)]


def test_a_slow_request_is_told_where_others_are_answered() -> None:
    outage = answering(PART)
    outage.ask(1, 0)
    outage.ask(2, 0)
    outage.take(2, Absent(), 4)
    assert outage.take(1, SLOW, 5) == [Tell(1, SLOW)]
    assert not outage.is_on


def test_a_slow_request_of_a_whole_store_is_told() -> None:
    outage = answering(WHOLE)
    outage.ask(1, 0)
    assert outage.take(1, SLOW, 5) == [Tell(1, SLOW)]
    assert not outage.is_on


def test_how_long_is_waited() -> None:
    assert OutageLimits.of_whole(30) == OutageLimits(50, math.inf, False)
    assert OutageLimits.of_part(30, tries=4) == OutageLimits(50, 200, True)


def test_the_cost_of_an_outage_does_not_grow_with_what_is_asked() -> None:
    for count in (10, 1000):
        outage, sent, now, told = down(held=0), 0, 0.0, 0
        queue = list(range(1, count + 1))
        flying: list[int] = []
        while told < count:
            now += 0.5
            instructions = outage.look(now, others_heard=now)
            while queue and len(flying) < 64:
                flying.append(queue.pop())
                instructions += outage.ask(flying[-1], now)
            while instructions:
                instruction = instructions.pop()
                if isinstance(instruction, Send):
                    sent += 1
                    instructions += outage.take(instruction.number, DOWN, now)
                else:
                    flying.remove(instruction.number)
                    told += 1
                    while queue and len(flying) < 64:
                        flying.append(queue.pop())
                        instructions += outage.ask(flying[-1], now)
        assert now <= 51.5
        assert sent <= 64 + 12
