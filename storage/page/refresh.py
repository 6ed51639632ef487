"""Keeps a page up to date while it is served: built again when what it is made from has changed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from storage.atomic import ReportError
from storage.history import HistoryError
from storage.page import files
from storage.sites.summary import DATABASE, SummaryError

MAX_AGE = 300.0
"""Seconds after which the page is built anew in any case: what is fresh or long depends on the time."""

_RETRY = 5.0
"""Seconds after which a build that failed is tried again."""

_logger = logging.getLogger(__name__)

Sign = tuple[tuple[object, ...], ...]
"""What is compared to see whether something has changed."""


def sign_of(web_dir: Path, *histories: Path | None) -> Sign:
    """Look at the databases and the lists, without reading them. A log that grows is no news."""
    databases = [web_dir / DATABASE, *filter(None, histories)]
    logs = [path.with_name(f"{path.name}-wal") for path in databases]
    try:
        present = files.present(web_dir)
    except ReportError:
        present = {}
    lists = tuple(
        (name, 0 if name.endswith(".log") else size)
        for name, size in sorted(present.items())
        if not name.endswith(".html") and not name.startswith(DATABASE)
    )
    return (tuple(_stamp(path, False) for path in databases), tuple(_stamp(path, True) for path in logs), lists)


def _stamp(path: Path, only_if_filled: bool) -> tuple[int, int]:
    """Give size and time of a change; an empty write-ahead log comes and goes with whoever reads."""
    try:
        state = path.stat()
    except OSError:
        return (0, 0)
    return (0, 0) if only_if_filled and not state.st_size else (state.st_size, state.st_mtime_ns)


class Refresher:
    """Call it before a page is given: it builds the page if need be, one thread at a time.

    ``problem`` says why the page is not up to date, nothing when it is. Each problem is logged once, and the older page
    stays.
    """

    def __init__(self, build: Callable[[], object], sign: Callable[[], Sign]) -> None:
        self._build = build
        self._sign = sign
        self._lock = threading.Lock()
        self._seen: Sign | None = None
        self._until = float("-inf")
        self.problem = ""

    def __call__(self) -> None:
        """Build the page unless it is as the databases are."""
        with self._lock:
            seen = self._sign()
            if seen == self._seen and time.monotonic() < self._until:
                return
            self._seen = seen
            try:
                self._build()
            except (ReportError, SummaryError, HistoryError) as error:
                self._until = time.monotonic() + _RETRY
                if str(error) != self.problem:
                    _logger.error("the page is not up to date: %s", error)
                self.problem = str(error)
            else:
                self._until = time.monotonic() + MAX_AGE
                self.problem = ""
