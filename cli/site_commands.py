"""The commands ``halt`` and ``history``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cli.exits import CommandError, ExitCode
from cli.session import Settings
from engine import paths
from storage.runs.directory import RunDirectory
from storage.shown import printable

if TYPE_CHECKING:
    from pathlib import Path

    from storage.history import RunRow
    from storage.plans.audit import AuditEvent


def halt_site(settings: Settings, site: str, wait: float) -> ExitCode:
    """Ask the process that checks a site to stop, and wait for it."""
    directory = RunDirectory(_var_location(settings, site), site)
    if not directory.path.is_dir() and site not in settings.config.sites:
        known = ", ".join(settings.config.sites) or "none"
        raise CommandError(f"no run of {site} in {directory.path.parent}, and no such site; known: {known}")
    if not directory.is_locked():
        print(f"{site} is not being checked")
        return ExitCode.DONE
    if not directory.request_halt(wait):
        raise CommandError(f"{site} was told to halt and has not stopped within {wait:g} s", ExitCode.NOT_LISTED)
    print(f"{site} halted; the next check goes on from its journal")
    return ExitCode.DONE


def _var_location(settings: Settings, site: str) -> Path:
    config = settings.config
    return (config.site(site) if site in config.sites else config.top_level(site)).var_location


def show_history(settings: Settings, site: str, limit: int, as_json: bool) -> ExitCode:
    """Print the last runs of a site, newest first."""
    var_location = _var_location(settings, site)
    directory, path = RunDirectory(var_location, site), var_location / "db" / "consistency.db"
    if not path.exists():
        raise CommandError(f"no history of {site}: {path} does not exist; a check makes it")
    from storage.history import HistoryDatabase, RunStatus

    with HistoryDatabase.reading(path) as database:
        runs = database.runs(site, limit)
        if any(row.status == RunStatus.RUNNING for row in runs) and not directory.is_locked():
            # It may have ended since they were read. What runs still was killed; only the next check writes that down.
            runs = [
                replace(row, status=RunStatus.DIED) if row.status == RunStatus.RUNNING else row
                for row in database.runs(site, limit)
            ]
        known = database.sites()
    if not runs and site not in known:
        raise CommandError(f"no runs of {site} in {path}; it has runs of: {', '.join(known) or 'none'}")
    if as_json:
        print(json.dumps({"site": site, "runs": [_as_object(row) for row in runs]}))
    else:
        _print_runs(runs)
    return ExitCode.DONE


def show_actions(settings: Settings, site: str, limit: int, as_json: bool) -> ExitCode:
    """Print the last lines of the audit log of a site, newest last."""
    from collections import deque

    from storage.plans.audit import AuditLog

    log = AuditLog(RunDirectory(_var_location(settings, site), site).audit)
    events = deque(log.events(), maxlen=limit)
    if not events:
        raise CommandError(f"nothing was ever planned or done at {site}: {log.path} does not exist, or is empty")
    if as_json:
        print(json.dumps({"site": site, "actions": [_action(event) for event in events]}))
        return ExitCode.DONE
    for event in events:
        at = datetime.fromtimestamp(event.at, UTC).strftime("%Y-%m-%d %H:%M:%S")
        what = "" if event.item is None else f" {event.item} {event.action} {paths.escape(event.path)}"
        what += f" to {paths.escape(event.aside)}" if event.aside else ""
        detail = f": {printable(event.detail)}" if event.detail else ""
        print(f"{at} {event.who} {event.plan} {event.event}{what}{detail}")
    return ExitCode.DONE


def _action(event: AuditEvent) -> dict[str, object]:
    path = paths.decode(event.path) if event.item is not None else None
    return {**asdict(event), "path": path, "aside": paths.decode(event.aside)}


def _as_object(row: RunRow) -> dict[str, object]:
    fields = asdict(row)
    run, counts = fields.pop("id"), fields.pop("counts")
    del fields["reported"]
    signs = fields.pop("signs")
    fields |= {"status": row.status.value, "begun": row.started if row.signs.begun is None else row.signs.begun}
    gates = {"gates": list(signs["gates"]), "accepted": row.signs.accepted, "reasons": dict(row.signs.reasons)}
    return {"run": run, **fields, **counts, "unknown": sorted(row.unknown), **gates}


_COLUMNS = (
    "run",
    "started (UTC)",
    "status",
    "files",
    "missing",
    "orphan",
    "empty",
    "unlisted",
    "not judged",
    "seconds",
)


_COUNTS = ("files", "missing", "orphan", "empty", "unlisted", "protected")
"""The counts of a run in the columns between its status and its seconds."""


def _print_runs(runs: list[RunRow]) -> None:
    rows = [
        (
            str(row.id),
            datetime.fromtimestamp(row.started, UTC).strftime("%Y-%m-%d %H:%M:%S"),
            row.status.value,
            *("-" if name in row.unknown else f"{getattr(row.counts, name):,}" for name in _COUNTS),
            f"{row.counts.seconds:.1f}",
        )
        for row in runs
    ]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    for line in (_COLUMNS, *rows):
        cells = [
            cell.ljust(w) if i in (1, 2) else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
    for row in runs:
        if row.message:
            print(f"run {row.id}: {row.message}", file=sys.stdout)
