"""The commands ``plan undo`` and ``plan purge``, which deal with what was put aside at the store of a site."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from actors.plans.plan_run import PlanRefused
from actors.plans.quarantine_run import Emptied, bring_back, purge, quarantine_of
from cli.display import human_bytes, human_count
from cli.exits import CommandError, ExitCode, as_command_error
from cli.session import RunOptions, Settings, open_runtime, overseen
from engine import paths
from storage.backends import choose, site_named, with_own_settings
from storage.plans.put_aside import PutAside, of_plan

if TYPE_CHECKING:
    from storage.config.site import KnownSites, SiteConfig

_SHOWN = 5
"""So many files that stay are named on the terminal."""


def show_quarantine(settings: Settings, site: str, as_json: bool) -> ExitCode:
    """Show what was put aside at the store of a site, and lies there still, as the audit log has it."""
    _, settings_of_site = _known(settings.config, site)
    entries = quarantine_of(settings_of_site)
    if as_json:
        print(json.dumps({"site": site, "list": [_object(entry) for entry in entries]}))
        return ExitCode.DONE
    for entry in entries:
        at = datetime.fromtimestamp(entry.at, UTC).strftime("%Y-%m-%d %H:%M")
        doubt = "" if entry.is_certain else " (perhaps)"
        print(f"{entry.plan} {at} {paths.escape(entry.item.path)} at {paths.escape(entry.aside)}{doubt}")
    size = human_bytes(sum(entry.item.weight for entry in entries))
    said = f"{human_count(len(entries), 'file')} put aside, {size}" if entries else "nothing is put aside"
    print(f"{site}: {said}")
    return ExitCode.DONE


def undo(settings: Settings, site: str, lfns: Collection[str], plan: str | None, options: RunOptions) -> ExitCode:
    """Bring back what lies in the quarantine: files by their LFNs, those of a plan, or of the last one that put any.

    Raises:
        CommandError: there is nothing, something stays, or something ended it before its end.
    """
    _, settings_of_site = _known(settings.config, site)
    paths_wanted = frozenset(paths.canonical(paths.encode(lfn)) for lfn in lfns)

    def wanted(entries: list[PutAside]) -> list[PutAside]:
        chosen = of_plan(entries, plan) if plan is not None else entries
        plans = sorted({entry.plan for entry in chosen})
        if plan is not None and len(plans) > 1:
            raise CommandError(f"{site}: the names of {', '.join(plans)} begin so: say which; nothing was done")
        if paths_wanted:
            chosen = [entry for entry in chosen if entry.item.path in paths_wanted]
            unknown = sorted(paths_wanted - {entry.item.path for entry in chosen})
            if unknown:
                raise CommandError(f"{site}: {paths.escape(unknown[0])} is not in the quarantine; nothing was done")
        elif plan is None and entries:
            chosen = of_plan(entries, max(entries, key=lambda entry: entry.at).plan)
        if not chosen:
            raise CommandError(f"{site}: nothing {'of that plan ' if plan else ''}lies in the quarantine")
        return chosen

    with _runtime(options, settings_of_site, "undo", site) as actors, overseen(site, kept=_AGAIN) as oversight:
        done = bring_back(actors, settings_of_site, wanted, oversight)
    return _told(site, "brought back", done, options.as_json, "undo")


def empty(settings: Settings, site: str, older_than: float | None, options: RunOptions) -> ExitCode:
    """Delete for good what was put aside more than so many days ago, ``QuarantineDays`` where nothing is said.

    Raises:
        CommandError: it must not be done, something stays, or something ended it before its end.
    """
    config, settings_of_site = _known(settings.config, site)
    days = settings_of_site.quarantine_days if older_than is None else older_than
    backends = choose(config, settings_of_site)
    with _runtime(options, settings_of_site, "purge", site) as actors, overseen(site, kept=_AGAIN) as oversight:
        try:
            done = purge(actors, config, settings_of_site, backends, time.time() - days * 86400, oversight)
        except PlanRefused as error:
            raise CommandError(str(error), ExitCode.NOT_LISTED) from error
    return _told(site, "deleted for good", done, options.as_json, "purge")


_AGAIN = "the next one goes on from there"


def _runtime(options: RunOptions, site: SiteConfig, what: str, name: str) -> Any:
    return open_runtime(options, site.runtime, "threads", site.runtime_env, what, name)


def _told(site: str, what: str, done: Emptied, as_json: bool, command: str) -> ExitCode:
    if as_json:
        print(json.dumps(_results(site, done)))
    else:
        print(f"{site}: {', '.join(_said(what, done))}")
        for path, why in done.stays[:_SHOWN]:
            print(f"  stays: {paths.escape(path)}: {why}")
        for path in done.expected[:_SHOWN]:
            print(f"  stays: {paths.escape(path)}: wanted by now; plan undo {site} LFN brings it back")
    if done.failure is not None:
        known = as_command_error(done.failure)
        code = ExitCode.USAGE if known is None else known.code
        raise CommandError(
            f"{site}: not all was {what}: {done.failure}; the same plan {command} goes on from there", code
        )
    if done.absent and command == "undo":
        said = (
            f"{human_count(done.absent, 'file')} not in the quarantine; history {site} --actions has what became of it"
        )
        raise CommandError(f"{site}: {said}", ExitCode.NOT_LISTED)
    if done.stays:
        raise CommandError(f"{site}: {human_count(len(done.stays), 'file')} could not be {what}", ExitCode.NOT_LISTED)
    return ExitCode.DONE


def _said(what: str, done: Emptied) -> Iterator[str]:
    size = f", {human_bytes(done.size)}" if done.size else ""
    yield f"{done.done:,} {what}{size}"
    if done.absent:
        yield f"{done.absent:,} not in the quarantine"
    if done.never:
        yield f"{done.never:,} never put there"
    if done.expected:
        yield f"{len(done.expected):,} left there, which inventory or settings want by now"
    if done.young:
        yield f"{done.young:,} put aside too late to go yet"


def _results(site: str, done: Emptied) -> dict[str, Any]:
    return {
        "site": site,
        "done": done.done,
        "bytes": done.size,
        "absent": done.absent,
        "never": done.never,
        "expected": [paths.decode(path) for path in done.expected],
        "young": done.young,
        "stays": [{"path": paths.decode(path), "why": why} for path, why in done.stays],
        "failure": None if done.failure is None else str(done.failure),
    }


def _object(entry: PutAside) -> dict[str, Any]:
    return {
        "plan": entry.plan,
        "item": entry.item.number,
        "path": paths.decode(entry.item.path),
        "aside": paths.decode(entry.aside),
        "at": entry.at,
        "bytes": entry.item.weight,
        "certain": entry.is_certain,
    }


def _known(config: KnownSites, name: str) -> tuple[KnownSites, SiteConfig]:
    config = with_own_settings(config, site_named(config, name))
    return config, config.site(name)
