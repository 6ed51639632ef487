"""The connections of a lister: some to its door, and one to each server that a door sends requests on to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from engine.listing import Failed
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.wire.connection import Connection

_DEFAULT_PORT = 1094
_LOGIN = "consist"
"""The name a server's log shows for a door without a user; the protocol has room for eight characters."""

_MOST_ELSEWHERE = 64
"""Servers that a door sends on to whose connections are kept."""

_RENEWAL = 1.0
"""Seconds for which a connection is kept, whatever its token: a server may take one that is over."""

_PAUSE = 1.0
"""Seconds for which a server that could not be reached is not tried again."""

_REFUSALS = 3
"""So many logins in a row that were refused are enough for a while."""

_REST = 5.0
"""Seconds for which a server that lets nobody in is not asked."""


class Connections:
    """Opens them when they are needed, and gives the one that is to be asked. Used on the event loop alone.

    ``seconds`` is the timeout of a request; ``unspoken`` is called when a server wants what is not spoken here.
    """

    def __init__(self, door: Door, size: int, seconds: float, unspoken: Callable[[str], None]) -> None:
        self._home = address(door.host)
        self._user = door.user or _LOGIN
        self._wants_tls = door.scheme in ("roots", "xroots")
        self._size = max(1, size)
        self._seconds = seconds
        self._unspoken = unspoken
        self._connections: dict[tuple[str, int], list[Connection]] = {}
        self._refusals = 0
        self._failed: dict[tuple[str, int], tuple[Failed, float]] = {}
        self._unwell: set[str] = set()

    def home(self) -> Connection | Failed:
        """Give the connection to the door that has the least to do, or say why there is none for the moment."""
        return self._one_of(self._home, self._size)

    def elsewhere(self, host: str, port: int) -> Connection | Failed:
        """Give the connection to another server."""
        if (host, port) == self._home:
            return self.home()
        if (host, port) not in self._connections and len(self._connections) > _MOST_ELSEWHERE:
            self._close_idle()
        return self._one_of((host, port), 1)

    @property
    def size(self) -> int:
        """How many connections there may be to the door."""
        return self._size

    def resize(self, size: int) -> None:
        """Have so many connections to the door from now on."""
        self._size = max(1, size)
        ready = [connection for connection in self._connections.get(self._home, ()) if not connection.is_retired]
        for connection in ready[self._size :]:
            connection.retire()

    def renew(self) -> None:
        """Let others take the place of those that were made with a token that is about to end."""
        for connection in list(self._all()):
            if connection.is_ready:
                self._refusals = 0
            is_young = time.monotonic() - connection.made < _RENEWAL
            if not is_young and not connection.is_retired and connection.is_over:
                connection.retire()

    def close(self, reason: Reason, detail: str) -> None:
        """Give up all of them."""
        for connection in list(self._all()):
            connection.lose(reason, detail)

    def _all(self) -> Iterator[Connection]:
        for connections in list(self._connections.values()):
            yield from connections

    def _one_of(self, place: tuple[str, int], size: int) -> Connection | Failed:
        best: Connection | None = None
        count = 0
        for connection in self._connections.get(place, ()):
            if not connection.is_retired:
                count += 1
                # Whoever is logged in has answered before a login far away is over.
                if best is None or (not connection.is_ready, connection.load) < (not best.is_ready, best.load):
                    best = connection
        if best is not None and (count >= size or not best.load):
            return best
        failed = self._failed.get(place)
        if failed is not None and time.monotonic() < failed[1]:
            return best or failed[0]
        user, seconds = self._user, self._seconds
        if place == self._home:
            label, unwell = "", self._unwell
        else:
            # A door may make up as many servers as it likes: nothing more is kept of them.
            label, unwell = f"{place[0]}:{place[1]}: ", None
        fresh = Connection(*place, user, self._wants_tls, seconds, self._unspoken, self._on_lost, label, unwell)
        self._connections.setdefault(place, []).append(fresh)
        return fresh

    def _on_lost(self, connection: Connection, failed: Failed) -> None:
        place = connection.place
        left = [other for other in self._connections.get(place, ()) if other is not connection]
        if left:
            self._connections[place] = left
        else:
            self._connections.pop(place, None)
        if connection.is_ready:
            self._refusals = 0
            self._failed.pop(place, None)
            return
        if connection.is_retired:
            # It is we who no longer want it; that says nothing of the server.
            return
        pause = 0.0 if connection.has_others else _PAUSE
        if failed.reason == Reason.AUTHENTICATION:
            self._refusals += 1
            pause = _REST if self._refusals >= _REFUSALS else 0.0
        now = time.monotonic()
        if len(self._failed) >= _MOST_ELSEWHERE:
            self._failed = {other: said for other, said in self._failed.items() if said[1] > now}
        self._failed[place] = failed, now + pause

    def _close_idle(self) -> None:
        for connection in list(self._all()):
            if connection.place != self._home and not connection.load:
                connection.retire()


def address(host: str) -> tuple[str, int]:
    """Take a host and its port apart; an IPv6 address stands in brackets."""
    name, colon, port = host.rpartition(":")
    if not colon or "]" in port:
        name, port = host, ""
    return name.strip("[]"), int(port) if port else _DEFAULT_PORT
