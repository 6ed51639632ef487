"""Taking away over XRootD, through the raw layer of its Python bindings.

A server moves over what is there without a word, cuts a path at its question mark and would take another file, and says
that it has deleted a directory that was not there; so the first is looked for, the second refused, the third no matter.
It takes away what a link leads to; so links are told from files (`storage.removers.links`). It never deletes a
directory that has something in it. A name that is not UTF-8, which the bindings cannot send, goes through the ``xrdfs``
program.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from typing import Any

from engine import paths
from engine.listing import Failed
from engine.states import Reason
from storage.listers import xrdfs
from storage.listers.doors import Door
from storage.listers.programs import Runner
from storage.listers.xrootd import load_client
from storage.listers.xrootd_errors import Status, failure, is_complete, refused
from storage.removers.links import Links
from storage.removers.protocol import FOR_US

_WITH_PARENTS = 1
_RIGHTS, _TO_READ = 0o777, 0o555


def _letters(mode: int) -> str:
    """Write a mode as programs do: ``rwxr-x---``."""
    return "".join(
        letter if mode >> place & 1 else "-" for place, letter in zip(range(8, -1, -1), "rwx" * 3, strict=True)
    )


class XRootDRemover:
    """See `storage.removers.protocol.Remover`; ``timeout`` is in seconds for each request."""

    def __init__(self, door: Door, timeout: float) -> None:
        self._door = door
        self._timeout = max(1, round(timeout))
        self._server = f"{door.scheme}://{door.user}@{door.host}" if door.user else f"{door.scheme}://{door.host}"
        self._open = load_client()
        self._made: Any = None
        self._lock = threading.Lock()
        self._runners: set[Runner] = set()
        self._closed = False
        self._links = Links(self.make_directory, self._rename, self._stat, self.remove_directory)

    def move(self, path: bytes, to: bytes) -> Failed | None:
        """Rename on the server."""
        return self._links.refusal(path, paths.parent_of(to) or b"/") or self._rename(path, to)

    def make_directory(self, path: bytes, mode: int = FOR_US) -> Failed | None:
        """Make it, with those above it, whatever the server lets others do with what it makes."""

        def make(client: Any, texts: list[str]) -> Any:
            return client.mkdir(texts[0], _WITH_PARENTS, mode, self._timeout)

        failed = self._change(make, ["mkdir", "-p", f"-m{_letters(mode)}"], path)
        made = self.mode_of(path) if failed is None and mode != FOR_US else None
        if made is not None and (made ^ mode) & _TO_READ:
            # The server masks some of it. Of a name that goes through the program nobody tells the mode.
            self._change(lambda client, texts: client.chmod(texts[0], mode, self._timeout), [], path)
        return failed

    def mode_of(self, path: bytes) -> int | None:
        """See `storage.removers.protocol.Remover`; not every server says it."""
        said: list[Any] = []

        def ask(client: Any, texts: list[str]) -> Any:
            said.append(client.stat(texts[0], self._timeout))
            return said[0]

        if self._change(ask, ["stat"], path) is not None or not said:
            return None
        try:
            return int(said[0][1]["mode"], 8) & _RIGHTS
        except (KeyError, TypeError, ValueError):
            return None

    def remove(self, path: bytes) -> Failed | None:
        """Delete a file."""
        refusal = self._links.refusal(path, paths.parent_of(path) or b"/")
        return refusal or self._change(lambda client, texts: client.rm(texts[0], self._timeout), ["rm"], path)

    def remove_directory(self, path: bytes) -> Failed | None:
        """Delete an empty directory."""
        return self._change(lambda client, texts: client.rmdir(texts[0], self._timeout), ["rmdir"], path)

    def link(self, path: bytes, near: bytes) -> Failed | None:
        """See `storage.removers.protocol.Remover`."""
        return self._links.refusal(path, near)

    def close(self) -> None:
        """End the programs that run. The library closes its connection by itself, some minutes later."""
        with self._lock:
            self._closed = True
            runners, self._made = list(self._runners), None
        for runner in runners:
            runner.close()

    def _rename(self, path: bytes, to: bytes) -> Failed | None:
        return self._change(lambda client, texts: client.mv(*texts, self._timeout), ["mv"], path, to)

    def _stat(self, path: bytes) -> Failed | None:
        return self._change(lambda client, texts: client.stat(texts[0], self._timeout), ["stat"], path)

    def _change(self, change: Callable[[Any, list[str]], Any], command: list[str], *named: bytes) -> Failed | None:
        located = [self._door.locate(path) for path in named]
        if any(b"?" in path or b"\0" in path for path in located):
            return Failed(Reason.BAD_NAME, "a server cuts a path at its question mark, and would take another file")
        try:
            texts = [path.decode() for path in located]
        except UnicodeDecodeError:
            return self._by_program(command, located)
        client = self._client()
        if client is None:
            return Failed(Reason.CONNECTION, "closed")
        try:
            status: Status = change(client, texts)[0]
        except Exception as error:
            return Failed(Reason.SERVER, f"{type(error).__name__}: {error}")
        if is_complete(status):
            return None
        return self._said(failure(status))

    def _client(self) -> Any:
        with self._lock:
            if self._made is None and not self._closed:
                self._made = self._open(self._server)
            return self._made

    def _by_program(self, command: list[str], located: list[bytes]) -> Failed | None:
        program = shutil.which("xrdfs")
        if program is None:
            return Failed(Reason.BAD_NAME, "not UTF-8, and xrdfs, of Debian's xrootd-client, is not installed")
        runner = xrdfs.runner_for(self._timeout)
        with self._lock:
            if self._closed:
                return Failed(Reason.CONNECTION, "closed")
            self._runners.add(runner)
        try:
            done = runner.run([program, self._server, *command, *located], time.monotonic() + self._timeout)
        finally:
            with self._lock:
                self._runners.discard(runner)
        output = xrdfs.read(done)
        return self._said(output) if isinstance(output, Failed) else None

    def _said(self, failed: Failed) -> Failed:
        said: Failed = refused(failed, self._door.scheme, self._door.host)
        return said
