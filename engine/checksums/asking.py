"""The files of a sample while the store is asked for their checksums: answers in, further questions out.

A checksum that agrees settles a file. One that does not is asked for twice, and in between the file for its size and
time: only what the store says both times, of a file that is still the one that was listed, is a difference.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from engine.checksums.choice import SampleFile
from engine.checksums.digest import Checksum
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from engine.listing import Absent, Failed, NoChecksum, Outcome, Present
from engine.states import Reason

_REFUSALS = 20
"""So many files in a row that the store has no checksum of, and none before it had one of, are enough to know."""

_TRIES = 3
"""How often a question is asked to which the server gives no good answer, such as that its program has failed."""

_SILENCES = 10
"""So many files in a row without an answer are enough for a run."""


class Said(StrEnum):
    """What became of a file. All but the first two leave it unchecked, for the reason that the value says."""

    AGREES = "agrees"
    DIFFERS = "differs"
    NOT_EXPECTED = "no checksum in the inventory"
    NOT_GIVEN = "no such checksum at the store"
    REFUSED = "refused by the store"
    CHANGED = "changed since the listing"
    SILENT = "no answer"
    UNSURE = "different answers"
    TOO_LARGE = "larger than what a run may read"

    @property
    def is_checked(self) -> bool:
        """Whether the file was compared."""
        return self in (Said.AGREES, Said.DIFFERS)

    @property
    def passes(self) -> bool:
        """Whether another run may have another answer soon, so that the file is asked for again before its turn."""
        return self in (Said.SILENT, Said.UNSURE)


@dataclass(frozen=True, slots=True)
class AskedFile:
    """A file, and what the inventory has as its checksums, by several algorithms or one; the first is tried first."""

    file: SampleFile
    expected: tuple[Checksum, ...]


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """What became of a file; ``expected`` and ``found`` where it was compared, ``detail`` what the store said."""

    path: bytes
    said: Said
    expected: Checksum | None = None
    found: Checksum | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ChecksumQuery:
    """One question to the store: for the checksum of an algorithm; with none, for size and time."""

    path: bytes
    algorithm: str = ""


@dataclass(frozen=True, slots=True)
class Sampled:
    """What became of the files that there was an answer for; ``gave_up`` says why others were not asked for."""

    answers: tuple[FileAnswer, ...] = ()
    gave_up: str = ""


@dataclass(slots=True)
class _Open:
    """A file that is being asked for: the checksum that is compared, what was found first, whether it is the same file
    as listed, whether the file was denied where its checksum was asked for, and how often it had no good answer."""

    asked: AskedFile
    at: int = 0
    found: Checksum | None = None
    is_same: bool = False
    is_denied: bool = False
    failures: int = 0

    @property
    def expected(self) -> Checksum:
        return self.asked.expected[self.at]


class Sampling:
    """Asks for ``files`` in their order, ``at_once`` at a time; ``young_after`` is in seconds since the epoch, or None.

    A file without an expected checksum is not asked for.
    """

    def __init__(self, files: Sequence[AskedFile], at_once: int, young_after: float | None) -> None:
        self._waiting = deque(files)
        self._at_once = max(1, at_once)
        self._young_after = young_after
        self._open: dict[bytes, _Open] = {}
        self._answers: list[FileAnswer] = []
        self._gave_up = ""
        self._has_given = self._has_answered = False
        self._not_given = self._silent = 0

    def begin(self) -> Iterator[ChecksumQuery]:
        """Give the first questions."""
        yield from self._fill()

    def take(self, query: ChecksumQuery, outcome: Outcome) -> Iterator[ChecksumQuery]:
        """Take the answer to a question; gives further ones. What nobody asked is of no account."""
        file = self._open.get(query.path)
        if file is not None:
            further = self._take(file, query, outcome)
            if isinstance(further, ChecksumQuery):
                yield further
            else:
                self._end(further)
        yield from self._fill()

    def answers(self, since: int = 0) -> tuple[FileAnswer, ...]:
        """Give what became of files so far, from so many on."""
        return tuple(self._answers[since:])

    def result(self) -> Sampled:
        """Give what there is."""
        return Sampled(tuple(self._answers), self._gave_up)

    def _fill(self) -> Iterator[ChecksumQuery]:
        while self._waiting and not self._gave_up and len(self._open) < self._at_once:
            asked = self._waiting.popleft()
            path = asked.file.path
            if not asked.expected:
                self._answers.append(FileAnswer(path, Said.NOT_EXPECTED))
                continue
            self._open[path] = _Open(asked)
            yield ChecksumQuery(path, asked.expected[0].algorithm)

    def _take(self, file: _Open, query: ChecksumQuery, outcome: Outcome) -> ChecksumQuery | FileAnswer:
        if isinstance(outcome, Failed) and outcome.reason.retryable and outcome.reason != Reason.TIMEOUT:
            # What took too long would do so again, and is owed instead.
            file.failures += 1
            if file.failures < _TRIES:
                return query
        return self._take_attributes(file, outcome) if not query.algorithm else self._take_sum(file, outcome)

    def _take_sum(self, file: _Open, outcome: Outcome) -> ChecksumQuery | FileAnswer:
        path, expected = file.asked.file.path, file.expected
        if isinstance(outcome, Checksum) and outcome.algorithm != expected.algorithm:
            outcome = NoChecksum(f"it gives {outcome.algorithm}")
        if isinstance(outcome, NoChecksum) and not file.found and file.at + 1 < len(file.asked.expected):
            file.at += 1
            return ChecksumQuery(path, file.expected.algorithm)
        if _is_denial(outcome):
            # A server may mean the checksum alone.
            file.is_denied = True
            return ChecksumQuery(path)
        if not isinstance(outcome, Checksum):
            return self._unanswered(file, outcome)
        if file.found is None:
            if outcome == expected:
                return FileAnswer(path, Said.AGREES, expected, outcome)
            file.found = outcome
            return ChecksumQuery(path)
        if outcome != file.found or not file.is_same:
            return FileAnswer(path, Said.UNSURE, detail=f"{file.found}, and then {outcome}")
        return FileAnswer(path, Said.DIFFERS, expected, outcome)

    def _take_attributes(self, file: _Open, outcome: Outcome) -> ChecksumQuery | FileAnswer:
        """Ask for the checksum again if the file is still the one that was listed."""
        listed = file.asked.file
        if not isinstance(outcome, Present):
            return self._unanswered(file, outcome)
        is_other = outcome.is_directory or UNKNOWN_SIZE in (outcome.size, listed.size) or outcome.size != listed.size
        is_newer = UNKNOWN_MTIME not in (outcome.mtime, listed.mtime) and outcome.mtime != listed.mtime
        is_young = self._young_after is not None and outcome.mtime > self._young_after
        if is_other or is_newer or is_young:
            return FileAnswer(listed.path, Said.CHANGED)
        if file.is_denied:
            return FileAnswer(
                listed.path, Said.NOT_GIVEN, detail="it is there, and denied where its checksum is asked for"
            )
        file.is_same = True
        return ChecksumQuery(listed.path, file.expected.algorithm)

    def _unanswered(self, file: _Open, outcome: Outcome) -> FileAnswer:
        path = file.asked.file.path
        match outcome:
            case NoChecksum(detail):
                return FileAnswer(path, Said.NOT_GIVEN, detail=detail)
            case Absent():
                return FileAnswer(path, Said.CHANGED, detail="gone")
            case Failed(reason, detail) if reason in (Reason.NOT_FOUND, Reason.NOT_A_DIRECTORY):
                return FileAnswer(path, Said.CHANGED, detail=detail or "gone")
            case Failed(Reason.PARTIAL, detail):
                return FileAnswer(path, Said.UNSURE, detail=detail)
            case Failed(reason, detail):
                passes = reason.retryable or reason == Reason.AUTHENTICATION
                return FileAnswer(path, Said.SILENT if passes else Said.REFUSED, detail=detail or reason.label)
            case _:
                return FileAnswer(path, Said.UNSURE, detail="an answer to another question")

    def _end(self, answer: FileAnswer) -> None:
        del self._open[answer.path]
        self._answers.append(answer)
        self._has_given = self._has_given or answer.said.is_checked or answer.said == Said.UNSURE
        self._not_given = self._not_given + 1 if answer.said == Said.NOT_GIVEN else 0
        self._silent = self._silent + 1 if answer.said == Said.SILENT else 0
        if self._not_given >= _REFUSALS and not self._has_given:
            self._gave_up = f"the store gives no checksums: {answer.detail}"
        elif self._silent >= _SILENCES:
            self._gave_up = f"the store gives no answer: {answer.detail}"


def _is_denial(outcome: Outcome) -> bool:
    return isinstance(outcome, Absent) or (isinstance(outcome, Failed) and outcome.reason == Reason.NOT_FOUND)
