"""Listing over XRootD, through the raw layer of its Python bindings.

What such a server says cannot be taken at its word. An answer counts only when it is ok with code 0; an empty one is
asked for again without attributes, since servers list a directory that they may not search as empty; a name of exactly
254 bytes may be the rest of a longer one, and is looked up.

Known limits, which the caller must cover: a listing with attributes ends without a word at the first entry whose
attributes the server cannot read, so a name that is not in it may still exist (`Ask.NAMES` or `Ask.STAT` settle it); a
name with a newline makes the listing fail, but appears as two names under `Ask.NAMES`, so such a name is never denied
by one; links to directories look like directories; a dangling link is left out of a listing.

Answers are worked on in the callback, on the library's only worker thread: several threads would fight for Python's
lock and be slower.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from types import TracebackType
from typing import Any, TypeAlias

from engine import paths
from engine.listing import Absent, Failed, Listed, NamesListed, Outcome, Present
from engine.states import Reason
from storage.listers import xrdfs, xrootd_answers
from storage.listers.credentials import Login
from storage.listers.doors import Door
from storage.listers.programs import Runner
from storage.listers.protocol import Ask, Request, Sink
from storage.listers.watchdog import GRACE, Flight, Watchdog
from storage.listers.xrootd_errors import Status, failure, is_answer, is_complete, is_denied, no_checksum, refused
from storage.listers.xrootd_settings import CLIENT_SETTINGS

_log = logging.getLogger(__name__)

_NO_FLAGS = 0
_WITH_ATTRIBUTES = 1
_FOR_A_CHECKSUM = 3

_PASSES_OVER_NAMES = "passes_over_names"
"""The mark of a hook that does."""

_LOGIN = "consist"
"""The name a server's log shows for a door without a user; the protocol has room for eight characters."""

_RENEWAL = 1.0
"""Seconds before a connection is replaced again, so that a dead door does not breed connections."""

_REFUSALS = 3
"""So many logins in a row that were refused are enough for a while."""

_REST = 5.0
"""Seconds for which a door that lets nobody in is not asked; the client has been seen to stand still after hundreds of
logins in quick succession."""

_connection_names = itertools.count()

Entries: TypeAlias = list[dict[str, Any]]
_Then: TypeAlias = Callable[[Flight, Status, Any], Outcome | None]


@dataclass(slots=True, eq=False)
class _Connection:
    filesystem: Any
    login: Login = field(default_factory=Login)
    renewed: float = -math.inf
    heard: float = -math.inf
    flights: set[Flight] = field(default_factory=set)


