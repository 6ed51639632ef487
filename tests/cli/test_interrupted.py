"""A program that is told to end before its work has begun."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.cli.planted import PlantedSite
from tests.cli.program import eventually, run, start, wait_for
from tests.servers.processes import is_running, processes_below


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_work_begins_is_a_halt(tmp_path: Path, number: signal.Signals) -> None:
    waiting = tmp_path / "config.json"
    os.mkfifo(waiting)
    process = start("--config", waiting, "check", cwd=tmp_path)
    # Opening it ends when the program does the same, and then waits for what is never written.
    with waiting.open("w"):
        process.send_signal(number)
        ended = wait_for(process)
    assert (ended.code, ended.message) == (3, "halted")


_SIGNALLING = """
import os, signal, sys

first, times = os.environ["SIGNAL_AT"], int(os.environ["SIGNALS"])
sent = 0

def hear(event, arguments):
    global sent
    if event == "import" and (sent or arguments[0] == first) and sent < times:
        sent += 1
        os.kill(os.getpid(), signal.SIGINT if sent % 2 else signal.SIGTERM)

sys.addaudithook(hear)
"""
"""Has the program get signals when it loads a module, and whenever it loads one afterwards."""


@pytest.mark.parametrize("times", [1, 2, 3, 9])
@pytest.mark.parametrize("module", ["yaml._yaml", "yaml.error", "pydantic", "actors.site_run", "numpy", "ctypes"])
def test_signals_while_modules_are_loaded_are_a_halt(tmp_path: Path, module: str, times: int) -> None:
    (tmp_path / "sitecustomize.py").write_text(_SIGNALLING)
    (tmp_path / "config.yaml").write_text("Sites: {T2_X: {Doors: ['file:///'], Inventory: none.txt, Runtime: threads}}")
    env = {"PYTHONPATH": str(tmp_path), "SIGNAL_AT": module, "SIGNALS": str(times)}
    ended = run("--config", "config.yaml", "check", cwd=tmp_path, env=env)
    assert (ended.code, ended.message) == (3, "halted")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_many_signals_in_the_middle_of_a_run_are_a_halt(site: PlantedSite, number: signal.Signals) -> None:
    process = start("check", cwd=site.home)
    running = site.home / "var" / "runs" / site.name / "run.json"
    eventually("begun", running.exists, process)
    for _ in range(20):
        process.send_signal(number)
        time.sleep(0.002)
    ended = wait_for(process)
    # When the process ends its system takes the signals back.
    assert ended.code in (3, -number)
    assert set(ended.err.splitlines()) <= {
        "dynamo-consistency: halted",
        f"dynamo-consistency: {site.name}: halted: {number.name} received; the next check goes on from there",
    }
    assert run("check", cwd=site.home).code == 0
    site.assert_reports()


def test_a_run_that_was_killed_is_never_shown_as_running(site: PlantedSite) -> None:
    process = start("check", cwd=site.home)
    running = site.home / "var" / "runs" / site.name / "run.json"
    eventually("begun", running.exists, process)
    process.kill()
    process.communicate()
    shown = json.loads(run("history", site.name, "--json", cwd=site.home).out)
    assert [row["status"] for row in shown["runs"]] == ["died"]


def test_a_signal_while_ray_starts_is_a_halt_and_leaves_no_process_behind(site: PlantedSite) -> None:
    site.configure(Runtime="ray")
    process = start("check", cwd=site.home)
    # By now its node is half there.
    eventually("Ray started processes", lambda: len(processes_below(process.pid)) >= 3, process)
    below = processes_below(process.pid)
    process.send_signal(signal.SIGINT)
    ended = wait_for(process)
    assert (ended.code, ended.message) == (3, "halted")
    give_up = time.monotonic() + 20
    while left := list(filter(is_running, below)):
        assert time.monotonic() < give_up, left
        time.sleep(0.05)
