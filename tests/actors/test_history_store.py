from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actors.history_store import HistoryStore, StorePlan
from engine.columns import FileColumns
from engine.findings import Finding, Kind, pack_findings
from storage.history import HistoryDatabase, HistoryError, RunCounts, RunStatus
from storage.runs.reports import ReportError

SITE = "SITE"
ORPHANS = pack_findings([Finding(Kind.ORPHAN, b"/store", FileColumns.from_rows([(b"dark", 5, 1)]))])


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[HistoryStore]:
    """Give a store with an open run and a finding that waits for its end."""
    store = HistoryStore(StorePlan(tmp_path / "www", SITE, tmp_path / "history.db"))
    store.open_run(SITE, 1.0, "threads")
    store.stage(ORPHANS)
    yield store
    store.release()


def recorded(tmp_path: Path) -> tuple[RunStatus, list[bytes]]:
    with HistoryDatabase(tmp_path / "history.db") as history:
        (row,) = history.runs(SITE)
        return row.status, [path for path, _, _ in history.orphans(SITE)]


def lists(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "www").iterdir())


def test_a_run_is_in_the_history_and_in_the_reports(opened: HistoryStore, tmp_path: Path) -> None:
    written = opened.finish(2.0, "done", RunCounts(orphan=1), True, "")
    assert recorded(tmp_path) == (RunStatus.DONE, [b"/store/dark"])
    assert sorted(Path(path).name for path in written) == lists(tmp_path)
    assert (tmp_path / "www" / "SITE_compare_orphan.txt").read_text() == "/store/dark\n"


def test_a_run_that_is_not_kept_leaves_no_reports(opened: HistoryStore, tmp_path: Path) -> None:
    assert opened.finish(2.0, "failed", RunCounts(), False, "why") == []
    assert recorded(tmp_path) == (RunStatus.FAILED, [])
    assert lists(tmp_path) == []


def test_a_run_whose_reports_cannot_be_written_is_not_done(opened: HistoryStore, tmp_path: Path) -> None:
    # The lists that have no finding yet are opened at the end, and cannot be in a directory that has gone.
    (tmp_path / "www").rename(tmp_path / "moved")
    with pytest.raises(ReportError):
        opened.finish(2.0, "done", RunCounts(orphan=1), True, "")
    with HistoryDatabase(tmp_path / "history.db") as history:
        assert [row.status for row in history.runs(SITE)] == [RunStatus.RUNNING]
    assert opened.finish(3.0, "failed", RunCounts(), False, "disk full") == []
    assert recorded(tmp_path) == (RunStatus.FAILED, [])


def test_a_run_that_cannot_be_recorded_has_no_reports(
    opened: HistoryStore, tmp_path: Path, later_run: Callable[[], None]
) -> None:
    later_run()
    with pytest.raises(HistoryError, match="a later run of its site has started"):
        opened.finish(2.0, "done", RunCounts(orphan=1), True, "")
    opened.release()
    assert lists(tmp_path) == []


@pytest.fixture
def later_run(tmp_path: Path) -> Callable[[], None]:
    def start() -> None:
        with HistoryDatabase(tmp_path / "history.db") as history:
            history.open_run(SITE, 5.0, "threads")

    return start


def test_what_is_recorded_stays_recorded_when_a_report_takes_no_name(opened: HistoryStore, tmp_path: Path) -> None:
    (tmp_path / "www" / "SITE_empty.txt").mkdir()
    with pytest.raises(ReportError, match=r"SITE_empty\.txt"):
        opened.finish(2.0, "done", RunCounts(orphan=1), True, "")
    assert opened.finish(3.0, "failed", RunCounts(), False, "no name") == []
    assert recorded(tmp_path) == (RunStatus.DONE, [b"/store/dark"])
