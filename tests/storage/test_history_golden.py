"""A history that was written with the first schema must stay readable, whatever the schema becomes."""

import shutil
import sqlite3
from array import array
from contextlib import closing
from pathlib import Path

import pytest

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, FileColumns
from engine.findings import Finding, Kind
from engine.states import Reason
from storage import migrations
from storage.history import HistoryDatabase, RunCounts, RunStatus

GOLDEN = Path(__file__).parent / "golden" / "history-0001.db"
SITE = "T2_EXAMPLE"
COUNTS = RunCounts(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14.5)


def write_golden(path: Path) -> None:
    """Write the history that stands in ``golden`` for the schema of step 0001, in small pages."""
    with HistoryDatabase(path) as history:
        first = history.open_run(SITE, 10.5, "ray")
        history.stage(first, [Finding(Kind.ORPHAN, b"/store/a", FileColumns.from_rows([(b"older", 1, 2)]))])
        history.finish_run(first, 20.25, RunStatus.DONE, RunCounts(), keep_findings=True)
        second = history.open_run(SITE, 30.0, "threads")
        mismatched = FileColumns.from_rows([(b"cut", 5, 50)])
        history.stage(
            second,
            [
                Finding(
                    Kind.MISSING, b"/store/a", FileColumns.from_rows([("größe".encode(), 3, 30), (b"\xff", 4, 40)])
                ),
                Finding(Kind.ORPHAN, b"/store/\xfe", FileColumns.from_rows([(b"dark", UNKNOWN_SIZE, UNKNOWN_MTIME)])),
                Finding(Kind.SIZE_MISMATCH, b"/store/b", mismatched, array("q", [6]).tobytes()),
                Finding(Kind.EMPTY, b"/store/c", mtime=60),
            ],
        )
        history.stage_unmerged(second, [(b"/store/unmerged", FileColumns.from_rows([(b"left", 7, 70)]))])
        history.stage_unlisted(second, [(b"/store/u", Reason.TIMEOUT, "30 s")])
        history.finish_run(second, 40.0, RunStatus.INCOMPLETE, COUNTS, keep_findings=True, message="words")
        history.open_run("T2_OTHER", 50.0, "ray")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in ("PRAGMA journal_mode = DELETE", "PRAGMA page_size = 512", "VACUUM"):
            connection.execute(statement)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Give a copy of the golden file, since opening it for writing changes it."""
    return Path(shutil.copy(GOLDEN, tmp_path / "copy.db"))


def tables_of(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name").fetchall()
    return [(name, sql) for name, sql in rows]


def assert_golden(path: Path) -> None:
    with HistoryDatabase(path) as history:
        assert history.sites() == ["T2_EXAMPLE", "T2_OTHER"]
        third, second, first = history.runs()
        assert (first.site, first.started, first.finished, first.status) == (SITE, 10.5, 20.25, RunStatus.DONE)
        assert (second.id, second.status, second.message, second.runtime) == (2, "incomplete", "words", "threads")
        assert (first.counts, second.counts) == (RunCounts(), COUNTS)
        assert (third.site, third.finished, third.status) == ("T2_OTHER", None, RunStatus.RUNNING)
        assert list(history.missing(SITE)) == [("/store/a/größe".encode(), 3, 30), (b"/store/a/\xff", 4, 40)]
        assert list(history.orphans(SITE)) == [(b"/store/\xfe/dark", UNKNOWN_SIZE, UNKNOWN_MTIME)]
        assert list(history.size_mismatches(SITE)) == [(b"/store/b/cut", 5, 50, 6)]
        assert list(history.empty_directories(SITE)) == [(b"/store/c", 60)]
        assert list(history.unmerged(SITE)) == [(b"/store/unmerged/left", 7, 70)]
        assert history.unlisted(SITE) == [(b"/store/u", Reason.TIMEOUT, "30 s")]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT run, name, entered, acted FROM orphans_history").fetchall() == [
            (1, "older", 20.25, None)
        ]


def test_the_golden_history_is_still_read(copy: Path) -> None:
    assert_golden(copy)


def test_what_is_written_today_reads_the_same(tmp_path: Path) -> None:
    write_golden(tmp_path / "new.db")
    assert_golden(tmp_path / "new.db")


def test_an_old_history_becomes_what_a_new_one_is(copy: Path, tmp_path: Path) -> None:
    for path in (copy, tmp_path / "new.db"):
        HistoryDatabase(path).close()
    assert tables_of(copy) == tables_of(tmp_path / "new.db")


def test_the_golden_history_has_had_the_first_step_alone() -> None:
    with closing(sqlite3.connect(f"{GOLDEN.as_uri()}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (migrations.HISTORY.application_id,)
        steps = connection.execute("SELECT name FROM _sqlite_migrations").fetchall()
    assert steps == [("0001_findings_by_site_and_run",)]
