"""A Ray cluster on this machine alone, for whoever wants one without ssh: a head, and workers beside it, on loopback.

What is started is written down, each process with when it began, so that exactly that is ended later: ``ray stop``
would end every Ray process of the user, other clusters' included.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.runtime import RuntimeUnavailable
from storage.atomic import write_json
from storage.sites.process import Owner, started_at

LOOPBACK = "127.0.0.1"
DASHBOARD_PORT = 8265

_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_LOOK_EVERY = 0.1

_STARTED = "will now block"
"""What ``ray start`` says when a node is up."""

_OBJECT_STORE = 100_000_000
"""Bytes of shared memory for Ray's objects, of which this program puts none there."""


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """The cluster that was started: where it answers, and the processes of its nodes, the head's first."""

    address: str
    dashboard: str
    nodes: tuple[Owner, ...] = ()

    @property
    def is_running(self) -> bool:
        """Whether any node of it still is there."""
        return any(node.is_alive() for node in self.nodes)


def state_directory() -> Path:
    """Give where it is written down: ``dynamo-consistency`` in the user's directory of states."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(base) / "dynamo-consistency"


def recorded(directory: Path) -> LocalCluster | None:
    """Read what was started; None when nothing was, or when what is there cannot be read."""
    try:
        value = json.loads((directory / "cluster.json").read_text())
        nodes = tuple(Owner(node["pid"], node["host"], node["start"]) for node in value["nodes"])
        return LocalCluster(value["address"], value["dashboard"], nodes)
    except (OSError, ValueError, LookupError, TypeError):
        return None


def start(
    directory: Path, port: int, dashboard_port: int | None, workers: int, resources: dict[str, float]
) -> LocalCluster:
    """Start a head and workers, and wait until all are up; ``resources`` are those of each worker, or of a lone head.

    Raises:
        RuntimeUnavailable: it runs already, a port is taken, or a node does not come up; nothing stays then.
        OSError, ReportError: it cannot be written down.
    """
    before = recorded(directory)
    if before is not None and before.is_running:
        raise RuntimeUnavailable(
            f"a cluster that was started here runs at {before.address}: use it, or end it with dynamo-consistency "
            "cluster down --local"
        )
    _must_be_free("--port", port)
    if dashboard_port is None:
        # Every node that a run starts for itself has a dashboard there.
        dashboard_port = DASHBOARD_PORT if _is_free(DASHBOARD_PORT) else _free_port()
    _must_be_free("--dashboard-port", dashboard_port)
    directory.mkdir(parents=True, exist_ok=True)
    address = f"{LOOPBACK}:{port}"
    starting = _Starting(directory, LocalCluster(address, f"http://{LOOPBACK}:{dashboard_port}"))
    own = json.dumps(resources)
    try:
        starting.node(
            "head",
            *("--head", f"--port={port}", f"--dashboard-host={LOOPBACK}", f"--dashboard-port={dashboard_port}"),
            *(f"--ray-client-server-port={_free_port()}", f"--resources={'{}' if workers else own}"),
        )
        for number in range(1, workers + 1):
            starting.node(f"worker-{number}", f"--address={address}", f"--resources={own}")
    except BaseException:
        stop(directory)
        raise
    return starting.cluster


class _Starting:
    """Starts one node after another, and writes each down at once."""

    def __init__(self, directory: Path, cluster: LocalCluster) -> None:
        self._directory = directory
        self.cluster = cluster

    def node(self, name: str, *options: str) -> None:
        log = self._directory / f"cluster-{name}.log"
        command = [
            sys.executable,
            "-P",
            "-m",
            "actors.on_ray.local_node",
            f"--node-name={name}",
            "--disable-usage-stats",
        ]
        with log.open("wb") as said:
            process = subprocess.Popen(
                [*command, f"--object-store-memory={_OBJECT_STORE}", *options],
                # It stays when this program ends, and keeps no directory from being removed.
                cwd="/",
                env={"RAY_AUTH_MODE": "token", **os.environ},
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        owner = Owner(process.pid, socket.gethostname(), started_at(process.pid))
        self.cluster = LocalCluster(self.cluster.address, self.cluster.dashboard, (*self.cluster.nodes, owner))
        write_json(self._directory / "cluster.json", _as_json(self.cluster))
        give_up = time.monotonic() + _START_SECONDS
        while _STARTED not in log.read_text(errors="replace"):
            if process.poll() is not None:
                raise RuntimeUnavailable(f"Ray's {name} did not come up: {_last_line(log)}; all that it said: {log}")
            if time.monotonic() > give_up:
                raise RuntimeUnavailable(f"Ray's {name} is not up after {_START_SECONDS:.0f} s; what it said: {log}")
            time.sleep(_LOOK_EVERY)


def stop(directory: Path) -> LocalCluster | None:
    """End what was started, the workers first; gives what it was, or None when nothing was running."""
    cluster = recorded(directory)
    if cluster is None:
        return None
    was_running = cluster.is_running
    for node in reversed(cluster.nodes):
        if node.is_alive():
            _end(node)
    _forget_address(cluster.address)
    (directory / "cluster.json").unlink(missing_ok=True)
    return cluster if was_running else None


def _end(node: Owner) -> None:
    """End a node's process and all below it: asked first, and killed after a while."""
    family = [node, *_below(node)]
    with suppress(ProcessLookupError):
        os.kill(node.pid, signal.SIGTERM)
    give_up = time.monotonic() + _STOP_SECONDS
    while any(one.is_alive() for one in family) and time.monotonic() < give_up:
        with suppress(ChildProcessError):
            # Of this process itself, where it started them.
            os.waitpid(node.pid, os.WNOHANG)
        time.sleep(_LOOK_EVERY)
    for one in family:
        if one.is_alive():
            with suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGKILL)


def _below(node: Owner) -> list[Owner]:
    """Give the processes that a process has started, and those that they have."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        # A process may end while it is looked at.
        with suppress(OSError):
            parent = int(status.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(status.parent.name))
    found: list[Owner] = []
    pending = list(children.get(node.pid, []))
    while pending:
        pid = pending.pop()
        found.append(Owner(pid, node.host, started_at(pid)))
        pending += children.get(pid, [])
    return found


def ensure_token() -> bool:
    """Make sure that this user has a token for Ray, readable by nobody else; whether it had to be made."""
    from actors.on_ray.address import has_token, make_token

    if has_token():
        return False
    make_token()
    return True


def _forget_address(address: str) -> None:
    """Remove Ray's note of which cluster was started last on this machine, if it is this one."""
    from actors.on_ray.address import note_of_address

    note = note_of_address()
    with suppress(OSError):
        if note.read_text().strip() == address:
            note.unlink()


def _must_be_free(option: str, port: int) -> None:
    try:
        _try_port(port)
    except OSError as error:
        raise RuntimeUnavailable(
            f"{LOOPBACK}:{port} cannot be listened on ({error.strerror}): {option} N takes another port"
        ) from error


def _is_free(port: int) -> bool:
    try:
        _try_port(port)
    except OSError:
        return False
    return True


def _try_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((LOOPBACK, port))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _as_json(cluster: LocalCluster) -> dict[str, Any]:
    nodes: Sequence[dict[str, Any]] = [
        {"pid": node.pid, "host": node.host, "start": node.start} for node in cluster.nodes
    ]
    return {"address": cluster.address, "dashboard": cluster.dashboard, "nodes": nodes}
