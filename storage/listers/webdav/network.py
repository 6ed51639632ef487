"""Connections that keep to a deadline and can be broken from another thread, for an HTTP library that does neither."""

from __future__ import annotations

import random
import socket
import ssl
import threading
import time
import typing
from collections.abc import Iterable
from contextlib import suppress

import httpcore

_LEAST = 0.05
"""Seconds that a call gets at least: 0 would mean not to wait at all."""

_SocketOptions: typing.TypeAlias = Iterable[
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
]


class Network(httpcore.NetworkBackend):
    """Connects by TCP. Whatever is done on its connections ends by `deadline`, in seconds of ``time.monotonic``.

    A host that stands for several addresses is asked at any of them, by chance; where one does not answer, the next.
    """

    def __init__(self) -> None:
        self.deadline = 0.0
        self._below = httpcore.SyncBackend()
        self._open: set[socket.socket] = set()
        self._is_cut = False
        self._lock = threading.Lock()

    @property
    def is_over(self) -> bool:
        """Whether the deadline is past."""
        return time.monotonic() >= self.deadline

    def left(self, most: float | None = None) -> float:
        """Give the seconds that are left, at most so many."""
        left = max(_LEAST, self.deadline - time.monotonic())
        return left if most is None else min(left, most)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: _SocketOptions | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to a host that has one address or several."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(str(error)) from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        random.shuffle(addresses)
        while True:
            address = addresses.pop()
            try:
                seconds = self.left(timeout) / (len(addresses) + 1)
                stream = self._below.connect_tcp(address, port, seconds, local_address, socket_options)
                return self._kept(stream)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if not addresses or self._is_cut:
                    raise

    def _kept(self, stream: httpcore.NetworkStream) -> httpcore.NetworkStream:
        return _Stream(stream, self)

    def remember(self, connected: socket.socket) -> None:
        """Know of a socket that is open now; one that comes too late is closed."""
        with self._lock:
            self._open = {known for known in self._open if known.fileno() >= 0} | {connected}
            if self._is_cut:
                _shut(connected)

    def cut(self) -> None:
        """Break all connections, from any thread: whoever waits on one learns it at once."""
        with self._lock:
            self._is_cut = True
            for connected in self._open:
                _shut(connected)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, network: Network) -> None:
        self._stream = stream
        self._network = network
        network.remember(stream.get_extra_info("socket"))

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._network.is_over:
            # What comes now and then, a byte at a time, would never be late.
            raise httpcore.ReadTimeout("an answer that takes too long")
        return self._stream.read(max_bytes, self._network.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if self._network.is_over:
            raise httpcore.WriteTimeout("a request that takes too long")
        self._stream.write(buffer, self._network.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, self._network.left(timeout)), self._network)

    def get_extra_info(self, info: str) -> typing.Any:
        return self._stream.get_extra_info(info)


def _shut(connected: socket.socket) -> None:
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)
