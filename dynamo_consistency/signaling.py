"""A small module for handling signals."""

from __future__ import annotations

import logging
import threading
from types import FrameType

from dynamo_consistency import config
from engine.site_states import NoMatchingSite
from storage.sites import picker
from storage.sites.summary import BUSY_SECONDS, SummaryDatabase, SummaryError

_log = logging.getLogger(__name__)

_SOON = 1.0
"""Seconds that the handler waits for others who write the summary."""


def halt(signum: int, _: FrameType | None) -> None:
    """Halt the current listing using the summary: sets the status of ``config.SITE``, unless it is disabled.

    Made for ``signal.signal``. Without a site that could be halted, it does what Python does by itself.

    Raises:
        KeyboardInterrupt: no site has been picked, or the summary does not know it.
    """
    site = config.SITE
    if site is None:
        raise KeyboardInterrupt
    _log.warning("Received signal %d. Terminating %s", signum, site)
    try:
        _halt(site, _SOON)
    except NoMatchingSite as error:
        raise KeyboardInterrupt from error
    except SummaryError:
        # The one who writes may be what this handler interrupts, and can go on only when it returns.
        threading.Thread(target=_halt, args=(site, BUSY_SECONDS), name=f"halt {site}").start()


def _halt(site: str, patience: float) -> None:
    with SummaryDatabase(picker.summary_path(config.current()), patience) as database:
        database.interrupt(site)
