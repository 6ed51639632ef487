"""The second inventory of a check: the one that is read after the listing. What it is for is in `engine.second`.

It is never left out in silence: one that cannot be read fails the run, and the listing stays for the next one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine import paths
from storage.backends.into_snapshot import inventory_identity, inventory_of_backend
from storage.backends.protocols import BackendError
from storage.config.files import ConfigError
from storage.inventory import InventoryError
from storage.runs.directory import file_identity

if TYPE_CHECKING:
    from storage.backends.protocols import Backends
    from storage.config.site import SiteConfig
    from storage.inventory import InventoryCounts
    from storage.runs.directory import RunDirectory

AGAIN, NONE = "again", "none"
"""The values of the key SecondInventory that are no file: the same inventory is read again, or none is."""

_COARSE = 2.0
"""Seconds by which a file's time may lag behind a change of it."""


def plain_file(backends: Backends, site: SiteConfig) -> Path | None:
    """Give the file that is the whole inventory; None where a backend answers, or SQLite keeps changes beside it."""
    from storage.backends.file_inventory import FileInventory

    file = site.inventory
    if file is None or not isinstance(backends.inventory, FileInventory):
        return None
    return None if os.path.exists(f"{os.fspath(file)}-wal") else file


def settled_identity(file: Path | None) -> list[int] | None:
    """Tell which file will be read; None when it may be another one later without looking so."""
    if file is None:
        return None
    identity = file_identity(file)
    if identity is None or time.time() - file.stat().st_mtime < _COARSE:
        return None
    return identity


@dataclass(frozen=True, slots=True)
class SecondInventory:
    """Reads the second inventory of a run; see `actors.run.CheckJob`."""

    backends: Backends
    site: SiteConfig
    tops: tuple[bytes, ...]
    directory: RunDirectory

    def __call__(self, snapshot: Path, heed: Callable[[], None]) -> bool:
        """Write the snapshot; gives False where that would say what the first inventory said.

        Raises:
            InventoryError, BackendError: it cannot be used, or has no file where the store is listed.
        """
        wanted = self.site.second_inventory
        if wanted == NONE or (wanted == AGAIN and self._is_unchanged()):
            return False
        try:
            counts, label = self._read(snapshot, heed)
        except (InventoryError, ConfigError) as error:
            raise InventoryError(f"the second inventory: {error}") from error
        except BackendError as error:
            raise BackendError(f"the second inventory: {error}") from error
        if not counts.files:
            tops = ", ".join(paths.escape(top) for top in self.tops)
            raise InventoryError(f"the second inventory: inventory {label}: it names no file below {tops}")
        self.directory.keep_last_line(snapshot, counts.last_line)
        return True

    def _is_unchanged(self) -> bool:
        file = plain_file(self.backends, self.site)
        before = self.directory.kept_inventory_file()
        return file is not None and before is not None and file_identity(file) == before

    def _read(self, snapshot: Path, heed: Callable[[], None]) -> tuple[InventoryCounts, str]:
        site, wanted = self.site, self.site.second_inventory
        if wanted == AGAIN:
            label = inventory_identity(self.backends, site).label
            return inventory_of_backend(self.backends, site, snapshot, self.tops, heed), label
        from actors.jobs import inventory_into_snapshot

        file = Path(wanted)
        counts = inventory_into_snapshot(
            *(file, snapshot, replace(site, inventory=file), self.tops, heed), rows_of=site.name, rse=site.rse
        )
        return counts, str(file)
