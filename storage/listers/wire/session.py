"""One connection's conversation, without the connection: what is to be sent, and what an answer means.

It begins with who the server is, goes on with encryption and a token where the server wants them, and ends with
requests and answers. A session that cannot begin says why: because the server refuses, or because it wants something
that is not spoken here and that another client may speak.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from engine.states import Reason
from storage.listers.credentials import read_token
from storage.listers.wire import protocol
from storage.listers.wire.protocol import Answer, Offer, ProtocolError, Reader, Status, Want

_STREAMS = 65535
"""Numbers of streams, of which 0 is kept for the beginning."""

_MOST_BYTES = 2 * protocol.LARGEST_ANSWER
"""Bytes of the parts of all answers together that are not whole yet."""

_MOST_BEFORE_LOGIN = 1 << 20
"""Bytes of an answer that is not whole yet, from which on a server that lets nobody in yet is not believed."""

_TOKENS = b"ztn"


class _Phase(Enum):
    GREETED = auto()
    INTRODUCED = auto()
    ENCRYPTING = auto()
    LOGGED_IN = auto()
    ENCRYPTING_LATE = auto()
    AUTHENTICATED = auto()
    READY = auto()


@dataclass(frozen=True, slots=True)
class StartTLS:
    """The connection is to be encrypted now; then `Session.encrypted` goes on."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Requests may be sent."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The server does not let us in."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Unspoken:
    """The server wants something that is not spoken here."""

    detail: str


Event: TypeAlias = StartTLS | Ready | Refused | Unspoken | Answer


