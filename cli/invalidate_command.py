"""The command ``invalidate``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from actors.invalidating import Invalidated, invalidate
from cli.exits import CommandError, ExitCode
from cli.session import Settings
from engine.site_states import Reporting, matching
from storage.backends import BackendError, choose
from storage.config.site import KnownSites
from storage.history import HistoryError
from storage.inventory import InventoryError
from storage.sites import picker
from storage.sites.summary import SiteRow, SummaryDatabase

_TWO_RUNS = "2 runs"

_COUNTED = ("requested", "no_disk", "unrecoverable", "waiting")


def run(settings: Settings, pattern: str | None, dry_run: bool, as_json: bool) -> ExitCode:
    """Act on the missing files of the sites that are set to act.

    A site that cannot be acted on keeps no other from its turn.

    Raises:
        CommandError: some could not; the message names them.
    """
    done: list[Invalidated] = []
    failed: list[str] = []
    for row in _chosen(settings.config, pattern):
        try:
            result = _one(settings.config, row, dry_run)
        except (BackendError, HistoryError, InventoryError) as error:
            failed.append(f"{row.site}: {error}")
            continue
        done.append(result)
        if not as_json:
            print(_line(result, dry_run), flush=True)
    if as_json:
        print(json.dumps({"dry_run": dry_run, "sites": [_object(result) for result in done]}))
    if failed:
        raise CommandError("; ".join(failed))
    return ExitCode.DONE


def _one(config: KnownSites, row: SiteRow, dry_run: bool) -> Invalidated:
    site = picker.settings_of(config, row.site)
    history = site.var_location / "db" / "consistency.db"
    acting = row.reporting == Reporting.ACT
    return invalidate(site, choose(config, site), acting, history, time.time(), dry_run)


def _chosen(config: KnownSites, pattern: str | None) -> list[SiteRow]:
    """Give the site of this name, else those whose names contain the regular expression; all without one."""
    path = picker.summary_path(config)
    if path.exists():
        with SummaryDatabase.reading(path) as database:
            rows = {row.site: row for row in database.sites()}
    else:
        rows = {}
    # A site that has never been set to act is left like any other that is not.
    rows = {site: SiteRow(site) for site in config.sites} | rows
    chosen = [pattern] if pattern in rows else matching(rows, pattern)
    if pattern and not chosen:
        raise picker.no_match(pattern, rows)
    return [rows[site] for site in chosen]


def _line(result: Invalidated, dry_run: bool) -> str:
    if result.left:
        return f"{result.site}: left alone: {result.left}"
    return f"{result.site}: " + ", ".join(_parts(result, dry_run))


def _parts(result: Invalidated, dry_run: bool) -> Iterator[str]:
    count = len(result.requested)
    if not count and not result.unrecoverable and not result.waiting:
        yield "no missing file to act on"
        return
    yield f"{count:,} {'file' if count == 1 else 'files'} {'would be asked for' if dry_run else 'asked for'}"
    if result.no_disk:
        yield f"{len(result.no_disk):,} without another copy on disk"
    if result.unrecoverable:
        yield f"{len(result.unrecoverable):,} without any source, which stay"
    if result.waiting:
        two = result.wanted == _TWO_RUNS
        rule = "missing in one run only so far" if two else f"not missing for {result.wanted} yet"
        yield f"{len(result.waiting):,} {rule}, which wait"


def _object(result: Invalidated) -> dict[str, object]:
    counts = {name: len(getattr(result, name)) for name in _COUNTED}
    return {"site": result.site, "left": result.left, **counts}
