"""What the answers to a sample come to: what is reported, what a later run asks for again, and where it goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace

from engine.checksums.asking import FileAnswer, Said
from engine.checksums.choice import Choice, SampleFile
from engine.checksums.counts import SampleCounts
from engine.checksums.digest import Checksum
from engine.checksums.share import BEGINNING, Place, place_of

MOST_OWED = 1000
"""So many files may wait for another try; with more than that the ring is not gone on with."""

_TRIES = 3
"""Runs in which a file without an answer is asked for again before its next turn."""


@dataclass(frozen=True, slots=True)
class ChecksumMismatch:
    """A file whose checksum at the store is not the inventory's, confirmed last at ``confirmed`` (seconds since the
    epoch); ``size`` in bytes and ``mtime`` are those of the listing."""

    path: bytes
    size: int
    mtime: int
    expected: Checksum
    found: Checksum
    confirmed: float

    def is_same_file(self, file: SampleFile) -> bool:
        """Whether a listing still shows the file as it was."""
        return (file.size, file.mtime) == (self.size, self.mtime)


@dataclass(frozen=True, slots=True)
class SampleState:
    """What is remembered from run to run: where on the ring the next one begins, how often files were tried that have
    had no answer, and the mismatches, which are asked for again in each run.
    """

    place: Place = BEGINNING
    owed: Mapping[bytes, int] = field(default_factory=dict)
    known: tuple[ChecksumMismatch, ...] = ()

    def again(self, most: int, there: Container[bytes] | None = None) -> list[bytes]:
        """Name what is asked for again, half of ``most`` at the most: the longest known first, and what is owed.

        Neither of these takes all where both have some. With ``there`` only those are named that are among them.
        """
        half = max(1, most // 2)
        owed = [path for path in self.owed if there is None or path in there]
        known = sorted(
            (mismatch for mismatch in self.known if there is None or mismatch.path in there),
            key=lambda mismatch: (mismatch.confirmed, mismatch.path),
        )
        chosen = [mismatch.path for mismatch in known[: half - min(len(owed), half // 2)]]
        return chosen + owed[: half - len(chosen)]


@dataclass(frozen=True, slots=True)
class Settled:
    """What is remembered from now on, the mismatches to report, in the order of their paths, and the counts."""

    state: SampleState
    mismatches: tuple[ChecksumMismatch, ...]
    counts: SampleCounts


def settle(state: SampleState, choice: Choice, answers: Iterable[FileAnswer], now: float, why: str = "") -> Settled:
    """Settle a sample; what has no answer was not reached. ``now`` is in seconds since the epoch."""
    by_path = {answer.path: answer for answer in answers}
    doubt = _doubt(state, by_path.values())
    if doubt:
        known = {mismatch.path for mismatch in state.known}
        by_path = {path: _doubted(answer) if path not in known else answer for path, answer in by_path.items()}
    files = {file.path: file for file in (*choice.again, *choice.files)}
    kept, mismatches = _known(state, choice, files, by_path)
    fresh = tuple(
        ChecksumMismatch(path, files[path].size, files[path].mtime, answer.expected, answer.found, now)
        for path, answer in by_path.items()
        if answer.said == Said.DIFFERS and answer.expected is not None and answer.found is not None
    )
    owed, place = _owed(state, choice, by_path, counts_tries=not doubt)
    reported = tuple(sorted((*mismatches, *fresh), key=lambda mismatch: mismatch.path))
    unchecked = Counter(answer.said.value for answer in by_path.values() if not answer.said.is_checked)
    counts = SampleCounts(
        sum(answer.said.is_checked for answer in by_path.values()),
        dict(sorted(unchecked.items())),
        len(files) - len(by_path),
        "; ".join(filter(None, (doubt, why))),
    )
    return Settled(SampleState(place, owed, (*kept, *mismatches, *fresh)), reported, counts)


def _doubt(state: SampleState, answers: Iterable[FileAnswer]) -> str:
    """Say why no new difference is believed: where most files differ, their checksums are of something else."""
    known = {mismatch.path for mismatch in state.known}
    said = [answer.said for answer in answers if answer.path not in known]
    differ, agree = said.count(Said.DIFFERS), said.count(Said.AGREES)
    if differ <= agree:
        return ""
    return (
        f"{differ} of {differ + agree} files have another checksum than the inventory says, which is too many to be "
        "believed; see whether its checksums are those of these files"
    )


def _doubted(answer: FileAnswer) -> FileAnswer:
    return FileAnswer(answer.path, Said.UNSURE) if answer.said == Said.DIFFERS else answer


def _known(
    state: SampleState, choice: Choice, files: Mapping[bytes, SampleFile], answers: Mapping[bytes, FileAnswer]
) -> tuple[list[ChecksumMismatch], list[ChecksumMismatch]]:
    """Give those of the earlier mismatches that are only remembered, and those that are reported without an answer."""
    remembered, reported = [], []
    for mismatch in state.known:
        file, answer = files.get(mismatch.path), answers.get(mismatch.path)
        if mismatch.path in choice.unseen:
            remembered.append(mismatch)
        elif file is None or not mismatch.is_same_file(file):
            # It is gone, or another file by now, which is compared when its turn comes.
            continue
        elif answer is None or answer.said in (Said.NOT_GIVEN, Said.REFUSED, Said.SILENT, Said.UNSURE, Said.TOO_LARGE):
            reported.append(mismatch)
    return remembered, reported


def _owed(
    state: SampleState, choice: Choice, answers: Mapping[bytes, FileAnswer], counts_tries: bool
) -> tuple[dict[bytes, int], Place]:
    """Give the files that are tried again with how often they were, and where the next run begins."""
    owed: dict[bytes, int] = {}
    known = {mismatch.path for mismatch in state.known}
    there = {file.path for file in choice.again} | choice.unseen
    for path, tries in state.owed.items():
        answer = answers.get(path)
        if path not in there or path in known or (answer is not None and not answer.said.passes):
            continue
        tries += answer is not None and counts_tries
        if tries < _TRIES:
            owed[path] = tries
    place = state.place
    for file in choice.files:
        answer = answers.get(file.path)
        if answer is None or (answer.said.passes and len(owed) >= MOST_OWED):
            return owed, place
        if answer.said.passes:
            owed[file.path] = 1
        place = place_of(file.path)
    return owed, choice.end


def without_changed(settled: Settled, still: Mapping[bytes, tuple[Checksum, ...]]) -> Settled:
    """Leave out mismatches of which the inventory, asked once more, does not say the same any more."""
    gone = {m.path for m in settled.mismatches if m.expected not in still.get(m.path, ())}
    if not gone:
        return settled
    state = replace(settled.state, known=tuple(m for m in settled.state.known if m.path not in gone))
    return replace(settled, state=state, mismatches=tuple(m for m in settled.mismatches if m.path not in gone))
