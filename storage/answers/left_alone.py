"""Where the settings of a site have a check look, as they are by now."""

from __future__ import annotations

from engine.scope import Scope
from storage.backends import BackendError, choose
from storage.backends.protocols import SiteSettings
from storage.config.files import ConfigError
from storage.config.site import KnownSites, SiteConfig


def present_scope(config: KnownSites, site: SiteConfig) -> Scope:
    """Say where the next check would look, for runs of which nobody noted where they did.

    Nobody is asked: where a site is listed is not known of one that does not stand in the configuration, nor where its
    backend may say otherwise.
    """
    tops = site.directories if site.name in config.sites and not _has_other_settings(config, site) else ()
    return Scope(tops, site.ignore_directories, site.left_out, not site.delete_orphans)


def _has_other_settings(config: KnownSites, site: SiteConfig) -> bool:
    try:
        return isinstance(choose(config, site).sites, SiteSettings)
    except (BackendError, ConfigError):
        return True
