"""The same commands on Ray. One node serves all of them but one, because a node takes many seconds to start."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.xrootd_server import XRootDServer
from storage.rundir import RunDirectory
from storage.snapshot import part_of
from tests.cli.planted import PlantedSite, findings
from tests.cli.program import PATIENCE, environment, eventually, run, start, wait_for
from tests.cli.test_halt import listed

_SERVE = """
import sys
import ray
from actors.ray_runtime import RayRuntime
runtime = RayRuntime()
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
runtime.shutdown()
"""


@dataclass(frozen=True)
class Node:
    """A Ray node of another process: its address, and what a client's environment needs to reach it."""

    address: str
    env: dict[str, str]


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """One node on loopback for all tests of this module, with a token that is theirs alone."""
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE],
        env=environment(**token),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address
        # Without the last one Ray's client takes a loopback address for one that others should reach, and asks there.
        yield Node(address, {**token, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"})
    finally:
        process.communicate(timeout=PATIENCE)


def test_a_check_on_a_cluster_finds_exactly_what_was_planted(site: PlantedSite, node: Node) -> None:
    site.configure(Runtime="ray", NumThreads=2)
    ended = run("check", "--address", node.address, "--json", cwd=site.home, env=node.env)
    assert ended.code == 0, ended.err
    assert findings(ended.json) == site.expected()
    site.assert_reports()
    (row,) = run("history", site.name, "--json", cwd=site.home).json["runs"]
    assert (row["status"], row["runtime"]) == ("incomplete", "ray")


def test_errors_keep_their_words_across_processes(site: PlantedSite, node: Node) -> None:
    (site.home / "www").write_text("in the way")
    ended = run("check", "--runtime", "ray", cwd=site.home, env={**node.env, "RAY_ADDRESS": node.address})
    assert ended.code == 2
    assert f"WebDir: {site.home}/www: " in ended.err


def test_a_run_on_a_cluster_is_halted_and_gone_on_with(
    start_xrootd: Callable[..., XRootDServer], tmp_path: Path, node: Node
) -> None:
    server = start_xrootd()
    (server.store / "site").mkdir()
    site = PlantedSite(tmp_path, server.store / "site", "/store/site", server.url, wide=2000)
    site.configure(Runtime="ray")
    check = ("check", "--address", node.address, "--json")
    process = start(*check, "--in-flight", "1", cwd=site.home, env=node.env)
    journal = part_of(RunDirectory(site.home / "var", site.name).listing)
    eventually("anything was listed", lambda: listed(journal) > 3, process)
    server.pause()
    process.send_signal(signal.SIGTERM)
    ended = wait_for(process)
    assert ended.code == 3
    assert ended.out == ""
    assert ended.err.endswith("; the next check goes on from there\n")
    server.resume()
    again = run(*check, cwd=site.home, env=node.env)
    assert again.json["resumed"] > 3
    assert findings(again.json) == site.expected()
    site.unlock()


def test_without_an_address_a_node_is_started_and_its_dashboard_named(site: PlantedSite) -> None:
    ended = run("list", site.source, "--runtime", "ray", "--json", cwd=site.home)
    assert ended.code == 0
    assert ended.json["files"] == site.files
    assert ended.err.startswith("Ray dashboard: http://127.0.0.1:")
    assert ended.err.count("\n") == 1


def test_an_address_where_no_ray_answers(site: PlantedSite) -> None:
    ended = run("list", site.source, "--runtime", "ray", "--address", "127.0.0.1:1", cwd=site.home)
    assert ended.code == 2
    assert ended.message.startswith("no Ray at 127.0.0.1:1: ")
