import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.cut import LastLine
from storage.runs.directory import (
    AlreadyRunning,
    Datasets,
    RunDirectory,
    RunDirError,
    RunInfo,
    Unfinished,
    directory_name,
)
from storage.snapshot import Snapshot, SnapshotHeader, SnapshotWriter, part_of

ROOT = Path(__file__).parents[3]
INFO = RunInfo(4711, "grid.example", 1000.5, "threads", "http://localhost:8265")
MARK = {"inventory": {"path": "/données", "size": 5}, "store": {"doors": ["root://one"], "tops": ["/store"]}}

HOLD = """
import sys
from pathlib import Path
from storage.runs.directory import RunDirectory, RunInfo
directory = RunDirectory(Path(sys.argv[1]), sys.argv[2])
directory.acquire(RunInfo(99, "elsewhere", 5.0, "ray"))
print("held", flush=True)
sys.stdin.readline()
print("halt" if directory.halt_requested() else "no halt", flush=True)
sys.stdin.readline()
directory.release()
"""
"""A process that holds a site; a line on its standard input takes it one step on."""

HALT = """
import sys
from pathlib import Path
from storage.runs.directory import RunDirectory
print(RunDirectory(Path(sys.argv[1]), sys.argv[2]).request_halt(float(sys.argv[3])), flush=True)
"""

Process = subprocess.Popen[str]


@contextmanager
def python(script: str, *arguments: str) -> Iterator[Process]:
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: Process) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def step(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@contextmanager
def holder(var: Path, site: str = "S") -> Iterator[Process]:
    with python(HOLD, str(var), site) as process:
        assert line(process) == "held"
        yield process


def test_a_site_that_nobody_runs_is_free(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path, "S")
    assert not directory.is_locked()
    assert directory.running() is None
    assert list(tmp_path.iterdir()) == []


def test_who_runs_a_site_can_be_seen(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path, "S")
    directory.acquire(INFO)
    with directory:
        assert RunDirectory(tmp_path, "S").running() == INFO
        assert directory.is_locked()
        assert not RunDirectory(tmp_path, "T").is_locked()
    assert directory.running() is None
    assert not directory.is_locked()


def test_a_second_process_is_kept_out_and_told_by_whom(tmp_path: Path) -> None:
    with holder(tmp_path):
        with pytest.raises(AlreadyRunning) as caught:
            RunDirectory(tmp_path, "S").acquire(INFO)
        assert str(caught.value) == (
            "S is being checked already by process 99 on elsewhere; stop that run with: dynamo-consistency halt S"
        )
        assert RunDirectory(tmp_path, "S").running() == RunInfo(99, "elsewhere", 5.0, "ray")
        other_site = RunDirectory(tmp_path, "T")
        other_site.acquire(INFO)
        other_site.release()


def test_a_killed_process_leaves_the_site_free(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        directory = RunDirectory(tmp_path, "S")
        assert directory.is_locked()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not directory.is_locked()
        directory.acquire(INFO)
        assert directory.running() == INFO
        directory.release()


def test_a_process_that_lets_go_leaves_the_site_free(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        step(process)
        assert line(process) == "no halt"
        step(process)
        assert process.wait() == 0
        directory = RunDirectory(tmp_path, "S")
        directory.acquire(INFO)
        directory.release()


def test_a_lock_is_not_lost_by_asking_for_it_again(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path, "S")
    directory.acquire(INFO)
    with pytest.raises(AlreadyRunning):
        directory.acquire(INFO)
    assert directory.is_locked()
    directory.release()
    assert not directory.is_locked()


def test_releasing_twice_does_no_harm(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path, "S")
    directory.acquire(INFO)
    directory.release()
    with holder(tmp_path):
        directory.release()
        assert directory.is_locked()
        assert directory.running() is not None


LOOK = """
import sys
from pathlib import Path
from storage.runs.directory import RunDirectory
directory = RunDirectory(Path(sys.argv[1]), "S")
directory.path.mkdir(parents=True)
(directory.path / "lock").touch()
print("looking", flush=True)
while True:
    directory.is_locked()
"""


def test_looking_whether_a_site_runs_keeps_nobody_out(tmp_path: Path) -> None:
    with python(LOOK, str(tmp_path)) as process:
        assert line(process) == "looking"
        directory = RunDirectory(tmp_path, "S")
        for _ in range(200):
            directory.acquire(INFO)
            directory.release()
        assert process.poll() is None


def test_a_halt_is_asked_for_by_another_process(tmp_path: Path) -> None:
    with holder(tmp_path) as process, python(HALT, str(tmp_path), "S", "60") as halting:
        directory = RunDirectory(tmp_path, "S")
        while not directory.halt_requested():
            assert halting.poll() is None
        step(process)
        assert line(process) == "halt"
        step(process)
        assert line(halting) == "True"
        assert halting.wait() == 0
        assert not directory.halt_requested()


def test_who_asks_for_a_halt_learns_when_it_does_not_come(tmp_path: Path) -> None:
    with holder(tmp_path):
        directory = RunDirectory(tmp_path, "S")
        assert directory.request_halt(0.0) is False
        assert directory.halt_requested()


def test_a_request_to_halt_does_not_outlive_its_run(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path, "S")
    directory.acquire(INFO)
    assert directory.request_halt(0.0) is False
    directory.release()
    assert not directory.halt_requested()
    (directory.path / "halt").touch()
    directory.acquire(INFO)
    assert not directory.halt_requested()
    directory.release()
    assert directory.request_halt(0.0) is True
    assert not directory.halt_requested()


def test_a_halt_of_a_site_that_never_ran_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirError, match="cannot ask S to halt"):
        RunDirectory(tmp_path, "S").request_halt(0.0)


def test_a_place_that_cannot_be_used_is_refused_and_not_left_locked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunDirError, match="cannot use"):
        RunDirectory(tmp_path / "file", "S").acquire(INFO)
    directory = RunDirectory(tmp_path, "S")
    (directory.path / "running.json").mkdir(parents=True)
    with pytest.raises(RunDirError, match=r"running\.json: cannot be written") as caught:
        directory.acquire(INFO)
    assert not isinstance(caught.value, AlreadyRunning)
    assert not directory.is_locked()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"pid": 1}', '{"other": 1}', "null"])
