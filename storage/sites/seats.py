"""The seats of listers that all runs of a machine share: who has how many, in one small file.

Each run comes now and then and says how many listers it wants and has; it is told how many it may have from then on
(`engine.seats`). Nobody else is needed for that, so nobody's end takes the others' seats along, and a run that is
killed gives its own back. What stands in the file is said anew every few seconds: one that is lost or damaged is made
again.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.seats import Seated, SeatLimits, may_hold
from storage.sites.process import Owner

_log = logging.getLogger(__name__)

_FORMAT, _VERSION = "dynamo-consistency-seats", 1

_SILENCE = 900.0
"""Seconds after which a run of another machine that has not come again has no seat any more."""

_PATIENCE = 2.0
"""Seconds to wait for others, each of whom needs a few milliseconds."""


class SeatError(Exception):
    """The seats cannot be shared; the message names the file."""


@dataclass(frozen=True, slots=True)
class SeatPlan:
    """What a run needs to share seats: the directory of their file, the limits, and the doors of its store, as
    ``host:port``.
    """

    location: Path
    limits: SeatLimits
    doors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Row:
    """A run as it stands in the file: whose, for which site, and when it came last (seconds since the epoch).

    ``had`` is for how many seconds it had seats in the turns before this one.
    """

    owner: Owner
    site: str
    wants: int
    holds: int
    doors: tuple[str, ...]
    since: float
    seen: float
    had: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.site} {self.owner.pid} {self.owner.host}"

    def seated(self) -> Seated:
        return Seated(self.name, self.wants, self.holds, self.doors, self.since, self.had)

    def is_over(self, now: float) -> bool:
        # A run of this machine that lives may have other things to do for long, with all its listers idle.
        return not self.owner.is_alive() if self.owner.is_here else now - self.seen > _SILENCE

    def not_after(self, now: float) -> _Row:
        # What is said to come from the future was said before a clock was set back.
        return replace(self, since=min(self.since, now), seen=min(self.seen, now))


@dataclass(slots=True)
class SeatBook:
    """The seats as one run sees them, which says of itself that it lists ``site``."""

    plan: SeatPlan
    site: str
    others: tuple[str, ...] = ()
    """The sites whose listers had seats when this one came last."""
    _owner: Owner = field(default_factory=Owner.this)
    _problem: str = ""
    _has_come: bool = False

    @property
    def path(self) -> Path:
        """The file."""
        return self.plan.location / "seats.json"

    @property
    def waiting(self) -> str:
        """Say in one line what a run waits for that may have no lister now."""
        return f"waits for a lister: all that there may be are at {', '.join(self.others) or 'other sites'}"

    def ask(self, wants: int, holds: int) -> int:
        """Say how many listers this run wants and has, and give how many it may have from now on.

        Those that it may have count as had until it comes again. When the file cannot be used any more, it may have
        what it has, and the log says so.

        Raises:
            SeatError: it cannot be used, the first time that this run comes.
        """
        try:
            with self._alone():
                allowed = self._enter(wants, holds)
        except SeatError as error:
            if not self._has_come:
                raise
            if str(error) != self._problem:
                _log.warning("%s: no lister is added meanwhile: %s", self.site, error)
            self._problem = str(error)
            return holds
        self._problem, self._has_come = "", True
        return allowed

    def leave(self) -> None:
        """Give all seats back."""
        try:
            with self._alone():
                self._write([row for row in self._read() if (row.owner, row.site) != (self._owner, self.site)])
        except SeatError as error:
            # They are free when this process is gone.
            _log.warning("%s: %s", self.site, error)

    def _enter(self, wants: int, holds: int) -> int:
        now = time.time()
        rows = [row.not_after(now) for row in self._read() if not row.is_over(now)]
        before = next((row for row in rows if (row.owner, row.site) == (self._owner, self.site)), None)
        rows = [row for row in rows if row is not before]

        def entry(count: int) -> _Row:
            since, had = now, 0.0
            if before is not None:
                is_same = bool(before.holds) == bool(count)
                since = before.since if is_same else now
                had = before.had + (now - before.since if before.holds and not count else 0.0)
            return _Row(self._owner, self.site, wants, count, self.plan.doors, since, now, had)

        mine = entry(holds)
        allowed = may_hold(mine.name, [*(row.seated() for row in rows), mine.seated()], self.plan.limits, now)
        self._write([*rows, entry(max(allowed, holds))])
        self.others = tuple(sorted({row.site for row in rows if row.holds}))
        return allowed

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self.plan.location.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise SeatError(f"cannot use {self.path.with_suffix('.lock')}: {error.strerror}") from error
        try:
            self._lock(lock)
            yield
        finally:
            os.close(lock)

    def _lock(self, lock: int) -> None:
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > end:
                    raise SeatError(f"{self.path} is in use by another process for too long") from error
            except OSError as error:
                raise SeatError(f"cannot lock {self.path}: {error.strerror}") from error
            time.sleep(0.01)

    def _read(self) -> list[_Row]:
        try:
            kept = json.loads(self.path.read_bytes())
            if kept["format"] != _FORMAT or kept["version"] != _VERSION:
                raise ValueError("another format")
            return [_row(item) for item in kept["runs"]]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise SeatError(f"cannot read {self.path}: {error.strerror}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            _log.warning("%s is made anew: it is damaged, or of another version (%s)", self.path, error)
            return []

    def _write(self, rows: list[_Row]) -> None:
        content = {"format": _FORMAT, "version": _VERSION, "runs": [_item(row) for row in rows]}
        # Not brought to the disk: after a power cut nobody has a seat.
        part = self.path.with_suffix(".part")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with open(os.open(part, flags, 0o644), "w") as file:
                file.write(json.dumps(content))
            part.replace(self.path)
        except OSError as error:
            raise SeatError(f"cannot write {self.path}: {error.strerror}") from error


def _item(row: _Row) -> dict[str, Any]:
    owner = {"pid": row.owner.pid, "host": row.owner.host, "process": row.owner.start}
    counts = {"wants": row.wants, "holds": row.holds, "doors": row.doors}
    return {**owner, "site": row.site, **counts, "since": row.since, "seen": row.seen, "had": row.had}


def _row(item: dict[str, Any]) -> _Row:
    return _Row(
        Owner(int(item["pid"]), str(item["host"]), str(item["process"])),
        str(item["site"]),
        int(item["wants"]),
        int(item["holds"]),
        tuple(str(door) for door in item["doors"]),
        float(item["since"]),
        float(item["seen"]),
        float(item.get("had", 0.0)),
    )
