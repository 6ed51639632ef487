"""A Ray node of a process of its own, on loopback, for tests and benchmarks."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_SERVE = """
import sys
import ray
from actors.ray_runtime import RayRuntime
runtime = RayRuntime()
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
runtime.shutdown()
"""

_STOP_SECONDS = 60.0


@dataclass(frozen=True)
class RayNode:
    """A running node: its address, and what a client's environment needs to reach it."""

    address: str
    env: dict[str, str]


@contextmanager
def running_ray_node() -> Iterator[RayNode]:
    """Start a node with a token that is its own, and end it afterwards."""
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE],
        env=os.environ | token,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address
        yield RayNode(address, token)
    finally:
        process.communicate(timeout=_STOP_SECONDS)
