"""Taking directories over from the last complete listing: what the coordinator does for `engine.incremental`.

A directory is copied from one snapshot into the other as it is, with the time of its own listing, by which it is told
from those that were listed now: the header of a listing that takes over says up to when the earlier one was answered.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.incremental import Portion, TakeOver, TakeOverRules
from engine.index import Entry, IndexBuilder
from storage.snapshot import NOTHING_TAKEN, TAKEN_UNTIL, Snapshot, SnapshotError, SnapshotHeader

if TYPE_CHECKING:
    from actors.messages import ListingPlan

_log = logging.getLogger(__name__)

_SHOWN_DAMAGED = 3
"""So many damaged directories are named; a disk that fails may have damaged all."""


class EarlierListings:
    """The earlier listing of one coordinator, if it has one: what of it stands in the new one, and its frames."""

    def __init__(self, plan: ListingPlan) -> None:
        self.note = ""
        self._damaged = 0
        self._plan = plan
        self._snapshot: Snapshot | None = None
        self._until = NOTHING_TAKEN
        self._state: TakeOver | None = None

    def open(self) -> None:
        """Open the snapshot; one that is of no use is said in ``note``, and everything is listed."""
        if self._plan.earlier is None:
            return
        path = self._plan.earlier.snapshot
        try:
            snapshot = Snapshot(path)
        except (SnapshotError, OSError) as error:
            self._say(f"listing in full: {error}")
            return
        until = max(snapshot.table.listed_at, default=NOTHING_TAKEN)
        wrong = snapshot.header.differs(self._plan.header) or ("" if snapshot.finished else "it is unfinished")
        if not wrong and until >= self._plan.header.created:
            wrong = "it is no older than the new one: a clock was set"
        if wrong:
            self._say(f"listing in full: {path}: {wrong}")
            snapshot.close()
        else:
            self._snapshot, self._until = snapshot, until

    def _say(self, note: str) -> None:
        self.note = note
        _log.warning("%s", note)

    def _say_damaged(self, error: Exception) -> None:
        self._damaged += 1
        if self._damaged == 1:
            self.note = f"listed although it may be the same: {error}"
        if self._damaged <= _SHOWN_DAMAGED:
            _log.warning("listed although it may be the same: %s", error)

    @property
    def header(self) -> SnapshotHeader:
        """Give the header of a new journal."""
        header = self._plan.header
        return header if self._snapshot is None else replace(header, extra={**header.extra, TAKEN_UNTIL: self._until})

    def begin(self, header: SnapshotHeader, taken: Iterable[bytes] = ()) -> list[bytes]:
        """Begin, with the header of the journal; of what a run before has ``taken`` over, give what is to be listed."""
        earlier = self._plan.earlier
        if earlier is None or self._snapshot is None or header.taken_until != self._until:
            # Without what it was taken from there is nothing to hold it against.
            self.close()
            return list(taken)
        # Each run draws others, and one that goes on the same as the one before it.
        seed = f"{header.site} {header.created}".encode("utf-8", "replace")[-64:]
        self._state = TakeOver(self._snapshot.table, TakeOverRules(earlier.share, seed, earlier.margin, earlier.delay))
        return [path for path in taken if not self._state.take_again(path)]

    def go_on(self, header: SnapshotHeader, index: IndexBuilder) -> list[bytes]:
        """Begin with the journal of a run before; gives what is to be listed of that which it had taken over."""
        again = self.begin(header, index.listed_until(header.taken_until))
        if self._state is not None:
            self._state.go_on(index.paths())
        return again

    @property
    def state(self) -> TakeOver | None:
        """What decides; None where everything is listed."""
        return self._state

    def portion(self, index: IndexBuilder, spared: Callable[[bytes], bool], now: float) -> Portion:
        """Give what is to be done next (`TakeOver.portion`); nothing where there is nothing to take over from."""
        state, plan = self._state, self._plan.earlier
        if state is None or plan is None or not state.unfinished:
            return Portion([], [])
        return state.portion(plan.portion, now, index.sight_of, spared)

    def frames(self, portion: Portion) -> Iterator[tuple[Entry, bytes]]:
        """Give what to enter of the directories to be taken over; what is damaged is among those to be listed then."""
        state, snapshot = self._state, self._snapshot
        if state is None or snapshot is None:
            return
        for row in portion.taken:
            try:
                taken = snapshot.taken_from(row)
            except (SnapshotError, OSError) as error:
                self._say_damaged(error)
                portion.listed.append(state.path_of(row))
            else:
                state.take([row])
                yield taken

    def close(self) -> None:
        """Give the file back, and say how much of it was damaged, where that was not said."""
        if self._damaged > _SHOWN_DAMAGED:
            _log.warning("%d directories in all are damaged in the last listing, and were listed", self._damaged)
        self._damaged = 0
        if self._snapshot is not None:
            self._snapshot.close()
        self._snapshot = self._state = None
