from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dynamo_consistency import config, history
from storage.history import HistoryDatabase, RunStatus
from storage.runs.directory import RunDirectory, RunInfo

ROOT = Path(__file__).parents[2]
SITE = "T2_US_MIT"
OTHER = "T2_US_Other"
ODD = [
    "new\nline",
    "tab\tand\rreturn",
    'it\'s "quoted"; DROP TABLE orphans; --',
    "<img onerror=x>",
    "not utf-8 \udcff\udcfe",
    "größe 文件 \U0001f600",
    "%s ?1 :site {run}",
    "007",
    "a b ",
    " ",
    "_unlisted_not",
    "._unlisted_",
]

Report = Callable[[Any], None]
Read = Callable[..., list[str]]

FILES: list[tuple[str, Report, Read]] = [
    ("invalid", history.report_missing, history.missing_files),
    ("orphans", history.report_orphan, history.orphan_files),
    ("unmerged", history.report_unmerged, history.unmerged_files),
]
each_table = pytest.mark.parametrize(("table", "report", "read"), FILES, ids=[row[0] for row in FILES])


@pytest.fixture(autouse=True)
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Configure VarLocation and the site, and leave no run open."""
    (tmp_path / "consistency_config.json").write_text(
        json.dumps({"VarLocation": str(tmp_path / "var"), "Sites": {SITE: {}, OTHER: {}}})
    )
    monkeypatch.setattr(history, "_run", None)
    config.SITE = SITE
    yield tmp_path / "var"
    if history._run is not None:
        history._run.database.close()


def database() -> Path:
    return Path(config.vardir("db")) / "consistency.db"


def query(sql: str) -> list[Any]:
    with closing(sqlite3.connect(database())) as connection:
        return connection.execute(sql).fetchall()


def infos(*names: str, size: int = 7, mtime: int = 100) -> list[tuple[str, dict[str, Any]]]:
    return [(name, {"size": size, "mtime": mtime}) for name in names]


def test_locked_conn() -> None:
    history.start_run()
    history.report_missing(infos("/store/a"))
    history.finish_run()
    conn = history.LockedConn()
    conn.curs.execute("SELECT d.name, i.name, size FROM invalid i JOIN directories d ON d.id = directory")
    assert conn.curs.fetchall() == [("/store", "a", 7)]
    conn.curs.execute("UPDATE invalid SET size = 8")
    assert query("SELECT size FROM invalid") == [(7,)]
    conn.close()


def test_locked_conn_close() -> None:
    conn = history.LockedConn()
    conn.curs.execute("INSERT INTO sites(name) VALUES ('another')")
    assert query("SELECT name FROM sites") == []
    conn.close()
    assert query("SELECT name FROM sites") == [("another",)]
    with pytest.raises(sqlite3.ProgrammingError):
        conn.conn.execute("SELECT 1")


def test_locked_conn_makes_the_database() -> None:
    conn = history.LockedConn()
    assert conn.conn.execute("SELECT count(*) FROM orphans_history").fetchone() == (0,)
    conn.close()


def test_locked_conn_locks_out_others_once_it_writes() -> None:
    conn = history.LockedConn()
    conn.curs.execute("INSERT INTO sites(name) VALUES ('another')")
    with closing(sqlite3.connect(database(), timeout=0)) as other:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("INSERT INTO sites(name) VALUES ('third')")
        assert other.execute("SELECT count(*) FROM sites").fetchone() == (0,)
    conn.close()


def test_start_run() -> None:
    before = time.time()
    history.start_run()
    ((site, started, finished),) = query("SELECT name, started, finished FROM runs r JOIN sites s ON s.id = r.site")
    assert (site, finished) == (SITE, None)
    assert before <= started <= time.time()


def test_a_site_with_a_var_location_of_its_own_has_a_history_there(var: Path) -> None:
    own = var.parent / "own"
    sites = {SITE: {"VarLocation": str(own)}, OTHER: {}}
    (var.parent / "consistency_config.json").write_text(json.dumps({"VarLocation": str(var), "Sites": sites}))
    history.start_run()
    history.report_missing(infos("/store/a"))
    history.finish_run()
    assert (own / "db" / "consistency.db").exists()
    assert not (var / "db").exists()
    assert history.missing_files(SITE) == ["/store/a"]
    conn = history.LockedConn()
    assert conn.curs.execute("SELECT count(*) FROM invalid").fetchone() == (1,)
    conn.close()
    assert history.missing_files(OTHER) == history.missing_files("T0_UNKNOWN") == []


def test_a_run_stays_with_the_process_that_started_it() -> None:
    output = _python(
        f"""
