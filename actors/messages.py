"""What the actors say to each other.

Everything here pickles. What is large or frequent is packed with msgpack by its sender and passed on as bytes; a batch
of reports carries the directories' frames as they will stand in the journal, so that the coordinator reads none of
the file names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import msgpack

from actors.oversight import Killed as Killed
from actors.oversight import Progress as Progress
from engine.columns import DirectoryColumns
from engine.confirm import Verdict, pack_verdicts, unpack_verdicts
from engine.index import Entry
from engine.pace import DoorPace
from engine.states import Reason, State
from engine.work import QueueLimits, Task
from storage.listers.protocol import IN_FLIGHT, StoreSpec
from storage.snapshot import SnapshotHeader

PORTION = 2000
"""A tenth of a second or less of the coordinator's time."""


@dataclass(frozen=True, slots=True)
class EarlierListing:
    """The last complete listing of a store, from which directories are taken over (`engine.incremental`).

    ``share`` of them, 0 to 1, is listed all the same. ``margin`` and ``delay`` are in seconds, as in
    `TakeOverRules`. About ``portion`` directories are taken over in one message, so that nobody waits for the
    coordinator for long.
    """

    snapshot: Path
    share: float
    margin: float
    delay: float
    portion: int = PORTION


@dataclass(frozen=True, slots=True)
class ListingPlan:
    """What a coordinator is to list, and where its journal goes.

    ``snapshot`` is the name of the finished file; the journal is its part. ``resume`` says to go on from a part that is
    there already. ``ignored`` are substrings of paths that are not listed, ``left_out`` directories that are not.
    ``verdicts`` is where it is kept which missing candidates were confirmed, None: nowhere. ``earlier``
    is what may be taken over, None: everything is listed.
    """

    header: SnapshotHeader
    snapshot: Path
    limits: QueueLimits
    ignored: tuple[bytes, ...] = ()
    resume: bool = False
    verdicts: Path | None = None
    earlier: EarlierListing | None = None
    left_out: tuple[bytes, ...] = ()


BATCH = 64
"""Directories in a full report of a lister."""


@dataclass(frozen=True, slots=True)
class ListerSettings:
    """How a lister works: ``in_flight`` requests at a time, reports sent in batches of ``batch`` directories."""

    spec: StoreSpec
    in_flight: int = IN_FLIGHT
    batch: int = BATCH


@dataclass(frozen=True, slots=True)
class Assignment:
    """The answer to a lister's exchange: new tasks, or how long to wait (seconds), or that there is nothing left."""

    tasks: tuple[Task, ...] = ()
    wait: float = 0.0
    go_home: bool = False


@dataclass(frozen=True, slots=True)
class ListingReport:
    """One directory that a lister asked about; ``entry`` has the outcome, attempt the number of the lease."""

    attempt: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class Batch:
    """What a lister hands in with one message: reports, their frames one behind the other, and verdicts.

    ``requests`` is how many the lister has sent to the store since it started, ``paces`` how it asks its doors.
    """

    reports: Sequence[ListingReport] = ()
    frames: bytes = b""
    verdicts: Sequence[Verdict] = ()
    requests: int = 0
    paces: Sequence[DoorPace] = ()

    def pack(self) -> bytes:
        """Encode for the message."""
        reports = [
            (
                r.attempt,
                e.path,
                int(e.state),
                int(e.reason),
                e.detail.encode("utf-8", "replace"),
                e.listed_at,
                e.files,
                e.size,
                e.newest,
                e.digest,
                e.directories.names,
                e.directories.mtimes,
                e.directories.ids,
                e.length,
            )
            for r in self.reports
            for e in (r.entry,)
        ]
        packed: bytes = msgpack.packb(
            (reports, self.frames, pack_verdicts(self.verdicts), self.requests, [astuple(pace) for pace in self.paces])
        )
        return packed

    @classmethod
    def unpack(cls, packed: bytes) -> Batch:
        """Decode what `pack` made."""
        rows: Any
        rows, frames, verdicts, requests, paces = msgpack.unpackb(packed)
        reports = [
            ListingReport(
                attempt,
                Entry(
                    path,
                    State(state),
                    Reason(reason),
                    detail.decode(),
                    listed_at,
                    files,
                    size,
                    newest,
                    digest,
                    DirectoryColumns(names, mtimes, ids),
                    length,
                ),
            )
            for (
                attempt,
                path,
                state,
                reason,
                detail,
                listed_at,
                files,
                size,
                newest,
                digest,
                names,
                mtimes,
                ids,
                length,
            ) in rows
        ]
        return cls(reports, frames, unpack_verdicts(verdicts), requests, [DoorPace(*pace) for pace in paces])
