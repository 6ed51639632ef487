"""The same commands on Ray. One node serves all of them but one, because a node takes many seconds to start."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.xrootd_server import XRootDServer
from storage.runs.directory import RunDirectory
from storage.snapshot import part_of
from tests.cli.planted import PlantedSite, findings
from tests.cli.program import eventually, run, start, wait_for
from tests.cli.test_halt import listed
from tests.servers.ray_node import RayNode, running_ray_node


@pytest.fixture(scope="module")
def node() -> Iterator[RayNode]:
    """One node on loopback for all tests of this module."""
    with running_ray_node() as node:
        yield node


def test_a_check_on_a_cluster_finds_exactly_what_was_planted(site: PlantedSite, node: RayNode) -> None:
    site.configure(Runtime="ray", NumThreads=2)
    ended = run("check", "--address", node.address, "--json", cwd=site.home, env=node.env)
    assert ended.code == 0, ended.err
    assert findings(ended.json) == site.expected()
    site.assert_reports()
    (row,) = run("history", site.name, "--json", cwd=site.home).json["runs"]
    assert (row["status"], row["runtime"]) == ("incomplete", "ray")


def test_errors_keep_their_words_across_processes(site: PlantedSite, node: RayNode) -> None:
    in_the_way = site.home / "www" / f"{site.name}_compare_missing.txt"
    in_the_way.mkdir(parents=True)
    ended = run("check", "--runtime", "ray", cwd=site.home, env={**node.env, "RAY_ADDRESS": node.address})
    assert ended.code == 2
    assert f"WebDir: {in_the_way}: cannot be written: it is a directory" in ended.err


def test_a_run_on_a_cluster_is_halted_and_gone_on_with(
    start_xrootd: Callable[..., XRootDServer], tmp_path: Path, node: RayNode
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
