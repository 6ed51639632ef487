"""Which servers of a cluster cannot hold a directory, by what they said of the one above it.

Only a server that is away is left out for that, since what a listing lacks is not proved: one can end early and call
itself complete. So what is listed without a server (`without`) is all true of the others, and nothing is concluded from
what that server might have said.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace

from engine import paths
from engine.columns import UNKNOWN_SIZE, FileColumns
from engine.listing import Failed, Listed, Outcome
from engine.states import Reason

_REMEMBERED = 100_000
"""Directories that are not on all servers and not listed yet, of which it is known on which they are not."""

_NOWHERE: frozenset[int] = frozenset()


class Holders:
    """Remembers, for directories that are still to be listed, the servers that lacked them; these go by position."""

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._remembered = remembered
        self._lacking: dict[bytes, frozenset[int]] = {}
        self._shared: dict[frozenset[int], frozenset[int]] = {}

    def lacking(self, path: bytes) -> frozenset[int]:
        """Give the servers that lacked a directory when the one above was listed; none of it is known."""
        return self._lacking.get(path, _NOWHERE)

    def take(self, path: bytes, said: Sequence[Outcome | None]) -> None:
        """Take what all servers said to a listing of ``path`` that is complete."""
        self._lacking.pop(path, None)
        listed = [one.directories.name_list() if isinstance(one, Listed) else [] for one in said]
        if not any(listed) or all(names == listed[0] for names in listed):
            return
        known = {position: frozenset(listed[position]) for position, one in enumerate(said) if _is_whole(one)}
        for name in frozenset().union(*listed):
            lacking = frozenset([position for position, names in known.items() if name not in names])
            if lacking and len(self._lacking) < self._remembered:
                self._lacking[paths.join(path, name)] = self._shared.setdefault(lacking, lacking)


def without(listed: Listed, servers: Sequence[str]) -> Listed:
    """Give a listing for which these servers were not asked, by their names: no size is known, and nothing is empty."""
    rows = zip(listed.files.name_list(), array("q", listed.files.mtimes), strict=True)
    files = FileColumns.from_sorted_rows([(name, UNKNOWN_SIZE, mtime) for name, mtime in rows])
    note = listed.note or f"without {', '.join(servers)}, away, which lacked it in the directory above"
    return replace(listed, files=files, note=note, others=listed.others or not listed.files)


def _is_whole(said: Outcome | None) -> bool:
    """Tell whether a directory that this lacks is probably not there."""
    if isinstance(said, Failed):
        return said.reason in (Reason.NOT_FOUND, Reason.NOT_A_DIRECTORY)
    return isinstance(said, Listed) and not said.others
