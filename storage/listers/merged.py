"""Several listers, each on a part of one store: every question goes to all of them, and one outcome comes back.

The data servers of a cluster each hold a part of the namespace. What they say is put together in `engine.parts`.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from engine.listing import Failed, Listed, Outcome
from engine.outage import OutageLimits
from engine.parts import merge_parts
from engine.states import Reason
from storage.listers.patient import PatientLister
from storage.listers.protocol import Ask, Lister, Request, Sink

_NOBODY_KNOWS = "some data server", Failed(Reason.NEVER_REACHED, "whether all data servers are known is not certain")
"""What a server that nobody named would have to be asked."""


@dataclass(slots=True)
class _Open:
    """A request that some members have not answered; ``said`` has their outcomes by position."""

    ask: Ask
    said: list[Outcome | None]
    left: int


class MergedLister:
    """Asks all members of a cluster the same. A request ends with the last answer, so with the slowest member's.

    Each member has its own connections, and as many requests in flight as this lister is handed. Where there may be
    more members than these (``open_ended``), it lists what is there, and nothing is proved not to be there, nor a
    directory to be empty.

    One that goes away is waited for as a whole, for as long as ``limits`` say. Then, as long as it is away, what it has
    to say cannot be known, and nobody else is asked for what would not be complete.
    """

    def __init__(
        self,
        names: Sequence[str],
        openers: Sequence[Callable[[Sink], Lister]],
        sink: Sink,
        open_ended: bool = False,
        limits: OutageLimits | None = None,
        has_answered: bool = False,
    ) -> None:
        """Open a lister for each member; ``names`` are what messages call them."""
        self._sink = sink
        self._open_ended = open_ended
        self._names = tuple(names)
        self._lock = threading.Lock()
        self._open: dict[int, _Open] = {}
        self._members: list[Lister] = []
        try:
            for position, opener in enumerate(openers):
                said = self._sink_of(position)
                if limits is not None:
                    heard = partial(self._heard_of_others, position)
                    self._members.append(PatientLister(opener, said, limits, has_answered, heard))
                else:
                    self._members.append(opener(said))
        except BaseException:
            self.close()
            raise

    @property
    def requests(self) -> int:
        """How many requests were sent so far, to all members together."""
        return sum(member.requests for member in self._members)

    def submit(self, request: Request) -> None:
        """Send one request to every member; to none but those that are given up if these leave it without an answer."""
        count = len(self._members)
        with self._lock:
            self._open[request.number] = _Open(request.ask, [None] * count, count)
        first = [member for member in self._members if _is_given_up(member)]
        for member in [*first, *[member for member in self._members if member not in first]]:
            member.submit(request)
            if first and request.number not in self._open:
                return

    def close(self) -> None:
        """Close the listers of all members."""
        for member in self._members:
            member.close()
        with self._lock:
            self._open.clear()

    def _sink_of(self, position: int) -> Sink:
        def sink(number: int, outcome: Outcome) -> None:
            with self._lock:
                request = self._open.get(number)
                if request is None or request.said[position] is not None:
                    return
                request.said[position] = outcome
                request.left -= 1
                lost = self._lost(position, request.ask, outcome)
                if request.left and lost is None:
                    return
                del self._open[number]
            self._sink(number, lost or self._merged(request))

        return sink

    def _lost(self, position: int, ask: Ask, outcome: Outcome) -> Failed | None:
        """Give the failure, if this is one, that the others cannot mend: all they can say is that a path is there."""
        if ask == Ask.STAT or not isinstance(outcome, Failed) or not outcome.reason.is_silence:
            return None
        if not _is_given_up(self._members[position]):
            return None
        return Failed(outcome.reason, f"{self._names[position]}: {outcome.detail}")

    def _heard_of_others(self, position: int) -> float:
        others = [member for number, member in enumerate(self._members) if number != position]
        return max([member.heard for member in others if isinstance(member, PatientLister)], default=-math.inf)

    def _merged(self, request: _Open) -> Outcome:
        # It may run on the thread of a library, where nothing may be raised.
        try:
            parts = [(name, part) for name, part in zip(self._names, request.said, strict=True) if part is not None]
            if not self._open_ended:
                return merge_parts(parts)
            if request.ask != Ask.LIST:
                return merge_parts([*parts, _NOBODY_KNOWS])
            # A listing goes down where it can; what confirms that something is missing asks for names or by itself.
            # That a directory is empty is not asked again.
            merged = merge_parts(parts)
            return replace(merged, others=True) if isinstance(merged, Listed) and not merged.files else merged
        except Exception as error:
            return Failed(Reason.SERVER, f"the answers could not be put together: {type(error).__name__}: {error}")


def _is_given_up(member: Lister) -> bool:
    return isinstance(member, PatientLister) and member.is_given_up
