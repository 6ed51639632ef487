"""Runs that go on, as their files tell of them."""

from __future__ import annotations

from typing import Any

from engine.estimate import Estimate
from engine.pace import DoorPace
from engine.states import Reason
from storage.page.live import LiveRun

COUNTS = {
    "listed": 1_234_567,
    "failed": 2,
    "ignored": 3,
    "resumed": 20_000,
    "taken_over": 0,
    "files": 70_370_319,
    "bytes": 168_888_765_600_000_000,
    "queued": 5000,
    "in_flight": 498,
    "requests": 1_358_023,
}
DOOR = DoorPace("root://door.example.org:1094", 512, 16, 498, 0.0484)
FAILURES = (
    (b"/store/mc/slow", Reason.TIMEOUT, "no answer for 60 s"),
    (b"/store/data/closed", Reason.PERMISSION, ""),
)


def live_run(site: str, now: float, /, **changes: Any) -> LiveRun:
    """Give a run that lists, and began 80 minutes ago; ``now`` in seconds since the epoch."""
    values: dict[str, Any] = {
        "run": 12,
        "phase": "listing",
        "started": now - 4800,
        "phase_started": now - 4700,
        "written": now,
        "counts": COUNTS,
        "rate": 1240.25,
        "expected": 2_000_000,
        "estimate": Estimate(0.6172, 720.0),
        "doors": (DOOR,),
        "failures": FAILURES,
    }
    return LiveRun(site, **{**values, **changes})
