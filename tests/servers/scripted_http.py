"""A server of HTTP/1.1 that says whatever a test has it say, byte by byte: what no real one can be made to."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from collections.abc import Callable, Iterable

from tests.servers.scripted import ScriptedListener

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_MOST = 1 << 20

Script = Callable[[bytes], Iterable[bytes]]
"""Gives what is sent in answer to a request, from its head; a connection is closed behind an answer that ends early."""


def answer(status: str, *headers: str, body: bytes = b"") -> list[bytes]:
    """Make an answer."""
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers])
    return [head.encode("latin-1") + b"\r\n\r\n" + body]


def path_of(head: bytes) -> bytes:
    """Give what a request is about, as it was sent."""
    return head.split(b" ", 2)[1]


class ScriptedHTTP(ScriptedListener):
    """Follows a script, over TLS if there is a ``context``. Use it as a context manager.

    ``asked`` are the heads of the requests that came.
    """

    sends_at_once = True

    def __init__(self, script: Script, context: ssl.SSLContext | None = None, scheme: str = "") -> None:
        self.script = script
        self.asked: list[bytes] = []
        self.scheme = scheme or ("dav" if context is None else "davs")
        self._context = context
        super().__init__()

    def serve(self, client: socket.socket) -> socket.socket:
        """Follow the script, request by request."""
        if self._context is not None:
            client = self._context.wrap_socket(client, server_side=True)
            self.open.append(client)
        with contextlib.suppress(OSError):
            while head := _head(client):
                self.asked.append(head)
                for piece in self.script(head):
                    client.sendall(piece)
        return client


def _head(client: socket.socket) -> bytes:
    """Read one request; gives its head, empty at the end of them."""
    taken = bytearray()
    while b"\r\n\r\n" not in taken:
        there = client.recv(4096)
        if not there or len(taken) > _MOST:
            return b""
        taken += there
    head, _, body = bytes(taken).partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    left = (int(length[1]) if length else 0) - len(body)
    while left > 0 and (there := client.recv(left)):
        left -= len(there)
    return head
