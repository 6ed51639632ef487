"""The settings of one site, resolved: what the rest of the program is given of a configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from engine import paths
from engine.actions import ActionLimits
from engine.filters import PatternFilter
from storage.door_url import with_prefix
from storage.listers.protocol import CONNECTIONS, DIRECTX, GFAL, IN_FLIGHT, StoreSpec

_SHELLS = 2

CLUSTERED = "clustered"
"""The layout of a site whose doors each hold a part of the store."""

KEYS = frozenset(
    (
        *("RootPath", "DirectoryList", "IgnoreDirectories", "IgnoreAge", "Doors", "Layout", "DataServers"),
        "Lister",
        *("GlobalRedirectors", "RedirectorAge"),
        *(
            "BannedDoors",
            "Dump",
            "DumpAge",
            "MaxMalformed",
            "Inventory",
            "InventoryFormat",
            "InventoryTable",
            "Backend",
            "Backends",
            "SQL",
            "Rucio",
        ),
        "InventoryProcesses",
        "SecondInventory",
        "MetricsDir",
        *("Runtime", "RuntimeEnv", "NumThreads", "GFALThreads", "InFlight", "Connections", "Retries"),
        *("StallMinutes", "Placement", "CheckEvery", "Pool", "DoorLimits"),
        *("Incremental", "IncrementalSample", "IncrementalFullRuns", "IncrementalDelay"),
        *("Checksums", "MaxChecksums", "MaxChecksumSize", "ChecksumMinutes"),
        *("Timeout", "MaxDepth", "InventoryAge", "ListAge", "MaxPlanAge", "SaveCache", "VarLocation", "WebDir"),
        *("Deletion", "Quarantine", "QuarantineDays"),
        "MaxMissing",
        *("MaxOrphan", "MaxMissingFraction", "MaxOrphanFraction", "MaxMissingSize", "MaxOrphanSize", "MaxUnlisted"),
        *("MaxRunAge", "MinFiles", "MissingRuns", "MissingDays", "OrphanRuns", "OrphanDays"),
        *("DeleteOrphans", "UseTransferQueue", "FreeMem", "UnmergedLogsAge", "ListDeletable", "Email"),
        *("AccessMethod", "PathPrefix", "Redirectors", "UseLoadBalancer", "Unmerged", "AdditionalLogDeletions"),
        "Sites",
    )
)
"""The keys of a configuration; an environment variable of the same name overrides one."""


@dataclass(frozen=True, slots=True)
class Email:
    """Whom to write to about an uncaught exception, and through which server (``host:port``)."""

    sender: str
    recipients: tuple[str, ...]
    server: str = "localhost:25"


@dataclass(frozen=True, slots=True)
class SQLSettings:
    """A database that a backend asks: its SQLAlchemy URL and the queries; None: that question is not asked."""

    url: str = field(repr=False)
    files: str | None = None
    protected_datasets: str | None = None
    pending_deletions: str | None = None
    sites: str | None = None
    ready_sites: str | None = None
    other_copies: str | None = None


@dataclass(frozen=True, slots=True)
class RucioSettings:
    """A Rucio that a backend asks; ``docs/backends.md`` explains the keys.

    ``database`` is an SQLAlchemy URL, ``config`` the ``rucio.cfg`` of the client, ``timeout`` and ``patience`` in
    seconds. Each of ``path_rules`` is a regular expression for ``scope:name`` and the path of what matches. What is
    None is not set.
    """

    rse: str | None = None
    database: str | None = field(default=None, repr=False)
    schema: str | None = None
    config: Path | None = None
    account: str | None = None
    vo: str = "def"
    rse_expression: str | None = None
    lfn2path: str = "auto"
    prefix: bytes | None = None
    path_rules: tuple[tuple[str, str], ...] = ()
    storage_json: Path | None = None
    volume: str | None = None
    protocol: str | None = None
    scope: str | None = None
    skip_without_path: bool = False
    suspicious: bool = False
    last_copies: bool = False
    reason: str = ""
    timeout: float = 120.0
    patience: float = 60.0
    scanner_files: Path | None = None
    auditor_results: Path | None = None


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """Every setting of one site; plain types, frozen and picklable. ``docs/configuration.md`` explains the keys.

    The defaults are those of a configuration that says nothing.

    ``directories`` and ``additional_log_deletions`` are absolute canonical paths, none below another. Ages are in days,
    ``timeout`` in seconds, ``free_mem`` in GB. ``doors`` are in the form that `storage.door_url` gives, without
    ``path_prefix``, which is a canonical absolute path or empty. Files and folders are absolute. ``list_deletable`` is
    a JSON object. ``quarantine`` is an absolute canonical path, empty where nothing is put aside. ``placement`` has
    amounts of resources and values of labels. ``pool``, ``door_limits`` (by ``host:port``) and ``shared_location`` are
    the same for all sites.
    """

    name: str = ""
    root_path: bytes = b"/store"
    directories: tuple[bytes, ...] = (b"/store/mc", b"/store/data")
    ignore_directories: tuple[bytes, ...] = ()
    ignore_age_days: float = 1.0
    doors: tuple[str, ...] = ()
    layout: str = "auto"
    lister: str = "auto"
    data_servers: int = 0
    path_prefix: bytes = b""
    access_method: str = "XRootD"
    redirector: str | None = None
    global_redirectors: tuple[str, ...] = ()
    redirector_age: float = 1.0
    banned_doors: tuple[str, ...] = ()
    dump: Path | None = None
    dump_age: float = 0.0
    max_malformed: float = 0.001
    use_load_balancer: bool = False
    inventory: Path | None = None
    inventory_format: str = "auto"
    inventory_table: str = "files"
    inventory_processes: int | None = None
    second_inventory: str | Path = "again"
    backend: str = "files"
    backends: tuple[tuple[str, str], ...] = ()
    sql: SQLSettings | None = None
    rucio: RucioSettings | None = None
    runtime: str | None = None
    runtime_env: str | None = None
    listers: int = 1
    placement: tuple[tuple[str, float | str], ...] = ()
    check_every: float = 7.0
    pool: int | None = None
    door_limits: tuple[tuple[str, int], ...] = ()
    shared_location: Path = field(default_factory=lambda: Path.cwd() / "var")
    gfal_threads: int = 32
    in_flight: int = IN_FLIGHT
    connections: int | None = None
    retries: int = 3
    timeout: float = 30.0
    stall_minutes: float = 30.0
    max_depth: int = 40
    incremental: bool = False
    incremental_sample: float = 0.02
    incremental_full_runs: int = 10
    incremental_delay: float = 120.0
    checksums: str | None = None
    max_checksums: int = 1000
    max_checksum_size: int = 100_000_000_000
    checksum_minutes: float = 60.0
    inventory_age: float = 0.00005
    list_age: float = 1.0
    max_plan_age: float = 7.0
    deletion: str = "registry"
    quarantine: bytes = b"/store/consistency-quarantine"
    quarantine_days: float = 30.0
    save_cache: bool = False
    var_location: Path = field(default_factory=lambda: Path.cwd() / "var")
    web_dir: Path = field(default_factory=lambda: Path.cwd() / "www")
    metrics_dir: Path | None = None
    max_missing: int = 100
    max_orphan: int = 1000
    max_missing_fraction: float | None = None
    max_orphan_fraction: float | None = None
    max_missing_size: int | None = None
    max_orphan_size: int | None = None
    max_unlisted: float = 0.1
    max_run_age: float = 0.0
    min_files: float = 0.5
    missing_runs: int = 2
    missing_days: float = 0.0
    orphan_runs: int = 1
    orphan_days: float = 0.0
    delete_orphans: bool = True
    use_transfer_queue: bool = True
    free_mem: float = 0.0
    unmerged: bool = False
    unmerged_logs_age: float = 28.0
    additional_log_deletions: tuple[bytes, ...] = ()
    list_deletable: str = "{}"
    email: Email | None = None

    def action_limits(self) -> ActionLimits:
        """Say up to what the site is acted on."""
        return ActionLimits(
            self.max_missing,
            self.max_orphan,
            self.max_missing_fraction,
            self.max_orphan_fraction,
            self.max_missing_size,
            self.max_orphan_size,
            self.max_unlisted,
            self.max_run_age,
        )

    @property
    def rse(self) -> str:
        """The name of the site's RSE in a Rucio, where the settings say it; else it is that of the site."""
        return (self.rucio.rse if self.rucio is not None else None) or ""

    @property
    def left_out(self) -> tuple[bytes, ...]:
        """The directories that are left out of listings: the quarantine, where it lies in what is listed."""
        place = self.quarantine
        is_inside = any(top != place and paths.is_under(place, top) for top in self.directories)
        return (place,) if place and is_inside else ()

    @property
    def left_alone(self) -> PatternFilter:
        """What tells whether a path is left alone, for the sake of ``ignore_directories`` or of ``left_out``."""
        return PatternFilter(self.ignore_directories, self.left_out)

    @property
    def deletes_itself(self) -> bool:
        """Whether this program deletes at the store what is to go, and not the registry."""
        return self.deletion == "store"

    @property
    def xrootd_method(self) -> str:
        """The method of a store whose doors speak XRootD, unless it is listed by programs."""
        return "" if self.lister == "auto" else self.lister

    @property
    def most_connections(self) -> int:
        """How many connections a lister opens to a door at most; of shells there are as many from the beginning."""
        return self.connections or (_SHELLS if self.access_method == DIRECTX else CONNECTIONS)

    def store_spec(self) -> StoreSpec:
        """Describe the site's store to a lister; ``path_prefix`` goes on each door that has no path of its own.

        Nobody is asked: there are no doors where they are still to be found. `storage.doors.resolve` does that.
        """
        doors, connections = self.doors, self.most_connections
        if self.access_method == "RAL-Reader":
            return StoreSpec((f"dump://{self.dump}",) if self.dump is not None else (), self.timeout)
        if self.use_load_balancer:
            connections = 1
            doors = doors if self.redirector is None else (f"root://{self.redirector}",)
        if self.access_method == GFAL:
            connections = self.gfal_threads
        return StoreSpec(
            doors=tuple([with_prefix(door, self.path_prefix) for door in doors]),
            timeout=self.timeout,
            connections=connections,
            method=self.access_method if self.access_method in (DIRECTX, GFAL) else self.xrootd_method,
            clustered=self.layout == CLUSTERED,
            tries=self.retries + 1,
            in_flight=self.in_flight,
        )


class KnownSites(Protocol):
    """What knows sites and their settings: a `storage.config.loading.Config`, or `storage.config.defaults.Defaults`."""

    @property
    def path(self) -> Path | None:
        """The file that the settings come from."""

    @property
    def sites(self) -> tuple[str, ...]:
        """The names of the configured sites."""

    def site(self, name: str) -> SiteConfig:
        """Give the settings of a configured site; raises `ConfigError` for any other."""

    def top_level(self, name: str = "") -> SiteConfig:
        """Give the settings of what is no configured site."""
