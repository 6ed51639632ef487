"""Several listers, each on a part of one store: every question goes to all of them, and one outcome comes back.

The data servers of a cluster each hold a part of the namespace. What they say is put together in `engine.parts`.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from engine.holders import Holders, without
from engine.listing import Failed, Listed, Outcome
from engine.outage import OutageLimits
from engine.pace import DoorPace
from engine.parts import merge_parts
from engine.states import Reason
from storage.listers.patient import PatientLister
from storage.listers.protocol import Ask, Lister, Request, Sink, paces_of, window_of

_NOBODY_KNOWS = "some data server", Failed(Reason.NEVER_REACHED, "whether all data servers are known is not certain")
"""What a server that nobody named would have to be asked."""


_NOT_THERE = Failed(Reason.NOT_FOUND, "away, and it lacked the directory")


@dataclass(slots=True)
class _Open:
    """A request that some members have not answered; ``said`` has their outcomes by position.

    ``lacking`` are the members that had no such directory, of which ``left_out`` are away, so that these have no say.
    """

    request: Request
    said: list[Outcome | None]
    lacking: frozenset[int]
    left_out: list[int] = field(default_factory=list)

    @property
    def is_answered(self) -> bool:
        return None not in self.said


class MergedLister:
    """Asks all members of a cluster the same. A request ends with the last answer, so with the slowest member's.

    Each member has its own connections, and as many requests in flight as this lister is handed. Where there may be
    more members than these (``open_ended``), it lists what is there, and nothing is proved not to be there, nor a
    directory to be empty.

    One that goes away is waited for as a whole, for as long as ``limits`` say. Then, as long as it is away, what it has
    to say cannot be known, and nobody else is asked for what would not be complete. A directory that it lacked when the
    one above was listed is listed without it, for what the others have there; see `engine.holders`.
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
        self._holders = Holders()
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

    @property
    def window(self) -> int:
        """How many requests it should have in hand at the moment: as many as the member that takes the fewest.

        One that is given up answers at once, whatever it is asked.
        """
        return min((window_of(member) for member in self._members if not _is_given_up(member)), default=1)

    @property
    def paces(self) -> tuple[DoorPace, ...]:
        """How the members are asked at the moment."""
        return tuple(pace for member in self._members for pace in paces_of(member))

    def submit(self, request: Request) -> None:
        """Send one request to every member; to none but those that are given up if these leave it without an answer."""
        with self._lock:
            lacking = self._holders.lacking(request.path) if request.ask == Ask.LIST else frozenset()
            self._open[request.number] = _Open(request, [None] * len(self._members), lacking)
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
                is_lost = self._is_lost(position, request, outcome)
                if is_lost and position in request.lacking:
                    request.left_out.append(position)
                    is_lost, outcome = False, _NOT_THERE
                request.said[position] = outcome
                if not request.is_answered and not is_lost:
                    return
                del self._open[number]
            self._sink(number, self._without(position, outcome) if is_lost else self._merged(request))

        return sink

    def _is_lost(self, position: int, request: _Open, outcome: Outcome) -> bool:
        """Tell whether this is a failure that the others cannot mend: all they can say is that a path is there."""
        silent = isinstance(outcome, Failed) and outcome.reason.is_silence
        return silent and request.request.ask != Ask.STAT and _is_given_up(self._members[position])

    def _without(self, position: int, outcome: Outcome) -> Outcome:
        name = self._names[position]
        return replace(outcome, detail=f"{name}: {outcome.detail}") if isinstance(outcome, Failed) else outcome

    def _heard_of_others(self, position: int) -> float:
        others = [member for number, member in enumerate(self._members) if number != position]
        return max([member.heard for member in others if isinstance(member, PatientLister)], default=-math.inf)

    def _merged(self, request: _Open) -> Outcome:
        # It may run on the thread of a library, where nothing may be raised.
        try:
            parts = [(name, part) for name, part in zip(self._names, request.said, strict=True) if part is not None]
            if request.request.ask == Ask.CHECKSUM:
                # One that nobody named may have further copies, which says nothing of these.
                return merge_parts(parts)
            if request.request.ask != Ask.LIST:
                return merge_parts([*parts, _NOBODY_KNOWS] if self._open_ended else parts)
            merged = merge_parts(parts)
            if isinstance(merged, Listed):
                with self._lock:
                    self._holders.take(request.request.path, request.said)
                if request.left_out:
                    merged = without(merged, [self._names[position] for position in request.left_out])
            if not self._open_ended:
                return merged
            # A listing goes down where it can; what confirms that something is missing asks for names or by itself.
            # That a directory is empty is not asked again.
            return replace(merged, others=True) if isinstance(merged, Listed) and not merged.files else merged
        except Exception as error:
            return Failed(Reason.SERVER, f"the answers could not be put together: {type(error).__name__}: {error}")


def _is_given_up(member: Lister) -> bool:
    return isinstance(member, PatientLister) and member.is_given_up
