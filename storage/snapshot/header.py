"""Where a snapshot comes from, and what is raised where there is none that could be used."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import msgpack

TAKEN_UNTIL = "taken_until"
"""The key of a header's ``extra`` for a listing that takes over directories of an earlier one."""

UNREAD = "unread"
"""The key of a header's ``extra`` for words about lines that nobody could read: they may be what it does not have."""

MISFITS = "misfits"
"""The key of a header's ``extra`` for words about all lines that did not fit."""

NOTHING_TAKEN = -(2**63)


class SnapshotError(Exception):
    """A snapshot that cannot be used; the message names the file and what is wrong with it."""


class SnapshotBusy(SnapshotError):
    """A part that another process writes to; it may be gone on with later."""


@dataclass(frozen=True, slots=True)
class SnapshotHeader:
    """Where a snapshot comes from. ``created`` is in seconds since the epoch; ``tops`` are canonical paths."""

    kind: str
    source: str
    created: int
    site: str = ""
    tops: tuple[bytes, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def pack(self) -> bytes:
        """Encode for the first frame."""
        packed: bytes = msgpack.packb(asdict(self), unicode_errors="surrogateescape")
        return packed

    @classmethod
    def unpack(cls, packed: bytes | memoryview) -> SnapshotHeader:
        """Decode the first frame; fields that a later version added are passed over.

        Raises:
            ValueError: the bytes are not such a header.
        """
        try:
            fields: Any = msgpack.unpackb(packed, unicode_errors="surrogateescape")
            known = {name: value for name, value in fields.items() if name in cls.__dataclass_fields__}
            header = cls(**{**known, "tops": tuple(known.get("tops", ()))})
        except (TypeError, AttributeError) as error:
            raise ValueError(f"not a header: {error}") from error
        words = (header.kind, header.source, header.site)
        if not (
            all(isinstance(word, str) for word in words)
            and isinstance(header.created, int)
            and isinstance(header.extra, dict)
            and all(isinstance(top, bytes) for top in header.tops)
        ):
            raise ValueError("not a header: a field is of another type")
        return header

    @property
    def taken_until(self) -> int:
        """When the last of what was taken over from an earlier listing was listed (s); `NOTHING_TAKEN` if nothing was.

        In such a listing a directory was taken over if it was listed then or before.
        """
        until: Any = self.extra.get(TAKEN_UNTIL, NOTHING_TAKEN)
        # By what is no time, nothing passes for new.
        return until if isinstance(until, int) and -(2**63) <= until < 2**63 else 2**63 - 1

    @property
    def has_unread(self) -> bool:
        """Whether something may be there that is not in it, since lines of what it was made from could not be read."""
        return bool(self.extra.get(UNREAD))

    def differs(self, other: SnapshotHeader) -> str:
        """Say why it does not belong to what another one is of; empty when it does. Who was asked may differ."""
        if (self.kind, self.site) != (other.kind, other.site):
            return f"it is the {self.kind} of {self.site or 'no site'}, not the {other.kind} of {other.site or 'none'}"
        return "" if self.tops == other.tops else "other directories were to be listed in it"
