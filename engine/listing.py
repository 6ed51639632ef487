"""What a store answers: values for success and for expected failure.

Every lister gives these and nothing else, whatever its protocol. Failure is a value with a reason; the reason knows
whether another try is worth it.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.checksums.digest import Checksum
from engine.columns import NO_DIRECTORIES, NO_FILES, DirectoryColumns, FileColumns
from engine.states import Reason


@dataclass(frozen=True, slots=True)
class Listed:
    """A complete listing of one directory; ``note`` is a remark for people, empty as a rule.

    ``others``: the directory holds more than is in the columns, such as a dangling link or a socket, and is not empty.
    """

    files: FileColumns = NO_FILES
    directories: DirectoryColumns = NO_DIRECTORIES
    note: str = ""
    others: bool = False


@dataclass(frozen=True, slots=True)
class NamesListed:
    """Every name in one directory, files and directories alike, without asking for their attributes."""

    names: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Present:
    """The store says that the path exists. ``size`` in bytes, ``mtime`` in seconds since the epoch."""

    size: int
    mtime: int
    is_directory: bool


@dataclass(frozen=True, slots=True)
class Absent:
    """The store denies, in an answer to a request for this very path, that it exists."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The store did not answer, or not in a way that can be relied on."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NoChecksum:
    """The store has no such checksum of a file, and would have none another time; ``detail`` is what it said."""

    detail: str = ""


ListingOutcome = Listed | Failed
NamesOutcome = NamesListed | Failed
ChecksumOutcome = Checksum | NoChecksum | Absent | Failed
Outcome = Listed | NamesListed | Present | Absent | Checksum | NoChecksum | Failed
