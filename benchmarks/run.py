"""Runs benchmarks and prints their tables: ``python -m benchmarks.run [--quick] [NAME…]``.

Exit codes: 0 done, 1 a program failed or two programs disagreed, 2 something is not installed or was misspelt.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from benchmarks import certainty, comparing, far, incremental, listing, ray_overhead, scale, startup
from benchmarks.machine import machine_line
from benchmarks.measure import Broken, Measured, Row, Unavailable

BENCHMARKS: dict[str, Callable[[bool], list[Row]]] = {
    "startup": startup.run,
    "listing": listing.run,
    "certainty": certainty.run,
    "incremental": incremental.run,
    "far": far.run,
    "ray_overhead": ray_overhead.run,
    "comparing": comparing.run,
    "scale": scale.run,
}

HEADINGS = (
    "work",
    "ours, s",
    "peer",
    "peer, s",
    "ratio",
    "CPU s, ours / peer",
    "peak MB, ours / peer",
    "runs",
    "notes",
)


def seconds(measured: Measured | None) -> str:
    """Show a median."""
    return "-" if measured is None else f"{measured.seconds:.3f}"


def pair(ours: Measured | None, peer: Measured | None, show: Callable[[Measured], str]) -> str:
    """Show a figure of both sides."""
    return " / ".join("-" if side is None else show(side) for side in (ours, peer))


def cells(row: Row) -> tuple[str, ...]:
    """Turn a row into the words of one line of the table; a ratio below 1 means that we are faster."""
    ours, peer = row.ours, row.peer
    return (
        row.work,
        seconds(ours),
        row.peer_name or "-",
        seconds(peer),
        f"{ours.seconds / peer.seconds:.2f}" if ours and peer else "-",
        pair(ours, peer, lambda side: f"{side.cpu:.2f}" if side.cpu else "-"),
        pair(ours, peer, lambda side: f"{side.peak / 1e6:.0f}" if side.peak else "-"),
        str(max(side.runs for side in (ours, peer) if side)),
        row.note,
    )


def table(rows: Sequence[Row]) -> str:
    """Lay rows out as a Markdown table."""
    lines = [HEADINGS, *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


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
