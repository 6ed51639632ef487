"""Many sites on a cluster of two nodes, one of which is lost while a coordinator dies and a site is halted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cli.xrootd_server import XRootDServer
from storage.runs.directory import RunDirectory
from storage.snapshot import part_of
from tests.cli.park import OLD, Park, counts, rows
from tests.cli.program import eventually, run, start, wait_for
from tests.servers.faulty_proxy import Fault, FaultyProxy
from tests.servers.fixtures import ServedDirectory
from tests.servers.processes import processes_below
from tests.servers.ray_cluster import RayCluster, ray_cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster() as cluster:
        cluster.start_head("--labels", "region=south", "--include-dashboard=false")
        yield cluster


@pytest.fixture
def park(tmp_path: Path, xrootd_directory: ServedDirectory) -> Park:
    keys = {"Runtime": "ray", "IgnoreAge": 0, "NumThreads": 2, "InFlight": 2}
    return Park(tmp_path, xrootd_directory, keys=keys)


@pytest.fixture
def slow_door(xrootd_directory: ServedDirectory) -> Iterator[FaultyProxy]:
    # So slow that a listing by it goes on until the door is mended, however slow this machine is.
    with FaultyProxy(int(xrootd_directory.url.rpartition(":")[2]), Fault(delay=1.0)) as proxy:
        yield proxy


def holder_of(path: Path) -> int:
    """Give the process that has a file open."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if os.readlink(link) == str(path):
                return int(link.parts[2])
    raise AssertionError(f"nobody has {path} open")


def kill_with_all_below(process: int) -> None:
    for victim in [process, *processes_below(process)]:
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


@pytest.mark.timeout(900)
def test_a_node_and_a_coordinator_are_lost_and_a_site_is_halted(
    cluster: RayCluster,
    park: Park,
    slow_door: FaultyProxy,
    start_xrootd: Callable[..., XRootDServer],
) -> None:
    park.add("T2_SMALL")
    park.add("T2_LOCKED", directories=5)
    (park.served.path / "T2_LOCKED" / "d004").chmod(0o000)
    for name in ("T2_LARGE", "T2_ORPHANED", "T2_HALTED"):
        park.add(name, directories=150, door=slow_door.url)
    worker = cluster.add_node()
    process = start(
        *("run", "--once", "--gap", 0, "--parallel", 5, "--address", cluster.address, "--json"),
        cwd=park.home,
        env=cluster.env,
    )
    for name in ("T2_LARGE", "T2_ORPHANED", "T2_HALTED"):
        eventually(f"{name} was listed", lambda name=name: park.listed(name) > 3, process)  # type: ignore[misc]

    kill_with_all_below(worker.pid)
    os.kill(holder_of(part_of(RunDirectory(park.home / "var", "T2_ORPHANED").listing)), signal.SIGKILL)
    assert run("halt", "T2_HALTED", "--wait", 60, cwd=park.home, env=cluster.env).code == 0
    listed = park.listed("T2_HALTED")
    slow_door.fault = Fault()

    ended = wait_for(process)
    (park.served.path / "T2_LOCKED" / "d004").chmod(0o755)
    done = rows(ended)
    assert {name: row["ended"] for name, row in done.items()} == {
        "T2_SMALL": "done",
        "T2_LOCKED": "done",
        "T2_LARGE": "done",
        "T2_ORPHANED": "done",
        "T2_HALTED": "halted",
    }, ended
    assert ended.code == 3
    assert counts(done["T2_SMALL"]) == (6, 1, 1)
    # What is in the directory that cannot be read is not called missing.
    assert (*counts(done["T2_LOCKED"]), done["T2_LOCKED"]["results"]["unlisted"]) == (8, 1, 1, 1)
    assert counts(done["T2_LARGE"]) == counts(done["T2_ORPHANED"]) == (300, 1, 1)
    assert done["T2_ORPHANED"]["results"]["resumed"] > 3
    for name in ("T2_LARGE", "T2_ORPHANED"):
        # Beside the directories, those that were in hand when their lister was lost, and what is denied twice.
        again = done[name]["results"]["requests"] - 151
        assert again <= 2 * 2 * 2 + 4, (name, again)

    # The halted one has lost nothing either.
    rest = rows(run("run", "--once", "--address", cluster.address, "--json", cwd=park.home, env=cluster.env))
    assert set(rest) == {"T2_HALTED"}
    assert counts(rest["T2_HALTED"]) == (300, 1, 1)
    assert rest["T2_HALTED"]["results"]["resumed"] >= listed > 3


def test_listers_run_where_their_placement_says(cluster: RayCluster, park: Park, slow_door: FaultyProxy) -> None:
    cluster.add_node("--resources", '{"near_a": 1}', "--labels", "region=north")
    park.add("T2_A", directories=100, door=slow_door.url, Placement={"near_a": 0.5, "region": "north"})
    process = start("check", "T2_A", "--address", cluster.address, "--json", cwd=park.home, env=cluster.env)
    eventually("T2_A was listed", lambda: park.listed("T2_A") > 3, process)
    status = run("cluster", "status", "--address", cluster.address, "--json", cwd=park.home, env=cluster.env).json
    slow_door.fault = Fault()
    assert wait_for(process).code == 0
    (north,) = [node for node in status["nodes"] if "near_a" in node["resources"]]
    assert north["labels"] == {"region": "north"}
    # Each of the two listers has taken its part of it.
    assert north["resources"]["near_a"] == {"free": 0.0, "total": 1.0}


@pytest.mark.parametrize(
    ("placement", "said"),
    [
        ({"near_b": 1}, "no node has near_b: 1; "),
        ({"region": "west"}, "no node has region: west; "),
    ],
)
def test_a_place_that_is_nowhere_is_told_of_before_anything_begins(
    cluster: RayCluster, park: Park, placement: dict[str, object], said: str
) -> None:
    park.add("T2_A", Placement=placement)
    ended = run("check", "T2_A", "--address", cluster.address, cwd=park.home, env=cluster.env)
    assert ended.code == 2
    assert f"T2_A: Placement: {said}" in ended.err.splitlines()[-1]
    assert "region: south" in ended.err
    assert park.statuses("T2_A") == []


FILL = """
import sys
import numpy, ray
from actors.on_ray.address import stay_on_loopback
stay_on_loopback()
ray.init(address=sys.argv[1], namespace="filler", log_to_driver=False)
held = [ray.put(numpy.zeros(4 << 20, dtype=numpy.uint8)) for _ in range(60)]
print("full", flush=True)
sys.stdin.read()
"""


def test_a_full_object_store_is_nothing_to_a_check(park: Park) -> None:
    park.add("T2_A", directories=20)
    # More in one answer than Ray sends without its object store.
    for number in range(3000):
        file = park.served.path / "T2_A" / "d003" / f"a-rather-long-name-of-a-file-{number:050d}.root"
        file.touch()
        os.utime(file, (OLD, OLD))
    with ray_cluster() as small:
        # Three times as much is put into it and held; without a place to put that aside Ray maps files instead.
        size = ("--object-store-memory", str(80 << 20))
        small.start_head(*size, env={"RAY_automatic_object_spilling_enabled": "0"})
        with subprocess.Popen(
            [sys.executable, "-c", FILL, small.address],
            env={**os.environ, **small.env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as filler:
            assert filler.stdout is not None
            assert filler.stdout.readline() == "full\n"
            ended = run("check", "T2_A", "--address", small.address, "--json", cwd=park.home, env=small.env)
            assert ended.code == 0, ended
            assert (ended.json["files"], ended.json["missing"], ended.json["orphan"]) == (3040, 1, 3001)
            filler.communicate("")
