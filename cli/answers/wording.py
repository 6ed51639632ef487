"""How answers show times, sizes and paths: for people, and exactly for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from cli.display import human_bytes
from engine.columns import UNKNOWN_SIZE
from storage.runs.reports import exact_path


def date(seconds: float) -> str:
    """Write a time in seconds since the epoch; stores and inventories give some that no calendar has."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f} s after 1970-01-01 00:00:00"


def size_words(size: int) -> str:
    """Write the size of a file."""
    return "size not known" if size == UNKNOWN_SIZE else human_bytes(size)


def known_size(size: int) -> int | None:
    """Give a size for JSON."""
    return None if size == UNKNOWN_SIZE else size


def exact(path: bytes) -> dict[str, Any]:
    """Give a path as the exact forms of reports have it: ``path``, and ``path_b64`` where it is not valid UTF-8."""
    found: dict[str, Any] = json.loads(exact_path(path) + "}")
    return found


def print_object(fields: dict[str, Any], name: str, items: Iterable[dict[str, Any]]) -> None:
    """Print one JSON object on one line, with a list at its end that may be too long to be held."""
    print(json.dumps(fields)[:-1], end=f', "{name}": [')
    separator = ""
    for item in items:
        print(separator + json.dumps(item), end="")
        separator = ", "
    print("]}")
