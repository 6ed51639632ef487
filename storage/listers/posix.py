"""Listing a mounted file system.

A symbolic link to a file is a file with its target's size and time, as an XRootD server on the same files says. A link
to a directory is left out: it may lead back up or out of the store, and what it leads to is listed under its own name.
(XRootD servers show it as a directory.) A dangling link is no usable file and is left out, and so is what is neither a
file nor a directory; a directory with any of these is not empty. `Ask.STAT` follows links, so whatever is left out here
is denied only if it cannot be reached, and `Ask.NAMES` gives every name. A checksum is worked out by reading the file.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from itertools import pairwise
from queue import SimpleQueue

from engine import paths
from engine.columns import DirectoryColumns, FileColumns
from engine.listing import Absent, Failed, Listed, ListingOutcome, NamesListed, NamesOutcome, Outcome, Present
from engine.states import Reason
from storage.file_sums import sum_of_file
from storage.listers.doors import Door
from storage.listers.protocol import Ask, Request, Sink
from storage.listers.watchdog import Flight, Watchdog
from storage.threads import named

_MAX_THREADS = 8
"""Calls at a time, but for those that were given up."""

_INODE = 2**63 - 1

_MOST_THREADS = 64
"""Threads in all. With so many of them hanging the mount is gone, and every further request ends by its timeout."""

_REASONS = {
    errno.EACCES: Reason.PERMISSION,
    errno.EPERM: Reason.PERMISSION,
    errno.ENOENT: Reason.NOT_FOUND,
    errno.ENOTDIR: Reason.NOT_A_DIRECTORY,
    errno.ENAMETOOLONG: Reason.BAD_NAME,
    errno.ETIMEDOUT: Reason.TIMEOUT,
    errno.EHOSTDOWN: Reason.CONNECTION,
    errno.ENOTCONN: Reason.CONNECTION,
    errno.ESTALE: Reason.CONNECTION,
}


class PosixLister:
    """Asks the file system below a ``file://`` door, with up to eight threads.

    A call that hangs, as on a mount whose server is gone, cannot be interrupted: the request ends by ``timeout``
    (seconds), and another thread takes the place of the one that hangs, which is left behind.

    Raises:
        ValueError: the door names another host.
    """

    def __init__(self, door: Door, sink: Sink, timeout: float = 30.0) -> None:
        if door.host not in ("", "localhost"):
            raise ValueError(f"a file system on another host: {door.host!r}")
        self._door = door
        self._requests = 0
        self._queue: SimpleQueue[Flight | None] = SimpleQueue()
        self._threads = 0
        # What is being asked, and what of it was given up although its call has not come back.
        self._asked: set[Flight] = set()
        self._hanging: set[Flight] = set()
        # What was given up before anybody asked for it: nobody would take note of it if that hung.
        self._dropped: set[Flight] = set()
        self._closed = False
        self._lock = threading.Lock()
        self._watchdog = Watchdog(sink, timeout, silent=self._replace)

    @property
    def requests(self) -> int:
        """How many requests were sent so far."""
        return self._requests

    def submit(self, request: Request) -> None:
        """Send one request; see `storage.listers.protocol.Lister`."""
        self._queue.put(self._watchdog.start(request))
        with self._lock:
            self._requests += 1
            if self._usable < len(self._watchdog):
                self._hire()

    def close(self) -> None:
        """Drop what is in flight. Threads end with the call they are in."""
        with self._lock:
            self._closed = True
            for _ in range(self._threads):
                self._queue.put(None)
        self._watchdog.close()

    @property
    def _usable(self) -> int:
        return self._threads - len(self._hanging)

    def _hire(self) -> None:
        """Start one more thread if that is allowed; the lock is held."""
        if not self._closed and self._usable < _MAX_THREADS and self._threads < _MOST_THREADS:
            self._threads += 1
            # Daemons: a thread that hangs in the kernel must not keep the program from ending.
            threading.Thread(target=self._work, name=named("posix-lister"), daemon=True).start()

    def _replace(self, flight: Flight) -> bool:
        """Take note of a call that hangs; what waits behind it may be well."""
        with self._lock:
            if flight not in self._asked:
                self._dropped.add(flight)
                return False
            self._hanging.add(flight)
            if not self._queue.empty():
                self._hire()
        return False

    def _work(self) -> None:
        while (flight := self._queue.get()) is not None:
            if not self._serve(flight):
                return

    def _serve(self, flight: Flight) -> bool:
        """Answer a request; gives whether this thread is still wanted, its place not being taken."""
        with self._lock:
            if flight in self._dropped or not self._watchdog.is_open(flight):
                self._dropped.discard(flight)
                return True
            self._asked.add(flight)
        outcome = self._answer(flight)
        with self._lock:
            self._asked.discard(flight)
            self._hanging.discard(flight)
            wanted = self._closed or self._usable <= _MAX_THREADS
            if not wanted:
                self._threads -= 1
        self._watchdog.end(flight, outcome)
        return wanted

    def _answer(self, flight: Flight) -> Outcome:
        request = flight.request
        path = self._door.locate(request.path)
        try:
            match request.ask:
                case Ask.LIST:
                    return _list(path)
                case Ask.NAMES:
                    return _names(path)
                case Ask.STAT:
                    return _stat(path)
                case Ask.CHECKSUM:
                    return sum_of_file(path, request.algorithm, lambda: self._may_go_on(flight))
        except FileNotFoundError as error:
            return Absent() if request.ask == Ask.CHECKSUM else failure(error)
        except OSError as error:
            return failure(error)
        except Exception as error:
            return Failed(Reason.SERVER, f"{type(error).__name__}: {error}")

    def _may_go_on(self, flight: Flight) -> bool:
        """Whether what takes long is still awaited."""
        return not self._closed and time.monotonic() < flight.deadline and self._watchdog.is_open(flight)


def _list(path: bytes) -> ListingOutcome:
    files: list[tuple[bytes, int, int]] = []
    directories: list[tuple[bytes, int, int]] = []
    others = False
    with os.scandir(path) as entries:
        for entry in entries:
            try:
                found = entry.stat()
            except FileNotFoundError:
                others = others or entry.is_symlink()
                continue
            except OSError as error:
                reason = Reason.PERMISSION if isinstance(error, PermissionError) else Reason.PARTIAL
                return Failed(reason, f"'{paths.escape(entry.name)}': {os.strerror(error.errno or 0)}")
            mtime = found.st_mtime_ns // 1_000_000_000
            if stat.S_ISREG(found.st_mode):
                files.append((entry.name, found.st_size, mtime))
            elif stat.S_ISDIR(found.st_mode) and not entry.is_symlink():
                directories.append((entry.name, mtime, found.st_ino & _INODE))
            else:
                others = True
    files.sort()
    names = [row[0] for row in files] + [row[0] for row in directories]
    if len(set(names)) != len(names):
        # A file system may give an entry twice while others come and go: NFS does.
        files, directories = sorted(set(files)), list(set(directories))
        names = sorted([row[0] for row in files] + [row[0] for row in directories])
        twice = next((name for name, other in pairwise(names) if name == other), None)
        if twice is not None:
            return Failed(Reason.PARTIAL, f"'{paths.escape(twice)}' is listed twice, with different attributes")
    return Listed(FileColumns.from_sorted_rows(files), DirectoryColumns.with_ids(directories), others=others)


def _names(path: bytes) -> NamesOutcome:
    return NamesListed(frozenset(os.listdir(path)))


def _stat(path: bytes) -> Outcome:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return Absent()
    return Present(found.st_size, found.st_mtime_ns // 1_000_000_000, stat.S_ISDIR(found.st_mode))


def failure(error: OSError) -> Failed:
    """Give the reason that an error of this machine's files stands for."""
    return Failed(_REASONS.get(error.errno or 0, Reason.SERVER), os.strerror(error.errno or 0))
