"""What is known of one path at one site, before anything is said about it.

Sizes are in bytes and times in seconds since the epoch; None where not known, and ``None`` in the place of a whole part
where there is nothing to look at.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from engine.gates import Refusal


class Verdict(StrEnum):
    """What the rules of a comparison say of a file, by the inventory and the listing that are there now."""

    AGREES = "agrees"
    """Inventory and store both have it, and nothing speaks against it."""
    NOWHERE = "nowhere"
    """Neither has it."""
    MISSING = "missing"
    ORPHAN = "orphan"
    SIZE_MISMATCH = "size_mismatch"
    UNSEEN = "unseen"
    """Nobody could look."""
    UNREAD = "unread"
    """It differs, and one of the lines that nobody could read may be of it."""
    MEANWHILE = "meanwhile"
    """It differs from the first inventory, and the one that was read after the listing speaks against that."""
    YOUNG = "young"
    SPARED = "spared"
    """It differs and is left alone on purpose."""
    LINK = "link"
    """It is judged under another name."""
    OUTSIDE = "outside"
    """It is not below any directory that is checked."""
    UNKNOWN = "unknown"
    """There is no inventory, or no listing, to go by, or they cannot be read."""


class Source(StrEnum):
    """What is read to tell of a path."""

    INVENTORY = "inventory"
    LISTING = "listing"
    HISTORY = "history"
    PLAN = "plan"
    AUDIT = "audit"
    REGISTRY = "registry"
    SUMMARY = "summary"
    BACKEND = "backend"
    UNMERGED = "unmerged"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file as one side has it; ``unsettled``: its replica is on its way in or out."""

    size: int | None
    mtime: int | None
    block: str = ""
    unsettled: bool = False


@dataclass(frozen=True, slots=True)
class BelowFacts:
    """What is in and below a directory: files, bytes as far as known, directories, and those without a listing."""

    files: int
    size: int
    directories: int
    unlisted: int = 0


@dataclass(frozen=True, slots=True)
class InventoryFacts:
    """What the inventory says: when it was read, from where, and whether that has changed since.

    ``file`` is the file, ``below`` what is at the path if that is a directory. ``nearest`` is the nearest directory at
    or above the path's own that has files in or below it. ``has_unread``: it has lines that nobody could read.
    """

    read: float
    source: str
    changed_since: float | None = None
    file: FileEntry | None = None
    below: BelowFacts | None = None
    nearest: bytes | None = None
    has_unread: bool = False


@dataclass(frozen=True, slots=True)
class DirectoryFacts:
    """How a directory was listed: its state in words, why not completely, when, and how many files it has."""

    path: bytes
    state: str
    reason: str = ""
    detail: str = ""
    listed: float | None = None
    mtime: int | None = None
    files: int = 0
    taken_over: bool = False


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """What the last complete listing says: when it was begun, and who was asked.

    ``directory`` is the path itself if it is a directory, else the one that the file is in, or would be; None when the
    listing has never heard of it. ``nearest`` is the nearest directory at or above that one that was listed completely,
    ``hidden`` the nearest one that was not, which hides what is below.
    ``newer`` is when a listing that is under way, or was stopped, last grew. ``has_unread``: it was made of a dump with
    lines that nobody could read.
    """

    begun: float
    source: str
    file: FileEntry | None = None
    directory: DirectoryFacts | None = None
    below: BelowFacts | None = None
    nearest: bytes | None = None
    hidden: DirectoryFacts | None = None
    newer: float | None = None
    has_unread: bool = False


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """Which rules of the configuration bear on the path.

    ``top`` is the directory of the configuration that it lies below, None if none; ``above`` tells that some lie below
    it. ``young_after`` is the age limit of the last run. ``ignored_by`` are the parts of paths that leave it out;
    ``protected`` and ``being_deleted`` say the same of its dataset. ``keeps_orphans``: no orphan is reported at all.
    ``in_unmerged`` says why it stays in the unmerged area, in words; ``deletable``: it may go there. ``quarantine`` is
    the one that it lies in, which no check looks at.
    """

    top: bytes | None
    above: bool = False
    young_after: float | None = None
    ignore_age_days: float = 0.0
    ignored_by: tuple[bytes, ...] = ()
    protected: bool = False
    being_deleted: bool = False
    keeps_orphans: bool = False
    in_unmerged: str = ""
    deletable: bool = False
    quarantine: bytes | None = None

    @property
    def is_outside(self) -> bool:
        """Whether no inventory and no listing is kept of where it lies."""
        return self.top is None and not self.above


@dataclass(frozen=True, slots=True)
class Judged:
    """What the rules make of it: the verdict, why nobody could look, and under which name it is judged."""

    verdict: Verdict
    reason: str = ""
    same_as: bytes | None = None


