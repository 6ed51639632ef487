"""A history that was written with an earlier schema must stay readable, whatever the schema becomes."""

import shutil
import sqlite3
from array import array
from contextlib import closing
from pathlib import Path

import pytest

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, FileColumns
from engine.findings import Finding, Kind
from engine.gates import Refusal
from engine.scope import Scope
from engine.states import Reason
from engine.usual import EarlierRun
from storage.history import Acted, Changed, HistoryDatabase, RunCounts, RunSigns, RunStatus, Table
from storage.history.difference import Fate
from storage.history.schema import HISTORY
from storage.history.sight import scope_of
from storage.history.two_runs import Comparison, FindingKind, choose_runs

FOLDER = Path(__file__).parents[1] / "golden"
GOLDEN = FOLDER / "history-0001.db"
COUNTERS = FOLDER / "history-0002.db"
"""With the counters of step 0002."""
SIGNS = FOLDER / "history-0003.db"
"""With what step 0003 says of the gates of a run."""
REASONS = FOLDER / "history-0004.db"
"""With what step 0004 says of files that were not judged."""
UNLISTED = FOLDER / "history-0005.db"
"""With what step 0005 keeps of directories that earlier runs could not list."""
CHECKSUMS = FOLDER / "history-0006.db"
"""With the mismatches of checksums of step 0006."""
LOOKED = FOLDER / "history-0007.db"
"""With what step 0007 says of where a run looked."""

SITE = "T2_EXAMPLE"
COUNTS = RunCounts(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14.5)


def write_golden(path: Path) -> None:
    """Write the history that stands in ``golden`` for the schema of step 0001."""
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
    pack(path)


def write_counters(path: Path) -> None:
    """Write the history that stands there for the schema of step 0002."""
    with HistoryDatabase(path) as history:
        first = history.open_run(SITE, 10.5, "ray")
        history.stage(
            first, [Finding(Kind.ORPHAN, b"/store/a", FileColumns.from_rows([(b"o", 1, 2), (b"\xff", 1, 2)]))]
        )
        history.finish_run(first, 20.25, RunStatus.DONE, RunCounts(), keep_findings=True)
        second = history.open_run(SITE, 30.0, "front end")
        history.report(second, Table.MISSING, [(b"/store/a/m", 3, 30), (b"plain", 4, 40)], 35.0)
        history.report(second, Table.ORPHANS, [(b"/store/a/o", 1, 2), (b"/store/b/p", 3, 4)], 36.0)
        history.report(second, Table.UNMERGED, [(b"/store/unmerged/u", 5, 6)], 37.0)
        history.report_empty(second, [(b"/store/c", 60), (b"/store/d", 70)], 38.0)
        history.finish_run(second, 40.0, RunStatus.DONE, history.counts(second), keep_findings=False)
        history.mark_acted(SITE, Table.ORPHANS, [b"/store/a/o"], 41.0)
        history.mark_acted(SITE, Table.EMPTY, [b"/store/d"], 42.0)
    pack(path)


def write_signs(path: Path) -> None:
    """Write the history that stands there for the schema of step 0003."""
    with HistoryDatabase(path) as history:
        first = history.open_run(SITE, 10.5, "ray")
        counts = RunCounts(files=60, inventory_files=70)
        history.finish_run(first, 20.25, RunStatus.DONE, counts, True, signs=RunSigns(5.5, accepted=True))
        history.note(first, "größe", [Refusal("too-many", "größe 1"), Refusal("unlisted", "2")])
        second = history.open_run(SITE, 30.0, "threads")
        signs = RunSigns(gates=(Refusal("fewer-files", "3"),))
        history.finish_run(second, 40.0, RunStatus.FAILED, RunCounts(files=1), False, "refused", signs)
    pack(path)


def assert_signs(path: Path) -> None:
    with HistoryDatabase(path) as history:
        second, first = history.runs(SITE)
        gates = (Refusal("too-many", "größe 1"), Refusal("unlisted", "2"))
        assert (first.signs, first.message) == (RunSigns(5.5, gates, accepted=True), "größe")
        assert second.signs == RunSigns(None, (Refusal("fewer-files", "3"),))
        assert first.counts == RunCounts(files=60, inventory_files=70)
        assert history.earlier_files(SITE) == [EarlierRun(60, 70, complete=True)]
        assert history.last_run_with(SITE, Table.MISSING) == first