import os
config.SITE = {SITE!r}
history.start_run()
child = os.fork()
if not child:
    try:
        history.report_missing([])
    except history.HistoryError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
history.report_missing([("/store/a", {{}})])
history.finish_run()
"""
    )
    assert output.startswith("the run was started by another process")
    assert history.missing_files(SITE) == ["/store/a"]


def test_start_run_spares_a_check_that_is_running_elsewhere(var: Path) -> None:
    holder = """
from pathlib import Path
from storage.runs.directory import RunDirectory, RunInfo
import os, socket, sys
directory = RunDirectory(Path(sys.argv[1]), sys.argv[2])
directory.acquire(RunInfo(os.getpid(), socket.gethostname(), 1.0, "ray"))
print("held", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(var), SITE],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(history.HistoryError, match=f"{SITE} is being checked by process {process.pid} on "):
            history.start_run()
        config.SITE = OTHER
        history.start_run()
        process.kill()
    config.SITE = SITE
    history.start_run()


def test_start_run_within_a_check_of_this_process(var: Path) -> None:
    with RunDirectory(var, SITE) as directory:
        directory.acquire(RunInfo(os.getpid(), socket.gethostname(), 1.0, "threads"))
        history.start_run()
        history.finish_run()


def test_is_open() -> None:
    assert not history.is_open()
    history.start_run()
    assert history.is_open()
    history.finish_run()
    assert not history.is_open()


def test_start_run_needs_a_site() -> None:
    config.SITE = None
    with pytest.raises(history.HistoryError, match=r"set config\.SITE"):
        history.start_run()


def test_start_run_again_gives_up_what_was_not_finished() -> None:
    history.start_run()
    history.report_missing(infos("/store/a"))
    history.start_run()
    assert history.missing_files(SITE) == ["/store/a"]
    config.SITE = OTHER
    history.start_run()
    assert query("SELECT status FROM runs ORDER BY id") == [("died",), ("died",), ("running",)]
    history.report_missing(infos("/store/b"))
    assert (history.missing_files(SITE), history.missing_files(OTHER)) == (["/store/a"], ["/store/b"])


def test_start_run_needs_nothing_of_a_history_that_was_removed(var: Path) -> None:
    for _ in range(2):
        history.start_run()
        history.report_missing(infos("/store/a"))
        assert history.missing_files(SITE) == ["/store/a"]
        shutil.rmtree(var)
    history.start_run()
    assert history.missing_files(SITE) == []
    history.finish_run()


def test_the_site_of_a_run_is_the_one_it_started_with() -> None:
    history.start_run()
    config.SITE = OTHER
    history.report_orphan(infos("/store/a"))
    history.finish_run()
    assert (history.orphan_files(SITE), history.orphan_files(OTHER)) == (["/store/a"], [])


def test_finish_run() -> None:
    history.start_run()
    history.report_missing(infos("/store/a", "/store/b", size=5))
    history.report_orphan([*infos("/store/c", size=3), ("/store/d", {"size": None})])
    history.report_empty([("/store/e", 1)])
    history.finish_run()
    with HistoryDatabase(database()) as read:
        (row,) = read.runs(SITE)
    assert row.finished is not None
    assert (row.status, row.finished - row.started) == (RunStatus.DONE, pytest.approx(row.counts.seconds))
    counts = row.counts
    assert (counts.missing, counts.missing_bytes) == (2, 10)
    assert (counts.orphan, counts.orphan_bytes, counts.empty) == (2, 3, 1)


def test_finish_run_counts_what_was_acted_on_before_it() -> None:
    history.start_run()
    history.report_missing(infos("/store/a", "/store/b", size=5))
    history.missing_files(SITE, acting=True)
    history.finish_run()
    assert query("SELECT missing, missing_bytes FROM runs") == [(2, 10)]


