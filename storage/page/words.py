"""How the page writes numbers, times, sizes and addresses.

Times are in UTC. What is not known is a dash.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from urllib.parse import quote

from engine import paths
from storage.runs.directory import directory_name

UNKNOWN = "-"

_TB = 1e12
_LONGEST_STEM = 180
"""Bytes of a file's name that the site may take; with an ending it has to stay below 255."""


def number(value: int | None) -> str:
    """Group the digits by commas."""
    return UNKNOWN if value is None else f"{value:,}"


def counted(value: int, one: str, many: str) -> str:
    """Give a number with its noun."""
    return f"{value:,} {one if value == 1 else many}"


def terabytes(value: int | None) -> str:
    """Give bytes as TB with two digits; what is there and does not reach them is ``<0.01``."""
    if value is None:
        return UNKNOWN
    if 0 < value < _TB / 200:
        return "<0.01"
    return f"{value / _TB:,.2f}"


def minutes(seconds: float | None) -> str:
    """Give seconds as minutes, with a digit behind the point up to a hundred."""
    if seconds is None:
        return UNKNOWN
    value = seconds / 60
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def file_size(size: int) -> str:
    """Give the size of a list as people say it."""
    value = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def utc(time: float | None, form: str = "%Y-%m-%d %H:%M") -> str:
    """Give a time in seconds since the epoch as date and minute."""
    if time is None:
        return UNKNOWN
    try:
        return datetime.fromtimestamp(time, UTC).strftime(form)
    except (ValueError, OverflowError, OSError):
        # A database can hold any number.
        return UNKNOWN


def stem(site: str) -> str:
    """Give what the names of a site's files begin with, as reports and the directory of a run have it."""
    return directory_name(site)


def page_name(site: str) -> str:
    """Name the page of a site; a name that no file system takes is cut, and told apart by a digest."""
    name = stem(site)
    if len(name) > _LONGEST_STEM:
        name = f"{name[:_LONGEST_STEM]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return f"{name}.html"


def address(*names: str) -> str:
    """Give the relative address of a file, every name in it percent-encoded."""
    return "/".join(quote(name, safe="") for name in names)


def shown(text: str) -> str:
    """Show a name or a message on one line; control characters and what no encoding takes are escaped."""
    return text if text.isprintable() else paths.escape(text.encode("utf-8", "surrogatepass"))
