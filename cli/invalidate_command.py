"""The command ``invalidate``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from actors.invalidating import Invalidated, invalidate, store_asker
from actors.runtime import Runtime
from cli.exits import CommandError, ExitCode
from cli.session import RunOptions, Settings, open_runtime, overseen
from engine.recheck import Candidates, Rechecked
from engine.site_states import Reporting, matching
from storage.backends import BackendError, choose, with_last_copies, with_own_settings
from storage.config.files import ConfigError
from storage.config.site import KnownSites
from storage.history import HistoryError
from storage.inventory import InventoryError
from storage.sites import picker
from storage.sites.summary import SiteRow, SummaryDatabase

_TWO_RUNS = "2 runs"

_COUNTED = ("requested", "no_disk", "unrecoverable", "refused", "waiting")


def run(
    settings: Settings,
    pattern: str | None,
    dry_run: bool,
    without_asking: bool,
    options: RunOptions,
    last_copies: bool = False,
) -> ExitCode:
    """Act on the missing files of the sites that are set to act, of what their stores still deny.

    A site that cannot be acted on keeps no other from its turn. A runtime is started when there is somebody to ask.
    ``last_copies`` are given up as well where the registry is a Rucio.

    Raises:
        CommandError: some could not; the message names them.
    """
    done: list[Invalidated] = []
    failed: list[str] = []
    runtimes: list[Runtime] = []
    with ExitStack() as stack:

        def runtime() -> Runtime:
            if not runtimes:
                site = settings.config.top_level() if settings.has_config_file else None
                configured, environment = (site.runtime, site.runtime_env) if site else (None, None)
                runtimes.append(
                    stack.enter_context(open_runtime(options, configured, "threads", environment, "invalidate"))
                )
            return runtimes[0]

        for row in _chosen(settings.config, pattern):
            try:
                result = _one(settings.config, row, dry_run, None if without_asking else runtime, last_copies)
            except (BackendError, ConfigError, HistoryError, InventoryError) as error:
                failed.append(f"{row.site}: {error}")
                continue
            done.append(result)
            if not options.as_json:
                print(_line(result, dry_run), flush=True)
    if options.as_json:
        print(json.dumps({"dry_run": dry_run, "sites": [_object(result) for result in done]}))
    if failed:
        raise CommandError("; ".join(failed))
    return ExitCode.DONE


def _one(
    config: KnownSites, row: SiteRow, dry_run: bool, runtime: Callable[[], Runtime] | None, last_copies: bool
) -> Invalidated:
    site = picker.settings_of(config, row.site)
    acting = row.reporting == Reporting.ACT
    if acting:
        config = with_own_settings(config, site)
        site = picker.settings_of(config, row.site)
    site = with_last_copies(site) if last_copies else site
    history = site.var_location / "db" / "consistency.db"

    def recheck(candidates: Candidates) -> Rechecked:
        assert runtime is not None
        with overseen(site.name) as oversight:
            return store_asker(runtime(), site, oversight)(candidates)

    asks = None if runtime is None else recheck
    return invalidate(site, choose(config, site), acting, history, time.time(), dry_run, asks)


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
    lost = set(result.unrecoverable).difference(result.requested)
    if not (count or lost or result.refused or result.waiting or result.dropped.total):
        yield "no missing file to act on"
        return
    yield f"{count:,} {'file' if count == 1 else 'files'} {'would be asked for' if dry_run else 'asked for'}"
    if result.no_disk:
        yield f"{len(result.no_disk):,} without another copy on disk"
    if lost:
        yield f"{len(lost):,} without any source, which stay"
    if len(lost) < len(result.unrecoverable):
        yield f"{len(result.unrecoverable) - len(lost):,} of them last copies"
    if result.refused:
        yield f"{len(result.refused):,} refused by the registry, which stay"
    if result.dropped.total:
        yield result.dropped.words
    if result.waiting:
        two = result.wanted == _TWO_RUNS
        rule = "missing in one run only so far" if two else f"not missing for {result.wanted} yet"
        yield f"{len(result.waiting):,} {rule}, which wait"


def _object(result: Invalidated) -> dict[str, object]:
    counts = {name: len(getattr(result, name)) for name in _COUNTED}
    asked = {"back": result.dropped.back, "uncertain": result.dropped.uncertain}
    return {"site": result.site, "left": result.left, **counts, **asked}
