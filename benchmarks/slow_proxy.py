"""Slow doors: a proxy before an XRootD server that is far away, or that takes its time for each request.

``python -m benchmarks.slow_proxy far PORT SECONDS`` holds everything back for half of the seconds in each direction.
``python -m benchmarks.slow_proxy serial PORT SECONDS AT_ONCE`` takes so long for a listing, one after another on each
connection, and for so many connections at a time. Each prints the port that it listens at, on loopback, and ends with
its stdin.
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from subprocess import PIPE, Popen

_REQUEST = struct.Struct(">2sH16si")
_ANSWER = struct.Struct(">2sHi")
_HANDSHAKE = 20
_DIRLIST = 3004
_OK_SO_FAR = 4000
_CHUNK = 1 << 18


class _Late:
    """Passes on what it is given, so many seconds later, in the same order."""

    def __init__(self, seconds: float, pass_on: Callable[[bytes], None], end: Callable[[], None]) -> None:
        self._seconds = seconds
        self._pass_on, self._end = pass_on, end
        self._held: deque[tuple[float, bytes]] = deque()

    def put(self, data: bytes) -> None:
        """Take something; nothing at all is the end."""
        loop = asyncio.get_running_loop()
        self._held.append((loop.time() + self._seconds, data))
        if len(self._held) == 1:
            loop.call_at(self._held[0][0], self._ripen)

    def _ripen(self) -> None:
        loop = asyncio.get_running_loop()
        while self._held and self._held[0][0] <= loop.time():
            data = self._held.popleft()[1]
            if data:
                self._pass_on(data)
            else:
                self._end()
        if self._held:
            loop.call_at(self._held[0][0], self._ripen)


async def _copy_late(source: asyncio.StreamReader, target: asyncio.StreamWriter, seconds: float) -> None:
    late = _Late(seconds, target.write, target.close)
    while data := await source.read(_CHUNK):
        late.put(data)
    late.put(b"")


async def _far(seconds: float, client: _Ends, server: _Ends) -> None:
    await asyncio.gather(
        _copy_late(client.reader, server.writer, seconds / 2), _copy_late(server.reader, client.writer, seconds / 2)
    )


async def _answer(server: asyncio.StreamReader) -> bytes:
    """Read one answer, with all of its parts."""
    parts = []
    while True:
        header = await server.readexactly(_ANSWER.size)
        _, status, length = _ANSWER.unpack(header)
        parts += [header, await server.readexactly(length)]
        if status != _OK_SO_FAR:
            return b"".join(parts)


async def _serial(seconds: float, at_once: asyncio.Semaphore, client: _Ends, server: _Ends) -> None:
    # The handshake is answered by itself; the client does not wait for that before it goes on.
    server.writer.write(await client.reader.readexactly(_HANDSHAKE))
    client.writer.write(await _answer(server.reader))
    while True:
        header = await client.reader.readexactly(_REQUEST.size)
        _, kind, _, length = _REQUEST.unpack(header)
        body = await client.reader.readexactly(length)
        if kind != _DIRLIST:
            server.writer.write(header + body)
            client.writer.write(await _answer(server.reader))
            continue
        async with at_once:
            over = asyncio.get_running_loop().time() + seconds
            server.writer.write(header + body)
            answer = await _answer(server.reader)
            await asyncio.sleep(over - asyncio.get_running_loop().time())
        client.writer.write(answer)


class _Ends:
    """Both directions of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer


async def _serve(kind: str, port: int, seconds: float, at_once: int) -> None:
    semaphore = asyncio.Semaphore(at_once)

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client, server = _Ends(reader, writer), _Ends(*await asyncio.open_connection("127.0.0.1", port, limit=_CHUNK))
        try:
            if kind == "far":
                await _far(seconds, client, server)
            else:
                await _serial(seconds, semaphore, client, server)
        except (asyncio.IncompleteReadError, ConnectionError):
            # Whoever was connected went away.
            pass
        finally:
            if kind != "far":
                client.writer.close()
            server.writer.close()

    listener = await asyncio.start_server(take, "127.0.0.1", 0, limit=_CHUNK)
    print(listener.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    # Whatever is connected still ends with the process.
    os._exit(0)


@contextmanager
def slow_door(kind: str, address: str, seconds: float, at_once: int = 1) -> Iterator[str]:
    """Put such a proxy, as a process of its own, before the server at an address; gives the address to ask."""
    port = address.rpartition(":")[2]
    command = (sys.executable, "-m", "benchmarks.slow_proxy", kind, port, str(seconds), str(at_once))
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"localhost:{process.stdout.readline().strip()}"
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int((*sys.argv[4:], "1")[0])))
