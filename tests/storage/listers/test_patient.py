from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import partial

from engine.listing import Absent, Failed, Listed, Outcome
from engine.outage import OutageLimits
from engine.states import Reason
from storage.listers.patient import PatientLister
from storage.listers.protocol import Ask, Lister, Request, Sink
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.fixtures import ServedDirectory
from tests.storage.listers.asking import Asker, asking

DOWN = Failed(Reason.CONNECTION, "refused")


class Switched:
    """A lister whose store is there or not; it answers at once, and on the thread that asks."""

    def __init__(self, sink: Sink) -> None:
        self.is_up = True
        self.requests = 0
        self.closed = False
        self._sink = sink

    def submit(self, request: Request) -> None:
        self.requests += 1
        self._sink(request.number, Absent() if self.is_up else DOWN)

    def close(self) -> None:
        self.closed = True


class Store:
    """A patient lister on one that can be switched off, and what asks it."""

    def __init__(self, limits: OutageLimits, others_heard: Callable[[], float] = lambda: -math.inf) -> None:
        self.switched: list[Switched] = []
        self.asker = Asker(partial(self._open, limits, others_heard))

    def _open(self, limits: OutageLimits, others_heard: Callable[[], float], sink: Sink) -> Lister:
        def opener(inner: Sink) -> Lister:
            self.switched.append(Switched(inner))
            return self.switched[-1]

        return PatientLister(opener, sink, limits, others_heard=others_heard)


def test_nobody_watches_while_all_is_well() -> None:
    store = Store(OutageLimits(60))
    before = threading.active_count()
    assert [store.asker.stat(b"/d") for _ in range(9)] == [Absent()] * 9
    assert threading.active_count() == before
    assert store.asker.lister.requests == 9
    store.asker.lister.close()
    assert store.switched[0].closed


def test_what_fails_is_held_until_the_store_is_back() -> None:
    store = Store(OutageLimits(600))
    store.asker.stat(b"/d")
    store.switched[0].is_up = False
    numbers = [store.asker.send(Ask.STAT, b"/d/%d" % number) for number in range(40)]
    assert not store.asker.outcomes.keys() & set(numbers)
    store.switched[0].is_up = True
    assert store.asker.wait(numbers) == [Absent()] * 40
    # Two went out before it was known to be away, at most, and one is asked twice.
    assert store.asker.lister.requests <= 1 + 40 + 2
    store.asker.lister.close()


def test_what_fails_is_told_when_it_was_held_for_long_enough() -> None:
    store = Store(OutageLimits(0.2))
    store.asker.stat(b"/d")
    store.switched[0].is_up = False
    assert store.asker.stat(b"/d") == DOWN
    store.asker.lister.close()


def test_a_part_that_stays_away_fails_at_once_in_the_end() -> None:
    store = Store(OutageLimits(600, patience=0.2, timeouts=True), lambda: math.inf)
    store.asker.stat(b"/d")
    store.switched[0].is_up = False
    outcome = store.asker.stat(b"/d")
    assert isinstance(outcome, Failed)
    assert outcome.detail.startswith("given up after ")
    patient = store.asker.lister
    assert isinstance(patient, PatientLister)
    sent = patient.requests
    numbers = [store.asker.send(Ask.STAT, b"/d/%d" % number) for number in range(1000)]
    assert all(isinstance(outcome, Failed) for outcome in store.asker.wait(numbers))
    assert patient.requests <= sent + 5
    store.asker.lister.close()


def test_what_is_held_is_dropped_at_the_end() -> None:
    store = Store(OutageLimits(600))
    store.asker.stat(b"/d")
    store.switched[0].is_up = False
    number = store.asker.send(Ask.STAT, b"/d")
    store.asker.lister.close()
    assert number not in store.asker.outcomes
    assert store.switched[0].closed


def test_a_sink_may_close_it() -> None:
    ended = threading.Event()
    opened: list[PatientLister] = []
    switched: list[Switched] = []

    def sink(number: int, _outcome: Outcome) -> None:
        if number:
            opened[0].close()
            ended.set()

    def opener(inner: Sink) -> Lister:
        switched.append(Switched(inner))
        return switched[0]

    opened.append(PatientLister(opener, sink, OutageLimits(0.1)))
    opened[0].submit(Request(0, Ask.STAT, b"/d"))
    switched[0].is_up = False
    opened[0].submit(Request(1, Ask.STAT, b"/d"))

    assert ended.wait(60)


def test_a_real_door_that_restarts(xrootd_directory: ServedDirectory) -> None:
    from storage.listers.factory import open_lister
    from storage.listers.protocol import StoreSpec

    (xrootd_directory.path / "d").mkdir()
    path = xrootd_directory.lfn + b"/d"
    with (
        FaultyProxy(xrootd_directory.server.port) as proxy,
        asking(partial(open_lister, StoreSpec((proxy.url,), timeout=20))) as asker,
    ):
        assert asker.list(path) == Listed()
        proxy.shut()
        numbers = [asker.send(Ask.LIST, path) for _ in range(20)]
        proxy.open()
        assert asker.wait(numbers) == [Listed()] * 20
