"""The settings that a check of a site would go by, with what its backend knows of it."""

from __future__ import annotations

from dataclasses import dataclass

from storage.backends import BackendError, site_named, with_own_settings
from storage.config.files import ConfigError
from storage.config.site import KnownSites, SiteConfig
from storage.shown import printable


@dataclass(frozen=True, slots=True)
class Effective:
    """A configuration in which a site has all its settings, and that site.

    ``problem`` is why the backend could not say what it knows of the site; then these are those of the configuration.
    """

    config: KnownSites
    site: SiteConfig
    problem: str = ""


def effective(config: KnownSites, name: str) -> Effective:
    """Settle on the settings of a site, of the configuration or of its backend.

    Raises:
        ConfigError, BackendError: there is no such site, or nobody can tell whether there is.
    """
    site = site_named(config, name)
    try:
        config = with_own_settings(config, site)
    except (BackendError, ConfigError) as error:
        return Effective(config, site, printable(str(error)))
    return Effective(config, config.site(name) if name in config.sites else site)
