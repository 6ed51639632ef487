"""Run as a program: a Ray node of its own for others on this machine to use, until stdin ends.

It prints the address; where a cluster runs on this machine already, that cluster's.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Start the node, say where it is, and wait."""
    from actors.ray_runtime import RayRuntime
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
