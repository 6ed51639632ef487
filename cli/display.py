"""The progress line. It is drawn on a terminal only; elsewhere the program is quiet until it has a result."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actors.oversight import Progress

_EVERY = 0.2
"""Seconds between two drawings."""


class ProgressDisplay:
    """Draws how far a run is, on stderr. Used as a context; the line is gone afterwards."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._status: Any = None
        self._note = ""
        self._started = time.monotonic()
        self._drawn = 0.0

    def __enter__(self) -> ProgressDisplay:
        if sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status("starting")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def show(self, phase: str, progress: Progress) -> None:
        """Take note of the progress, and draw it when it is time to."""
        if progress.note and progress.note != self._note:
            self._note = progress.note
            print(f"dynamo-consistency: {self._label}: {progress.note}", file=sys.stderr)
        now = time.monotonic()
        if self._status is None or now - self._drawn < _EVERY:
            return
        self._drawn = now
        self._status.update(describe(self._label, phase, progress, now - self._started))


def describe(label: str, phase: str, progress: Progress, seconds: float) -> str:
    """Put a progress into one line; square brackets are escaped for rich."""
    done = progress.listed - progress.resumed + progress.failed
    parts = [
        f"{label}: {phase}",
        f"{progress.listed:,} directories",
        f"{progress.files:,} files",
        f"{done / seconds if seconds > 0 else 0:,.0f}/s",
        f"queue {progress.queued:,}",
        f"in flight {progress.in_flight:,}",
        *_pace(progress),
        f"failed {progress.failed:,}",
    ]
    if progress.resumed:
        parts.append(f"resumed {progress.resumed:,}")
    return " · ".join(parts).replace("[", "\\[")


def _pace(progress: Progress) -> list[str]:
    """Say how much the doors are asked at a time, and what the slowest one takes for an answer."""
    if not progress.doors:
        return []
    window = sum(pace.window for pace in progress.doors)
    return [f"window {window:,}", f"{max(pace.latency for pace in progress.doors) * 1000:,.0f} ms an answer"]


def human_bytes(count: int) -> str:
    """Write a number of bytes for people: ``1.5 TB``, in powers of 1000."""
    if count == 1:
        return "1 byte"
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB", "TB", "PB"):
        if abs(value) < 1000 or unit == "PB":
            return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"
        value /= 1000
    return f"{count} bytes"


def human_count(count: int, word: str, plural: str = "") -> str:
    """Write a number with its noun: ``1 file``, ``2,000 files``."""
    return f"{count:,} {word if count == 1 else plural or word + 's'}"
