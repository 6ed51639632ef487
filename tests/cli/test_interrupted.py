"""A program that is told to end before its work has begun."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.cli.planted import PlantedSite
from tests.cli.program import eventually, run, start, wait_for


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


def test_a_run_that_was_killed_is_never_shown_as_running(site: PlantedSite) -> None:
    process = start("check", cwd=site.home)
    running = site.home / "var" / "runs" / site.name / "run.json"
    eventually("begun", running.exists, process)
    process.kill()
    process.communicate()
    shown = json.loads(run("history", site.name, "--json", cwd=site.home).out)
    assert [row["status"] for row in shown["runs"]] == ["died"]