def write_reasons(path: Path) -> None:
    """Write the history that stands there for the schema of step 0004."""
    with HistoryDatabase(path) as history:
        run = history.open_run(SITE, 10.5, "ray")
        signs = RunSigns(reasons=(("timeout", 7), ("größe", 2**40)))
        history.finish_run(run, 20.25, RunStatus.INCOMPLETE, RunCounts(protected=9), True, signs=signs)
    pack(path)


def assert_reasons(path: Path) -> None:
    with HistoryDatabase(path) as history:
        (run,) = history.runs(SITE)
        assert run.signs == RunSigns(reasons=(("timeout", 7), ("größe", 2**40)))


def write_unlisted(path: Path) -> None:
    """Write the history that stands there for the schema of step 0005."""
    with HistoryDatabase(path) as history:
        for unlisted in ([(b"/store/\xfe", Reason.TIMEOUT, "größe"), (b"/store/u", Reason.DEPTH, "")], []):
            run = history.open_run(SITE, 10.5, "ray")
            history.stage_unlisted(run, unlisted)
            counts = RunCounts(unlisted=len(unlisted))
            history.finish_run(run, 20.25, RunStatus.INCOMPLETE, counts, keep_findings=True)
    pack(path)


def assert_unlisted(path: Path) -> None:
    with HistoryDatabase(path) as history, history.view() as connection:
        assert history.unlisted(SITE) == []
        runs = choose_runs(connection, SITE)
        gone = Comparison(connection, runs).rows(FindingKind.UNLISTED, Fate.GONE)
        assert [row.path for row in gone] == [b"/store/u", b"/store/\xfe"]
        rows = connection.execute("SELECT site, run, reason, detail FROM unlisted_history ORDER BY reason")
        assert rows.fetchall() == [(1, 1, Reason.TIMEOUT, "größe"), (1, 1, Reason.DEPTH, "")]


def write_checksums(path: Path) -> None:
    """Write the history that stands there for the schema of step 0006."""
    with HistoryDatabase(path) as history:
        for name in (b"older", b"\xff"):
            run = history.open_run(SITE, 10.5, "ray")
            history.replaces_checksums(run)
            columns, pair = FileColumns.from_rows([(name, 5, 50)]), ("adler32:0a1b2c3d", "adler32:0a1b2c3e")
            history.stage(run, [Finding(Kind.CHECKSUM_MISMATCH, b"/store/a", columns, checksums=(pair,))])
            counts = RunCounts(checksum_mismatch=1, checksums=9, checksums_unchecked=2)
            history.finish_run(run, 20.25, RunStatus.DONE, counts, keep_findings=True)
    pack(path)


def assert_checksums(path: Path) -> None:
    with HistoryDatabase(path) as history, history.view() as connection:
        found = (b"/store/a/\xff", 5, 50, "adler32:0a1b2c3d", "adler32:0a1b2c3e")
        assert list(history.checksum_mismatches(SITE)) == [found]
        runs = choose_runs(connection, SITE)
        (gone,) = Comparison(connection, runs).rows(FindingKind.CHECKSUM_MISMATCH, Fate.GONE)
        assert (gone.path, gone.checksums) == (b"/store/a/older", ("adler32:0a1b2c3d", "adler32:0a1b2c3e"))
        counts = history.runs(SITE)[0].counts
        assert (counts.checksum_mismatch, counts.checksums, counts.checksums_unchecked) == (1, 9, 2)


WHERE = Scope((b"/store/mc", b"/store/\xfe"), ("größe".encode(), b"\xff\n"), (b"/store/q",), True, 15.5)


def write_looked(path: Path) -> None:
    """Write the history that stands there for the schema of step 0007."""
    with HistoryDatabase(path) as history:
        for looked in (None, WHERE):
            run = history.open_run(SITE, 10.5, "ray")
            history.finish_run(run, 20.25, RunStatus.DONE, RunCounts(), True, looked=looked)
    pack(path)


