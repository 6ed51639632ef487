"""Run as a program: a Ray node of its own for others on this machine to use, until stdin ends.

The first line of stdin is the token that the node asks for. It prints the node's address, or ``auto`` where a cluster
runs on this machine already, and starts nothing then.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Start the node, say where it is, and wait."""
    token = sys.stdin.readline().strip()
    from actors.ray_address import current_cluster
    from actors.ray_runtime import RayRuntime
    from actors.runtime import RuntimeUnavailable

    if current_cluster() is not None:
        print("auto", flush=True)
        return
    os.environ.update(environment(token))
    try:
        runtime = RayRuntime()
    except RuntimeUnavailable as error:
        sys.exit(str(error))
    try:
        print(runtime.address, flush=True)
        sys.stdin.read()
    finally:
        runtime.shutdown()


def environment(token: str) -> dict[str, str]:
    """Give what the environment of whoever uses a node with this token needs."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}


if __name__ == "__main__":
    main()
