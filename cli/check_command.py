"""The command ``check``."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.check_job import RunRequest
from actors.clusters import ClusterFacts
from actors.oversight import Killed
from actors.site_run import SiteResults, SiteRun, run_site
from cli.compare_command import show_findings
from cli.display import human_bytes, human_count
from cli.exits import CommandError, ExitCode, as_command_error, of_result
from cli.session import RunOptions, Settings, open_runtime, overseen
from engine import paths
from storage.backends import choose, site_named, with_cms_names, with_last_copies, with_own_settings
from storage.backends.file_inventory import why_no_file
from storage.doors.source import FileSource, StoreSource, parse_source
from storage.runs.reports import ReportError
from storage.shown import printable, quoted
from storage.sites import picker
from storage.sites.process import Owner
from storage.sites.summary import SummaryDatabase, SummaryError

if TYPE_CHECKING:
    from actors.comparison import ComparisonResult
    from storage.backends.protocols import Backends
    from storage.config.site import SiteConfig


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """What of a check stands on the command line; None: the configuration says it.

    With a ``pattern`` the site is picked among those whose names contain it, and which need the lock ``lock``.
    """

    site: str | None = None
    pattern: str | None = None
    lock: str | None = None
    inventory: Path | None = None
    remote: str | None = None
    second_inventory: str | None = None
    fresh: bool = False
    no_orphan: bool = False
    no_inventory: bool = False
    cms: bool = False
    unmerged: bool = False
    more_logs: bool = False
    no_sam: bool = False
    update_summary: bool = False
    email: bool = False
    accept_fewer: bool = False
    last_copies: bool = False


def run(settings: Settings, request: CheckRequest, options: RunOptions) -> ExitCode:
    """Check one site and say what was found."""
    done = check(settings, request, options)
    if options.as_json:
        print(json.dumps(summary(done)))
    else:
        show(done)
    if done.failure is not None:
        known = as_command_error(done.failure)
        raise CommandError(
            f"{done.site}: what was found is recorded; {done.failed}: {done.failure}",
            ExitCode.USAGE if known is None else known.code,
        )
    found = done.results.comparison
    findings = found.missing + found.orphan + found.size_mismatch + found.checksum_mismatch + found.empty
    return of_result(options.exit_code, findings, found.unlisted + found.protected)


def check(settings: Settings, request: CheckRequest, options: RunOptions) -> SiteResults:
    """Check one site; gives the results."""
    if request.more_logs and not request.unmerged:
        raise CommandError("--more-logs goes with --unmerged")
    with _chosen(settings, request) as named:
        settings, site = _settled(settings, named, request)
        if request.email and site.email is None:
            raise CommandError("--email: the key Email says to whom, and is not set")
        store = _choose_store(settings, site, request.remote)
        if not request.no_inventory:
            site = _with_second(_with_inventory(settings, site, request.inventory), request.second_inventory)
        what = SiteRun(settings.config, site, store, _backends(settings, site, request), _asked(request, options))
        doors = ", ".join(store.spec.doors or store.identity)
        with (
            open_runtime(options, site.runtime, "ray", site.runtime_env, "check", site.name) as actors,
            overseen(site.name, doors, "the next check goes on from there") as oversight,
        ):
            try:
                done = run_site(actors, what, oversight)
            except (ReportError, SummaryError) as error:
                # The log of a run lies in both.
                logs = str(error).startswith(f"{site.var_location / 'logs'}/")
                raise CommandError(f"{'VarLocation' if logs else 'WebDir'}: {error}") from error
            except Killed:
                raise
            except Exception as error:
                if request.email:
                    _mail(site, error)
                raise
            if request.email and done.failure is not None and not isinstance(done.failure, Killed):
                _mail(site, done.failure)
            return done


@contextmanager
def _chosen(settings: Settings, request: CheckRequest) -> Iterator[SiteConfig]:
    """Give the site that is named, or pick one; a lock that its access method needs is held meanwhile."""
    if request.pattern is None:
        if request.lock is not None:
            raise CommandError("--lock goes with --site")
        site = _named(settings, request)
        lock = picker.lock_for(settings.config, site.name)
        if lock is not None and not lock.acquire():
            raise CommandError(f"{site.name} needs the lock {lock.name}, which another site's run holds now")
        try:
            yield site
        finally:
            if lock is not None:
                lock.release()
        return
    if request.site is not None:
        raise CommandError("give a SITE or --site PATTERN, not both")
    config = settings.config
    backends = choose(config, config.top_level())
    check = None if request.no_sam else backends.check.check_site
    with SummaryDatabase(picker.summary_path(config)) as database:
        picked = picker.pick_site(database, config, backends.sites, request.pattern, request.lock, check)
        try:
            yield picker.settings_of(config, picked.site)
        finally:
            # When the run is over another process may have picked it already.
            database.unlock(picked.site, Owner.this())
            if picked.lock is not None:
                picked.lock.release()


def _named(settings: Settings, request: CheckRequest) -> SiteConfig:
    config, name = settings.config, request.site
    if name is not None:
        # With both sides on the command line, a site needs no entry; its name only says where results go.
        if name not in config.sites and request.inventory is not None and request.remote is not None:
            return config.top_level(_fit(name))
        return site_named(config, name)
    if len(config.sites) == 1:
        return config.site(config.sites[0])
    if config.sites:
        raise CommandError(
            f"which site? known: {', '.join(config.sites)}; or --site PATTERN for the one that waits longest"
        )
    raise CommandError(
        "no site: give a configuration with Sites (--config), or a name together with --inventory and --remote"
    )


def _fit(name: str) -> str:
    """Refuse for a site what would be none under Sites."""
    # Loaded here because the names in a configuration have been looked at.
    from storage.config.kinds import SITE_WORDS, is_site_name

    if not is_site_name(name):
        raise CommandError(f"SITE: expected {SITE_WORDS}, found {quoted(name)}")
    return name


def _settled(settings: Settings, site: SiteConfig, request: CheckRequest) -> tuple[Settings, SiteConfig]:
    """Take over what the backend of the sites knows of this one, and what the command line says of last copies."""
    if request.inventory is None or request.remote is None:
        config = with_own_settings(settings.config, site)
        if config is not settings.config:
            settings, site = settings.with_config(config), config.site(site.name)
    return settings, with_last_copies(site) if request.last_copies else site


def _choose_store(settings: Settings, site: SiteConfig, remote: str | None) -> StoreSource:
    source = parse_source(site.name if remote is None else remote, settings.config)
    if isinstance(source, FileSource):
        raise CommandError(f"--remote: {remote} is a file; check lists a store (compare takes files)")
    if source.site is None:
        spec = replace(source.spec, timeout=site.timeout, connections=site.most_connections)
        return replace(source, spec=spec)
    return source


def _with_inventory(settings: Settings, site: SiteConfig, option: Path | None) -> SiteConfig:
    """Let the file on the command line go before the configuration, and find out that a file is there."""
    if option is not None:
        site = replace(site, inventory=option.absolute(), backends=(*site.backends, ("inventory", "files")))
    elif dict(site.backends).get("inventory", site.backend) != "files":
        return site
    path = site.inventory
    if path is None:
        raise CommandError(f"no inventory for {site.name}: set Sites.{site.name}.Inventory, or give --inventory FILE")
    what = why_no_file(path)
    if what:
        where = "--inventory" if option else f"{settings.config.path}: Inventory"
        named = option or path
        raise CommandError(f"{where}: {named} {what}; expected a file with the names of what should be at the site")
    return site


def _with_second(site: SiteConfig, option: str | None) -> SiteConfig:
    """Let the second inventory on the command line go before the configuration."""
    if option is None:
        return site
    if not option:
        raise CommandError("--second-inventory: expected again, none or a file name, found nothing")
    return replace(site, second_inventory=option if option in ("again", "none") else Path(option).absolute())


def _backends(settings: Settings, site: SiteConfig, request: CheckRequest) -> Backends:
    backends = choose(settings.config, site)
    return with_cms_names(backends) if request.cms else backends


def _asked(request: CheckRequest, options: RunOptions) -> RunRequest:
    # Whoever sets these for one run works on what is there already, which is no news of the site.
    from_cache = not os.environ.keys().isdisjoint(("ListAge", "InventoryAge"))
    return RunRequest(
        fresh=request.fresh,
        listers=options.listers,
        in_flight=options.in_flight,
        keep_orphans=request.no_orphan,
        unmerged=request.unmerged,
        more_logs=request.more_logs,
        no_inventory=request.no_inventory,
        summary=request.update_summary or not from_cache,
        unconditionally=request.no_sam,
        accept_fewer=request.accept_fewer,
    )


def _mail(site: SiteConfig, failure: Exception) -> None:
    """Write to whom the configuration names about what went wrong."""
    from storage.runs.mail import MailError, send

    assert site.email is not None
    try:
        send(
            site.email,
            f"dynamo-consistency: the check of {site.name} failed",
            "".join(traceback.format_exception(failure)),
        )
    except MailError as error:
        print(f"dynamo-consistency: warning: {error}", file=sys.stderr)


def summary(done: SiteResults) -> dict[str, Any]:
    """Give the object that ``--json`` prints."""
    results = done.results
    found, progress = results.comparison, results.listing
    return {
        "site": done.site,
        "run": results.run,
        "files": found.files,
        "directories": found.directories,
        "bytes": found.size,
        "requests": progress.requests,
        "resumed": progress.resumed,
        "taken_over": progress.taken,
        "distrust": progress.distrust or None,
        "missing": found.missing,
        "missing_bytes": found.missing_size,
        "orphan": found.orphan,
        "orphan_bytes": found.orphan_size,
        "size_mismatch": found.size_mismatch,
        "empty": found.empty,
        "unlisted": found.unlisted,
        "protected": found.protected,
        "reasons": found.reasons,
        "seconds": round(results.seconds, 3),
        "inventory_files": found.inventory_files,
        "gates": [asdict(gate) for gate in done.acted.gates],
        "planned": done.acted.planned,
        "changed_meanwhile": asdict(found.meanwhile),
        "cluster": None if done.cluster is None else asdict(done.cluster),
        **_checksums(found),
    }


def _checksums(found: ComparisonResult) -> dict[str, Any]:
    """Give what was found by checksums; null where none were compared."""
    counts = found.checksums
    if counts is None:
        return dict.fromkeys(("checksum_mismatch", "checksums", "checksums_unchecked", "checksum_details"))
    details = {"unchecked": dict(counts.unchecked), "left": counts.left, "why": counts.why or None}
    return {
        "checksum_mismatch": found.checksum_mismatch,
        "checksums": counts.compared,
        "checksums_unchecked": counts.unchecked_files,
        "checksum_details": details,
    }


def show(done: SiteResults) -> None:
    """Print what a check found, for people."""
    site, results = done.site, done.results
    found = results.comparison
    resumed = f", {results.listing.resumed:,} of them taken over from a journal" if results.listing.resumed else ""
    print(
        f"{site}, run {results.run}: {human_count(found.files, 'file')} ({human_bytes(found.size)}) in "
        f"{human_count(found.directories, 'directory', 'directories')}{resumed}; "
        f"{human_count(results.listing.requests, 'request')}, {results.seconds:.1f} s"
    )
    if done.acted.refusal is not None and done.acted.refusal.gate == "no-inventory":
        print(f"unlisted:      {human_count(found.unlisted, 'directory', 'directories')}")
    else:
        print(f"empty:         {human_count(found.empty, 'directory', 'directories')}")
        show_findings(results)
        if found.checksums is not None:
            differ = human_count(found.checksum_mismatch, "file")
            print(f"bad checksum:  {differ}; {printable(found.checksums.words)}")
    if done.cluster is not None:
        _show_cluster(done.cluster)
    if results.listing.taken:
        print(f"taken over:    {human_count(results.listing.taken, 'directory', 'directories')} as listed before")
    if results.listing.distrust:
        print(f"not any more:  {printable(results.listing.distrust)}")
    if found.accepted is not None:
        print(f"accepted:      {found.accepted.gate}: {found.accepted.message}")
    _show_what_followed(done)


def _show_cluster(cluster: ClusterFacts) -> None:
    known = "" if cluster.all_known else ", perhaps not all that it has, so no file is called missing"
    print(f"cluster:       {human_count(cluster.servers, 'data server')}{known}")
    if cluster.on_several:
        unlike = f"{cluster.sizes_differ:,} of them with different sizes, which are not judged"
        print(f"copies:        {human_count(cluster.on_several, 'file')} on several data servers, {unlike}")


def _show_what_followed(done: SiteResults) -> None:
    acted, transfers = done.acted, done.acted.transfers
    if transfers.no_disk:
        lost = human_count(len(transfers.unrecoverable), "file")
        print(f"no source:     {human_count(len(transfers.no_disk), 'file')} on no other disk; {lost} nowhere at all")
    if acted.refusal is None or acted.deletions:
        requested = [human_count(len(transfers.requested), "transfer")]
        if acted.at_store:
            print(f"taken away:    {human_count(acted.deletions, 'file or directory', 'files and directories')}")
        else:
            requested.insert(0, human_count(acted.deletions, "deletion"))
        print(f"asked for:     {', '.join(requested)}")
    for path, why in acted.stays[:1]:
        more = f", and {len(acted.stays) - 1:,} more" if len(acted.stays) > 1 else ""
        print(f"not deleted:   {paths.escape(path)}{more}: {why}")
    if transfers.refused:
        print(f"refused:       {human_count(len(transfers.refused), 'missing file')}, by the registry")
    for gate in acted.gates:
        print(f"not acted on:  {gate.gate}: {gate.message}")
    if acted.dropped.total:
        print(f"left alone:    asked again before acting: {acted.dropped.words}")
    if acted.doubles:
        print(f"spared:        {human_count(acted.doubles, 'orphan')} in twins of other directories, as behind a link")
    if acted.planned and not acted.gates:
        print(f"planned:       {human_count(acted.planned, 'item')}; see dynamo-consistency plan show {done.site}")
    if done.unmerged is not None:
        cleaned = done.unmerged
        logs = human_count(cleaned.logs, "log")
        print(f"unmerged:      {human_count(cleaned.deletable, 'file')} may be deleted, {logs} among them")
