"""The XRootD protocol as bytes: the requests that a lister sends, and the answers that come back.

Nothing here does I/O. Numbers and layouts are those of the protocol's specification, version 5; what it calls a stream
is one request that waits for its answer. What comes from a server is checked before it is used, sizes above all.
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag
from typing import NamedTuple

CLIENT_VERSION = 0x520
"""The version of the protocol that is spoken, 5.2.0."""

LARGEST_ANSWER = 1 << 29
"""Bytes of one answer, in all its parts, above which nobody is believed; five million files take fewer."""

_HANDSHAKE = struct.pack(">5i", 0, 0, 0, 4, 2012)
_PROTOCOL = struct.Struct(">HHiBB10xi")
_LOGIN = struct.Struct(">HHi8sBBBBi")
_AUTHENTICATE = struct.Struct(">HH12x4si")
_TOKEN = struct.Struct(">4sBc2xH")
_DIRLIST = struct.Struct(">HH15xBi")
_STAT = struct.Struct(">HH16xi")
_QUERY = struct.Struct(">HHH14xi")
_HEADER = struct.Struct(">HHi")
_NUMBER = struct.Struct(">i")

PART = _HEADER.size
"""Bytes of a part of an answer besides its body."""

_EXPECT_LOGIN = 3
_LOGIN_VERSION = 5
_WITH_ATTRIBUTES = 2
_FOR_A_CHECKSUM = 3
_ANSWER_THAT_WAS_PROMISED = 5008
_LONGEST_TOKEN = 0xFFFE
_NEEDS_SIGNING = 3
"""The level of security from which on questions have to be signed."""

_LONGEST_METHOD = 8
_LONGEST_WORDS = 500
"""Characters of what a server says of an error."""


class Code(IntEnum):
    """What a request asks for."""

    AUTHENTICATE = 3000
    QUERY = 3001
    DIRLIST = 3004
    PROTOCOL = 3006
    LOGIN = 3007
    STAT = 3017


class Status(IntEnum):
    """What kind of answer one is."""

    OK = 0
    OK_SO_FAR = 4000
    ATTENTION = 4001
    MORE_CREDENTIALS = 4002
    ERROR = 4003
    REDIRECT = 4004
    WAIT = 4005
    WAIT_FOR_ANSWER = 4006


_STATUSES = frozenset(Status)


class Want(IntFlag):
    """What a client says of itself before it logs in."""

    SECURITY = 1
    CAN_TLS = 2
    WANTS_TLS = 4


class Offer(IntFlag):
    """What a server says of itself; only what matters before a login."""

    TLS_LOGIN = 0x04000000
    TLS_SESSION = 0x08000000
    GO_TLS = 0x40000000


class ProtocolError(Exception):
    """What came is not this protocol; the connection is of no further use."""


class Answer(NamedTuple):
    """An answer, or a part of one if its status is `Status.OK_SO_FAR`: its stream, its status and its body."""

    stream: int
    status: int
    body: bytes


def hello(want: Want) -> bytes:
    """Give what opens a connection: handshake, and question who the server is. Both are answered, as stream 0."""
    return _HANDSHAKE + _PROTOCOL.pack(0, Code.PROTOCOL, CLIENT_VERSION, want, _EXPECT_LOGIN, 0)


def login(user: bytes, process: int) -> bytes:
    """Log in as a user, of whose name the server sees eight bytes."""
    return _LOGIN.pack(0, Code.LOGIN, process & 0x7FFFFFFF, user[:8], 0, 0, _LOGIN_VERSION, 0, 0)


def token_credentials(token: bytes) -> bytes:
    """Hand in a bearer token, by the method ``ztn``.

    Raises:
        ValueError: it is too long for the protocol.
    """
    if len(token) > _LONGEST_TOKEN:
        raise ValueError("a token that is too long to be sent")
    credentials = _TOKEN.pack(b"ztn", 0, b"T", len(token) + 1) + token + b"\0"
    return _AUTHENTICATE.pack(0, Code.AUTHENTICATE, b"ztn", len(credentials)) + credentials


def dirlist(stream: int, path: bytes, attributes: bool) -> bytes:
    """Ask for everything in a directory, with sizes and times if its ``attributes`` are wanted."""
    return _DIRLIST.pack(stream, Code.DIRLIST, _WITH_ATTRIBUTES if attributes else 0, len(path)) + path


def stat(stream: int, path: bytes) -> bytes:
    """Ask for one path."""
    return _STAT.pack(stream, Code.STAT, len(path)) + path


def checksum(stream: int, path: bytes) -> bytes:
    """Ask for the checksum of a file."""
    return _QUERY.pack(stream, Code.QUERY, _FOR_A_CHECKSUM, len(path)) + path


def offer(body: bytes) -> tuple[Offer, bool]:
    """Read what a server says of itself, and whether it wants questions of ours to be signed."""
    if len(body) < 8:
        raise ProtocolError("an answer to the question for the protocol that is too short")
    flags = int.from_bytes(body[4:8], "big")
    return Offer(flags & sum(Offer)), body[8:9] == b"S" and _is_signed(body[8:])


def _is_signed(security: bytes) -> bool:
    """Read what is to be signed: a letter, a byte, version, options, level, and exceptions for single requests."""
    if len(security) < 6:
        return False
    exceptions = security[6 : 6 + 2 * security[5]]
    ours = {code - Code.AUTHENTICATE for code in (Code.DIRLIST, Code.STAT)}
    named = any(exceptions[at] in ours and exceptions[at + 1] for at in range(0, len(exceptions) - 1, 2))
    return security[4] >= _NEEDS_SIGNING or named


def methods(body: bytes) -> tuple[bytes, ...]:
    """Read out of the answer to a login how the server wants to know who asks, in its order; empty if it does not."""
    if len(body) < 16:
        raise ProtocolError("an answer to a login that is too short")
    wanted = body[16:].rstrip(b"\0")
    found = tuple(method.partition(b",")[0][:_LONGEST_METHOD] for method in wanted.split(b"&P=")[1:])
    if wanted and not found:
        raise ProtocolError("an answer to a login that cannot be read")
    return found


def error(body: bytes) -> tuple[int, str]:
    """Read the number of an error, and what is said of it."""
    if len(body) < 4:
        raise ProtocolError("an error without a number")
    said = body[4 : 4 + _LONGEST_WORDS].partition(b"\0")[0].decode(errors="replace")
    return _NUMBER.unpack_from(body)[0], "".join([c if c.isprintable() else " " for c in said])


def redirection(body: bytes) -> tuple[str, int, bytes]:
    """Read where to ask instead: the host, its port, and what is to be put behind the path."""
    if len(body) < 5:
        raise ProtocolError("a redirection to nowhere")
    port = _NUMBER.unpack_from(body)[0]
    name, _, opaque = body[4:].rstrip(b"\0").partition(b"?")
    host = name.decode("latin-1")
    if not 0 < port < 65536 or not host or not host.isascii() or not host.isprintable() or set(host) & set(" /@"):
        raise ProtocolError("a redirection that cannot be followed")
    return host.strip("[]"), port, opaque.partition(b"?")[0]


def pause(body: bytes) -> int:
    """Read for how many seconds a server wants a request to wait."""
    if len(body) < 4:
        raise ProtocolError("a wait without a time")
    seconds: int = _NUMBER.unpack_from(body)[0]
    return max(0, seconds)


class Reader:
    """Cuts what comes over a connection into answers; it holds no more than one that is not whole yet."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def __len__(self) -> int:
        """Count the bytes of an answer that is not whole yet."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[Answer]:
        """Take in bytes; give the answers, and parts of such, that are whole now.

        Raises:
            ProtocolError: this is not the protocol.
        """
        rest = self._rest
        buffer: bytes | bytearray = data
        if rest:
            rest += data
            buffer = rest
        answers: list[Answer] = []
        start, end = 0, len(buffer)
        view = memoryview(buffer)
        try:
            while end - start >= _HEADER.size:
                stream, status, length = _HEADER.unpack_from(view, start)
                if not 0 <= length <= LARGEST_ANSWER or status not in _STATUSES:
                    raise ProtocolError(f"not an XRootD server: status {status}, {length} bytes")
                stop = start + _HEADER.size + length
                if stop > end:
                    break
                body = bytes(view[start + _HEADER.size : stop])
                if status == Status.ATTENTION:
                    late = _late(body)
                    answers += [] if late is None else [late]
                else:
                    answers.append(Answer(stream, status, body))
                start = stop
        finally:
            view.release()
        if rest:
            del rest[:start]
        else:
            rest += data[start:] if start else data
        return answers


def _late(body: bytes) -> Answer | None:
    """Unwrap an answer that was promised earlier; what else a server calls attention to is its own affair."""
    if len(body) < 4 or _NUMBER.unpack_from(body)[0] != _ANSWER_THAT_WAS_PROMISED:
        return None
    if len(body) < 16:
        raise ProtocolError("a late answer that is too short")
    stream, status, length = _HEADER.unpack_from(body, 8)
    if length != len(body) - 16 or status not in _STATUSES or status == Status.ATTENTION:
        raise ProtocolError("a late answer of another length, or of no known status")
    return Answer(stream, status, body[16:])
