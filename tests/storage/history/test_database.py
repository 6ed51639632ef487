import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.columns import UNKNOWN_MTIME, FileColumns
from engine.findings import Finding, Kind
from engine.states import Reason
from storage.history import HistoryDatabase, HistoryError, RunCounts, RunStatus, Table
from tests.storage.histories import OTHER, ROOT, SITE, files, orphans, paths_of, query, run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "db" / "consistency.db"


@pytest.fixture
def history(path: Path) -> Iterator[HistoryDatabase]:
    with HistoryDatabase(path) as database:
        yield database


def test_a_finished_run_is_read_back(history: HistoryDatabase) -> None:
    run(
        history,
        files(Kind.MISSING, b"/store/a", b"gone", size=3, mtime=30),
        orphans(b"/store/a", b"dark", b"darker"),
        files(Kind.SIZE_MISMATCH, b"/store/b", b"cut", size=5, mtime=50),
        Finding(Kind.EMPTY, b"/store/c", mtime=60),
    )
    assert list(history.missing(SITE)) == [(b"/store/a/gone", 3, 30)]
    assert list(history.orphans(SITE)) == [(b"/store/a/dark", 7, 100), (b"/store/a/darker", 7, 100)]
    assert list(history.size_mismatches(SITE)) == [(b"/store/b/cut", 5, 50, 6)]
    assert list(history.empty_directories(SITE)) == [(b"/store/c", 60)]
    assert list(history.unmerged(SITE)) == []


def test_the_row_of_a_run(history: HistoryDatabase) -> None:
    number = history.open_run(SITE, 10.5, "ray")
    (row,) = history.runs(SITE)
    assert (row.id, row.site, row.started, row.finished, row.status) == (number, SITE, 10.5, None, RunStatus.RUNNING)
    counts = RunCounts(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14.5)
    history.finish_run(
        number, 20.25, RunStatus.INCOMPLETE, counts, keep_findings=True, message="too many \udcff missing"
    )
    (row,) = history.runs(SITE)
    assert (row.finished, row.status, row.counts) == (20.25, RunStatus.INCOMPLETE, counts)
    assert (row.message, row.runtime) == ("too many \\udcff missing", "ray")


def test_a_count_that_is_too_large_is_stored_as_the_largest(history: HistoryDatabase) -> None:
    number = history.open_run(SITE, 1.0, "ray")
    counts = RunCounts(bytes=2**70, missing_bytes=2**64, orphan_bytes=2**63 - 1)
    history.finish_run(number, 2.0, RunStatus.DONE, counts, keep_findings=True)
    (row,) = history.runs(SITE)
    assert (row.counts.bytes, row.counts.missing_bytes, row.counts.orphan_bytes) == (2**63 - 1,) * 3


def test_counts_are_stored_under_their_own_names(history: HistoryDatabase, path: Path) -> None:
    number = history.open_run(SITE, 1.0, "ray")
    history.finish_run(number, 2.0, RunStatus.DONE, RunCounts(bytes=3, protected=4, seconds=0.5), keep_findings=True)
    assert query(path, "SELECT bytes, protected, seconds, files FROM runs") == [(3, 4, 0.5, 0)]


def test_runs_come_newest_first_up_to_a_limit(history: HistoryDatabase) -> None:
    numbers = [run(history, site=site) for site in (SITE, OTHER, SITE, SITE)]
    assert [row.id for row in history.runs(SITE, 2)] == [numbers[3], numbers[2]]
    assert [row.id for row in history.runs()] == numbers[::-1]
    assert history.runs("nobody") == []
    assert history.sites() == [SITE, OTHER]


def test_nothing_staged_is_seen_before_the_run_is_finished(history: HistoryDatabase) -> None:
    run(history, orphans(b"/store", b"old"))
    number = history.open_run(SITE, 3.0, "threads")
    history.stage(number, [orphans(b"/store", b"new")])
    assert paths_of(history.orphans(SITE)) == [b"/store/old"]
    history.finish_run(number, 4.0, RunStatus.DONE, RunCounts(), keep_findings=True)
    assert paths_of(history.orphans(SITE)) == [b"/store/new"]


