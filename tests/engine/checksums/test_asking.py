"""What is asked of a store, and what its answers come to."""

from __future__ import annotations

import random
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.checksums.asking import AskedFile, ChecksumQuery, FileAnswer, Said, Sampled, Sampling
from engine.checksums.choice import SampleFile, in_turn
from engine.checksums.digest import ADLER32, MD5, Checksum
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from engine.listing import Absent, Failed, Listed, NoChecksum, Outcome, Present
from engine.states import Reason

RIGHT, WRONG, THIRD = (Checksum(ADLER32, f"0000000{digit}") for digit in "123")
OTHER = Checksum(MD5, "0" * 31 + "1")
FILE = SampleFile(b"/s/f", 7, 100)
SAME = Present(7, 100, False)


def ask(*outcomes: Outcome, expected: tuple[Checksum, ...] = (RIGHT,), young_after: float | None = None) -> FileAnswer:
    """Ask for one file, whose answers are these; all of them are wanted."""
    sampling = Sampling([AskedFile(FILE, expected)], 1, young_after)
    asked = list(sampling.begin())
    for outcome in outcomes:
        (query,) = asked
        asked = list(sampling.take(query, outcome))
    assert asked == []
    (answer,) = sampling.answers()
    assert answer.path == FILE.path
    return answer


def test_what_agrees_is_asked_for_once() -> None:
    assert ask(RIGHT) == FileAnswer(FILE.path, Said.AGREES, RIGHT, RIGHT)


def test_what_differs_is_asked_for_twice_and_the_file_in_between() -> None:
    sampling = Sampling([AskedFile(FILE, (RIGHT,))], 1, None)
    asked = list(sampling.begin())
    for outcome in (WRONG, SAME, WRONG):
        (query,) = asked
        asked = list(sampling.take(query, outcome))
        if asked:
            assert asked == [ChecksumQuery(FILE.path, "" if outcome == WRONG else ADLER32)]
    assert sampling.result() == Sampled((FileAnswer(FILE.path, Said.DIFFERS, RIGHT, WRONG),))


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        ([WRONG, SAME, THIRD], Said.UNSURE),
        ([WRONG, SAME, RIGHT], Said.UNSURE),
        ([WRONG, SAME, Failed(Reason.TIMEOUT)], Said.SILENT),
        ([WRONG, SAME, NoChecksum("none")], Said.NOT_GIVEN),
        ([WRONG, Present(8, 100, False)], Said.CHANGED),
        ([WRONG, Present(UNKNOWN_SIZE, 100, False)], Said.CHANGED),
        ([WRONG, Present(7, 101, False)], Said.CHANGED),
        ([WRONG, Present(7, 100, True)], Said.CHANGED),
        ([WRONG, Absent()], Said.CHANGED),
        ([WRONG, *[Failed(Reason.CONNECTION)] * 3], Said.SILENT),
        ([Failed(Reason.SERVER), RIGHT], Said.AGREES),
        ([Failed(Reason.SERVER), WRONG, Failed(Reason.CONNECTION), SAME, Failed(Reason.SERVER)], Said.SILENT),
        ([WRONG, Listed()], Said.UNSURE),
        ([Absent(), Absent()], Said.CHANGED),
        ([Failed(Reason.NOT_FOUND), Failed(Reason.NOT_FOUND)], Said.CHANGED),
        # It is the checksum that is denied, and not the file.
        ([Absent(), SAME], Said.NOT_GIVEN),
        ([Failed(Reason.NOT_FOUND), SAME], Said.NOT_GIVEN),
        ([Absent(), Present(8, 100, False)], Said.CHANGED),
        ([Absent(), Failed(Reason.TIMEOUT)], Said.SILENT),
        ([WRONG, SAME, Absent(), SAME], Said.NOT_GIVEN),
        ([Failed(Reason.PERMISSION)], Said.REFUSED),
        ([Failed(Reason.BAD_NAME)], Said.REFUSED),
        ([Failed(Reason.AUTHENTICATION)], Said.SILENT),
        ([Failed(Reason.SERVER)] * 3, Said.SILENT),
        ([Failed(Reason.PARTIAL)] * 3, Said.UNSURE),
        ([NoChecksum("none")], Said.NOT_GIVEN),
        ([OTHER], Said.NOT_GIVEN),
        ([SAME], Said.UNSURE),
    ],
)
def test_whatever_else_comes_is_no_difference(outcomes: list[Outcome], said: Said) -> None:
    answer = ask(*outcomes)
    assert answer.said == said != Said.DIFFERS
    assert answer.found == (RIGHT if said == Said.AGREES else None)


