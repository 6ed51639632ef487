"""How long the history takes to store and read back a million findings.

    python -m benchmarks.history_insert [--directories 10000] [--files 100] [--where DIR]

Measures, in one run: staging, finishing a first run, finishing a second run that replaces it and counts on, reading
everything back, also from Python's front end, asking what has changed, acting on a part and on the rest, and runs that
find nothing and everything after that. Then the same findings are reported at once, a list as the front end takes it.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dynamo_consistency import config
from dynamo_consistency import history as front_end
from engine import paths
from engine.columns import FileColumns
from engine.findings import Finding, Kind
from storage.history import HistoryDatabase, RunCounts, RunStatus, Table

SITE = "T2_XX_Site"

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
    run = history.open_run(SITE, 1.0, "threads")
    with timed(f"{label}: stage"):
        for start in range(0, len(found), BATCH):
            history.stage(run, found[start : start + BATCH])
    with timed(f"{label}: finish"):
        history.finish_run(run, 2.0, RunStatus.DONE, RunCounts(), keep_findings=True)


def report_once(found: list[Finding], label: str) -> None:
    """Report what was found through the front end, as a list of names with their sizes and times."""
    names = [
        (paths.decode(paths.join(finding.directory, name)), {"size": size, "mtime": mtime})
        for finding in found
        for name, size, mtime in finding.files.rows()
    ]
    front_end.start_run()
    with timed(f"{label}: report_orphan"):
        front_end.report_orphan(names)
    front_end.finish_run()


def check(what: str, count: int, expected: int) -> None:
    if count != expected:
        sys.exit(f"{what}: {count} of {expected}")


def read_and_act(history: HistoryDatabase, total: int) -> None:
    """Read everything, and act on every tenth file first."""
    with timed("read back"):
        count = sum(1 for _ in history.orphans(SITE))
    check("read back", count, total)
    with timed("read back, those of two runs"):
        count = sum(1 for _ in history.orphans(SITE, least=2))
    check("found twice", count, total)
    with timed("history.orphan_files"):
        names = front_end.orphan_files(SITE)
    check("orphan_files", len(names), total)
    with timed("what has changed: nothing"):
        changed = history.changes(SITE, 10).orphans
    check("changed", changed.new + changed.gone, 0)
    part = [paths.encode(name) for name in names[::10]]
    with timed(f"mark {len(part)} as acted on"):
        count = history.mark_acted(SITE, Table.ORPHANS, part, 3.0)
    check("marked", count, len(part))
    with timed("read back the rest, acting"):
        count = sum(1 for _ in history.orphans(SITE, acting=4.0))
    check("acted", count, total - len(part))


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
        config.LOCATION = Path(directory) / "config.json"
        config.LOCATION.write_text(json.dumps({"VarLocation": directory, "Sites": {SITE: {}}}))
        config.SITE = SITE
        path = Path(directory) / "db" / "consistency.db"
        with timed("open a new database"):
            history = HistoryDatabase(path)
        with history:
            run_once(history, found, "first run")
            run_once(history, found, "second run, replaces the first")
            read_and_act(history, total)
            run_once(history, [], "run without findings")
            run_once(history, found, "run in which all is new")
            with timed("what has changed: everything"):
                changed = history.changes(SITE, 10).orphans
            check("new", changed.new, total)
            print(f"database {path.stat().st_size / 1e6:.0f} MB with three runs in it")
            print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
            report_once(found, "front end, replaces that run")


if __name__ == "__main__":
    main()
