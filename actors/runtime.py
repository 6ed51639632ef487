"""What a runtime does: it turns a class into an actor that can be asked from anywhere.

An actor is an instance of a plain class whose methods are called one at a time, in the order in which they were asked.
Nothing else may be assumed of it; in particular not in which process it lives. `actors.threads` and
`actors.on_ray.runtime` are the two that exist.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

_log = logging.getLogger(__name__)

_RELEASE_SECONDS = 5.0
"""An actor that needs longer than this is ended as it is; what it acknowledged is on disk."""


class ActorLost(Exception):
    """The actor died, was killed or cannot be reached; whether it did what it was asked is not known."""


class RuntimeUnavailable(Exception):
    """A runtime could not be started or reached; the message says which address was tried."""


class NodeUnfit(RuntimeUnavailable):
    """A node of the cluster has another program than this one, or none; the message names it, and says what to do."""


@dataclass(frozen=True, slots=True)
class Placement:
    """What a machine must have for an actor to run there: ``resources``, of which each takes so much, and labels."""

    resources: tuple[tuple[str, float], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, wanted: Iterable[tuple[str, float | str]]) -> Placement:
        """Tell amounts of resources from values of labels."""
        resources, labels = [], []
        for name, value in wanted:
            if isinstance(value, str):
                labels.append((name, value))
            else:
                resources.append((name, value))
        return cls(tuple(resources), tuple(labels))

    @property
    def words(self) -> str:
        """Say it as the configuration does."""
        return ", ".join(
            [*(f"{name}: {amount:g}" for name, amount in self.resources), *(f"{n}: {v}" for n, v in self.labels)]
        )


ANYWHERE = Placement()


class Answer(Protocol):
    """The answer of an actor, when it comes."""

    def result(self, timeout: float | None = None) -> Any:
        """Wait for it.

        Raises:
            TimeoutError: it did not come within ``timeout`` seconds.
            ActorLost: it will not come.
            NodeUnfit: the actor cannot be where it was to be.
            Exception: whatever the method raised.
        """

    def done(self) -> bool:
        """Whether `result` would return or raise at once."""

    def on_done(self, call: Callable[[], None]) -> None:
        """Call this, from any thread, once the answer is there."""


class ActorRef(Protocol):
    """A handle on an actor; it pickles wherever the actor can be reached."""

    @property
    def name(self) -> str:
        """The actor's name, as a dashboard or a log shows it."""

    def ask(self, method: str, *arguments: Any) -> Answer:
        """Send a message. Never blocks and never raises for what the actor does."""

    def kill(self) -> None:
        """End the actor at once, without any clean-up of its own."""


class Runtime(Protocol):
    """Where actors live."""

    @property
    def name(self) -> str:
        """``ray`` or ``threads``."""

    @property
    def dashboard(self) -> str:
        """The URL of a page that shows the actors; empty when there is none."""

    @property
    def lost(self) -> str:
        """Why no actor can be started any more, so that a run had better end; empty while all is well."""

    def label(self, about: str) -> None:
        """Say what is done from now on, such as which run of which site: logs of actors that are started say so."""

    def spawn(self, name: str, actor: type, *arguments: Any) -> ActorRef:
        """Start an actor on this machine and return at once."""

    def spawn_anywhere(self, name: str, actor: type, *arguments: Any, placement: Placement = ANYWHERE) -> ActorRef:
        """Start an actor that needs no files of this machine, where there is room, and return at once.

        It is started as soon as a machine has what the ``placement`` wants, and room for it.
        """

    def why_not(self, placement: Placement) -> str:
        """Say why no machine is fit for a placement, however much room there is; empty when one is."""

    def why_wait(self, placement: Placement) -> str:
        """Say why no machine has room for a placement now; empty when one has."""

    def shutdown(self) -> None:
        """End every actor that this runtime started."""


def dismiss(actor: ActorRef) -> None:
    """Let an actor give back what it holds, through its method ``release``, and end it."""
    try:
        actor.ask("release").result(_RELEASE_SECONDS)
    except (ActorLost, NodeUnfit, TimeoutError):
        pass
    except Exception as error:
        # Whatever ended the run matters more than what its end runs into.
        _log.warning("%s could not give back what it held: %s", actor.name, error)
    finally:
        actor.kill()
