"""Opening a lister for a store, by the scheme of its doors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from storage.listers.doors import Door, SpreadLister
from storage.listers.protocol import Lister, Sink, StoreSpec


def open_lister(spec: StoreSpec, sink: Sink) -> Lister:
    """Open a lister that spreads its requests over all doors of a store.

    The module of a protocol, and the library below it, are imported when a door asks for them.

    Raises:
        ValueError: there is no door, or one that no lister knows how to open.
    """
    if not spec.doors:
        raise ValueError("a store without a door")
    openers = [_opener(Door.parse(url), spec) for url in spec.doors]
    return openers[0](sink) if len(openers) == 1 else SpreadLister(openers, sink)


def _opener(door: Door, spec: StoreSpec) -> Callable[[Sink], Lister]:
    match door.scheme:
        case "root" | "roots" | "xroot" | "xroots":
            from storage.listers.xrootd import XRootDLister

            return partial(XRootDLister, door, timeout=spec.timeout, connections=spec.connections)
        case "file":
            from storage.listers.posix import PosixLister

            return partial(PosixLister, door, timeout=spec.timeout)
        case "memory":
            from storage.listers.memory import MemoryLister

            return partial(MemoryLister, door, timeout=spec.timeout)
        case other:
            raise ValueError(f"no lister for doors of the scheme {other!r}")
