"""A process is told from none, from one that is only left to be collected, and from a later one with its number."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from storage.sites.process import Owner

SLEEP = [sys.executable, "-c", "import sys; sys.stdin.read()"]


def owner_of(pid: int) -> Owner:
    """Give the owner that a process with this number would say it is."""
    code = f"from storage.sites import process as s; print(s._look_at({pid})[1])"
    start = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout
    return replace(Owner.this(), pid=pid, start=start.strip())


def test_this_process_lives() -> None:
    this = Owner.this()
    assert this.pid == os.getpid()
    assert this.start
    assert this.is_here
    assert this.is_alive()
    assert Owner.this() == this


def test_another_process_lives_until_it_ends() -> None:
    child = subprocess.Popen(SLEEP, stdin=subprocess.PIPE)
    owner = owner_of(child.pid)
    assert owner.is_alive()
    assert child.stdin is not None
    child.stdin.close()
    # Not waited for, it stays in the table of processes.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not owner.is_alive()
    child.wait(timeout=60)
    assert not owner.is_alive()


def test_a_later_process_with_the_same_number_is_another() -> None:
    this = Owner.this()
    boot, ticks = this.start.split()
    assert not replace(this, start=f"{boot} {int(ticks) - 1}").is_alive()
    assert not replace(this, start=f"another-boot {ticks}").is_alive()
    # Nothing is known of when it began, so it has to be taken for the same.
    assert replace(this, start="").is_alive()


@pytest.mark.parametrize("pid", [0, -1, 2**31, 2**70])
def test_numbers_that_no_process_can_have(pid: int) -> None:
    assert not replace(Owner.this(), pid=pid).is_alive()


def test_a_process_of_another_machine_is_not_here() -> None:
    assert not replace(Owner.this(), host="elsewhere.example").is_here
