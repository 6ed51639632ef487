"""A door that goes wrong on demand: a TCP proxy in front of a real XRootD server."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

_HEADER = struct.Struct(">HHI")
"""A frame of the protocol's answers begins with its stream, its status and the length of its body."""

LISTING = b".\n0 0 0 0\n"
"""How the body of a listing with attributes begins."""

_CHUNK = 65536
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Fault:
    """What a proxy does with the server's answers; nothing is forwarded as it is, in whole frames.

    ``delay`` holds each chunk back for so many seconds; ``stall`` swallows all; ``garbage`` sends nonsense instead.
    After ``limit`` bytes of one connection it ends, with a reset or, if ``politely``, closed as by an orderly end.
    ``rewrite`` gives the body of a frame that takes the place of another, ``replace`` the whole frame.
    """

    delay: float = 0.0
    stall: bool = False
    garbage: bool = False
    limit: int | None = None
    politely: bool = False
    rewrite: Callable[[bytes], bytes] | None = None
    replace: Callable[[bytes], bytes] | None = None


FORWARD = Fault()


class FaultyProxy:
    """Forwards a free port of the loopback interface to ``port``, as well or as badly as `fault` says at the moment.

    Set ``fault`` at any time: connections that are open obey from the next answer on. `shut` closes the port and all
    connections, `open` brings it back; `deafen` leaves it listening with a full backlog, so that the kernel drops what
    knocks. Use it as a context manager.
    """

    def __init__(self, port: int, fault: Fault = FORWARD) -> None:
        self.fault = fault
        self.connections = 0
        self.port = 0
        self._server = port
        self._closed = threading.Event()
        self._listener: socket.socket | None = None
        self._knocking: list[socket.socket] = []
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.open()

    @property
    def open_connections(self) -> int:
        """How many clients are connected now."""
        with self._lock:
            return len(self._open) // 2

    @property
    def url(self) -> str:
        """The door, without a path."""
        return f"root://localhost:{self.port}"

    def open(self) -> None:
        """Listen, on the port of before if there was one."""
        listener = self._listen(128)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def shut(self) -> None:
        """Close the port and everything that came through it: nobody listens there any more."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                # Wakes who waits in accept.
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for knocking in self._knocking:
            knocking.close()
        self._knocking.clear()
        self.reset()

    def reset(self) -> None:
        """Reset all connections, and go on listening."""
        with self._lock:
            connections, self._open = self._open, set()
        for connection in connections:
            _end(connection, politely=False)

    def deafen(self) -> None:
        """Drop what knocks from now on: the port listens, with a backlog that is full and stays so."""
        self.shut()
        self._listen(0)
        for _ in range(8):
            knocking = socket.socket()
            knocking.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                knocking.connect(("127.0.0.1", self.port))
            self._knocking.append(knocking)

    def close(self) -> None:
        """End everything."""
        self._closed.set()
        self.shut()

    def __enter__(self) -> FaultyProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _listen(self, backlog: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(backlog)
        self.port = listener.getsockname()[1]
        self._listener = listener
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._server))
            except OSError:
                client.close()
                return
            for end in (client, server):
                # What comes in two pieces is not to wait for anybody's receipt of the first.
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                self._open |= {client, server}
            threading.Thread(target=self._ask, args=(client, server), daemon=True).start()
            threading.Thread(target=self._answer, args=(server, client), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        """Carry what the client says to the server."""
        with contextlib.suppress(OSError):
            while said := client.recv(_CHUNK):
                server.sendall(said)
        self._drop(client, server)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        """Carry what the server says to the client, frame by frame."""
        sent = 0
        with contextlib.suppress(OSError):
            while frame := self.frame(server):
                fault = self.fault
                if fault.delay and self._closed.wait(fault.delay):
                    break
                if fault.stall:
                    continue
                if fault.garbage:
                    frame = b"HTTP/1.1 400 Bad Request\r\n\r\n\xff\x00\xfe" * 40
                elif fault.replace is not None:
                    frame = fault.replace(frame)
                elif fault.rewrite is not None:
                    frame = self.rewritten(frame, fault.rewrite)
                if fault.limit is not None and sent + len(frame) > fault.limit:
                    client.sendall(frame[: max(0, fault.limit - sent)])
                    _end(client, fault.politely)
                    break
                client.sendall(frame)
                sent += len(frame)
        self._drop(client, server)

    def frame(self, server: socket.socket) -> bytes:
        """Read one whole answer; empty at the end of them."""
        header = exactly(server, _HEADER.size)
        if len(header) < _HEADER.size:
            return b""
        return header + exactly(server, _HEADER.unpack(header)[2])

    def rewritten(self, frame: bytes, rewrite: Callable[[bytes], bytes]) -> bytes:
        """Give an answer another body."""
        stream, status, _ = _HEADER.unpack_from(frame)
        body = rewrite(frame[_HEADER.size :])
        return _HEADER.pack(stream, status, len(body)) + body

    def _drop(self, *connections: socket.socket) -> None:
        with self._lock:
            self._open -= set(connections)
        for connection in connections:
            _end(connection, politely=True)


def listing_of(body: bytes) -> list[bytes] | None:
    """Give the entries of a listing with attributes, two lines each; None for any other answer."""
    if not body.startswith(LISTING):
        return None
    lines = body[len(LISTING) :].rstrip(b"\0").split(b"\n")
    return [b"\n".join(lines[at : at + 2]) for at in range(0, len(lines) - 1, 2)]


def as_listing(entries: list[bytes]) -> bytes:
    """Give the body of the answer that has these entries."""
    return LISTING + b"\n".join(entries) + b"\0"


def exactly(server: socket.socket, count: int) -> bytes:
    """Read so many bytes, or all that come before the end."""
    parts = bytearray()
    while len(parts) < count and (part := server.recv(count - len(parts))):
        parts += part
    return bytes(parts)


def _end(connection: socket.socket, politely: bool) -> None:
    with contextlib.suppress(OSError):
        if not politely:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            # Nothing is reset as long as a thread waits for what it says.
            connection.shutdown(socket.SHUT_RD)
        else:
            connection.shutdown(socket.SHUT_RDWR)
    connection.close()
