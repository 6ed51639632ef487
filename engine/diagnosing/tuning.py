"""What a short measurement says of how much a door should be asked at a time.

A door handles one connection's requests one after another; far away, most of the time goes by on the way. So what all
directories take at once on one connection tells what the door needs for each, what one takes alone tells the way, and
what they take on several connections whether the door works on several at a time. `engine.pace` finds out the same, and
more, in a run: what is suggested here are limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from engine.diagnosing.facts import SpeedSample

_GAIN = 1.3
"""From such a factor on several connections are worth it."""

_QUICK = 0.005
"""Where a directory takes less than so many seconds, what a few take is chance, and the defaults do."""

_QUEUED = 0.6
"""One connection's requests are handled one after another when all take this share of what each takes alone, summed."""

_ROOM = 4.0
"""So many times as much as was found to be of use is left as room."""

_LEAST_IN_FLIGHT = 64
_MOST_IN_FLIGHT = 512
_FEW_CONNECTIONS = 4
_MOST_CONNECTIONS = 16

_FILES_OF_A_LISTER = 250_000.0
"""Files a second that one lister takes in; see ``docs/benchmarks.md``."""


class Kind(StrEnum):
    """What the time goes into."""

    QUICK = "quick"
    """Neither the way nor the work takes long."""
    FAR = "far"
    """Most of it goes by on the way, so that many requests may be under way at a time."""
    QUEUED = "queued"
    """The door has work with each, and takes those of several connections at a time."""
    BUSY = "busy"
    """It has work with each, and more connections change nothing."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Limits that suit a door, and the rates that were measured: directories and files a second."""

    kind: Kind
    listers: int
    in_flight: int
    connections: int
    directories: float
    files: float


def suggest(sample: SpeedSample) -> Suggestion:
    """Say what suits the door that a sample was taken of."""
    count = max(1, sample.directories)
    alone, on_one, on_several = (max(seconds, 1e-6) for seconds in (sample.alone, sample.on_one, sample.on_several))
    kind = _kind(count, alone, on_one, on_several)
    connections = _FEW_CONNECTIONS if kind is Kind.BUSY else _MOST_CONNECTIONS
    # What the door needs for each once the way does not count; as many fit on the way as it does meanwhile.
    service = max((on_one - alone) / max(1, count - 1), alone / _MOST_IN_FLIGHT)
    wanted = _MOST_IN_FLIGHT if kind is Kind.QUICK else ceil(_ROOM * connections * alone / service)
    in_flight = min(_MOST_IN_FLIGHT, max(_LEAST_IN_FLIGHT, 1 << (wanted - 1).bit_length()))
    rate = count / min(on_one, on_several)
    files = rate * sample.files / count
    # On more connections than were tried it may be as much faster as it was on these.
    most = files * (connections / sample.connections if kind is Kind.QUEUED else 1.0)
    return Suggestion(kind, max(1, ceil(most / _FILES_OF_A_LISTER)), in_flight, connections, rate, files)


def _kind(count: int, alone: float, on_one: float, on_several: float) -> Kind:
    if alone < _QUICK:
        return Kind.QUICK
    if count < 2 or on_one < _QUEUED * alone * count:
        return Kind.FAR
    return Kind.QUEUED if on_one / on_several >= _GAIN else Kind.BUSY
