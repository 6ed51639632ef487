"""Whether a store that does not answer is worth waiting for: which requests are sent, held back, and given up.

A state machine. What happens to requests goes into `Outage` together with the time; instructions come out and are
carried out by the caller. A store that has gone silent is away as a whole, so it is waited for once, and not once for
each request: one request after another tries whether it is back, while the others are held.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from engine.listing import Failed, Outcome
from engine.states import Reason

FIRST_TRY = 2.0
"""Seconds between the first failure and the request that tries whether a store is back; twice as long each time."""

_LONGEST_WAIT = 8.0
"""Seconds between two of these, at most."""

_OUTAGE = 20.0
"""Seconds for which a request of a store that is away is held, besides a whole timeout."""

_TIMES_AGAIN = 2
"""So many times a request is sent once more: it may be what brings the store down."""

_NO_ANSWER = frozenset(
    (Reason.CONNECTION, Reason.TIMEOUT, Reason.AUTHENTICATION, Reason.BAD_NAME, Reason.SERVER, Reason.LISTER_LOST)
)
"""What may be said of a request without the store having had a say."""


@dataclass(frozen=True, slots=True)
class OutageLimits:
    """How long a store is waited for, in seconds.

    ``hold`` is for how long one request is held at most. ``patience`` is the length of an outage after which nothing
    is held any more, if others have answered meanwhile, and what is asked fails at once. ``timeouts``: a request that
    ran out of time may be the store's silence as well.
    """

    hold: float
    patience: float = math.inf
    timeouts: bool = False

    @classmethod
    def of_whole(cls, timeout: float) -> OutageLimits:
        """Give those of a whole store: there is nothing to go on with while it is away."""
        return cls(timeout + _OUTAGE)

    @classmethod
    def of_part(cls, timeout: float, tries: int) -> OutageLimits:
        """Give those of a part of a store: as long as ``tries`` of one request would be held."""
        hold = timeout + _OUTAGE
        return cls(hold, tries * hold, timeouts=True)


@dataclass(frozen=True, slots=True)
class Send:
    """Send this request: for the first time, or once more."""

    number: int


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell the outcome of this request to whoever asked; nothing more comes of it."""

    number: int
    outcome: Outcome


Instruction = Send | Tell


@dataclass(slots=True)
class _Request:
    """``sent`` is when it was sent last; ``held`` its failure, held back since ``failed``.

    One is ``due`` to be sent once more when the store has answered since it failed; ``again`` counts how often it was.
    """

    sent: float = -math.inf
    failed: float | None = None
    held: Failed | None = None
    due: bool = False
    again: int = 0