def test_a_newer_run_moves_older_rows_to_the_twins(history: HistoryDatabase, path: Path) -> None:
    first = run(
        history,
        files(Kind.MISSING, b"/s", b"m"),
        orphans(b"/s", b"o"),
        files(Kind.SIZE_MISMATCH, b"/s", b"x"),
        Finding(Kind.EMPTY, b"/s/e", mtime=9),
        finished=2.0,
    )
    second = run(history, orphans(b"/s", b"o"), finished=5.0)
    twin = "SELECT h.run, h.name, h.size, h.mtime, h.entered, h.acted"
    for table, name in (("invalid", "m"), ("orphans", "o"), ("size_mismatches", "x")):
        assert query(path, f"{twin} FROM {table}_history h") == [(first, name, 7, 100, 2.0, None)]
    assert query(path, "SELECT remote_size FROM size_mismatches_history") == [(8,)]
    assert query(path, "SELECT run, name, mtime, entered, acted FROM empty_directories_history") == [
        (first, "/s/e", 9, 2.0, None)
    ]
    assert query(path, "SELECT run, entered FROM orphans") == [(second, 5.0)]
    assert list(history.missing(SITE)) == []


def test_a_failed_run_keeps_the_older_findings(history: HistoryDatabase, path: Path) -> None:
    run(history, files(Kind.MISSING, b"/s", b"m"), Finding(Kind.EMPTY, b"/s/e"))
    number = history.open_run(SITE, 3.0, "threads")
    history.stage(number, [files(Kind.MISSING, b"/s", b"wrong")])
    history.stage_unlisted(number, [(b"/s/x", Reason.TIMEOUT, "")])
    history.finish_run(number, 4.0, RunStatus.FAILED, RunCounts(), keep_findings=False, message="mounted empty")
    assert paths_of(history.missing(SITE)) == [b"/s/m"]
    assert list(history.empty_directories(SITE)) == [(b"/s/e", UNKNOWN_MTIME)]
    assert history.unlisted(SITE) == []
    assert query(path, "SELECT count(*) FROM invalid_history") == [(0,)]
    assert (history.runs(SITE)[0].status, history.runs(SITE)[0].message) == (RunStatus.FAILED, "mounted empty")


def test_a_run_is_withdrawn_unless_it_has_reported(history: HistoryDatabase) -> None:
    history.withdraw(history.open_run(SITE, 1.0, "threads"))
    assert history.runs(SITE) == []
    number = history.open_run(SITE, 2.0, "threads")
    history.report(number, Table.MISSING, [(b"/store/mc/lost", 1, 1)], 2.5)
    history.withdraw(number)
    assert [run.status for run in history.runs(SITE)] == [RunStatus.DIED]
    assert [row[0] for row in history.missing(SITE)] == [b"/store/mc/lost"]


def test_an_abandoned_run_leaves_no_findings(history: HistoryDatabase) -> None:
    run(history, orphans(b"/s", b"old"))
    number = history.open_run(SITE, 3.0, "threads")
    history.stage(number, [orphans(b"/s", b"new")])
    history.abandon(number)
    assert paths_of(history.orphans(SITE)) == [b"/s/old"]
    assert history.runs(SITE)[0].status == RunStatus.DIED
    with pytest.raises(HistoryError, match="is not open here"):
        history.finish_run(number, 4.0, RunStatus.DONE, RunCounts(), keep_findings=True)


def test_two_sites_are_independent(history: HistoryDatabase) -> None:
    one, two = history.open_run(SITE, 1.0, "threads"), history.open_run(OTHER, 1.0, "threads")
    history.stage(one, [orphans(b"/s", b"a"), Finding(Kind.EMPTY, b"/s/e")])
    history.stage(two, [orphans(b"/s", b"a", b"b")])
    history.stage_unlisted(two, [(b"/s/x", Reason.PERMISSION, "")])
    history.finish_run(two, 2.0, RunStatus.DONE, RunCounts(), keep_findings=True)
    assert list(history.orphans(SITE)) == []
    history.finish_run(one, 3.0, RunStatus.DONE, RunCounts(), keep_findings=True)
    run(history)
    assert list(history.orphans(SITE)) == []
    assert list(history.empty_directories(SITE)) == []
    assert paths_of(history.orphans(OTHER, acting=4.0)) == [b"/s/a", b"/s/b"]
    assert history.unlisted(OTHER) == [(b"/s/x", Reason.PERMISSION, "")]


def test_unmerged_files_stay_until_the_next_cleaning(history: HistoryDatabase, path: Path) -> None:
    number = history.open_run(SITE, 1.0, "threads")
    history.stage_unmerged(number, [(b"/store/unmerged", FileColumns.from_rows([(b"old", 4, 5)]))])
    history.finish_run(number, 2.0, RunStatus.DONE, RunCounts(), keep_findings=True)
    run(history)
    assert list(history.unmerged(SITE)) == [(b"/store/unmerged/old", 4, 5)]
    number = history.open_run(SITE, 3.0, "threads")
    history.stage_unmerged(number, [])
    history.finish_run(number, 4.0, RunStatus.DONE, RunCounts(), keep_findings=True)
    assert list(history.unmerged(SITE, acting=5.0)) == []
    assert query(path, "SELECT name, acted FROM unmerged_history") == [("old", None)]


