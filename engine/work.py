"""The words between the work queue and its caller: tasks, limits, events (facts) and instructions (imperatives).

All are frozen values that compare and pickle. Paths are canonical; times are seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from engine.states import Reason, State

NO_OTHERS = b""
"""Among the names of a CONFIRM: also count what the directory holds besides them. No entry has this name."""


class TaskKind(IntEnum):
    """What a lister is asked to do. A path may have an open task of each kind."""

    LIST = 1
    """List the directory."""
    CONFIRM = 2
    """Ask the store for each of some names in the directory."""


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt at one directory; ``names`` are what a CONFIRM asks for, `NO_OTHERS` whether there is more.

    Attempts are numbered from 1 and grow with each lease of a path, so that an old report is told from a new one.
    """

    kind: TaskKind
    path: bytes
    attempt: int
    names: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How patient the queue is. All times are in seconds.

    ``max_attempts`` counts the first one. ``first_delay`` is the wait before the second attempt; it doubles with each
    further one up to ``max_delay``. ``lease_seconds`` is how long a lister may give no answer at all. ``max_depth``
    counts components below the nearest top. ``idle_wait`` is what a lister without work waits before it asks again.
    ``batch`` is the most that one request gets.

    Raises:
        ValueError: a value with which the queue could not work.
    """

    max_attempts: int = 4
    first_delay: float = 1.0
    max_delay: float = 30.0
    lease_seconds: float = 120.0
    max_depth: int = 40
    idle_wait: float = 0.05
    batch: int = 1024

    def __post_init__(self) -> None:
        if not 1 <= self.max_attempts <= 100:
            raise ValueError("max_attempts must be between 1 and 100")
        if self.batch < 1 or self.max_depth < 0:
            raise ValueError("batch must be at least 1 and max_depth at least 0")
        if not (self.lease_seconds > 0 and self.idle_wait > 0):
            raise ValueError("lease_seconds and idle_wait must be above 0")
        if not 0 <= self.first_delay <= self.max_delay:
            raise ValueError("first_delay must lie between 0 and max_delay")

    def delay_after(self, tries: int) -> float:
        """Give the back-off after so many failed tries, in seconds."""
        return min(self.max_delay, self.first_delay * 2.0 ** (tries - 1))


@dataclass(frozen=True, slots=True)
class DirectoriesSeeded:
    """These canonical paths are to be listed.

    ``tops`` are the directories that the whole listing started from; without them, ``paths`` are. On resume ``paths``
    is the frontier: what is known and not listed yet. A top that turns up below another one is listed once, for itself.
    """

    paths: Sequence[bytes]
    tops: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class ConfirmationsAdded:
    """These names in the directory ``path`` are missing candidates."""

    path: bytes
    names: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class WorkRequested:
    """A lister has room for ``want`` more tasks."""

    lister: str
    want: int


@dataclass(frozen=True, slots=True)
class DirectoryListed:
    """A lister has the complete listing; ``children`` are the canonical paths of the sub-directories."""

    lister: str
    path: bytes
    attempt: int
    children: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class DirectoryFailed:
    """A lister could not list the directory completely."""

    lister: str
    path: bytes
    attempt: int
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NamesConfirmed:
    """A lister has an answer of the store for each name of a CONFIRM."""

    lister: str
    path: bytes
    attempt: int


@dataclass(frozen=True, slots=True)
class ConfirmationFailed:
    """A lister could not get an answer for every name of a CONFIRM."""

    lister: str
    path: bytes
    attempt: int
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ListerLost:
    """A lister is gone, with all that it had in hand."""

    lister: str


@dataclass(frozen=True, slots=True)
class ListerLeft:
    """A lister went so that others have its place; what it had in hand is nobody's fault."""

    lister: str


@dataclass(frozen=True, slots=True)
class KillRequested:
    """The run is to end now."""

    why: str = ""


@dataclass(frozen=True, slots=True)
class NoMoreWork:
    """Nothing will be seeded or added any more: once all is done, listers may go home."""


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Nothing happened. Leases expire on this event only, so it must come now and then, such as every second."""


Report = DirectoryListed | DirectoryFailed | NamesConfirmed | ConfirmationFailed
Event = (
    Report
    | WorkRequested
    | ConfirmationsAdded
    | TimePassed
    | DirectoriesSeeded
    | ListerLost
    | ListerLeft
    | KillRequested
    | NoMoreWork
)


@dataclass(frozen=True, slots=True)
class Assign:
    """Give the lister that asked these tasks: at least one."""

    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """Tell the lister that asked to ask again in so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GoHome:
    """Tell the lister that asked to stop."""


@dataclass(frozen=True, slots=True)
class Accept:
    """Use the report: it answers the current lease and has not been seen before."""

    kind: TaskKind
    path: bytes


@dataclass(frozen=True, slots=True)
class Discard:
    """Drop the report: it is late or a repetition."""

    kind: TaskKind
    path: bytes


@dataclass(frozen=True, slots=True)
class Settle:
    """Write down that the directory is FAILED or IGNORED. Nothing more will come for it."""

    path: bytes
    state: State
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """Leave these names unjudged: the store could not be asked for all of them."""

    path: bytes
    names: tuple[bytes, ...]
    reason: Reason
    detail: str = ""


Instruction = Accept | Assign | Discard | GoHome | Settle | Unconfirmed | Wait


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """Where the work stands.

    ``pending``, ``delayed`` and ``leased`` count open tasks of both kinds; ``found``, ``listed``, ``failed`` and
    ``ignored`` directories; ``confirmed`` and ``unconfirmed`` finished CONFIRM tasks; ``retries`` attempts that failed
    and were not the last; ``discarded`` reports.
    """

    pending: int = 0
    delayed: int = 0
    leased: int = 0
    found: int = 0
    listed: int = 0
    failed: int = 0
    ignored: int = 0
    confirmed: int = 0
    unconfirmed: int = 0
    retries: int = 0
    discarded: int = 0