@pytest.mark.parametrize(
    "call",
    [
        history.finish_run,
        lambda: history.report_missing([]),
        lambda: history.report_orphan([]),
        lambda: history.report_unmerged([]),
        lambda: history.report_empty([]),
    ],
)
def test_without_start_run_it_is_asked_for(call: Callable[[], None]) -> None:
    with pytest.raises(history.HistoryError, match=r"call history\.start_run\(\) first"):
        call()
    history.start_run()
    history.finish_run()
    with pytest.raises(history.HistoryError, match=r"call history\.start_run\(\) first"):
        call()


def test_report_missing() -> None:
    history.start_run()
    history.report_missing([("/store/b/2", {"size": 3, "mtime": 4}), ("/store/a/1", {"size": 1, "mtime": 2.9})])
    assert query("SELECT name, size, mtime, acted FROM (SELECT *, NULL AS acted FROM invalid) ORDER BY name") == [
        ("1", 1, 2, None),
        ("2", 3, 4, None),
    ]
    assert history.missing_files(SITE) == ["/store/a/1", "/store/b/2"]


def test_report_orphan() -> None:
    history.start_run()
    history.report_orphan(infos("/store/a/1"))
    assert query("SELECT name, size, mtime FROM orphans") == [("1", 7, 100)]
    assert history.orphan_files(SITE) == ["/store/a/1"]


def test_report_orphan_leaves_out_what_is_missing() -> None:
    history.start_run()
    history.report_missing(infos("/store/a/1"))
    history.report_orphan(infos("/store/a/1", "/store/a/2"))
    assert history.orphan_files(SITE) == ["/store/a/2"]


def test_report_missing_takes_back_an_orphan() -> None:
    history.start_run()
    history.report_orphan(infos("/store/a/1", "/store/a/2"))
    history.report_missing(infos("/store/a/1"))
    assert history.orphan_files(SITE) == ["/store/a/2"]


def test_what_an_earlier_run_missed_may_be_an_orphan_now() -> None:
    history.start_run()
    history.report_missing(infos("/store/a/1"))
    history.start_run()
    history.report_orphan(infos("/store/a/1"))
    assert history.orphan_files(SITE) == ["/store/a/1"]
    assert history.missing_files(SITE) == ["/store/a/1"]


def test_report_unmerged() -> None:
    history.start_run()
    history.report_unmerged(infos("/store/unmerged/a/1"))
    history.finish_run()
    assert query("SELECT name, size, mtime FROM unmerged") == [("1", 7, 100)]
    assert history.unmerged_files(SITE) == ["/store/unmerged/a/1"]


def test_report_empty() -> None:
    history.start_run()
    history.report_empty([("/store/a", 1), ("/store/a/b", 2.5), ("/store/c", None)])
    assert query("SELECT name, mtime FROM empty_directories ORDER BY name") == [
        ("/store/a", 1),
        ("/store/a/b", 2),
        ("/store/c", None),
    ]
    history.report_empty([("/store/d", 1)])
    assert history.empty_directories(SITE) == ["/store/a/b", "/store/a", "/store/c", "/store/d"]


@each_table
def test_each_list_takes_the_place_of_that_of_an_earlier_run(table: str, report: Report, read: Read) -> None:
    history.start_run()
    report(infos("/store/a", "/store/b"))
    history.finish_run()
    history.start_run()
    assert read(SITE) == ["/store/a", "/store/b"]
    report(infos("/store/b"))
    report(infos("/store/c"))
    assert read(SITE) == ["/store/b", "/store/c"]
    assert query(f"SELECT run, name, acted FROM {table}_history") == [(1, "a", None), (1, "b", None)]
    history.finish_run()
    assert read(SITE) == ["/store/b", "/store/c"]


@each_table
def test_no_names_replace_the_older_ones_and_no_report_does_not(table: str, report: Report, read: Read) -> None:
    history.start_run()
    report(infos("/store/a"))
    history.finish_run()
    history.start_run()
    history.finish_run()
    assert read(SITE) == ["/store/a"]
    history.start_run()
    report([])
    assert read(SITE) == []
    assert query(f"SELECT name FROM {table}_history") == [("a",)]


def test_no_empty_directories_replace_the_older_ones() -> None:
    history.start_run()
    history.report_empty([("/store/a", 1)])
    history.start_run()
    history.report_empty([])
    assert history.empty_directories(SITE) == []


def test_missing_files() -> None:
    _reads_and_acts("invalid", history.report_missing, history.missing_files)


