"""Tells the log how a run gets on: each phase, each failure, and now and then how far it is."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine import paths

if TYPE_CHECKING:
    from actors.oversight import Progress
    from engine.states import Reason

_log = logging.getLogger(__name__)

_EVERY = 60.0
"""Seconds between two lines about how far a phase is."""


class Narrator:
    """Watches a run and logs; ``clock`` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._phase = ""
        self._next = 0.0
        self._told: set[tuple[bytes, Reason, str]] = set()

    def watch(self, phase: str, progress: Progress) -> None:
        """Take note of the phase and the progress."""
        now = self._clock()
        if phase != self._phase:
            self._phase, self._next = phase, now + _EVERY
            _log.info("%s", phase)
        elif now >= self._next:
            self._next = now + _EVERY
            _log.info(
                "%s: %d directories, %d files, %d in the queue, %d in flight, %d failed, %d requests",
                phase,
                progress.listed,
                progress.files,
                progress.queued,
                progress.in_flight,
                progress.failed,
                progress.requests,
            )
            for pace in progress.doors:
                _log.info("%s: %s", pace.door, pace.words)
        self._tell_failures(progress)

    def _tell_failures(self, progress: Progress) -> None:
        # The progress has the last few; what is not among them any more need not be remembered.
        latest = set(progress.failures)
        for path, reason, detail in progress.failures:
            if (path, reason, detail) not in self._told:
                _log.info("unlisted: %s: %s", paths.escape(path), detail or reason.label)
        self._told = latest
