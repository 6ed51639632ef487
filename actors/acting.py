"""What follows from the findings of a run: requests to the registry, and the lists that say what became of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from actors.listing import ListingFailed
from actors.oversight import Killed, Oversight, heed
from engine import paths
from engine.actions import Findings, action_refusal, closed_gates, found_before, needed_runs, together
from engine.doubles import without_doubles
from engine.gates import Refusal
from engine.recheck import Candidates, Dropped, Rechecked
from engine.usage import usage
from storage.backends.protocols import BackendError, Transfers
from storage.config.files import ConfigError
from storage.history import FileRow, HistoryDatabase
from storage.inventory import InventoryError
from storage.runs.lists import SiteLists
from storage.snapshot import Snapshot

if TYPE_CHECKING:
    from actors.comparison import ComparisonResult
    from storage.backends.protocols import Backends
    from storage.config.site import SiteConfig

_log = logging.getLogger(__name__)

LEFT = "not acted on"
"""With these words a message in the history begins that says which gate kept a run from acting."""

_NOTHING = "nothing was asked for"

BACKEND_ERRORS = (BackendError, ConfigError, InventoryError)
"""What a backend may raise; one that looks into a file of the inventory may find it changed, or gone."""


@dataclass(frozen=True, slots=True)
class Acted:
    """What was asked of the registry.

    ``refusal`` says why nothing was, or nothing more, None when it was; ``deletions`` counts the requests that were
    new, ``doubles`` the orphans left alone since they may be other files seen through a link, ``dropped`` what
    is not any more as it was found; ``transfers`` are the missing files by their sources, also where nothing was asked
    for. ``failure`` is what went wrong, and ``failed`` says in words what could not be done then. ``gates`` are those
    that closed, also at a site that is not set to act.
    """

    refusal: Refusal | None = None
    deletions: int = 0
    doubles: int = 0
    dropped: Dropped = field(default_factory=Dropped)
    transfers: Transfers = field(default_factory=Transfers)
    failed: str = ""
    failure: Exception | None = None
    gates: tuple[Refusal, ...] = ()


def act(
    site: SiteConfig,
    backends: Backends,
    acting: bool,
    found: ComparisonResult,
    history: Path,
    inventory: Path,
    listing: Path,
    oversight: Oversight,
    now: float,
    recheck: Callable[[Candidates], Rechecked],
) -> Acted:
    """Make the requests that follow from the last run of a site, which the history at a path has.

    Orphans and empty directories are to be deleted, missing files to be brought back, if both are known for as many
    runs and days as the site wants; ``now`` is in seconds since the epoch. ``inventory`` is the snapshot of what should
    be there: a directory that it names is not deleted. ``listing`` is that of what is there: orphans of a directory
    that looks like another's twin are left alone. What remains goes through ``recheck``, which asks the store again and
    may raise `Killed` and `ListingFailed`. When the ``oversight`` asks to stop, nothing more is asked for. A backend
    that fails takes nothing away from what was.

    Raises:
        HistoryError, SnapshotError, OSError: nothing was asked for.
    """
    limits, counts = site.action_limits(), _counts(found, now)
    refusal, gates = action_refusal(acting, counts, limits), closed_gates(counts, limits)
    for gate in gates or (refusal,):
        if gate is not None:
            _log.info("%s: nothing is acted on: %s: %s", site.name, gate.gate, gate.message)
    if found.missing > limits.max_missing:
        return Acted(refusal, gates=gates)
    with HistoryDatabase(history) as database:
        missing = [path for path, _, _ in due_missing(database, site, now)]
        if refusal is not None:
            return replace(_only_tell(site, backends, list(map(paths.decode, missing)), refusal), gates=gates)
        known = found_before(now, site.orphan_days)
        orphans = list(database.orphans(site.name, least=site.orphan_runs, before=known))
        empty = [path for path, _ in database.empty_directories(site.name)]
    orphans, doubles = _singles(orphans, listing)
    if doubles:
        _log.info("%s: %d orphans lie in twins of other directories, as behind a link, and stay", site.name, doubles)
    candidates = Candidates(missing, orphans, list(_not_expected(empty, inventory)))
    try:
        heed(oversight)
        still = recheck(candidates)
    except Killed as error:
        return Acted(Refusal("halted", str(error)), doubles=doubles, failed=_NOTHING, failure=error)
    except ListingFailed as error:
        return Acted(Refusal("recheck", str(error)), doubles=doubles, failed=_NOTHING, failure=error)
    if still.dropped.total:
        _log.info("%s: asked again before acting: %s; these are left alone", site.name, still.dropped.words)
    going = [paths.decode(path) for path in (*still.orphans, *still.empty)]
    acted = _ask(site, backends, going, list(map(paths.decode, still.missing)), oversight)
    return replace(acted, doubles=doubles, dropped=still.dropped)


def _counts(found: ComparisonResult, now: float) -> Findings:
    return Findings(
        found.missing,
        found.orphan,
        found.missing_size,
        found.orphan_size,
        found.inventory_files,
        found.files,
        found.directories,
        found.unlisted,
        found.failed_tops,
        now - found.begun if found.begun is not None else 0.0,
    )


def due_missing(database: HistoryDatabase, site: SiteConfig, now: float) -> Iterator[FileRow]:
    """Give the missing files of a site that are known for as many runs and days as it wants.

    Raises:
        HistoryError: the database cannot be read.
    """
    least = needed_runs(database.runs_with_findings(site.name) - 1, site.missing_runs)
    return database.missing(site.name, least=least, before=found_before(now, site.missing_days))


def what_followed(acted: Acted) -> str:
    """Say for the history what was left alone, and why; empty when all was acted on, or could have been."""
    parts = []
    if acted.failure is not None:
        parts.append(f"{acted.failed}: {acted.failure}")
    closed = together(acted.gates) or acted.refusal
    if acted.failure is None and closed is not None and closed.gate != "dry":
        parts.append(f"{LEFT}: {closed.gate}: {closed.message}")
    if acted.dropped.total:
        parts.append(f"dropped when asked again before acting: {acted.dropped.words}")
    return "; ".join(parts)


def _only_tell(site: SiteConfig, backends: Backends, missing: list[str], refusal: Refusal) -> Acted:
    try:
        return Acted(refusal, transfers=backends.registry.sources(site.name, missing))
    except BACKEND_ERRORS as error:
        return Acted(refusal, failed="where else the missing files are could not be found out", failure=error)


def _ask(site: SiteConfig, backends: Backends, going: list[str], missing: list[str], oversight: Oversight) -> Acted:
    deletions = 0
    failed = _NOTHING
    try:
        heed(oversight)
        failed = "the deletions could not be asked for, and no transfers were"
        deletions = backends.registry.delete(site.name, going)
        failed = "deletions were asked for, and no transfers"
        heed(oversight)
        transfers = backends.registry.transfer(site.name, missing)
    except Killed as error:
        return Acted(Refusal("halted", str(error)), deletions, failed=failed, failure=error)
    except BACKEND_ERRORS as error:
        return Acted(Refusal("backend", str(error)), deletions, failed=failed, failure=error)
    _log.info("%s: %d new deletions, %d transfers were asked for", site.name, deletions, len(transfers.requested))
    return Acted(None, deletions, transfers=transfers)


def _singles(orphans: list[FileRow], listing: Path) -> tuple[list[FileRow], int]:
    snapshot = Snapshot(listing)
    try:
        left, doubles = without_doubles([path for path, _, _ in orphans], snapshot.table)
    finally:
        snapshot.close()
    if not doubles:
        return orphans, 0
    single = frozenset(left)
    return [row for row in orphans if row[0] in single], doubles


def _not_expected(directories: list[bytes], inventory: Path) -> Iterator[bytes]:
    """Leave out the directories in which, or below which, the inventory has files."""
    snapshot = Snapshot(inventory)
    try:
        yield from (path for path in directories if snapshot.table.find(path) is None)
    finally:
        snapshot.close()


def write_lists(
    site: SiteConfig,
    backends: Backends,
    lists: SiteLists,
    tops: tuple[bytes, ...],
    listing: Path,
    history: Path,
    acted: Acted,
    now: float,
) -> None:
    """Write what stands beside the reports of a run: files without a source, missing blocks, used storage.

    Raises:
        ReportError: a list cannot be written.
        BackendError, ConfigError, InventoryError, HistoryError, SnapshotError, OSError: what is in it cannot be told.
    """
    lists.write_sources(acted.transfers.no_disk, acted.transfers.unrecoverable)
    write_storage(site, lists, tops, listing, now)
    with HistoryDatabase(history) as database:
        missing = [paths.decode(path) for path, _, _ in database.missing(site.name)]
    lists.write_blocks(backends.blocks.filelist_to_blocklist(site.name, missing) if missing else ())


def write_storage(site: SiteConfig, lists: SiteLists, tops: tuple[bytes, ...], listing: Path, now: float) -> None:
    """Write how much is used below each top directory.

    Raises:
        ReportError, SnapshotError, OSError: it cannot be written, or the listing not be read.
    """
    snapshot = Snapshot(listing)
    try:
        lists.write_storage(site.name, usage(snapshot.table, tops), now)
    finally:
        snapshot.close()
