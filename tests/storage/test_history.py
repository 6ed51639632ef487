import os
import pickle
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, FileColumns
from engine.findings import Finding, Kind
from engine.states import Reason
from storage.history import HistoryDatabase, HistoryError, RunCounts, RunStatus

ROOT = Path(__file__).parents[2]
SITE = "T2_XX_Site"
OTHER = "T2_YY_Other"
HOSTILE = [
    b"new\nline",
    b"tab\tand\rreturn",
    b'it\'s "quoted"',
    b"'; DROP TABLE orphans; --",
    b"\xff\xfe not utf-8",
    b"\xed\xa0\x80 a surrogate",
    "größe 文件 \U0001f600".encode(),
    b"%s {run} ?1 :site",
    b"007",
    b" ",
    b"\x01\x7f",
]

Row = tuple[bytes, int, int]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "db" / "consistency.db"


@pytest.fixture
def history(path: Path) -> Iterator[HistoryDatabase]:
    with HistoryDatabase(path) as database:
        yield database


@pytest.fixture
def unwritable() -> Iterator[Path]:
    """Give a directory that this process cannot write; root gives up its rights for as long."""
    user = os.geteuid()
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o555)
    if user == 0:
        os.seteuid(65534)
    try:
        yield directory
    finally:
        if user == 0:
            os.seteuid(user)
        directory.rmdir()


def files(kind: Kind, directory: bytes, *names: bytes, size: int = 7, mtime: int = 100) -> Finding:
    columns = FileColumns.from_rows((name, size, mtime) for name in names)
    remote = array("q", [size + 1] * len(names)).tobytes() if kind == Kind.SIZE_MISMATCH else b""
    return Finding(kind, directory, columns, remote)


def orphans(directory: bytes, *names: bytes) -> Finding:
    return files(Kind.ORPHAN, directory, *names)


def run(
    history: HistoryDatabase, *findings: Finding, site: str = SITE, finished: float = 2.0, keep_findings: bool = True
) -> int:
    number = history.open_run(site, 1.0, "threads")
    history.stage(number, findings)
    history.finish_run(number, finished, RunStatus.DONE, RunCounts(), keep_findings)
    return number


def paths_of(rows: Iterable[tuple[bytes, int, int]]) -> list[bytes]:
    return [row[0] for row in rows]


def query(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


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


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_come_back_as_the_same_bytes(history: HistoryDatabase, name: bytes) -> None:
    directory = b"/store/" + name
    run(
        history,
        files(Kind.MISSING, directory, name),
        orphans(directory, name + b"2", b"plain"),
        files(Kind.SIZE_MISMATCH, directory, name),
        Finding(Kind.EMPTY, directory, mtime=1),
    )
    assert paths_of(history.missing(SITE)) == [directory + b"/" + name]
    assert paths_of(history.orphans(SITE)) == sorted([directory + b"/" + name + b"2", directory + b"/plain"])
    assert [row[0] for row in history.size_mismatches(SITE)] == [directory + b"/" + name]
    assert list(history.empty_directories(SITE)) == [(directory, 1)]


NAMES = st.binary(min_size=1, max_size=6).filter(lambda name: not set(name) & {0, 0x2F})


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(NAMES, st.sets(NAMES, min_size=1, max_size=4), max_size=5))
def test_any_names_come_back_in_tree_order(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[bytes, set[bytes]]
) -> None:
    with HistoryDatabase(tmp_path_factory.mktemp("any") / "h.db") as history:
        run(history, *(orphans(b"/" + directory, *names) for directory, names in tree.items()))
        assert paths_of(history.orphans(SITE)) == [
            b"/" + directory + b"/" + name for directory in sorted(tree) for name in sorted(tree[directory])
        ]


def test_valid_utf_8_is_text_and_the_rest_a_blob(history: HistoryDatabase, path: Path) -> None:
    run(history, orphans(b"/s\xff", "grün".encode(), b"\xff"))
    assert query(path, "SELECT name FROM orphans ORDER BY typeof(name)") == [(b"\xff",), ("grün",)]
    assert query(path, "SELECT name FROM directories") == [(b"/s\xff",)]


