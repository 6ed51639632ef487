"""Whether Ray's head is still there, for a program that wants to end in its own words when it is not.

Actors that run go on without it, but none can be started, and after a minute Ray ends every program of the cluster's.
"""

from __future__ import annotations

import socket
import threading
import time

_LOOK_EVERY = 3.0
_PATIENCE = 40.0
"""Seconds without a head after which nobody waits for it any more: in time before Ray does the same."""

_PROBE_SECONDS = 5.0


class HeadWatch:
    """Looks after the head at ``HOST:PORT`` from now on, in a thread of its own; none where there is no address."""

    def __init__(self, address: str, look_every: float = _LOOK_EVERY, patience: float = _PATIENCE) -> None:
        self._address = address
        self._look_every = look_every
        self._patience = patience
        self._over = threading.Event()
        self._gone = ""
        host, _, port = address.rpartition(":")
        if port.isdigit():
            place = (host.strip("[]"), int(port))
            threading.Thread(target=self._look, args=(place,), name="ray-head", daemon=True).start()

    @property
    def gone(self) -> str:
        """What there is to say when the head is gone; empty while it is there."""
        return self._gone

    def close(self) -> None:
        """Look no longer."""
        self._over.set()

    def _look(self, place: tuple[str, int]) -> None:
        seen = time.monotonic()
        while not self._over.wait(self._look_every):
            try:
                socket.create_connection(place, timeout=_PROBE_SECONDS).close()
            except OSError as error:
                silent = time.monotonic() - seen
                if silent > self._patience:
                    said = error.strerror or str(error)
                    self._gone = f"Ray's head at {self._address} has been gone for {silent:.0f} s ({said})"
                    return
            else:
                seen = time.monotonic()
