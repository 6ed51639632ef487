"""The whole way of a directory under a time of its own: work queue, coordinator, journal, listers and confirmation.

What is simulated are the store, its doors, the messages and death; everything else is the real thing. `make simulate
SEEDS=…` runs more of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from engine.worklane import Lane, Lease
from tests.simulation.__main__ import replay, run_all, tell
from tests.simulation.story import Outcome

ROOT = Path(__file__).parents[2]
SEEDS = int(os.environ.get("SIMULATION_SEEDS", "2000"))
BLOCKS = 4


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Journals that are of no use any more are part of the stories."""
    caplog.set_level("ERROR", logger="actors")


@cache
def told(seeds: range) -> tuple[list[Outcome], list[str]]:
    """Give how stories end, which is the same however often they are told."""
    return run_all(seeds)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_story_ends_as_it_must(block: int) -> None:
    seeds = range(block * SEEDS // BLOCKS, (block + 1) * SEEDS // BLOCKS)
    outcomes, failures = told(seeds)
    assert not failures, "\n".join(failures)
    assert len(outcomes) == len(seeds)


def test_the_stories_have_everything_in_them() -> None:
    # Those of the first block, where it has as many.
    outcomes = told(range(max(SEEDS // BLOCKS, 300)))[0][:300]
    assert max(outcome.listed for outcome in outcomes) > 20
    assert sum(outcome.failed for outcome in outcomes) > 100
    assert sum(outcome.missing for outcome in outcomes) > 100
    assert sum(outcome.beginnings > 1 for outcome in outcomes) > 30
    assert sum(outcome.seconds > 60 for outcome in outcomes) > 10
    assert sum(outcome.taken for outcome in outcomes) > 30
    assert sum(outcome.distrusted for outcome in outcomes) > 5


def test_a_seed_tells_the_same_story_in_every_process() -> None:
    told = [
        subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", "17"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            timeout=120,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert len(told[0].splitlines()) > 20


def test_a_story_that_goes_wrong_is_shown_with_the_command_that_tells_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def release_whatever_comes(self: Lane, path: bytes, lister: str, attempt: int) -> Lease | None:
        return self._leased.pop(path, None)

    monkeypatch.setattr(Lane, "release", release_whatever_comes)
    _, failures = run_all(range(100))
    assert failures
    seed = int(failures[0].split(":")[0].removeprefix("seed "))
    assert failures[0].endswith(replay(seed))
    assert tell(seed, tmp_path) == 1
    story = capsys.readouterr().out
    assert "beginning 1" in story
    assert story.rstrip().endswith(replay(seed))
