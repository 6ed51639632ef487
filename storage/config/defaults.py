"""A configuration that says nothing."""

from __future__ import annotations

from storage.config.site import SiteConfig


class Defaults:
    """Stands for a configuration that says nothing, without the tenth of a second that it takes to load one."""

    path = None
    sites: tuple[str, ...] = ()

    def site(self, name: str) -> SiteConfig:
        """Raise the error of a configuration without sites."""
        from storage.config.loading import Config

        return Config.default({}).site(name)

    def top_level(self, name: str = "") -> SiteConfig:
        """Give the default settings under a name."""
        return SiteConfig(name)
