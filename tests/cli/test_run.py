"""Every site is checked when it is due, each by a process of its own; what becomes of one is that one's alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from storage.runs.directory import RunDirectory
from tests.cli.loaded import run
from tests.cli.park import SLOWLY, Park, counts, rows
from tests.cli.program import PATIENCE, Ended, eventually, start, wait_for
from tests.servers.faulty_proxy import Fault, FaultyProxy
from tests.servers.fixtures import ServedDirectory
from tests.servers.processes import processes_below


@pytest.fixture
def park(tmp_path: Path, xrootd_directory: ServedDirectory) -> Park:
    return Park(tmp_path, xrootd_directory)


@pytest.fixture
def slow_door(xrootd_directory: ServedDirectory) -> Iterator[FaultyProxy]:
    """A door to the same server whose answers take a tenth of a second."""
    with FaultyProxy(int(xrootd_directory.url.rpartition(":")[2]), Fault(delay=0.1)) as proxy:
        yield proxy


@dataclass
class Started:
    """A run that is on, and what it has said on stdout so far."""

    process: subprocess.Popen[str]
    out: Path

    @property
    def said(self) -> str:
        return self.out.read_text()

    def tells(self, text: str) -> None:
        """Wait until it has said this."""
        eventually(f"it said {text!r}", lambda: text in self.said, self.process)

    def ends(self) -> Ended:
        """Wait until it has ended."""
        ended = wait_for(self.process)
        return Ended(ended.code, self.said, ended.err)


@pytest.fixture
def started(park: Park) -> Iterator[Callable[..., Started]]:
    """Start a run; it is ended with the test, and so are its checks."""
    runs: list[Started] = []

    def begin(*arguments: object, **env: str) -> Started:
        out = park.home / f"out{len(runs)}"
        runs.append(Started(start("run", "--gap", 0, *arguments, cwd=park.home, env=env, out=out), out))
        return runs[-1]

    yield begin
    for each in runs:
        each.process.terminate()
        each.process.communicate(timeout=PATIENCE)


def test_each_site_that_is_due_is_checked_once_and_one_that_fails_is_alone(park: Park) -> None:
    park.add("T2_A")
    park.add("T2_B", directories=5)
    park.add("T2_GONE", door="root://localhost:1", Retries=0)
    first = run("run", "--once", "--parallel", 2, "--gap", 0, "--json", cwd=park.home)
    assert first.code == 4
    done = rows(first)
    assert {site: (row["ended"], row["code"]) for site, row in done.items()} == {
        "T2_A": ("done", 0),
        "T2_B": ("done", 0),
        "T2_GONE": ("failed", 4),
    }
    assert counts(done["T2_A"]) == (6, 1, 1)
    assert counts(done["T2_B"]) == (10, 1, 1)
    assert "connection refused" in done["T2_GONE"]["said"]
    assert done["T2_GONE"]["results"] is None

    # What came to its end is not due for days; what failed is.
    second = run("run", "--once", "--gap", 0, "--json", cwd=park.home)
    assert set(rows(second)) == {"T2_GONE"}
    assert run("run", "--once", "--site", "T2_[AB]", cwd=park.home).out.endswith(" none of 2 sites is due\n")


def test_people_read_what_begins_and_how_it_ends(park: Park) -> None:
    park.add("T2_A")
    ended = run("run", "--once", "--exit-code", cwd=park.home)
    assert ended.code == 1
    begins, done = [line.split(" ", 2)[2] for line in ended.out.splitlines()]
    assert begins.startswith("T2_A: its check begins, as process ")
    assert done.startswith("T2_A: done after ")
    assert done.endswith(" s: 6 files, 1 missing, 1 orphans, 0 of another size, 0 empty, 0 unlisted")


def test_a_site_that_cannot_be_checked_is_named(park: Park) -> None:
    park.add("T2_A")
    park.add("T2_B")
    assert run("set-status", "T2_B", "disable", cwd=park.home).code == 0
    ended = run("run", "--once", cwd=park.home)
    assert ended.code == 0
    assert ended.out.splitlines()[-1].endswith(" T2_B: not checked: disabled")


def test_a_run_that_is_told_to_stop_keeps_the_journals_and_the_next_one_goes_on(
    park: Park, slow_door: FaultyProxy, started: Callable[..., Started]
) -> None:
    for name in ("T2_A", "T2_B"):
        park.add(name, directories=80, door=slow_door.url, **SLOWLY)
    ours = started("--parallel", 2)
    for name in ("T2_A", "T2_B"):
        eventually(f"{name} was listed", lambda name=name: park.listed(name) > 3, ours.process)  # type: ignore[misc]
    ours.process.send_signal(signal.SIGTERM)
    ended = ours.ends()
    assert ended.code == 3
    assert ended.err == "dynamo-consistency: halted: SIGTERM received; the next run goes on where this one stopped\n"
    assert "SIGTERM received: T2_A, T2_B told to stop" in ended.out
    assert not park.is_at_work("T2_A")
    assert park.statuses("T2_A") == ["halted"]

    slow_door.fault = Fault()
    done = rows(run("run", "--once", "--gap", 0, "--json", cwd=park.home))
    assert all(row["results"]["resumed"] > 3 for row in done.values())
    assert counts(done["T2_A"]) == counts(done["T2_B"]) == (160, 1, 1)


def test_a_run_that_drains_finishes_what_it_has_begun(
    park: Park, slow_door: FaultyProxy, started: Callable[..., Started]
) -> None:
    assert run("drain", cwd=park.home).out == "no run is on\n"
    for name in ("T2_A", "T2_B"):
        park.add(name, directories=60, door=slow_door.url, **SLOWLY)
    ours = started("--parallel", 1)
    eventually("T2_A was listed", lambda: park.listed("T2_A") > 3, ours.process)
    assert "no further check begins" in run("drain", cwd=park.home).out
    assert "draining" in run("status", cwd=park.home).out
    assert run("drain", "--wait", PATIENCE, cwd=park.home).out == "the run has ended\n"
    assert ours.ends().code == 0
    assert (park.statuses("T2_A"), park.statuses("T2_B")) == (["done"], [])


def test_a_site_that_is_halted_is_left_alone_and_the_others_go_on(
    park: Park, slow_door: FaultyProxy, started: Callable[..., Started]
) -> None:
    park.add("T2_A", directories=200, door=slow_door.url, **SLOWLY)
    park.add("T2_B")
    ours = started("--parallel", 2)
    eventually("T2_A was listed", lambda: park.listed("T2_A") > 3, ours.process)
    assert run("halt", "T2_A", "--wait", PATIENCE, cwd=park.home).code == 0
    ours.tells(" T2_B: done after ")
    ours.tells(" T2_A: halted (exit code 3) after ")
    # Whatever is due is begun after a look, and a new site is seen with the next one.
    park.add("T2_C")
    ours.tells(" T2_C: done after ")
    assert ours.said.count(" T2_A: its check begins") == 1
    assert park.statuses("T2_A") == ["halted"]


def test_a_check_that_is_killed_is_gone_on_with(
    park: Park, slow_door: FaultyProxy, started: Callable[..., Started]
) -> None:
    park.add("T2_A", directories=80, door=slow_door.url, **SLOWLY)
    ours = started("--once", "--json")
    eventually("T2_A was listed", lambda: park.listed("T2_A") > 3, ours.process)
    info = RunDirectory(park.home / "var", "T2_A").running()
    assert info is not None
    os.kill(info.pid, signal.SIGKILL)
    slow_door.fault = Fault()
    ended = ours.ends()
    assert ended.code == 0
    killed, done = [json.loads(line) for line in ended.out.splitlines()]
    assert (killed["ended"], killed["code"]) == ("died", -signal.SIGKILL)
    assert done["results"]["resumed"] > 3
    assert counts(done) == (160, 1, 1)


def test_checks_outlive_a_run_that_is_killed_and_the_next_one_leaves_them_alone(
    park: Park, slow_door: FaultyProxy, started: Callable[..., Started]
) -> None:
    park.add("T2_A", directories=60, door=slow_door.url, **SLOWLY)
    first = started("--parallel", 1, "--site", "T2_A")
    eventually("T2_A was listed", lambda: park.listed("T2_A") > 3, first.process)
    first.process.kill()
    first.process.communicate()
    park.add("T2_B")
    again = started("--parallel", 2)
    again.tells(" T2_B: done after ")
    eventually("T2_A was checked", lambda: park.statuses("T2_A") == ["done"], again.process)
    park.add("T2_C")
    again.tells(" T2_C: done after ")
    assert " T2_A: " not in again.said
    assert park.statuses("T2_A") == ["done"]


def test_when_the_machine_is_lost_the_next_run_goes_on_where_this_one_was(
    park: Park, slow_door: FaultyProxy, started: Callable[..., Started]
) -> None:
    for name in ("T2_A", "T2_B"):
        park.add(name, directories=80, door=slow_door.url, **SLOWLY)
    ours = started("--parallel", 2)
    for name in ("T2_A", "T2_B"):
        eventually(f"{name} was listed", lambda name=name: park.listed(name) > 3, ours.process)  # type: ignore[misc]
    for victim in [*processes_below(ours.process.pid), ours.process.pid]:
        os.kill(victim, signal.SIGKILL)
    ours.process.communicate()
    slow_door.fault = Fault()
    done = rows(run("run", "--once", "--gap", 0, "--json", cwd=park.home))
    assert all(row["results"]["resumed"] > 3 for row in done.values())
    assert counts(done["T2_A"]) == counts(done["T2_B"]) == (160, 1, 1)


def test_checks_of_others_count_and_are_named(
    park: Park, slow_door: FaultyProxy, started: Callable[..., Started]
) -> None:
    park.add("T2_A", directories=60, door=slow_door.url, **SLOWLY)
    other = start("check", "T2_A", "--json", cwd=park.home)
    eventually("T2_A was listed", lambda: park.listed("T2_A") > 3, other)
    park.add("T2_B")
    ours = started("--once", "--parallel", 1)
    ours.tells(" checks that others have begun count as well: T2_A\n")
    slow_door.fault = Fault()
    assert wait_for(other).code == 0
    assert ours.ends().code == 0
    assert " T2_B: done after " in ours.said


def test_whatever_the_environment_says_of_ages_a_site_is_checked_once(
    park: Park, started: Callable[..., Started]
) -> None:
    park.add("T2_A")
    ours = started(ListAge="2")
    ours.tells(" T2_A: done after ")
    park.add("T2_B")
    ours.tells(" T2_B: done after ")
    assert ours.said.count(" T2_A: its check begins") == 1


def test_while_the_sites_cannot_be_looked_at_nothing_is_begun_again(
    park: Park, slow_door: FaultyProxy, started: Callable[..., Started]
) -> None:
    park.add("T2_A", directories=30, door=slow_door.url, **SLOWLY, CheckEvery=0)
    ours = started()
    eventually("T2_A was listed", lambda: park.listed("T2_A") > 3, ours.process)
    right = (park.home / "consistency_config.json").read_text()
    (park.home / "consistency_config.json").unlink()
    ours.tells("the sites could not be looked at: ")
    assert ours.said.count(" T2_A: its check begins") == 1
    park.write()
    assert (park.home / "consistency_config.json").read_text() == right
    eventually("it goes on", lambda: ours.said.count(" T2_A: its check begins") == 2, ours.process)


def test_there_is_one_run_at_a_time(park: Park, started: Callable[..., Started]) -> None:
    park.add("T2_A")
    ours = started()
    eventually("it began", park.keeper.is_held, ours.process)
    second = run("run", cwd=park.home)
    assert (second.code, second.message) == (
        2,
        f"VarLocation: sites are being checked already by process {ours.process.pid} on {os.uname().nodename}; "
        "end that with: dynamo-consistency drain",
    )


def test_a_configuration_that_changes_counts_and_one_that_is_wrong_does_not(
    park: Park, started: Callable[..., Started]
) -> None:
    park.add("T2_A")
    ours = started()
    ours.tells(" T2_A: done after ")
    (park.home / "consistency_config.json").write_text('{"Doors": 1}')
    ours.tells("the sites could not be looked at: ")
    park.add("T2_B")
    ours.tells(" T2_B: done after ")
    assert "the configuration has changed" in ours.said
    park.keys["VarLocation"] = "elsewhere"
    park.write()
    ours.tells("the configuration has another VarLocation or WebDir, which counts when the run is begun anew")
    ours.process.send_signal(signal.SIGTERM)
    assert ours.ends().code == 3


def test_listers_of_all_checks_together_are_limited(park: Park, slow_door: FaultyProxy) -> None:
    for name in ("T2_A", "T2_B"):
        park.add(name, directories=60, door=slow_door.url, NumThreads=4, InFlight=1, Connections=1)
    process = start("run", "--once", "--gap", 0, "--pool", 3, "--json", cwd=park.home)
    most = 0
    while process.poll() is None:
        # Each lister has one connection; and before the listing each check has one, to find out about the store.
        most = max(most, slow_door.open_connections)
        time.sleep(0.02)
    done = rows(wait_for(process))
    assert counts(done["T2_A"]) == counts(done["T2_B"]) == (120, 1, 1)
    assert 3 <= most <= 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--parallel", 0), "expected 1 or more"),
        (("--site", "T3"), 'no site matches "T3"; known: T2_A'),
        (("--site", "("), "no regular expression"),
        (("--runtime", "rays"), "expected ray or threads, found 'rays'"),
        (("--runtime", "threads", "--address", "localhost:1"), "--address goes with --runtime ray"),
        (("--address", "localhost:1"), "no Ray at localhost:1: nobody answers there (Connection refused)"),
    ],
)
def test_what_is_wrong_is_said_before_anything_begins(park: Park, arguments: tuple[object, ...], message: str) -> None:
    park.add("T2_A")
    ended = run("run", *arguments, cwd=park.home)
    assert ended.code == 2
    assert message in ended.message
    assert park.statuses("T2_A") == []


def test_checks_on_ray_share_one_node(park: Park) -> None:
    park.keys["Runtime"] = "ray"
    park.add("T2_A")
    park.add("T2_B")
    ended = run("run", "--once", "--gap", 0, "--json", cwd=park.home)
    assert ended.code == 0, ended
    done = rows(ended)
    assert counts(done["T2_A"]) == counts(done["T2_B"]) == (6, 1, 1)
    dashboards = {
        line.rpartition(" ")[2]
        for name in done
        for line in park.keeper.errors(name).read_text().splitlines()
        if line.startswith("Ray dashboard: ")
    }
    assert len(dashboards) == 1