def assert_looked(path: Path) -> None:
    with HistoryDatabase(path) as history, history.view() as connection:
        assert [scope_of(connection, run) for run in (1, 2)] == [None, WHERE]


def pack(path: Path) -> None:
    """Make the file small, with small pages and without a log."""
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


def assert_counters(path: Path) -> None:
    with HistoryDatabase(path) as history:
        second, first = history.runs(SITE)
        assert (first.runtime, second.runtime, second.finished) == ("ray", "front end", 40.0)
        assert second.counts == RunCounts(missing=2, missing_bytes=7, orphan=2, orphan_bytes=4, empty=2)
        assert list(history.missing(SITE)) == [(b"plain", 4, 40), (b"/store/a/m", 3, 30)]
        assert list(history.orphans(SITE)) == [(b"/store/b/p", 3, 4)]
        assert list(history.unmerged(SITE)) == [(b"/store/unmerged/u", 5, 6)]
        assert list(history.empty_directories(SITE)) == [(b"/store/c", 60)]
        assert list(history.acted(SITE, Table.ORPHANS)) == [Acted(b"/store/a/o", 1, 2, 2, 41.0)]
        assert list(history.acted(SITE, Table.EMPTY)) == [Acted(b"/store/d", UNKNOWN_SIZE, 70, 2, 42.0)]
        assert history.changes(SITE, 9).orphans == Changed(
            2, 1, 1, 1, ((b"/store/b/p", 3, 4),), ((b"/store/a/\xff", 1, 2),)
        )
    assert counters_of(path, "orphans") == [(2, "p", 1, 36.0)]
    assert counters_of(path, "orphans_history") == [(1, "o", 1, 20.25), (1, b"\xff", 1, 20.25), (2, "o", 2, 20.25)]


def counters_of(path: Path, table: str) -> list[tuple[int, str | bytes, int, float | None]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            f"SELECT run, name, seen, since FROM {table} ORDER BY run, directory, name"
        ).fetchall()


def test_the_golden_history_is_still_read(copy: Path) -> None:
    assert_golden(copy)


def test_the_golden_history_with_counters_is_still_read(tmp_path: Path) -> None:
    assert_counters(Path(shutil.copy(COUNTERS, tmp_path / "copy.db")))


def test_the_golden_history_with_gates_is_still_read(tmp_path: Path) -> None:
    assert_signs(Path(shutil.copy(SIGNS, tmp_path / "copy.db")))


def test_the_golden_history_with_reasons_is_still_read(tmp_path: Path) -> None:
    assert_reasons(Path(shutil.copy(REASONS, tmp_path / "copy.db")))


def test_the_golden_history_with_unlisted_directories_is_still_read(tmp_path: Path) -> None:
    assert_unlisted(Path(shutil.copy(UNLISTED, tmp_path / "copy.db")))


def test_the_golden_history_with_checksums_is_still_read(tmp_path: Path) -> None:
    assert_checksums(Path(shutil.copy(CHECKSUMS, tmp_path / "copy.db")))


def test_the_golden_history_with_where_runs_looked_is_still_read(tmp_path: Path) -> None:
    assert_looked(Path(shutil.copy(LOOKED, tmp_path / "copy.db")))


def test_the_runs_of_an_old_history_have_no_gates_and_an_inventory_of_nobody_knows_how_many(copy: Path) -> None:
    with HistoryDatabase(copy) as history:
        assert [run.signs for run in history.runs()] == [RunSigns()] * 3
        assert history.earlier_files(SITE) == [EarlierRun(1, 0, complete=False)]
        assert history.last_run_with(SITE, Table.MISSING) == history.runs(SITE)[0]
        assert history.last_run_with("T2_OTHER", Table.MISSING) is None


