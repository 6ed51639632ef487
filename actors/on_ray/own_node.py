"""Run as a program: a Ray node of its own for others on this machine to use, until stdin ends.

The first line of stdin is the token that the node asks for. It prints the node's address, or ``auto`` where a cluster
runs on this machine already, and starts nothing then.
"""

from __future__ import annotations

import os
import sys

from actors.deployment import with_token

_START = "start"


def main() -> None:
    """Start the node, say where it is, and wait."""
    if sys.argv[1:] != [_START]:
        token = sys.stdin.readline().strip()
        from actors.on_ray.address import current_cluster

        if current_cluster() is not None:
            print("auto", flush=True)
            return
        # Ray looks at its environment when it is loaded, which it is by now.
        again = [sys.executable, "-m", "actors.on_ray.own_node", _START]
        os.execve(sys.executable, again, {**os.environ, **with_token(token)})
    from actors.on_ray.runtime import RayRuntime
    from actors.runtime import RuntimeUnavailable

    try:
        runtime = RayRuntime()
    except RuntimeUnavailable as error:
        sys.exit(str(error))
    try:
        print(runtime.address, flush=True)
        sys.stdin.read()
    finally:
        runtime.shutdown()


if __name__ == "__main__":
    main()
