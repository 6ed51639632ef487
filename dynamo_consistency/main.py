"""Holds the main function for running the consistency check.

The work is that of the command ``check``: one and the same run, made from Python. The configuration says on which
runtime; where it says nothing, inside of this process.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from actors.check_job import RunRequest
from actors.deployment import open_runtime
from actors.oversight import Oversight
from actors.site_run import SiteResults, SiteRun, run_site, stats_row
from dynamo_consistency import config, history, parser, summary
from dynamo_consistency.datatypes import DirectoryInfo
from dynamo_consistency.filters import Filters, FullFilter, PatternFilter
from storage.backends import Backends, choose, with_cms_names
from storage.doors.resolve import resolve
from storage.doors.source import site_source
from storage.sites import picker
from storage.sites.watch import HaltWatch

if TYPE_CHECKING:
    from storage.config.site import SiteConfig

__all__ = ["compare_with_inventory", "extras", "main", "make_filters", "report_files"]

_RUNTIME = "threads"
"""The runtime unless the configuration names one."""

_CHECK_EVERY = 2.0
"""Seconds between two looks at whether the site is still to be run."""


class _LeftAlone(PatternFilter):
    """Protects what has one of IgnoreDirectories in its name, and what lies in the quarantine."""

    def __init__(self, settings: SiteConfig) -> None:
        self._filter = settings.left_alone


def make_filters(site: str) -> tuple[Filters | FullFilter, Filters, PatternFilter]:
    """Create the filters that are proper for the configuration; gives those of orphans, missing files and directories.

    Datasets whose deletion was asked for may be missing. They are no orphans, nor are those that the inventory
    protects; with DeleteOrphans off nothing is. What has one of IgnoreDirectories in its name, or lies in the
    quarantine, is neither.

    Raises:
        OSError, ConfigError, BackendError: the configuration or a backend cannot be used.
    """
    settings = config.site(site)
    backends = _backends(settings)
    ignored = _LeftAlone(settings)
    deleted = frozenset(backends.deletions.deletion_requests(site))

    def protects(datasets: Collection[str]) -> Filters:
        if not datasets:
            return Filters(ignored.protected)
        return Filters(backends.datasets.filter(datasets).protected, ignored.protected)

    missing = protects(deleted)
    if _given("NOORPHAN") or not settings.delete_orphans:
        return FullFilter(), missing, ignored
    return protects(deleted.union(backends.inventory.protected_datasets(site))), missing, ignored


def report_files(
    inv: DirectoryInfo,
    remote: DirectoryInfo,
    missing: Iterable[str],
    orphans: Iterable[str],
    prev_set: Collection[str] | None = None,
) -> None:
    """Report files to the history database, in a run that `history.start_run` began.

    ``inv`` and ``remote`` are the trees of the inventory and of the site, which know the files. With ``prev_set``, the
    files that were missing in the previous run, only those of the missing ones are reported that are in it, too.
    """
    known = None if prev_set is None else frozenset(prev_set)
    history.report_missing([(lfn, inv.get_file(lfn)) for lfn in missing if known is None or lfn in known])
    history.report_orphan([(lfn, remote.get_file(lfn)) for lfn in orphans])


def compare_with_inventory(site: str) -> tuple[float, dict[str, int]]:
    """Compare the inventory of a site with what is there; gives when that began, and what `update_summary` is given.

    It is a whole run: recorded in the history, in the place of one that `history.start_run` began, reported and, where
    the site is set to act, acted upon. Only the summary is left alone. The time is in seconds since the epoch.

    Raises:
        Killed: the site was stopped.
        Refused, ListingFailed: the site could not be listed, or its listing is not to be believed.
        Exception: see `actors.site_run.run_site`.
    """
    done = _run(site, _request(summary=False))
    row = stats_row(done, 0, time.time())
    return done.started, {
        "numfiles": row.files,
        "numnodes": row.nodes,
        "numempty": row.empty,
        "nummissing": row.missing,
        "missingsize": row.missing_bytes,
        "numorphan": row.orphan,
        "orphansize": row.orphan_bytes,
        "numnosource": row.no_source,
        "numunrecoverable": row.unrecoverable,
        "numunlisted": row.unlisted,
        "numbadunlisted": row.unlisted_bad,
    }


def extras(site: str) -> dict[str, tuple[int, int]]:
    """Run what comes after the main check, where options and configuration ask for it; gives the interesting results.

    ``"unmerged"``: for a site of ``Unmerged`` that is set to act, how many unmerged files are asked to be deleted, and
    how many of them are logs.

    Raises:
        Killed, Refused, ListingFailed, ProtectedListError: nothing is asked for.
        Exception: see `actors.unmerged.clean_unmerged`.
    """
    settings = config.site(site)
    if not (_cleans(settings) and summary.is_debugged(site)):
        return {}
    from actors.unmerged import CleaningOptions
    from actors.unmerged_run import ask_to_delete, clean_site

    backends = _backends(settings)
    history.hand_over(site)
    with open_runtime(settings.runtime or _RUNTIME, _ray_address(), settings.runtime_env, "unmerged", site) as runtime:
        options = CleaningOptions(more_logs=_given("MORELOGS"))
        watch = HaltWatch(picker.summary_path(config.current()), site, _CHECK_EVERY)
        oversight = Oversight(lambda: "" if watch.is_running() else "the site was set to halt")
        _, cleaned = clean_site(runtime, settings, resolve(site_source(settings)), oversight, options)
    ask_to_delete(backends, cleaned)
    return {"unmerged": (cleaned.deletable, cleaned.logs)}


def main(site: str) -> None:
    """Run the comparison and the extras, and update the summary table in a normal run (`summary.do_update`).

    Raises:
        Exception: see `compare_with_inventory` and `extras`.
    """
    done = _run(site, _request(summary=summary.do_update(), unmerged=_cleans(config.site(site))))
    if done.failure is not None:
        raise done.failure


def _given(option: str) -> bool:
    """Whether an option stands on the command line that `parser` was given."""
    return bool(getattr(parser.OPTS, option, False))


def _backends(settings: SiteConfig) -> Backends:
    backends = choose(config.current(), settings)
    return with_cms_names(backends) if _given("CMS") else backends


def _cleans(settings: SiteConfig) -> bool:
    """Whether to clean the unmerged area of a site that has one: as an option says.

    Where no command line was parsed, a protected list says that it is wanted; without one nothing could be cleaned.
    """
    wanted = "PROTECTED_LIST" in json.loads(settings.list_deletable) if parser.OPTS is None else _given("UNMERGED")
    return settings.unmerged and wanted


def _request(summary: bool, unmerged: bool = False) -> RunRequest:
    return RunRequest(
        keep_orphans=_given("NOORPHAN"),
        unmerged=unmerged,
        more_logs=_given("MORELOGS"),
        no_inventory=_given("NO_INV"),
        summary=summary,
        unconditionally=_given("NOSAM"),
    )


def _run(site: str, request: RunRequest) -> SiteResults:
    settings = config.site(site)
    what = SiteRun(config.current(), settings, site_source(settings), _backends(settings), request)
    history.hand_over(site)
    with open_runtime(settings.runtime or _RUNTIME, _ray_address(), settings.runtime_env, "check", site) as runtime:
        return run_site(runtime, what, Oversight())


def _ray_address() -> str | None:
    return os.environ.get("RAY_ADDRESS") or None