def test_orphan_files() -> None:
    _reads_and_acts("orphans", history.report_orphan, history.orphan_files)


def test_unmerged_files() -> None:
    _reads_and_acts("unmerged", history.report_unmerged, history.unmerged_files)


def _reads_and_acts(table: str, report: Report, read: Read) -> None:
    history.start_run()
    report(infos("/store/a", "/store/b"))
    assert read(SITE) == ["/store/a", "/store/b"]
    assert read(SITE, False) == ["/store/a", "/store/b"]
    before = time.time()
    taken = read(SITE, acting=True)
    assert (type(taken), taken) == (list, ["/store/a", "/store/b"])
    assert query(f"SELECT count(*) FROM {table}") == [(0,)]
    assert [name for (name,) in query(f"SELECT name FROM {table}_history")] == ["a", "b"]
    ((acted,),) = query(f"SELECT DISTINCT acted FROM {table}_history")
    assert before <= acted <= time.time()
    assert read(SITE) == read(SITE, True) == read("T0_NOWHERE") == read("T0_NOWHERE", True) == []


def test_empty_directories() -> None:
    names = ["/z", "/a", "/a/b/c", "/a/d", "/a/b"]
    history.start_run()
    history.report_empty([(name, 1) for name in names])
    deepest_first = ["/a/b/c", "/a/b", "/a/d", "/a", "/z"]
    assert history.empty_directories(SITE) == deepest_first
    assert history.empty_directories(SITE, acting=True) == deepest_first
    assert history.empty_directories(SITE) == []
    assert query("SELECT count(*) FROM empty_directories_history WHERE acted IS NOT NULL") == [(5,)]


@each_table
def test_what_was_acted_on_may_be_reported_again(table: str, report: Report, read: Read) -> None:
    for turn in range(2):
        history.start_run()
        for _ in range(2):
            report(infos("/store/a"))
            assert read(SITE, acting=turn == 0) == ["/store/a"]
    history.start_run()
    report([])
    acted = query(f"SELECT run, acted IS NOT NULL FROM {table}_history ORDER BY run")
    assert acted == [(1, 1), (2, 0)]


@each_table
@pytest.mark.parametrize("name", ODD)
def test_odd_names_come_back(table: str, report: Report, read: Read, name: str) -> None:
    history.start_run()
    report(infos(f"/store/{name}/{name}", f"/{name}", name))
    history.finish_run()
    assert sorted(read(SITE)) == sorted([f"/store/{name}/{name}", f"/{name}", name])
    assert sorted(read(SITE, True)) == sorted([f"/store/{name}/{name}", f"/{name}", name])


def test_odd_empty_directories_come_back() -> None:
    history.start_run()
    history.report_empty([(f"/store/{name}", 1) for name in ODD])
    assert sorted(history.empty_directories(SITE)) == sorted(f"/store/{name}" for name in ODD)


@each_table
def test_names_in_any_form_and_order_are_stored_once(table: str, report: Report, read: Read) -> None:
    history.start_run()
    report([*infos("/store//b", "relative/a", "/store/a"), ("/store/b", {"size": 9}), *infos("//store/a//", size=8)])
    assert read(SITE) == ["/store/a", "/store/b", "relative/a"]
    assert query(f"SELECT size FROM {table} ORDER BY name, size") == [(7,), (8,), (9,)]


@each_table
def test_what_is_not_known_is_null(table: str, report: Report, read: Read) -> None:
    history.start_run()
    report(
        [
            ("/store/0", None),
            ("/store/a", {}),
            ("/store/b", {"size": None, "mtime": None}),
            ("/store/c", {"size": 0, "mtime": 0}),
        ]
    )
    assert query(f"SELECT name, size, mtime FROM {table} ORDER BY name") == [
        ("0", None, None),
        ("a", None, None),
        ("b", None, None),
        ("c", 0, 0),
    ]


@each_table
def test_the_mark_of_what_was_not_listed_is_never_stored(table: str, report: Report, read: Read) -> None:
    history.start_run()
    report(infos("/store/a/_unlisted_", "_unlisted_", "/_unlisted_", "/store/a/b"))
    history.report_empty([("/store/x/_unlisted_", 1), ("/store/x", 1)])
    assert read(SITE) == ["/store/a/b"]
    assert history.empty_directories(SITE) == ["/store/x"]


