"""A Ray cluster of several nodes on one machine, on loopback, each node with an environment of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_START_SECONDS = 240.0
_STOP_SECONDS = 60.0

STARTED = "will now block"
"""What ``ray start`` says when a node is up."""


def free_port() -> int:
    """Give a port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _without_rays(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith("RAY_")}


@dataclass
class RayCluster:
    """A head and the workers that were added; ``env`` is what a client needs to reach it."""

    directory: Path
    env: dict[str, str] = field(
        default_factory=lambda: {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    )
    address: str = ""
    dashboard: str = ""
    nodes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_head(self, *options: str, env: Mapping[str, str] | None = None) -> None:
        """Start the head, and wait until it is up."""
        port, dashboard = free_port(), free_port()
        self.address, self.dashboard = f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard}"
        # Paths of sockets are short, so not below pytest's directory.
        own = ("--head", f"--port={port}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1")
        ray = ("--ray-client-server-port", str(free_port()), "--temp-dir", str(self.directory / "ray"))
        self._start([sys.executable], own + ray + options, env)

    def add_node(
        self, *options: str, env: Mapping[str, str] | None = None, python: str = sys.executable
    ) -> subprocess.Popen[bytes]:
        """Start a worker, and wait until it has joined."""
        return self._start([python], (f"--address={self.address}", *options), env)

    def _start(
        self, python: list[str], options: tuple[str, ...], env: Mapping[str, str] | None
    ) -> subprocess.Popen[bytes]:
        launcher = Path(__file__).parents[2] / "actors" / "on_ray" / "local_node.py"
        log = self.directory / f"node-{len(self.nodes)}.log"
        node = self.directory / f"node-{len(self.nodes)}"
        node.mkdir()
        with log.open("wb") as said:
            process = subprocess.Popen(
                [*python, "-P", str(launcher), "--disable-usage-stats", "--num-cpus=2", *options],
                cwd=node,
                # What Ray in this process has left there is not meant for others.
                env={**_without_rays(os.environ), **self.env, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        self.nodes.append(process)
        give_up = time.monotonic() + _START_SECONDS
        while STARTED not in log.read_text(errors="replace"):
            assert process.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < give_up, log.read_text(errors="replace")
            time.sleep(0.1)
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """End a node with its processes."""
        process.send_signal(signal.SIGTERM)
        process.wait(_STOP_SECONDS)


@contextmanager
def ray_cluster() -> Iterator[RayCluster]:
    """Give a cluster without any node yet, and end those that were started."""
    directory = Path(tempfile.mkdtemp(prefix="dc-ray-"))
    cluster = RayCluster(directory)
    try:
        yield cluster
    finally:
        for process in reversed(cluster.nodes):
            if process.poll() is None:
                cluster.stop(process)
        shutil.rmtree(directory, ignore_errors=True)
