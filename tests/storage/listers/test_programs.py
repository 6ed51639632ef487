from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from engine.listing import Failed
from engine.states import Reason
from storage.listers.programs import Done, Runner, one_line


def run(*command: str, seconds: float = 20, runner: Runner | None = None) -> Done | Failed:
    return (runner or Runner(os.environ)).run(command, time.monotonic() + seconds)


def test_output_errors_and_exit_code_are_told_apart() -> None:
    assert run("sh", "-c", r"printf 'a\0\377\n'; printf ' two\nlines\0 ' >&2; exit 3") == Done(
        3, b"a\0\xff\n", "two lines"
    )


def test_arguments_are_not_for_a_shell(tmp_path: Path) -> None:
    assert run("printf", "%s", f"$(touch {tmp_path}/x); *") == Done(0, f"$(touch {tmp_path}/x); *".encode(), "")
    assert not list(tmp_path.iterdir())


def test_a_program_that_is_late_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    script = f"sleep 600 & echo $! > {tmp_path}/child; wait"

    outcome = run("sh", "-c", script, seconds=1)
    assert isinstance(outcome, Failed)
    assert outcome.reason == Reason.TIMEOUT
    child = Path("/proc", (tmp_path / "child").read_text().strip())
    for _ in range(1000):
        # A zombie until whoever adopted it looks.
        if not child.exists() or "\nState:\tZ" in (child / "status").read_text():
            break
        time.sleep(0.01)
    else:
        raise AssertionError("the child is still there")


def test_closing_ends_what_runs_and_lets_nothing_start() -> None:
    runner = Runner(os.environ)
    outcomes: list[Done | Failed] = []
    thread = threading.Thread(target=lambda: outcomes.append(run("sleep", "600", runner=runner)))
    thread.start()
    while runner._process is None:
        time.sleep(0.001)
    runner.close()
    thread.join(20)

    assert outcomes == [Done(-9, b"", "")]
    assert isinstance(run("true", runner=runner), Failed)


def test_a_program_that_is_not_there_is_a_failure() -> None:
    outcome = run("/no/such/program")
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.detail.partition(":")[0]) == (Reason.SERVER, "program could not be run")


def test_words_become_one_line() -> None:
    assert one_line(b"[ERROR] a\0\n\n b\t\xff\n") == "[ERROR] a b \ufffd"


def test_whoever_heeds_ends_a_program_early_and_loses_none_of_its_output() -> None:
    looks: list[None] = []

    done = Runner(os.environ).run(
        ["sh", "-c", "echo one; sleep 0.5; echo two"], time.monotonic() + 20, lambda: looks.append(None)
    )
    assert done == Done(0, b"one\ntwo\n", "")
    assert looks

    runner = Runner(os.environ)
    processes: list[int] = []

    def enough() -> None:
        assert runner._process is not None
        processes.append(runner._process.pid)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run(["sleep", "600"], time.monotonic() + 600, enough)
    assert not Path("/proc", str(processes[0])).exists()


def test_a_program_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    started = tmp_path / "started"
    script = f"""
import os, time
from storage.listers.programs import Runner
Runner(os.environ).run(["sh", "-c", "echo $$ > {started}.new; mv {started}.new {started}; exec sleep 600"],
                       time.monotonic() + 600)
"""
    ours = subprocess.Popen([sys.executable, "-c", script])
    while not started.exists():
        assert ours.poll() is None
        time.sleep(0.01)
    ours.kill()
    ours.wait()
    program = Path("/proc", started.read_text().strip())
    for _ in range(1000):
        if not program.exists() or "\nState:\tZ" in (program / "status").read_text():
            break
        time.sleep(0.01)
    else:
        raise AssertionError("the program is still there")
