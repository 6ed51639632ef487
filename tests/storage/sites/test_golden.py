"""A summary that was written with the first schema must stay readable, whatever the schema becomes."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.site_states import Reporting, SiteStatus
from storage.sites.process import Owner
from storage.sites.schema import SUMMARY
from storage.sites.summary import SiteRow, StatsRow, SummaryDatabase

GOLDEN = Path(__file__).parents[1] / "golden" / "summary-0001.db"
OWNER = Owner(42, "host.example", "boot 7")
OLDER = StatsRow("T2_EXAMPLE", 1_700_000_000.25, 10.5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14)
LAST = StatsRow("T2_EXAMPLE", 1_700_000_100.0, 20.5, *range(101, 115))
SITES = [
    SiteRow("T1_größe", is_good=False, status=SiteStatus.DISABLED),
    SiteRow("T2_EXAMPLE", True, SiteStatus.RUNNING, Reporting.ACT, 1_700_000_200.5, OWNER),
    SiteRow("T2_OTHER", True),
]


def write_golden(path: Path) -> None:
    """Write the summary that stands in ``golden`` for the schema of step 0001, in small pages."""
    with SummaryDatabase(path) as summary:
        summary.sync({"T1_größe": False, "T2_EXAMPLE": True, "T2_OTHER": True})
        summary.set_status("T1_größe", SiteStatus.DISABLED)
        summary.set_reporting("T2_EXAMPLE", Reporting.ACT)
        summary.update(OLDER)
        summary.update(LAST)
        summary.running("T2_EXAMPLE", OWNER, 1_700_000_200.5)
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
    with SummaryDatabase(path) as summary:
        assert summary.sites() == SITES
        assert summary.stats() == {"T2_EXAMPLE": LAST}
        assert summary.history("T2_EXAMPLE") == [OLDER, LAST]


def test_the_golden_summary_is_still_read(copy: Path) -> None:
    assert_golden(copy)


def test_what_is_written_today_reads_the_same(tmp_path: Path) -> None:
    write_golden(tmp_path / "new.db")
    assert_golden(tmp_path / "new.db")


def test_an_old_summary_becomes_what_a_new_one_is(copy: Path, tmp_path: Path) -> None:
    for path in (copy, tmp_path / "new.db"):
        SummaryDatabase(path).close()
    assert tables_of(copy) == tables_of(tmp_path / "new.db")


def test_the_golden_summary_has_had_the_first_step_alone() -> None:
    with closing(sqlite3.connect(f"{GOLDEN.as_uri()}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (SUMMARY.application_id,)
        steps = connection.execute("SELECT name FROM _sqlite_migrations").fetchall()
    assert steps == [("0001_sites_and_results",)]
