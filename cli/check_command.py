"""The command ``check``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.comparison import ComparisonPlan
from actors.history_store import StorePlan
from actors.jobs import inventory_into_snapshot, store_job
from actors.run import CheckJob, Results, check_site
from cli.compare_command import show_findings
from cli.display import human_bytes, human_count
from cli.exits import CommandError, ExitCode, of_result
from cli.session import RunOptions, Settings, open_runtime, overseen
from engine.paths import escape
from storage.reports import ReportError
from storage.rundir import RunDirectory, directory_name
from storage.source import FileSource, StoreSource, parse_source

if TYPE_CHECKING:
    from storage.site_config import SiteConfig


@dataclass(frozen=True, slots=True)
class InventoryFile:
    """Reads the inventory of a run from a file."""

    path: Path
    site: SiteConfig
    keep: tuple[bytes, ...]

    def __call__(self, snapshot: Path, heed: Callable[[], None]) -> None:
        """Write the snapshot; see `CheckJob`.

        Raises:
            CommandError: it has no file where the store is listed; everything there would be called an orphan.
        """
        counts = inventory_into_snapshot(self.path, snapshot, self.site, self.keep, heed)
        if not counts.files:
            tops = ", ".join(escape(top) for top in self.keep)
            raise CommandError(f"inventory {self.path}: it names no file below {tops}, so there is nothing to compare")

    def mark(self) -> dict[str, Any]:
        """Say which file, of which size and time, this is."""
        status = self.path.stat()
        return {
            "path": str(self.path),
            "size": status.st_size,
            "mtime_ns": status.st_mtime_ns,
            "format": self.site.inventory_format,
            "keep": [repr(top) for top in self.keep],
        }


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """What of a check stands on the command line; None: the configuration says it."""

    site: str | None
    inventory: Path | None = None
    remote: str | None = None
    fresh: bool = False


def run(settings: Settings, request: CheckRequest, options: RunOptions) -> ExitCode:
    """Check one site and say what was found."""
    site, results = check(settings, request, options)
    if options.as_json:
        print(json.dumps(summary(site, results)))
    else:
        show(site, results)
    found = results.comparison
    findings = found.missing + found.orphan + found.size_mismatch + found.empty
    return of_result(options.exit_code, findings, found.unlisted + found.protected)


def check(settings: Settings, request: CheckRequest, options: RunOptions) -> tuple[str, Results]:
    """Check one site; gives its name and the results."""
    site = _choose_site(settings, request)
    store = _choose_store(settings, site, request.remote)
    file = InventoryFile(_choose_inventory(settings, site, request.inventory), site, store.tops)
    directory = RunDirectory(site.var_location, site.name)
    job = CheckJob(
        site.name,
        replace(store_job(store, site, directory.listing, options.listers, options.in_flight), label=site.name),
        ComparisonPlan(
            directory.inventory,
            directory.listing,
            tops=store.tops,
            ignored=site.ignore_directories,
            keep_orphans=not site.delete_orphans,
        ),
        StorePlan(site.web_dir, directory_name(site.name), site.var_location / "db" / "consistency.db"),
        file,
        file.mark(),
        {
            "doors": list(store.spec.doors),
            "tops": [repr(top) for top in store.tops],
            "ignored": [repr(pattern) for pattern in site.ignore_directories],
        },
        inventory_time=file.path.stat().st_mtime,
        ignore_age=site.ignore_age_days,
        list_age=site.list_age,
        fresh=request.fresh,
    )
    doors = ", ".join(store.spec.doors)
    with (
        open_runtime(options, site.runtime, "ray") as actors,
        overseen(site.name, doors, "the next check goes on from there") as oversight,
    ):
        try:
            return site.name, check_site(actors, job, directory, oversight)
        except ReportError as error:
            raise CommandError(f"WebDir: {error}") from error


def summary(site: str, results: Results) -> dict[str, Any]:
    """Give the object that ``--json`` prints."""
    found, progress = results.comparison, results.listing
    return {
        "site": site,
        "run": results.run,
        "files": found.files,
        "directories": found.directories,
        "bytes": found.size,
        "requests": progress.requests,
        "resumed": progress.resumed,
        "missing": found.missing,
        "missing_bytes": found.missing_size,
        "orphan": found.orphan,
        "orphan_bytes": found.orphan_size,
        "size_mismatch": found.size_mismatch,
        "empty": found.empty,
        "unlisted": found.unlisted,
        "protected": found.protected,
        "seconds": round(results.seconds, 3),
    }


def _choose_site(settings: Settings, request: CheckRequest) -> SiteConfig:
    config, name = settings.config, request.site
    if name is not None:
        # With both sides on the command line, a site needs no entry; its name only says where results go.
        if name not in config.sites and request.inventory is not None and request.remote is not None:
            return config.top_level(name)
        return config.site(name)
    if len(config.sites) == 1:
        return config.site(config.sites[0])
    if config.sites:
        raise CommandError(f"which site? known: {', '.join(config.sites)}")
    raise CommandError(
        "no site: give a configuration with Sites (--config), or a name together with --inventory and --remote"
    )


def _choose_store(settings: Settings, site: SiteConfig, remote: str | None) -> StoreSource:
    source = parse_source(site.name if remote is None else remote, settings.config)
    if isinstance(source, FileSource):
        raise CommandError(f"--remote: {remote} is a file; check lists a store (compare takes files)")
    if source.site is None:
        spec = replace(source.spec, timeout=site.timeout, connections=site.connections)
        return replace(source, spec=spec)
    return source


def _choose_inventory(settings: Settings, site: SiteConfig, option: Path | None) -> Path:
    path = option or site.inventory
    if path is None:
        raise CommandError(f"no inventory for {site.name}: set Sites.{site.name}.Inventory, or give --inventory FILE")
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        where = "--inventory" if option else f"{settings.config.path}: Inventory"
        raise CommandError(f"{where}: {path} {what}; expected a file with the names of what should be at the site")
    return path.absolute()


def show(site: str, results: Results) -> None:
    """Print what a check found, for people."""
    found = results.comparison
    resumed = f", {results.listing.resumed:,} of them taken over from a journal" if results.listing.resumed else ""
    print(
        f"{site}, run {results.run}: {human_count(found.files, 'file')} ({human_bytes(found.size)}) in "
        f"{human_count(found.directories, 'directory', 'directories')}{resumed}; "
        f"{human_count(results.listing.requests, 'request')}, {results.seconds:.1f} s"
    )
    print(f"empty:         {human_count(found.empty, 'directory', 'directories')}")
    show_findings(results)
