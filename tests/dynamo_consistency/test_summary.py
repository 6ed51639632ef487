from __future__ import annotations

import inspect
import json
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dynamo_consistency import config, parser, picker, summary
from storage.atomic import ReportError
from storage.sites.summary import SummaryError
from tests.dynamo_consistency.summarised import SITES, configure, start

SITE = "T2_US_MIT"


@pytest.fixture(autouse=True)
def configured(tmp_path: Path) -> Iterator[Path]:
    """Three sites in a configuration that has not been used yet."""
    yield configure(tmp_path)
    for lock in summary._locks.values():
        lock.release()
    summary._locks.clear()


def query(home: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(home / "www" / "stats.db")) as connection:
        return connection.execute(statement).fetchall()


def update(site: str = SITE, files: int = 5, **more: Any) -> bool:
    return summary.update_summary(site, 60.5, files, 4, 3, 2, 200, 1, 100, 1, 1, 7, 6, **more)


def delete_and_fail(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM sites")
    connection.execute("SELECT * FROM nowhere")


def test_badaction() -> None:
    assert issubclass(summary.BadAction, Exception)
    with pytest.raises(summary.BadAction):
        summary.set_status(SITE, 3)


def test_nomatchingsite() -> None:
    assert issubclass(summary.NoMatchingSite, Exception)
    with pytest.raises(summary.NoMatchingSite, match=f"known: {', '.join(SITES)}$"):
        summary.set_status("T2_None", summary.READY)


def test_lockedconn(tmp_path: Path) -> None:
    picker.pick_site()
    conn = summary.LockedConn()
    conn.curs.execute("UPDATE sites SET isgood = 1 WHERE site = ?", (SITES[0],))
    # Readers go on and see what was committed.
    assert summary.get_sites(reporting=True) == []
    conn.close()
    assert summary.get_sites(reporting=True) == [SITES[0]]
    with pytest.raises(sqlite3.ProgrammingError):
        conn.conn.execute("SELECT 1")
    with pytest.raises(sqlite3.OperationalError, match="nowhere"), summary.LockedConn() as conn:
        delete_and_fail(conn.conn)
    with summary.LockedConn() as conn:
        assert conn.curs.execute("SELECT site FROM sites").fetchall() != []
        assert conn.execute("SELECT site FROM sites").fetchall() == [(site,) for site in SITES]
        conn.cursor().execute("UPDATE sites SET isgood = 0")
        conn.commit()
    assert summary.get_sites(reporting=True) == []


def test_lockedconn_keeps_other_writers_away(tmp_path: Path) -> None:
    picker.pick_site()
    conn = summary.LockedConn()
    script = "from dynamo_consistency import summary; summary.set_reporting('T1_US_FNAL', 1); print('written')"
    child = start(script, tmp_path)
    with pytest.raises(subprocess.TimeoutExpired):
        child.communicate(timeout=2)
    conn.close()
    assert child.communicate(timeout=60)[0] == "written\n"
    assert summary.is_debugged("T1_US_FNAL")


def test_lockedconn_close_lets_go_whatever_happens(tmp_path: Path) -> None:
    picker.pick_site()
    conn = summary.LockedConn()
    conn.conn.close()
    with pytest.raises(sqlite3.ProgrammingError):
        conn.close()
    summary.set_reporting(SITES[0], summary.ACT)


def options(monkeypatch: pytest.MonkeyPatch, *given: str) -> None:
    values, _ = parser.get_parser(prog="dynamo-consistency")[0].parse_args(list(given))
    monkeypatch.setattr(parser, "OPTS", values)


def test_do_update(monkeypatch: pytest.MonkeyPatch) -> None:
    assert summary.do_update() is True
    for given, wanted in (
        ((), True),
        (("--no-orphan",), True),
        (("--no-inventory",), False),
        (("--test",), False),
        (("--test", "--update-summary"), True),
        (("--no-inventory", "--update-summary"), True),
    ):
        options(monkeypatch, *given)
        assert summary.do_update() is wanted


def test_get_dst(monkeypatch: pytest.MonkeyPatch) -> None:
    assert summary.get_dst() in (1, 0, -1)
    try:
        for zone, wanted in (("XYZ0", 0), ("XXX3EDT4,0/0,J365/23", 1)):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            assert summary.get_dst() == wanted
    finally:
        monkeypatch.undo()
        time.tzset()


def test_get_sites() -> None:
    assert summary.get_sites() == []
    picker.pick_site()
    assert summary.get_sites() == SITES
    summary.set_reporting(SITE, summary.ACT)
    assert summary.get_sites(reporting=True) == [SITE]
    assert summary.get_sites(True) == [SITE]


def test_get_status() -> None:
    picker.pick_site("DESY")
    assert summary.get_status("T2_DE_DESY") == summary.LOCKED == 1
    # "In the database" is not "in the configuration".
    for name in (SITE, "T2_None", ""):
        with pytest.raises(summary.NoMatchingSite, match=r"known: T2_DE_DESY$"):
            summary.get_status(name)


def test_get_status_does_not_believe_the_dead(tmp_path: Path) -> None:
    script = """
from dynamo_consistency import picker, summary
site = picker.pick_site("MIT")
summary.running(site)
print(summary.get_status(site), flush=True)
input()
"""
    child = start(script, tmp_path)
    assert child.stdout is not None
    assert child.stdout.readline() == "2\n"
    assert summary.get_status(SITE) == summary.RUNNING
    child.kill()
    child.communicate(timeout=60)
    assert summary.get_status(SITE) == summary.READY
    assert query(tmp_path, "SELECT isrunning, pid FROM sites") == [(0, None)]


def test_install_webpage(tmp_path: Path) -> None:
    summary.install_webpage()
    assert "<html" in (tmp_path / "www" / "index.html").read_text()


def test_install_webpage_names_what_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "www").touch()
    with pytest.raises(ReportError, match="www: cannot be written") as caught:
        summary.install_webpage()
    assert "\n" not in str(caught.value)
    with pytest.raises(SummaryError, match="www"):
        summary.get_sites()