def test_directories_come_in_tree_order_whatever_came_first(history: HistoryDatabase) -> None:
    run(history, orphans(b"/s/a-b", b"x"))
    run(history, orphans(b"/", b"x"), orphans(b"/s/a", b"x"), orphans(b"/s/a/c", b"x"), orphans(b"/s/a-b", b"x"))
    assert paths_of(history.orphans(SITE)) == [b"/x", b"/s/a/x", b"/s/a/c/x", b"/s/a-b/x"]


def test_unknown_sizes_and_times_are_null_and_come_back(history: HistoryDatabase, path: Path) -> None:
    run(history, files(Kind.ORPHAN, b"/s", b"x", size=UNKNOWN_SIZE, mtime=UNKNOWN_MTIME), Finding(Kind.EMPTY, b"/s/e"))
    assert query(path, "SELECT size, mtime FROM orphans") == [(None, None)]
    assert query(path, "SELECT mtime FROM empty_directories") == [(None,)]
    assert list(history.orphans(SITE)) == [(b"/s/x", UNKNOWN_SIZE, UNKNOWN_MTIME)]
    assert list(history.empty_directories(SITE)) == [(b"/s/e", UNKNOWN_MTIME)]


def test_an_orphan_that_is_missing_too_is_left_out(history: HistoryDatabase) -> None:
    both = b"both \xff"
    run(
        history,
        orphans(b"/s", both, b"dark"),
        orphans(b"/t", b"elsewhere"),
        files(Kind.MISSING, b"/s", both, b"elsewhere"),
    )
    assert paths_of(history.orphans(SITE)) == [b"/s/dark", b"/t/elsewhere"]
    assert paths_of(history.missing(SITE)) == [b"/s/" + both, b"/s/elsewhere"]


def test_what_is_staged_twice_is_stored_once(history: HistoryDatabase) -> None:
    number = history.open_run(SITE, 1.0, "threads")
    for size in (1, 2):
        history.stage(
            number, [files(Kind.ORPHAN, b"/s", b"a", b"b", size=size), Finding(Kind.EMPTY, b"/e", mtime=size)]
        )
        history.stage_unlisted(number, [(b"/u", Reason.TIMEOUT, str(size))])
    history.finish_run(number, 2.0, RunStatus.DONE, RunCounts(), keep_findings=True)
    assert list(history.orphans(SITE)) == [(b"/s/a", 2, 100), (b"/s/b", 2, 100)]
    assert list(history.empty_directories(SITE)) == [(b"/e", 2)]
    assert history.unlisted(SITE) == [(b"/u", Reason.TIMEOUT, "2")]


def test_a_batch_that_breaks_is_not_staged_in_part(history: HistoryDatabase) -> None:
    def broken() -> Iterator[Finding]:
        yield orphans(b"/s", b"half")
        yield Finding(Kind.EMPTY, b"/s/e")
        raise OSError("no more")

    number = history.open_run(SITE, 1.0, "threads")
    history.stage(number, [orphans(b"/s", b"before")])
    with pytest.raises(OSError, match="no more"):
        history.stage(number, broken())
    history.stage(number, [orphans(b"/s", b"after")])
    history.finish_run(number, 2.0, RunStatus.DONE, RunCounts(), keep_findings=True)
    assert paths_of(history.orphans(SITE)) == [b"/s/after", b"/s/before"]
    assert list(history.empty_directories(SITE)) == []


@pytest.mark.parametrize(
    ("kind", "table", "read"),
    [
        (Kind.MISSING, "invalid", HistoryDatabase.missing),
        (Kind.ORPHAN, "orphans", HistoryDatabase.orphans),
    ],
)
def test_acting_moves_the_rows_at_once(
    history: HistoryDatabase,
    path: Path,
    kind: Kind,
    table: str,
    read: Callable[[HistoryDatabase, str, float | None], Iterator[Row]],
) -> None:
    run(history, files(kind, b"/s", b"a", b"b"))
    assert paths_of(read(history, SITE, None)) == [b"/s/a", b"/s/b"]
    taken = read(history, SITE, 50.0)
    assert query(path, f"SELECT count(*) FROM {table}") == [(0,)]
    assert query(path, f"SELECT name, acted FROM {table}_history") == [("a", 50.0), ("b", 50.0)]
    assert list(taken) == [(b"/s/a", 7, 100), (b"/s/b", 7, 100)]
    assert list(read(history, SITE, 51.0)) == []


