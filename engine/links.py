"""Links to directories, noticed while a store is listed.

Most servers show a link to a directory as a directory. One that leads back up is listed again and again, down to the
depth limit, and two of them in one directory as often as there are ways through both. So a directory that shows what
one of those above it shows is not descended into. Nor is one that was come upon under many names already: chains of
directories with two links each to the next have no loop, and twice as many names at each step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

from engine import paths
from engine.columns import UNKNOWN_MTIME
from engine.index import Entry

MOST_NAMES = 4
"""Under so many names that have no more steps than a further one the inside of one directory is listed."""


@dataclass(frozen=True, slots=True)
class Link:
    """``path`` is the same directory as ``target``: it, and all that is below it, is not to be listed."""

    path: bytes
    target: bytes

    @property
    def words(self) -> str:
        """Say it."""
        return same_as(self.target)


class LinkWatch:
    """Is shown each listing and says what is a link. It remembers directories that have sub-directories, no others.

    ``mtime_of`` gives the mtime of a directory as its parent's listing has it, or ``UNKNOWN_MTIME``; ``tops`` are the
    directories that the listing started from.
    """

    def __init__(self, mtime_of: Callable[[bytes], int], tops: tuple[bytes, ...] = ()) -> None:
        self._mtime_of = mtime_of
        self._tops = frozenset(tops)
        # What is in each; where there are ids, also each by what is in it: more than one as a rule only behind links.
        self._contents: dict[bytes, bytes] = {}
        self._names: dict[bytes, list[bytes]] = {}

    def see(self, entry: Entry) -> list[Link]:
        """Take in a complete listing; give the directories that turn out to be links by it, in tree order.

        The one that was listed is among them if it is one. A directory above it is where it leads to what is above a
        top, which then shows what nobody asked for.
        """
        if not entry.directories.mtimes:
            return []
        path = entry.path
        self._contents[path] = content = _content(entry)
        above = self._same_above(entry, content)
        if above is not None:
            return [*self._beyond_the_top(path, above), Link(path, above)]
        return self._one_name_too_many(path, content) if entry.directories.ids else []

    def _same_above(self, entry: Entry, content: bytes) -> bytes | None:
        """Give the highest of the directories above that shows the same."""
        found = None
        above = paths.parent_of(entry.path)
        while above is not None:
            if self._contents.get(above) == content and self._is_same(entry, above):
                found = above
            above = paths.parent_of(above)
        return found

    def _one_name_too_many(self, path: bytes, content: bytes) -> list[Link]:
        names = self._names.setdefault(content, [])
        # Its own name has probably the fewest steps, and may come last.
        known = [other for other in names if other != path and paths.depth_of(other) <= paths.depth_of(path)]
        if len(known) >= MOST_NAMES:
            return [Link(path, min(known, key=paths.depth_of))]
        if path not in names:
            names.append(path)
        return []

    def _is_same(self, entry: Entry, other: bytes) -> bool:
        if entry.directories.ids:
            return True
        # Without ids of what is inside, directories that were made alike look the same, above all in a chain of them.
        # Nobody gives the time of a top.
        times = (self._mtime_of(entry.path), self._mtime_of(other))
        alike = times[0] == times[1] or other in self._tops
        known = UNKNOWN_MTIME not in (times[0], *entry.directories.mtime_list())
        return alike and known and (entry.files > 0 or len(entry.directories) > 1)

    def _beyond_the_top(self, path: bytes, top: bytes) -> Iterator[Link]:
        """Give the directory between a top and a loop to it that shows what is above the top, if there is one."""
        if top not in self._tops:
            return
        outer, inner = top, path
        while paths.name_of(outer) == paths.name_of(inner):
            higher, above = paths.parent_of(outer), paths.parent_of(inner)
            if higher is None or above is None or above == top:
                break
            outer, inner = higher, above
        if inner != path and _is_above(top, inner):
            yield Link(inner, outer)


def same_as(target: bytes) -> str:
    """Say which other directory one is."""
    return f"the same directory as {paths.escape(target)}, as behind a link"


def _is_above(directory: bytes, path: bytes) -> bool:
    return path.startswith(directory + b"/") or (directory == b"/" and path != b"/")


def _content(entry: Entry) -> bytes:
    """Hash all that a listing says of what is in a directory, times included."""
    directories = entry.directories
    hasher = blake2b(entry.digest, digest_size=12)
    hasher.update(entry.newest.to_bytes(8, "little", signed=True))
    hasher.update(len(directories.names).to_bytes(8, "little"))
    hasher.update(directories.names)
    hasher.update(directories.mtimes)
    hasher.update(directories.ids)
    return hasher.digest()
