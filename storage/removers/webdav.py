"""Taking away over WebDAV.

A server may delete a directory with all that is in it, so one is only ever deleted that was moved aside, or is in the
quarantine, and was looked into there. XRootD's server takes the name that something is moved to as it stands, percent
signs and all, and moves over what is there although it is told not to; so the first is found out before a name that
needs them is given, and the second looked for by whoever asks.
"""

from __future__ import annotations

import os
import re
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from engine import paths
from engine.listing import Failed
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.webdav.client import Client, Command, Question
from storage.listers.webdav.hrefs import quote
from storage.listers.webdav.identity import Identity
from storage.listers.xrootd_errors import refused
from storage.quiet import no_debugging
from storage.removers.links import Links
from storage.removers.protocol import FOR_US

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECURE = ("davs", "https")
_IS_THERE, _NO_PARENT, _IN_THE_WAY = 405, (404, 409), 412

_AS_IT_STANDS = re.compile(rb"[!-~]([ -~]*[!-~])?")
"""What a header can hold; of more, XRootD's server drops what it takes for blanks at the end."""

_ANOTHER_NAME = Failed(Reason.BAD_NAME, "this server takes such a name for another one; move it on its disk")

_PROBE = b"=a name"
"""What a directory is called by which it is found out how a server reads names."""


class WebDavRemover:
    """See `storage.removers.protocol.Remover`; ``timeout`` is in seconds for each request."""

    def __init__(self, door: Door, timeout: float) -> None:
        # What it says besides of each request says what is shown to whom.
        no_debugging("httpcore")
        self._door = door
        self._timeout = timeout
        self._identity = Identity(os.environ, door.scheme in _SECURE)
        self._lock = threading.Lock()
        self._idle: list[Client] = []
        self._busy: set[Client] = set()
        self._closed = False
        self._decodes: bool | None = None
        self._probing = threading.Lock()
        self._links = Links(self.make_directory, self._move_itself, self._stat, self.remove_directory)

    def move(self, path: bytes, to: bytes) -> Failed | None:
        """Move, not over what is there, as far as the server heeds that."""
        refusal = self._refusal(path, paths.parent_of(to) or b"/")
        return self._move(path, to, paths.parent_of(path) or b"/") if refusal is None else refusal

    def make_directory(self, path: bytes, mode: int = FOR_US) -> Failed | None:
        """Make it; where the server says that one above it is not there, that one before. It has the server's mode."""
        status, failed = self._tell("MKCOL", path)
        above = paths.parent_of(path)
        if status in _NO_PARENT and above not in (None, b"/"):
            failed = self.make_directory(above)
            if failed is None:
                status, failed = self._tell("MKCOL", path)
        return None if status == _IS_THERE else failed

    def mode_of(self, path: bytes) -> int | None:
        """See `storage.removers.protocol.Remover`."""
        return None

    def remove(self, path: bytes) -> Failed | None:
        """Delete a file."""
        return self._refusal(path, paths.parent_of(path) or b"/") or self._tell("DELETE", path)[1]

    def remove_directory(self, path: bytes) -> Failed | None:
        """Delete a directory, by some servers with all that is in it."""
        return self._tell("DELETE", path)[1]

    def link(self, path: bytes, near: bytes) -> Failed | None:
        """See `storage.removers.protocol.Remover`; only of XRootD's servers it shows."""
        return self._refusal(path, near)

    def close(self) -> None:
        """Break what is under way."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = list(self._busy)
        for client in busy:
            client.close()
        for client in idle:
            client.release()

    def _refusal(self, path: bytes, near: bytes) -> Failed | None:
        refusal = self._links.refusal(path, near)
        # Of a name that this server takes for another one it cannot be told.
        return None if refusal == _ANOTHER_NAME else refusal

    def _move_itself(self, path: bytes, to: bytes) -> Failed | None:
        return self._move(path, to, paths.parent_of(path) or b"/")

    def _move(self, path: bytes, to: bytes, near: bytes) -> Failed | None:
        located = self._door.locate(to)
        written = quote(located)
        if b"%" in written:
            decodes = self._reads_percent_signs(near)
            if isinstance(decodes, Failed):
                return decodes
            if not decodes and not _AS_IT_STANDS.fullmatch(located):
                return _ANOTHER_NAME
            written = written if decodes else located
        status, failed = self._tell("MOVE", path, written)
        if status == _IN_THE_WAY:
            return Failed(Reason.SERVER, "something has its name there")
        return failed

    def _tell(self, verb: str, path: bytes, to: bytes = b"") -> tuple[int, Failed | None]:
        located = self._door.locate(path)
        if b"?" in located or b"#" in located or b"\0" in located:
            # Some servers cut the path there, and would take another file.
            return 0, Failed(Reason.BAD_NAME, "some servers cut a path at such a letter, and would take another file")
        deadline = time.monotonic() + self._timeout
        with self._client() as client:
            if client is None:
                return 0, Failed(Reason.CONNECTION, "closed")
            status, failed = client.tell(Command(verb, located, to), deadline)
        return status, refused(failed, self._door.scheme, self._door.host) if failed is not None else None

    def _reads_percent_signs(self, directory: bytes) -> bool | Failed:
        """Find out whether the server undoes percent signs in the name that something is moved to, by an own name."""
        # One at a time: the next one would find no directory where another one has just moved it.
        with self._probing:
            if self._decodes is not None:
                return self._decodes
            plain, odd = paths.join(directory, b"=probe"), paths.join(directory, _PROBE)
            literal = paths.join(directory, quote(_PROBE))
            for left in (odd, literal):
                # A process that died has left it.
                if self._is_there(left):
                    self._tell("DELETE", left)
            failed = self.make_directory(plain)
            if failed is None:
                _, failed = self._tell("MOVE", plain, quote(self._door.locate(odd)))
            if failed is not None:
                return failed
            found = self._is_there(odd)
            if not found and not self._is_there(literal):
                return Failed(Reason.BAD_NAME, "what the server makes of such a name is not known; move it on its disk")
            self._tell("DELETE", odd if found else literal)
            self._decodes = found
            return found

    def _is_there(self, path: bytes) -> bool:
        return self._stat(path) is None

    def _stat(self, path: bytes) -> Failed | None:
        with self._client() as client:
            if client is None:
                return Failed(Reason.CONNECTION, "closed")
            reply = client.ask(Question(self._door.locate(path)), time.monotonic() + self._timeout)
        return reply.said if isinstance(reply.said, Failed) else None

    @contextmanager
    def _client(self) -> Iterator[Client | None]:
        """Lend a client, which is one thread's at a time; None when this is closed."""
        with self._lock:
            client = None if self._closed else self._idle.pop() if self._idle else Client(self._door, self._identity)
            if client is not None:
                self._busy.add(client)
        try:
            yield client
        finally:
            if client is not None:
                with self._lock:
                    self._busy.discard(client)
                    is_over = self._closed
                    if not is_over:
                        self._idle.append(client)
                if is_over:
                    client.release()