@dataclass(frozen=True, slots=True)
class FoundFacts:
    """One run that has found something: of which kind, when that was entered, and whether somebody acted on it.

    ``current``: it is still a finding of the last run that looked for its kind. ``seen`` counts the runs that had found
    it one after the other, ``since`` is when the first of them was entered; 0 and None for kinds that are not counted.
    """

    kind: str
    run: int
    entered: float
    size: int | None = None
    remote_size: int | None = None
    current: bool = False
    seen: int = 0
    since: float | None = None
    acted: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CountFacts:
    """Findings of one kind of the last run in and below a directory."""

    kind: str
    count: int
    size: int


@dataclass(frozen=True, slots=True)
class RunFacts:
    """The last run that has ended, and the last one that has findings.

    ``compared``: what is on disk is what that one compared, and not what a run that is not over has read since.
    """

    number: int
    started: float
    status: str
    message: str = ""
    gates: tuple[Refusal, ...] = ()
    last_with_findings: int | None = None
    compared: bool = True


@dataclass(frozen=True, slots=True)
class ConfirmFacts:
    """For how many runs and days something has to be known before it is acted on, and since when it is.

    A ``twin`` may be another file seen through a link. What is ``spared`` lies in a quarantine, or came back from it.
    """

    seen: int
    needed: int
    days: float = 0.0
    known_days: float = 0.0
    twin: bool = False
    spared: bool = False

    @property
    def is_due(self) -> bool:
        """Whether it is known for long enough, and is not left alone for another reason."""
        is_known = self.seen >= self.needed and self.known_days >= self.days
        return is_known and not (self.twin or self.spared)


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """The plan of the last run: its name, when it was made, and what it says of the path, if anything."""

    name: str
    run: int
    made: float
    rejected: bool = False
    item: int | None = None
    action: str = ""
    reason: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True)
class ActFacts:
    """One thing that was done, or tried, because of a plan; ``aside`` is where it was put in a quarantine."""

    at: float
    who: str
    plan: str
    event: str
    action: str
    detail: str = ""
    aside: bytes = b""


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """A request in the queue of the registry: a deletion or a transfer, when it was made, how it stands, since when."""

    kind: str
    requested: float
    status: str
    changed: float


@dataclass(frozen=True, slots=True)
class ActionFacts:
    """What followed from findings: whether the site acts, and what was planned, done and asked for.

    ``registry`` names the backend that is asked, if it is not the queue that is looked into here. ``at_store``: what is
    to go is taken away at the store by this program, and not by the registry.
    """

    acting: bool = False
    confirm: ConfirmFacts | None = None
    plan: PlanFacts | None = None
    acts: tuple[ActFacts, ...] = ()
    requests: tuple[RequestFacts, ...] = ()
    registry: str = ""
    at_store: bool = False

    @property
    def taken_away(self) -> ActFacts | None:
        """The act by which this program itself has taken it away, if it has, and has not brought it back."""
        last = self._last
        return last if last is not None and last.event != "restored" else None

    @property
    def brought_back(self) -> ActFacts | None:
        """The act by which it came back from the quarantine, if that was the last one."""
        last = self._last
        return last if last is not None and last.event == "restored" else None

    @property
    def _last(self) -> ActFacts | None:
        ended = [act for act in self.acts if act.event in ("done", "restored", "purged")] if self.at_store else []
        return ended[-1] if ended and ended[-1].action in ("delete", "quarantine") else None


@dataclass(frozen=True, slots=True)
class DoorFacts:
    """What a door says now: ``there`` is None when it gave no answer that can be relied on, for the reason given."""

    door: str
    there: bool | None
    is_directory: bool = False
    size: int | None = None
    mtime: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class LiveFacts:
    """What the store says now, asked through its doors; ``problem`` is why it could not be asked at all.

    ``clustered``: each door answers for a part of the store. ``registered`` is what the backend says of the file, in
    words; empty where it is not asked.
    """

    asked: float
    doors: tuple[DoorFacts, ...] = ()
    clustered: bool = False
    problem: str = ""
    registered: str = ""


@dataclass(frozen=True, slots=True)
class PathFacts:
    """All of it. ``notices`` say what could not be read, one line each, and ``unread`` which parts that were;
    ``confirmed`` what the store said of the file when it was asked for it by name: True, it has it; False, it denied
    it; None, it was not asked.
    """

    site: str
    path: bytes
    is_directory: bool
    rules: RuleFacts
    judged: Judged
    inventory: InventoryFacts | None = None
    store: StoreFacts | None = None
    confirmed: bool | None = None
    found: tuple[FoundFacts, ...] = ()
    counts: tuple[CountFacts, ...] = ()
    run: RunFacts | None = None
    action: ActionFacts = ActionFacts()
    live: LiveFacts | None = None
    notices: tuple[str, ...] = ()
    unread: tuple[Source, ...] = ()