def test_a_word_about_a_run_that_makes_no_sense_is_no_word(tmp_path: Path, content: str) -> None:
    directory = RunDirectory(tmp_path, "S")
    directory.path.mkdir(parents=True)
    (directory.path / "running.json").write_text(content)
    assert directory.running() is None


HOSTILE = [
    "../x",
    "a/b",
    ".",
    "..",
    "",
    "...",
    "/",
    "~",
    "%",
    "%2e",
    "a\0b",
    "a\nb",
    " ",
    "größe",
    "日本",
    "\udcff",
    "-rf",
]


@pytest.mark.parametrize("site", HOSTILE)
def test_a_hostile_site_name_stays_inside(tmp_path: Path, site: str) -> None:
    directory = RunDirectory(tmp_path / "var", site)
    directory.acquire(INFO)
    assert [path.name for path in (tmp_path / "var").iterdir()] == ["runs"]
    assert [path.name for path in (tmp_path / "var" / "runs").iterdir()] == [directory_name(site)]
    assert sorted(path.name for path in directory.path.iterdir()) == ["lock", "running.json"]
    directory.release()


def test_every_site_has_a_directory_of_its_own() -> None:
    sites = [*HOSTILE, "x", "a", "b", "T2_EXAMPLE_One", "T2.EXAMPLE-1", "%2e%2e", "a%2fb", "%25", "%c3%bc", "ü"]
    assert len({directory_name(site) for site in sites}) == len(sites)
    assert directory_name("T2_EXAMPLE.One-1") == "T2_EXAMPLE.One-1"
    assert directory_name("../x") == "%2e%2e%2fx"


def journal(directory: RunDirectory) -> Path:
    """Leave the part of a listing."""
    SnapshotWriter(directory.listing, SnapshotHeader("listing", "here", 1000)).close()
    return part_of(directory.listing)


