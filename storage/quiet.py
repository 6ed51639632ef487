"""Libraries that say too much at the level of debugging: tokens, and what is shown to whom."""

from __future__ import annotations

import logging


def no_debugging(library: str) -> None:
    """Have a library say nothing at that level, whatever is set later on, and no more than others do by now."""
    logger = logging.getLogger(library)
    logger.setLevel(max(logging.INFO, logger.getEffectiveLevel()))