def test_is_debugged() -> None:
    picker.pick_site()
    assert summary.is_debugged(SITE) is False
    summary.set_reporting(SITE, summary.ACT)
    assert summary.is_debugged(SITE) is True
    with pytest.raises(summary.NoMatchingSite):
        summary.is_debugged("T2_None")


def test_move_local_files(tmp_path: Path) -> None:
    for name in (f"{SITE}_compare_missing.txt", "T2_US_MIT_2_compare_missing.txt"):
        Path(config.vardir("work"), name).write_text("/store/mc/a\n")
    summary.move_local_files(SITE)
    assert (tmp_path / "www" / f"{SITE}_compare_missing.txt").read_text() == "/store/mc/a\n"
    assert [path.name for path in Path(config.vardir("work")).iterdir()] == ["T2_US_MIT_2_compare_missing.txt"]


def test_running(tmp_path: Path) -> None:
    before = time.time()
    summary.running(SITE)
    assert summary.get_status(SITE) == summary.RUNNING == 2
    ((started,),) = query(tmp_path, "SELECT strftime('%s', laststarted) FROM sites")
    assert int(before) <= int(started) <= time.time()
    summary.set_status(SITE, summary.DISABLED)
    with pytest.raises(summary.BadAction, match="disabled"):
        summary.running(SITE)


def test_set_reporting() -> None:
    for value in (summary.ACT, summary.DRY, 1, 0):
        summary.set_reporting(SITE, value)
        assert summary.is_debugged(SITE) is bool(value)
    for wrong in (2, -1, "act", None, 0.5):
        with pytest.raises(summary.BadAction, match=r"0 \(dry\), 1 \(act\)"):
            summary.set_reporting(SITE, wrong)  # type: ignore[arg-type]
    with pytest.raises(summary.NoMatchingSite):
        summary.set_reporting("T2_None", summary.ACT)


def test_set_status() -> None:
    for status in (summary.DISABLED, summary.HALT, summary.READY, summary.LOCKED, summary.RUNNING, -2, -1, 0, 1, 2):
        summary.set_status(SITE, status)
        assert summary.get_status(SITE) == status
    for wrong in (3, -3, "ready", None, 0.0):
        with pytest.raises(summary.BadAction, match=r"-2 \(disabled\), -1 \(halt\), 0 \(ready\)"):
            summary.set_status(SITE, wrong)  # type: ignore[arg-type]
    assert summary.get_status(SITE) == summary.RUNNING


def test_set_status_takes_no_site_from_another_process(tmp_path: Path) -> None:
    script = f"from dynamo_consistency import summary; summary.running({SITE!r}); print(flush=True); input()"
    child = start(script, tmp_path)
    assert child.stdout is not None
    assert child.stdout.readline() == "\n"
    with pytest.raises(summary.BadAction, match="another process"):
        summary.set_status(SITE, summary.READY)
    summary.set_status(SITE, summary.HALT)
    child.communicate("\n", timeout=60)
    summary.set_status(SITE, summary.READY)
    assert summary.get_status(SITE) == summary.READY