def test_unlisted_directories_are_those_of_the_last_run(history: HistoryDatabase) -> None:
    first = history.open_run(SITE, 1.0, "threads")
    history.stage_unlisted(first, [(b"/a-b", Reason.TIMEOUT, "30 s"), (b"/a/\xff", Reason.PERMISSION, "a \udcff b")])
    history.finish_run(first, 2.0, RunStatus.INCOMPLETE, RunCounts(), keep_findings=True)
    assert history.unlisted(SITE) == [
        (b"/a/\xff", Reason.PERMISSION, "a \\udcff b"),
        (b"/a-b", Reason.TIMEOUT, "30 s"),
    ]
    run(history)
    assert history.unlisted(SITE) == []


def test_a_dead_run_is_marked_by_the_next_of_its_site(history: HistoryDatabase, path: Path) -> None:
    run(history, orphans(b"/s", b"old"))
    with HistoryDatabase(path) as other:
        dead = other.open_run(SITE, 3.0, "threads")
        elsewhere = other.open_run(OTHER, 3.0, "threads")
        other.stage(dead, [orphans(b"/s", b"lost")])
        alive = history.open_run(SITE, 4.0, "threads")
        with pytest.raises(HistoryError, match="later run of its site"):
            other.finish_run(dead, 5.0, RunStatus.DONE, RunCounts(), keep_findings=True)
    statuses = {row.id: row.status for row in history.runs()}
    assert statuses[dead] == RunStatus.DIED
    assert statuses[alive] == statuses[elsewhere] == RunStatus.RUNNING
    assert paths_of(history.orphans(SITE)) == [b"/s/old"]


def test_a_second_run_of_a_site_takes_the_place_of_the_first(history: HistoryDatabase) -> None:
    first = history.open_run(SITE, 1.0, "threads")
    history.stage(first, [orphans(b"/s", b"first")])
    second = history.open_run(SITE, 2.0, "threads")
    with pytest.raises(HistoryError, match="is not open here"):
        history.stage(first, [])
    history.finish_run(second, 3.0, RunStatus.DONE, RunCounts(), keep_findings=True)
    assert list(history.orphans(SITE)) == []


def test_what_another_process_staged_cannot_be_finished_here(history: HistoryDatabase, path: Path) -> None:
    number = history.open_run(SITE, 1.0, "threads")
    with HistoryDatabase(path) as restarted, pytest.raises(HistoryError, match="is not open here"):
        restarted.stage(number, [orphans(b"/s", b"a")])


def test_a_finish_that_fails_can_be_tried_again(history: HistoryDatabase, path: Path) -> None:
    run(history, orphans(b"/s", b"old"))
    number = history.open_run(SITE, 3.0, "threads")
    history.stage(number, [orphans(b"/s", b"new")])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON orphans BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(HistoryError, match="disk full"):
        history.finish_run(number, 4.0, RunStatus.DONE, RunCounts(), keep_findings=True)
    assert paths_of(history.orphans(SITE)) == [b"/s/old"]
    assert query(path, "SELECT count(*) FROM orphans_history") == [(0,)]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER full")
    history.finish_run(number, 4.0, RunStatus.DONE, RunCounts(), keep_findings=True)
    assert paths_of(history.orphans(SITE)) == [b"/s/new"]


def test_loading_the_module_does_not_load_sqlite_utils() -> None:
    subprocess.run(
        [sys.executable, "-c", "import sys, storage.history; sys.exit('sqlite_utils' in sys.modules)"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=120,
    )


def test_what_a_run_says_already_is_not_noted_again(history: HistoryDatabase) -> None:
    number = run(history)
    for said in ("12 orphans left alone", "2 orphans left alone", "2 orphans", "12 orphans left alone"):
        history.note(number, said)
        history.note(number, said)
    assert history.runs(SITE)[0].message == "12 orphans left alone; 2 orphans left alone; 2 orphans"


def test_a_run_that_there_is_not_takes_no_note(history: HistoryDatabase) -> None:
    with pytest.raises(HistoryError, match="there is no run 5"):
        history.note(5, "said")
