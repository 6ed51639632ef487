"""Which files are asked for: those of an arc of the ring, and those that earlier runs owe an answer or a second look.

Only a file that inventory and listing both have, with the same size, is worth the question; a difference in size is a
finding of its own. What is too young, left alone on purpose, or in a directory that either side has not seen completely
is not asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest

from engine import paths
from engine.checksums.share import Arc, Place, place_of
from engine.columns import UNKNOWN_SIZE, UNSETTLED_MTIME, FileColumns, numbers
from engine.compare import CompareOptions, Sight
from engine.table import DirectoryTable

_LOOK_MASK = 1023


@dataclass(frozen=True, slots=True)
class SampleFile:
    """A file to be asked for; ``size`` is that of both sides, in bytes, ``mtime`` the store's."""

    path: bytes
    size: int
    mtime: int


@dataclass(frozen=True, slots=True)
class Choice:
    """``again`` are those that were named, ``files`` those of the arc, in the order of the ring, without the former.

    ``end`` is where the next run begins when all ``files`` are done: the end of the arc, or the last of them where
    there are more than a run may ask for. ``unseen`` were named, and are where nobody could look.
    """

    again: tuple[SampleFile, ...]
    files: tuple[SampleFile, ...]
    end: Place
    unseen: frozenset[bytes] = field(default=frozenset())


class Choosing:
    """Chooses among the files that two tables have in common; ``options`` as for the comparison of the two.

    ``look`` is called now and then, and may raise to give up.
    """

    def __init__(
        self,
        inventory: DirectoryTable,
        remote: DirectoryTable,
        options: CompareOptions,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self._look = look
        self._inventory = inventory
        self._remote = remote
        self._options = options
        self._sights = Sight(inventory), Sight(remote)

    def choose(self, arc: Arc, most: int, named: Iterable[bytes] = ()) -> Choice:
        """Choose the named files, and up to ``most`` more of the arc: the nearest to its start."""
        named = frozenset(named)
        again, unseen = self._named(named)
        kept: list[tuple[tuple[int, bytes], SampleFile]] = []
        near, is_whole = arc, True
        for row, path in enumerate(self._remote.paths):
            if not row & _LOOK_MASK:
                self._look()
            if not self._remote.files[row]:
                continue
            found = (file for file in self._of_row(row, path, near) if file.path not in named)
            kept += [(arc.distance(place_of(file.path)), file) for file in found]
            if len(kept) >= 2 * most + 1:
                kept, is_whole = sorted(kept, key=_distance)[:most], False
                # What is farther away than all of these is not looked at any more.
                near = Arc(arc.start, kept[-1][0][0] + 1 if kept else 1)
        kept.sort(key=_distance)
        if len(kept) > most:
            kept, is_whole = kept[:most], False
        end = arc.end if is_whole else place_of(kept[-1][1].path) if kept else arc.start
        return Choice(again, tuple(file for _, file in kept), end, unseen)

    def _named(self, named: frozenset[bytes]) -> tuple[tuple[SampleFile, ...], frozenset[bytes]]:
        by_directory: dict[bytes, list[bytes]] = {}
        for path in sorted(named):
            by_directory.setdefault(paths.parent_of(path) or b"/", []).append(paths.name_of(path))
        found: list[SampleFile] = []
        unseen: set[bytes] = set()
        for directory, names in by_directory.items():
            row = self._remote.find(directory)
            if not self._is_seen(directory):
                unseen.update(paths.join(directory, name) for name in names)
            elif row is not None:
                found += self._in_both(row, directory, self._remote.load(row), set(names))
        return tuple(found), frozenset(unseen)

    def _is_seen(self, directory: bytes) -> bool:
        """Whether both sides have seen a directory, or that it is not there."""
        for table, sight in zip((self._inventory, self._remote), self._sights, strict=True):
            row = table.find(directory)
            if (sight.unseen_above(directory) if row is None else sight.unseen(row)) is not None:
                return False
        return True

    def _of_row(self, row: int, directory: bytes, arc: Arc) -> Iterator[SampleFile]:
        files = self._remote.load(row)
        names = files.name_list()
        near = arc.chosen(directory, names)
        if near and self._is_seen(directory):
            yield from self._in_both(row, directory, files, {names[at] for at in near})

    def _in_both(self, row: int, directory: bytes, files: FileColumns, wanted: set[bytes]) -> Iterator[SampleFile]:
        """Give those of the wanted files of a directory that both sides have alike, and that may be judged."""
        other = self._inventory.find(directory)
        if other is None or not self._inventory.files[other]:
            return
        expected = self._inventory.load(other)
        known = {
            name: (size, mtime)
            for name, size, mtime in zip(
                expected.name_list(), numbers(expected.sizes), numbers(expected.mtimes), strict=True
            )
            if name in wanted
        }
        sizes, mtimes = numbers(files.sizes), numbers(files.mtimes)
        for at, name in enumerate(files.name_list()):
            if name not in known:
                continue
            size, mtime = known[name]
            path = paths.join(directory, name)
            same = size == sizes[at] != UNKNOWN_SIZE
            if same and self._is_old(mtime, mtimes[at]) and not self._is_left_alone(path):
                yield SampleFile(path, size, mtimes[at])

    def _is_old(self, *mtimes: int) -> bool:
        limit = self._options.young_after
        return UNSETTLED_MTIME not in mtimes and (limit is None or max(mtimes) <= limit)

    def _is_left_alone(self, path: bytes) -> bool:
        keep = self._options.keep_missing
        return keep is not None and keep(path)


def in_turn(again: Iterable[SampleFile], files: Iterable[SampleFile]) -> list[SampleFile]:
    """Put both one after the other, one of the arc first.

    Whatever becomes of those that were named, be it that none is answered, the ring goes on.
    """
    return [file for pair in zip_longest(files, again) for file in pair if file is not None]


def affordable(
    files: Iterable[SampleFile], most: int, again: Container[bytes] = ()
) -> tuple[list[SampleFile], list[SampleFile]]:
    """Give the first files that have no more than ``most`` bytes together, and those before that have more alone.

    One of those ``again`` that is too much beside what comes before it is left out, and keeps no other one back.
    """
    taken: list[SampleFile] = []
    too_large: list[SampleFile] = []
    left, is_over = most, False
    for file in files:
        is_named = file.path in again
        if is_over and not is_named:
            continue
        if file.size > most:
            too_large.append(file)
        elif file.size <= left:
            taken.append(file)
            left -= file.size
        else:
            is_over = is_over or not is_named
    return taken, too_large


def _distance(entry: tuple[tuple[int, bytes], SampleFile]) -> tuple[int, bytes]:
    return entry[0]
