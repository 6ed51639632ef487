"""Whether Ray is still there, for a program that wants to end in its own words when it is not.

Actors that run go on without the head, but none can be started, and after a minute Ray ends every program of the
cluster's. Without the raylet of its own machine a program can start nothing there, and waits for it for ever.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

_LOOK_EVERY = 3.0

_HEAD_PATIENCE = 40.0
"""Seconds without a head after which nobody waits for it any more: in time before Ray does the same."""

_RAYLET_PATIENCE = 10.0
"""The same for the raylet, which never comes back: time for the actors that end with it to be found lost by name."""

_PROBE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Post:
    """A part of Ray that listens: what it is called, how it is connected to, how long it may be gone."""

    what: str
    probe: Callable[[], None]
    patience: float


class RayWatch:
    """Looks after Ray from now on, in a thread of its own: the head at ``HOST:PORT``, and the raylet of this machine at
    the path of its socket. What has no address is not looked after.
    """

    def __init__(
        self,
        head: str = "",
        raylet: str = "",
        look_every: float = _LOOK_EVERY,
        head_patience: float = _HEAD_PATIENCE,
        raylet_patience: float = _RAYLET_PATIENCE,
    ) -> None:
        self._look_every = look_every
        self._over = threading.Event()
        self._gone = ""
        posts = []
        host, _, port = head.rpartition(":")
        if port.isdigit():
            place = (host.strip("[]"), int(port))
            posts.append(_Post(f"head at {head}", lambda: _connect(place), head_patience))
        if raylet:
            posts.append(_Post("raylet on this machine", lambda: _connect_unix(raylet), raylet_patience))
        if posts:
            threading.Thread(target=self._look, args=(posts,), name="ray-watch", daemon=True).start()

    @property
    def gone(self) -> str:
        """What there is to say when a part of Ray is gone for good; empty while all are there."""
        return self._gone

    def close(self) -> None:
        """Look no longer."""
        self._over.set()

    def _look(self, posts: list[_Post]) -> None:
        # From the first look that failed: a program that was suspended for long has missed nothing.
        gone_since: dict[str, float] = {}
        while not self._over.wait(self._look_every):
            for post in posts:
                try:
                    post.probe()
                except OSError as error:
                    now = time.monotonic()
                    silent = now - gone_since.setdefault(post.what, now)
                    if silent > post.patience:
                        said = error.strerror or str(error)
                        self._gone = f"Ray's {post.what} has been gone for {silent:.0f} s ({said})"
                        return
                else:
                    gone_since.pop(post.what, None)


def _connect(place: tuple[str, int]) -> None:
    socket.create_connection(place, timeout=_PROBE_SECONDS).close()


def _connect_unix(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_PROBE_SECONDS)
        connection.connect(path.removeprefix("unix:"))
