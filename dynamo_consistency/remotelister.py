"""Gets the files located at a site."""

from __future__ import annotations

import os
from collections.abc import Callable

from actors.deployment import open_runtime
from actors.oversight import Oversight
from actors.trees import remote_tree
from dynamo_consistency import config, messaging
from dynamo_consistency.cache import cache_tree
from dynamo_consistency.datatypes import DirectoryInfo, of_site

__all__ = ["listing"]

_RUNTIME = "threads"
"""The runtime unless the configuration names one."""

_CHECK_EVERY = 2
"""Seconds between two looks at whether the site is still to be run."""


@cache_tree("ListAge", "remote")
def listing(site: str, callback: Callable[[DirectoryInfo], None] | None = None, **kwargs: object) -> DirectoryInfo:
    """Get the tree of what is at a site, named by RootPath, from it or from a cache that is not older than ListAge.

    ``callback`` is called now and then with a tree of what is listed so far, and at last with the one that is returned.
    Whatever it raises, such as `messaging.Killed`, ends the listing. For a tree from the cache it is not called. The
    option ``cache`` is another name for the cache than ``remote``.

    Raises:
        OSError, ConfigError, SourceError: the configuration cannot be used, or knows no such site or no door of it.
        DoorsError: the site cannot be listed in a way that could be trusted.
        Killed: the site in ``config.SITE`` was stopped.
        Refused: no top directory could be listed.
        ListingFailed: the listing could not go on.
        RuntimeUnavailable: Ray could not be started or reached.
        TypeError: an option that there is not.
    """
    if kwargs:
        raise TypeError(f"listing() has no option {next(iter(kwargs))!r}")
    settings = config.site(site)
    checker = messaging.Checker(timeout=_CHECK_EVERY)

    def stop() -> str:
        return "" if checker.isrunning() else f"{config.SITE} is not to be run any more"

    address = os.environ.get("RAY_ADDRESS") or None
    with open_runtime(settings.runtime or _RUNTIME, address, settings.runtime_env) as runtime:
        return remote_tree(runtime, settings, of_site, Oversight(stop), callback)