def test_acting_on_empty_directories(history: HistoryDatabase, path: Path) -> None:
    run(history, *(Finding(Kind.EMPTY, name, mtime=1) for name in (b"/a", b"/a/b", b"/a/b/c", b"/a/d", b"/z")))
    order = [b"/a/b/c", b"/a/b", b"/a/d", b"/a", b"/z"]
    assert [row[0] for row in history.empty_directories(SITE)] == order
    assert [row[0] for row in history.empty_directories(SITE, acting=9.0)] == order
    assert list(history.empty_directories(SITE)) == []
    assert query(path, "SELECT DISTINCT acted FROM empty_directories_history") == [(9.0,)]


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


def test_a_reader_goes_on_with_what_it_began(history: HistoryDatabase) -> None:
    run(history, orphans(b"/a", b"1"), orphans(b"/b", b"2"))
    reader = history.orphans(SITE)
    assert next(reader)[0] == b"/a/1"
    run(history, orphans(b"/c", b"3"))
    assert paths_of(reader) == [b"/b/2"]
    assert paths_of(history.orphans(SITE)) == [b"/c/3"]


def test_staging_locks_out_neither_readers_nor_writers(history: HistoryDatabase, path: Path) -> None:
    run(history, orphans(b"/s", b"old"))
    number = history.open_run(SITE, 3.0, "threads")

    def batch() -> Iterator[Finding]:
        yield orphans(b"/s", b"new")
        # In the middle of the batch another process reads, and writes without waiting.
        with closing(sqlite3.connect(path, timeout=0)) as connection, connection:
            assert connection.execute("SELECT name FROM orphans").fetchall() == [("old",)]
            connection.execute("INSERT INTO sites(name) VALUES ('another')")
        yield orphans(b"/t", b"newer")

    history.stage(number, batch())
    history.finish_run(number, 4.0, RunStatus.DONE, RunCounts(), keep_findings=True)
    assert paths_of(history.orphans(SITE)) == [b"/s/new", b"/t/newer"]
    assert "another" in history.sites()


def test_readers_in_other_connections_see_old_or_new_whole(history: HistoryDatabase, path: Path) -> None:
    generations = [[orphans(b"/s/%d" % n, *(b"%d-%d" % (g, f) for f in range(50))) for n in range(20)] for g in (0, 1)]
    run(history, *generations[0])
    seen: list[set[bytes]] = []
    enough, over = threading.Event(), threading.Event()

    def read() -> None:
        with HistoryDatabase(path) as mine:
            while not over.is_set():
                rows = paths_of(mine.orphans(SITE))
                assert len(rows) == 1000
                seen.append({row.rpartition(b"/")[2][:1] for row in rows})
                enough.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert enough.wait(60)
        for turn in range(1, 11):
            run(history, *generations[turn % 2])
    finally:
        over.set()
        reader.join()
    assert seen
    assert all(generation in ({b"0"}, {b"1"}) for generation in seen)


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


def test_it_is_kept_on_disk_with_a_log_and_foreign_keys(history: HistoryDatabase, path: Path) -> None:
    run(history, orphans(b"/s", b"a"))
    assert query(path, "PRAGMA journal_mode") == [("wal",)]
    assert query(path, "PRAGMA foreign_key_check") == []
    assert {row[2] for row in query(path, "PRAGMA foreign_key_list(orphans_history)")} == {
        "sites",
        "runs",
        "directories",
    }
    history.close()
    with HistoryDatabase(path) as again:
        assert paths_of(again.orphans(SITE)) == [b"/s/a"]


