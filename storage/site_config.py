"""The settings of one site, resolved: what the rest of the program is given of a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from storage.door_url import with_prefix
from storage.listers.protocol import StoreSpec


@dataclass(frozen=True, slots=True)
class Email:
    """Whom to write to about an uncaught exception."""

    sender: str
    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """Every setting of one site; plain types, frozen and picklable. ``docs/configuration.md`` explains the keys.

    ``directories`` and ``additional_log_deletions`` are absolute canonical paths, none below another. Ages are in days,
    ``timeout`` in seconds, ``free_mem`` in GB. ``doors`` are in the form that `storage.door_url` gives, without
    ``path_prefix``, which is a canonical absolute path or empty. Files and folders are absolute. ``list_deletable`` is
    a JSON object.
    """

    name: str
    root_path: bytes
    directories: tuple[bytes, ...]
    ignore_directories: tuple[bytes, ...]
    ignore_age_days: float
    doors: tuple[str, ...]
    path_prefix: bytes
    access_method: str
    redirector: str | None
    global_redirectors: tuple[str, ...]
    redirector_age: float
    use_load_balancer: bool
    inventory: Path | None
    inventory_format: str
    runtime: str | None
    listers: int
    gfal_threads: int
    in_flight: int
    connections: int
    retries: int
    timeout: float
    max_depth: int
    inventory_age: float
    list_age: float
    save_cache: bool
    var_location: Path
    web_dir: Path
    max_missing: int
    max_orphan: int
    delete_orphans: bool
    use_transfer_queue: bool
    free_mem: float
    unmerged: bool
    unmerged_logs_age: float
    additional_log_deletions: tuple[bytes, ...]
    list_deletable: str
    email: Email | None

    def store_spec(self) -> StoreSpec:
        """Describe the site's store to a lister; ``path_prefix`` goes on each door that has no path of its own."""
        return StoreSpec(
            doors=tuple([with_prefix(door, self.path_prefix) for door in self.doors]),
            timeout=self.timeout,
            connections=self.connections,
        )
