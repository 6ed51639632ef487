"""Short ways to put findings into a history and to look at what became of them."""

import os
import sqlite3
import subprocess
import sys
from array import array
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from engine.columns import FileColumns
from engine.findings import Finding, Kind
from storage.history import HistoryDatabase, RunCounts, RunStatus

ROOT = Path(__file__).parents[2]

SITE = "T2_XX_Site"

OTHER = "T2_YY_Other"

OF_CHECKSUMS = frozenset(("checksum_mismatch", "checksums", "checksums_unchecked"))
"""What a run has not counted that compares no checksums."""


def files(kind: Kind, directory: bytes, *names: bytes, size: int = 7, mtime: int = 100) -> Finding:
    columns = FileColumns.from_rows((name, size, mtime) for name in names)
    remote = array("q", [size + 1] * len(names)).tobytes() if kind == Kind.SIZE_MISMATCH else b""
    sums = (("adler32:00000001", "adler32:00000002"),) * len(names) if kind == Kind.CHECKSUM_MISMATCH else ()
    return Finding(kind, directory, columns, remote, checksums=sums)


def orphans(directory: bytes, *names: bytes) -> Finding:
    return files(Kind.ORPHAN, directory, *names)


def run(
    history: HistoryDatabase,
    *findings: Finding,
    site: str = SITE,
    finished: float = 2.0,
    keep_findings: bool = True,
    replaces: int | None = None,
) -> int:
    number = history.open_run(site, 1.0, "threads")
    if any(finding.kind == Kind.CHECKSUM_MISMATCH for finding in findings):
        history.replaces_checksums(number)
    history.stage(number, findings)
    history.finish_run(number, finished, RunStatus.DONE, RunCounts(), keep_findings, replaces=replaces)
    return number


def paths_of(rows: Iterable[tuple[bytes, int, int]]) -> list[bytes]:
    return [row[0] for row in rows]


def query(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def start_child(script: str, path: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path), *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
