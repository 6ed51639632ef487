"""Where the histories are that a page shows: that of all sites, and those of sites with a VarLocation of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from storage.config.site import KnownSites, SiteConfig


@dataclass(frozen=True, slots=True)
class Histories:
    """The history of all sites, but for those that have their ``own``."""

    shared: Path
    own: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def of_config(cls, config: KnownSites) -> Histories:
        """Take them from the configuration.

        Raises:
            ConfigError: a site's settings are wrong.
        """
        shared = _history(config.top_level())
        paths = {name: _history(config.site(name)) for name in config.sites}
        return cls(shared, {name: path for name, path in paths.items() if path != shared})


def _history(site: SiteConfig) -> Path:
    return site.var_location.absolute() / "db" / "consistency.db"
