"""How long the history takes to store and read back a million findings.

    python benchmarks/history_insert.py [--directories 10000] [--files 100] [--where DIR]

Measures, in one run: staging, finishing a first run, finishing a second run that replaces it, reading everything back,
taking it to act on, and finishing a run that found nothing.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.columns import FileColumns
from engine.findings import Finding, Kind
from storage.history import HistoryDatabase, RunCounts, RunStatus

BATCH = 200
"""Directories in one message to the history."""


def findings(directories: int, files: int) -> list[Finding]:
    """Make orphans in tree order, with names as long as those of real files."""
    columns = FileColumns.from_rows(
        (
            f"{number:08X}-{number * 2654435761 % 2**32:08X}-E511-A1B2-0025905A60B8.root".encode(),
            10**9 + number,
            1_700_000_000,
        )
        for number in range(files)
    )
    return [
        Finding(Kind.ORPHAN, b"/store/data/Run2026/Dataset%04d/AOD/v1/%05d" % (number // 100, number), columns)
        for number in range(directories)
    ]


@contextmanager
def timed(what: str) -> Iterator[None]:
    begin, begin_cpu = time.perf_counter(), time.process_time()
    yield
    elapsed, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
    print(f"{what:<44}{elapsed:8.3f} s{cpu:8.3f} s CPU")


def run_once(history: HistoryDatabase, found: list[Finding], label: str) -> None:
    run = history.open_run("T2_XX_Site", 1.0, "threads")
    with timed(f"{label}: stage"):
        for start in range(0, len(found), BATCH):
            history.stage(run, found[start : start + BATCH])
    with timed(f"{label}: finish"):
        history.finish_run(run, 2.0, RunStatus.DONE, RunCounts(), keep_findings=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directories", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--where", type=Path, help="directory for the database (default: a temporary one)")
    options = parser.parse_args()
    found = findings(options.directories, options.files)
    total = options.directories * options.files
    print(f"{total} findings in {options.directories} directories")
    with tempfile.TemporaryDirectory(dir=options.where) as directory:
        path = Path(directory) / "consistency.db"
        with timed("open a new database"):
            history = HistoryDatabase(path)
        with history:
            run_once(history, found, "first run")
            run_once(history, found, "second run, replaces the first")
            with timed("read back"):
                count = sum(1 for _ in history.orphans("T2_XX_Site"))
            with timed("read back, acting"):
                acted = sum(1 for _ in history.orphans("T2_XX_Site", acting=3.0))
            run_once(history, [], "run without findings")
        print(f"database {path.stat().st_size / 1e6:.0f} MB with both runs in the twin")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    if not count == acted == total:
        sys.exit(f"read back {count} and {acted} of {total}")


if __name__ == "__main__":
    main()
