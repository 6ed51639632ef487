"""Defines what removes empty directories from a tree, as a callback of its listing."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence

from dynamo_consistency import config, history, summary
from dynamo_consistency.datatypes import DirectoryInfo
from engine import paths
from engine.tree.removal import remove_empty
from storage.backends import choose
from storage.backends.protocols import BackendError, takes_directories
from storage.sites.summary import SummaryError

__all__ = ["EmptyRemover"]

_log = logging.getLogger(__name__)

Directory = tuple[str, float]


class EmptyRemover:
    """Removes empty directories from a tree that grows, each time that it is called with it.

    Only a directory that was listed completely, holds nothing and is known to be older than IgnoreAge is empty. One for
    whose LFN ``check`` is true stays, and so does what it is in. The first time that a directory is removed it is
    reported to the history, if a run is open, and to the registry of a ``site`` that is set to act, for deletion. With
    None for the site nothing is deleted.
    """

    def __init__(self, site: str | None, check: Callable[[str], bool] | None = None) -> None:
        self.site = site
        self.check = check or (lambda _lfn: False)
        self.root = paths.decode(config.settings(site or "").root_path)
        self._removed: set[str] = set()
        self._for_history: list[Directory] = []
        self._for_registry: list[Directory] = []

    def __call__(self, tree: DirectoryInfo) -> None:
        """Remove what is empty by now, deepest first, and report it."""
        removed = remove_empty(tree, lambda path: self.check(self.fullname(path)))
        # A tree may be opened anew each time, with all that was removed from the one before.
        new = {self.fullname(gone.path): gone.mtime for gone in removed}
        new = {lfn: mtime for lfn, mtime in new.items() if lfn not in self._removed}
        self._removed.update(new)
        if history.is_open():
            self._for_history += new.items()
        if self.site is not None:
            self._for_registry += new.items()
        _hand_on(self._for_history, history.report_empty)
        _hand_on(self._for_registry, self._delete)

    def fullname(self, name: str) -> str:
        """Give the LFN of a path, which may be one or be relative to RootPath.

        A relative path that begins as RootPath does is taken for an LFN.
        """
        return name if name.startswith(self.root) else os.path.join(self.root, name)

    def get_removed_count(self) -> int:
        """Give how many directories were removed by this object."""
        return len(self._removed)

    def _delete(self, directories: Sequence[Directory]) -> None:
        site = self.site or ""
        if not _acts(site):
            return
        lfns = [lfn for lfn, _ in directories]
        registry = choose(config.current(), config.settings(site)).registry
        if not takes_directories(registry):
            _log.info("%s: %d empty directories stay: the registry deletes files alone", site, len(lfns))
            return
        new = registry.delete(site, lfns)
        _log.info("%s: %d empty directories are to be deleted, %d of them new", site, len(lfns), new)


def _hand_on(directories: list[Directory], report: Callable[[Sequence[Directory]], None]) -> None:
    """Report directories; what cannot be reported just now must not end a listing, and is reported with the next."""
    if not directories:
        return
    try:
        report(directories)
    except (BackendError, SummaryError, history.HistoryError, OSError) as error:
        _log.error("%d empty directories are not reported yet: %s", len(directories), error)
    else:
        directories.clear()


def _acts(site: str) -> bool:
    try:
        return summary.is_debugged(site)
    except summary.NoMatchingSite:
        return False
