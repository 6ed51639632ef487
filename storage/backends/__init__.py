"""Who answers what the program cannot know by itself; see `storage.backends.protocols`."""

from __future__ import annotations

from storage.backends.choose import choose, with_cms_names, with_own_settings
from storage.backends.protocols import BackendError, Backends

__all__ = ["BackendError", "Backends", "choose", "with_cms_names", "with_own_settings"]
