from __future__ import annotations

import threading

from engine.listing import Absent, Failed, Listed, Outcome
from engine.states import Reason
from storage.listers.protocol import Ask, Request
from storage.listers.watchdog import Flight, Watchdog

REQUEST = Request(1, Ask.LIST, b"/store")


class Sink:
    def __init__(self) -> None:
        self.calls: list[tuple[int, Outcome]] = []
        self._arrived = threading.Semaphore(0)

    def __call__(self, number: int, outcome: Outcome) -> None:
        self.calls.append((number, outcome))
        self._arrived.release()

    def wait(self) -> None:
        assert self._arrived.acquire(timeout=60)


def test_only_the_first_outcome_counts() -> None:
    sink = Sink()
    watchdog = Watchdog(sink, timeout=60)
    flight = watchdog.start(REQUEST)
    assert watchdog.is_open(flight)
    assert len(watchdog) == 1

    watchdog.end(flight, Listed())
    watchdog.end(flight, Absent())
    watchdog.close()

    assert sink.calls == [(1, Listed())]
    assert len(watchdog) == 0


def test_a_request_that_nobody_ends_is_a_timeout() -> None:
    sink = Sink()
    watchdog = Watchdog(sink, timeout=0.1, grace=0.1)
    flight = watchdog.start(REQUEST)
    sink.wait()
    watchdog.end(flight, Listed())
    watchdog.close()

    assert sink.calls == [(1, Failed(Reason.TIMEOUT, "no answer within 0.1 s"))]


def test_a_silent_request_may_be_answered_in_another_way() -> None:
    sink = Sink()
    asked: list[Flight] = []

    def silent(flight: Flight) -> bool:
        asked.append(flight)
        watchdog.extend(flight)
        watchdog.end(flight, Listed())
        return True

    watchdog = Watchdog(sink, timeout=0.1, silent=silent, grace=0.1)
    flight = watchdog.start(REQUEST)
    sink.wait()
    watchdog.close()

    assert asked == [flight]
    assert sink.calls == [(1, Listed())]


def test_an_extended_request_is_given_up_in_the_end() -> None:
    sink = Sink()
    asked: list[Flight] = []

    def silent(flight: Flight) -> bool:
        asked.append(flight)
        if len(asked) > 1:
            return False
        watchdog.extend(flight)
        return True

    watchdog = Watchdog(sink, timeout=0.1, silent=silent, grace=0.1)
    watchdog.start(REQUEST)
    sink.wait()
    watchdog.close()

    assert len(asked) == 2
    assert [number for number, _ in sink.calls] == [1]


def test_what_ended_cannot_be_extended() -> None:
    watchdog = Watchdog(Sink(), timeout=60)
    flight = watchdog.start(REQUEST)
    watchdog.end(flight, Listed())
    watchdog.extend(flight)
    watchdog.close()

    assert not watchdog.is_open(flight)


def test_a_request_started_later_tells_that_an_earlier_one_is_lost() -> None:
    sink = Sink()
    watchdog = Watchdog(sink, timeout=0.1, grace=0.1)
    watchdog.start(REQUEST)
    stop = threading.Event()

    def go_on() -> None:
        number = 1
        while not stop.wait(0.01):
            number += 1
            watchdog.end(watchdog.start(Request(number, Ask.LIST, b"/store")), Listed())

    busy = threading.Thread(target=go_on)
    busy.start()
    while all(number != 1 for number, _ in sink.calls):
        sink.wait()
    stop.set()
    busy.join()
    watchdog.close()

    assert [outcome for number, outcome in sink.calls if number == 1] == [
        Failed(Reason.TIMEOUT, "no answer within 0.1 s")
    ]


def test_a_closed_watchdog_reports_nothing() -> None:
    sink = Sink()
    watchdog = Watchdog(sink, timeout=60)
    flight = watchdog.start(REQUEST)
    watchdog.close()
    watchdog.end(flight, Listed())

    assert sink.calls == []


def test_a_sink_may_close_the_watchdog() -> None:
    ended = threading.Event()

    def sink(_number: int, _outcome: Outcome) -> None:
        watchdog.close()
        ended.set()

    watchdog = Watchdog(sink, timeout=0.1, grace=0.1)
    watchdog.start(REQUEST)

    assert ended.wait(60)


def test_libraries_get_whole_seconds() -> None:
    watchdog = Watchdog(Sink(), timeout=30)
    assert watchdog.start(REQUEST).seconds_left() in (29, 30)
    watchdog.close()
    watchdog = Watchdog(Sink(), timeout=1e9)
    assert watchdog.start(REQUEST).seconds_left() == 65535
    watchdog.close()
    watchdog = Watchdog(Sink(), timeout=0)
    assert watchdog.start(REQUEST).seconds_left() == 1
    watchdog.close()
