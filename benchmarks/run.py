"""Runs benchmarks and prints their tables: ``python -m benchmarks.run [--quick] [NAME…]``.

Exit codes: 0 done, 1 a program failed or two programs disagreed, 2 something is not installed or was misspelt.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from benchmarks import (
    certainty,
    comparing,
    coordinator,
    dump_formats,
    far,
    fleet,
    incremental,
    listing,
    nodes,
    plans,
    ray_overhead,
    scale,
    startup,
    webdav,
)
from benchmarks.machine import machine_line
from benchmarks.measure import Broken, Row, Unavailable
from benchmarks.tables import table

BENCHMARKS: dict[str, Callable[[bool], list[Row]]] = {
    "startup": startup.run,
    "listing": listing.run,
    "webdav": webdav.run,
    "certainty": certainty.run,
    "incremental": incremental.run,
    "fleet": fleet.run,
    "nodes": nodes.run,
    "plans": plans.run,
    "far": far.run,
    "ray_overhead": ray_overhead.run,
    "coordinator": coordinator.run,
    "comparing": comparing.run,
    "dump_formats": dump_formats.run,
    "scale": scale.run,
}


def main() -> int:
    """Run what the command line names, everything by default."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run", description="Measures this program against peers."
    )
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer runs")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; all by default")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]}; there are {', '.join(BENCHMARKS)}")
    rows: list[Row] = []
    status = 0
    for name in arguments.names or BENCHMARKS:
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            rows += BENCHMARKS[name](arguments.quick)
        except Unavailable as error:
            print(f"{name}: {error}", file=sys.stderr)
            status = 2
        except Broken as error:
            print(f"{name}: {error}", file=sys.stderr)
            status = status or 1
    if rows:
        print(f"{machine_line()}{', quick' if arguments.quick else ''}\n\n{table(rows)}")
    return status


if __name__ == "__main__":
    sys.exit(main())
