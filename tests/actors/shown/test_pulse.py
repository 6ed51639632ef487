"""A thread gives signs of life while a run works, waits or hangs; the summary may be in any state."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from actors.oversight import Progress
from actors.shown.pulse import Pulse, PulseTimes
from storage.sites.process import Owner
from storage.sites.summary import Heartbeat, SummaryDatabase

SITE = "T2_X"
OFTEN = PulseTimes(every=0.01, show_every=0.0, say_after=0.1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "stats.db"
    with SummaryDatabase(path) as summary:
        summary.sync({SITE: True})
        summary.running(SITE, Owner.this(), 1.0)
    return path


def beat_of(path: Path) -> Heartbeat | None:
    with SummaryDatabase.reading(path) as summary:
        return summary.beats().get(SITE)


def eventually(happened: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_signs_of_life_say_how_far_the_run_is(path: Path) -> None:
    shown = threading.Event()
    with Pulse(SITE, path, shown.set, times=OFTEN) as pulse:
        eventually(lambda: (beat := beat_of(path)) is not None and beat.phase == "starting")
        pulse.watch("listing", Progress(listed=5, files=7, note="nothing has answered for 60 s"))
        eventually(lambda: (beat := beat_of(path)) is not None and beat.phase == "listing")
        assert shown.wait(60)
    sign = beat_of(path)
    assert sign is not None
    assert (sign.directories, sign.files) == (5, 7)
    assert "pulse" not in {thread.name for thread in threading.enumerate()}


class Noting:
    """A follower that notes what it is told, and may be unable to."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.told: list[tuple[str, int]] = []
        self._failure = failure

    def follow(self, phase: str, progress: Progress) -> None:
        self.told.append((phase, progress.listed))
        if self._failure is not None:
            raise self._failure

    def leave(self) -> None:
        self.told.append(("left", 0))


def test_followers_are_told_how_far_the_run_is_and_when_it_is_over() -> None:
    follower = Noting()
    with Pulse(SITE, None, followers=[follower]) as pulse:
        eventually(lambda: follower.told == [("starting", 0)])
        pulse.watch("listing", Progress(listed=5))
        eventually(lambda: follower.told[-1] == ("listing", 5))
        pulse.watch("listing", Progress(listed=6))
    assert follower.told[-2:] == [("listing", 6), ("left", 0)]


def test_a_follower_that_fails_is_told_of_once_and_the_others_follow_on(caplog: pytest.LogCaptureFixture) -> None:
    broken, sound = Noting(OSError(28, "No space left on device")), Noting()
    times = PulseTimes(every=0.01, follow_every=0.0)
    with Pulse(SITE, None, times=times, followers=[broken, sound]):
        eventually(lambda: len(sound.told) > 3)
    assert sound.told[-1] == ("left", 0)
    assert [record.getMessage() for record in caplog.records] == [f"{SITE}: Noting: [Errno 28] No space left on device"]


def test_a_phase_that_takes_long_is_told_of_with_what_it_waits_for(path: Path) -> None:
    said: list[str] = []
    with Pulse(SITE, path, say=lambda _phase, progress: said.append(progress.note), times=OFTEN) as pulse:
        pulse.waits_for = {"reading the inventory": "the database"}
        pulse.watch("reading the inventory", Progress())
        eventually(lambda: any(note.startswith("reading the inventory has taken ") for note in said))
        assert said[-1].endswith(" so far, waiting for the database")
        eventually(lambda: (beat := beat_of(path)) is not None and beat.note.endswith("waiting for the database"))
        # It went on: what was said is no more so.
        pulse.watch("listing", Progress())
        eventually(lambda: (beat := beat_of(path)) is not None and (beat.phase, beat.note) == ("listing", ""))


def test_a_locked_summary_ends_no_run(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with Pulse(SITE, path, times=OFTEN) as pulse:
            pulse.watch("listing", Progress(listed=5))
            eventually(lambda: "no sign of life could be given" in caplog.text)
            other.execute("ROLLBACK")
            eventually(lambda: beat_of(path) is not None)
    assert caplog.text.count("no sign of life could be given") == 1


@pytest.mark.parametrize("content", [b"", b"nonsense" * 1000])
def test_a_damaged_summary_ends_no_run(path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    for log in path.parent.glob("stats.db-*"):
        log.unlink()
    path.write_bytes(content)
    with Pulse(SITE, path, times=OFTEN):
        eventually(lambda: "no sign of life could be given" in caplog.text)


def test_a_summary_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with Pulse(SITE, tmp_path / "stats.db", times=OFTEN) as pulse, Pulse(SITE, None, times=OFTEN):
        pulse.watch("listing", Progress())
        time.sleep(0.05)
    assert list(tmp_path.iterdir()) == []
