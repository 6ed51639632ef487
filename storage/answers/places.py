"""Directories that the program writes to: whether it can."""

from __future__ import annotations

import os
from pathlib import Path

from storage.shown import printable


def why_not_writable(directory: Path) -> str:
    """Say why files cannot be made in a directory that may still have to be made; empty when they can."""
    place = directory.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return f"{printable(str(place))} is no directory"
    if not os.access(place, os.W_OK | os.X_OK):
        return f"{printable(str(place))} may not be written by this user"
    return ""
