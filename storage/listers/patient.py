"""A lister that waits for a store that goes away in the middle, whatever asks that.

The decisions are those of `engine.outage`; this shell carries them out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from engine.listing import Outcome
from engine.outage import Instruction, Outage, OutageLimits, Send
from engine.pace import DoorPace
from storage.listers.protocol import Lister, Request, Sink, paces_of, window_of
from storage.threads import named

_TICK = 0.5
"""Seconds between two looks at what is held, during an outage."""


class PatientLister:
    """Asks one store, or a part of one, through another lister, and holds back what fails while that is away.

    ``has_answered``: it was there before, so that it is away and not mistyped. ``others_heard`` tells when, on
    ``time.monotonic``, another part of the same store has answered last.
    """

    def __init__(
        self,
        opener: Callable[[Sink], Lister],
        sink: Sink,
        limits: OutageLimits,
        has_answered: bool = False,
        others_heard: Callable[[], float] = lambda: float("-inf"),
    ) -> None:
        self._sink = sink
        self._others_heard = others_heard
        self._lock = threading.Lock()
        self._outage = Outage(limits, has_answered)
        self._requests: dict[int, Request] = {}
        self._stirred = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._lister = opener(self._take)

    @property
    def requests(self) -> int:
        """How many requests were sent so far."""
        return self._lister.requests

    @property
    def window(self) -> int:
        """How many requests it should have in hand at the moment."""
        return window_of(self._lister)

    @property
    def paces(self) -> tuple[DoorPace, ...]:
        """How its doors are asked at the moment."""
        return paces_of(self._lister)

    @property
    def heard(self) -> float:
        """When it has answered last, on ``time.monotonic``."""
        return self._outage.heard

    @property
    def is_given_up(self) -> bool:
        """Whether what is asked now would fail at once."""
        return self._outage.is_away and not self._outage.is_tried(time.monotonic())

    def submit(self, request: Request) -> None:
        """Send one request, or hold it; see `storage.listers.protocol.Lister`."""
        with self._lock:
            self._requests[request.number] = request
            instructions = self._outage.ask(request.number, time.monotonic())
        self._carry_out(instructions)

    def close(self) -> None:
        """Close the lister; what is held is dropped."""
        self._closed.set()
        self._stirred.set()
        self._lister.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            # Not for ever: it may be waiting, in the sink, for whoever closes.
            self._thread.join(1.0)

    def _take(self, number: int, outcome: Outcome) -> None:
        with self._lock:
            instructions = self._outage.take(number, outcome, time.monotonic())
            stirs = self._outage.is_on and not self._stirred.is_set()
            if stirs:
                self._stir()
        self._carry_out(instructions)

    def _stir(self) -> None:
        """Have somebody look at what is held from now on, under the lock."""
        self._stirred.set()
        if self._thread is None and not self._closed.is_set():
            self._thread = threading.Thread(target=self._watch, name=named("lister-outage"), daemon=True)
            self._thread.start()

    def _watch(self) -> None:
        while not self._closed.is_set():
            self._stirred.wait()
            if self._closed.wait(_TICK):
                return
            others_heard = self._others_heard()
            with self._lock:
                instructions = self._outage.look(time.monotonic(), others_heard)
                if not self._outage.is_on and not self._closed.is_set():
                    self._stirred.clear()
            self._carry_out(instructions)

    def _carry_out(self, instructions: Iterable[Instruction]) -> None:
        # Without the lock: a lister may answer at once, and a sink may ask again.
        for instruction in instructions:
            if self._closed.is_set():
                return
            if isinstance(instruction, Send):
                request = self._requests.get(instruction.number)
                if request is not None:
                    self._lister.submit(request)
            else:
                self._requests.pop(instruction.number, None)
                self._sink(instruction.number, instruction.outcome)
