"""The log of a run: a file for each run of a site, and a copy beside the page that shows the last one.

``VarLocation/logs/SITE/TIME.log`` and ``WebDir/SITE.log``. Both grow while the run goes on, so that a run that is
killed has left in them what it had to say. A line has the time (UTC), the level, the site, the run, the actor where
it comes from one, and the logger.
"""

from __future__ import annotations

import copy
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from storage.atomic import naming
from storage.runs.directory import directory_name
from storage.shown import printable
from storage.threads import actor_of

OUR_LOGGERS = ("actors", "cli", "dynamo_consistency", "engine", "storage")
"""What is logged from INFO on; of other libraries only warnings and worse are."""


class LineFormatter(logging.Formatter):
    """Formats a record as one line; those of a traceback follow it, indented.

    ``context`` gives the words about the site and the run, empty when there is nothing to say.
    """

    def __init__(self, context: Callable[[], str] = str) -> None:
        super().__init__()
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        """Give the line. Names come from stores: none of their control characters reaches the file."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        about = _about(self._context(), record)
        words = [f"{moment}.{int(record.msecs):03}Z", record.levelname, about, f"{record.name}:"]
        line = " ".join([word for word in words if word]) + f" {printable(record.getMessage())}"
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        return "\n    ".join([line, *map(printable, trace.splitlines())])


class NamingFormatter(logging.Formatter):
    """Formats a record as another formatter does, and puts what it is about before the name of the logger."""

    def __init__(self, inner: logging.Formatter, context: Callable[[], str]) -> None:
        super().__init__()
        self._inner = inner
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        """Give the line, or lines."""
        named = copy.copy(record)
        named.name = " ".join(filter(None, [_about(self._context(), record), record.name]))
        return self._inner.format(named)


def _about(context: str, record: logging.LogRecord) -> str:
    """Say what a record is about: the site and the run, and the actor where it comes from one."""
    actor = actor_of(record.threadName or "")
    return context if actor in context.split() else f"{context} {actor}".strip()


class RunLog:
    """The log of one run of a site; ``run`` is its number, to be set as soon as that is known."""

    def __init__(self, path: Path, page: Path, site: str) -> None:
        self.path = path
        self.page = page
        self.site = site
        self.run: int | None = None

    def context(self) -> str:
        """Say which run of which site this is."""
        return self.site if self.run is None else f"{self.site} run {self.run}"


class RunLogHandler(logging.FileHandler):
    """Writes a log; what cannot be written, to a full disk say, is lost without a word on stderr for each line."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Pass over a line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, if it is from INFO on one of ours and from WARNING on anybody's."""
        if record.levelno >= logging.WARNING or is_ours(record.name):
            super().emit(record)


def is_ours(name: str) -> bool:
    """Tell whether a logger is one of this program."""
    return name.partition(".")[0] in OUR_LOGGERS


@contextmanager
def open_run_log(var_location: Path, web_dir: Path, site: str, started: float) -> Iterator[RunLog]:
    """Log what happens in a run of a site that started at ``started``, in seconds since the epoch.

    What is logged elsewhere, such as on stderr, stays as it was, but that it names the site and the run before the
    logger. A run that goes on with an earlier one, which has the same start, goes on with its log.

    Raises:
        ReportError: a file or its directory cannot be written.
    """
    directory = var_location / "logs" / directory_name(site)
    log = RunLog(
        directory / time.strftime("%Y%m%dT%H%M%SZ.log", time.gmtime(started)),
        web_dir / f"{directory_name(site)}.log",
        site,
    )
    with ExitStack() as stack:
        handlers = []
        for path, mode in ((log.path, "a"), (log.page, "w")):
            with naming(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                # What was said of a run before it went on belongs to the copy, too.
                earlier = log.path.read_bytes() if mode == "w" else b""
                handler = RunLogHandler(path, mode, encoding="utf-8", errors="backslashreplace")
            stack.callback(handler.close)
            if earlier and handler.stream is not None:
                handler.stream.write(earlier.decode("utf-8", "replace"))
            handler.setFormatter(LineFormatter(log.context))
            handlers.append(handler)
        stack.enter_context(_named(log.context))
        stack.enter_context(_listening(handlers))
        yield log


def log_of_actor(about: str) -> None:
    """Send the log of a process that is a single actor's to stderr; each line says that it is ``about`` that one."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(lambda: about))
    logging.getLogger().addHandler(handler)
    for name in OUR_LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO)
    # How far a listing is: the log of a run has it from elsewhere.
    logging.getLogger("actors.coordinator").setLevel(logging.DEBUG)


@contextmanager
def _named(context: Callable[[], str]) -> Iterator[None]:
    """Let handlers that are there already say what their lines are about."""
    before = [(handler, handler.formatter) for handler in logging.getLogger().handlers]
    for handler, formatter in before:
        handler.setFormatter(NamingFormatter(formatter or logging.Formatter(), context))
    try:
        yield
    finally:
        for handler, formatter in before:
            handler.setFormatter(formatter)


@contextmanager
def _listening(handlers: Iterable[logging.Handler]) -> Iterator[None]:
    """Give handlers our records from INFO on, and everybody's warnings; other handlers get what they did before."""
    root = logging.getLogger()
    usual = root.getEffectiveLevel()
    changed: list[tuple[logging.Handler | logging.Logger, int]] = []
    try:
        for other in root.handlers:
            if other.level < usual:
                changed.append((other, other.level))
                other.setLevel(usual)
        for logger in (root, *map(logging.getLogger, OUR_LOGGERS)):
            if logger.getEffectiveLevel() > logging.INFO:
                changed.append((logger, logger.level))
                logger.setLevel(logging.INFO if logger is not root else min(usual, logging.WARNING))
        for handler in handlers:
            root.addHandler(handler)
        yield
    finally:
        for handler in handlers:
            root.removeHandler(handler)
        for what, level in reversed(changed):
            what.setLevel(level)
