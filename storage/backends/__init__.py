"""Who answers what the program cannot know by itself; see `storage.backends.protocols`."""

from __future__ import annotations

from storage.backends.choose import choose, with_cms_names
from storage.backends.named_site import site_named, with_last_copies, with_own_settings
from storage.backends.protocols import BackendError, Backends

__all__ = [
    "BackendError",
    "Backends",
    "choose",
    "site_named",
    "with_cms_names",
    "with_last_copies",
    "with_own_settings",
]