def finished(path: Path) -> None:
    SnapshotWriter(path, SnapshotHeader("listing", "here", 1000)).finish()


def set_time(seconds: float, *files: Path) -> None:
    for file in files:
        os.utime(file, (seconds, seconds))


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[RunDirectory]:
    directory = RunDirectory(tmp_path, "S")
    directory.acquire(INFO)
    with directory:
        yield directory


def test_without_an_earlier_run_there_is_nothing_to_go_on_with(directory: RunDirectory) -> None:
    assert directory.unfinished(MARK, 0.0) is None


def test_a_run_that_was_begun_can_be_gone_on_with(directory: RunDirectory) -> None:
    directory.begin(MARK, 1000.5)
    assert directory.unfinished(MARK, 0.0) == Unfinished(1000.5, inventory_read=False)
    finished(directory.inventory)
    assert directory.unfinished(MARK, 0.0) == Unfinished(1000.5, inventory_read=False)
    directory.inventory_is_read()
    assert directory.unfinished(MARK, 0.0) == Unfinished(1000.5, inventory_read=True)
    directory.inventory.unlink()
    assert directory.unfinished(MARK, 0.0) == Unfinished(1000.5, inventory_read=False)


def test_a_finished_run_is_forgotten(directory: RunDirectory) -> None:
    directory.begin(MARK, 1000.5)
    directory.forget()
    directory.forget()
    assert directory.unfinished(MARK, 0.0) is None


def test_a_listing_that_was_refused_is_gone_on_with_only_where_it_is_accepted(directory: RunDirectory) -> None:
    directory.begin(MARK, 1000.0)
    directory.inventory.touch()
    directory.inventory_is_read()
    finished(directory.listing)
    directory.set_aside()
    assert directory.unfinished(MARK, 0.0) is None
    assert not part_of(directory.listing).exists()
    assert directory.unfinished(MARK, 0.0, refused=True) == Unfinished(1000.0, inventory_read=True)
    assert part_of(directory.listing).exists()
    directory.begin(MARK, 2000.0)
    assert directory.unfinished(MARK, 0.0) == Unfinished(2000.0, inventory_read=False)


def test_what_cannot_be_set_aside_is_forgotten(directory: RunDirectory) -> None:
    directory.begin(MARK, 1000.0)
    (directory.path / "run.json").write_text("{")
    directory.set_aside()
    assert directory.unfinished(MARK, 0.0, refused=True) is None


def test_a_mark_is_compared_as_json_holds_it(directory: RunDirectory) -> None:
    directory.begin({"tops": ("/a", "/b"), "size": 5}, 1000.5)
    assert directory.unfinished({"size": 5, "tops": ["/a", "/b"]}, 0.0) is not None
    assert directory.unfinished({"size": 6, "tops": ["/a", "/b"]}, 0.0) is None
    assert directory.unfinished({"tops": ["/a", "/b"]}, 0.0) is None


def test_a_new_run_drops_the_journal_of_the_one_before(directory: RunDirectory) -> None:
    directory.begin(MARK, 1000.5)
    part = journal(directory)
    assert part.exists()
    directory.begin(MARK, 2000.5)
    assert not part.exists()
    assert directory.unfinished(MARK, 0.0) == Unfinished(2000.5, inventory_read=False)


def test_how_old_a_run_is_goes_by_its_last_sign_of_life(directory: RunDirectory) -> None:
    directory.begin(MARK, 1000.5)
    part = journal(directory)
    state = directory.path / "run.json"
    set_time(5000, state)
    set_time(9000, part)
    assert directory.unfinished(MARK, 9000.0) is not None
    assert directory.unfinished(MARK, 9001.0) is None


def test_a_listing_that_was_finished_becomes_the_journal_again(directory: RunDirectory) -> None:
    directory.begin(MARK, 1000.5)
    finished(directory.inventory)
    directory.inventory_is_read()
    finished(directory.listing)
    assert directory.unfinished(MARK, 0.0) == Unfinished(1000.5, inventory_read=True)
    assert not directory.listing.exists()
    writer = SnapshotWriter.resume(directory.listing)
    writer.finish()
    Snapshot(directory.listing).close()


