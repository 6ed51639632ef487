"""Which site is checked next, and which states are left over from processes that are gone.

The summary says how the sites stand, the backend which there are, the locks and the directories of the runs what is at
work now. The rules are in `engine.site_states`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.site_states import (
    BUSY,
    Candidate,
    NoMatchingSite,
    OwnerSigns,
    SiteStatus,
    check_not_taken,
    explain_none,
    is_at_work,
    is_over,
    lock_of,
    matching,
    next_site,
)
from storage.backends.protocols import BackendError, SiteInfo
from storage.config.site import KnownSites, SiteConfig
from storage.runs.directory import RunDirectory, RunDirError
from storage.shown import printable, quoted
from storage.sites.lock import SiteLock
from storage.sites.process import Owner, observer
from storage.sites.summary import DATABASE, Heartbeat, SiteRow, StatsRow, SummaryDatabase

_SILENCE = 900.0
"""Seconds without a new sign of life, of many that were due, after which a process of another machine is gone."""

_AHEAD = 3600.0
"""Seconds that the clocks of two machines may differ."""


@dataclass(frozen=True, slots=True)
class Picked:
    """A site that is locked for this process, and the lock that it shares with others, if it needs one."""

    site: str
    lock: SiteLock | None = None


@dataclass(frozen=True, slots=True)
class SiteState:
    """All that is known of a site: how it stands, its last result, the lock that it needs.

    ``over`` tells that the process that its state belongs to is gone, ``at_work`` that one is there for certain;
    ``heartbeat`` is the last sign of life of its run, None when there is none.
    """

    row: SiteRow
    result: StatsRow | None = None
    lock: str = ""
    over: bool = False
    at_work: bool = False
    heartbeat: Heartbeat | None = None

    @property
    def status(self) -> SiteStatus:
        """How the site stands, without what a process that is gone has left."""
        return SiteStatus.READY if self.over and self.row.status in BUSY else self.row.status

    def candidate(self, now: float = math.inf) -> Candidate:
        """Give what decides whether it is picked. A run that failed counts, or its site would be next for ever.

        What lies ahead of ``now`` (seconds since the epoch) is from the time before a clock was set back, and does not
        count: such a site would not be picked again for as long as that.
        """
        times = [self.row.last_started, self.result.entered if self.result else None]
        past = [moment for moment in times if moment is not None and moment < now + _AHEAD]
        last_run = max(past, default=None)
        return Candidate(self.row.site, self.row.status, last_run, self.row.is_good, self.lock, self.over, self.at_work)


def summary_path(config: KnownSites) -> Path:
    """Give the path of the summary database, which is the same for all sites."""
    return config.top_level().web_dir / DATABASE


def held_locks(config: KnownSites, looked: Iterable[SiteState]) -> set[str]:
    """Name the locks that processes hold, of those that the sites need."""
    return {name for name in {state.lock for state in looked} if name and _lock(config, name).is_held()}


def settings_of(config: KnownSites, site: str) -> SiteConfig:
    """Give the settings of a site, be it configured or only known to the backend."""
    return config.site(site) if site in config.sites else config.top_level(site)


def lock_for(config: KnownSites, site: str) -> SiteLock | None:
    """Give the lock that a site needs, not yet taken; None when it needs none."""
    name = lock_of(settings_of(config, site).access_method)
    return _lock(config, name) if name else None


def _lock(config: KnownSites, name: str) -> SiteLock:
    return SiteLock(config.top_level().var_location, name)


def states(database: SummaryDatabase, config: KnownSites) -> list[SiteState]:
    """Give the state of every site that the summary knows, by name; changes nothing."""
    results, beats = database.stats(), database.beats()
    unchanged = database.unchanged(observer(), time.monotonic())
    found = []
    for row in database.sites():
        state = state_of(row, results.get(row.site), config, unchanged.get(row.site, 0.0))
        found.append(state if state.over else replace(state, heartbeat=beats.get(row.site)))
    return found


def state_of(row: SiteRow, result: StatsRow | None, config: KnownSites, unchanged: float = 0.0) -> SiteState:
    """Look at what is at work at a site, whose last sign of life has been known for ``unchanged`` seconds."""
    settings = settings_of(config, row.site)
    signs = signs_of(row.owner, RunDirectory(settings.var_location, row.site), unchanged)
    return SiteState(row, result, lock_of(settings.access_method), is_over(signs), is_at_work(signs))


def observe(database: SummaryDatabase) -> None:
    """Note the signs of life of other machines' processes, so that a later look can tell how old they are.

    Their age goes by the clock of whoever looks, from when they were first seen, since clocks differ and are set. It
    stands still while this machine sleeps.
    """
    database.observe(observer(), Owner.this().host, time.monotonic())


def signs_of(owner: Owner | None, directory: RunDirectory, unchanged: float = 0.0) -> OwnerSigns:
    """Look for the process that a state belongs to, and for whoever holds the directory of the site's runs."""
    try:
        locked = directory.is_locked()
    except RunDirError:
        # Nobody can tell, so it has to be taken for one that runs.
        locked = True
    if owner is None:
        return OwnerSigns(False, False, False, locked, False)
    if owner.is_done:
        return OwnerSigns(True, True, False, locked, False)
    left = directory.running()
    same = left is not None and (left.pid, left.host) == (owner.pid, owner.host)
    silent = unchanged >= _SILENCE
    return OwnerSigns(True, owner.is_here, owner.is_here and owner.is_alive(), locked, same, silent)


