"""Asking a lister and waiting for what it says."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from engine.checksums.digest import ADLER32
from engine.listing import Failed, Outcome
from engine.states import Reason
from storage.listers.protocol import Ask, Lister, Request, Sink

_PATIENCE = 60.0


class Asker:
    """Sends questions and keeps every outcome by the number of its request."""

    def __init__(self, opener: Callable[[Sink], Lister]) -> None:
        self.outcomes: dict[int, list[Outcome]] = {}
        self._numbers = itertools.count(1)
        self._arrived = threading.Condition()
        self.lister = opener(self._sink)

    def send(self, ask: Ask, path: bytes, algorithm: str = "") -> int:
        number = next(self._numbers)
        self.lister.submit(Request(number, ask, path, algorithm))
        return number

    def wait(self, numbers: Iterable[int]) -> list[Outcome]:
        wanted = list(numbers)
        with self._arrived:
            done = self._arrived.wait_for(lambda: all(n in self.outcomes for n in wanted), _PATIENCE)
            assert done, f"no answer to {[n for n in wanted if n not in self.outcomes]}"
            return [self.outcomes[n][0] for n in wanted]

    def ask(self, ask: Ask, path: bytes) -> Outcome:
        return self.wait([self.send(ask, path)])[0]

    def list(self, path: bytes) -> Outcome:
        return self.ask(Ask.LIST, path)

    def names(self, path: bytes) -> Outcome:
        return self.ask(Ask.NAMES, path)

    def stat(self, path: bytes) -> Outcome:
        return self.ask(Ask.STAT, path)

    def checksum(self, path: bytes, algorithm: str = ADLER32) -> Outcome:
        return self.wait([self.send(Ask.CHECKSUM, path, algorithm)])[0]

    def _sink(self, number: int, outcome: Outcome) -> None:
        with self._arrived:
            self.outcomes.setdefault(number, []).append(outcome)
            self._arrived.notify_all()


def reason_of(outcome: Outcome) -> Reason:
    """Give why a request failed, which has to be said in one line."""
    assert isinstance(outcome, Failed), outcome
    assert outcome.detail
    assert "\n" not in outcome.detail
    return outcome.reason


@contextmanager
def asking(opener: Callable[[Sink], Lister]) -> Iterator[Asker]:
    asker = Asker(opener)
    try:
        yield asker
    finally:
        asker.lister.close()