def test_what_is_written_today_reads_the_same(tmp_path: Path) -> None:
    write_golden(tmp_path / "new.db")
    assert_golden(tmp_path / "new.db")
    write_counters(tmp_path / "counters.db")
    assert_counters(tmp_path / "counters.db")
    write_signs(tmp_path / "signs.db")
    assert_signs(tmp_path / "signs.db")
    write_reasons(tmp_path / "reasons.db")
    assert_reasons(tmp_path / "reasons.db")
    write_unlisted(tmp_path / "unlisted.db")
    assert_unlisted(tmp_path / "unlisted.db")
    write_checksums(tmp_path / "checksums.db")
    assert_checksums(tmp_path / "checksums.db")
    write_looked(tmp_path / "looked.db")
    assert_looked(tmp_path / "looked.db")


@pytest.mark.parametrize(
    "golden",
    [GOLDEN, COUNTERS, SIGNS, REASONS, UNLISTED, CHECKSUMS, LOOKED],
    ids=["0001", "0002", "0003", "0004", "0005", "0006", "0007"],
)
def test_an_old_history_becomes_what_a_new_one_is(golden: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(golden, tmp_path / "copy.db"))
    for path in (copy, tmp_path / "new.db"):
        HistoryDatabase(path).close()
    assert tables_of(copy) == tables_of(tmp_path / "new.db")


def test_what_is_in_an_old_history_was_found_once(copy: Path) -> None:
    HistoryDatabase(copy).close()
    assert counters_of(copy, "invalid") == [(2, "größe", 1, None), (2, b"\xff", 1, None)]
    assert counters_of(copy, "orphans_history") == [(1, "older", 1, None)]


def test_the_next_run_counts_on_from_an_old_history(copy: Path) -> None:
    with HistoryDatabase(copy) as history:
        assert history.runs_with_findings(SITE) == 2
        assert history.runs_with_findings("T2_OTHER") == 0
        found = history.changes(SITE)
        assert (found.missing.before, found.missing.new, found.orphans.new, found.orphans.gone) == (1, 2, 1, 1)
        third = history.open_run(SITE, 50.0, "threads")
        again = Finding(Kind.MISSING, b"/store/a", FileColumns.from_rows([("größe".encode(), 3, 30), (b"new", 1, 1)]))
        history.stage(third, [again])
        history.finish_run(third, 60.0, RunStatus.DONE, RunCounts(), keep_findings=True)
        assert [row[0] for row in history.missing(SITE, least=2)] == ["/store/a/größe".encode()]
        changed = history.changes(SITE, 9).missing
        assert (changed.new_files, changed.gone_files) == (((b"/store/a/new", 1, 1),), ((b"/store/a/\xff", 4, 40),))
    assert counters_of(copy, "invalid") == [(third, "größe", 2, 40.0), (third, "new", 1, 60.0)]


@pytest.mark.parametrize(
    ("golden", "steps"),
    [
        (GOLDEN, ["0001_findings_by_site_and_run"]),
        (COUNTERS, ["0001_findings_by_site_and_run", "0002_how_long_a_file_has_been_found"]),
        (
            SIGNS,
            [
                "0001_findings_by_site_and_run",
                "0002_how_long_a_file_has_been_found",
                "0003_what_the_gates_of_a_run_said",
            ],
        ),
    ],
    ids=["0001", "0002", "0003"],
)
def test_a_golden_history_has_had_the_steps_of_its_time_alone(golden: Path, steps: list[str]) -> None:
    with closing(sqlite3.connect(f"{golden.as_uri()}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (HISTORY.application_id,)
        assert [name for (name,) in connection.execute("SELECT name FROM _sqlite_migrations ORDER BY id")] == steps


def test_what_two_old_runs_found_is_not_new(copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as connection, connection:
        columns = "site, directory, name, size, mtime, entered"
        connection.execute(f"INSERT INTO orphans_history({columns}, run) SELECT {columns}, 1 FROM orphans")
        connection.execute(
            f"INSERT INTO invalid_history({columns}, run) SELECT {columns}, 1 FROM invalid WHERE name = 'größe'"
        )
    with HistoryDatabase(copy) as history:
        found = history.changes(SITE, 9)
    assert (found.orphans.new, found.orphans.gone) == (0, 1)
    assert found.missing.new_files == ((b"/store/a/\xff", 4, 40),)
