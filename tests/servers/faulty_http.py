"""A door over HTTP that goes wrong on demand: a proxy in front of a real server, answer by answer."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

from tests.servers.faulty_proxy import FORWARD, Fault, FaultyProxy, exactly

_LOOK = 4096
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_SERVER = re.compile(rb"\r\nserver: [^\r]*", re.IGNORECASE)


class FaultyHTTPProxy(FaultyProxy):
    """Forwards to a server that speaks ``scheme``, without TLS; see `FaultyProxy`."""

    def __init__(self, port: int, fault: Fault = FORWARD, scheme: str = "dav") -> None:
        self._scheme = scheme
        super().__init__(port, fault)

    @property
    def url(self) -> str:
        return f"{self._scheme}://localhost:{self.port}"

    def frame(self, server: socket.socket) -> bytes:
        head = _until(server, b"\r\n\r\n")
        if not head:
            return b""
        if _CHUNKED.search(head):
            return head + _chunks(server)
        length = _LENGTH.search(head)
        return head + exactly(server, int(length[1]) if length else 0)

    def rewritten(self, frame: bytes, rewrite: Callable[[bytes], bytes]) -> bytes:
        head, body = parts_of(frame)
        return with_body(head, rewrite(body))


def parts_of(answer: bytes) -> tuple[bytes, bytes]:
    """Take an answer apart, into its head and its body, which is in one piece."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if not _CHUNKED.search(head):
        return head, body
    whole = bytearray()
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        whole += body[:length]
        body = body[length + 2 :] if length else b""
    return _CHUNKED.sub(b"", head), bytes(whole)


def with_body(head: bytes, body: bytes) -> bytes:
    """Put an answer together."""
    return _LENGTH.sub(b"", head) + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def saying(status: str, *headers: str, body: bytes = b"") -> Callable[[bytes], bytes]:
    """Give another answer in the place of each one."""
    head = "\r\n".join([f"HTTP/1.1 {status}", "Server: other", *headers]).encode()
    return lambda answer: with_body(head, body)


def from_stranger(answer: bytes) -> bytes:
    """Have an answer come from a server of which nothing is known."""
    return _SERVER.sub(b"\r\nServer: stranger", answer)


def cut_short(answer: bytes) -> bytes:
    """Leave out the end of an answer's body, in a way that only its length, or its form, tells."""
    head, body = parts_of(answer)
    return with_body(head, body)[: -len(body) // 2]


def _until(server: socket.socket, end: bytes) -> bytes:
    taken = bytearray()
    while end not in taken:
        there = server.recv(_LOOK, socket.MSG_PEEK)
        if not there:
            return b""
        # Not a byte of what comes behind it.
        found = (taken[-len(end) :] + there).find(end)
        count = len(there) if found < 0 else found + len(end) - len(taken[-len(end) :])
        taken += exactly(server, count)
    return bytes(taken)


def _chunks(server: socket.socket) -> bytes:
    taken = bytearray()
    while True:
        size = _until(server, b"\r\n")
        length = int(size, 16) if size else 0
        taken += size + exactly(server, length + 2)
        if not length:
            return bytes(taken)
