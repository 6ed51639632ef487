"""Keeps the trees that a function makes, so that they need not be made again too soon."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from dynamo_consistency import config
from dynamo_consistency.datatypes import DirectoryInfo, of_site
from storage.trees.cache import TreeCache

__all__ = ["cache_tree"]

TreeFunction = Callable[..., DirectoryInfo]


def cache_tree(config_age: str, location_suffix: str) -> Callable[[TreeFunction], TreeFunction]:
    """Decorate a function of a site that gives its tree, so that the tree is cached.

    ``config_age`` is the key of the configuration with the most days that a cache is good for, 0 where it is not set.
    ``location_suffix`` is the name of the cache of each site, ``VarLocation/cache/SITE/NAME.snapshot``; the keyword
    argument ``cache`` of the decorated function goes before it. All other arguments are handed on, a ``callback`` of
    None excepted. When the tree comes from the cache, the function, and so its callback, is not called.
    """

    def decorate(function: TreeFunction) -> TreeFunction:
        @functools.wraps(function)
        def cached(
            site: str,
            callback: Callable[[DirectoryInfo], None] | None = None,
            *,
            cache: str | None = None,
            **kwargs: Any,
        ) -> DirectoryInfo:
            kept = TreeCache.of(config.settings(site), cache or location_suffix, config_age)
            watched = () if callback is None else (callback,)
            return kept.get(lambda: function(site, *watched, **kwargs), of_site)

        return cached

    return decorate
