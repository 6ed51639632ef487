"""The bit of the summary table that also relies on the backend."""

from __future__ import annotations

from dynamo_consistency import config, summary
from storage.backends import choose
from storage.sites import picker


def pick_site(pattern: str | None = None, lockname: str | None = None) -> str:
    """Pick the site that is ready and has not run in the longest time, lock it, and set ``config.SITE`` to it.

    The summary database takes over the backend's list of sites that match the pattern, a regular expression that needs
    to be contained in the name. ``lockname`` is the lock that the site should use: ``gfal`` for those listed through
    SRM, empty for guaranteed no lock, None for any. The site and its lock belong to this process until
    `summary.unlock_site`, or until it ends.

    Raises:
        NoMatchingSite: no site matches or is ready; the message says why.
    """
    current = config.current()

    def why_not(site: str) -> str:
        return choose(current, picker.settings_of(current, site)).check.check_site(site)

    with summary._database() as database:
        sites = choose(current, current.top_level()).sites
        picked = picker.pick_site(database, current, sites, pattern, lockname, why_not)
    if picked.lock is not None:
        summary._locks[picked.site] = picked.lock
    config.SITE = picked.site
    return picked.site
