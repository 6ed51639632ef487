"""What the store held when it was listed the last time, for stories in which directories are taken over from that.

Whatever it draws comes from a chance of its own, so that the stories without it are the same ones.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from actors.messages import EarlierListing
from engine import paths
from engine.columns import DirectoryColumns, FileColumns
from engine.incremental import trusted_leaves
from engine.record import DirectoryRecord
from engine.states import Reason, State
from storage.snapshot import Snapshot, SnapshotHeader, SnapshotWriter
from tests.simulation.world import IGNORED, World

LISTED, LONG_AGO, JUST_THEN = 100_000, 1_000, 99_990
"""Seconds: when it was listed, and times of directories that are safely before that, or not."""
MARGIN = 1_000.0


@dataclass
class Held:
    """A directory as it was: sizes of files by name, names of directories, and its time."""

    files: dict[bytes, int] = field(default_factory=dict)
    directories: list[bytes] = field(default_factory=list)
    time: int = LONG_AGO


class Before:
    """The last listing of a world's store; gives the world its times.

    ``lies`` are directories that changed without another time.
    """

    def __init__(self, seed: int, world: World) -> None:
        chance = self._chance = random.Random(f"before {seed}")
        self.world = world
        self.share = chance.choice((0.0, 0.1, 0.5, 1.0))
        self.delay = chance.choice((0.0, 2.0, 8.0))
        self.portion = chance.choice((1, 3, 2000))
        self.is_honest = chance.random() < 0.5
        self.held: dict[bytes, Held] = {}
        self.lies: set[bytes] = set()
        self._times: dict[bytes, int] = {}
        self._cached: dict[bytes, float] = {}
        new = {path for path in world.directories if path not in world.tops and chance.random() < 0.06}
        for path, now in world.directories.items():
            if not any(paths.is_under(path, one) for one in new):
                kept = [name for name in now.directories if paths.join(path, name) not in new]
                # Those of the same time may be the same directory, for all that is known.
                time = JUST_THEN if chance.random() < 0.05 else LONG_AGO + chance.choice((0, len(self.held)))
                self.held[path] = Held(dict(now.files), kept, time)
        for path in list(self.held):
            self._draw_a_change(path)
        world.times = self.time_of
        self.trusted: dict[bytes, Held] = {}

    def _draw_a_change(self, path: bytes) -> None:
        chance, held, now = self._chance, self.held[path], self.world.directories[path]
        fate = chance.random() / (1 if self.is_honest else 3)
        if fate < 0.06:
            held.files[b"removed since"] = 1
        elif fate < 0.12 and held.files:
            del held.files[chance.choice(sorted(held.files))]
        elif fate < 0.15:
            held.directories.append(b"removed since")
            self.held[paths.join(path, b"removed since")] = Held({b"f %d" % len(self.held): 1})
        changed = (held.files, held.directories) != (now.files, now.directories)
        if not self.is_honest and held.files and chance.random() < 0.1:
            # Overwritten in place.
            held.files = {name: size + 1 for name, size in held.files.items()}
            changed = True
        self._times[path] = held.time
        if changed and not self.is_honest and chance.random() < 0.85:
            self.lies.add(path)
        elif changed or chance.random() < 0.06:
            self._times[path] = held.time + 500
            if chance.random() < 0.3:
                self._cached[path] = chance.random() * self.delay

    def time_of(self, path: bytes, now: float) -> int:
        """Give the time that the store shows for a directory; one behind a cache shows the old one for a while."""
        if path not in self._times:
            return LISTED + 7
        is_old = now < self._cached.get(path, 0.0)
        # A directory that is removed from it is a change like any other.
        removed = sum(paths.parent_of(gone) == path and at <= now for gone, at in self.world.gone_at.items())
        return (self.held[path].time if is_old else self._times[path]) + 2_000 * removed

    @property
    def stale(self) -> set[bytes]:
        """The directories that changed, and show the old time for now or for good."""
        return self.lies | self._cached.keys()

    def earlier(self, resumed: bool) -> EarlierListing | None:
        """Give what a coordinator is given of it; one that goes on is given nothing where it is gone meanwhile."""
        if resumed and self._chance.random() < 0.3:
            return None
        return EarlierListing(self.path, self.share, MARGIN, self.delay, self.portion)

    def write(self, path: Path, header: SnapshotHeader) -> None:
        """Write the listing."""
        self.path = path
        writer = SnapshotWriter(path, header)
        for top in header.tops:
            writer.index.know(top)
        for name in self._reached():
            held = self.held.get(name)
            if IGNORED in name:
                writer.append(DirectoryRecord(name, State.IGNORED, Reason.IGNORED))
            elif self.world.too_deep(name):
                writer.append(DirectoryRecord(name, State.FAILED, Reason.DEPTH))
            elif held is None:
                writer.append(DirectoryRecord(name, State.FAILED, Reason.NOT_FOUND))
            else:
                files = FileColumns.from_rows((file, size, 1) for file, size in held.files.items())
                times = [(below, self.held[paths.join(name, below)].time) for below in held.directories]
                columns = DirectoryColumns.from_rows(times)
                writer.append(DirectoryRecord(name, State.LISTED, listed_at=LISTED, files=files, directories=columns))
        writer.finish()
        snapshot = Snapshot(path)
        table = snapshot.table
        self.trusted = {table.paths[row]: self.held[table.paths[row]] for row in trusted_leaves(table, MARGIN)}
        for top in header.tops:
            self.trusted.pop(top, None)
        snapshot.close()

    def _reached(self) -> list[bytes]:
        """Give what a listing comes to, each directory behind the one that holds it."""
        reached = list(self.world.tops)
        for path in reached:
            held = self.held.get(path)
            if held is not None and IGNORED not in path and not self.world.too_deep(path):
                names = [paths.join(path, name) for name in held.directories]
                reached += [name for name in names if name not in self.world.tops]
        return reached