class XRootDLister:
    """Asks one door; ``timeout`` in seconds for each request, ``connections`` TCP connections, ``grace`` of `Watchdog`.

    ``with_ids``: directories are told apart by the ids that the door gives.

    A directory with names that are not UTF-8 is listed by the ``xrdfs`` program, where there is one, after the bindings
    have failed to answer; such an outcome may take twice the timeout.
    """

    def __init__(
        self,
        door: Door,
        sink: Sink,
        timeout: float = 30.0,
        connections: int = 2,
        grace: float = GRACE,
        with_ids: bool = True,
    ) -> None:
        self._door = door
        self._with_ids = with_ids
        self._open = load_client()
        _keep_quiet_about_names()
        self._lock = threading.Lock()
        self._requests = 0
        self._refusals = 0
        self._refused = Failed(Reason.AUTHENTICATION)
        self._refused_until = -math.inf
        self._program = shutil.which("xrdfs")
        self._running: set[Runner] = set()
        self._helpers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="xrdfs")
        self._used = max(1, connections)
        self._connections = [self._connect() for _ in range(self._used)]
        self._watchdog = Watchdog(sink, timeout, self._ask_program, grace)

    @property
    def requests(self) -> int:
        """How many requests were sent so far."""
        return self._requests

    def submit(self, request: Request) -> None:
        """Send one request; see `storage.listers.protocol.Lister`."""
        flight = self._watchdog.start(request)
        unsendable = _unsendable(request.path)
        if unsendable:
            self._watchdog.end(flight, Failed(Reason.BAD_NAME, unsendable))
            return
        if self._refusals >= _REFUSALS and time.monotonic() < self._refused_until:
            self._watchdog.end(flight, self._refused)
            return
        self._ask(flight)

    def spread(self, connections: int) -> None:
        """Use so many connections from now on; the library closes those that idle, some time later."""
        with self._lock:
            if self._connections:
                self._used = max(1, connections)
                self._connections += [self._connect() for _ in range(self._used - len(self._connections))]

    def _ask(self, flight: Flight) -> None:
        request = flight.request
        match request.ask:
            case Ask.LIST:
                self._dirlist(flight, _WITH_ATTRIBUTES, self._on_listing)
            case Ask.NAMES:
                self._dirlist(flight, _NO_FLAGS, self._on_names)
            case Ask.STAT:
                self._stat(flight, request.path, self._on_stat)
            case Ask.CHECKSUM:
                self._sum(flight)

    def close(self) -> None:
        """Drop what is in flight. The client library closes idle connections by itself, some minutes later."""
        self._watchdog.close()
        self._helpers.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._connections.clear()
            running = list(self._running)
        # The interpreter waits for the threads that wait for these.
        for runner in running:
            runner.close()

    def _on_listing(self, flight: Flight, status: Status, response: Any) -> Outcome | None:
        if not is_complete(status):
            return failure(status)
        if not response["dirlist"]:
            self._dirlist(flight, _NO_FLAGS, self._on_second_listing)
            return None
        outcome = xrootd_answers.listing(response["dirlist"], self._with_ids)
        # Whoever packs the outcome finds room in what 200,000 of these took, which is more than half a gigabyte.
        response["dirlist"].clear()
        return outcome if isinstance(outcome, Failed) else self._unless_cut(flight, outcome)

    def _on_second_listing(self, _flight: Flight, status: Status, response: Any) -> Outcome:
        if not is_complete(status):
            return failure(status)
        count = len(response["dirlist"])
        if count:
            return Failed(Reason.FALSE_EMPTY, f"empty with attributes, {count} names without")
        return Listed()

    def _on_names(self, flight: Flight, status: Status, response: Any) -> Outcome | None:
        if not is_complete(status):
            return failure(status)
        outcome = xrootd_answers.names(response["dirlist"])
        return outcome if isinstance(outcome, Failed) else self._unless_cut(flight, outcome)

    def _on_stat(self, _flight: Flight, status: Status, response: Any) -> Outcome:
        if is_denied(status):
            return Absent()
        if not is_complete(status):
            return failure(status)
        return Present(
            xrootd_answers.signed(response["size"]),
            xrootd_answers.signed(response["modtime"]),
            bool(response["flags"] & xrootd_answers.IS_DIRECTORY),
        )

    def _on_sum(self, _flight: Flight, status: Status, response: Any) -> Outcome:
        if is_denied(status):
            return Absent()
        if is_complete(status):
            return xrootd_answers.read_checksum(bytes(response).decode("latin-1"))
        if is_answer(status) and not status["ok"]:
            return no_checksum(status["errno"], status["message"])
        return failure(status)

    def _unless_cut(self, flight: Flight, outcome: Listed | NamesListed) -> Outcome | None:
        suspects = xrootd_answers.may_be_cut(outcome)
        if not suspects:
            return outcome
        self._look_up(flight, outcome, suspects)
        return None

    def _look_up(self, flight: Flight, outcome: Listed | NamesListed, suspects: list[bytes]) -> None:
        """Ask for each name that may be cut: only one that exists as it stands is a name."""
        name = suspects.pop()

        def on_stat(flight: Flight, status: Status, _response: Any) -> Outcome | None:
            if is_denied(status):
                return Failed(Reason.BAD_NAME, f"'{paths.escape(name)}' was cut by the server")
            if not is_complete(status):
                return failure(status)
            if not suspects:
                return outcome
            self._look_up(flight, outcome, suspects)
            return None

        self._stat(flight, paths.join(flight.request.path, name), on_stat)

    def _dirlist(self, flight: Flight, flags: int, then: _Then) -> None:
        path = self._door.locate(flight.request.path).decode()
        self._send(flight, then, lambda fs, callback: fs.dirlist(path, flags, flight.seconds_left(), callback))

    def _stat(self, flight: Flight, path: bytes, then: _Then) -> None:
        located = self._door.locate(path).decode()
        self._send(flight, then, lambda fs, callback: fs.stat(located, flight.seconds_left(), callback))

    def _sum(self, flight: Flight) -> None:
        located = self._door.locate(flight.request.path).decode()
        asked = f"{located}?cks.type={flight.request.algorithm}"
        self._send(
            flight, self._on_sum, lambda fs, callback: fs.query(_FOR_A_CHECKSUM, asked, flight.seconds_left(), callback)
        )

    def _send(self, flight: Flight, then: _Then, call: Callable[[Any, Any], Status]) -> None:
        with self._lock:
            if not self._connections:
                return
            connection = min(self._connections[: self._used], key=_load)
            if connection.login.is_over():
                connection = self._renew(connection) or connection
            connection.flights.add(flight)
            self._requests += 1
        try:
            status = call(connection.filesystem, partial(self._answered, flight, connection, then))
        except Exception as error:
            status = {"ok": False, "code": 0, "errno": 0, "fatal": False, "message": f"{type(error).__name__}: {error}"}
        if not status["ok"]:
            # Then the library never calls back.
            self._answered(flight, connection, then, status, None)

    def _answered(
        self, flight: Flight, connection: _Connection, then: _Then, status: Status, response: Any, *_hosts: Any
    ) -> None:
        """Take an answer, on the library's thread, where nothing may be raised."""
        outcome: Outcome | None
        try:
            self._release(flight, connection, status)
            if not self._watchdog.is_open(flight):
                return
            outcome = refused(then(flight, status, response), self._door.scheme, self._door.host)
            self._count_refusals(outcome, status)
        except BaseException as error:
            outcome = Failed(Reason.SERVER, f"the answer could not be read: {type(error).__name__}: {error}")
        if outcome is not None:
            self._watchdog.end(flight, outcome)

    def _count_refusals(self, outcome: Outcome | None, status: Status) -> None:
        if is_answer(status):
            self._refusals = 0
        elif isinstance(outcome, Failed) and outcome.reason == Reason.AUTHENTICATION:
            self._refusals += 1
            self._refused, self._refused_until = outcome, time.monotonic() + _REST

    def _release(self, flight: Flight, connection: _Connection, status: Status) -> None:
        now = time.monotonic()
        with self._lock:
            connection.flights.discard(flight)
            if is_answer(status):
                connection.heard = now
            if not status["ok"] and _is_lost(connection, flight, status):
                self._renew(connection)

    def _renew(self, connection: _Connection) -> _Connection | None:
        """Put another one in the place of a connection, under the lock; None when it is too early for that."""
        now = time.monotonic()
        if connection not in self._connections or now - connection.renewed < _RENEWAL:
            return None
        fresh = self._connect()
        fresh.renewed = now
        self._connections[self._connections.index(connection)] = fresh
        return fresh

    def _connect(self) -> _Connection:
        # The library shares one connection among all who use the same user, password and host. No security protocol of
        # its own takes a password from there, so it can hold the name of a connection, and the user remains as it is.
        door = self._door
        user = f"{door.user or _LOGIN}:{next(_connection_names)}"
        return _Connection(self._open(f"{door.scheme}://{user}@{door.host}"))

    def _ask_program(self, flight: Flight) -> bool:
        """Turn to ``xrdfs`` for a listing that the bindings got and could not carry."""
        with self._lock:
            for connection in self._connections:
                connection.flights.discard(flight)
        if self._program is None or flight.request.ask not in (Ask.LIST, Ask.NAMES):
            return False
        self._watchdog.extend(flight)
        try:
            self._helpers.submit(self._run_program, self._program, flight)
        except RuntimeError:
            # Closed in the meantime.
            return False
        return True

    def _run_program(self, program: str, flight: Flight) -> None:
        list_with = xrdfs.list_directory if flight.request.ask == Ask.LIST else xrdfs.list_names
        seconds = flight.seconds_left()
        runner = xrdfs.runner_for(seconds)
        with self._lock:
            if not self._connections:
                return
            self._running.add(runner)
            self._requests += 1
        server = f"{self._door.scheme}://{self._door.user or _LOGIN}@{self._door.host}"
        path = self._door.locate(flight.request.path)
        outcome: Outcome
        try:
            outcome = refused(list_with(program, server, path, seconds, runner), self._door.scheme, self._door.host)
        except Exception as error:
            outcome = Failed(Reason.SERVER, f"xrdfs: {type(error).__name__}: {error}")
        with self._lock:
            self._running.discard(runner)
        self._watchdog.end(flight, outcome)


