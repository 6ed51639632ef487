"""A Ray node of a process of its own, on loopback, for tests and benchmarks."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SERVE = """
import sys
import ray
from actors.on_ray.runtime import RayRuntime
runtime = RayRuntime()
print(ray.get_runtime_context().gcs_address, runtime.dashboard, ray.nodes()[0]["MetricsExportPort"])
print(ray._private.worker.global_worker.node.get_logs_dir_path(), flush=True)
sys.stdin.read()
runtime.shutdown()
"""

_STOP_SECONDS = 60.0


@dataclass(frozen=True)
class RayNode:
    """A running node: its address, and what a client's environment needs to reach it.

    ``dashboard`` is a URL, ``metrics_port`` where the node gives out the metrics of its processes,
    ``logs`` where they have their logs.
    """

    address: str
    env: dict[str, str]
    dashboard: str = ""
    metrics_port: int = 0
    logs: Path = Path()

    def see(self, path: str) -> Any:
        """Give what the dashboard's HTTP API says, which is JSON."""
        token = {"Authorization": f"Bearer {self.env['RAY_AUTH_TOKEN']}"}
        with urllib.request.urlopen(urllib.request.Request(self.dashboard + path, headers=token), timeout=60) as answer:
            return json.load(answer)

    def log_of(self, pid: int) -> str:
        """Give the log of an actor's process, which the dashboard shows where its agent has the port that it wants."""
        (file,) = self.logs.glob(f"worker-*-{pid}.err")
        return file.read_text()


@contextmanager
def running_ray_node(more: Mapping[str, str] | None = None) -> Iterator[RayNode]:
    """Start a node with a token that is its own, and end it afterwards; it and its clients have ``more`` to heed."""
    env = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), **(more or {})}
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE],
        env=os.environ | env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline().split()
        assert said
        logs = Path(process.stdout.readline().rstrip("\n"))
        yield RayNode(said[0], env, said[1], int(said[2]), logs)
    finally:
        process.communicate(timeout=_STOP_SECONDS)
