"""What a run has found, as it stands on the disk until the run is over."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from actors.comparison import ComparisonResult
from actors.found import Found
from actors.oversight import Progress
from engine.checksums.counts import SampleCounts
from engine.gates import Refusal
from engine.second import Meanwhile

RESULT = ComparisonResult(
    files=7,
    directories=3,
    size=70,
    missing=2,
    missing_size=20,
    orphan=1,
    reasons={"timeout": 4},
    links=1,
    young_after=1234.5,
    begun=1000.25,
    failed_tops=(b"/store/\xff a",),
    accepted=Refusal("far-fewer", "7 files, and 10 before"),
    meanwhile=Meanwhile(missing=1),
    checksum_mismatch=1,
    checksums=SampleCounts(3, {"no answer": 2}, 1, "stopped after 60 minutes"),
)
FOUND = Found(12, 1000.125, RESULT, Progress(listed=3, failed=1, files=7, size=70, requests=9, seconds=1.5), 1010.5)


def test_it_is_read_back_as_it_was_kept() -> None:
    assert Found.of_json(json.loads(json.dumps(FOUND.as_json()))) == FOUND


def test_nothing_about_a_run_that_went_well_is_read_back_as_nothing() -> None:
    plain = replace(FOUND, result=ComparisonResult())
    assert Found.of_json(json.loads(json.dumps(plain.as_json()))) == plain


def _without_a_count(kept: dict[str, Any]) -> None:
    del kept["result"]["orphan"]


def _with_another_count(kept: dict[str, Any]) -> None:
    kept["result"]["other"] = 1


def _without_its_listing(kept: dict[str, Any]) -> None:
    del kept["listing"]


def _with_a_word_for_a_number(kept: dict[str, Any]) -> None:
    kept["run"] = "twelve"


@pytest.mark.parametrize(
    "damage", [_without_a_count, _with_another_count, _without_its_listing, _with_a_word_for_a_number]
)
def test_what_another_version_left_is_not_gone_on_with(damage: Callable[[dict[str, Any]], None]) -> None:
    kept = FOUND.as_json()
    damage(kept)
    assert Found.of_json(kept) is None


@pytest.mark.parametrize("kept", [None, [], {}, 5, "found"])
def test_what_makes_no_sense_is_nothing(kept: object) -> None:
    assert Found.of_json(kept) is None
