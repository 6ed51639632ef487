"""The keys of a configuration: what each may be, and what it is when nothing is said.

Models of pydantic, which `storage.config.loading` reads a file and the environment into. They are named as in the file.
``docs/configuration.md`` explains the keys, `storage.config.kinds` has the kinds of values.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from storage.config import kinds


class Model(BaseModel):
    """Frozen, and without keys that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EmailKeys(Model):
    """Whom to write to."""

    Sender: kinds.Plain
    Recipients: tuple[kinds.Plain, ...]
    Server: kinds.HostAndPort = "localhost:25"


class SQLKeys(Model):
    """A database to ask; a query that is not given is not asked."""

    URL: kinds.Plain
    Files: kinds.Query | None = None
    ProtectedDatasets: kinds.Query | None = None
    PendingDeletions: kinds.Query | None = None
    Sites: kinds.Query | None = None
    ReadySites: kinds.Query | None = None
    OtherCopies: kinds.Query | None = None


class RucioKeys(Model):
    """A Rucio to ask, and what is written for programs around one."""

    RSE: kinds.Plain | None = None
    Database: kinds.Plain | None = None
    Schema: kinds.Plain | None = None
    Config: kinds.LocalPath | None = None
    Account: kinds.Plain | None = None
    VO: kinds.Plain = "def"
    RSEExpression: kinds.Plain | None = None
    LFN2Path: kinds.LFN2Path = "auto"
    Prefix: kinds.Absolute | None = None
    PathRules: tuple[kinds.PathRule, ...] = ()
    StorageJSON: kinds.LocalPath | None = None
    Volume: kinds.Plain | None = None
    Protocol: kinds.Plain | None = None
    Scope: kinds.Plain | None = None
    SkipWithoutPath: kinds.Flag = False
    Suspicious: kinds.Flag = False
    LastCopies: kinds.Flag = False
    Reason: kinds.Plain = "missing at the site, says dynamo-consistency"
    Timeout: kinds.Seconds = 120.0
    Patience: kinds.PatienceSeconds = 60.0
    ScannerFiles: kinds.LocalPath | None = None
    AuditorResults: kinds.LocalPath | None = None


