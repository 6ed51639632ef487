"""Messages between simulated actors: late, lost, delivered again, or all three."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.runtime import ActorLost
from tests.simulation.clockwork import Clockwork
from tests.simulation.world import Troubles

Handler = Callable[..., Any]


class Letter:
    """The answer to one message; see `actors.runtime.Answer`."""

    def __init__(self, method: str = "") -> None:
        self._method = method
        self._outcome: tuple[Any, Exception | None] | None = None
        self._calls: list[Callable[[], None]] = []

    def settle(self, value: Any, error: Exception | None = None) -> None:
        """Let the answer come; the first one counts."""
        if self._outcome is None:
            self._outcome = (value, error)
            for call in self._calls:
                call()

    def done(self) -> bool:
        """Whether it is there."""
        return self._outcome is not None

    def on_done(self, call: Callable[[], None]) -> None:
        """Call this once it is there."""
        if self._outcome is not None:
            call()
        else:
            self._calls.append(call)

    def result(self, timeout: float | None = None) -> Any:
        """Give it; in here nobody waits."""
        if self._outcome is None:
            raise TimeoutError(self._method)
        value, error = self._outcome
        if error is not None:
            raise error
        return value


class Post:
    """A handle on the coordinator for one lister; see `actors.runtime.ActorRef`.

    What is sent at the same time may overtake one another, since two calls of an actor may take different ways.
    """

    name = "coordinator"

    def __init__(self, clockwork: Clockwork, troubles: Troubles, handle: Handler, poke: Callable[[], None]) -> None:
        self._clockwork = clockwork
        self._troubles = troubles
        self._handle = handle
        self._poke = poke

    def ask(self, method: str, *arguments: Any) -> Letter:
        """Send a message."""
        clockwork, troubles, letter = self._clockwork, self._troubles, Letter(method)
        chance = clockwork.chance
        letter.on_done(self._poke)
        if troubles.lost_message and chance.random() < troubles.lost_message:
            clockwork.tell(f"lost: {method} of {arguments[0]}")
            return letter
        clockwork.after(self._way(), lambda: self._deliver(letter, method, arguments))
        if troubles.twice and chance.random() < troubles.twice:
            clockwork.after(
                self._way() + chance.choice((0.0, 9.0, chance.expovariate(1.0))),
                lambda: self._repeat(method, arguments),
            )
        return letter

    def kill(self) -> None:
        """Nobody kills a coordinator by its handle."""
        raise NotImplementedError

    def _way(self) -> float:
        return 0.001 + 0.02 * self._clockwork.chance.random()

    def _repeat(self, method: str, arguments: tuple[Any, ...]) -> None:
        self._clockwork.tell(f"again: {method} of {arguments[0]}")
        try:
            self._handle(method, *arguments)
        except ActorLost:
            return

    def _deliver(self, letter: Letter, method: str, arguments: tuple[Any, ...]) -> None:
        clockwork = self._clockwork
        try:
            value = self._handle(method, *arguments)
        except ActorLost as error:
            # Binding the name in the lambda keeps it alive.
            lost = error
            clockwork.after(self._way(), lambda: letter.settle(None, lost))
            return
        if self._troubles.lost_answer and clockwork.chance.random() < self._troubles.lost_answer:
            clockwork.tell(f"lost: the answer to {method} of {arguments[0]}")
            return
        clockwork.after(self._way(), lambda: letter.settle(value))


class Direct:
    """A handle whose messages arrive at once and safely, such as that of the comparison."""

    name = "coordinator"

    def __init__(self, handle: Handler) -> None:
        self._handle = handle

    def ask(self, method: str, *arguments: Any) -> Letter:
        """Send a message."""
        letter = Letter(method)
        letter.settle(self._handle(method, *arguments))
        return letter

    def kill(self) -> None:
        """Nobody kills a coordinator by its handle."""
        raise NotImplementedError
