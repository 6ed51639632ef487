"""Where the files go that are put aside at a store, what is asked for each, and what becomes of it.

The names there are made of letters that every protocol carries as they are: servers disagree on what they make of
others in the name that something is moved to.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from engine import paths

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._/")

_LONGEST_NAME, _LONGEST_PATH = 200, 900
"""Bytes of a name and of a path that every store takes; what is longer goes by its number."""


@dataclass(frozen=True, slots=True)
class Order:
    """A file that something is to be done with: its number, where it is, and where it goes or lies.

    ``size`` (bytes) and ``mtime`` (seconds since the epoch) are as in `engine.plan.PlanItem`. ``aside`` is its place in
    the quarantine, empty where it goes for good at once; ``top`` is the directory there of its plan, of what was put
    aside before. ``below`` is the directory of the settings in which it was found: above that, links are as they are.
    """

    number: int
    path: bytes
    size: int
    mtime: int
    aside: bytes = b""
    is_directory: bool = False
    top: bytes = b""
    below: bytes = b"/"


class Fate(StrEnum):
    """What became of an order."""

    DONE = "done"
    DROPPED = "dropped"
    """It is not as it was found, and nothing was done."""
    FAILED = "failed"
    """Nothing was done, and it may be tried again."""
    DOUBTFUL = "doubtful"
    """Nobody knows whether it was done; asking again later will tell."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The fate of an order, and what there is to say about it."""

    fate: Fate
    said: str = ""


def place_of(quarantine: bytes, plan: str, number: int, path: bytes) -> bytes:
    """Give where an item of a plan goes: ``<quarantine>/<plan>/<LFN>``, each odd byte written as ``=`` and two digits.

    What would be too long goes by its number.
    """
    top = paths.join(quarantine, plan.encode())
    written = b"".join([b"%c" % byte if byte in _PLAIN else b"=%02X" % byte for byte in path]).lstrip(b"/")
    place = paths.join(top, written)
    if len(place) > _LONGEST_PATH or any(len(name) > _LONGEST_NAME for name in written.split(b"/")):
        return paths.join(top, b"=%d" % number)
    return place


def top_of(aside: bytes, plan: str) -> bytes:
    """Give the directory of a plan in the quarantine in which one of its items lies at ``aside``."""
    head, found, _ = aside.partition(b"/%b/" % plan.encode())
    return paths.join(head or b"/", plan.encode()) if found else paths.parent_of(aside) or b"/"
