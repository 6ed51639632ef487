"""The pulse of a run: a thread that gives signs of life in the summary, and says what takes long.

Whatever the run does, waits for or is stuck in, the thread goes on; and whatever becomes of the summary, the run does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Protocol

from actors.oversight import Progress
from engine.stall import AwakeClock, duration
from storage.sites.process import Owner
from storage.sites.summary import Heartbeat, SummaryDatabase

_log = logging.getLogger(__name__)

_EVERY = 30.0
"""Seconds between two signs of life."""

_SHOW_EVERY = 300.0
"""Seconds between two times that the page is built anew meanwhile."""

_FOLLOW_EVERY = 5.0
"""Seconds between two times that those who follow the run are told of it."""

_LOOK_EVERY = 1.0
"""Seconds between two looks at the run."""

_SAY_AFTER = 60.0
"""Seconds after which a phase that nobody has heard of since is told of."""

_PATIENCE = 5.0
"""Seconds to wait for whoever keeps the summary locked; there is another sign soon."""

_LEAVING = 10.0
"""Seconds that the thread may take to end."""


@dataclass(frozen=True, slots=True)
class PulseTimes:
    """Seconds between two signs, between two builds of the page, until a quiet phase is told of, and between two times
    that followers are told.
    """

    every: float = _EVERY
    show_every: float = _SHOW_EVERY
    say_after: float = _SAY_AFTER
    follow_every: float = _FOLLOW_EVERY


class Follower(Protocol):
    """Whoever shows elsewhere how far a run is. What it raises is logged, and ends no run."""

    def follow(self, phase: str, progress: Progress) -> None:
        """Take note: some seconds apart and with each new phase, on one thread; last of all when the run is over."""

    def leave(self) -> None:
        """Take note that the run is over, however it ended; its results are in the summary by now."""


class Pulse:
    """Used as a context for as long as a run lasts. ``watch`` is told how far that is, from any thread.

    With a ``summary`` signs of life of the process that has the ``site`` are given there, and ``show`` is called now
    and then to show them to others. ``say`` is told when a phase takes long, with a note in its progress; what is
    waited for then is in ``waits_for``, by the phase. ``followers`` are told how far it is, and when it is over.
    """

    def __init__(
        self,
        site: str,
        summary: Path | None,
        show: Callable[[], None] = lambda: None,
        say: Callable[[str, Progress], None] = lambda _phase, _progress: None,
        times: PulseTimes | None = None,
        followers: Sequence[Follower] = (),
    ) -> None:
        self._site = site
        self._summary = summary
        self._show = show
        self._tell = say
        self.waits_for: dict[str, str] = {}
        self._times = times or PulseTimes()
        self._owner = Owner.this()
        # The last phase and progress, and how often there was news: replaced in one step, so that no lock is needed.
        self._news: tuple[str, Progress, int] = ("starting", Progress(), 0)
        self._over = threading.Event()
        self._problem = ""
        self._note = ""
        self._followers = tuple(followers)
        self._lost: set[int] = set()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        # Not for ever: a disk that is gone may keep it.
        self._thread.join(_LEAVING)

    def watch(self, phase: str, progress: Progress) -> None:
        """Take note of the phase and the progress."""
        self._news = (phase, progress, self._news[2] + 1)

    def _run(self) -> None:
        try:
            self._beat_until_over()
        except Exception as error:
            _log.warning("%s: no more signs of life are given: %s: %s", self._site, type(error).__name__, error)
        self._leave()

    def _beat_until_over(self) -> None:
        awake, quiet = AwakeClock(), _Quiet(self._times.say_after)
        beaten_at, shown_at, beaten = -self._times.every, 0.0, ("", "")
        told_at, told = -self._times.follow_every, ""
        while True:
            now = awake.at(time.monotonic())
            phase, progress, count = self._news
            seconds = quiet.look(phase, count, now)
            if seconds:
                self._say(phase, progress, seconds)
            elif not quiet.said:
                self._note = ""
            if now - beaten_at >= self._times.every or (phase, self._note) != beaten:
                beaten_at, beaten = now, (phase, self._note)
                self._beat(phase, progress)
            if now - told_at >= self._times.follow_every or phase != told:
                told_at, told = now, phase
                self._tell_followers(phase, progress)
            if now - shown_at >= self._times.show_every:
                shown_at = now
                self._show()
            if self._over.wait(min(_LOOK_EVERY, self._times.every)):
                return

    def _say(self, phase: str, progress: Progress, seconds: float) -> None:
        self._note = f"{phase} has taken {duration(seconds)} so far"
        if phase in self.waits_for:
            self._note += f", waiting for {self.waits_for[phase]}"
        _log.info("%s: %s", self._site, self._note)
        self._tell(phase, replace(progress, note=self._note))

    def _tell_followers(self, phase: str, progress: Progress) -> None:
        progress = replace(progress, note=self._note or progress.note)
        for follower in self._followers:
            try:
                follower.follow(phase, progress)
            except Exception as error:
                # Each is told of once: a disk that is full stays so for a while.
                if id(follower) not in self._lost:
                    _log.warning("%s: %s: %s", self._site, type(follower).__name__, error)
                self._lost.add(id(follower))
            else:
                self._lost.discard(id(follower))

    def _leave(self) -> None:
        self._tell_followers(*self._news[:2])
        for follower in self._followers:
            with suppress(Exception):
                follower.leave()

    def _beat(self, phase: str, progress: Progress) -> None:
        if self._summary is None or not self._summary.exists():
            return
        sign = Heartbeat(phase, progress.listed, progress.files, self._note or progress.note, time.time())
        try:
            with SummaryDatabase(self._summary, _PATIENCE) as summary:
                summary.beat(self._site, self._owner, sign)
        except Exception as error:
            # A summary that is locked, full or damaged ends no run; each problem is told of once.
            if str(error) != self._problem:
                _log.warning("%s: no sign of life could be given: %s", self._site, error)
            self._problem = str(error)
        else:
            self._problem = ""


class _Quiet:
    """Notices that there is no news for long; each time is twice as long as the one before."""

    def __init__(self, say_after: float) -> None:
        self._say_after = self._next = say_after
        self._seen: tuple[str, int] = ("", -1)
        self._since = 0.0

    @property
    def said(self) -> bool:
        """Whether what goes on now has been told of."""
        return self._next > self._say_after

    def look(self, phase: str, count: int, now: float) -> float:
        """Give the seconds without news when it is time to say so, else 0; ``now`` in seconds."""
        if (phase, count) != self._seen:
            self._seen, self._since, self._next = (phase, count), now, self._say_after
            return 0.0
        quiet = now - self._since
        if quiet < self._next:
            return 0.0
        self._next = 2.0 * max(self._next, quiet / 2.0)
        return quiet
