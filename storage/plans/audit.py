"""The audit log of a site: what was done because of its plans, item by item, and never anything else.

A line of JSON is added for each event and brought to the disk before and after something is done; no line is ever
changed or removed. The last line may be cut off by a crash: the next one begins on a line of its own, and what cannot
be read is passed over. Whoever writes holds the lock of the site's runs.
"""

from __future__ import annotations

import json
import os
import pwd
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import paths
from engine.plan import Cause, ItemEvent, PlanItem, PlanState
from storage.atomic import naming, sync_directory

REJECTED = "rejected"
PLANNED = "planned"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One line: when (seconds since the epoch), who, which plan, what, and for events of an item, of which one.

    ``detail`` says why something was dropped or failed, or what was said of it. ``aside`` is where a file was put that
    was to be put aside at its store.
    """

    at: float
    who: str
    plan: str
    event: str
    item: int | None = None
    action: str = ""
    path: bytes = b""
    size: int = -1
    detail: str = ""
    cause: str = ""
    aside: bytes = b""


class AuditLog:
    """The log at a path, which is made with the first event.

    Raises:
        ReportError: a method cannot write; what it was to say was not said, and is not to be done.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._who = _user()

    @property
    def size(self) -> int:
        """How long it is, in bytes."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def say(self, plan: str, event: str, detail: str = "") -> None:
        """Note an event of a whole plan."""
        self._append([self._line(plan, event, detail=detail)])

    def note(
        self,
        plan: str,
        event: ItemEvent,
        items: Sequence[PlanItem],
        details: Iterable[str] = (),
        asides: Iterable[bytes] = (),
    ) -> None:
        """Note the same event of some items; ``details`` and ``asides`` are in their order, and may be left out."""
        if not items:
            return
        said = list(details) or [""] * len(items)
        rows = zip(items, said, list(asides) or [b""] * len(items), strict=True)
        self._append(
            [
                self._line(
                    plan,
                    event,
                    item=item.number,
                    action=item.action.value,
                    cause=item.cause.value,
                    path=paths.decode(item.path),
                    size=item.size,
                    detail=detail,
                    aside=paths.decode(aside),
                )
                for item, detail, aside in rows
            ]
        )

    def _line(self, plan: str, event: str, **more: Any) -> str:
        line = {"at": time.time(), "who": self._who, "plan": plan, "event": str(event), **more}
        return json.dumps({key: value for key, value in line.items() if value != ""}, ensure_ascii=False) + "\n"

    def _append(self, lines: list[str]) -> None:
        text = "".join(lines).encode("utf-8", "backslashreplace")
        with naming(self.path):
            is_new = not self.path.exists()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                end = os.fstat(descriptor).st_size
                if end and os.pread(descriptor, 1, end - 1) != b"\n":
                    text = b"\n" + text
                view = memoryview(text)
                while view:
                    view = view[os.write(descriptor, view) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        if is_new:
            sync_directory(self.path.parent)

    def events(self, start: int = 0) -> Iterator[AuditEvent]:
        """Give what was noted from a place on, in bytes; from the beginning where the log is shorter.

        Raises:
            OSError: it cannot be read.
        """
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with closing(file):
            file.seek(start if start <= os.fstat(file.fileno()).st_size else 0)
            for line in file:
                event = _event(line)
                if event is not None:
                    yield event

    def done_between(self, start: float, end: float) -> dict[Cause, frozenset[bytes]]:
        """Give the paths of what was done after ``start`` and not after ``end`` (seconds since the epoch), by cause.

        What was brought back again before ``end`` is not among them.

        Raises:
            OSError: the log cannot be read.
        """
        found: dict[Cause, set[bytes]] = {cause: set() for cause in Cause}
        # Half of a long log is what was begun.
        words = [b'"event": "%b"' % name.encode() for name in (ItemEvent.DONE, ItemEvent.RESTORED)]
        for event in self.events_with(*words):
            if event.item is None or not start < event.at <= end:
                continue
            paths_of_cause = found[Cause(event.cause or Cause.ORPHAN)]
            if event.event == ItemEvent.DONE:
                paths_of_cause.add(event.path)
            elif event.event == ItemEvent.RESTORED:
                paths_of_cause.discard(event.path)
        return {cause: frozenset(paths_of_cause) for cause, paths_of_cause in found.items()}

    def events_of(self, path: bytes) -> Iterator[AuditEvent]:
        """Give what was noted about one path.

        Raises:
            OSError: it cannot be read.
        """
        named = json.dumps(paths.decode(path), ensure_ascii=False).encode("utf-8", "backslashreplace")
        return (event for event in self.events_with(named) if event.path == path)

    def events_with(self, *words: bytes) -> Iterator[AuditEvent]:
        """Give the events in whose lines one of some words stands; others are not taken to pieces.

        Raises:
            OSError: it cannot be read.
        """
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with closing(file):
            for line in file:
                event = _event(line) if any(word in line for word in words) else None
                if event is not None:
                    yield event

    def state_of(self, plan: str, start: int) -> PlanState:
        """Say how far a plan is, of which nothing stands before ``start``."""
        state = PlanState()
        for event in self.events(start):
            if event.plan != plan:
                continue
            if event.event == PLANNED:
                state.is_known = True
            elif event.event == REJECTED:
                state.rejected = True
            elif event.item is not None:
                state.take((event.item,), ItemEvent(event.event))
        return state


def _event(line: bytes) -> AuditEvent | None:
    try:
        kept = json.loads(line)
        item = kept.get("item")
        if item is not None:
            ItemEvent(kept["event"])
            Cause(kept.get("cause", Cause.ORPHAN))
        return AuditEvent(
            float(kept["at"]),
            str(kept["who"]),
            str(kept["plan"]),
            str(kept["event"]),
            None if item is None else int(item),
            str(kept.get("action", "")),
            paths.encode(kept.get("path", "")),
            int(kept.get("size", -1)),
            str(kept.get("detail", "")),
            str(kept.get("cause", "")),
            paths.encode(kept.get("aside", "")),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
