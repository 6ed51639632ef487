"""Run as a program: ``ray start`` with all of it on the loopback interface, of the head and of workers alike."""

from __future__ import annotations

import sys
from typing import Any

LOOPBACK = "127.0.0.1"


def main() -> None:
    """Run ``ray start`` with the arguments of the command line."""
    from ray._private import services
    from ray.scripts import scripts

    # Ray replaces a loopback address by one that others can reach; this is where it asks for that one.
    unpatched: Any = services
    unpatched.get_node_ip_address = lambda address=None: LOOPBACK
    scripts.start.main(args=["--block", f"--node-ip-address={LOOPBACK}", *sys.argv[1:]], prog_name="ray start")


if __name__ == "__main__":
    main()
