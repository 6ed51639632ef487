"""A lock that sites share is had by one process at a time, and ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storage.runs.directory import RunDirError
from storage.sites.lock import SiteLock

ROOT = Path(__file__).parents[3]

HOLDER = """
import sys
from pathlib import Path
from storage.sites.lock import SiteLock
lock = SiteLock(Path(sys.argv[1]), "gfal")
print(lock.acquire(), flush=True)
sys.stdin.read()
"""


def test_one_has_it_at_a_time(tmp_path: Path) -> None:
    one, two = SiteLock(tmp_path / "var", "gfal"), SiteLock(tmp_path / "var", "gfal")
    assert not one.is_held()
    assert not (tmp_path / "var").exists()
    assert one.acquire()
    assert one.acquire()
    assert one.is_held()
    assert two.is_held()
    assert not two.acquire()
    one.release()
    one.release()
    assert not two.is_held()
    with two:
        assert two.acquire()
        assert not one.acquire()
    assert one.acquire()
    one.release()
    assert (tmp_path / "var" / "locks" / "gfal").is_file()


def test_locks_of_other_names_are_other_locks(tmp_path: Path) -> None:
    with SiteLock(tmp_path, "gfal") as one, SiteLock(tmp_path, "../gfal") as two:
        assert one.acquire()
        assert two.acquire()
        assert one.path.parent == two.path.parent == tmp_path / "locks"


def test_it_ends_with_its_process(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"True\n"
    lock = SiteLock(tmp_path, "gfal")
    assert lock.is_held()
    assert not lock.acquire()
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)
    assert not lock.is_held()
    assert lock.acquire()
    lock.release()


def test_a_place_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "locks").touch()
    with pytest.raises(RunDirError, match="cannot use") as caught:
        SiteLock(tmp_path, "gfal").acquire()
    assert str(tmp_path / "locks" / "gfal") in str(caught.value)
    (tmp_path / "locks").unlink()
    (tmp_path / "locks" / "gfal").mkdir(parents=True)
    with pytest.raises(RunDirError, match="Is a directory"):
        SiteLock(tmp_path, "gfal").is_held()
