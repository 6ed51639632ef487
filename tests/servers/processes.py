"""Looks at the processes of this machine, as Linux shows them."""

from __future__ import annotations

from pathlib import Path


def processes_below(parent: int) -> set[int]:
    """Give the processes that were started by this one, directly or not."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            above = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(above, []).append(int(status.parent.name))
    pending, found = children.get(parent, []), set()
    while pending:
        found.add(pending[-1])
        pending += children.get(pending.pop(), [])
    return found


def is_running(process: int) -> bool:
    """Whether it is there, and not only waits for its parent to take note of its end."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