def test_a_file_whose_time_is_not_known_may_still_be_too_young() -> None:
    assert ask(WRONG, Present(7, UNKNOWN_MTIME, False), WRONG).said == Said.DIFFERS
    assert ask(WRONG, SAME, WRONG, young_after=100.0).said == Said.DIFFERS
    assert ask(WRONG, SAME, young_after=99.0).said == Said.CHANGED


def test_another_algorithm_is_tried_where_the_inventory_has_it() -> None:
    assert ask(NoChecksum("no adler32"), OTHER, expected=(RIGHT, OTHER)) == FileAnswer(
        FILE.path, Said.AGREES, OTHER, OTHER
    )
    assert ask(NoChecksum("a"), NoChecksum("b"), expected=(RIGHT, OTHER)).detail == "b"
    # A server that has but one gives it, whatever it is asked for.
    assert ask(OTHER, OTHER, expected=(RIGHT, OTHER)).said == Said.AGREES
    assert ask(OTHER, expected=(RIGHT,)) == FileAnswer(FILE.path, Said.NOT_GIVEN, detail="it gives md5")


def test_a_file_without_a_checksum_is_not_asked_for() -> None:
    sampling = Sampling([AskedFile(FILE, ())], 1, None)
    assert list(sampling.begin()) == []
    assert sampling.result().answers == (FileAnswer(FILE.path, Said.NOT_EXPECTED),)


def files(count: int) -> list[AskedFile]:
    return [AskedFile(SampleFile(b"/s/%d" % at, 7, 100), (RIGHT,)) for at in range(count)]


def play(sampling: Sampling, outcomes: deque[Outcome], chance: random.Random | None = None) -> int:
    """Answer until nothing is asked; gives the most that was asked at a time."""
    asked = list(sampling.begin())
    most = len(asked)
    while asked and outcomes:
        query = asked.pop(chance.randrange(len(asked)) if chance else 0)
        asked += sampling.take(query, outcomes.popleft())
        most = max(most, len(asked))
    return most


def test_a_store_that_has_none_is_soon_left_alone() -> None:
    sampling = Sampling(files(100), 4, None)
    play(sampling, deque([NoChecksum("query chksum is not supported")] * 100))
    assert sampling.result().gave_up == "the store gives no checksums: query chksum is not supported"
    assert len(sampling.answers()) == 23
    # One that has some is asked on.
    sampling = Sampling(files(100), 4, None)
    play(sampling, deque([RIGHT, *[NoChecksum("none")] * 99]))
    assert (len(sampling.answers()), sampling.result().gave_up) == (100, "")


def test_a_store_that_is_silent_is_soon_left_alone() -> None:
    sampling = Sampling(files(100), 1, None)
    play(sampling, deque([*[RIGHT] * 50, *[Failed(Reason.TIMEOUT, "no answer within 300 s")] * 50]))
    assert sampling.result().gave_up == "the store gives no answer: no answer within 300 s"
    assert len(sampling.answers()) == 60


def test_files_that_are_silent_again_keep_no_other_file_back() -> None:
    again = [each.file for each in files(40)]
    others = [SampleFile(b"/s/of the arc/%d" % at, 7, 100) for at in range(40)]
    sampling = Sampling([AskedFile(file, (RIGHT,)) for file in in_turn(again, others)], 2, None)
    asked = deque(sampling.begin())
    while asked:
        query = asked.popleft()
        silent = b"of the arc" not in query.path
        asked += sampling.take(query, Failed(Reason.TIMEOUT, "no answer") if silent else RIGHT)
    assert (len(sampling.answers()), sampling.result().gave_up) == (80, "")


OUTCOMES = st.sampled_from(
    [RIGHT, WRONG, THIRD, OTHER, SAME, Present(7, 5, False), Absent(), NoChecksum(), Listed(), Failed(Reason.TIMEOUT)]
)


@given(st.lists(OUTCOMES, max_size=60), st.integers(1, 5), st.randoms(use_true_random=False))
def test_only_what_was_said_twice_of_the_same_file_differs(
    outcomes: list[Outcome], at_once: int, chance: random.Random
) -> None:
    sampling = Sampling(files(20), at_once, None)
    said: dict[bytes, list[Outcome]] = {}
    asked = list(sampling.begin())
    for outcome in outcomes:
        assert len(asked) <= at_once
        if not asked:
            break
        query = asked.pop(chance.randrange(len(asked)))
        said.setdefault(query.path, []).append(outcome)
        asked += sampling.take(query, outcome)
    answers = sampling.result().answers
    assert len({answer.path for answer in answers}) == len(answers)
    for answer in answers:
        history = said.get(answer.path, [])
        if answer.said == Said.DIFFERS:
            assert history == [answer.found, SAME, answer.found]
            assert answer.found in (WRONG, THIRD)
        if answer.said == Said.AGREES:
            assert history == [RIGHT]
