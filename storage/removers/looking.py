"""Asking a store for one path, and waiting for the answer, on whatever thread asks."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late

from engine import paths
from engine.listing import Absent, Failed, NamesListed, Outcome, Present
from engine.states import Reason
from storage.listers.factory import open_lister
from storage.listers.protocol import Ask, Request, StoreSpec

_TRIES = 3
_PAUSE = 0.5
"""Seconds before a question is asked again that may be answered then; twice as many before the next."""

_LOOK_EVERY = 0.5
"""Seconds between two looks at whether nobody wants the answer any more."""


class Looker:
    """Looks at paths of one store, through its doors as every lister does."""

    def __init__(self, spec: StoreSpec) -> None:
        self._doors = len(spec.doors)
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._asked: dict[int, Future[Outcome]] = {}
        self._closed = threading.Event()
        self._lister = open_lister(spec, self._take)

    def stat(self, path: bytes) -> Present | Absent | Failed:
        """Ask for one path; what is not there is `Absent`, also where the way to it is not there."""
        outcome = self._ask(Ask.STAT, path)
        match outcome:
            case Present() | Absent():
                return outcome
            case Failed(Reason.NOT_FOUND | Reason.NOT_A_DIRECTORY):
                return Absent()
            case Failed():
                return outcome
            case _:
                return Failed(Reason.SERVER, "something else than an answer for one path")

    def names(self, path: bytes) -> frozenset[bytes] | Failed:
        """Ask for the names in a directory."""
        outcome = self._ask(Ask.NAMES, path)
        match outcome:
            case NamesListed(names):
                return names
            case Failed():
                return outcome
            case _:
                return Failed(Reason.SERVER, "something else than names")

    def is_named(self, path: bytes) -> bool | Failed:
        """Ask whether a directory has the name, also of a link that leads nowhere, which `stat` denies."""
        names = self.names(paths.parent_of(path) or b"/")
        if isinstance(names, Failed):
            is_gone = names.reason in (Reason.NOT_FOUND, Reason.NOT_A_DIRECTORY)
            return False if is_gone else names
        return paths.name_of(path) in names

    def close(self) -> None:
        """Ask nothing more; whoever waits is told so."""
        self._closed.set()
        self._lister.close()

    def _ask(self, ask: Ask, path: bytes) -> Outcome:
        pause = _PAUSE
        tries = 1
        while True:
            outcome = self._ask_once(ask, path)
            if not isinstance(outcome, Failed) or not outcome.reason.retryable:
                return outcome
            # Another try asks another door; a store that cannot be reached at all was waited for below.
            most = min(_TRIES, self._doors) if outcome.reason is Reason.CONNECTION else _TRIES
            if tries >= most or self._closed.wait(pause):
                return outcome
            tries += 1
            pause *= 2

    def _ask_once(self, ask: Ask, path: bytes) -> Outcome:
        future: Future[Outcome] = Future()
        with self._lock:
            number = next(self._numbers)
            self._asked[number] = future
        self._lister.submit(Request(number, ask, path))
        while not self._closed.is_set():
            try:
                return future.result(_LOOK_EVERY)
            except Late:
                continue
        return Failed(Reason.CONNECTION, "closed")

    def _take(self, number: int, outcome: Outcome) -> None:
        with self._lock:
            future = self._asked.pop(number, None)
        if future is not None:
            future.set_result(outcome)
