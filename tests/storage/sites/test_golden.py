"""A summary that was written with the first schema must stay readable, whatever the schema becomes."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.site_states import Reporting, SiteStatus
from storage.sites.process import Owner
from storage.sites.schema import SUMMARY
from storage.sites.summary import Heartbeat, SiteRow, StatsRow, SummaryDatabase

FOLDER = Path(__file__).parents[1] / "golden"
GOLDEN = FOLDER / "summary-0001.db"
BEATS = FOLDER / "summary-0002.db"
"""With the signs of life of step 0002."""
OWNER = Owner(42, "host.example", "boot 7")
OLDER = StatsRow("T2_EXAMPLE", 1_700_000_000.25, 10.5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14)
LAST = StatsRow("T2_EXAMPLE", 1_700_000_100.0, 20.5, *range(101, 115))
SITES = [
    SiteRow("T1_größe", is_good=False, status=SiteStatus.DISABLED),
    SiteRow("T2_EXAMPLE", True, SiteStatus.RUNNING, Reporting.ACT, 1_700_000_200.5, OWNER),
    SiteRow("T2_OTHER", True),
]


SIGN = Heartbeat("listing", 12_345, 678_901, "nothing has answered for 60 s", 1_700_000_300.25)


def write_golden(path: Path) -> None:
    """Write the summary that stands in ``golden`` for the schema of step 0001."""
    with SummaryDatabase(path) as summary:
        summary.sync({"T1_größe": False, "T2_EXAMPLE": True, "T2_OTHER": True})
        summary.set_status("T1_größe", SiteStatus.DISABLED)
        summary.set_reporting("T2_EXAMPLE", Reporting.ACT)
        summary.update(OLDER)
        summary.update(LAST)
        summary.running("T2_EXAMPLE", OWNER, 1_700_000_200.5)


def write_beats(path: Path) -> None:
    """Write the summary that stands there for the schema of step 0002, in small pages."""
    write_golden(path)
    with SummaryDatabase(path) as summary:
        summary.beat("T2_EXAMPLE", OWNER, Heartbeat("reading the inventory", given=1_700_000_250.0))
        summary.beat("T2_EXAMPLE", OWNER, SIGN)
        summary.observe("observer boot", "observer", 7.0)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in ("PRAGMA journal_mode = DELETE", "PRAGMA page_size = 512", "VACUUM"):
            connection.execute(statement)


@pytest.fixture(params=[GOLDEN, BEATS], ids=lambda path: path.stem)
def golden(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def copy(golden: Path, tmp_path: Path) -> Path:
    """Give a copy of the golden file, since opening it for writing changes it."""
    return Path(shutil.copy(golden, tmp_path / "copy.db"))


def tables_of(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name").fetchall()
    return [(name, sql) for name, sql in rows]


def assert_golden(summary: SummaryDatabase) -> None:
    assert summary.sites() == SITES
    assert summary.stats() == {"T2_EXAMPLE": LAST}
    assert summary.history("T2_EXAMPLE") == [OLDER, LAST]


def assert_beats(summary: SummaryDatabase) -> None:
    assert summary.beats() == {"T2_EXAMPLE": SIGN}
    assert summary.unchanged("observer boot", 10.0) == {"T2_EXAMPLE": 3.0}
    assert summary.unchanged("observer another-boot", 10.0) == {}


def test_the_golden_summary_is_still_read(golden: Path, copy: Path) -> None:
    with SummaryDatabase(copy) as summary:
        assert_golden(summary)
        if golden == BEATS:
            assert_beats(summary)


def test_who_may_only_read_is_shown_it_as_it_is(golden: Path) -> None:
    with SummaryDatabase.reading(golden) as summary:
        assert_golden(summary)
        if golden == BEATS:
            assert_beats(summary)
        else:
            assert (summary.beats(), summary.unchanged("observer boot", 10.0)) == ({}, {})


def test_what_is_written_today_reads_the_same(tmp_path: Path) -> None:
    write_beats(tmp_path / "new.db")
    with SummaryDatabase(tmp_path / "new.db") as summary:
        assert_golden(summary)
        assert_beats(summary)


def test_an_old_summary_becomes_what_a_new_one_is(copy: Path, tmp_path: Path) -> None:
    for path in (copy, tmp_path / "new.db"):
        SummaryDatabase(path).close()
    assert tables_of(copy) == tables_of(tmp_path / "new.db")


def test_the_golden_summaries_have_had_their_steps_alone(golden: Path) -> None:
    names = ["0001_sites_and_results", "0002_heartbeats"]
    with closing(sqlite3.connect(f"{golden.as_uri()}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (SUMMARY.application_id,)
        steps = [name for (name,) in connection.execute("SELECT name FROM _sqlite_migrations ORDER BY name")]
    assert steps == names[: len(steps)]
    assert len(steps) == [GOLDEN, BEATS].index(golden) + 1
