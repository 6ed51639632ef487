"""What can be seen of a site from this machine: its settings, where it writes, its inventory, and how its runs went."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

from engine import paths
from engine.diagnosing.facts import InventoryProbe, PastFacts, PlaceFacts, SettingFault
from engine.site_states import SiteStatus
from storage.answers.places import why_not_writable
from storage.answers.settings import problems_of
from storage.backends import BackendError, choose
from storage.backends.into_snapshot import inventory_identity
from storage.config.files import ConfigError
from storage.config.problems import Problem
from storage.config.site import KnownSites, SiteConfig
from storage.history import HistoryDatabase, HistoryError, RunStatus
from storage.history import Table as Findings
from storage.history.rows import run_rows
from storage.inventory import InventoryError
from storage.runs.directory import RunDirectory, RunDirError
from storage.shown import one_line, printable
from storage.sites.picker import summary_path
from storage.sites.summary import SummaryDatabase, SummaryError

_LOOK_BACK = 500
"""So many runs are looked through for one that was no cleaning."""

_FIRST = 100
"""So many files of the inventory are looked at."""

_ROOM = 1.2
"""A next listing is likely to be somewhat longer than the last one."""


def faults(config: KnownSites, site: SiteConfig, environment: Mapping[str, str]) -> tuple[SettingFault, ...]:
    """Say what is wrong with the settings of a site, and with those that all sites share."""
    found, _ = problems_of(config.path, environment)
    return tuple(
        SettingFault(problem.key, printable(said_of(problem)), printable(problem.advice), problem.minor)
        for problem in found
        if problem.site in ("", site.name)
    )


def said_of(problem: Problem) -> str:
    """Say what is wrong, and that the environment has it, where nobody would look for it."""
    return f"{problem.wrong} (in the environment)" if problem.place == "environment" else problem.wrong


def places(site: SiteConfig) -> Iterator[PlaceFacts]:
    """Look at the directories that a check writes to."""
    directory = RunDirectory(site.var_location, site.name)
    held = sum(_size(path) for path in (directory.listing, directory.inventory, directory.second_inventory))
    named = [("VarLocation", site.var_location, int(held * _ROOM)), ("WebDir", site.web_dir, 0)]
    if site.metrics_dir is not None:
        named.append(("MetricsDir", site.metrics_dir, 0))
    for key, path, wanted in named:
        shown = printable(str(path))
        problem = why_not_writable(path)
        yield PlaceFacts(key, shown, problem, None if problem else _free(path), wanted)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _free(path: Path) -> int | None:
    place = path.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return None


def inventory(config: KnownSites, site: SiteConfig) -> InventoryProbe:
    """Read the beginning of the inventory."""
    try:
        backends = choose(config, site)
        identity = inventory_identity(backends, site)
        first = [paths.encode(row.lfn) for row in islice(iter(backends.inventory.list_files(site.name)), _FIRST)]
    except (BackendError, ConfigError, InventoryError, OSError) as error:
        wrong, _, advice = printable(str(error)).partition("; ")
        return InventoryProbe(problem=wrong, advice=advice)
    made = identity.made if math.isfinite(identity.made) else None
    elsewhere = "" if not first or any(paths.is_under(lfn, site.root_path) for lfn in first) else paths.escape(first[0])
    return InventoryProbe(f"the inventory {printable(identity.label)}", made, bool(first), elsewhere=elsewhere)


def past(config: KnownSites, site: SiteConfig) -> PastFacts:
    """Say how the last runs went, and whether the site would be checked now."""
    path = site.var_location / "db" / "consistency.db"
    facts = PastFacts(state=_state(config, site), running=_running(site), unfit=_unfit(config, site))
    if not path.exists():
        return facts
    try:
        with HistoryDatabase.reading(path) as database, database.view() as connection:
            over = [run for run in run_rows(connection, site.name, _LOOK_BACK) if not run.cleaned]
            good = run_rows(connection, site.name, 1, Findings.MISSING, ended=True)
    except HistoryError as error:
        return replace(facts, problem=printable(str(error)))
    last = next((run for run in over if run.status != RunStatus.RUNNING or facts.running is None), None)
    if last is not None:
        status = RunStatus.DIED if last.status == RunStatus.RUNNING else last.status
        facts = replace(facts, last_run=last.id, last_status=status.value, last_message=printable(last.message))
    if good:
        ended = good[0].finished if good[0].finished is not None else good[0].started
        facts = replace(facts, last_good=ended, directories=good[0].counts.directories)
    return facts


def _running(site: SiteConfig) -> float | None:
    directory = RunDirectory(site.var_location, site.name)
    try:
        info = directory.running() if directory.is_locked() else None
    except RunDirError:
        return None
    return None if info is None else info.started


def _state(config: KnownSites, site: SiteConfig) -> str:
    path = summary_path(config)
    try:
        if path.exists():
            with SummaryDatabase.reading(path) as summary:
                states = {row.site: row.status for row in summary.sites()}
                return states.get(site.name, SiteStatus.READY).name.lower()
    except SummaryError:
        # The page and every check say so; what is looked at here goes on without it.
        return ""
    return ""


def _unfit(config: KnownSites, site: SiteConfig) -> str:
    try:
        backends = choose(config, site)
    except (BackendError, ConfigError):
        # That is said of the settings.
        return ""
    try:
        return printable(backends.check.check_site(site.name))
    except (BackendError, ConfigError) as error:
        return printable(one_line(error))