def free_stale(database: SummaryDatabase, config: KnownSites) -> list[str]:
    """Set those sites ready whose process is gone although they stand as picked or running; names them."""
    observe(database)
    left = [state.row for state in states(database, config) if state.over and state.row.status in BUSY]
    return [row.site for row in left if database.swap(row, SiteStatus.READY)]


def set_status(database: SummaryDatabase, config: KnownSites, site: str, status: SiteStatus) -> SiteRow:
    """Set how a site stands, on behalf of this process, and give how it stood.

    Raises:
        BadAction: another process is at work there, and it would be taken from it.
    """
    state = state_of(database.site(site), None, config)
    by_others = state.at_work and state.row.owner != Owner.this()
    check_not_taken(site, status, by_others)
    return database.set_status(site, status, Owner.this())


def sync(database: SummaryDatabase, sites: SiteInfo, pattern: str | None = None) -> list[str]:
    """Take over the backend's sites whose names contain a regular expression; gives these, sorted.

    Of the others only those change that the summary knows already.

    Raises:
        NoMatchingSite: no name contains it, or it is no regular expression.
        BackendError: the backend cannot tell.
    """
    listed = list(dict.fromkeys(sites.site_list()))
    names = matching(listed, pattern)
    if not names:
        raise no_match(pattern, listed)
    _take_over(database, sites, listed, names)
    return names


def learn(database: SummaryDatabase, sites: SiteInfo, site: str) -> None:
    """Let the summary know a site that only the backend knows so far.

    Raises:
        NoMatchingSite: neither knows it; the message lists those that they know.
        BackendError: the backend cannot tell.
    """
    known = [row.site for row in database.sites()]
    if site not in known:
        listed = sites.site_list()
        if site not in listed:
            raise no_site(site, [*known, *listed])
        _take_over(database, sites, listed, [site])


def no_site(site: str, known: Iterable[str]) -> NoMatchingSite:
    """Make the error that says which sites there are."""
    return NoMatchingSite(f"no site {quoted(site)}; known: {_list(sorted(set(known)))}")


def no_match(pattern: str | None, known: Iterable[str]) -> NoMatchingSite:
    """Make the error that says which sites there are, none of which matches."""
    what = f"matches {quoted(pattern)}" if pattern else "is there"
    return NoMatchingSite(f"no site {what}; known: {_list(sorted(set(known)))}")


def _take_over(database: SummaryDatabase, sites: SiteInfo, listed: Sequence[str], wanted: Sequence[str]) -> None:
    ready = frozenset(sites.ready_sites())
    known = {row.site for row in database.sites()}.union(wanted)
    database.sync({site: site in ready for site in listed if site in known})


def pick_site(
    database: SummaryDatabase,
    config: KnownSites,
    sites: SiteInfo,
    pattern: str | None = None,
    lock_name: str | None = None,
    check: Callable[[str], str] | None = None,
) -> Picked:
    """Lock the site that is ready and was not checked for the longest time, for this process.

    ``pattern`` is a regular expression that the name contains. ``lock_name`` is the lock that the site must need, empty
    for none at all, None for whichever. ``check`` has the last word: it says why a site should not be checked now.

    Two processes never get the same site, nor one that needs a lock that another holds.

    Raises:
        NoMatchingSite: there is none; the message says of each site why.
        SummaryError, BackendError, RunDirError, ConfigError: it cannot be found out.
    """
    names = frozenset(sync(database, sites, pattern))
    free_stale(database, config)
    held: set[str] = set()
    refused: dict[str, str] = {}
    while True:
        looked = [state for state in states(database, config) if state.row.site in names]
        held |= held_locks(config, looked)
        candidates = [state.candidate(time.time()) for state in looked if state.row.site not in refused]
        chosen = next_site(candidates, lock_name, held)
        if chosen is None:
            reasons = [explain_none(candidates, lock_name, held)] if candidates else []
            reasons += [f"{printable(site)}: {why}" for site, why in refused.items()]
            raise NoMatchingSite(f"no site can be checked now: {'; '.join(reasons)}")
        why = _refusal(chosen.site, check)
        if why:
            refused[chosen.site] = why
            continue
        lock = lock_for(config, chosen.site)
        if lock is not None and not lock.acquire():
            held.add(lock.name)
            continue
        (row,) = [state.row for state in looked if state.row.site == chosen.site]
        if database.swap(row, SiteStatus.LOCKED, Owner.this()):
            return Picked(chosen.site, lock)
        # Another process was faster, be it to pick it or to disable it.
        if lock is not None:
            lock.release()


def _refusal(site: str, check: Callable[[str], str] | None) -> str:
    if check is None:
        return ""
    try:
        return " ".join(check(site).split())
    except BackendError as error:
        return " ".join(str(error).split())


def _list(names: list[str]) -> str:
    return ", ".join(map(printable, names)) or "none"


def with_listed(looked: list[SiteState], sites: SiteInfo, config: KnownSites) -> list[SiteState]:
    """Add the sites that the backend lists and the summary does not know yet, and say of all what the backend says."""
    ready, known = frozenset(sites.ready_sites()), {state.row.site: state for state in looked}
    listed = set(sites.site_list())
    for name in listed - known.keys():
        known[name] = state_of(SiteRow(name), None, config)
    return [
        replace(known[name], row=replace(known[name].row, is_good=name in ready and name in listed))
        for name in sorted(known)
    ]