@each_table
@pytest.mark.parametrize(
    "wrong",
    [
        ("", {}),
        ("/", {}),
        ("/a/../b", {}),
        ("/a\0b", {}),
        ("/a\ud800", {}),
        ("/a", {"size": "many"}),
        ("/a", {"size": float("nan")}),
        ("/a", {"mtime": float("inf")}),
        ("/a", {"size": 2**63}),
        ("/a", {"mtime": -(2**63) - 1}),
    ],
    ids=repr,
)
def test_what_cannot_be_stored_is_refused_with_the_whole_list(
    table: str, report: Report, read: Read, wrong: tuple[str, dict[str, Any]]
) -> None:
    history.start_run()
    report(infos("/store/old"))
    with pytest.raises(ValueError, match=r"^'"):
        report([*infos("/store/new"), wrong])
    assert read(SITE) == ["/store/old"]
    report(infos("/store/more"))
    assert read(SITE) == ["/store/more", "/store/old"]


def test_names_are_escaped_in_messages() -> None:
    history.start_run()
    with pytest.raises(ValueError, match=r"'/a\\n/\.\./b'"):
        history.report_missing(infos("/a\n/../b"))


@each_table
def test_another_process_reads_what_was_reported_before_the_run_ends(table: str, report: Report, read: Read) -> None:
    history.start_run()
    report(infos("/store/a"))
    output = _python(f"print(history.{read.__name__}({SITE!r}))")
    assert output == "['/store/a']\n"


def test_a_run_that_another_process_started_later_takes_over() -> None:
    history.start_run()
    history.report_missing(infos("/store/mine"))
    _python(f"config.SITE = {SITE!r}; history.start_run(); history.report_missing([('/store/theirs', {{}})])")
    for call in (lambda: history.report_orphan([]), lambda: history.report_missing([]), history.finish_run):
        with pytest.raises(history.HistoryError, match="a later run of its site has started"):
            call()
    assert history.missing_files(SITE) == ["/store/theirs"]
    history.start_run()
    history.report_missing(infos("/store/again"))
    history.finish_run()
    assert history.missing_files(SITE) == ["/store/again"]
    assert query("SELECT status FROM runs ORDER BY id") == [("died",), ("died",), ("done",)]


def test_processes_that_act_at_once_share_the_list() -> None:
    history.start_run()
    history.report_missing(infos(*(f"/store/{number}/f" for number in range(500))))
    history.finish_run()
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        taken = pool.starmap(_take, [(str(config.LOCATION), os.getcwd())] * 3)
    assert sorted(len(names) for names in taken) == [0, 0, 500]


def _take(location: str, directory: str) -> list[str]:
    os.chdir(directory)
    config.LOCATION = location
    return history.missing_files(SITE, acting=True)


def test_a_process_killed_while_it_reports_leaves_the_older_list_whole() -> None:
    history.start_run()
    history.report_missing(infos(*(f"/store/{number % 50}/old{number}" for number in range(3000))))
    history.finish_run()
    old = history.missing_files(SITE)
    code = f"""
import os, signal, sys
config.SITE = {SITE!r}
history.start_run()
steps = 0
def step():
    global steps
    steps += 1
    if steps == LAST:
        os.kill(os.getpid(), signal.SIGKILL)
    return 0
history._run.database._connection.sqlite.set_progress_handler(step, 1)
history.report_missing([(f"/store/{{number % 50}}/new{{number}}", {{}}) for number in range(3000)])
print(steps)
"""
    steps = int(_python(code.replace("LAST", "0")))
    new = history.missing_files(SITE)
    assert len(new) == len(old) == 3000
    # Put the old list back, to be replaced by a process that does not live to the end.
    for share in (0.3, 0.6, 0.9):
        history.start_run()
        history.report_missing(infos(*old))
        history.finish_run()
        assert _python(code.replace("LAST", str(int(steps * share))), -signal.SIGKILL) == ""
        assert history.missing_files(SITE) == old
        assert query("PRAGMA integrity_check") == [("ok",)]


def _python(code: str, returns: int = 0) -> str:
    """Run code in a process of its own, in this directory."""
    done = subprocess.run(
        [sys.executable, "-c", f"from dynamo_consistency import config, history\n{code}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    assert done.returncode == returns
    return done.stdout