class CommonKeys(Model):
    """The keys that read the same at the top level and in a site."""

    RootPath: kinds.Absolute = b"/store"
    DirectoryList: tuple[kinds.Relative, ...] = (b"mc", b"data")
    IgnoreDirectories: tuple[kinds.Substring, ...] = ()
    IgnoreAge: kinds.Days = 1.0
    Doors: tuple[kinds.Door, ...] = ()
    Layout: kinds.Layout = "auto"
    Lister: kinds.Lister = "auto"
    DataServers: kinds.Count = 0
    GlobalRedirectors: tuple[kinds.Host, ...] = ()
    RedirectorAge: kinds.Days = 1.0
    BannedDoors: tuple[kinds.Host, ...] = ()
    Dump: kinds.LocalPath | None = None
    DumpAge: kinds.Days = 0.0
    MaxMalformed: kinds.Fraction = 0.001
    Inventory: kinds.LocalPath | None = None
    InventoryFormat: kinds.Format = "auto"
    InventoryTable: kinds.Plain = "files"
    InventoryProcesses: kinds.AtATime | None = None
    SecondInventory: kinds.SecondInventory = "again"
    Backend: kinds.Plain = "files"
    Backends: dict[kinds.Part, kinds.Plain] = {}
    SQL: SQLKeys | None = None
    Rucio: RucioKeys | None = None
    Runtime: kinds.Runtime | None = None
    RuntimeEnv: kinds.RuntimeEnv | None = None
    NumThreads: kinds.AtATime = 1
    Placement: kinds.Placement = ()
    CheckEvery: kinds.Days = 7.0
    GFALThreads: kinds.AtATime = 32
    InFlight: kinds.InFlight = 512
    Connections: kinds.AtATime | None = None
    Retries: kinds.Retries = 3
    Timeout: kinds.Seconds = 30.0
    StallMinutes: kinds.Minutes = 30.0
    MaxDepth: kinds.Positive = 40
    Incremental: kinds.Flag = False
    IncrementalSample: kinds.Fraction = 0.02
    IncrementalFullRuns: kinds.Positive = 10
    IncrementalDelay: kinds.Seconds = 120.0
    Checksums: kinds.Share | None = None
    MaxChecksums: kinds.Positive = 1000
    MaxChecksumSize: kinds.Bytes = 100_000_000_000
    ChecksumMinutes: kinds.Minutes = 60.0
    InventoryAge: kinds.Days = 0.00005
    ListAge: kinds.Days = 1
    MaxPlanAge: kinds.Days = 7
    Deletion: kinds.Deletion = "registry"
    Quarantine: kinds.Quarantine = b"consistency-quarantine"
    QuarantineDays: kinds.Days = 30.0
    SaveCache: kinds.Flag = False
    VarLocation: kinds.LocalPath = Path("var")
    WebDir: kinds.LocalPath = Path("www")
    MetricsDir: kinds.LocalPath | None = None
    MaxMissing: kinds.Count = 100
    MaxOrphan: kinds.Count = 1000
    MaxMissingFraction: kinds.Fraction | None = None
    MaxOrphanFraction: kinds.Fraction | None = None
    MaxMissingSize: kinds.Bytes | None = None
    MaxOrphanSize: kinds.Bytes | None = None
    MaxUnlisted: kinds.Fraction = 0.1
    MaxRunAge: kinds.Days = 0.0
    MinFiles: kinds.Fraction = 0.5
    MissingRuns: kinds.Positive = 2
    MissingDays: kinds.Days = 0.0
    OrphanRuns: kinds.Positive = 1
    OrphanDays: kinds.Days = 0.0
    DeleteOrphans: kinds.Flag = True
    UseTransferQueue: kinds.Flag = True
    FreeMem: kinds.Gigabytes = 0.0
    UnmergedLogsAge: kinds.Days = 28.0
    ListDeletable: kinds.ListDeletable = "{}"
    Email: EmailKeys | None = None


class SiteKeys(CommonKeys):
    """The keys of one entry of ``Sites``; what names sites at the top level is a plain value here."""

    AccessMethod: kinds.Method | None = None
    PathPrefix: kinds.Prefix | None = None
    Redirectors: kinds.Host | None = None
    UseLoadBalancer: kinds.Flag | None = None
    Unmerged: kinds.Flag | None = None
    AdditionalLogDeletions: tuple[kinds.Relative, ...] | None = None


class TopKeys(CommonKeys):
    """The keys of the top level."""

    AccessMethod: dict[kinds.Site, kinds.Method] = {}
    PathPrefix: dict[kinds.Site, kinds.Prefix] = {}
    Redirectors: dict[kinds.Site, kinds.Host] = {}
    UseLoadBalancer: tuple[kinds.Site, ...] = ()
    Unmerged: tuple[kinds.Site, ...] = ()
    AdditionalLogDeletions: dict[kinds.Site, tuple[kinds.Relative, ...]] = {}
    Pool: kinds.AtATime | None = None
    DoorLimits: dict[kinds.Address, kinds.AtATime] = {}
    Sites: dict[kinds.Site, SiteKeys] = {}


KEYS: tuple[str, ...] = tuple(TopKeys.model_fields)
"""Every key of the top level; an environment variable of the same name overrides it."""

VERBATIM_KEYS = frozenset(
    (
        *("RootPath", "Inventory", "InventoryFormat", "InventoryTable", "SecondInventory", "Backend", "Dump"),
        *("VarLocation", "WebDir", "MetricsDir", "Runtime", "Lister", "Deletion", "Quarantine", "Checksums"),
    )
)
"""Keys whose value is text, which an environment variable holds as it is."""
