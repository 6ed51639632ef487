"""Opening a lister for a store, by its access method and the scheme of its doors.

Another package adds a scheme with an entry point that refers to a `ListerFactory`; see CONTRIBUTING.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import entry_points
from typing import Protocol, TypeAlias

from engine import paths
from engine.outage import OutageLimits
from engine.pace import PaceLimits
from storage.door_url import LISTERS
from storage.listers.doors import Door, SpreadLister
from storage.listers.merged import MergedLister
from storage.listers.paced import PacedLister, Spreadable
from storage.listers.patient import PatientLister
from storage.listers.protocol import DIRECTX, GFAL, WIRE, Lister, Sink, StoreSpec

_AUTO = WIRE
"""What talks to XRootD doors where nobody said."""

_QUEUED = 2
"""Requests that a lister over HTTP has in hand for each connection that it may open."""

_NEVER_AWAY = ("file", "memory", "dump")
"""The schemes of what cannot be reached only if it is not there."""


_Open: TypeAlias = Callable[[Door, StoreSpec, Sink, int], Spreadable]


class ListerFactory(Protocol):
    """Makes a lister for one door of a store. Of the spec only timeout and connections are its business."""

    def __call__(self, door: Door, sink: Sink, *, timeout: float, connections: int) -> Lister:
        """Open the lister; a ``ValueError`` says why the door cannot be used."""


def open_lister(spec: StoreSpec, sink: Sink) -> Lister:
    """Open a lister that spreads its requests over all doors of a store, or asks all members of a clustered one.

    The module of a protocol, and the library below it, are imported when a door asks for them.

    Raises:
        ValueError: there is no door, or one that no lister knows how to open.
    """
    if not spec.doors:
        raise ValueError("a store without a door")
    doors = [Door.parse(url) for url in spec.doors]
    openers = [_opener(door, spec) for door in doors]
    if spec.open_ended or (spec.clustered and len(openers) > 1):
        names = [door.host or paths.decode(door.prefix) for door in doors]
        return MergedLister(names, openers, sink, spec.open_ended, _limits(doors, spec), spec.has_answered)
    opener = openers[0] if len(openers) == 1 else partial(SpreadLister, openers, twice=True)
    limits = _limits(doors, spec)
    return opener(sink) if limits is None else PatientLister(opener, sink, limits, spec.has_answered)


def check_doors(spec: StoreSpec) -> None:
    """Make sure that there is a lister for each door, without opening any.

    Raises:
        ValueError: there is none; the message says why.
    """
    for url in spec.doors:
        _opener(Door.parse(url), spec)


def _limits(doors: Sequence[Door], spec: StoreSpec) -> OutageLimits | None:
    """Say how long a store that goes away is waited for; None for one that cannot."""
    if any(door.scheme in _NEVER_AWAY for door in doors):
        return None
    is_part = spec.clustered and len(doors) > 1
    return OutageLimits.of_part(spec.timeout, spec.tries) if is_part else OutageLimits.of_whole(spec.timeout)


def _opener(door: Door, spec: StoreSpec) -> Callable[[Sink], Lister]:
    if spec.method == DIRECTX:
        return _directx(door, spec)
    if spec.method == GFAL:
        from storage.listers.gfal import GfalLister

        # So many run at the site, whatever the number of its doors.
        return partial(GfalLister, door, timeout=spec.timeout, processes=spec.connections // len(spec.doors))
    match door.scheme:
        case "root" | "roots" | "xroot" | "xroots":
            return _xrootd(door, spec)
        case "davs" | "https" | "dav" | "http":
            return _over_http(door, spec, _open_webdav)
        case "s3" | "s3+http":
            return _over_http(door, spec, _open_s3)
        case "file":
            from storage.listers.posix import PosixLister

            return partial(PosixLister, door, timeout=spec.timeout)
        case "memory":
            from storage.listers.memory import MemoryLister

            return partial(MemoryLister, door, timeout=spec.timeout)
        case "dump":
            from storage.listers.dump import DumpLister

            return partial(DumpLister, door, timeout=spec.timeout)
        case other:
            return _added(other, door, spec)


def _xrootd(door: Door, spec: StoreSpec) -> Callable[[Sink], Lister]:
    open_one = _by_bindings if (spec.method or _AUTO) != WIRE else _by_wire
    limits = PaceLimits(spec.in_flight, spec.connections)
    return partial(PacedLister, door.host, partial(open_one, door, spec), limits=limits)


# Doors of one file system give the same ids, the members of a cluster their own.


def _by_bindings(door: Door, spec: StoreSpec, sink: Sink, connections: int) -> Spreadable:
    from storage.listers.xrootd import XRootDLister

    return XRootDLister(door, sink, spec.timeout, connections, with_ids=not spec.clustered)


def _by_wire(door: Door, spec: StoreSpec, sink: Sink, connections: int) -> Spreadable:
    from storage.listers.wire.lister import WireLister

    # The library is loaded only where a server wants what it alone can do.
    library = partial(_by_bindings, door, spec)
    return WireLister(door, sink, spec.timeout, connections, not spec.clustered, library)


def _over_http(door: Door, spec: StoreSpec, open_one: _Open) -> Callable[[Sink], Lister]:
    # A connection takes one request at a time; some more in hand have the next one there when it has answered.
    limits = PaceLimits(min(spec.in_flight, _QUEUED * spec.connections), spec.connections)
    return partial(PacedLister, door.host, partial(open_one, door, spec), limits=limits)


def _open_webdav(door: Door, spec: StoreSpec, sink: Sink, connections: int) -> Spreadable:
    from storage.listers.webdav.lister import WebDavLister

    return WebDavLister(door, sink, spec.timeout, connections)


def _open_s3(door: Door, spec: StoreSpec, sink: Sink, connections: int) -> Spreadable:
    from storage.listers.s3 import S3Lister

    return S3Lister(door, sink, spec.timeout, connections)


def _directx(door: Door, spec: StoreSpec) -> Callable[[Sink], Lister]:
    if door.scheme not in ("root", "roots", "xroot", "xroots"):
        raise ValueError(f"the method {DIRECTX} asks XRootD doors, which one of the scheme {door.scheme!r} is not")
    from storage.listers.directx import DirectXLister

    return partial(DirectXLister, door, timeout=spec.timeout, connections=spec.connections)


def _added(scheme: str, door: Door, spec: StoreSpec) -> Callable[[Sink], Lister]:
    """Look for a lister that another package brings."""
    found = entry_points(group=LISTERS, name=scheme)
    if not found:
        raise ValueError(f"no lister for doors of the scheme {scheme!r}")
    make: ListerFactory = next(iter(found)).load()
    return partial(_call, make, door, spec)


def _call(make: ListerFactory, door: Door, spec: StoreSpec, sink: Sink) -> Lister:
    return make(door, sink, timeout=spec.timeout, connections=spec.connections)