@cache
def load_client() -> Callable[[str], Any]:
    """Import the bindings, which read their settings from the environment as they are loaded."""
    for name, value in CLIENT_SETTINGS.items():
        os.environ.setdefault(name, value)
    # The upper layer brings the hook that stops the library's threads before Python ends.
    import XRootD.client  # noqa: F401
    from pyxrootd import client

    opener: Callable[[str], Any] = client.FileSystem
    return opener


def _keep_quiet_about_names() -> None:
    """Keep the bindings from printing an error for each name that is not UTF-8; the watchdog sees to such directories.

    They hand it to Python's hook for errors that nobody caught, without a traceback, as no code in Python could. Other
    libraries, such as Ray when it ends, put a hook back that they found earlier, so this is looked at for each lister.
    """
    before = sys.excepthook
    if getattr(before, _PASSES_OVER_NAMES, False):
        return

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        # With several such names each error finds the one before it on its way.
        first = error
        while first.__cause__ is not None:
            first = first.__cause__
        if trace is None and isinstance(first, UnicodeDecodeError):
            _log.debug("a name that is not UTF-8: %s", error)
        else:
            before(kind, error, trace)

    setattr(hook, _PASSES_OVER_NAMES, True)
    sys.excepthook = hook


def _load(connection: _Connection) -> tuple[bool, int]:
    """Say how much a connection has to do; one that may still be logging in gets no more than a first request."""
    is_opening = bool(connection.flights) and math.isinf(connection.heard)
    return is_opening, len(connection.flights)


def _is_lost(connection: _Connection, flight: Flight, status: Status) -> bool:
    """Tell whether another connection may do better, by the status of a request that failed on this one."""
    reason = failure(status).reason
    # The library keeps a connection on which every request runs out of time, although it may be stuck for good.
    stuck = reason == Reason.TIMEOUT and connection.heard < flight.started
    return stuck or status["fatal"] or reason == Reason.CONNECTION


def _unsendable(path: bytes) -> str:
    """Say why a path cannot be asked for; empty if it can."""
    if b"?" in path:
        return "a server cuts a path at its question mark"
    if b"\n" in path:
        return "the protocol separates names by newlines"
    try:
        path.decode()
    except UnicodeDecodeError:
        return "not UTF-8, which the XRootD bindings cannot send"
    return ""
