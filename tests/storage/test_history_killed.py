import random
import signal
import time
from pathlib import Path

import pytest

from engine.columns import FileColumns
from engine.findings import Finding, Kind
from storage.history import HistoryDatabase, RunStatus
from tests.storage.histories import SITE, orphans, paths_of, query, run, start_child


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
