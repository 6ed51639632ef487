"""The state of a directory, and the reason when it is not a complete listing."""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """What is known of a directory. The values are part of the snapshot format."""

    UNFILLED = 0
    """Known by name only: its listing was never asked for, or never came."""
    LISTED = 1
    """Listed completely. Only such a directory yields findings."""
    FAILED = 2
    """Could not be listed completely; see the reason."""
    IGNORED = 3
    """Left out on purpose by the configuration."""


class Reason(IntEnum):
    """Why a directory has no complete listing. The values are part of the snapshot format."""

    NONE = 0
    PERMISSION = 1
    NOT_FOUND = 2
    NOT_A_DIRECTORY = 3
    TIMEOUT = 4
    CONNECTION = 5
    AUTHENTICATION = 6
    PARTIAL = 7
    FALSE_EMPTY = 8
    CUT_SHORT = 9
    BAD_NAME = 10
    DEPTH = 11
    IGNORED = 12
    LISTER_LOST = 13
    NEVER_REACHED = 14
    SERVER = 15
    LINK = 16
    """The same directory as another one, as behind a link: what is in it is judged under the other name."""
    OTHERS = 17
    """Of a directory that was listed: it holds something besides files and directories, so it is not empty."""
    UNREAD = 18
    """A list of files has lines that cannot be read, which may stand for what it does not name."""

    @property
    def retryable(self) -> bool:
        """Whether asking again, perhaps over another connection, may give another answer."""
        return self in _RETRYABLE

    @property
    def is_silence(self) -> bool:
        """Whether the store has said nothing at all."""
        return self in _SILENT

    @property
    def label(self) -> str:
        """The words that reports and messages use."""
        return _LABELS[self]


_RETRYABLE = frozenset(
    (Reason.TIMEOUT, Reason.CONNECTION, Reason.PARTIAL, Reason.FALSE_EMPTY, Reason.LISTER_LOST, Reason.SERVER)
)

_SILENT = frozenset((Reason.TIMEOUT, Reason.CONNECTION))

_LABELS = {
    Reason.NONE: "",
    Reason.PERMISSION: "permission denied",
    Reason.NOT_FOUND: "not found",
    Reason.NOT_A_DIRECTORY: "not a directory",
    Reason.TIMEOUT: "timeout",
    Reason.CONNECTION: "connection failed",
    Reason.AUTHENTICATION: "authentication failed",
    Reason.PARTIAL: "partial answer",
    Reason.FALSE_EMPTY: "empty with stat, not without",
    Reason.CUT_SHORT: "listing cut short",
    Reason.BAD_NAME: "a name that cannot be carried",
    Reason.DEPTH: "too deep",
    Reason.IGNORED: "ignored by configuration",
    Reason.LISTER_LOST: "lister lost",
    Reason.NEVER_REACHED: "never reached",
    Reason.SERVER: "server error",
    Reason.LINK: "the same as another directory",
    Reason.OTHERS: "holds what is no file",
    Reason.UNREAD: "lines that cannot be read",
}
