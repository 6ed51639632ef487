"""What is simulated: a store, its inventory, its doors and all that goes wrong, drawn from a seed.

The store is honest and the doors are not. Everything that a door ever said about a directory is kept, so that what
was made of it can be held against it.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field

from engine import paths
from engine.columns import DirectoryColumns, FileColumns
from engine.index import Entry, IndexBuilder
from engine.listing import Absent, Failed, Listed, NamesListed, Outcome, Present
from engine.record import DirectoryRecord
from engine.states import Reason, State
from engine.table import DirectoryTable
from engine.work import QueueLimits
from storage.listers.protocol import Ask, Request, Sink
from tests.simulation.clockwork import Clockwork

ROOT = b"/store"
IGNORED = b"skip"
TIMEOUT = 2.0
"""Seconds after which a lister gives a request up."""

TRANSIENT = (Reason.TIMEOUT, Reason.CONNECTION, Reason.PARTIAL, Reason.SERVER, Reason.FALSE_EMPTY)
FOR_GOOD = (Reason.PERMISSION, Reason.BAD_NAME, Reason.FALSE_EMPTY, Reason.PARTIAL, Reason.CUT_SHORT)
_NAMES = (b"plain%d", b"with blank %d", b"d%d-x", b"q?%d", b"\xff%d", b"new\nline%d", b"%%41 %d", b"skip%d")


@dataclass
class Directory:
    """A directory of the store: sizes of files by name, and names of directories."""

    files: dict[bytes, int] = field(default_factory=dict)
    directories: list[bytes] = field(default_factory=list)


@dataclass(frozen=True)
class Troubles:
    """How likely each trouble is, from 0 to 1; of messages, listers and doors."""

    failing: float = 0.0
    """A request fails for a passing reason."""
    silent: float = 0.0
    """No outcome of a request ever comes, which no lister should do."""
    babble: float = 0.0
    """Something else comes than was asked for."""
    lost_message: float = 0.0
    lost_answer: float = 0.0
    twice: float = 0.0
    """A message is delivered again, later."""
    dying: float = 0.0
    """Once a second for each lister: it dies."""
    pausing: float = 0.0
    """Once a second for each lister: it stands still for some time."""
    retiring: float = 0.0
    """Once a second for each lister: it is told to take no more, and another one begins."""
    crashes: int = 0
    """So many times the run is killed or crashes before its last beginning."""


CALM = Troubles()


class World:
    """One store with its doors. ``gone`` are directories that were removed, as soon as they were."""

    def __init__(self, clockwork: Clockwork) -> None:
        chance = clockwork.chance
        self._clockwork = clockwork
        self.directories: dict[bytes, Directory] = {}
        self.inventory: dict[bytes, dict[bytes, int]] = {}
        self.asked: dict[Ask, int] = dict.fromkeys(Ask, 0)
        self.said: dict[bytes, list[Listed]] = {}
        self.failed: dict[bytes, set[Reason]] = {}
        # What times directories have; all the same, as long as nothing depends on them.
        self.times: Callable[[bytes, float], int] | None = None
        self._true: dict[bytes, Listed] = {}
        self._plant(chance)
        self.calm = chance.random() < 0.12
        self.troubles = CALM if self.calm else draw_troubles(chance)
        self.limits = QueueLimits(
            max_attempts=chance.choice((1, 2, 4)),
            first_delay=0.5,
            max_delay=4.0,
            lease_seconds=chance.choice((4.0, 10.0)),
            max_depth=chance.choice((2, 4, 40, 40, 40)),
            idle_wait=0.25,
            batch=chance.choice((1, 3, 1024)),
        )
        self.tops = self._draw_tops(chance)
        self.for_good: dict[bytes, Reason] = {}
        self.cut: dict[bytes, int] = {}
        self.gone_at: dict[bytes, float] = {}
        self.dead: list[list[float]] = [[] for _ in range(chance.choice((1, 1, 2, 3)))]
        self.slowness = [chance.choice((0.01, 0.05, 0.3)) for _ in self.dead]
        if not self.calm:
            self._spoil(chance)

    @property
    def truth(self) -> dict[bytes, Directory]:
        """Give what is on the store now."""
        return {path: held for path, held in self.directories.items() if self.exists(path)}

    def exists(self, path: bytes) -> bool:
        """Tell whether a directory is there now."""
        if path not in self.directories:
            return False
        return not any(at <= self._clockwork.now and paths.is_under(path, gone) for gone, at in self.gone_at.items())

    def too_deep(self, path: bytes) -> bool:
        """Tell whether a directory is more levels below its nearest top than is allowed."""
        tops = [top for top in self.tops if paths.is_under(path, top)]
        return min(paths.depth_of(path) - paths.depth_of(top) for top in tops) > self.limits.max_depth

    def is_down(self, door: int) -> bool:
        """Tell whether a door is dead now: it dies and comes back in turn."""
        # An odd number of moments passed means that the last one was a death.
        return bisect_left(self.dead[door], self._clockwork.now) % 2 == 1

    def inventory_table(self) -> DirectoryTable:
        """Give the inventory as the comparison takes it."""
        index, held = IndexBuilder(), {}
        for path in sorted(self.inventory, key=paths.tree_key):
            files = FileColumns.from_rows((name, size, 1) for name, size in self.inventory[path].items())
            held[path] = files
            index.add(Entry.of(DirectoryRecord(path, State.LISTED, files=files)))
        table, _, _ = index.table(lambda _offsets, _lengths: lambda row: held[table.paths[row]])
        return table

    def answer(self, request: Request) -> Outcome:
        """Answer as the store is, but for the troubles that a path has for good."""
        path = request.path
        reason = self.for_good.get(path)
        if reason is not None and (reason != Reason.FALSE_EMPTY or request.ask == Ask.LIST):
            return Failed(reason, "for good")
        match request.ask:
            case Ask.STAT:
                return self._stat(path)
            case Ask.NAMES:
                held = self.directories.get(path) if self.exists(path) else None
                if held is None:
                    return self._missing(path)
                return NamesListed(frozenset((*held.files, *self._directories_in(path, held))))
            case Ask.LIST:
                return self._listing(path) if self.exists(path) else self._missing(path)

    def _stat(self, path: bytes) -> Outcome:
        if self.exists(path):
            return Present(0, 1, True)
        above = paths.parent_of(path) or b"/"
        size = self.directories[above].files.get(paths.name_of(path)) if self.exists(above) else None
        return Absent() if size is None else Present(size, 1, False)

    @staticmethod
    def _missing(path: bytes) -> Failed:
        return Failed(Reason.NOT_FOUND, paths.escape(path))

    def _listing(self, path: bytes) -> Outcome:
        listing = self._true.get(path)
        if listing is None or self.times is not None:
            held = self.directories[path]
            # Servers have an order of their own; a listing that shows directories alone looks like an empty one.
            order = sorted((*held.directories, *held.files), key=held.files.__contains__)
            kept = set(order[: self.cut.get(path)])
            listing = self._true[path] = Listed(
                FileColumns.from_rows((name, size, 1) for name, size in held.files.items() if name in kept),
                DirectoryColumns.from_rows((name, self._time(path, name)) for name in held.directories if name in kept),
            )
        if not self.gone_at:
            return listing
        there = set(self._directories_in(path, self.directories[path]))
        left = DirectoryColumns.from_rows(
            (name, self._time(path, name)) for name in listing.directories.name_list() if name in there
        )
        if not listing.files and not left and (there or self.directories[path].files):
            # All that the cut left is gone meanwhile; such a listing is asked for again by every lister as well.
            return Failed(Reason.FALSE_EMPTY, "empty with attributes, not without")
        return Listed(listing.files, left)

    def _time(self, path: bytes, name: bytes) -> int:
        return 1 if self.times is None else self.times(paths.join(path, name), self._clockwork.now)

    def _directories_in(self, path: bytes, held: Directory) -> list[bytes]:
        if not self.gone_at:
            return held.directories
        return [name for name in held.directories if self.exists(paths.join(path, name))]

    def _plant(self, chance: random.Random) -> None:
        known = [ROOT]
        self.directories[ROOT] = Directory()
        deep = chance.choice((0.7, 1, 3))
        for number in range(chance.choice((1, 4, 8, 16, 32))):
            parent = known[-1 - int(len(known) * chance.random() ** deep)]
            name = chance.choice(_NAMES[:-1] * 3 + _NAMES) % number
            self.directories[parent].directories.append(name)
            known.append(paths.join(parent, name))
            self.directories[known[-1]] = Directory()
        number = 0
        for path in known:
            held, expected = self.directories[path], {}
            for _ in range(chance.choice((0, 0, 1, 3))):
                number += 1
                name, size, fate = chance.choice(_NAMES) % number, chance.randrange(9), chance.random()
                # The inventory may have a file where the store has a directory; no store has both.
                if fate > 0.15 and name not in held.directories:
                    held.files[name] = size
                if fate < 0.85:
                    expected[name] = size
            if expected:
                self.inventory[path] = expected
        if chance.random() < 0.5:
            parent = chance.choice(known)
            self.inventory[paths.join(parent, b"lost")] = {b"f%d" % n: 1 for n in range(chance.choice((1, 2, 6)))}

    def _draw_tops(self, chance: random.Random) -> tuple[bytes, ...]:
        known = list(self.directories)
        tops = [ROOT] if chance.random() < 0.7 else chance.sample(known, min(len(known), 2))
        if chance.random() < 0.2:
            tops.append(chance.choice((b"/store/lost", *known)))
        return tuple(dict.fromkeys(tops))

    def _spoil(self, chance: random.Random) -> None:
        known = list(self.directories)
        for _ in range(chance.choice((0, 0, 1, 2))):
            self.for_good[chance.choice(known)] = chance.choice(FOR_GOOD)
        for _ in range(chance.choice((0, 0, 1, 2))):
            path = chance.choice(known)
            held = self.directories[path]
            entries = len(held.files) + len(held.directories)
            if entries > 1:
                # What comes empty is asked again by every lister, and found out.
                self.cut[path] = chance.randrange(1, entries)
        if chance.random() < 0.15 and len(known) > 1:
            self.gone_at[chance.choice(known[1:])] = chance.expovariate(1 / 3)
        for moments in self.dead:
            if chance.random() < 0.25:
                at = chance.expovariate(1 / 3)
                for _ in range(2 * chance.choice((1, 1, 3))):
                    moments.append(at)
                    at += 0.1 + chance.expovariate(1 / 4)


def draw_troubles(chance: random.Random) -> Troubles:
    """Draw a few kinds of trouble and how bad each is."""

    def some(likely: float, *levels: float) -> float:
        return chance.choice(levels) if chance.random() < likely else 0.0

    return Troubles(
        failing=some(0.6, 0.02, 0.15, 0.6),
        silent=some(0.1, 0.03),
        babble=some(0.1, 0.05),
        lost_message=some(0.1, 0.02, 0.1),
        lost_answer=some(0.1, 0.02, 0.1),
        twice=some(0.2, 0.1, 0.5),
        dying=some(0.2, 0.05, 0.3),
        pausing=some(0.2, 0.1, 0.3),
        crashes=chance.choice((0, 0, 0, 1, 2)),
        retiring=some(0.2, 0.1, 0.4),
    )


class Door:
    """One door as a lister of its own; see `storage.listers.protocol.Lister`."""

    def __init__(self, clockwork: Clockwork, world: World, number: int, sink: Sink) -> None:
        self._clockwork = clockwork
        self._world = world
        self._number = number
        self._sink = sink
        self._closed = False
        self.requests = 0

    def submit(self, request: Request) -> None:
        """Send a request; its outcome comes when it comes."""
        world, chance = self._world, self._clockwork.chance
        troubles = world.troubles
        self.requests += 1
        world.asked[request.ask] += 1
        if troubles.silent and chance.random() < troubles.silent:
            self._clockwork.tell(f"door {self._number}: {request.ask.name} {paths.escape(request.path)}: silence")
            # The pump takes it for a timeout in the end.
            world.failed.setdefault(request.path, set()).add(Reason.TIMEOUT)
            return
        delay = world.slowness[self._number] * (0.5 + chance.expovariate(1.0))
        spoilt = self._spoil(request)
        if delay > TIMEOUT and not world.calm:
            spoilt = Failed(Reason.TIMEOUT, "slow")
        if isinstance(spoilt, Failed) and spoilt.reason == Reason.TIMEOUT:
            delay = TIMEOUT
        self._clockwork.after(delay, lambda: self._answer(request, spoilt))

    def _spoil(self, request: Request) -> Outcome | None:
        """Give what comes instead of the answer, if anything goes wrong."""
        world, chance = self._world, self._clockwork.chance
        troubles = world.troubles
        if world.is_down(self._number):
            return Failed(chance.choice((Reason.CONNECTION, Reason.TIMEOUT)), "the door is dead")
        if troubles.failing and chance.random() < troubles.failing:
            return Failed(chance.choice(TRANSIENT), "for now")
        if troubles.babble and chance.random() < troubles.babble:
            return NamesListed(frozenset((b"x",))) if request.ask == Ask.LIST else Listed()
        return None

    def close(self) -> None:
        """Say nothing any more."""
        self._closed = True

    def _answer(self, request: Request, spoilt: Outcome | None) -> None:
        if self._closed:
            return
        world = self._world
        outcome = spoilt or world.answer(request)
        if request.ask == Ask.LIST:
            if isinstance(outcome, Listed):
                world.said.setdefault(request.path, []).append(outcome)
            else:
                reason = outcome.reason if isinstance(outcome, Failed) else Reason.SERVER
                world.failed.setdefault(request.path, set()).add(reason)
        self._clockwork.tell(f"door {self._number}: {request.ask.name} {paths.escape(request.path)}: {_words(outcome)}")
        self._sink(request.number, outcome)


def _words(outcome: Outcome) -> str:
    if isinstance(outcome, Listed):
        return f"{len(outcome.files)} files, {len(outcome.directories)} directories"
    return str(outcome)
