"""Says where the log goes. Nothing is set up at import; the log of a run is in `storage.runs.log`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from dynamo_consistency import config
from storage.runs.log import LineFormatter, RunLogHandler

__all__ = ["change_logfile", "match_logs"]


def change_logfile(*filenames: str) -> None:
    """Change the output file of all loggers to these; without any, nothing is written to files any more.

    Directories are made as needed, and what is in a file already stays. Levels, and what goes elsewhere than to a file,
    are not changed.

    Raises:
        OSError: a file cannot be written; then nothing was changed.
    """
    with ExitStack() as opened:
        handlers = []
        for path in dict.fromkeys(map(Path, filenames)):
            path.parent.mkdir(parents=True, exist_ok=True)
            handler = logging.FileHandler(path, "a", encoding="utf-8", errors="backslashreplace")
            opened.callback(handler.close)
            handler.setFormatter(LineFormatter(lambda: config.SITE or ""))
            handlers.append(handler)
        opened.pop_all()
    for logger in _loggers():
        for old in list(logger.handlers):
            if isinstance(old, logging.FileHandler) and not isinstance(old, RunLogHandler):
                logger.removeHandler(old)
                old.close()
        # The others hand what they are told on to one of these, so that each line is written once.
        if logger.parent is None or not logger.propagate:
            for handler in handlers:
                logger.addHandler(handler)


def match_logs(source: logging.Logger, targets: Iterable[logging.Logger]) -> None:
    """Give the loggers ``targets`` the handlers of ``source``, in place of their own."""
    handlers = list(source.handlers)
    for logger in targets:
        for old in list(logger.handlers):
            logger.removeHandler(old)
        for handler in handlers:
            logger.addHandler(handler)


def _loggers() -> Iterator[logging.Logger]:
    yield logging.getLogger()
    for logger in list(logging.Logger.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            yield logger
