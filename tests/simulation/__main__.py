"""Tells one story, or runs many.

::

    python -m tests.simulation --seed 17      tell the story of a seed, line by line
    python -m tests.simulation --seeds 10000  run so many, from --first on; says which fail
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from pathlib import Path

from tests.simulation.story import Outcome, Story

SHARED_MEMORY = Path("/dev/shm")


def scratch() -> Path | None:
    """Give a place for journals that costs no disk, where there is one."""
    return SHARED_MEMORY if SHARED_MEMORY.is_dir() else None


def replay(seed: int) -> str:
    """Give the command that tells the story of a seed."""
    return f".venv/bin/python -m tests.simulation --seed {seed}"


def run_all(seeds: Iterable[int]) -> tuple[list[Outcome], list[str]]:
    """Run stories; give what came of each and, for each that failed, what was wrong and how to see it again."""
    outcomes, failures = [], []
    with tempfile.TemporaryDirectory(dir=scratch()) as directory:
        for seed in seeds:
            try:
                outcomes.append(Story(seed, Path(directory)).run())
            except Exception as error:
                failures.append(f"seed {seed}: {type(error).__name__}: {error}; replay: {replay(seed)}")
                for left in Path(directory).iterdir():
                    left.unlink()
    return outcomes, failures


def tell(seed: int, directory: Path) -> int:
    """Tell one story on stdout; give the exit code."""
    story = Story(seed, directory, told=True)
    try:
        outcome = story.run()
    except Exception:
        print("\n".join(story.clockwork.lines or ()))
        traceback.print_exc(file=sys.stdout)
        print(f"\nseed {seed} fails; replay: {replay(seed)}")
        return 1
    print("\n".join(story.clockwork.lines or ()))
    print(f"\nseed {seed}: {outcome}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    logging.getLogger("actors").setLevel(logging.ERROR)
    if arguments.seed is not None:
        with tempfile.TemporaryDirectory(dir=scratch()) as directory:
            return tell(arguments.seed, Path(directory))
    began = time.process_time()
    outcomes, failures = run_all(range(arguments.first, arguments.first + arguments.seeds))
    print(*failures, sep="\n", end="\n" if failures else "")
    print(
        f"{len(outcomes)} stories came to their end, {len(failures)} failed; {sum(o.events for o in outcomes)} events, "
        f"{sum(o.requests for o in outcomes)} requests, {sum(o.beginnings for o in outcomes)} beginnings, "
        f"{sum(o.taken for o in outcomes)} directories taken over, {sum(o.distrusted for o in outcomes)} stores not "
        "believed, "
        f"{sum(o.seconds for o in outcomes) / 86400:.1f} days of simulated time; "
        f"{time.process_time() - began:.1f} s of CPU"
    )
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
