"""Whether several doors show the same store, so that each may be asked for any directory.

The data servers of a cluster each hold a part of the namespace, and deny what another one has: requests spread over
them would turn everything into missing files. Doors of a shared file system all show the same. A name does not tell
which is the case, so the doors are asked for the same directories, on some ways down the tree, and their answers are
compared. `docs/decisions/0009-doors-that-disagree.md` says what this can find and what not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

from engine import paths
from engine.listing import Absent, Failed, Listed, NamesListed, Outcome, Present
from engine.states import Reason
from storage.listers.factory import open_lister
from storage.listers.protocol import Ask, Lister, Request, StoreSpec

_GRACE = 10.0
"""Seconds past the timeout of a request after which the lister itself is taken for lost."""

_LOOKS = 3
"""How often the same difference has to be seen: a store changes while it is compared."""

_LOOK_EVERY = 0.1
"""Seconds between two looks at whether to give up."""

_PAUSE = 1.0
"""Seconds between two looks."""

_DEEPEST = 12
"""Levels that are gone down from a top directory."""

_SHOWN = 3

_NO_NAMES: frozenset[bytes] = frozenset()

_View: TypeAlias = "frozenset[bytes] | None"
"""The names that a door shows in a directory, none where it denies the directory; None when it does not say."""

_SILENT = frozenset((Reason.CONNECTION, Reason.TIMEOUT, Reason.AUTHENTICATION, Reason.SERVER, Reason.LISTER_LOST))


@dataclass(frozen=True, slots=True)
class Difference:
    """What two doors, by their positions, show differently in a directory: names that only one of them has."""

    path: bytes
    first: int
    second: int
    only_first: frozenset[bytes]
    only_second: frozenset[bytes]

    def describe(self, doors: Sequence[str]) -> str:
        """Say it in words; ``doors`` gives them names."""
        parts = [
            f"{doors[door]} has {_some(names)} in {paths.escape(self.path)}"
            for door, names in ((self.first, self.only_first), (self.second, self.only_second))
            if names
        ]
        lacking = self.second if self.only_first else self.first
        return "; ".join(parts) + (f", which {doors[lacking]} has not" if len(parts) == 1 else "")


class Panel:
    """A lister for each door of a store, all asked the same at the same time.

    ``heed`` is called now and then while it waits, and may raise to give up.
    """

    def __init__(self, spec: StoreSpec, heed: Callable[[], None] = lambda: None) -> None:
        self._heed = heed
        self._patience = spec.timeout + _GRACE
        self._arrived = threading.Condition()
        self._outcomes: dict[int, Outcome] = {}
        self._number = 0
        self._listers: list[Lister] = []
        try:
            for door in spec.doors:
                self._listers.append(open_lister(replace(spec, doors=(door,), connections=1), self._take))
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._listers)

    def close(self) -> None:
        """Close the listers."""
        for lister in self._listers:
            lister.close()

    def ask(self, questions: Sequence[tuple[int, Ask, bytes]]) -> list[Outcome]:
        """Ask doors, by their positions, all at once; gives the outcomes in the order of the questions."""
        numbers = []
        for door, ask, path in questions:
            self._number += 1
            numbers.append(self._number)
            self._listers[door].submit(Request(self._number, ask, path))
        give_up = time.monotonic() + self._patience
        while not self._have(numbers) and time.monotonic() < give_up:
            self._heed()
        with self._arrived:
            late = Failed(Reason.TIMEOUT, "no answer")
            return [self._outcomes.pop(number, late) for number in numbers]

    def _have(self, numbers: Sequence[int]) -> bool:
        with self._arrived:
            return self._arrived.wait_for(lambda: all(number in self._outcomes for number in numbers), _LOOK_EVERY)

    def _take(self, number: int, outcome: Outcome) -> None:
        with self._arrived:
            self._outcomes[number] = outcome
            self._arrived.notify_all()


@contextmanager
def panel(spec: StoreSpec, heed: Callable[[], None] = lambda: None) -> Iterator[Panel]:
    """Open a panel and close it afterwards; see there.

    Raises:
        ValueError: a door cannot be opened.
    """
    opened = Panel(spec, heed)
    try:
        yield opened
    finally:
        opened.close()


def answering(asked: Panel, directories: Sequence[bytes]) -> list[int]:
    """Give the doors that say anything about any of the directories, be it that it is not there or not allowed."""
    questions = [(door, Ask.NAMES, path) for door in range(len(asked)) for path in directories]
    outcomes = asked.ask(questions)
    heard = {
        door
        for (door, _, _), outcome in zip(questions, outcomes, strict=True)
        if not (isinstance(outcome, Failed) and outcome.reason in _SILENT)
    }
    return sorted(heard)


def is_there(asked: Panel, door: int, directories: Sequence[bytes]) -> bool | None:
    """Tell whether a door lists any of the directories; None when it does not answer, or may only not look."""
    outcomes = asked.ask([(door, Ask.NAMES, path) for path in directories])
    if any(isinstance(outcome, NamesListed) for outcome in outcomes):
        return True
    reasons = {outcome.reason if isinstance(outcome, Failed) else Reason.NONE for outcome in outcomes}
    if not reasons <= {Reason.NOT_FOUND, Reason.PERMISSION}:
        return None
    if Reason.PERMISSION in reasons:
        # What is not exported is forbidden as well; what is there and closed can be seen, or something above it can.
        way = dict.fromkeys(step for path in directories for step in _way_to(path))
        if any(isinstance(outcome, Present) for outcome in asked.ask([(door, Ask.STAT, path) for path in way])):
            return None
    return False


def _way_to(path: bytes) -> Iterator[bytes]:
    """Give a path and all above it but the root."""
    above: bytes | None = path
    while above is not None and above != b"/":
        yield above
        above = paths.parent_of(above)


def find_difference(
    asked: Panel, doors: Sequence[int], root: bytes, tops: Sequence[bytes], thorough: bool
) -> Difference | None:
    """Compare what doors show: in ``root``, in each top, and on the way down from there; on more ways if ``thorough``.

    Where a door does not answer, or may not look, nothing is compared.
    """
    return _Walk(asked, doors, _first_difference).search(root, tops, thorough)


def find_gap(asked: Panel, whole: int, parts: Sequence[int], root: bytes, tops: Sequence[bytes]) -> Difference | None:
    """Compare what one door shows with what all ``parts`` together hold, as `find_difference`."""
    return _Walk(asked, [whole, *parts], _gap).search(root, tops, True)


_Compare: TypeAlias = Callable[[bytes, dict[int, _View]], "Difference | None"]


class _Walk:
    """Goes down a tree on several doors side by side."""

    def __init__(self, asked: Panel, doors: Sequence[int], compare: _Compare) -> None:
        self._panel = asked
        self._doors = list(doors)
        self._compare = compare
        self._turn = 0
        self._seen: set[bytes] = set()

    def search(self, root: bytes, tops: Sequence[bytes], thorough: bool) -> Difference | None:
        found = self._at(root)
        for top in tops:
            found = found or self._at(top)
        for where in (0.0, 1.0, 0.5) if thorough else (0.0,):
            for top in tops:
                found = found or self._down(top, where)
        return found

    def _down(self, path: bytes, where: float) -> Difference | None:
        """Follow, level by level, the sub-directory that stands at ``where`` (0 to 1) among the others."""
        for _ in range(_DEEPEST):
            below = self._directories(path)
            if not below:
                return None
            path = paths.join(path, below[round(where * (len(below) - 1))])
            found = self._at(path)
            if found is not None:
                return found
        return None

    def _directories(self, path: bytes) -> list[bytes]:
        """Ask the next door whose turn it is, so that none is believed alone."""
        for _ in self._doors:
            self._turn += 1
            door = self._doors[self._turn % len(self._doors)]
            (outcome,) = self._panel.ask([(door, Ask.LIST, path)])
            if isinstance(outcome, Listed) and outcome.directories:
                return outcome.directories.name_list()
        return []

    def _at(self, path: bytes) -> Difference | None:
        if path in self._seen:
            return None
        self._seen.add(path)
        found = self._look(path)
        for _ in range(_LOOKS - 1):
            if found is None:
                return None
            time.sleep(_PAUSE)
            again = self._look(path)
            if again is None or (again.first, again.second) != (found.first, found.second):
                found = again
                continue
            only_first, only_second = found.only_first & again.only_first, found.only_second & again.only_second
            if not only_first and not only_second:
                return None
            found = replace(found, only_first=only_first, only_second=only_second)
        return found

    def _look(self, path: bytes) -> Difference | None:
        outcomes = self._panel.ask([(door, Ask.NAMES, path) for door in self._doors])
        return self._compare(path, {door: _view(o) for door, o in zip(self._doors, outcomes, strict=True)})


def _view(outcome: Outcome) -> _View:
    match outcome:
        case NamesListed(names):
            return names
        case Failed(Reason.NOT_FOUND) | Absent():
            return _NO_NAMES
        case _:
            return None


def _first_difference(path: bytes, views: dict[int, _View]) -> Difference | None:
    known = {door: view for door, view in views.items() if view is not None}
    for door, view in list(known.items())[1:]:
        first = next(iter(known))
        if view != known[first]:
            return Difference(path, first, door, known[first] - view, view - known[first])
    return None


def _gap(path: bytes, views: dict[int, _View]) -> Difference | None:
    (whole, shown), *parts = views.items()
    if shown is None:
        return None
    for door, view in parts:
        if view is not None and not view <= shown:
            return Difference(path, whole, door, _NO_NAMES, view - shown)
    return None


def _some(names: frozenset[bytes]) -> str:
    listed = sorted(names)
    shown = ", ".join(paths.escape(name) for name in listed[:_SHOWN])
    return shown + (f" and {len(listed) - _SHOWN:,} more" if len(listed) > _SHOWN else "")
