"""One connection to one server, on the event loop: requests go out at once or when it is open, answers come back."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Callable
from typing import TypeAlias, cast

from engine.listing import Failed
from engine.states import Reason
from storage.listers.credentials import Login
from storage.listers.wire.addresses import connect, number_of
from storage.listers.wire.protocol import Answer, ProtocolError, Status
from storage.listers.wire.session import Event, Ready, Refused, Session, StartTLS, Unspoken
from storage.listers.wire.tls import TLSError, tls_context

_OPEN_SECONDS = 10.0
"""Seconds in which a server has to let us in; less where a request may not take so long."""

_MOST_DROPPED = 1000
"""Answers that nobody waits for any more, from which on a connection is given up."""

Taking: TypeAlias = Callable[[Answer | Failed], None]
"""Takes the parts of an answer, and its end, or why there is none; nothing may be raised."""

_Build: TypeAlias = Callable[[int], bytes]


class Connection(asyncio.Protocol):
    """Asks one server. All methods are called on the event loop, and so are the callbacks.

    ``unspoken`` is called with the words for what the server wants and is not spoken here; requests then stay without
    an answer. ``lost`` is called, before whoever waits learns it, when there will be no more answers. ``made`` is when
    it began, and ``heard`` when the last answer to a request came, in seconds of ``time.monotonic``. A connection that
    ``is_retired`` is asked nothing more, and closes when it has answered what it was asked. ``label`` begins what is
    said of it. ``unwell`` holds the addresses of the host that let nobody in; ``has_others`` says of a connection that
    was lost whether one to another address may do better.
    """

    def __init__(
        self,
        host: str,
        port: int,
        user: str,
        wants_tls: bool,
        seconds: float,
        unspoken: Callable[[str], None],
        lost: Callable[[Connection, Failed], None],
        label: str = "",
        unwell: set[str] | None = None,
    ) -> None:
        self.made = time.monotonic()
        self.heard = 0.0
        self.is_lost = False
        self.is_retired = False
        self.place = host, port
        self.has_others = False
        self._host, self._label = host, label
        self._unwell = set() if unwell is None else unwell
        self._number = ""
        self._unspoken, self._lost = unspoken, lost
        self._login = Login()
        self._session = Session(user, wants_tls, lambda: os.environ)
        self._transport: asyncio.Transport | None = None
        self._unsent: list[tuple[_Build, Taking]] = []
        self._waiting: dict[int, Taking] = {}
        self._is_flushing = False
        self._seconds = min(seconds, _OPEN_SECONDS)
        loop = asyncio.get_running_loop()
        self._opening: asyncio.Task[None] = loop.create_task(self._open())
        self._encrypting: asyncio.Task[None] | None = None
        self._too_late = loop.call_later(self._seconds, self._close_late)

    @property
    def load(self) -> int:
        """How many requests wait for an answer."""
        return len(self._unsent) + len(self._waiting)

    @property
    def is_ready(self) -> bool:
        """Whether the server has let us in."""
        return self._session.is_ready

    @property
    def is_over(self) -> bool:
        """Whether another connection would be better, for what the server knows of who asks."""
        return self._login.is_over()

    def ask(self, build: _Build, taking: Taking) -> None:
        """Send a request, which is built for the number of a stream; ``taking`` gets what comes back."""
        if self._session.is_ready:
            self._send(build, taking)
        else:
            self._unsent.append((build, taking))

    def drop(self, taking: Taking) -> None:
        """Wait no longer for an answer."""
        self._unsent = [(build, other) for build, other in self._unsent if other is not taking]
        for stream, other in self._waiting.items():
            if other is taking:
                del self._waiting[stream]
                self._session.drop(stream)
                break
        if self._session.dropped > _MOST_DROPPED:
            self.is_retired = True
        self._close_if_done()

    def retire(self) -> None:
        """Take no further requests."""
        self.is_retired = True
        self._close_if_done()

    def lose(self, reason: Reason, detail: str) -> None:
        """Give up on the server; whatever waits for it learns why."""
        if self.is_lost:
            return
        self.is_lost = True
        self._too_late.cancel()
        for task in (self._opening, self._encrypting):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        if self._transport is not None:
            self._transport.abort()
        failed = Failed(reason, self._label + detail)
        if self._number and not self.is_ready and not self.is_retired and reason != Reason.AUTHENTICATION:
            self._unwell.add(self._number)
        self._lost(self, failed)
        waiting = [*self._waiting.values(), *(taking for _, taking in self._unsent)]
        self._waiting, self._unsent = {}, []
        for taking in waiting:
            taking(failed)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the server."""
        self._transport = cast("asyncio.Transport", transport)
        if self.is_lost:
            self._transport.abort()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Hand answers to whoever waits for them."""
        if self.is_lost:
            return
        before = self._session.heard
        try:
            for event in self._session.receive(data):
                if not self.is_lost:
                    self._take(event)
        except ProtocolError as error:
            self.lose(Reason.CONNECTION, str(error))
            return
        if self._session.heard > before:
            self.heard = time.monotonic()
        self._flush()
        self._close_if_done()

    def connection_lost(self, error: Exception | None) -> None:
        """The server hung up, or the way to it broke."""
        if self._encrypting is not None and not self._encrypting.done():
            # Whoever encrypts knows better why.
            return
        if isinstance(error, ssl.SSLError) and not self.is_ready and not self.is_lost:
            # With TLS 1.3 a server refuses a client without a certificate only now.
            self._unspoken(f"TLS: {_words(error)}")
            return
        self.lose(Reason.CONNECTION, _words(error) if error is not None else "the server closed the connection")

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            connected, self.has_others = await connect(*self.place, self._unwell)
            self._number = number_of(connected)
            try:
                await loop.create_connection(lambda: self, sock=connected)
            except BaseException:
                connected.close()
                raise
        except (OSError, ValueError) as error:
            # A name of a host may not even be one that can be looked up.
            self.lose(Reason.CONNECTION, _words(error))

    def _close_late(self) -> None:
        what = "connection" if self._transport is None else "login"
        self.lose(Reason.TIMEOUT, f"no {what} within {self._seconds:g} s")

    def _take(self, event: Event) -> None:
        match event:
            case Answer(stream, status):
                taking = self._waiting.get(stream)
                if taking is None:
                    return
                if status != Status.OK_SO_FAR:
                    del self._waiting[stream]
                taking(event)
            case Ready():
                self._too_late.cancel()
                self._unwell.discard(self._number)
                unsent, self._unsent = self._unsent, []
                for build, taking in unsent:
                    self._send(build, taking)
            case StartTLS():
                self._encrypting = asyncio.get_running_loop().create_task(self._encrypt())
            case Refused(reason, detail):
                self.lose(reason, detail)
            case Unspoken(detail):
                self._too_late.cancel()
                self._unspoken(detail)

    async def _encrypt(self) -> None:
        assert self._transport is not None
        try:
            context = tls_context(os.environ)
            transport = await asyncio.get_running_loop().start_tls(
                self._transport, self, context, server_hostname=self._host, ssl_handshake_timeout=self._seconds
            )
            if transport is None or transport.is_closing():
                raise ConnectionResetError("the server closed the connection")
            self._transport = transport
            events = self._session.encrypted()
        except (TLSError, ssl.SSLCertVerificationError) as error:
            self.lose(Reason.AUTHENTICATION, f"TLS: {_words(error)}")
        except ssl.SSLError as error:
            self._unspoken(f"TLS: {_words(error)}")
        except (OSError, ValueError, ProtocolError) as error:
            # Not every name of a host can stand in a certificate.
            self.lose(Reason.CONNECTION, f"TLS: {_words(error)}")
        else:
            for event in events:
                self._take(event)
            self._flush()

    def _send(self, build: _Build, taking: Taking) -> None:
        stream = self._session.stream()
        if stream is None:
            taking(Failed(Reason.CONNECTION, "too many requests without an answer"))
            return
        self._waiting[stream] = taking
        self._session.outgoing += build(stream)
        if not self._is_flushing:
            # What else is asked at this moment goes out with it.
            self._is_flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        if self._session.outgoing and self._transport is not None and not self._transport.is_closing():
            self._transport.write(bytes(self._session.outgoing))
            self._session.outgoing.clear()

    def _close_if_done(self) -> None:
        if self.is_retired and not self.load and not self.is_lost:
            self.lose(Reason.CONNECTION, "closed")


def _words(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return str(error.reason or error)
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, socket.gaierror):
        # What asyncio says in its place holds the address as Python writes it.
        return os.strerror(error.errno).lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return str(error) or type(error).__name__
