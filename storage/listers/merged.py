"""Several listers, each on a part of one store: every question goes to all of them, and one outcome comes back.

The data servers of a cluster each hold a part of the namespace. What they say is put together in `engine.parts`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.listing import Failed, Outcome
from engine.parts import merge_parts
from engine.states import Reason
from storage.listers.protocol import Lister, Request, Sink


@dataclass(slots=True)
class _Open:
    """A request that some members have not answered; ``said`` has their outcomes by position."""

    said: list[Outcome | None]
    left: int


class MergedLister:
    """Asks all members of a cluster the same. A request ends with the last answer, so with the slowest member's.

    Each member has its own connections, and as many requests in flight as this lister is handed.
    """

    def __init__(self, names: Sequence[str], openers: Sequence[Callable[[Sink], Lister]], sink: Sink) -> None:
        """Open a lister for each member; ``names`` are what messages call them."""
        self._sink = sink
        self._names = tuple(names)
        self._lock = threading.Lock()
        self._open: dict[int, _Open] = {}
        self._members: list[Lister] = []
        try:
            for position, opener in enumerate(openers):
                self._members.append(opener(self._sink_of(position)))
        except BaseException:
            self.close()
            raise

    @property
    def requests(self) -> int:
        """How many requests were sent so far, to all members together."""
        return sum(member.requests for member in self._members)

    def submit(self, request: Request) -> None:
        """Send one request to every member."""
        count = len(self._members)
        with self._lock:
            self._open[request.number] = _Open([None] * count, count)
        for member in self._members:
            member.submit(request)

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
                if request.left:
                    return
                del self._open[number]
            self._sink(number, self._merged(request.said))

        return sink

    def _merged(self, said: Sequence[Outcome | None]) -> Outcome:
        # It may run on the thread of a library, where nothing may be raised.
        try:
            return merge_parts([(name, part) for name, part in zip(self._names, said, strict=True) if part is not None])
        except Exception as error:
            return Failed(Reason.SERVER, f"the answers could not be put together: {type(error).__name__}: {error}")
