"""What every lister does.

A lister turns requests into outcomes, many at a time and without blocking. Retries, back-off and the question which
directory comes next are not its business; it asks once and reports faithfully.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from engine.listing import Outcome
from engine.pace import DoorPace

LONGEST_LISTED_NAME = 254
"""XRootD servers cut longer names in a listing to this many bytes, without a word.

So a listed name of this length may be the first part of another one, and a longer one is in no listing.
"""


DIRECTX = "directx"
"""The method that keeps ``xrdfs`` shells open."""

BINDINGS = "bindings"
"""The method that uses XRootD's client library."""

WIRE = "wire"
"""The method that speaks XRootD's protocol by itself, and leaves to the library what it does not speak."""

GFAL = "SRM"
"""The method that runs ``gfal-ls``."""


_COMPLETE = frozenset(("root", "roots", "xroot", "xroots", "file"))
"""The schemes whose listings of names were found to have all of them, whatever lists."""

_COMPLETE_BY_US = _COMPLETE | {"memory", "dump"}
"""Those of which our own listers get all. Servers of WebDAV leave names out, by what they can read or want to show; a
bucket's names come by the same question as its listing, and prove no more than that; and of what other packages bring
nobody knows."""


_GIVING = frozenset(
    (*("root", "roots", "xroot", "xroots"), *("davs", "https", "dav", "http"), *("s3", "s3+http"), "file", "memory")
)
"""The schemes whose listers ask for checksums."""


class Ask(IntEnum):
    """The questions a store is asked."""

    LIST = 1
    """Everything in a directory with sizes and times: `Listed` or `Failed`."""
    NAMES = 2
    """The names in a directory and nothing else: `NamesListed` or `Failed`."""
    STAT = 3
    """One path: `Present`, `Absent` or `Failed`."""
    CHECKSUM = 4
    """The checksum of one file, by the request's algorithm: `Checksum`, `NoChecksum`, `Absent` or `Failed`.

    Only a store is asked that can be; see `StoreSpec.no_checksums`.
    """


@dataclass(frozen=True, slots=True)
class Request:
    """One question. ``path`` is a canonical absolute LFN; the lister adds the prefix of its door.

    ``algorithm`` is that of a checksum (`engine.checksums.digest`).
    """

    number: int
    ask: Ask
    path: bytes
    algorithm: str = ""


CONNECTIONS = 16
"""Connections that a lister opens to a door at most, where nobody said; what is really opened its answers say."""

IN_FLIGHT = 512
"""Requests that a lister has under way at a door at most, where nobody said."""

_ON_THIS_MACHINE = 64
"""Requests that a lister of this machine's files is handed at most: what it works on at a time is far less."""


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """Everything that is needed to open listers on one store; small, frozen and picklable.

    ``doors`` are URLs that all answer for the same store: ``root://host[:port][//prefix]``, ``roots://…``,
    ``file://[/prefix]``, ``davs://host[:port][/prefix]``, ``s3://host[:port]/bucket[/prefix]``, for gfal-ls
    ``srm://…`` and ``gsiftp://…`` besides, and ``dump:///file``. The path of a door, if any, is put before each LFN.
    ``timeout`` is in seconds for one request; ``connections`` is how many each lister opens to a door at most,
    ``in_flight`` how many requests it has under way there at most; for gfal-ls, ``connections`` is how many programs it
    runs at a time in all. ``method`` says what talks to the doors: the empty one is that of their scheme.

    The doors of a ``clustered`` store each hold a part of it, and all are asked everything; it is ``open_ended`` when
    there may be further parts that nobody named, so that nothing it lacks is proved absent. A store that
    ``has_answered`` somebody in this run, or in the one that it goes on from, is away when it cannot be reached, and
    not mistyped. ``tries`` is how often a directory is asked for: so many times a part of a cluster is waited for.
    ``hollow`` are data servers that show nothing at all, for whose sake a store is open-ended.
    """

    doors: tuple[str, ...]
    timeout: float = 30.0
    connections: int = CONNECTIONS
    method: str = ""
    clustered: bool = False
    open_ended: bool = False
    has_answered: bool = False
    tries: int = 1
    hollow: tuple[str, ...] = ()
    in_flight: int = IN_FLIGHT

    @property
    def is_of_this_machine(self) -> bool:
        """Whether a lister elsewhere would see something else behind the same doors."""
        return any(door.partition(":")[0] in ("file", "memory", "dump") for door in self.doors)

    def window(self, in_flight: int) -> int:
        """Give how many requests a lister should be handed at a time, where ``in_flight`` are wished for.

        What one program after another answers only waits in a queue, and its lease on the coordinator runs out there.
        """
        doors = max(1, len(self.doors))
        # Of a cluster every door gets every request.
        spread, each = (1, doors) if self.clustered else (doors, 1)
        windows = {DIRECTX: 2 * self.connections * spread, GFAL: max(1, 2 * self.connections // each)}
        if self.method in windows:
            return windows[self.method]
        return min(in_flight, _ON_THIS_MACHINE) if self.is_of_this_machine else in_flight

    @property
    def no_checksums(self) -> str:
        """Why the store cannot be asked for checksums, in words; empty when it can."""
        schemes = {door.partition(":")[0] for door in self.doors}
        if self.method == GFAL:
            return "gfal-ls, which lists it, tells none"
        other = sorted(schemes - _GIVING)
        return f"a store behind {other[0]}:// is not asked for any" if other else ""

    @property
    def is_read_for_checksums(self) -> bool:
        """Whether a checksum is worked out here, by reading the whole file."""
        return any(door.partition(":")[0] == "file" for door in self.doors)

    @property
    def names_are_complete(self) -> bool:
        """Whether a name that is in no answer to `Ask.NAMES` is not there."""
        schemes = {door.partition(":")[0] for door in self.doors}
        return schemes <= (_COMPLETE if self.method == GFAL else _COMPLETE_BY_US)


Sink = Callable[[int, Outcome], None]
"""Takes the number of a request and its outcome. May be called from any thread; must not block or raise."""


class Lister(Protocol):
    """Asks one store through its doors."""

    @property
    def requests(self) -> int:
        """How many requests were sent to the store so far, repeated questions included."""

    def submit(self, request: Request) -> None:
        """Send one request and return at once.

        Its outcome reaches the sink exactly once, at the latest a few seconds after the lister's timeout. Unexpected
        errors reach the sink as `Failed` with `Reason.SERVER`; nothing is raised for what a store does.
        """

    def close(self) -> None:
        """Drop what is in flight and release connections and threads. Outcomes may no longer arrive."""


def window_of(lister: Lister) -> int:
    """Give how many requests a lister should have in hand at the moment, by its ``window``; not all have one."""
    window: int = getattr(lister, "window", sys.maxsize)
    return window


def paces_of(lister: Lister) -> tuple[DoorPace, ...]:
    """Give how a lister asks its doors at the moment, by its ``paces``; not all have any."""
    paces: tuple[DoorPace, ...] = getattr(lister, "paces", ())
    return paces
