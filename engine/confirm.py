"""Whether missing candidates are missing: how the store is asked for them, and what its answers mean.

A listing alone never proves that a file is absent, so the store is asked again: name by name, or, for many names in one
directory, for all the names in it, which is one request that does not end early. What such a listing has may still be
no file that anybody can read (a dangling link, one half of a name with a newline), so it counts as present only after
a question of its own, and the verdict on a file does not depend on how many others are looked for beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgpack

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, FileColumns
from engine.findings import Finding, Kind
from engine.listing import Absent, Failed, NamesListed, Outcome, Present
from engine.states import Reason
from engine.work import NO_OTHERS

Question: TypeAlias = bytes | None
"""One name in a directory, asked for by itself; None asks for the names of everything in it."""


@dataclass(frozen=True, slots=True)
class ConfirmLimits:
    """What a store's listings can carry, and how much it is asked.

    A listing may cut names to ``longest_listed`` bytes. From ``names_from`` candidates in a directory on, one listing
    of its names is cheaper than asking for each. ``most_asked`` names of those that the listing has are asked for by
    themselves; with more, the directory's first listing was useless anyway. Where listings of names are not
    ``complete``, each one is asked for by itself, whatever is in it.
    """

    longest_listed: int
    names_from: int = 4
    most_asked: int = 1000
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the store said about missing candidates in one directory.

    ``absent`` it denied, ``present`` it has after all; for ``unknown`` there was no answer that can be relied on, for
    the reason given. ``others`` counts what is in the directory besides the names asked for, if it was listed for that.
    """

    path: bytes
    attempt: int
    absent: tuple[bytes, ...] = ()
    present: tuple[bytes, ...] = ()
    unknown: tuple[bytes, ...] = ()
    reason: Reason = Reason.NONE
    detail: str = ""
    others: int = 0


def looked_up(names: Sequence[bytes], limits: ConfirmLimits) -> list[bytes]:
    """Give the names that are looked up in a listing of the names; the others are asked for one by one."""
    if not limits.complete and NO_OTHERS not in names:
        return []
    many = len(names) >= limits.names_from or NO_OTHERS in names
    # Servers cut a path at a question mark, so such a name is best found in a listing. Names as long as the longest one
    # may be the rest of a longer one there, and others end at their newline.
    return [
        name for name in names if (many or b"?" in name) and len(name) < limits.longest_listed and b"\n" not in name
    ]


class Confirmation:
    """The candidates of one directory while the store is asked for them: answers in, further questions out."""

    def __init__(self, names: Sequence[bytes], limits: ConfirmLimits) -> None:
        self._names = tuple(names)
        self._limits = limits
        self._looked_up = looked_up(names, limits)
        self._open = 0
        self._absent: list[bytes] = []
        self._present: list[bytes] = []
        self._unknown: list[bytes] = []
        self._reason = Reason.NONE
        self._detail = ""
        self._others = 0

    @property
    def settled(self) -> bool:
        """Whether no question is open."""
        return not self._open

    def begin(self) -> list[Question]:
        """Give the first questions."""
        in_listing = frozenset(self._looked_up)
        questions: list[Question] = [name for name in self._names if name not in in_listing]
        if in_listing:
            questions.append(None)
        self._open = len(questions)
        return questions

    def take(self, question: Question, outcome: Outcome) -> list[Question]:
        """Take in the answer to a question; give those that follow from it."""
        names = self._looked_up if question is None else [question]
        more: list[Question] = []
        match outcome:
            case Failed(Reason.NOT_FOUND | Reason.NOT_A_DIRECTORY):
                self._absent += names
            case Failed(reason, detail):
                self._leave(names, reason, detail)
            case NamesListed(there) if question is None:
                more += self._look_up(there)
            case Absent() if question is not None:
                self._absent += names
            case Present(is_directory=True) if question is not None:
                # The file that is looked for cannot be where a directory is.
                self._absent += names
            case Present() if question is not None:
                self._present += names
            case _:
                self._leave(names, Reason.SERVER, f"{type(outcome).__name__} is no answer to the question")
        self._open += len(more) - 1
        return more

    def verdict(self, path: bytes, attempt: int) -> Verdict:
        """Say what came of it, once it is settled."""
        settled = tuple(self._absent), tuple(self._present), tuple(self._unknown)
        return Verdict(path, attempt, *settled, self._reason, self._detail, self._others)

    def _look_up(self, there: Set[bytes]) -> list[bytes]:
        """Sort the names by a listing; give those that it has and that are to be asked for by themselves."""
        found = [name for name in self._looked_up if name in there]
        self._absent += [name for name in self._looked_up if name not in there]
        self._others = len(there - frozenset(self._names))
        if NO_OTHERS in self._names:
            # Only the others are of interest, and nothing is called missing.
            self._present += found
            return []
        most = self._limits.most_asked
        if len(found) > most:
            self._leave(found[most:], Reason.CUT_SHORT, f"the store has {len(found)} names that its listing lacked")
        return found[:most]

    def _leave(self, names: Iterable[bytes], reason: Reason, detail: str) -> None:
        self._unknown += names
        # One reason stands for all, and what another try may settle is worth one.
        if not self._reason or (reason.retryable and not self._reason.retryable):
            self._reason, self._detail = reason, detail


