"""The commands ``sites``, ``status`` and ``set-status``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli.exits import ExitCode
from cli.session import Settings
from engine.site_states import (
    BUSY,
    Reporting,
    SiteStatus,
    action_of,
    check_action,
    matching,
    why_not,
)
from storage.backends import choose
from storage.config.site import KnownSites
from storage.runs.directory import RunDirectory, RunDirError
from storage.runs.progress import RunProgress, look
from storage.shown import printable
from storage.sites import picker
from storage.sites.keeper import Keeper
from storage.sites.summary import StatsRow, SummaryDatabase, SummaryError

_HALT_PATIENCE = 2.0
"""Seconds that ``set-status`` waits for a run that it told to halt."""


def show_sites(settings: Settings, pattern: str | None, as_json: bool) -> ExitCode:
    """Print how the sites stand whose names contain a regular expression."""
    config = settings.config
    states = _states(config)
    names = matching([state.row.site for state in states], pattern)
    if pattern and not names:
        raise picker.no_match(pattern, [state.row.site for state in states])
    held = picker.held_locks(config, states)
    shown = [state for state in states if state.row.site in frozenset(names)]
    rows = [_site_object(state, why_not(state.candidate(), None, held)) for state in shown]
    if as_json:
        print(json.dumps({"sites": rows}))
    elif not rows:
        print("no sites: neither the configuration's backend nor the summary knows any")
    else:
        heads = ("site", "state", "acting", "last run (UTC)", "why not now")
        _print_table(heads, [_site_cells(state, row) for state, row in zip(shown, rows, strict=True)])
    return ExitCode.DONE


def show_status(settings: Settings, site: str | None, as_json: bool) -> ExitCode:
    """Print what runs now, or how one site stands, with the last result."""
    config = settings.config
    states = _states(config)
    if site is not None:
        known = [state.row.site for state in states]
        if site not in known:
            raise picker.no_site(site, known)
        states = [state for state in states if state.row.site == site]
    else:
        states = [state for state in states if state.at_work or state.status in BUSY]
    rows = [_status_object(state, config) for state in states]
    keeper = Keeper(config.top_level().var_location)
    run = _run_object(keeper) if site is None and _is_held(keeper) else None
    if as_json:
        print(json.dumps({"sites": rows} if site is not None else {"run": run, "sites": rows}))
        return ExitCode.DONE
    if run is not None:
        print(_run_line(run))
    if not rows:
        print("nothing is being checked")
    else:
        for row in rows:
            print("\n".join(_status_lines(row)))
    return ExitCode.DONE


def _is_held(keeper: Keeper) -> bool:
    try:
        return keeper.is_held()
    except RunDirError:
        # Who may not even look is told of the sites all the same.
        return False


def _run_object(keeper: Keeper) -> dict[str, Any]:
    info = keeper.running()
    known = {"pid": None, "host": None, "started": None, "parallel": None} if info is None else asdict(info)
    return {**known, "draining": keeper.drain_requested()}


def _run_line(run: dict[str, Any]) -> str:
    words = "sites are checked when they are due"
    if run["pid"] is not None:
        words += f" by process {run['pid']} on {printable(run['host'])}, since {_date(run['started'])} UTC"
        words += f", {run['parallel']} at a time"
    return words + ("; draining: no further check begins" if run["draining"] else "")


def set_status(settings: Settings, site: str, word: str) -> ExitCode:
    """Set a site ready, halt or disable it, or say whether it is acted on; says what it was and is now."""
    action = action_of(word)
    config = settings.config
    path, sites = picker.summary_path(config), choose(config, config.top_level()).sites
    if not path.exists() and site not in (listed := sites.site_list()):
        raise picker.no_site(site, listed)
    with SummaryDatabase(path) as database:
        picker.learn(database, sites, site)
        if isinstance(action, Reporting):
            before: SiteStatus | Reporting = database.set_reporting(site, action).reporting
        else:
            picker.free_stale(database, config)
            check_action(site, database.site(site).status, action)
            before = picker.set_status(database, config, site, action).status
    print(f"{site}: was {before.name.lower()}, is {action.name.lower()}")
    if action in (SiteStatus.HALT, SiteStatus.DISABLED) and not isinstance(action, Reporting):
        directory = RunDirectory(picker.settings_of(config, site).var_location, site)
        if directory.is_locked():
            over = directory.request_halt(_HALT_PATIENCE)
            print(f"{site}: its run {'has halted' if over else 'was told to halt, and is still at work'}")
    return ExitCode.DONE


def _states(config: KnownSites) -> list[picker.SiteState]:
    """Look at all sites of the summary and the backend, and free those whose process is gone where that can be done."""
    sites = choose(config, config.top_level()).sites
    path = picker.summary_path(config)
    if not path.exists():
        return picker.with_listed([], sites, config)
    with SummaryDatabase.reading(path) as database:
        states = picker.states(database, config)
    # Also where a process of another machine has to be seen once more, later, before it counts as gone.
    elsewhere = any(state.row.owner is not None and not state.row.owner.is_here for state in states)
    if elsewhere or any(state.over and state.row.status in BUSY for state in states):
        # Whoever may only read is shown the same, and the next check writes it down.
        with suppress(SummaryError), SummaryDatabase(path) as database:
            picker.free_stale(database, config)
            states = picker.states(database, config)
    return picker.with_listed(states, sites, config)


def _site_object(state: picker.SiteState, why: str) -> dict[str, object]:
    return {
        "site": state.row.site,
        "status": state.status.name.lower(),
        "reporting": state.row.reporting.name.lower(),
        "last_started": state.row.last_started,
        "last_result": state.result.entered if state.result else None,
        "lock": state.lock,
        "heartbeat": _heartbeat_object(state),
        "why_not": why,
    }


def _site_cells(state: picker.SiteState, row: dict[str, object]) -> tuple[str, ...]:
    last = state.candidate().last_run
    return (
        printable(state.row.site),
        _state_words(state),
        "yes" if state.row.reporting else "no",
        "never" if last is None else _date(last),
        str(row["why_not"]),
    )


def _heartbeat_object(state: picker.SiteState) -> dict[str, object] | None:
    return None if state.heartbeat is None else asdict(state.heartbeat)


def _state_words(state: picker.SiteState) -> str:
    """Say how a site stands, and of one that runs how far it is."""
    words, sign = state.status.name.lower(), state.heartbeat
    if sign is None:
        return words
    ago = _duration(max(0.0, time.time() - sign.given))
    return f"{words}: {printable(sign.phase)}, {sign.directories:,} directories, sign of life {ago} ago"


def _status_object(state: picker.SiteState, config: KnownSites) -> dict[str, Any]:
    directory = RunDirectory(picker.settings_of(config, state.row.site).var_location, state.row.site)
    info = directory.running() if state.at_work else None
    owner = state.row.owner if state.status in BUSY or state.at_work else None
    started = info.started if info else state.row.last_started if state.status == SiteStatus.RUNNING else None
    progress = look(directory) if info else RunProgress("")
    return {
        "site": state.row.site,
        "status": state.status.name.lower(),
        "reporting": state.row.reporting.name.lower(),
        "pid": info.pid if info else owner.pid if owner else None,
        "host": info.host if info else owner.host if owner else None,
        "started": started,
        "seconds": None if started is None else max(0.0, round(time.time() - started, 1)),
        "runtime": info.runtime if info else None,
        "dashboard": info.dashboard if info else None,
        "phase": progress.phase or None,
        "directories": progress.directories,
        "files": progress.files,
        "taken_over": progress.taken_over,
        "last_sign": progress.last_sign,
        "heartbeat": _heartbeat_object(state),
        "result": _result_object(state.result) if state.result else None,
        "failure": _failure(picker.settings_of(config, state.row.site).var_location, state.row.site),
    }


def _failure(var_location: Path, site: str) -> str | None:
    """Say how the last run of a site failed that is over; None when it did not, or when nobody can tell."""
    from storage.history import HistoryDatabase, HistoryError, RunStatus

    path = var_location / "db" / "consistency.db"
    if not path.is_file():
        return None
    try:
        with HistoryDatabase.reading(path) as history:
            over = [run for run in history.runs(site) if run.status != RunStatus.RUNNING and not run.cleaned]
    except HistoryError:
        return None
    if not over or over[0].status not in (RunStatus.FAILED, RunStatus.DIED):
        return None
    message = f": {printable(over[0].message)}" if over[0].message else ""
    return f"run {over[0].id} of {_date(over[0].started)} UTC {over[0].status}{message}"


def _result_object(result: StatsRow) -> dict[str, object]:
    fields = asdict(result)
    del fields["site"]
    return fields


def _status_lines(row: dict[str, Any]) -> Iterator[str]:
    who = f" by process {row['pid']} on {printable(row['host'])}" if row["pid"] is not None else ""
    since = f" since {_date(row['started'])} UTC ({_duration(row['seconds'])})" if row["started"] is not None else ""
    acting = "acted on" if row["reporting"] == "act" else "dry"
    yield f"{printable(row['site'])}: {row['status']}{since}{who}; {acting}"
    if row["runtime"]:
        yield f"  runtime:     {row['runtime']}" + (f", dashboard {row['dashboard']}" if row["dashboard"] else "")
    if row["phase"]:
        yield f"  phase:       {_phase(row)}"
    sign = row["heartbeat"]
    if sign is not None:
        ago = _duration(max(0.0, time.time() - sign["given"]))
        far = f"{sign['directories']:,} directories and {sign['files']:,} files"
        yield f"  heartbeat:   {printable(sign['phase'])}, {far}, sign of life {ago} ago"
        if sign["note"]:
            yield f"  note:        {printable(sign['note'])}"
    result = row["result"]
    if result is None:
        yield "  last result: none"
    else:
        yield (
            f"  last result: {_date(result['entered'])} UTC, in {_duration(result['seconds'])}: "
            f"{result['files']:,} files, {result['missing']:,} missing, {result['orphan']:,} orphan, "
            f"{result['empty']:,} empty, {result['unlisted']:,} unlisted"
        )
    if row["failure"]:
        yield f"  last run:    {row['failure']}"


def _phase(row: dict[str, Any]) -> str:
    words = [str(row["phase"])]
    if row["directories"] is not None:
        words.append(f"{row['directories']:,} directories and {row['files']:,} files so far")
    if row["taken_over"]:
        words.append(f"{row['taken_over']:,} directories taken over from the last listing")
    if row["last_sign"] is not None:
        words.append(f"last sign {_duration(max(0.0, time.time() - row['last_sign']))} ago")
    return ", ".join(words)


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for line in (heads, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
