"""Listing over WebDAV, with as many threads as there are connections: HTTP/1.1 answers one request of each at a time.

``docs/decisions/0020-listing-over-http.md`` says why threads, and why this library.
"""

from __future__ import annotations

import os
import time

from engine.listing import Failed, Outcome
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.pool import PoolLister
from storage.listers.protocol import Request, Sink
from storage.listers.webdav.client import REDIRECTS_BLINDLY, Client, Question
from storage.listers.webdav.identity import Identity
from storage.listers.webdav.questions import Readings, asking, unsendable
from storage.listers.xrootd_errors import refused
from storage.quiet import no_debugging

SECURE = ("davs", "https")
PLAIN = ("dav", "http")


class WebDavLister(PoolLister):
    """Asks one door over up to ``connections`` connections; ``timeout`` in seconds for each request."""

    def __init__(self, door: Door, sink: Sink, timeout: float = 30.0, connections: int = 4) -> None:
        # What it says besides of each request is for who works at it, and says what is shown to whom.
        no_debugging("httpcore")
        self._door = door
        self._identity = Identity(os.environ, door.scheme in SECURE)
        self._readings = Readings()
        super().__init__(sink, timeout, connections, lambda: _Worker(door, self._identity, self._readings, timeout))


def is_xrootd(door: Door, seconds: float) -> bool | None:
    """Ask a door whether it calls itself an XRootD server; None if it does not answer in time."""
    client = Client(door, Identity(os.environ, door.scheme in SECURE))
    try:
        reply = client.ask(Question(door.locate(b"/")), time.monotonic() + seconds)
    finally:
        client.release()
    if isinstance(reply.said, Failed) and reply.said.reason.is_silence:
        return None
    return reply.server.startswith(REDIRECTS_BLINDLY)


class _Worker:
    """Asks one question after the other."""

    def __init__(self, door: Door, identity: Identity, readings: Readings, timeout: float) -> None:
        self._door = door
        self._readings = readings
        self._timeout = timeout
        self._client = Client(door, identity)

    @property
    def requests(self) -> int:
        """How many requests were sent so far."""
        return self._client.requests

    def answer(self, request: Request, deadline: float) -> Outcome:
        """Answer a request; see `storage.listers.pool.Worker`."""
        problem = unsendable(request.path)
        if problem:
            return Failed(Reason.BAD_NAME, problem)
        steps = asking(request, self._door.locate, self._readings)
        question = next(steps)
        while True:
            reply = self._client.ask(question, deadline)
            try:
                question = steps.send(reply)
            except StopIteration as done:
                return refused(done.value, self._door.scheme, self._door.host)
            if time.monotonic() >= deadline:
                late = Failed(Reason.TIMEOUT, f"no answer within {self._timeout:g} s")
                return refused(late, self._door.scheme, self._door.host)

    def close(self) -> None:
        """Break what is under way."""
        self._client.close()

    def release(self) -> None:
        """Give back the connections."""
        self._client.release()
