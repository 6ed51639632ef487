"""How all sites stand, for whoever has them checked: looked at again and again, by the configuration of the moment."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.session import Settings
from engine.roster import Roster
from engine.site_states import BUSY, Candidate, NoMatchingSite
from storage.backends import choose
from storage.backends.protocols import BackendError
from storage.config.files import ConfigError
from storage.config.site import KnownSites
from storage.runs.directory import RunDirectory, RunDirError
from storage.sites import picker
from storage.sites.summary import SummaryDatabase, SummaryError

LOOK_ERRORS = (ConfigError, BackendError, SummaryError, RunDirError, OSError)
"""What may go wrong with a look, and be right again at the next one."""


@dataclass(frozen=True, slots=True)
class Seen:
    """How the sites stood at a look: those that may be checked, the locks that processes hold, and at which sites there
    are checks of others.
    """

    candidates: Sequence[Candidate] = ()
    held: frozenset[str] = frozenset()
    others: tuple[str, ...] = ()


class RollCall:
    """Looks at the sites whose names contain a pattern, and tells the ``roster`` what it has to know of them."""

    def __init__(self, settings: Settings, pattern: str | None, roster: Roster) -> None:
        self._settings = settings
        self._pattern = pattern
        self._roster = roster
        self.config: KnownSites = settings.config
        self._is_file = settings.has_config_file
        self._stamp = self._stamp_now()
        self._surviving: set[str] = set()
        self.news = ""
        """What is to be told of the configuration."""

    def first(self) -> Seen:
        """Look for the first time.

        Raises:
            NoMatchingSite: no name contains the pattern.
            ConfigError, BackendError, SummaryError, RunDirError, OSError: it cannot be found out.
        """
        states = self._states()
        unfinished = {state.row.site for state in states if _is_unfinished(state)}
        # A check that another run has begun may still come to its end.
        self._surviving = {state.row.site for state in states if state.at_work} & unfinished
        self._roster.unfinished |= unfinished - self._surviving
        return self._seen(states)

    def again(self) -> Seen:
        """Look again.

        Raises:
            ConfigError, BackendError, SummaryError, RunDirError, OSError: it cannot be found out now.
        """
        self._take_over_config()
        try:
            states = self._states()
        except NoMatchingSite:
            # The last one of them may have been removed.
            return Seen()
        over = {state.row.site: state for state in states if state.row.site in self._surviving and not state.at_work}
        self._surviving -= over.keys()
        self._roster.unfinished |= {site for site, state in over.items() if _is_unfinished(state)}
        return self._seen(states)

    def _states(self) -> list[picker.SiteState]:
        config = self.config
        sites = choose(config, config.top_level()).sites
        with SummaryDatabase(picker.summary_path(config)) as database:
            names = frozenset(picker.sync(database, sites, self._pattern))
            picker.free_stale(database, config)
            self._all = picker.states(database, config)
        self._roster.intervals = {name: picker.settings_of(config, name).check_every * 86400 for name in names}
        return [state for state in self._all if state.row.site in names]

    def _seen(self, states: list[picker.SiteState]) -> Seen:
        now = time.time()
        others = tuple(state.row.site for state in self._all if self._is_of_others(state))
        candidates = [state.candidate(now) for state in states]
        return Seen(candidates, frozenset(picker.held_locks(self.config, states)), others)

    def _is_of_others(self, state: picker.SiteState) -> bool:
        """Whether a check is there for certain that is none of ours; a directory that cannot be read says nothing."""
        site = state.row.site
        if not state.at_work or site in self._roster.running:
            return False
        directory = RunDirectory(picker.settings_of(self.config, site).var_location, site)
        return state.status in BUSY or directory.running() is not None

    def _stamp_now(self) -> tuple[int, int]:
        if not self._is_file:
            return 0, 0
        status = Path(self._settings.path).stat()
        return status.st_ino, status.st_mtime_ns

    def _take_over_config(self) -> None:
        """Read the configuration again when its file has changed."""
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return
        fresh = Settings(self._settings.path, self._settings.log_level).config
        self._stamp = stamp
        before, after = self.config.top_level(), fresh.top_level()
        if (before.var_location, before.web_dir) != (after.var_location, after.web_dir):
            self.news = "the configuration has another VarLocation or WebDir, which counts when the run is begun anew"
            return
        self.config = fresh
        self.news = "the configuration has changed: the new one counts from now on"


def _is_unfinished(state: picker.SiteState) -> bool:
    """Whether the last check of a site did not come to a result."""
    begun = state.row.last_started
    return begun is not None and (state.result is None or state.result.entered < begun)
