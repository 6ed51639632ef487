"""What was put aside at the store of a site and lies there still, by the audit log of the site."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.columns import UNKNOWN_MTIME
from engine.plan import DONE, Action, Cause, ItemEvent, PlanItem

if TYPE_CHECKING:
    from storage.plans.audit import AuditEvent, AuditLog

_MAY_BE_ASIDE = (ItemEvent.BEGUN, ItemEvent.DONE, ItemEvent.RESTORING, ItemEvent.PURGING)
"""What may have happened last to something that is in the quarantine: also what nobody noted the end of."""


@dataclass(frozen=True, slots=True)
class PutAside:
    """One item of a plan that was put aside: where to, when (seconds since the epoch), and the last word on it."""

    plan: str
    item: PlanItem
    aside: bytes
    at: float
    last: ItemEvent

    @property
    def is_certain(self) -> bool:
        """Whether it is known to have been there; a process that died may have left another one where it was."""
        return self.last in DONE


def put_aside(log: AuditLog) -> list[PutAside]:
    """Give what lies in the quarantine, or may, in the order in which it was put there.

    Raises:
        OSError: the log cannot be read.
    """
    found: dict[tuple[str, int], PutAside] = {}
    latest = 0.0
    for event in log.events():
        # Nothing came before what stands before it, whatever the clock said: what is young would look old.
        latest = max(latest, event.at)
        if event.item is None:
            continue
        key = event.plan, event.item
        before = found.get(key)
        if event.aside:
            found[key] = PutAside(event.plan, _item(event), event.aside, latest, ItemEvent(event.event))
        elif before is not None:
            at = latest if event.event == ItemEvent.DONE else before.at
            found[key] = PutAside(before.plan, before.item, before.aside, at, ItemEvent(event.event))
    return [entry for entry in found.values() if entry.last in _MAY_BE_ASIDE]


def spared(log: AuditLog, then: float) -> frozenset[bytes]:
    """Give the paths that no plan may have: all places in a quarantine, and what was brought back since ``then``.

    ``then`` is in seconds since the epoch.

    Raises:
        OSError: the log cannot be read.
    """
    found: set[bytes] = set()
    latest = 0.0
    for event in log.events_with(b'"aside": "', b'"%b"' % ItemEvent.RESTORED.encode()):
        latest = max(latest, event.at)
        if event.aside:
            found.add(event.aside)
        if event.event == ItemEvent.RESTORED and latest >= then:
            found.add(event.path)
    return frozenset(found)


def of_plan(entries: Iterable[PutAside], plan: str) -> list[PutAside]:
    """Give those of one plan, or of the plans whose names begin so."""
    return [entry for entry in entries if entry.plan.startswith(plan)]


def _item(event: AuditEvent) -> PlanItem:
    number = event.item or 0
    cause = Cause(event.cause or Cause.ORPHAN)
    return PlanItem(number, cause, event.path, event.size, UNKNOWN_MTIME, event.detail, Action(event.action))
