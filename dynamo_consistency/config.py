"""Small module to get information from the configuration.

Set ``LOCATION`` and ``LOADER`` before anything else is called: the file is loaded once, at the first need.
``importlib.reload(config)`` starts over. ``docs/configuration.md`` has the keys.
"""

from __future__ import annotations

import copy
import functools
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storage.config.loading import Config
    from storage.config.site import SiteConfig

_DEFAULT_LOCATION = "consistency_config.json"

LOCATION: str | os.PathLike[str] = _DEFAULT_LOCATION
"""The configuration file."""

LOADER: Any = json
"""What reads the file: any object whose ``load`` makes a dictionary from an open text file.

The modules ``json``, ``yaml`` and ``tomllib`` do; with these, a key that stands twice is an error.
"""

SITE: str | None = None
"""The site that has been picked; whatever belongs to no other site has its settings."""

DIRECTORYLIST: Sequence[str] | None = None
"""Goes before DirectoryList, for every site, at any time; this prevents the listing of what cannot be there."""

_loaded: Config | None = None
_ages: dict[str, float] = {}


def config_dict() -> dict[str, Any]:
    """Give the keys of the file, overridden from the environment, as they are written there; a copy.

    Raises:
        OSError: the file is not there or cannot be read.
        ConfigError: with every problem that was found in it.
    """
    return copy.deepcopy(dict(current().given))


def vardir(directory: str) -> str:
    """Give the path of a directory inside of VarLocation, and make it if it is not there."""
    path = current().top_level().var_location / directory
    path.mkdir(parents=True, exist_ok=True)
    return str(path)


def current() -> Config:
    """Give the configuration, checked; raises what `config_dict` does."""
    from storage.config.loading import Config

    global _loaded
    if _loaded is None:
        _loaded = Config.load(LOCATION, os.environ, LOADER)
    return _loaded if DIRECTORYLIST is None else _loaded.with_directories(DIRECTORYLIST)


def site(name: str) -> SiteConfig:
    """Give the settings of a site.

    Raises:
        OSError, ConfigError: see `config_dict`; or there is no such site under Sites.
    """
    return current().site(name)


def ignore_age(name: str = "") -> float:
    """Give IgnoreAge in days: that of the site, without a name that of ``SITE``, else that of the top level.

    As long as there is no file at the default ``LOCATION`` it is the default.

    Raises:
        OSError, ConfigError: see `config_dict`.
    """
    name = name or SITE or ""
    age = _ages.get(name)
    if age is None:
        if _is_missing():
            return _default_age()
        age = _ages[name] = settings(name).ignore_age_days
    return age


def settings(name: str = "") -> SiteConfig:
    """Give the settings of a site, without a name those of ``SITE``, else those of the top level.

    As long as there is no file at the default ``LOCATION`` they are the defaults.

    Raises:
        OSError, ConfigError: see `config_dict`.
    """
    from storage.config.loading import Config

    name = name or SITE or ""
    config = Config.default(os.environ) if _is_missing() else current()
    return config.site(name) if name in config.sites else config.top_level(name)


def _is_missing() -> bool:
    return _loaded is None and LOCATION == _DEFAULT_LOCATION and not os.path.exists(LOCATION)


@functools.cache
def _default_age() -> float:
    from storage.config.loading import Config

    return Config.default(os.environ).top_level().ignore_age_days
