"""When a list of files was made: what it does not have may have come later.

A file that was copied is younger than what it tells, so that what it says itself, and a date in its name, go before the
time of the file where they are earlier.
"""

from __future__ import annotations

import os
import re
import time
from calendar import timegm
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from engine import paths
from storage.inventory.compression import read_blocks
from storage.inventory.entries import read_time
from storage.inventory.errors import InventoryError
from storage.inventory.foreign.open_stream import HEAD

DAY = 86400

_NUMERIC_DATE = re.compile(r"(?<!\d)(20\d\d)[-_]?(0[1-9]|1[0-2])[-_]?(0[1-9]|[12]\d|3[01])(?!\d)")
_RUCIO_DATE = re.compile(r"(?<!\d)(0[1-9]|[12]\d|3[01])-(0[1-9]|1[0-2])-(20\d\d)(?!\d)")
_EPOCH = re.compile(r"(?<=\.)(1[0-9]{9})(?=\.|\Z)")
_RECORDED = re.compile(rb"<(?:[\w.-]+:)?(?:dump|cat)\s[^<>]*?\b(?:recorded|record[tT]ime)\s*=\s*[\"']([^\"'<]*)[\"']")
_ZONE = re.compile(rb"(?:Z|[+-][0-9]{2}:?[0-9]{2})\Z")
_FARTHEST_ZONE = 14 * 3600
"""Seconds by which a clock somewhere on earth is ahead of UTC."""


@dataclass(frozen=True, slots=True)
class Made:
    """When a list was made, in seconds since the epoch, and what says so: its content, its name or its file."""

    at: float
    by: str

    def days(self, now: float) -> float:
        """Give its age in days."""
        return (now - self.at) / DAY


def made_at(path: Path) -> Made:
    """Say when a list was made: the earliest of what its content, its name and its file say.

    Raises:
        OSError: there is no such file.
    """
    found = [Made(path.stat().st_mtime, "its file")]
    # A link may be called like no date, and what it leads to like one.
    found += [made for name in (path.name, path.resolve().name) if (made := _in_name(name)) is not None]
    recorded = _in_content(path)
    if recorded is not None:
        found.append(Made(recorded, "its content"))
    # Of several that say the same, the more telling one is named.
    return min(reversed(found), key=lambda made: made.at)


def _in_name(name: str) -> Made | None:
    """Read seconds since the epoch between dots, or a date.

    Nobody says by whose clock that day has begun, so that it counts from where it begins first.
    """
    if dated := _NUMERIC_DATE.search(name):
        year, month, day = map(int, dated.groups())
    elif dated := _RUCIO_DATE.search(name):
        day, month, year = map(int, dated.groups())
    elif seconds := _EPOCH.search(name):
        return Made(float(seconds[1]), "its name")
    else:
        return None
    return Made(float(timegm((year, month, day, 0, 0, 0))) - _FARTHEST_ZONE, "its name (UTC+14)")


def _in_content(path: Path) -> float | None:
    """Read when an XML dump was recorded; what cannot be read says nothing here."""
    with suppress(InventoryError):
        if not path.is_file():
            # A pipe could not be read again.
            return None
        with closing(read_blocks(os.fspath(path), paths.escape(os.fsencode(path)), HEAD)) as blocks:
            head = b""
            for block in blocks:
                head += block
                if len(head) >= HEAD:
                    break
        recorded = _RECORDED.search(head)
        if recorded is None or not head.lstrip().startswith((b"<", b"\xef\xbb\xbf")):
            return None
        return recorded_time(recorded[1])
    return None


def recorded_time(text: bytes) -> float | None:
    """Read a moment; one without a zone may be of any place, and counts from where it comes first."""
    try:
        at = float(read_time(text.strip()))
    except ValueError:
        return None
    return at if _ZONE.search(text.strip()) else at - _FARTHEST_ZONE


def too_old(made: Made, allowed: float) -> str:
    """Say in words that a list is older than so many days; empty when it is not, or when 0 allows any age."""
    days = made.days(time.time())
    if not allowed or days <= allowed:
        return ""
    moment = time.strftime("%Y-%m-%d %H:%M", time.gmtime(made.at))
    return (
        f"it was made {moment} UTC, as {made.by} says, {days:.1f} days ago, and DumpAge allows {allowed:g}; "
        "have a new one made, or allow more"
    )
