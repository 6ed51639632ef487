"""The command ``unmerged``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from actors.unmerged import CleaningOptions, UnmergedResult
from actors.unmerged_run import clean_site
from cli.display import human_bytes, human_count
from cli.exits import CommandError, ExitCode, of_result
from cli.session import RunOptions, Settings, open_runtime, overseen
from engine.paths import escape
from engine.unmerged import Kept, Mode
from storage.doors.resolve import resolve
from storage.doors.source import site_source
from storage.runs.reports import ReportError


@dataclass(frozen=True, slots=True)
class UnmergedRequest:
    """What of a cleaning stands on the command line; empty: the configuration says it."""

    site: str
    protected_list: str = ""
    mode: str = ""
    more_logs: bool = False
    fresh: bool = False


def run(settings: Settings, request: UnmergedRequest, options: RunOptions) -> ExitCode:
    """Look through the unmerged area of one site and say what may be deleted."""
    if request.mode and request.mode not in tuple(Mode):
        raise CommandError(f"--mode: expected files or directories, found {request.mode!r}")
    site = settings.config.site(request.site)
    store = resolve(site_source(site))
    cleaning = CleaningOptions(
        request.more_logs,
        request.protected_list,
        request.mode,
        options.listers,
        options.in_flight,
        request.fresh,
    )
    with (
        open_runtime(options, site.runtime, "ray", site.runtime_env, "unmerged", site.name) as actors,
        overseen(site.name, ", ".join(store.spec.doors), "the next one goes on from there") as oversight,
    ):
        try:
            number, result = clean_site(actors, site, store, oversight, cleaning)
        except ReportError as error:
            raise CommandError(f"WebDir: {error}") from error
    if options.as_json:
        print(json.dumps(summary(number, result)))
    else:
        _show(number, result)
    return of_result(options.exit_code, result.deletable + result.directories, result.unlisted)


def summary(number: int, result: UnmergedResult) -> dict[str, Any]:
    """Give the object that ``--json`` prints."""
    return {
        "site": result.site,
        "run": number,
        "mode": result.mode.value,
        "files": result.files,
        "bytes": result.size,
        "deletable": result.deletable,
        "deletable_bytes": result.deletable_size,
        "logs": result.logs,
        "directories": result.directories,
        "kept": sum(result.kept.values()),
        "kept_by_reason": {reason.name.lower(): count for reason, count in sorted(result.kept.items())},
        "unlisted": result.unlisted,
        "prefixes": result.prefixes,
        "requests": result.listing.requests,
        "resumed": result.listing.resumed,
        "reports": list(result.reports),
        "seconds": round(result.seconds, 3),
    }


def _show(number: int, result: UnmergedResult) -> None:
    resumed = f", {result.listing.resumed:,} directories taken over from a journal" if result.listing.resumed else ""
    print(
        f"{result.site}, run {number}: {human_count(result.files, 'file')} ({human_bytes(result.size)}) in "
        f"{escape(result.root)}{resumed}; {human_count(result.listing.requests, 'request')}, {result.seconds:.1f} s"
    )
    logs = f", {human_count(result.logs, 'log')} among them" if result.logs else ""
    print(f"deletable: {human_count(result.deletable, 'file')} ({human_bytes(result.deletable_size)}){logs}")
    if result.mode == Mode.DIRECTORIES:
        print(f"whole:     {human_count(result.directories, 'directory', 'directories')}")
    for reason in Kept:
        if result.kept.get(reason):
            print(f"stays:     {human_count(result.kept[reason], 'file')}: {reason.label}")
    if result.unlisted:
        print(f"unlisted:  {human_count(result.unlisted, 'directory', 'directories')}")
    for path in result.reports:
        print(f"written:   {path}")
    print("nothing was deleted")
