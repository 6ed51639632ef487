"""What processes that died had begun to put aside for plans that nobody applies any more: found out once, by looking.

Of what a plan has begun that may still be applied, its next application finds that out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from actors.listing import ListingFailed
from actors.oversight import Killed
from engine.columns import UNKNOWN_MTIME
from engine.plan import ItemEvent
from engine.quarantine import Order, top_of
from storage.atomic import ReportError
from storage.plans.audit import AuditLog
from storage.plans.plan_file import PlanError, read_plan
from storage.plans.put_aside import PutAside, put_aside

if TYPE_CHECKING:
    from actors.plans.removal import StoreHand
    from storage.runs.directory import RunDirectory

_log = logging.getLogger(__name__)

_AT_ONCE = 64

NEVER = "it was begun before, and never put aside"
_ASIDE = "it was begun before, and lies in the quarantine now"


def live_plan(directory: RunDirectory, audit: AuditLog) -> str:
    """Name the plan of a site that may still be applied, empty where there is none.

    Raises:
        OSError: the log cannot be read.
    """
    try:
        plan = read_plan(directory.plan, directory.site)
    except PlanError:
        return ""
    return "" if audit.state_of(plan.name, plan.header.audit).rejected else plan.name


def order_of(number: int, entry: PutAside) -> Order:
    """Say where something is that was put aside, or may have been, and where it was."""
    item = entry.item
    return Order(number, item.path, item.size, UNKNOWN_MTIME, entry.aside, top=top_of(entry.aside, entry.plan))


def note_never(audit: AuditLog, entries: Sequence[PutAside]) -> None:
    """Note of some that they were never put aside, so that nobody looks for them again.

    Raises:
        ReportError: it could not be noted.
    """
    for entry in entries:
        audit.note(entry.plan, ItemEvent.DROPPED, [entry.item], [NEVER])


def left_over(audit: AuditLog, live: str) -> list[PutAside]:
    """Give what other plans than ``live`` have begun, and nobody knows the end of.

    Raises:
        OSError: the log cannot be read.
    """
    return [entry for entry in put_aside(audit) if not entry.is_certain and entry.plan != live]


def settle_left_over(audit: AuditLog, hand: StoreHand, live: str) -> None:
    """Look what became of what other plans than ``live`` have begun, and note it.

    What cannot be seen, or not be noted, stays in doubt.

    Raises:
        OSError: the log cannot be read.
    """
    left = left_over(audit, live)
    try:
        for start in range(0, len(left), _AT_ONCE):
            entries = left[start : start + _AT_ONCE]
            found = hand.were_put([order_of(number, entry) for number, entry in enumerate(entries)])
            for number, entry in enumerate(entries):
                if found[number]:
                    audit.note(entry.plan, ItemEvent.DONE, [entry.item], [_ASIDE], [entry.aside])
            note_never(audit, [entry for number, entry in enumerate(entries) if found[number] is False])
    except (Killed, ListingFailed, ReportError) as error:
        # Whoever does something next hears the same, and what is in doubt can be looked for another time.
        _log.info("what was begun for other plans could not be looked for: %s", error)
