"""Listing over XRootD, by its own protocol.

It answers the same questions as `storage.listers.xrootd`, and the same way, but for names, which are bytes all the way.
One event loop, on a thread of its own, keeps all requests of a lister; nothing else runs there.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from engine import paths
from engine.listing import Failed, Outcome
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.paced import Spreadable
from storage.listers.protocol import Request, Sink
from storage.listers.wire import protocol
from storage.listers.wire.connection import Connection, Taking
from storage.listers.wire.connections import Connections
from storage.listers.wire.protocol import Answer, ProtocolError, Status
from storage.listers.wire.questions import Asking, BodyReader, Question, Reply, asking, unsendable
from storage.listers.xrootd_errors import refused
from storage.threads import named

_log = logging.getLogger(__name__)

_MOST_HOPS = 8
"""Redirections that one question follows."""

_SHORTEST_WAIT = 0.5
"""Seconds after which a server that wants a request to wait is asked again, if it names fewer."""

_TICK = 0.25
"""Seconds between two looks at what is late."""

_LEAVING = 2.0
"""Seconds in which the loop of a lister that is closed may end."""


@dataclass(slots=True, eq=False)
class _Flight:
    """A request on its way, and what it asks at the moment; times in seconds of ``time.monotonic``."""

    request: Request
    started: float
    deadline: float
    asking: Asking
    question: Question
    opaque: bytes = b""
    hops: list[tuple[str, int, bytes]] = field(default_factory=list)
    connection: Connection | None = None
    taking: Taking | None = None
    was_begun: bool = False
    was_repeated: bool = False
    is_late: bool = False


class WireLister:
    """Asks one door; ``timeout`` in seconds for each request, ``connections`` TCP connections.

    ``with_ids``: directories are told apart by the ids that the door gives. Where the server wants what is not spoken
    here, ``substitute`` opens another lister, which takes over for good.
    """

    def __init__(
        self,
        door: Door,
        sink: Sink,
        timeout: float = 30.0,
        connections: int = 2,
        with_ids: bool = True,
        substitute: Callable[[Sink, int], Spreadable] | None = None,
    ) -> None:
        self._door = door
        self._sink = sink
        self._timeout = timeout
        self._with_ids = with_ids
        self._substitute = substitute
        self._other: Spreadable | None = None
        self._requests = 0
        self._connections = Connections(door, connections, timeout, self._hand_over)
        self._flights: dict[_Flight, None] = {}
        self._inbox: deque[Request] = deque()
        self._is_woken = False
        self._is_closed = False
        self._loop = asyncio.new_event_loop()
        self._loop.call_soon(self._tick)
        self._thread = threading.Thread(target=self._run, name=named("wire-lister"), daemon=True)
        self._thread.start()

    @property
    def requests(self) -> int:
        """How many requests were sent so far."""
        return self._requests + (0 if self._other is None else self._other.requests)

    def submit(self, request: Request) -> None:
        """Send one request; see `storage.listers.protocol.Lister`."""
        self._inbox.append(request)
        if not self._is_woken and not self._is_closed:
            self._is_woken = True
            # It may be closed at this very moment.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._drain)

    def spread(self, connections: int) -> None:
        """Use so many connections to the door from now on."""
        if not self._is_closed:
            # It may be closed at this very moment.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._spread, connections)

    def close(self) -> None:
        """Drop what is in flight and close the connections."""
        if self._is_closed:
            return
        self._is_closed = True
        self._loop.call_soon_threadsafe(self._leave)
        if threading.current_thread() is not self._thread:
            # Not for ever: the loop may be in the sink, waiting for whoever closes.
            self._thread.join(_LEAVING)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        finally:
            self._loop.close()

    def _leave(self) -> None:
        self._flights.clear()
        self._connections.close(Reason.CONNECTION, "closed")
        if self._other is not None:
            self._other.close()
        # Whatever was cancelled ends first.
        self._loop.call_later(0, self._loop.stop)

    def _drain(self) -> None:
        self._is_woken = False
        while self._inbox and not self._is_closed:
            request = self._inbox.popleft()
            if self._other is not None:
                self._other.submit(request)
            else:
                self._begin(request)

    def _spread(self, connections: int) -> None:
        if self._other is not None:
            self._other.spread(connections)
        else:
            self._connections.resize(connections)

    def _begin(self, request: Request) -> None:
        problem = unsendable(request.path)
        if problem:
            self._sink(request.number, Failed(Reason.BAD_NAME, problem))
            return
        now = time.monotonic()
        steps = asking(request, self._door.locate, self._with_ids)
        question = next(steps)
        flight = _Flight(request, now, now + self._timeout, steps, question)
        self._flights[flight] = None
        self._ask(flight, question)

    def _ask(self, flight: _Flight, question: Question) -> None:
        """Ask the door something for a flight."""
        flight.question, flight.opaque = question, b""
        flight.hops.clear()
        self._send(flight, self._connections.home())

    def _send(self, flight: _Flight, connection: Connection | Failed) -> None:
        flight.connection = flight.taking = None
        if isinstance(connection, Failed):
            self._end(flight, connection)
            return
        self._requests += 1
        flight.was_begun = False
        build, opaque = flight.question.build, flight.opaque
        taking = partial(self._take, flight, flight.question.new_reader())
        flight.connection, flight.taking = connection, taking
        connection.ask(lambda stream: build(stream, opaque), taking)

    def _take(self, flight: _Flight, reader: BodyReader, answer: Answer | Failed) -> None:
        """Take what came back; nothing may be raised here."""
        if flight not in self._flights:
            return
        try:
            self._follow(flight, reader, answer)
        except Exception as error:
            self._end(flight, Failed(Reason.SERVER, f"the answer could not be read: {type(error).__name__}: {error}"))

    def _follow(self, flight: _Flight, reader: BodyReader, answer: Answer | Failed) -> None:
        if isinstance(answer, Failed):
            self._lost(flight, answer)
            return
        match answer.status:
            case Status.OK_SO_FAR:
                flight.was_begun = True
                reader.add(answer.body)
            case Status.OK:
                self._go_on(flight, reader.end(answer.body))
            case Status.ERROR:
                self._go_on(flight, flight.question.read_error(*protocol.error(answer.body)))
            case Status.WAIT:
                self._wait(flight, protocol.pause(answer.body))
            case Status.REDIRECT:
                self._redirect(flight, answer.body)
            case status:
                self._end(flight, Failed(Reason.SERVER, f"an answer of status {status}"))

    def _go_on(self, flight: _Flight, reply: Reply) -> None:
        try:
            question = flight.asking.send(reply)
        except StopIteration as done:
            self._end(flight, done.value)
        else:
            self._ask(flight, question)

    def _lost(self, flight: _Flight, failed: Failed) -> None:
        """Ask once more what was under way on a connection that broke, as long as the server is there."""
        broke = flight.connection is not None and flight.connection.is_ready and failed.reason == Reason.CONNECTION
        if not broke or flight.was_repeated or time.monotonic() >= flight.deadline:
            self._end(flight, failed)
            return
        flight.was_repeated = True
        self._ask(flight, flight.question)

    def _wait(self, flight: _Flight, seconds: int) -> None:
        if time.monotonic() + seconds > flight.deadline:
            self._end(flight, Failed(Reason.TIMEOUT, f"the server wants the request to wait for {seconds} s"))
            return
        connection, flight.connection, flight.taking = flight.connection, None, None
        self._loop.call_later(max(_SHORTEST_WAIT, seconds), self._ask_again, flight, connection)

    def _ask_again(self, flight: _Flight, connection: Connection | None) -> None:
        if flight not in self._flights or self._other is not None:
            return
        if connection is None or connection.is_lost or connection.is_retired:
            self._ask(flight, flight.question)
        else:
            self._send(flight, connection)

    def _redirect(self, flight: _Flight, body: bytes) -> None:
        try:
            host, port, opaque = protocol.redirection(body)
        except ProtocolError as error:
            self._end(flight, Failed(Reason.SERVER, str(error)))
            return
        hop = host, port, opaque
        if hop in flight.hops or len(flight.hops) >= _MOST_HOPS:
            ways = "in a circle" if hop in flight.hops else f"{len(flight.hops) + 1} times"
            self._end(flight, Failed(Reason.CONNECTION, f"sent on {ways}, at last to {host}:{port}"))
            return
        flight.hops.append(hop)
        flight.opaque = b"?" + opaque if opaque else b""
        self._send(flight, self._connections.elsewhere(host, port))

    def _hand_over(self, why: str) -> None:
        """Let another lister do what this one cannot."""
        if self._other is not None or self._is_closed:
            return
        if self._substitute is None:
            self._connections.close(Reason.AUTHENTICATION, f"{why}, which is not spoken here")
            return
        _log.info("%s: %s, so that the client library asks it", self._door.host, paths.escape(why.encode()))
        try:
            self._other = self._substitute(self._sink, self._connections.size)
        except Exception as error:
            self._connections.close(Reason.AUTHENTICATION, f"{why}, and {type(error).__name__}: {error}")
            return
        requests = [flight.request for flight in self._flights]
        self._flights.clear()
        self._connections.close(Reason.CONNECTION, "another lister took over")
        for request in requests:
            self._other.submit(request)

    def _end(self, flight: _Flight, outcome: Outcome) -> None:
        if flight in self._flights:
            del self._flights[flight]
            self._sink(flight.request.number, refused(outcome, self._door.scheme, self._door.host))

    def _tick(self) -> None:
        """Give up what is late at two looks in a row: one may come after a long time in which nobody looked."""
        if self._is_closed:
            return
        self._loop.call_later(_TICK, self._tick)
        self._connections.renew()
        now = time.monotonic()
        # Flights stand in the order of their deadlines.
        for flight in list(itertools.takewhile(lambda flight: flight.deadline <= now, self._flights)):
            if flight.is_late:
                self._give_up(flight)
            flight.is_late = True

    def _give_up(self, flight: _Flight) -> None:
        connection, taking = flight.connection, flight.taking
        self._end(flight, Failed(Reason.TIMEOUT, f"no answer within {self._timeout:g} s"))
        if connection is None or taking is None:
            return
        if connection.heard < flight.started or flight.was_begun:
            # It is stuck, or says more than anybody waits for. Whatever else it was asked may still be answered.
            connection.is_retired = True
        connection.drop(taking)
