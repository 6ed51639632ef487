"""What an XRootD server says before anybody is let in: its protocol, encryption, and how it wants to know who asks.

This is the beginning of a conversation and no more of it: the connection is closed behind the login.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from storage.listers.credentials import explain_tls
from storage.listers.wire import protocol
from storage.listers.wire.protocol import Answer, Offer, ProtocolError, Reader, Status, Want
from storage.listers.wire.tls import TLSError, tls_context
from storage.shown import one_line, printable

_ENCRYPTING = Offer.GO_TLS | Offer.TLS_LOGIN
_USER = b"doctor"


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a server said: see `engine.diagnosing.facts.DoorProbe`; ``seconds`` is what its first answer took."""

    protocol: str = ""
    seconds: float | None = None
    tls: str = ""
    certificate_ends: float | None = None
    wants: tuple[str, ...] | None = None
    problem: str = ""
    advice: str = ""


_CREDENTIALS = "see docs/doors.md, credentials"
_SILENT = "see whether the server hangs, or something on the way holds it up"
_OTHER = "see whether host and port are those of an XRootD server"


def greet(connected: socket.socket, host: str, wants_tls: bool, environment: Mapping[str, str]) -> Greeting:
    """Begin a conversation over a connection, which is closed then; what goes wrong is in what is given back."""
    conversation = _Conversation(connected, host, environment)
    try:
        return conversation.begin(wants_tls)
    except ProtocolError as error:
        return Greeting(problem=printable(f"it does not speak XRootD's protocol: {error}"), advice=_OTHER)
    except TLSError as error:
        return Greeting(problem=printable(str(error)), advice=_CREDENTIALS)
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or one_line(error)
        words = f"no encryption: {reason}: {explain_tls(environment)}"
        return Greeting(problem=printable(words), advice=_CREDENTIALS)
    except OSError as error:
        words = "it says nothing" if isinstance(error, TimeoutError) else error.strerror or one_line(error)
        return Greeting(problem=printable(words), advice=_SILENT)
    finally:
        conversation.close()


class _Conversation:
    """The first words, over a connection that may become an encrypted one; it is closed with `close`."""

    def __init__(self, connected: socket.socket, host: str, environment: Mapping[str, str]) -> None:
        self._stream = connected
        self._host = host
        self._environment = environment

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def begin(self, wants_tls: bool) -> Greeting:
        """Ask who the server is, encrypt if it wants that, and log in."""
        want = Want.SECURITY | Want.CAN_TLS | (Want.WANTS_TLS if wants_tls else Want(0))
        began = time.monotonic()
        self._stream.sendall(protocol.hello(want))
        _, introduced = _answers(self._stream, 2)
        said = Greeting(_version(introduced.body), time.monotonic() - began)
        offer, _ = protocol.offer(introduced.body)
        if offer & _ENCRYPTING:
            encrypted = tls_context(self._environment).wrap_socket(self._stream, server_hostname=self._host)
            self._stream = encrypted
            said = replace(said, tls=encrypted.version() or "TLS", certificate_ends=_end_of(encrypted))
        elif wants_tls:
            return replace(said, problem="TLS: the server does not encrypt", advice=_CREDENTIALS)
        self._stream.sendall(protocol.login(_USER, os.getpid()))
        (logged_in,) = _answers(self._stream, 1)
        if logged_in.status == Status.ERROR:
            number, words = protocol.error(logged_in.body)
            refused = printable(f"it lets nobody in: [{number}] {words}")
            return replace(said, problem=refused, advice=_CREDENTIALS)
        if logged_in.status != Status.OK:
            return replace(said, problem=f"it answers a login with {logged_in.status}", advice=_OTHER)
        wants = tuple(method.decode("ascii", "replace") for method in protocol.methods(logged_in.body))
        return replace(said, wants=tuple(map(printable, wants)))


def _answers(stream: socket.socket, count: int) -> list[Answer]:
    reader = Reader()
    answers: list[Answer] = []
    while len(answers) < count:
        data = stream.recv(1 << 16)
        if not data:
            raise ProtocolError("the server closed the connection")
        answers += reader.feed(data)
        if len(reader) > 1 << 20:
            raise ProtocolError("an answer to a login without an end")
    if answers[-1].status == Status.ERROR and count > 1:
        _, words = protocol.error(answers[-1].body)
        raise ProtocolError(words)
    return answers[:count]


def _version(body: bytes) -> str:
    """Read the version of the protocol, a digit of four bits for each part: ``XRootD protocol 5.2.0``."""
    number = int.from_bytes(body[:4], "big")
    return f"XRootD protocol {number >> 8}.{number >> 4 & 15}.{number & 15}"


def _end_of(encrypted: ssl.SSLSocket) -> float | None:
    certificate = encrypted.getpeercert() or {}
    ends = certificate.get("notAfter")
    return float(ssl.cert_time_to_seconds(ends)) if isinstance(ends, str) else None
