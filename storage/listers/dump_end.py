"""How the lines of a dump end, and what that leaves open.

A dump that was cut at the end of a line looks like a whole one. Where its lines are in order, the cut took what would
come behind the last one, so that nothing there is denied. Of a dump in no order nobody can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from operator import le
from typing import TYPE_CHECKING, Any, TypeAlias

from engine import paths

if TYPE_CHECKING:
    from storage.inventory.entries import Rows

_LEAST = 10
"""With fewer lines than this they may be in order by chance."""

_Key: TypeAlias = bytes | tuple[bytes, bytes]


def _by_path(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name


def _by_tree(directory: bytes, name: bytes) -> tuple[bytes, bytes]:
    return directory.replace(b"/", b"\0"), name


_ORDERS: Mapping[str, Callable[[bytes, bytes], _Key]] = {"path": _by_path, "tree": _by_tree}
"""The orders that are known, and what a directory (the root empty) and a name are compared by in each: the bytes of
whole paths, as with ``LC_ALL=C sort``, and directory by directory, as in a listing of this program."""


class EndOfLines:
    """Sees the rows of a dump, and tells what the last one is if they are in order."""

    def __init__(self) -> None:
        self._lasts: dict[str, _Key | None] = dict.fromkeys(_ORDERS)
        self._last = b""
        self._count = 0

    def see(self, rows: Rows) -> None:
        """Take the next rows."""
        if not rows.names:
            return
        self._count += len(rows.names)
        self._last = rows.directories[-1] + b"/" + rows.names[-1]
        for order, last in list(self._lasts.items()):
            keys = list(map(_ORDERS[order], rows.directories, rows.names))
            before = keys[:1] if last is None else [last]
            if all(map(le, chain(before, keys), keys)):
                self._lasts[order] = keys[-1]
            else:
                del self._lasts[order]

    def as_extra(self) -> dict[str, Any]:
        """Give what goes into the header of a snapshot; nothing when the rows are in no order."""
        if self._count < _LEAST or not self._lasts:
            return {}
        return {"order": next(iter(self._lasts)), "last": self._last}


@dataclass(frozen=True, slots=True)
class LastInOrder:
    """The last path of a dump whose lines are in order."""

    order: str
    path: bytes

    @classmethod
    def of_extra(cls, extra: Mapping[str, Any]) -> LastInOrder | None:
        """Read what `EndOfLines.as_extra` gave."""
        order, path = extra.get("order"), extra.get("last")
        if isinstance(order, str) and order in _ORDERS and isinstance(path, bytes):
            return cls(order, path)
        return None

    def hides_file(self, path: bytes) -> bool:
        """Tell whether a file that the dump does not name would come behind the last line."""
        return self._key(path) > self._key(self.path)  # type: ignore[operator]

    def hides_in(self, directory: bytes) -> bool:
        """Tell whether some file in a directory could come behind the last line."""
        # No name has bytes that come behind this one.
        return self.hides_file(paths.join(directory, b"\xff" * 256))

    def _key(self, path: bytes) -> _Key:
        directory, _, name = path.rpartition(b"/")
        return _ORDERS[self.order](directory, name)