def test_the_listing_of_an_earlier_run_does_not_become_the_journal(directory: RunDirectory) -> None:
    finished(directory.listing)
    set_time(900, directory.listing)
    directory.begin(MARK, 1000.5)
    finished(directory.inventory)
    directory.inventory_is_read()
    assert directory.unfinished(MARK, 0.0) == Unfinished(1000.5, inventory_read=True)
    assert directory.listing.exists()
    part = journal(directory)
    before = part.read_bytes()
    set_time(2000, directory.listing)
    assert directory.unfinished(MARK, 0.0) is not None
    assert part.read_bytes() == before
    assert directory.listing.exists()


def test_an_earlier_listing_from_the_time_before_a_clock_was_set_back_is_not_this_run_s(
    directory: RunDirectory,
) -> None:
    finished(directory.listing)
    set_time(5000, directory.listing)
    directory.begin(MARK, 1000.5)
    finished(directory.inventory)
    directory.inventory_is_read()
    assert directory.unfinished(MARK, 0.0) == Unfinished(1000.5, inventory_read=True)
    assert directory.listing.exists()


def test_a_listing_that_was_finished_after_a_clock_was_set_back_is_this_run_s(directory: RunDirectory) -> None:
    directory.begin(MARK, 1000.5)
    finished(directory.inventory)
    directory.inventory_is_read()
    finished(directory.listing)
    set_time(500, directory.listing)
    assert directory.unfinished(MARK, 0.0) is not None
    assert not directory.listing.exists()


LINE = LastLine("inventory.txt", 3, b"/caf\xe9/a b", b"/caf\xe9/a b 5", size=5, repeated=True)


def test_how_the_text_of_an_inventory_ended_is_kept(directory: RunDirectory) -> None:
    directory.begin(MARK, 1000.5)
    assert directory.kept_last_line(directory.inventory) is None
    directory.keep_last_line(directory.inventory, LINE)
    directory.keep_last_line(directory.second_inventory, None)
    assert directory.kept_last_line(directory.inventory) == LINE
    assert directory.kept_last_line(directory.second_inventory) is None
    directory.begin(MARK, 2000.5)
    assert directory.kept_last_line(directory.inventory) is None


@pytest.mark.parametrize("damaged", ["", "[]", "{}", '{"last_line": {"path": "/a"}}', '{"last_line": {"path": 5}}'])
def test_without_the_end_of_its_text_the_inventory_is_read_again(directory: RunDirectory, damaged: str) -> None:
    directory.begin(MARK, 1000.5)
    finished(directory.inventory)
    directory.keep_last_line(directory.inventory, LINE)
    directory.inventory_is_read()
    assert directory.unfinished(MARK, 0.0) == Unfinished(1000.5, inventory_read=True)
    (directory.path / "inventory.end.json").write_text(damaged)
    assert directory.unfinished(MARK, 0.0) == Unfinished(1000.5, inventory_read=False)
    with pytest.raises(RunDirError, match=r"inventory\.end\.json"):
        directory.kept_last_line(directory.inventory)


def test_which_file_an_inventory_was_read_from_is_kept(directory: RunDirectory) -> None:
    assert directory.kept_inventory_file() is None
    directory.begin(MARK, 1000.5)
    for identity in ([1, 2, 3, 4], None):
        directory.keep_inventory_file(identity)
        assert directory.kept_inventory_file() == identity
    for damaged in ("", "[]", '{"file": 5}'):
        (directory.path / "inventory.json").write_text(damaged)
        assert directory.kept_inventory_file() is None