@dataclass(frozen=True, slots=True)
class Judgement:
    """What of a candidate is missing, and how many files are not judged, with the reason."""

    missing: Finding
    protected: tuple[tuple[int, Reason], ...] = ()


def judge(candidate: Finding, verdict: Verdict) -> Judgement:
    """Keep of a candidate what the store denied; everything else is protected."""
    names = candidate.files.name_list()
    absent = frozenset(verdict.absent).difference(verdict.present, verdict.unknown)
    present = frozenset(verdict.present)
    missing = {position: name for position, name in enumerate(names) if name in absent}
    if len(missing) == len(names):
        return Judgement(candidate)
    there = sum(name in present for name in names)
    unknown = len(names) - len(missing) - there
    counts = ((there, Reason.CUT_SHORT), (unknown, verdict.reason or Reason.NEVER_REACHED))
    return Judgement(
        Finding(candidate.kind, candidate.directory, candidate.files.pick(missing)),
        tuple((count, reason) for count, reason in counts if count),
    )


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a directory counts as unlisted although its listing came; ``disagrees``: the store has what that lacked."""

    path: bytes
    reason: Reason
    detail: str
    disagrees: bool = True


def contradiction(verdict: Verdict, unlisted: Set[bytes]) -> Doubt | None:
    """Doubt the listing of a directory if the store has a candidate after all; ``unlisted`` ones have none."""
    if not verdict.present or verdict.path in unlisted:
        return None
    first = paths.escape(verdict.present[0])
    return Doubt(verdict.path, Reason.CUT_SHORT, f"the store has {first}, which its listing lacked")


def emptiness_questions(empty: Iterable[bytes]) -> list[Finding]:
    """Ask for what else is in the directories that seem to hold nothing but empty directories.

    ``empty`` are directories without a file at or below them, deepest first. A listing that is cut short behind a
    sub-directory looks like one without files. One that came without any entry is beyond doubt, since a lister asks
    twice before it hands that in.
    """
    inside: dict[bytes, list[bytes]] = {}
    for path in empty:
        inside.setdefault(paths.parent_of(path) or b"/", []).append(paths.name_of(path))
        if path in inside:
            inside[path].append(NO_OTHERS)
    return [_question(path, names) for path, names in inside.items() if NO_OTHERS in names]


def refutation(verdict: Verdict) -> Doubt | None:
    """Doubt that a directory is empty if the store has more in it, or does not say; see `emptiness_questions`."""
    if verdict.unknown:
        return Doubt(verdict.path, verdict.reason, verdict.detail, disagrees=False)
    if verdict.others:
        detail = f"the store has {verdict.others} entries that its listing lacked"
        return Doubt(verdict.path, Reason.CUT_SHORT, detail)
    return None


def not_empty(doubts: Iterable[Doubt]) -> set[bytes]:
    """Give the doubted directories and all above them: none of these may be called empty."""
    spared: set[bytes] = set()
    for doubt in doubts:
        path: bytes | None = doubt.path
        while path is not None and path not in spared:
            spared.add(path)
            path = paths.parent_of(path)
    return spared


def _question(directory: bytes, names: list[bytes]) -> Finding:
    return Finding(Kind.EMPTY, directory, FileColumns.from_rows((name, UNKNOWN_SIZE, UNKNOWN_MTIME) for name in names))


def pack_verdicts(verdicts: Sequence[Verdict]) -> bytes:
    """Encode verdicts, for a message or a file."""
    packed: bytes = msgpack.packb(
        [
            (
                v.path,
                v.attempt,
                v.absent,
                v.present,
                v.unknown,
                int(v.reason),
                v.detail.encode("utf-8", "replace"),
                v.others,
            )
            for v in verdicts
        ]
    )
    return packed


def unpack_verdicts(packed: bytes | memoryview) -> list[Verdict]:
    """Decode what `pack_verdicts` made."""
    rows: Any = msgpack.unpackb(packed, use_list=False)
    return [
        Verdict(path, attempt, absent, present, unknown, Reason(reason), detail.decode(), others)
        for path, attempt, absent, present, unknown, reason, detail, others in rows
    ]
