"""Lays out what was measured as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.measure import Measured, Row

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
