"""How many missing files and orphans a site may have before nothing is acted on, for the colours of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.actions import ActionLimits
from storage.config.site import KnownSites


@dataclass(frozen=True, slots=True)
class PageLimits:
    """MaxMissing and MaxOrphan of all sites, and those of the sites that have their own."""

    max_missing: int = 100
    max_orphan: int = 1000
    sites: Mapping[str, ActionLimits] = field(default_factory=dict)

    @classmethod
    def of_config(cls, config: KnownSites) -> PageLimits:
        """Take them from the configuration.

        Raises:
            ConfigError: a site's settings are wrong.
        """
        top = config.top_level()
        own = {name: config.site(name) for name in config.sites}
        sites = {name: site.action_limits() for name, site in own.items()}
        return cls(top.max_missing, top.max_orphan, sites)

    def of(self, site: str) -> ActionLimits:
        """Give those of a site."""
        return self.sites.get(site) or ActionLimits(self.max_missing, self.max_orphan)
