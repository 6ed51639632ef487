"""What is said to a run while it is under way."""

from __future__ import annotations

from actors.messages import Killed
from dynamo_consistency import config
from storage.sites import picker
from storage.sites.watch import SiteWatch

__all__ = ["Checker", "Killed"]


class Checker:
    """Checks the summary every few seconds if a site should still be running.

    ``site`` is the site to check; without one it is ``config.SITE``, and when none has been picked either, nobody can
    tell it to stop. ``timeout`` is the number of seconds between looks at the summary. ``locking`` is accepted for the
    sake of older callers: no lock is needed, since readers and writers of the summary never wait for one another.
    """

    def __init__(self, site: str | None = None, timeout: float = 15, locking: bool = True) -> None:
        self.site = site or config.SITE
        self.timeout = timeout
        self.locking = locking
        self._watch: SiteWatch | None = None

    def isrunning(self) -> bool:
        """Tell whether the site is supposed to be running."""
        if not self.site:
            return True
        if self._watch is None:
            self._watch = SiteWatch(picker.summary_path(config.current()), self.site, self.timeout)
        return self._watch.is_running()