def test_unlock_site() -> None:
    for status in (summary.LOCKED, summary.RUNNING):
        summary.set_status(SITE, status)
        summary.unlock_site(SITE)
        assert summary.get_status(SITE) == summary.READY
    for status in (summary.DISABLED, summary.HALT):
        summary.set_status(SITE, status)
        summary.unlock_site(SITE)
        assert summary.get_status(SITE) == status
    with pytest.raises(summary.NoMatchingSite):
        summary.unlock_site("T2_None")


def test_update_config(tmp_path: Path) -> None:
    secret = "postgresql://reader:hunter2@db.example/files"
    configure(tmp_path, SQL={"URL": secret}, MaxMissing=7)
    config.LOCATION = Path(config.LOCATION).rename(tmp_path / "sites.json")
    summary.update_config()
    copy = tmp_path / "www" / "consistency_config.json"
    assert json.loads(copy.read_text())["MaxMissing"] == 7
    assert "hunter2" not in copy.read_text()
    assert secret in (tmp_path / "sites.json").read_text()
    before = copy.stat()
    summary.update_config()
    assert copy.stat().st_ino == before.st_ino


def test_update_summary(tmp_path: Path) -> None:
    before = time.time()
    assert update() is True
    assert update(files=50, numunmerged=9, numlogs=8) is True
    columns = (
        "site, time, files, nodes, empty, cores, missing, m_size, orphan, o_size, nosource, unrecoverable, unlisted, "
        "unlisted_bad, unmerged, unmergedlogs"
    )
    assert query(tmp_path, f"SELECT {columns} FROM stats") == [
        (SITE, 60.5, 50, 4, 3, 1, 2, 200, 1, 100, 1, 1, 7, 6, 9, 8)
    ]
    assert query(tmp_path, f"SELECT {columns} FROM stats_history") == [
        (SITE, 60.5, 5, 4, 3, 1, 2, 200, 1, 100, 1, 1, 7, 6, 0, 0)
    ]
    ((entered,),) = query(tmp_path, "SELECT strftime('%s', entered) FROM stats")
    assert int(before) <= int(entered) <= time.time()


def test_update_summary_has_the_signature_of_the_reference() -> None:
    parameters = inspect.signature(summary.update_summary).parameters
    assert " ".join(parameters) == (
        "site duration numfiles numnodes numempty nummissing missingsize numorphan orphansize numnosource "
        "numunrecoverable numunlisted numbadunlisted numunmerged numlogs"
    )
    assert {name: p.default for name, p in parameters.items() if p.default is not p.empty} == {
        "numunmerged": 0,
        "numlogs": 0,
    }


def test_update_summary_counts_the_listers_of_the_site(tmp_path: Path) -> None:
    configure(tmp_path, {"T2_A": {"NumThreads": 4}, "T2_B": {"AccessMethod": "SRM", "GFALThreads": 16}})
    for site in ("T2_A", "T2_B"):
        update(site)
    assert query(tmp_path, "SELECT site, cores FROM stats ORDER BY site") == [("T2_A", 4), ("T2_B", 16)]


def test_update_summary_leaves_the_summary_alone_in_a_run_that_is_not_normal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options(monkeypatch, "--test")
    assert update() is False
    assert not (tmp_path / "www").exists()


def test_webdir(tmp_path: Path) -> None:
    assert not (tmp_path / "www").exists()
    assert summary.webdir() == str(tmp_path / "www")
    assert (tmp_path / "www" / "index.html").exists()
    # Only a directory that is not there gets the page.
    (tmp_path / "www" / "index.html").unlink()
    assert summary.webdir() == str(tmp_path / "www")
    assert not (tmp_path / "www" / "index.html").exists()


def test_a_newer_summary_is_refused(tmp_path: Path) -> None:
    picker.pick_site()
    with closing(sqlite3.connect(tmp_path / "www" / "stats.db")) as connection, connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations(migration_set, name, applied_at) VALUES ('summary', '0099', 'now')"
        )
    for ask in (summary.get_sites, summary.LockedConn, picker.pick_site):
        with pytest.raises(SummaryError, match="newer version"):
            ask()