@pytest.mark.parametrize("damaged", ["", "[]", "{}", '{"protected": 1, "deleted": []}'])
def test_with_damaged_datasets_the_inventory_is_read_again(directory: RunDirectory, damaged: str) -> None:
    directory.begin(MARK, 1000.5)
    finished(directory.inventory)
    directory.keep_datasets(Datasets(frozenset({"a"})))
    directory.inventory_is_read()
    assert directory.unfinished(MARK, 0.0) == Unfinished(1000.5, inventory_read=True)
    (directory.path / "datasets.json").write_text(damaged)
    assert directory.unfinished(MARK, 0.0) == Unfinished(1000.5, inventory_read=False)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "",
        lambda _: "[]",
        lambda text: text[: len(text) // 2],
        lambda text: json.dumps({**json.loads(text), "started": "yesterday"}),
        lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "mark"}),
    ],
)
def test_a_damaged_note_of_a_run_is_no_note(directory: RunDirectory, damage: Callable[[str], str]) -> None:
    directory.begin(MARK, 1000.5)
    state = directory.path / "run.json"
    state.write_text(damage(state.read_text()))
    assert directory.unfinished(MARK, 0.0) is None


def test_a_note_that_cannot_be_written_is_an_error_of_the_directory(directory: RunDirectory) -> None:
    (directory.path / "run.json").unlink(missing_ok=True)
    directory.begin(MARK, 1000.5)
    directory.path.rename(directory.path.with_name("moved"))
    with pytest.raises(RunDirError, match=r"run\.json: cannot be written"):
        directory.begin(MARK, 1000.5)


def test_what_a_run_has_found_is_kept_until_it_is_over(directory: RunDirectory) -> None:
    directory.begin(MARK, 1000.0)
    assert directory.kept_found(MARK, 0) is None
    directory.keep_found(5, 999.5, {"run": 5})
    assert directory.kept_found(MARK, 0) == {"run": 5}
    assert directory.unfinished(MARK, 0) is not None
    assert directory.kept_found({**MARK, "store": None}, 0) is None
    assert directory.kept_found(MARK, time.time() + 60) is None
    directory.forget()
    assert directory.kept_found(MARK, 0) is None


def test_all_runs_that_judge_a_listing_are_kept_with_it(directory: RunDirectory) -> None:
    directory.begin(MARK, 1000.0)
    assert directory.judged_by(MARK) == []
    directory.keep_found(5, 999.5, {})
    directory.keep_found(6, 1001.25, {})
    assert directory.judged_by(MARK) == [(5, 999.5), (6, 1001.25)]
    assert directory.judged_by({**MARK, "store": None}) == []
    directory.begin(MARK, 2000.0)
    assert directory.judged_by(MARK) == []


@pytest.mark.parametrize("judged", [5, [5], [[5]], [["five", 1]], None])
def test_a_note_of_runs_that_is_damaged_is_none(directory: RunDirectory, judged: object) -> None:
    directory.begin(MARK, 1000.0)
    state = directory.path / "run.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "judged": judged}))
    assert directory.judged_by(MARK) == []


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_a_note_of_lists_that_is_damaged_knows_none(directory: RunDirectory, content: str) -> None:
    directory.begin(MARK, 1000.0)
    assert directory.kept_lists() == {}
    directory.lists.write_text(content)
    assert directory.kept_lists() == {}


def test_a_new_run_drops_what_an_earlier_one_was_told_of_missing_files(directory: RunDirectory) -> None:
    directory.path.mkdir(parents=True, exist_ok=True)
    directory.verdicts.touch()
    directory.begin(MARK, 1000.0)
    assert not directory.verdicts.exists()


def test_who_may_only_read_is_told_whether_a_site_is_run() -> None:
    user, home = os.geteuid(), Path(tempfile.mkdtemp())
    home.chmod(0o755)
    try:
        with RunDirectory(home, "T2_X") as held:
            held.acquire(INFO)
            (held.path / "lock").chmod(0o444)
            os.seteuid(65534 if user == 0 else user)
            assert RunDirectory(home, "T2_X").is_locked()
            os.seteuid(user)
        os.seteuid(65534 if user == 0 else user)
        assert not RunDirectory(home, "T2_X").is_locked()
    finally:
        os.seteuid(user)
        shutil.rmtree(home)
