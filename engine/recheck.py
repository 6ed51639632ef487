"""Whether what a run found is still so when it is about to be acted on.

Between the listing of a directory and the request lie hours or days. Each candidate is asked for once more: a missing
file that is there, an orphan that is gone or is another file by now, a directory that has something in it, and all on
which there is no certain answer are dropped. The next run judges them anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from engine.confirm import Confirmation, ConfirmLimits, Question
from engine.findings import Kind
from engine.listing import Absent, Failed, NamesListed, Outcome, Present
from engine.states import Reason

_GONE = (Reason.NOT_FOUND, Reason.NOT_A_DIRECTORY)


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a run is about to act on: paths, and for orphans size and mtime as they were listed.

    ``going`` are empty directories that were asked to go before, and may or may not be there still.
    """

    missing: Sequence[bytes] = ()
    orphans: Sequence[tuple[bytes, int, int]] = ()
    empty: Sequence[bytes] = ()
    going: Sequence[bytes] = ()

    def __len__(self) -> int:
        return len(self.missing) + len(self.orphans) + len(self.empty)


@dataclass(frozen=True, slots=True)
class Dropped:
    """How many candidates were dropped.

    ``back``: missing files that are there. ``gone``: orphans and empty directories that are not. ``changed``: orphans
    of another size or time than listed. ``young``: those that came after the age limit. ``filled``: directories that
    are not empty. ``uncertain``: no answer that can be relied on.
    """

    back: int = 0
    gone: int = 0
    changed: int = 0
    young: int = 0
    filled: int = 0
    uncertain: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return sum(getattr(self, field.name) for field in fields(self))

    def plus(self, other: Dropped) -> Dropped:
        """Count both together."""
        return Dropped(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    @property
    def words(self) -> str:
        """Say how many there are of each that there is; empty when there is none."""
        parts = (
            (self.back, "missing before and there now"),
            (self.gone, "gone by themselves"),
            (self.changed, "changed since the listing"),
            (self.young, "too young by now"),
            (self.filled, "not empty any more"),
            (self.uncertain, "without a certain answer"),
        )
        return ", ".join(f"{count} {what}" for count, what in parts if count)


@dataclass(frozen=True, slots=True)
class Rechecked:
    """What is still to be acted on, in the order of the candidates, and how many were dropped.

    ``fates`` says of those that were dropped why, with the name of a field of `Dropped`.
    """

    missing: tuple[bytes, ...] = ()
    orphans: tuple[bytes, ...] = ()
    empty: tuple[bytes, ...] = ()
    dropped: Dropped = Dropped()
    fates: Mapping[bytes, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Query:
    """One question to the store, for the sake of candidates of a kind: see `engine.confirm.Question`."""

    kind: Kind
    directory: bytes
    name: Question = None

    @property
    def path(self) -> bytes:
        """What is asked for: the directory's names, or the file."""
        return self.directory if self.name is None else paths.join(self.directory, self.name)


class Recheck:
    """The candidates of one run while the store is asked for them: answers in, further questions out.

    ``young_after`` is in seconds since the epoch, None without an age limit.
    """

    def __init__(self, candidates: Candidates, young_after: float | None, limits: ConfirmLimits) -> None:
        self._candidates = candidates
        self._young_after = young_after
        self._orphans = {path: (size, mtime) for path, size, mtime in candidates.orphans}
        missing: dict[bytes, list[bytes]] = {}
        for path in candidates.missing:
            missing.setdefault(paths.parent_of(path) or b"/", []).append(paths.name_of(path))
        self._missing = {directory: Confirmation(names, limits) for directory, names in missing.items()}
        # What became of each: the name of a field of `Dropped`, empty for what stays as it was found.
        self._fates: dict[bytes, str] = {}
        self._listings: dict[bytes, NamesListed | Failed] = {}

    def begin(self) -> list[Query]:
        """Give the first questions."""
        queries = [
            Query(Kind.MISSING, directory, question)
            for directory, confirmation in self._missing.items()
            for question in confirmation.begin()
        ]
        queries += [Query(Kind.ORPHAN, paths.parent_of(path) or b"/", paths.name_of(path)) for path in self._orphans]
        queries += [Query(Kind.EMPTY, path) for path in self._candidates.empty]
        return queries

    def take(self, query: Query, outcome: Outcome) -> list[Query]:
        """Take in the answer to a question; give those that follow from it."""
        match query.kind:
            case Kind.MISSING:
                further = self._missing[query.directory].take(query.name, outcome)
                return [Query(Kind.MISSING, query.directory, question) for question in further]
            case Kind.ORPHAN:
                self._fates[query.path] = orphan_fate(outcome, *self._orphans[query.path], self._young_after)
            case _:
                if not isinstance(outcome, NamesListed | Failed):
                    outcome = Failed(Reason.SERVER, "something else than names came")
                self._listings[query.directory] = outcome
        return []

    def result(self) -> Rechecked:
        """Judge. What was not answered is uncertain."""
        sides = (
            list(self._missing_fates()),
            [(path, self._fates.get(path, "uncertain")) for path in self._orphans],
            self._empty_fates(),
        )
        missing, orphans, empty = (tuple(path for path, fate in side if not fate) for side in sides)
        fates = {path: fate for side in sides for path, fate in side if fate}
        counts = Counter(fate for side in sides for _, fate in side if fate)
        return Rechecked(missing, orphans, empty, Dropped(**counts), fates)

    def _missing_fates(self) -> Iterator[tuple[bytes, str]]:
        fates: dict[bytes, str] = {}
        for directory, confirmation in self._missing.items():
            verdict = confirmation.verdict(directory, 0)
            for names, fate in ((verdict.absent, ""), (verdict.unknown, "uncertain"), (verdict.present, "back")):
                fates.update((paths.join(directory, name), fate) for name in names)
        return ((path, fates.get(path, "uncertain")) for path in self._candidates.missing)

    def _empty_fates(self) -> list[tuple[bytes, str]]:
        """Say what became of the empty directories: nothing but such as stay empty may be in them."""
        still = set(self._candidates.going)
        fates: dict[bytes, str] = {}
        for path in sorted(self._candidates.empty, key=paths.depth_of, reverse=True):
            match self._listings.get(path):
                case NamesListed(names) if all(paths.join(path, name) in still for name in names):
                    still.add(path)
                    fates[path] = ""
                case NamesListed():
                    fates[path] = "filled"
                case Failed(reason) if reason in _GONE:
                    fates[path] = "gone"
                case _:
                    fates[path] = "uncertain"
        return [(path, fates[path]) for path in self._candidates.empty]


def orphan_fate(outcome: Outcome, size: int, mtime: int, young_after: float | None) -> str:
    """Say why an orphan, listed with this size and mtime, is dropped, as a field of `Dropped`; empty when it is not."""
    match outcome:
        case Absent():
            return "gone"
        case Failed(reason) if reason in _GONE:
            return "gone"
        case Present(is_directory=True):
            return "changed"
        case Present(new_size, new_mtime):
            if young_after is not None and new_mtime != UNKNOWN_MTIME and new_mtime > young_after:
                return "young"
            known = ((size, new_size, UNKNOWN_SIZE), (mtime, new_mtime, UNKNOWN_MTIME))
            if any(unknown not in (old, new) and old != new for old, new, unknown in known):
                return "changed"
            return ""
        case _:
            return "uncertain"
