import itertools
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from engine.columns import FileColumns
from engine.findings import Finding, Kind
from storage.history import HistoryDatabase, RunStatus
from tests.storage.histories import OF_CHECKSUMS, SITE, orphans, paths_of, query, run, start_child

GOLDEN = Path(__file__).parents[1] / "golden" / "history-0001.db"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "db" / "consistency.db"


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
    output, _ = start_child(FINISHER, path, "0").communicate(timeout=120)
    steps = int(output.split()[-1])
    assert steps > 10_000
    assert _generation(path) == "new"
    # Some of the very last steps may come after the commit.
    for last in [1, *random.Random(1).sample(range(2, steps - 50), 4), steps - 50, steps]:
        path.write_bytes(whole)
        child = start_child(FINISHER, path, str(last))
        child.communicate(timeout=120)
        assert child.returncode == -signal.SIGKILL
        assert _generation(path) == "old" or last >= steps - 50


def test_killed_from_outside_at_any_time_old_or_new_is_whole(path: Path) -> None:
    _old_state(path)
    whole = path.read_bytes()
    chance = random.Random(2)
    for _ in range(6):
        path.write_bytes(whole)
        child = start_child(FINISHER, path, "0")
        assert child.stdout is not None
        assert child.stdout.readline() == b"finishing\n"
        time.sleep(chance.uniform(0.0, 0.08))
        child.kill()
        child.communicate(timeout=120)
        assert _generation(path) in ("old", "new")


def test_a_run_left_running_by_a_killed_process_does_no_harm(path: Path) -> None:
    _old_state(path)
    child = start_child(FINISHER, path, "50")
    child.communicate(timeout=120)
    with HistoryDatabase(path) as history:
        left = history.runs(SITE)[0]
        run(history, orphans(b"/s", b"after"))
        statuses = {row.id: row.status for row in history.runs(SITE)}
        assert left.status == RunStatus.RUNNING
        assert statuses[left.id] == RunStatus.DIED
        assert paths_of(history.orphans(SITE)) == [b"/s/after"]


# A child that upgrades the history of an earlier version, and kills itself as `FINISHER` does.
UPGRADER = """
import os, signal, sqlite3, sys
from pathlib import Path
from storage.history import HistoryDatabase

connect = sqlite3.connect
last, steps = int(sys.argv[2]), 0

def step():
    global steps
    steps += 1
    if steps == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return 0

def watched(*args, **more):
    connection = connect(*args, **more)
    connection.set_progress_handler(step, 1)
    return connection

sqlite3.connect = watched
HistoryDatabase(Path(sys.argv[1]))
print(steps, flush=True)
"""


def _version(path: Path) -> int:
    """Say how many steps the schema has had, after checking that each has left all that it makes or nothing."""
    columns = {
        table: {row[1] for row in query(path, f"PRAGMA table_info({table})")}
        for table in (
            *("invalid", "invalid_history", "orphans", "orphans_history", "reported", "runs"),
            "unlisted_history",
        )
    }
    of_runs, of_unlisted = columns.pop("runs"), columns.pop("unlisted_history")
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    assert query(path, "SELECT name FROM orphans_history") == [("older",)]
    version = len(query(path, "SELECT name FROM _sqlite_migrations"))
    indexes = query(path, "SELECT count(*) FROM sqlite_master WHERE name LIKE '%acted'")
    assert (of_runs >= OF_CHECKSUMS) == (version == 7)
    assert ({"inventory_files", "begun", "gates", "accepted", "reasons", "looked"} <= of_runs) == (version == 7)
    assert ({"site", "run", "directory", "reason", "detail"} == of_unlisted) == (version == 7)
    if version == 1:
        assert not any({"seen", "since"} & found for found in columns.values())
        assert (columns["reported"], indexes) == (set(), [(0,)])
    else:
        assert all({"seen", "since"} <= columns[table] for table in columns if table != "reported")
        assert (columns["reported"], indexes) == ({"site", "findings", "run"}, [(4,)])
        assert query(path, "SELECT count(*) FROM reported") == [(8,)]
    return version


