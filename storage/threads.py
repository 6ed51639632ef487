"""Whose a thread is: its name begins with that of the actor it works for, so that the log can say so."""

from __future__ import annotations

import re
import threading

_ACTOR = re.compile(r"(?:lister|coordinator|comparison|history-store):\S+")


def actor_of(thread: str) -> str:
    """Give the name of the actor that a thread of this name works for; empty when it works for none."""
    match = _ACTOR.match(thread)
    return match[0] if match else ""


def named(what: str) -> str:
    """Give the name for a new thread that does ``what`` for the actor, if any, that this thread works for."""
    return f"{actor_of(threading.current_thread().name)} {what}".strip()
