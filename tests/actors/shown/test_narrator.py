from __future__ import annotations

import pytest

from actors.oversight import Progress
from actors.shown.narrator import Narrator
from engine.states import Reason


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return lines


def test_a_phase_is_told_once_and_then_how_far_it_is_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    clock = Clock()
    narrator = Narrator(clock)
    narrator.watch("listing", Progress())
    assert told(caplog) == ["listing"]
    clock.now = 59.0
    narrator.watch("listing", Progress(listed=1))
    assert told(caplog) == []
    clock.now = 60.0
    narrator.watch("listing", Progress(listed=2, files=30, queued=4, in_flight=5, failed=1, requests=7))
    assert told(caplog) == ["listing: 2 directories, 30 files, 4 in the queue, 5 in flight, 1 failed, 7 requests"]
    narrator.watch("comparing", Progress())
    assert told(caplog) == ["comparing"]


def test_each_failure_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    narrator = Narrator(Clock())
    first = (b"/store/a\n", Reason.TIMEOUT, "")
    second = (b"/store/b", Reason.SERVER, "error 3005")
    narrator.watch("listing", Progress(failures=(first,)))
    narrator.watch("listing", Progress(failures=(first, second)))
    narrator.watch("listing", Progress(failures=(first, second)))
    assert told(caplog) == [
        "listing",
        f"unlisted: /store/a\\n: {Reason.TIMEOUT.label}",
        "unlisted: /store/b: error 3005",
    ]
