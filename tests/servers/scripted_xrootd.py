"""A server of XRootD's protocol that says whatever a test has it say: what no real one can be made to."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable

from tests.servers.scripted import ScriptedListener

_HEADER = struct.Struct(">HHi")
_REQUEST = struct.Struct(">HH16si")
_HANDSHAKE = 20

OK, OK_SO_FAR, ATTENTION, MORE, ERROR, REDIRECT, WAIT, WAIT_FOR_ANSWER = 0, 4000, 4001, 4002, 4003, 4004, 4005, 4006
AUTHENTICATE, DIRLIST, PROTOCOL, LOGIN, STAT = 3000, 3004, 3006, 3007, 3017

GREETING = struct.pack(">ii", 0x511, 1)
NOTHING_SPECIAL = struct.pack(">iI", 0x511, 1)
LOGGED_IN = bytes(16)

Script = Callable[[int, int, bytes], Iterable[bytes]]
"""Gives what is sent in answer to a request, from its stream, its code and its path."""


def frame(stream: int, status: int, body: bytes = b"") -> bytes:
    """Make an answer."""
    return _HEADER.pack(stream, status, len(body)) + body


def late(stream: int, status: int, body: bytes = b"") -> bytes:
    """Make an answer that was promised before."""
    return frame(0, ATTENTION, struct.pack(">i4x", 5008) + frame(stream, status, body))


def error(stream: int, number: int, words: bytes) -> bytes:
    """Make an error."""
    return frame(stream, ERROR, struct.pack(">i", number) + words + b"\0")


def redirect(stream: int, port: int, host: bytes = b"localhost") -> bytes:
    """Make a redirection."""
    return frame(stream, REDIRECT, struct.pack(">i", port) + host)


class ScriptedServer(ScriptedListener):
    """Lets everybody in, as ``protocol`` and ``login`` are answered, and follows a script. Use it as a context manager.

    ``asked`` are the requests that came, as code and path; ``logins`` how many began.
    """

    scheme = "root"

    def __init__(
        self, script: Script, protocol: bytes = NOTHING_SPECIAL, login: bytes = LOGGED_IN, greeting: bytes = GREETING
    ) -> None:
        self.script = script
        self.asked: list[tuple[int, bytes]] = []
        self.logins = 0
        self._first = frame(0, OK, greeting)
        self._protocol, self._login = frame(0, OK, protocol), frame(0, OK, login)
        super().__init__()

    def serve(self, client: socket.socket) -> socket.socket:
        """Let the client in, and follow the script, request by request."""
        if not _exactly(client, _HANDSHAKE):
            return client
        client.sendall(self._first)
        while request := _exactly(client, _REQUEST.size):
            stream, code, _, length = _REQUEST.unpack(request)
            path = _exactly(client, length)
            if code == PROTOCOL:
                client.sendall(self._protocol)
            elif code == LOGIN:
                self.logins += 1
                client.sendall(self._login)
            else:
                self.asked.append((code, path))
                for piece in self.script(stream, code, path):
                    client.sendall(piece)
        return client


def _exactly(client: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count and (part := client.recv(count - len(parts))):
        parts += part
    return bytes(parts)
