"""Acting on missing files that the history already has: asking for them once, and writing down that it was done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from actors.listing import ListingFailed
from actors.oversight import Oversight, Progress, heed
from actors.plans.planning import due_missing
from engine import paths
from engine.actions import TOP, Findings, action_refusal
from engine.recheck import Candidates, Dropped, Rechecked
from storage.doors.source import SourceError, site_source
from storage.history import FileRow, HistoryDatabase, Table

if TYPE_CHECKING:
    from actors.runtime import Runtime
    from storage.backends.protocols import Backends
    from storage.config.site import SiteConfig


@dataclass(frozen=True, slots=True)
class Invalidated:
    """What became of the missing files of a site; the LFNs.

    ``left`` says why nothing was asked for, empty when it was. ``requested`` were asked for, and have moved in the
    history. All others stay: ``waiting`` are not known for as many runs and days yet as the site wants, ``wanted`` in
    words; ``unrecoverable`` have no source, and are requested only where that was wanted; ``refused`` the registry did
    not take. ``no_disk`` are those of the requested and the unrecoverable that have no
    other copy on disk. ``dropped`` counts those that are there again, or of which the store did not say.
    """

    site: str
    left: str = ""
    requested: Sequence[str] = field(default=())
    no_disk: Sequence[str] = field(default=())
    unrecoverable: Sequence[str] = field(default=())
    waiting: Sequence[str] = field(default=())
    wanted: str = ""
    dropped: Dropped = field(default_factory=Dropped)
    refused: Sequence[str] = field(default=())


def invalidate(
    site: SiteConfig,
    backends: Backends,
    acting: bool,
    history: Path,
    now: float,
    dry_run: bool = False,
    recheck: Callable[[Candidates], Rechecked] | None = None,
) -> Invalidated:
    """Ask the registry for the missing files of a site, and note in the history, at a path, that it was done.

    What is due goes through ``recheck``, which asks the store again and may raise `Killed`, `SourceError` and
    `ListingFailed`; with None nobody is asked, and the word of the runs before has to do. What is noted is exactly what
    was asked for, and only after it was: whoever is interrupted in between asks once more, which is harmless. A
    ``dry_run`` only tells.

    Raises:
        BackendError, HistoryError: nothing was noted.
    """
    if not acting:
        return Invalidated(site.name, left="not set to act")
    if not site.use_transfer_queue:
        return Invalidated(site.name, left="UseTransferQueue is false")
    if not history.exists():
        return Invalidated(site.name)
    with HistoryDatabase(history) as database:
        rows = list(database.missing(site.name))
        names = [paths.decode(path) for path, _, _ in rows]
        refusal = action_refusal(True, _findings(database, site.name, rows, now), site.action_limits())
        if refusal is not None:
            return Invalidated(site.name, left=f"{refusal.gate}: {refusal.message}")
        due = [paths.decode(path) for path, _, _ in due_missing(database, site, now)]
        wanted = _wanted(site)
        if not due:
            return Invalidated(site.name, waiting=names, wanted=wanted)
        try:
            still, dropped = _asked_again(due, recheck)
        except (ListingFailed, SourceError) as error:
            return Invalidated(site.name, left=f"recheck: {error}; with --without-asking nobody is asked")
        registry = backends.registry
        found = registry.sources(site.name, still) if dry_run else registry.transfer(site.name, still)
        if not dry_run:
            database.mark_acted(site.name, Table.MISSING, map(paths.encode, found.requested), now)
    waiting = set(names).difference(due)
    return Invalidated(
        site.name,
        "",
        found.requested,
        found.no_disk,
        found.unrecoverable,
        [name for name in names if name in waiting],
        wanted,
        dropped,
        found.refused,
    )


def store_asker(runtime: Runtime, site: SiteConfig, oversight: Oversight) -> Callable[[Candidates], Rechecked]:
    """Give what asks the store of a site again; its doors are found when there is something to ask."""

    def ask(candidates: Candidates) -> Rechecked:
        from actors.jobs import store_job
        from actors.recheck import recheck
        from storage.doors.resolve import resolve

        source = resolve(site_source(site), lambda: heed(oversight))
        # Nothing is listed, so that the snapshot which a listing would grow into is never made.
        job = replace(store_job(source, site, site.var_location / "none.snapshot"), label=site.name)
        return recheck(runtime, job, candidates, None, oversight, Progress())

    return ask


def _asked_again(
    due: Sequence[str], recheck: Callable[[Candidates], Rechecked] | None
) -> tuple[Sequence[str], Dropped]:
    if recheck is None:
        return due, Dropped()
    found = recheck(Candidates(missing=list(map(paths.encode, due))))
    return list(map(paths.decode, found.missing)), found.dropped


def _findings(database: HistoryDatabase, site: str, missing: Sequence[FileRow], now: float) -> Findings:
    """Say what the last run with findings has left, and how old it is; its orphans are none of this."""
    size = sum(size for _, size, _ in missing if size > 0)
    run = database.last_run_with(site, Table.MISSING)
    if run is None:
        return Findings(len(missing), 0, size)
    counts, begun = run.counts, run.started if run.signs.begun is None else run.signs.begun
    return Findings(
        len(missing),
        0,
        size,
        inventory_files=counts.inventory_files,
        directories=counts.directories,
        unlisted=counts.unlisted,
        age=now - begun,
        closed=tuple(gate for gate in run.signs.gates if gate.gate == TOP),
    )


def _wanted(site: SiteConfig) -> str:
    """Say for how many runs and days a file has to be missing."""
    words = [f"{site.missing_runs} runs"] if site.missing_runs > 1 else []
    if site.missing_days:
        words.append(f"{site.missing_days:g} days")
    return " and ".join(words)