def test_steps_of_the_schema_are_recorded_by_name(history: HistoryDatabase, path: Path) -> None:
    recorded = "SELECT migration_set, name FROM _sqlite_migrations"
    steps = [("history", "0001_findings_by_site_and_run"), ("history", "0002_how_long_a_file_has_been_found")]
    assert query(path, recorded) == steps
    HistoryDatabase(path).close()
    assert query(path, recorded) == steps


def _refused(path: Path) -> str:
    before = path.read_bytes()
    with pytest.raises(HistoryError) as caught:
        HistoryDatabase(path)
    assert path.read_bytes() == before
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_a_newer_database_is_refused_and_left_alone(path: Path) -> None:
    HistoryDatabase(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations(migration_set, name, applied_at) VALUES ('history', '0099_later', 'now')"
        )
    message = _refused(path)
    assert "newer version of this program" in message
    assert "0099_later" in message


def test_the_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE sites (id INTEGER PRIMARY KEY, name TEXT)")
    assert "not a history database of this program" in _refused(path)


@pytest.mark.parametrize("content", [b"this is a text, not a database\n" * 100, b"\0" * 8192], ids=["text", "zeros"])
def test_what_is_not_a_database_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    message = _refused(path)
    assert "restore a copy" in message
    assert "move it away" in message


def test_a_truncated_database_is_refused_and_left_alone(path: Path) -> None:
    with HistoryDatabase(path) as history:
        run(history, orphans(b"/s", *(b"%d" % n for n in range(1000))))
    path.write_bytes(path.read_bytes()[:20_000])
    assert "restore a copy" in _refused(path)


def test_damage_inside_is_reported_when_it_is_met(path: Path) -> None:
    with HistoryDatabase(path) as history:
        run(history, *(orphans(b"/s/%d" % d, *(b"%d" % n for n in range(1000))) for d in range(5)))
    ((page, size),) = query(path, "SELECT rootpage, 4096 FROM sqlite_master WHERE name = 'orphans'")
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : page * size] = b"\xaa" * size
    path.write_bytes(content)
    with HistoryDatabase(path) as history, pytest.raises(HistoryError, match="restore a copy"):
        list(history.orphans(SITE))


