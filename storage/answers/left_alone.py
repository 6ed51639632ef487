"""What the settings of a site leave alone by now: what is not found there any more need not be gone."""

from __future__ import annotations

from collections.abc import Callable

from engine import paths
from storage.backends import BackendError, choose
from storage.backends.protocols import SiteSettings
from storage.config.files import ConfigError
from storage.config.site import KnownSites, SiteConfig
from storage.history.two_runs import FindingKind


def passed_over(config: KnownSites, site: SiteConfig) -> Callable[[FindingKind, bytes], bool]:
    """Make what tells whether no check would look for a kind of finding in a directory, as the settings are now.

    Nobody is asked: where a site is listed is not known of one that does not stand in the configuration, nor where its
    backend may say otherwise.
    """
    ignored = site.left_alone
    tops = site.directories if site.name in config.sites and not _has_other_settings(config, site) else ()

    def passes(kind: FindingKind, directory: bytes) -> bool:
        if kind == FindingKind.ORPHAN and not site.delete_orphans:
            return True
        return ignored(directory) or (bool(tops) and not any(paths.is_under(directory, top) for top in tops))

    return passes


def _has_other_settings(config: KnownSites, site: SiteConfig) -> bool:
    try:
        return isinstance(choose(config, site).sites, SiteSettings)
    except (BackendError, ConfigError):
        return True
