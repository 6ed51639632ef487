"""The summary database: states and results of sites, whole after whatever happens."""

from __future__ import annotations

import os
import pickle
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.site_states import BadAction, NoMatchingSite, Reporting, SiteStatus
from storage.sites.process import Owner
from storage.sites.summary import SiteRow, StatsRow, SummaryDatabase, SummaryError, open_locked

ROOT = Path(__file__).parents[3]
SITE, OTHER = "T2_XX_Site", "T2_XX_Other"
ME = Owner(7, "here", "boot 1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "www" / "stats.db"


@pytest.fixture
def summary(path: Path) -> Iterator[SummaryDatabase]:
    with SummaryDatabase(path) as database:
        database.sync({SITE: True, OTHER: False})
        yield database


def query(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def result(entered: float, site: str = SITE, files: int = 0) -> StatsRow:
    return StatsRow(site, entered, 1.5, files)


def test_new_sites_are_ready_dry_and_never_run(summary: SummaryDatabase) -> None:
    assert summary.sites() == [SiteRow(OTHER, is_good=False), SiteRow(SITE, is_good=True)]
    row = summary.site(SITE)
    assert (row.status, row.reporting, row.last_started, row.owner) == (SiteStatus.READY, Reporting.DRY, None, None)
    assert summary.stats() == {}
    assert summary.history(SITE) == []


def test_the_tables_have_the_names_that_people_know(summary: SummaryDatabase, path: Path) -> None:
    summary.set_reporting(SITE, Reporting.ACT)
    summary.running(SITE, ME, 1_000_000_000.25)
    row = StatsRow(SITE, 1_000_000_060.5, 60.25, *range(1, 15))
    summary.update(row)
    columns = "site, isgood, isrunning, laststarted"
    assert query(path, f"SELECT {columns} FROM sites WHERE site = '{SITE}'") == [
        (SITE, 1, 2, "2001-09-09 01:46:40.250000")
    ]
    assert query(
        path,
        "SELECT site, time, files, nodes, empty, cores, missing, m_size, orphan, o_size, entered, nosource, unlisted, "
        "unmerged, unlisted_bad, unmergedlogs, unrecoverable FROM stats",
    ) == [(SITE, 60.25, 1, 2, 3, 4, 5, 6, 7, 8, "2001-09-09 01:47:40.500000", 9, 11, 13, 12, 14, 10)]
    assert [name for _, name, *_ in query(path, "PRAGMA table_info(stats)")] == [
        name for _, name, *_ in query(path, "PRAGMA table_info(stats_history)")
    ]
    assert summary.stats() == {SITE: row}
    # SQLite's own functions understand the times.
    assert query(path, "SELECT strftime('%s', entered) FROM stats") == [("1000000060",)]


def test_sync_adds_sites_and_keeps_the_states_of_those_that_are_gone(summary: SummaryDatabase) -> None:
    summary.set_status(SITE, SiteStatus.DISABLED)
    summary.set_reporting(SITE, Reporting.ACT)
    summary.update(result(1.0))
    summary.sync({OTHER: True, "T2_New": True})
    rows = {row.site: row for row in summary.sites()}
    assert {site: row.is_good for site, row in rows.items()} == {OTHER: True, "T2_New": True, SITE: False}
    assert (rows[SITE].status, rows[SITE].reporting) == (SiteStatus.DISABLED, Reporting.ACT)
    assert list(summary.stats()) == [SITE]
    summary.sync({SITE: True})
    assert summary.site(SITE).is_good
    assert summary.site(SITE).status == SiteStatus.DISABLED


def test_a_newer_result_moves_the_one_before_to_the_history(summary: SummaryDatabase, path: Path) -> None:
    for number in range(3):
        summary.update(result(100.0 + number, files=number))
        summary.update(result(200.0 + number, OTHER, files=10 + number))
    assert summary.stats() == {SITE: result(102.0, files=2), OTHER: result(202.0, OTHER, files=12)}
    assert summary.history(SITE) == [result(100.0 + number, files=number) for number in range(3)]
    assert query(path, "SELECT count(*) FROM stats_history") == [(4,)]


def test_results_that_were_entered_at_the_same_time_keep_their_order(summary: SummaryDatabase) -> None:
    for number in range(5):
        summary.update(result(100.0, files=number))
    assert [row.files for row in summary.history(SITE)] == [0, 1, 2, 3, 4]


def test_a_result_that_is_entered_again_takes_its_own_place(summary: SummaryDatabase) -> None:
    summary.update(result(100.0, files=1), again=True)
    for files in (2, 3):
        summary.update(result(200.25, files=files), again=True)
    assert summary.stats() == {SITE: result(200.25, files=3)}
    assert summary.history(SITE) == [result(100.0, files=1), result(200.25, files=3)]


def test_a_result_makes_its_site_known(summary: SummaryDatabase) -> None:
    summary.update(result(1.0, "T2_Asked"))
    assert summary.site("T2_Asked") == SiteRow("T2_Asked")


def test_numbers_of_numpy_and_large_ones_are_kept(summary: SummaryDatabase) -> None:
    import numpy as np

    row = StatsRow(SITE, 5.0, np.float32(1.5), np.int64(3), missing_bytes=2**62)  # type: ignore[arg-type]
    summary.update(row)
    assert summary.stats()[SITE] == StatsRow(SITE, 5.0, 1.5, 3, missing_bytes=2**62)
    with pytest.raises(SummaryError, match="too large"):
        summary.update(StatsRow(SITE, 6.0, orphan_bytes=2**64))
    assert len(summary.history(SITE)) == 1


def test_states_belong_to_a_process_while_it_is_busy(summary: SummaryDatabase) -> None:
    assert summary.set_status(SITE, SiteStatus.LOCKED, ME).status == SiteStatus.READY
    assert summary.site(SITE).owner == ME
    assert summary.running(SITE, ME, 10.0).status == SiteStatus.LOCKED
    assert summary.site(SITE) == SiteRow(SITE, True, SiteStatus.RUNNING, Reporting.DRY, 10.0, ME)
    # So that it can be seen when the run that was told to halt is over.
    summary.set_status(SITE, SiteStatus.HALT)
    assert summary.site(SITE).owner == ME
    summary.set_status(SITE, SiteStatus.READY)
    assert summary.site(SITE) == SiteRow(SITE, True, last_started=10.0)


def test_unlocking_ends_what_is_busy_and_nothing_else(summary: SummaryDatabase) -> None:
    for status in SiteStatus:
        summary.set_status(SITE, status, ME)
        summary.unlock(SITE)
        busy = status in (SiteStatus.LOCKED, SiteStatus.RUNNING)
        assert summary.site(SITE).status == (SiteStatus.READY if busy else status)


def test_what_another_process_has_picked_meanwhile_stays_its_own(summary: SummaryDatabase) -> None:
    other = Owner(ME.pid + 1, ME.host, ME.start)
    for status in (SiteStatus.LOCKED, SiteStatus.RUNNING):
        summary.set_status(SITE, status, other)
        summary.unlock(SITE, ME)
        assert (summary.site(SITE).status, summary.site(SITE).owner) == (status, other)
        summary.unlock(SITE, other)
        assert summary.site(SITE).status == SiteStatus.READY


def test_a_site_becomes_known_beside_the_others(summary: SummaryDatabase) -> None:
    before = summary.site(SITE)
    summary.learn("T2_New", True)
    summary.learn(SITE, not before.is_good)
    assert summary.site("T2_New").is_good
    assert summary.site(SITE) == before


def test_an_interrupt_does_not_enable_a_disabled_site(summary: SummaryDatabase) -> None:
    summary.running(SITE, ME, 1.0)
    assert summary.interrupt(SITE) == summary.site(SITE).status == SiteStatus.HALT
    assert summary.site(SITE).owner == ME
    summary.set_status(SITE, SiteStatus.DISABLED)
    assert summary.interrupt(SITE) == summary.site(SITE).status == SiteStatus.DISABLED


def test_a_disabled_site_cannot_be_run(summary: SummaryDatabase) -> None:
    summary.set_status(SITE, SiteStatus.DISABLED)
    with pytest.raises(BadAction, match="set it ready first"):
        summary.running(SITE, ME, 1.0)
    assert summary.site(SITE) == SiteRow(SITE, True, SiteStatus.DISABLED)


def test_a_swap_needs_the_state_that_it_was_made_for(summary: SummaryDatabase) -> None:
    before = summary.site(SITE)
    assert summary.swap(before, SiteStatus.LOCKED, ME)
    assert not summary.swap(before, SiteStatus.LOCKED, Owner(8, "here"))
    assert summary.site(SITE).owner == ME
    # The same state of another process is another state.
    summary.set_status(SITE, SiteStatus.LOCKED, Owner(8, "here"))
    assert not summary.swap(SiteRow(SITE, True, SiteStatus.LOCKED, owner=ME), SiteStatus.READY)


@pytest.mark.parametrize("name", ["T2_Unknown", "", "%", "T2_XX_Site ", "'; DROP TABLE sites; --", "\ud800", "a\0b"])
def test_an_unknown_site_is_told_from_the_known_ones(summary: SummaryDatabase, name: str) -> None:
    for ask in (
        lambda: summary.site(name),
        lambda: summary.set_status(name, SiteStatus.READY),
        lambda: summary.set_reporting(name, Reporting.ACT),
        lambda: summary.running(name, ME, 1.0),
        lambda: summary.unlock(name),
        lambda: summary.interrupt(name),
    ):
        with pytest.raises(NoMatchingSite, match=f"known: {OTHER}, {SITE}$") as caught:
            ask()
        assert "\n" not in str(caught.value)
        str(caught.value).encode()
    assert summary.history(name) == []
    assert len(summary.sites()) == 2


@pytest.mark.parametrize("name", ["<script>", '"><img onerror=', "größe", "new\nline", "it's", "x" * 5000])
def test_names_are_kept_as_they_are(summary: SummaryDatabase, name: str) -> None:
    summary.sync({name: True})
    summary.update(result(1.0, name))
    assert summary.site(name).is_good
    assert summary.history(name) == [result(1.0, name)]


def test_only_states_that_there_are_can_be_written(summary: SummaryDatabase, path: Path) -> None:
    for statement in ("UPDATE sites SET isrunning = 3", "UPDATE sites SET isgood = 2"):
        with pytest.raises(sqlite3.IntegrityError):
            change(path, statement)
    assert summary.site(SITE).status == SiteStatus.READY


def test_a_time_that_is_none_is_said(summary: SummaryDatabase, path: Path) -> None:
    summary.update(result(1.0))
    change(path, "UPDATE stats SET entered = 'yesterday'")
    with pytest.raises(SummaryError, match='"yesterday" is no time'):
        summary.stats()
    # Whoever enters rows by hand writes times as SQLite's functions give them.
    change(path, "UPDATE stats SET entered = DATETIME(1000000000, 'unixepoch')")
    assert summary.stats()[SITE].entered == 1_000_000_000


def test_a_name_that_is_none_is_said(summary: SummaryDatabase, path: Path) -> None:
    change(path, f"UPDATE sites SET site = x'ff00' WHERE site = '{OTHER}'")
    with pytest.raises(SummaryError, match=r"stats\.db: .*xff.* is no name of a site; restore a copy"):
        summary.sites()


@pytest.mark.parametrize("statement", ["DROP TABLE sites", "ALTER TABLE sites DROP COLUMN process"])
def test_one_whose_tables_were_changed_by_hand_says_what_to_do(
    summary: SummaryDatabase, path: Path, statement: str
) -> None:
    change(path, statement)
    with pytest.raises(SummaryError, match=r"stats\.db: half upgraded, or changed by hand \(.*move it away"):
        summary.sites()


def test_it_is_kept_with_a_log_and_its_steps_are_recorded(summary: SummaryDatabase, path: Path) -> None:
    assert query(path, "PRAGMA journal_mode") == [("wal",)]
    assert query(path, "PRAGMA application_id") == [(0x64637331,)]
    recorded = "SELECT migration_set, name FROM _sqlite_migrations ORDER BY name"
    assert query(path, recorded) == [("summary", "0001_sites_and_results"), ("summary", "0002_heartbeats")]
    SummaryDatabase(path).close()
    assert query(path, recorded) == [("summary", "0001_sites_and_results"), ("summary", "0002_heartbeats")]


def test_a_reader_sees_what_is_there_and_cannot_write(summary: SummaryDatabase, path: Path) -> None:
    summary.update(result(1.0))
    with SummaryDatabase.reading(path) as reader:
        assert reader.sites() == summary.sites()
        assert reader.stats() == summary.stats()
        assert reader.history(SITE) == summary.history(SITE)
        with pytest.raises(SummaryError, match="cannot be opened or written"):
            reader.set_status(SITE, SiteStatus.HALT)


def test_a_reader_makes_no_database(path: Path) -> None:
    with pytest.raises(SummaryError, match="does not exist"):
        SummaryDatabase.reading(path)
    assert not path.parent.exists()


READER = """
import os, sys
from pathlib import Path
from storage.sites.summary import SummaryDatabase, SummaryError
import storage.sites.summary, sqlite_utils
if os.geteuid() == 0:
    os.setuid(65534)
path = Path(sys.argv[1])
with SummaryDatabase.reading(path) as database:
    print([row.site for row in database.sites()])
try:
    SummaryDatabase(path)
except SummaryError as error:
    print(error)
"""


def test_a_reader_needs_no_right_to_write(tmp_path: Path) -> None:
    # Not below tmp_path, which other users may not enter.
    for parent in (tmp_path, *tmp_path.parents[:3]):
        parent.chmod(0o755)
    path = tmp_path / "www" / "stats.db"
    with SummaryDatabase(path) as database:
        database.sync({SITE: True})
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        output, _ = _child(READER, path).communicate(timeout=120)
    finally:
        path.parent.chmod(0o755)
    known, refusal = output.decode().splitlines()
    assert known == f"['{SITE}']"
    assert refusal.startswith(f"{path}: ")
    assert "cannot be opened or written" in refusal


def test_a_reader_goes_on_while_somebody_writes(summary: SummaryDatabase, path: Path) -> None:
    with closing(open_locked(path)) as connection:
        connection.execute("UPDATE sites SET isgood = 1")
        with SummaryDatabase.reading(path) as reader:
            assert reader.site(SITE).reporting == Reporting.DRY
        with SummaryDatabase(path, patience=0.05) as other, pytest.raises(SummaryError, match=r"locked for over 0\.05"):
            other.set_reporting(SITE, Reporting.ACT)
        connection.commit()
    assert summary.site(SITE).reporting == Reporting.ACT


def _refused(path: Path) -> str:
    before = path.read_bytes()
    messages = set()
    for opened in (SummaryDatabase, SummaryDatabase.reading, open_locked):
        with pytest.raises(SummaryError) as caught:
            opened(path)
        messages.add(str(caught.value))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    (message,) = messages
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_a_newer_database_is_refused_and_left_alone(path: Path) -> None:
    SummaryDatabase(path).close()
    change(
        path, "INSERT INTO _sqlite_migrations(migration_set, name, applied_at) VALUES ('summary', '0099_later', 'now')"
    )
    message = _refused(path)
    assert "newer version of this program" in message
    assert "0099_later" in message
    assert "move it away" in message


def test_the_database_of_the_ancestor_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    change(path, "CREATE TABLE sites (site VARCHAR(20) PRIMARY KEY, isgood BOOL, isrunning INT, laststarted DATETIME)")
    message = _refused(path)
    assert "not a summary database of this program" in message
    assert "move it away" in message


def test_a_history_is_no_summary(path: Path) -> None:
    from storage.history import HistoryDatabase

    HistoryDatabase(path).close()
    assert "not a summary database" in _refused(path)


@pytest.mark.parametrize("content", [b"this is a text, not a database\n" * 100, b"\0" * 8192], ids=["text", "zeros"])
def test_what_is_not_a_database_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    message = _refused(path)
    assert "restore a copy" in message
    assert "move it away" in message


def test_a_truncated_database_is_refused_and_left_alone(path: Path) -> None:
    with SummaryDatabase(path) as database:
        database.sync({f"T2_{number}": True for number in range(1000)})
    path.write_bytes(path.read_bytes()[:20_000])
    assert "restore a copy" in _refused(path)


def test_damage_inside_is_reported_when_it_is_met(path: Path) -> None:
    with SummaryDatabase(path) as database:
        for number in range(300):
            database.update(result(float(number)))
    ((page, size),) = query(path, "SELECT rootpage, 4096 FROM sqlite_master WHERE name = 'stats_history'")
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : page * size] = b"\xaa" * size
    path.write_bytes(content)
    with SummaryDatabase(path) as database, pytest.raises(SummaryError, match="restore a copy"):
        database.history(SITE)


def test_an_empty_file_becomes_a_database(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with SummaryDatabase(path) as database:
        assert database.sites() == []


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "www" / "stats.db"
    with pytest.raises(SummaryError, match="Not a directory") as caught:
        SummaryDatabase(path)
    assert str(path) in str(caught.value)


def test_a_directory_in_the_place_of_the_database_is_named(tmp_path: Path) -> None:
    with pytest.raises(SummaryError, match="cannot be opened or written") as caught:
        SummaryDatabase(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_errors_travel_between_processes() -> None:
    error = pickle.loads(pickle.dumps(SummaryError("/x: damaged")))
    assert (type(error), str(error)) == (SummaryError, "/x: damaged")


def _child(script: str, path: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path), *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def test_processes_that_open_a_new_database_and_write_at_once_all_succeed(path: Path) -> None:
    script = """
import sys
from pathlib import Path
from storage.sites.summary import StatsRow, SummaryDatabase
sys.stdin.read(1)
with SummaryDatabase(Path(sys.argv[1])) as database:
    for number in range(50):
        database.update(StatsRow("T2_Shared", float(number)))
        database.update(StatsRow(sys.argv[2], float(number)))
"""
    children = [_child(script, path, str(number)) for number in range(4)]
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"x")
        child.stdin.flush()
    for child in children:
        child.communicate(timeout=120)
        assert child.returncode == 0
    with SummaryDatabase(path) as database:
        assert len(database.history("T2_Shared")) == 200
        assert [len(database.history(str(number))) for number in range(4)] == [50] * 4


# A child that enters results with as many files as missing files; it says so when it has begun.
WRITER = """
import sys
from pathlib import Path
from storage.sites.summary import StatsRow, SummaryDatabase
with SummaryDatabase(Path(sys.argv[1])) as database:
    print("writing", flush=True)
    for number in range(1, 1_000_000):
        database.update(StatsRow("T2_XX_Site", float(number), files=number, missing=number))
"""


def test_killed_at_any_time_every_result_is_there_once(path: Path) -> None:
    chance = random.Random(1)
    before = 0
    for _ in range(6):
        child = _child(WRITER, path)
        assert child.stdout is not None
        assert child.stdout.readline() == b"writing\n"
        time.sleep(chance.uniform(0.0, 0.1))
        child.send_signal(signal.SIGKILL)
        child.communicate(timeout=120)
        assert query(path, "PRAGMA integrity_check") == [("ok",)]
        with SummaryDatabase(path) as database:
            rows = database.history(SITE)
            assert len(database.stats()) == min(len(rows), 1)
        assert all(row.files == row.missing for row in rows)
        assert sorted(row.files for row in rows[before:]) == list(range(1, len(rows) - before + 1))
        before = len(rows)
        change(path, "UPDATE stats SET entered = DATETIME(0, 'unixepoch')")
        change(path, "UPDATE stats_history SET entered = DATETIME(0, 'unixepoch')")
    assert before


def test_sql_is_for_those_who_want_it(summary: SummaryDatabase, path: Path) -> None:
    with closing(open_locked(path)) as connection:
        assert connection.execute("SELECT site FROM sites ORDER BY site").fetchall() == [(OTHER,), (SITE,)]
        connection.execute("UPDATE sites SET isgood = 1")
        connection.rollback()
    assert summary.site(SITE).reporting == Reporting.DRY


def test_loading_the_module_does_not_load_sqlite_utils() -> None:
    subprocess.run(
        [sys.executable, "-c", "import sys, storage.sites.summary; sys.exit('sqlite_utils' in sys.modules)"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=120,
    )