def test_an_empty_file_becomes_a_database(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with HistoryDatabase(path) as history:
        assert history.sites() == []


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "db" / "consistency.db"
    with pytest.raises(HistoryError, match="Not a directory") as caught:
        HistoryDatabase(path)
    assert str(path) in str(caught.value)


def test_a_directory_in_the_place_of_the_database_is_named(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="cannot be opened for writing") as caught:
        HistoryDatabase(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_directory_that_cannot_be_written_is_named(unwritable: Path) -> None:
    path = unwritable / "consistency.db"
    with pytest.raises(HistoryError, match="cannot be opened for writing") as caught:
        HistoryDatabase(path)
    assert str(path) in str(caught.value)


def test_errors_travel_between_processes() -> None:
    error = pickle.loads(pickle.dumps(HistoryError("/x: damaged")))
    assert (type(error), str(error)) == (HistoryError, "/x: damaged")


def test_processes_that_open_a_new_database_at_once_all_succeed(path: Path) -> None:
    script = """
import sys
from pathlib import Path
from storage.history import HistoryDatabase, RunCounts, RunStatus
sys.stdin.read(1)
with HistoryDatabase(Path(sys.argv[1])) as history:
    history.finish_run(history.open_run(sys.argv[2], 1.0, "threads"), 2.0, RunStatus.DONE, RunCounts(), True)
"""
    children = [_child(script, path, str(number)) for number in range(4)]
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"x")
        child.stdin.flush()
    for child in children:
        child.communicate(timeout=120)
        assert child.returncode == 0
    with HistoryDatabase(path) as history:
        assert [row.status for row in history.runs()] == [RunStatus.DONE] * 4


# A child that replaces 60 directories of old orphans. With a number it kills itself when SQLite's machine, inside
# finish_run, has made that many steps of those it reports; it prints how many there were.
FINISHER = """
import os, signal, sqlite3, sys
from pathlib import Path
from engine.columns import FileColumns
from engine.findings import Finding, Kind
from storage.history import HistoryDatabase, RunCounts, RunStatus

connections = []
connect = sqlite3.connect
sqlite3.connect = lambda *args, **more: connections.append(connect(*args, **more)) or connections[-1]
last, steps = int(sys.argv[2]), 0

def step():
    global steps
    steps += 1
    if steps == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return 0

columns = FileColumns.from_rows((b"new-%d" % f, 1, 1) for f in range(100))
history = HistoryDatabase(Path(sys.argv[1]))
run = history.open_run("T2_XX_Site", 3.0, "threads")
history.stage(run, [Finding(Kind.ORPHAN, b"/s/%d" % d, columns) for d in range(30, 90)])
history.stage(run, [Finding(Kind.EMPTY, b"/e/new")])
for connection in connections:
    connection.set_progress_handler(step, 1)
print("finishing", flush=True)
history.finish_run(run, 4.0, RunStatus.DONE, RunCounts(), True)
print(steps, flush=True)
"""


def _child(script: str, path: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path), *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def _old_state(path: Path) -> None:
    columns = FileColumns.from_rows((b"old-%d" % f, 1, 1) for f in range(100))
    with HistoryDatabase(path) as history:
        run(history, *(Finding(Kind.ORPHAN, b"/s/%d" % d, columns) for d in range(60)), Finding(Kind.EMPTY, b"/e/old"))


def _generation(path: Path) -> str:
    """Say whose findings are there, after checking that they are whole and that everything else agrees."""
    with HistoryDatabase(path) as history:
        found = paths_of(history.orphans(SITE))
        empty = [row[0] for row in history.empty_directories(SITE)]
        status = history.runs(SITE)[0].status
    ((generations, twin),) = query(
        path, "SELECT (SELECT count(DISTINCT run) FROM orphans), (SELECT count(*) FROM orphans_history)"
    )
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    assert (len(found), generations) == (6000, 1)
    if found[0].rpartition(b"/")[2].startswith(b"old"):
        assert (empty, status, twin) == ([b"/e/old"], RunStatus.RUNNING, 0)
        return "old"
    assert (empty, status, twin) == ([b"/e/new"], RunStatus.DONE, 6000)
    return "new"


def test_killed_at_any_step_old_is_whole_until_the_commit(path: Path) -> None:
    _old_state(path)
    whole = path.read_bytes()
    output, _ = _child(FINISHER, path, "0").communicate(timeout=120)
    steps = int(output.split()[-1])
    assert steps > 10_000
    assert _generation(path) == "new"
    # Some of the very last steps may come after the commit.
    for last in [1, *random.Random(1).sample(range(2, steps - 50), 4), steps - 50, steps]:
        path.write_bytes(whole)
        child = _child(FINISHER, path, str(last))
        child.communicate(timeout=120)
        assert child.returncode == -signal.SIGKILL
        assert _generation(path) == "old" or last >= steps - 50


def test_killed_from_outside_at_any_time_old_or_new_is_whole(path: Path) -> None:
    _old_state(path)
    whole = path.read_bytes()
    chance = random.Random(2)
    for _ in range(6):
        path.write_bytes(whole)
        child = _child(FINISHER, path, "0")
        assert child.stdout is not None
        assert child.stdout.readline() == b"finishing\n"
        time.sleep(chance.uniform(0.0, 0.08))
        child.kill()
        child.communicate(timeout=120)
        assert _generation(path) in ("old", "new")


def test_a_run_left_running_by_a_killed_process_does_no_harm(path: Path) -> None:
    _old_state(path)
    child = _child(FINISHER, path, "50")
    child.communicate(timeout=120)
    with HistoryDatabase(path) as history:
        left = history.runs(SITE)[0]
        run(history, orphans(b"/s", b"after"))
        statuses = {row.id: row.status for row in history.runs(SITE)}
        assert left.status == RunStatus.RUNNING
        assert statuses[left.id] == RunStatus.DIED
        assert paths_of(history.orphans(SITE)) == [b"/s/after"]


def test_loading_the_module_does_not_load_sqlite_utils() -> None:
    subprocess.run(
        [sys.executable, "-c", "import sys, storage.history; sys.exit('sqlite_utils' in sys.modules)"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=120,
    )