class Outage:
    """Decides what becomes of the requests to one store, or to a part of one. Times are seconds on any clock.

    A failed connection is held, unless the store has never answered: then it may be mistyped, and whoever asked wants
    to know. So is, where the limits say so, a request that ran out of time if nothing else was answered meanwhile. An
    answer ends the outage, and whatever is held is sent once more; what fails then while others are answered is told,
    since it is not the store that is away.
    """

    def __init__(self, limits: OutageLimits, has_answered: bool = False) -> None:
        self._limits = limits
        self._has_answered = has_answered
        self._requests: dict[int, _Request] = {}
        self._held: dict[int, _Request] = {}
        self._since: float | None = None
        self._last = Failed(Reason.CONNECTION)
        self._trying: int | None = None
        self._tried_at = self._try_at = self._wait = 0.0
        self.heard = -math.inf
        self._is_away = False

    @property
    def is_on(self) -> bool:
        """Whether time makes a difference: something is held, or nothing was answered since something failed."""
        return self._since is not None or bool(self._held)

    @property
    def is_away(self) -> bool:
        """Whether the store was waited for in vain: what is asked fails at once, but for a request now and then."""
        return self._is_away

    def is_tried(self, now: float) -> bool:
        """Whether the next request is sent although the store is away, to try whether it is back."""
        return self._trying is None and now >= self._try_at

    def ask(self, number: int, now: float) -> list[Instruction]:
        """Take a new request."""
        if self._since is None or (not self._has_answered and not self._is_away):
            self._requests[number] = _Request(now)
            return [Send(number)]
        if self.is_tried(now):
            self._requests[number] = _Request()
            return [self._try(number, now)]
        if self._is_away and (self._trying is None or now - self._tried_at >= FIRST_TRY):
            return [Tell(number, self._refusal(now))]
        # What tries it may bring it back in a moment.
        self._held[number] = self._requests[number] = _Request(failed=now, held=self._last)
        return []

    def take(self, number: int, outcome: Outcome, now: float) -> list[Instruction]:
        """Take the outcome of a request that was sent."""
        request = self._requests.get(number)
        if request is None or request.held is not None:
            return []
        if number == self._trying:
            self._trying = None
        if isinstance(outcome, Failed) and outcome.reason.is_silence:
            return self._take_silence(number, request, outcome, now)
        del self._requests[number]
        told = Tell(number, outcome)
        reason = outcome.reason if isinstance(outcome, Failed) else Reason.NONE
        if reason not in _NO_ANSWER:
            self._has_answered, self.heard = True, now
        elif reason != Reason.AUTHENTICATION:
            return [told]
        # Somebody was there who let nobody in, at the least.
        self._since, self._is_away = None, False
        for held in self._held.values():
            held.due = True
        return [told]

    def look(self, now: float, others_heard: float = -math.inf) -> list[Instruction]:
        """Let time pass; ``others_heard`` is when something else of the same store has answered last."""
        due = [number for number, request in self._held.items() if request.due]
        for number in due:
            self._held[number].again += 1
        instructions: list[Instruction] = [self._send(number, now) for number in due]
        since = self._since
        if since is None:
            return instructions
        self._is_away = now - since >= self._limits.patience and others_heard > since
        if self._is_away:
            if self._trying is not None and now - self._tried_at < FIRST_TRY:
                return instructions
            return instructions + [self._tell(number, self._refusal(now)) for number in list(self._held)]
        overdue = [number for number, request in self._held.items() if self._is_overdue(request, now)]
        instructions += [self._tell(number, self._held[number].held) for number in overdue]
        if self._held and self.is_tried(now):
            # A request that was never sent says more: one that ran out of time may do so again.
            instructions.append(self._try(min(self._held, key=lambda number: self._held[number].sent), now))
        return instructions

    def _take_silence(self, number: int, request: _Request, outcome: Failed, now: float) -> list[Instruction]:
        if outcome.reason == Reason.TIMEOUT and self._is_slow(request, now):
            del self._requests[number]
            return [Tell(number, outcome)]
        self._last = outcome
        if self._since is None:
            self._since, self._try_at, self._wait = now, now + FIRST_TRY, 2 * FIRST_TRY
        if request.failed is None:
            request.failed = now
        request.held = outcome
        is_late = self._is_away or self._is_overdue(request, now)
        if not self._has_answered or is_late or self._is_by_itself(request):
            return [self._tell(number, outcome)]
        self._held[number] = request
        return []

    def _is_slow(self, request: _Request, now: float) -> bool:
        """Tell whether a request ran out of time while others were answered, or may have."""
        if not self._limits.timeouts:
            return self._since is None
        # The store was silent for most of the time where the last answer came near its beginning.
        return 2 * self.heard > request.sent + now

    def _is_by_itself(self, request: _Request) -> bool:
        """Tell whether a request fails where others do not: the store may go away anew as it is sent once more."""
        return request.again >= _TIMES_AGAIN or (request.again > 0 and self.heard >= request.sent)

    def _is_overdue(self, request: _Request, now: float) -> bool:
        return request.failed is not None and now - request.failed >= self._limits.hold

    def _try(self, number: int, now: float) -> Send:
        self._trying, self._tried_at = number, now
        self._try_at, self._wait = now + self._wait, min(2 * self._wait, _LONGEST_WAIT)
        return self._send(number, now)

    def _send(self, number: int, now: float) -> Send:
        self._held.pop(number, None)
        request = self._requests[number]
        request.sent, request.held, request.due = now, None, False
        return Send(number)

    def _tell(self, number: int, outcome: Failed | None) -> Tell:
        self._held.pop(number, None)
        del self._requests[number]
        return Tell(number, outcome or self._last)

    def _refusal(self, now: float) -> Failed:
        silent = 0.0 if self._since is None else now - self._since
        return replace(self._last, detail=f"given up after {silent:.0f} s without an answer: {self._last.detail}")
