"""A short run of each fuzzer; `make fuzz` is the long one."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.fuzz.__main__ import FUZZERS
from tests.fuzz.driver import Report, replay, run, try_input

INPUTS = int(os.environ.get("FUZZ_INPUTS", "4000"))


@pytest.fixture(scope="module", params=FUZZERS)
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """What became of all inputs of a fuzzer."""
    return run(FUZZERS[request.param](tmp_path_factory.mktemp(request.param)), range(INPUTS))


def test_nothing_goes_wrong(report: Report) -> None:
    assert not report.failures, "\n".join(report.failures)
    assert report.inputs == INPUTS


def test_some_inputs_are_read_and_some_are_refused(report: Report) -> None:
    few = INPUTS / 30
    assert sum(count for word, count in report.words.items() if word.endswith("read")) > few
    assert sum(count for word, count in report.words.items() if word.endswith("refused")) > few


@pytest.mark.parametrize("name", FUZZERS)
def test_a_number_makes_the_same_input_again(name: str, tmp_path: Path) -> None:
    fuzzer = FUZZERS[name](tmp_path)
    first = [try_input(fuzzer, number) for number in range(50)]
    assert [try_input(fuzzer, number) for number in range(50)] == first


class Wrong:
    """Goes wrong now and then."""

    name = "wrong"

    def try_one(self, chance: random.Random) -> str:
        if chance.random() < 0.01:
            raise KeyError("x")
        return "read"


def test_what_goes_wrong_is_shown_with_the_command_that_tries_it_again() -> None:
    report = run(Wrong(), range(300))
    assert 0 < len(report.failures) < 20
    number = int(report.failures[0].rsplit(" ", 1)[1])
    assert report.failures[0].startswith("KeyError: 'x'")
    assert report.failures[0].endswith(replay("wrong", number))
    with pytest.raises(KeyError):
        try_input(Wrong(), number)