class Session:
    """Bytes in, events and bytes out. ``outgoing`` collects what is to be sent; whoever sends it clears it.

    ``heard`` counts the answers to requests that came, and parts of such, whoever waits for them.

    ``environment`` is looked into for a token when a server wants one. With ``wants_tls`` a server that does not
    encrypt is refused.
    """

    def __init__(self, user: str, wants_tls: bool, environment: Callable[[], Mapping[str, str]]) -> None:
        self._user = user.encode("utf-8", "replace")
        self._wants_tls = wants_tls
        self._environment = environment
        self._reader = Reader()
        self._phase = _Phase.GREETED
        self._offer = Offer(0)
        self._is_encrypted = False
        self._methods: tuple[bytes, ...] = ()
        self._last = 0
        # Streams that wait for an answer with the bytes of it that came, and those whose answer nobody waits for now.
        self._open: dict[int, int] = {}
        self._dropped: set[int] = set()
        self._held = 0
        self.heard = 0
        want = Want.SECURITY | Want.CAN_TLS | (Want.WANTS_TLS if wants_tls else Want(0))
        self.outgoing = bytearray(protocol.hello(want))

    @property
    def is_ready(self) -> bool:
        """Whether requests may be sent."""
        return self._phase is _Phase.READY

    @property
    def dropped(self) -> int:
        """How many answers nobody waits for any more."""
        return len(self._dropped)

    def stream(self) -> int | None:
        """Give the number for a new request, or None while all are in use."""
        if len(self._open) + len(self._dropped) >= _STREAMS:
            return None
        while True:
            self._last = self._last % _STREAMS + 1
            if self._last not in self._open and self._last not in self._dropped:
                self._open[self._last] = 0
                return self._last

    def drop(self, stream: int) -> None:
        """Wait no longer for an answer; the number is not used again before it came."""
        held = self._open.pop(stream, None)
        if held is not None:
            self._held -= held
            self._dropped.add(stream)

    def receive(self, data: bytes) -> list[Event]:
        """Take in what came.

        Raises:
            ProtocolError: this is no XRootD server, or one that cannot be trusted with more memory.
        """
        events: list[Event] = []
        answers = self._reader.feed(data)
        if not self.is_ready and len(self._reader) > _MOST_BEFORE_LOGIN:
            raise ProtocolError("an answer to a login without an end")
        self.heard += len(answers) if self.is_ready else 0
        for answer in answers:
            if self._phase is _Phase.READY:
                if self._is_awaited(answer):
                    events.append(answer)
            else:
                events += self._begin(answer)
        return events

    def encrypted(self) -> list[Event]:
        """Go on after `StartTLS`.

        Raises:
            ProtocolError: something was said before, in the clear, that might be taken for what is encrypted.
        """
        if len(self._reader):
            raise ProtocolError("something was said between the beginning and the encryption")
        self._is_encrypted = True
        if self._phase is _Phase.ENCRYPTING_LATE:
            return self._authenticate()
        self._log_in()
        return []

    def _is_awaited(self, answer: Answer) -> bool:
        stream, status, body = answer
        if stream in self._dropped:
            if status not in (Status.OK_SO_FAR, Status.WAIT_FOR_ANSWER):
                self._dropped.discard(stream)
            return False
        if stream not in self._open:
            raise ProtocolError("an answer that nobody waits for")
        if status == Status.WAIT_FOR_ANSWER:
            # The same stream's answer comes later.
            return False
        if status != Status.OK_SO_FAR:
            self._held -= self._open.pop(stream)
            return True
        # A part takes memory even if there is nothing in it.
        size = len(body) + protocol.PART
        self._open[stream] += size
        self._held += size
        if self._open[stream] > protocol.LARGEST_ANSWER or self._held > _MOST_BYTES:
            raise ProtocolError("an answer without an end")
        return True

    def _begin(self, answer: Answer) -> list[Event]:
        if answer.stream != 0:
            raise ProtocolError("an answer before any question")
        if answer.status == Status.ERROR:
            return [self._refused(*protocol.error(answer.body))]
        if answer.status == Status.MORE_CREDENTIALS:
            return [Unspoken("it wants more than one round of credentials")]
        if answer.status != Status.OK:
            return [Unspoken(f"it answers a login with {answer.status}")]
        match self._phase:
            case _Phase.GREETED:
                self._phase = _Phase.INTRODUCED
                return []
            case _Phase.INTRODUCED:
                return self._introduced(answer.body)
            case _Phase.LOGGED_IN:
                self._methods = protocol.methods(answer.body)
                if Offer.TLS_SESSION in self._offer and not self._is_encrypted:
                    self._phase = _Phase.ENCRYPTING_LATE
                    return [StartTLS()]
                return self._authenticate()
            case _Phase.AUTHENTICATED:
                return self._ready()
            case _:
                raise ProtocolError("an answer while the connection is being encrypted")

    def _refused(self, number: int, said: str) -> Event:
        if len(self._methods) > 1:
            return Unspoken(f"it takes no token ({said}), and may take something else")
        is_login = self._phase in (_Phase.LOGGED_IN, _Phase.AUTHENTICATED)
        return Refused(Reason.AUTHENTICATION if is_login else Reason.CONNECTION, f"[{number}] {said}")

    def _introduced(self, body: bytes) -> list[Event]:
        self._offer, is_signed = protocol.offer(body)
        if is_signed:
            return [Unspoken("it wants requests to be signed")]
        if Offer.GO_TLS in self._offer or Offer.TLS_LOGIN in self._offer:
            self._phase = _Phase.ENCRYPTING
            return [StartTLS()]
        if self._wants_tls:
            return [Refused(Reason.AUTHENTICATION, "TLS: the server does not encrypt")]
        self._log_in()
        return []

    def _log_in(self) -> None:
        self._phase = _Phase.LOGGED_IN
        self.outgoing += protocol.login(self._user, os.getpid())

    def _authenticate(self) -> list[Event]:
        if not self._methods:
            return self._ready()
        environment = self._environment()
        names = ", ".join([method.decode("ascii", "replace") for method in self._methods])
        chosen = environment.get("XrdSecPROTOCOL", "").split(",")
        if _TOKENS not in self._methods or not self._is_encrypted or chosen[0].strip() not in ("", "ztn"):
            return [Unspoken(f"it wants to know who asks by {names}")]
        found = read_token(environment)
        if found is None or not found[1]:
            if len(self._methods) > 1:
                return [Unspoken(f"it wants to know who asks by {names}, and there is no token")]
            return [Refused(Reason.AUTHENTICATION, "the server wants a token (ztn)")]
        try:
            self.outgoing += protocol.token_credentials(found[1])
        except ValueError as error:
            return [Refused(Reason.AUTHENTICATION, str(error))]
        self._phase = _Phase.AUTHENTICATED
        return []

    def _ready(self) -> list[Event]:
        self._phase = _Phase.READY
        return [Ready()]
