"""The settings of a site by its name, with what its backend knows of it."""

from __future__ import annotations

from dataclasses import replace

from storage.backends.choose import DEFAULT, choose
from storage.backends.protocols import BackendError, SiteSettings
from storage.config.site import KnownSites, SiteConfig
from storage.shown import quoted


def site_named(config: KnownSites, name: str) -> SiteConfig:
    """Give the settings of a site that stands in the configuration, or that its backend of the sites knows.

    Raises:
        BackendError: the backend cannot tell.
        ConfigError: neither knows it.
    """
    top = config.top_level()
    asks = name not in config.sites and dict(top.backends).get("sites", top.backend) != DEFAULT
    known = asks and name in choose(config, top).sites.site_list()
    return config.top_level(name) if known else config.site(name)


def with_own_settings(config: KnownSites, site: SiteConfig) -> KnownSites:
    """Give a configuration in which what the backend of the sites knows of one goes before the site's own keys.

    A site that only the backend knows stands in it as any other.

    Raises:
        BackendError: the backend cannot tell.
        ConfigError: what it says is no value of a key.
    """
    sites = choose(config, site).sites
    own = sites.settings_of(site.name) if isinstance(sites, SiteSettings) else {}
    if not own and site.name in config.sites:
        return config
    from storage.config.loading import Config

    # Only a configuration that was read can name a backend that knows sites.
    return config.with_site(site.name, own, f"{site.name}, of its backend") if isinstance(config, Config) else config


def with_last_copies(site: SiteConfig) -> SiteConfig:
    """Give settings with which a Rucio is told of lost files also where no other copy is available.

    Raises:
        BackendError: requests go to no Rucio.
    """
    name = dict(site.backends).get("registry", site.backend)
    if name != "rucio" or site.rucio is None:
        raise BackendError(f"last copies: only the registry rucio spares them, and this one is {quoted(name)}")
    return replace(site, rucio=replace(site.rucio, last_copies=True))
