"""How fast a door lists: a few dozen requests, one by one, then at once on one connection, then on several."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from engine import paths
from engine.diagnosing.facts import SpeedSample
from engine.listing import Failed, Listed, Outcome
from engine.states import Reason
from storage.listers.factory import open_lister
from storage.listers.protocol import Ask, Lister, Request, StoreSpec

_MOST = 10
"""So many directories are listed, three times each at most."""

_ONE_BY_ONE = 6
_CONNECTIONS = 4
_GRACE = 5.0


class _Asker:
    """Asks a lister, and waits."""

    def __init__(self, spec: StoreSpec) -> None:
        self._arrived: queue.SimpleQueue[tuple[int, Outcome]] = queue.SimpleQueue()
        self._patience = spec.timeout + _GRACE
        self._number = 0
        self.lister: Lister = open_lister(spec, lambda number, outcome: self._arrived.put((number, outcome)))

    def ask(self, ask: Ask, directories: Sequence[bytes]) -> list[Outcome]:
        """Ask for all of them at once; gives the outcomes in their order."""
        first = self._number + 1
        for directory in directories:
            self._number += 1
            self.lister.submit(Request(self._number, ask, directory))
        late: Outcome = Failed(Reason.TIMEOUT, "no answer")
        outcomes = dict.fromkeys(range(first, self._number + 1), late)
        give_up = time.monotonic() + self._patience
        for _ in directories:
            try:
                number, outcome = self._arrived.get(timeout=max(0.0, give_up - time.monotonic()))
            except queue.Empty:
                break
            outcomes[number] = outcome
        return list(outcomes.values())


@contextmanager
def _asking(spec: StoreSpec, connections: int, in_flight: int) -> Iterator[_Asker]:
    asker = _Asker(replace(spec, connections=connections, in_flight=in_flight))
    try:
        yield asker
    finally:
        asker.lister.close()


def measure(spec: StoreSpec, tops: Sequence[tuple[bytes, Listed]]) -> SpeedSample | None:
    """List some directories below the tops, which were listed just now, through one door; None when that fails."""
    directories = _some(tops)
    requests = 0
    with _asking(spec, 1, max(1, len(directories))) as asker:
        # The first answer is late by the login.
        if _has_failed(asker.ask(Ask.STAT, directories[:1])):
            return None
        alone = []
        for directory in directories[:_ONE_BY_ONE]:
            began = time.monotonic()
            if _has_failed(asker.ask(Ask.LIST, [directory])):
                return None
            alone.append(time.monotonic() - began)
        began = time.monotonic()
        outcomes = asker.ask(Ask.LIST, directories)
        on_one = time.monotonic() - began
        requests += asker.lister.requests
    if _has_failed(outcomes):
        return None
    with _asking(spec, _CONNECTIONS, max(_CONNECTIONS, len(directories))) as asker:
        asker.ask(Ask.STAT, [directories[0]] * _CONNECTIONS)
        began = time.monotonic()
        if _has_failed(asker.ask(Ask.LIST, directories)):
            return None
        on_several = time.monotonic() - began
        requests += asker.lister.requests
    files = sum(len(outcome.files) for outcome in outcomes if isinstance(outcome, Listed))
    middle = sorted(alone)[len(alone) // 2]
    return SpeedSample(len(directories), middle, on_one, on_several, _CONNECTIONS, files, requests)


def _some(tops: Sequence[tuple[bytes, Listed]]) -> list[bytes]:
    """Choose directories, those in the tops first, which are more like most of a store than the tops are."""
    inner = [paths.join(top, name) for top, listed in tops for name in listed.directories.name_list()]
    chosen = [*inner, *(top for top, _ in tops)][:_MOST]
    # Where there are few, the same ones are asked for again.
    return [chosen[place % len(chosen)] for place in range(_MOST)] if chosen else []


def _has_failed(outcomes: Sequence[Outcome]) -> bool:
    """Tell whether nothing can be concluded from the time that it took."""
    silent = (Reason.TIMEOUT, Reason.CONNECTION, Reason.AUTHENTICATION)
    return any(isinstance(outcome, Failed) and outcome.reason in silent for outcome in outcomes)
