"""A real Prometheus that collects from real runs, both ways: from their files, and from Ray's metrics port."""

from __future__ import annotations

import json
import math
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.planted import PlantedSite
from tests.cli.program import Ended, eventually, run, start, wait_for
from tests.servers.faulty_proxy import FORWARD, Fault, FaultyProxy
from tests.servers.prometheus import Prometheus, running_prometheus, serving_files
from tests.servers.ray_node import RayNode, running_ray_node
from tests.servers.xrootd import XRootDServer

MONITORING = Path(__file__).parents[2] / "docs/monitoring"
WAYS = ("textfile", "ray")

_SLOW = Fault(delay=0.3)
"""Slow enough for a listing to be looked at, with few requests at a time."""

_WIDE = 1000
_RATE = "15s"
_PATIENCE = 120.0


@dataclass(frozen=True)
class Query:
    """A query of the board, and where it stands."""

    panel: str
    text: str

    def of(self, way: str, site: str) -> str:
        """Give it as Grafana would send it, for one site, and for the figures that came this way alone."""
        chosen = self.text.replace('site=~"$site"', f'site=~"{site}",job="{way}"')
        return chosen.replace("$__rate_interval", _RATE)


def queries() -> list[Query]:
    """Give all queries of the board."""
    board = json.loads((MONITORING / "grafana-board.json").read_text())
    return [
        Query(panel["title"], target["expr"])
        for panel in board["panels"]
        if panel["type"] != "row"
        for target in panel["targets"]
    ]


@dataclass
class Watched:
    """Two runs of a site that were watched: ``jobs`` and ``actors`` are what Ray's dashboard said during the
    second, and ``log`` what its coordinator wrote into its log.
    """

    site: PlantedSite
    prometheus: Prometheus
    node: RayNode
    door: str
    began: float = field(default_factory=time.time)
    ended: Ended | None = None
    jobs: list[dict[str, Any]] = field(default_factory=list)
    actors: list[dict[str, Any]] = field(default_factory=list)
    log: str = ""

    def has_data(self, query: Query, way: str) -> bool:
        """Whether a query has given any number since the beginning."""
        text, now = query.of(way, self.site.name), time.time()
        asked = self.prometheus.ask("query_range", query=text, start=self.began, end=now, step=1)
        return any(math.isfinite(float(value)) for series in asked["result"] for _, value in series["values"])

    def without_data(self) -> list[tuple[str, str, str]]:
        """Give the queries that have given nothing so far: way, panel and query."""
        return [(way, query.panel, query.text) for way in WAYS for query in queries() if not self.has_data(query, way)]


@pytest.fixture(scope="module")
def watched(xrootd_server: XRootDServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A site that has been checked twice, with figures of all that happened; one of its doors was dead."""
    home = tmp_path_factory.mktemp("monitored")
    store = xrootd_server.store / "monitored"
    store.mkdir()
    more = {"RAY_metrics_report_interval_ms": "3000"}
    with (
        FaultyProxy(int(xrootd_server.url.rpartition(":")[2])) as slow,
        FaultyProxy(1) as dead,
        running_ray_node(more) as node,
    ):
        dead.shut()
        site = PlantedSite(home, store, "/store/monitored", slow.url, wide=_WIDE)
        site.configure(
            Doors=[slow.url, dead.url],
            Layout="shared",
            Runtime="ray",
            NumThreads=2,
            InFlight=4,
            MaxMissing=1,
            MetricsDir="metrics",
        )
        (home / "metrics").mkdir()
        rules = [MONITORING / "alerts.yaml"]
        with (
            serving_files(home / "metrics") as textfiles,
            running_prometheus(home / "prometheus", _configuration(textfiles, node), rules) as prometheus,
        ):
            watched = Watched(site, prometheus, node, slow.url.removeprefix("root://"))
            _check_twice(watched, slow)
            yield watched
        site.unlock()


def _configuration(textfiles: str, node: RayNode) -> dict[str, Any]:
    """Give the configuration of the documentation, with the ports of here and short intervals."""
    documented = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    ray = next(job for job in documented["scrape_configs"] if job["job_name"] == "ray")
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "scrape_configs": [
            {"job_name": "textfile", "static_configs": [{"targets": [textfiles]}]},
            {**ray, "static_configs": [{"targets": [f"127.0.0.1:{node.metrics_port}"]}]},
        ],
    }


def _check_twice(watched: Watched, door: FaultyProxy) -> None:
    site, node = watched.site, watched.node
    check = ("check", site.name, "--address", node.address, "--json")
    first = run(*check, cwd=site.home, env=node.env)
    assert first.code == 0, first.err
    door.fault = _SLOW
    process = start(*check, cwd=site.home, env=node.env)
    try:
        _look(watched, process)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    door.fault = FORWARD
    watched.ended = wait_for(process)


def _look(watched: Watched, process: subprocess.Popen[str]) -> None:
    """Take note of what a run shows, until there is data for all queries, or it has ended."""
    site, node = watched.site, watched.node
    slow = f'max by (job) (dynamo_consistency_door_latency_seconds{{door="{watched.door}"}}) > 0.2'
    eventually("the door is slow, both ways", lambda: set(watched.prometheus.values(slow, "job")) == set(WAYS), process)
    watched.jobs = node.see("/api/jobs/")
    watched.actors = node.see("/api/v0/actors?limit=1000")["data"]["result"]["result"]
    processes = {actor["name"]: actor["pid"] for actor in watched.actors if actor["state"] == "ALIVE"}
    watched.log = node.log_of(processes[f"coordinator:{site.name}"])
    give_up = time.monotonic() + _PATIENCE
    while watched.without_data() and process.poll() is None and time.monotonic() < give_up:
        time.sleep(1)