def test_killed_at_any_step_of_an_upgrade_it_has_not_begun_or_is_whole(path: Path) -> None:
    path.parent.mkdir()
    shutil.copy(GOLDEN, path)
    output, _ = start_child(UPGRADER, path, "0").communicate(timeout=120)
    steps = int(output.split()[-1])
    assert steps > 1000
    assert _version(path) == 7
    versions = []
    for last in [*random.Random(3).sample(range(1, steps), 12), steps - 20, steps]:
        for leftover in path.parent.iterdir():
            leftover.unlink()
        shutil.copy(GOLDEN, path)
        child = start_child(UPGRADER, path, str(last))
        child.communicate(timeout=120)
        assert child.returncode == -signal.SIGKILL
        versions.append(_version(path))
        with HistoryDatabase(path) as history:
            assert len(list(history.missing("T2_EXAMPLE"))) == 2
        assert _version(path) == 7
    assert set(versions) == {1, 7}


# A child that reports orphans at once and then acts on them, and kills itself at a step of either.
REPORTER = """
import os, signal, sys
from pathlib import Path
from storage.history import HistoryDatabase, Table

last, steps = int(sys.argv[2]), 0

def step():
    global steps
    steps += 1
    if steps == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return 0

history = HistoryDatabase(Path(sys.argv[1]))
run = history.open_run("T2_XX_Site", 3.0, "threads")
history._connection.sqlite.set_progress_handler(step, 1)
history.report(run, Table.ORPHANS, [(b"/s/%d/new-%d" % (d, f), 1, 1) for d in range(20) for f in range(50)], 4.0)
print(steps, flush=True)
history.mark_acted("T2_XX_Site", Table.ORPHANS, [b"/s/%d/new-%d" % (d, f) for d in range(20) for f in range(25)], 5.0)
print(steps, flush=True)
list(history.orphans("T2_XX_Site", acting=6.0))
print(steps, flush=True)
"""


def test_killed_at_any_step_of_a_report_or_of_acting_each_is_done_or_not(path: Path) -> None:
    with HistoryDatabase(path) as history:
        for finished in (1.0, 2.0):
            run(history, orphans(b"/s/0", *(b"old-%d" % f for f in range(500)), b"new-0"), finished=finished)
    whole = path.read_bytes()
    output, _ = start_child(REPORTER, path, "0").communicate(timeout=120)
    ends = [int(word) for word in output.split()]
    seen = set()
    for begin, end in itertools.pairwise([0, *ends]):
        for last in [*random.Random(end).sample(range(begin + 1, end), 3), end]:
            path.write_bytes(whole)
            child = start_child(REPORTER, path, str(last))
            child.communicate(timeout=120)
            assert child.returncode == -signal.SIGKILL
            seen.add(_how_far(path))
    assert seen == {"nothing", "reported", "marked", "acted"}


def _how_far(path: Path) -> str:
    """Say what a `REPORTER` has done, after checking that it is whole."""
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    ((here, runs),) = query(path, "SELECT count(*), count(DISTINCT run) FROM orphans")
    ((twin, acted),) = query(path, "SELECT count(*), count(acted) FROM orphans_history")
    ((reported,),) = query(path, "SELECT count(*) FROM reported WHERE findings = 'orphans'")
    both = "(SELECT name, seen FROM orphans UNION ALL SELECT name, seen FROM orphans_history)"
    counted = query(path, f"SELECT max(seen) FROM {both} WHERE name = 'new-0'")
    state = {
        (501, 1, 501, 0, 2): "nothing",
        (1000, 1, 1002, 0, 3): "reported",
        (500, 1, 1502, 500, 3): "marked",
        (0, 0, 2002, 1000, 3): "acted",
    }[here, runs, twin, acted, reported]
    assert counted == [(2 if state == "nothing" else 3,)]
    return state
