import os
import pickle
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from engine.findings import Finding
from storage.history import HistoryDatabase, HistoryError, RunCounts, RunStatus, connection
from tests.storage.histories import SITE, orphans, paths_of, query, run, start_child


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "db" / "consistency.db"


@pytest.fixture
def history(path: Path) -> Iterator[HistoryDatabase]:
    with HistoryDatabase(path) as database:
        yield database


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
    steps = [
        ("history", "0001_findings_by_site_and_run"),
        ("history", "0002_how_long_a_file_has_been_found"),
        ("history", "0003_what_the_gates_of_a_run_said"),
        ("history", "0004_why_files_were_not_judged"),
        ("history", "0005_what_earlier_runs_could_not_list"),
        ("history", "0006_files_with_another_checksum"),
        ("history", "0007_where_a_run_looked"),
    ]
    assert query(path, recorded) == steps
    HistoryDatabase(path).close()
    assert query(path, recorded) == steps


GOLDEN = Path(__file__).parents[1] / "golden" / "history-0001.db"
BROKEN_BY_HAND = [
    "DROP TABLE unlisted",
    "DROP TABLE invalid_history",
    "ALTER TABLE orphans DROP COLUMN seen",
    "ALTER TABLE runs RENAME COLUMN missing TO lost",
]
HALF_OF_STEP_2 = [
    "ALTER TABLE invalid ADD COLUMN seen INTEGER NOT NULL DEFAULT 1",
    "ALTER TABLE orphans_history ADD COLUMN since REAL",
    "CREATE TABLE reported (site)",
    "DROP TABLE unlisted",
]


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


@pytest.mark.parametrize("statement", BROKEN_BY_HAND)
def test_a_database_that_lacks_what_its_steps_have_made_is_refused_and_left_alone(path: Path, statement: str) -> None:
    HistoryDatabase(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)
    message = _refused(path)
    assert "half upgraded, or changed by hand" in message
    assert "restore a copy, or move it away" in message


@pytest.mark.parametrize("statement", HALF_OF_STEP_2)
def test_a_half_upgraded_database_is_refused_and_left_alone(path: Path, statement: str) -> None:
    path.parent.mkdir()
    shutil.copy(GOLDEN, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)
    # The upgrade itself finds out, which is done with write-ahead logging.
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    message = _refused(path)
    assert "half upgraded, or changed by hand" in message
    assert "restore a copy, or move it away" in message


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


@contextmanager
def only_reading(directory: Path) -> Iterator[None]:
    """Have a directory, and what is in it, such that this process may read and not write them."""
    user = os.geteuid()
    directory.chmod(0o555)
    for file in directory.iterdir():
        file.chmod(0o444)
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(user)
        directory.chmod(0o755)
        for file in directory.iterdir():
            file.chmod(0o644)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A database where another user may read it, which pytest's own directories are not."""
    directory = Path(tempfile.mkdtemp())
    yield directory / "consistency.db"
    shutil.rmtree(directory)


def test_who_may_not_write_reads_all_the_same(shared: Path) -> None:
    with HistoryDatabase(shared) as history:
        run(history, orphans(b"/s", b"dark"))
    with only_reading(shared.parent):
        with HistoryDatabase.reading(shared) as history:
            assert history.sites() == [SITE]
            assert paths_of(history.orphans(SITE)) == [b"/s/dark"]
            with history.view() as connected:
                assert connected.execute("SELECT count(*) FROM runs").fetchone() == (1,)
            with pytest.raises(HistoryError, match="let this user write both"):
                history.open_run(SITE, 9.0, "threads")
        assert [path.name for path in shared.parent.iterdir()] == [shared.name]
        with pytest.raises(HistoryError, match="cannot be opened for writing"):
            HistoryDatabase(shared)


def test_who_may_not_write_sees_what_is_in_a_log_that_is_still_there(shared: Path) -> None:
    with HistoryDatabase(shared) as history:
        run(history, orphans(b"/s", b"dark"))
        with only_reading(shared.parent), HistoryDatabase.reading(shared) as reading:
            assert paths_of(reading.orphans(SITE)) == [b"/s/dark"]


def test_who_may_not_write_is_told_that_a_history_is_an_old_one(shared: Path) -> None:
    HistoryDatabase(shared).close()
    with closing(sqlite3.connect(shared)) as connected, connected:
        connected.execute("DELETE FROM _sqlite_migrations WHERE rowid = (SELECT max(rowid) FROM _sqlite_migrations)")
    with only_reading(shared.parent), pytest.raises(HistoryError, match="written by an earlier version"):
        HistoryDatabase.reading(shared)


def test_a_history_that_is_not_there_is_not_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="does not exist; a check makes it"):
        HistoryDatabase.reading(tmp_path / "db/consistency.db")
    assert not (tmp_path / "db").exists()


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
    children = [start_child(script, path, str(number)) for number in range(4)]
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"x")
        child.stdin.flush()
    for child in children:
        child.communicate(timeout=120)
        assert child.returncode == 0
    with HistoryDatabase(path) as history:
        assert [row.status for row in history.runs()] == [RunStatus.DONE] * 4


def test_whoever_waited_in_vain_waits_for_no_long_time_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_SECONDS", 2)
    with HistoryDatabase(path) as history:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            waited = []
            for _ in range(3):
                began = time.monotonic()
                with pytest.raises(HistoryError, match="locked for over 2 seconds"):
                    history.open_run(SITE, 3.0, "threads")
                waited.append(time.monotonic() - began)
        assert waited[0] >= 2
        assert all(seconds < 2 for seconds in waited[1:])
        # What goes wrong otherwise does not make it patient, nor impatient for good.
        with pytest.raises(HistoryError), history._connection.transaction() as sqlite:
            sqlite.execute("SELECT * FROM nothing_of_that_name")
        history.open_run(SITE, 3.0, "threads")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            with pytest.raises(HistoryError, match="locked"):
                history.open_run(SITE, 3.0, "threads")
            assert time.monotonic() - began >= 2
