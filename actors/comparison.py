"""The comparison actor: compares two snapshots, has missing candidates confirmed, and sends findings to the history.

The candidates go back to the coordinator, whose listers ask the store for each; only what the store denies then, a
second time, is a finding. Methods return at once; a thread of the actor does the work.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from actors.history_store import pack_unlisted
from actors.messages import Verdict, unpack_verdicts
from actors.runtime import ActorRef, Answer
from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, FileColumns
from engine.compare import CompareOptions, Tally, compare, empty_directories
from engine.filters import PatternFilter
from engine.findings import Finding, Kind, pack_findings
from engine.gates import Refusal, listing_gate
from engine.states import Reason, State
from engine.table import DirectoryTable
from engine.work import NO_OTHERS
from storage.snapshot import Snapshot

_BATCH = 200
"""Findings (directories) in one message."""

_UNDER_WAY = 4
"""Messages to the history store that may be under way at a time."""

_PATIENCE = 300.0
"""Seconds that another actor may take for one message."""

_POLL = 0.02


@dataclass(frozen=True, slots=True)
class ComparisonPlan:
    """What is compared: two snapshots, and what is not to be called a difference.

    ``young_after`` is in seconds since the epoch, None without an age limit. ``tops`` are the directories of which at
    least one must be listed; without any there is no gate. ``ignored`` are substrings of paths that are left alone.
    """

    inventory: Path
    remote: Path
    young_after: float | None = None
    tops: tuple[bytes, ...] = ()
    ignored: tuple[bytes, ...] = ()
    keep_orphans: bool = False
    whole_run: bool = True


@dataclass(slots=True)
class ComparisonResult:
    """What was found. Sizes are in bytes; ``protected`` files were not judged, ``young`` ones left alone.

    ``disagreeing`` counts directories in which the store has a file that its listing lacked. ``reasons`` says why files
    were protected.
    """

    files: int = 0
    directories: int = 0
    size: int = 0
    missing: int = 0
    missing_size: int = 0
    orphan: int = 0
    orphan_size: int = 0
    size_mismatch: int = 0
    empty: int = 0
    unlisted: int = 0
    protected: int = 0
    young: int = 0
    disagreeing: int = 0
    inventory_files: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    refusal: Refusal | None = None


class Comparison:
    """Compares for one run. ``coordinator`` None: candidates are not confirmed, since there is nobody to ask."""

    def __init__(self, plan: ComparisonPlan, coordinator: ActorRef | None, history: ActorRef) -> None:
        self._plan = plan
        self._coordinator = coordinator
        self._history = history
        self._result: ComparisonResult | None = None
        self._error: Exception | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="comparison", daemon=True)
        self._thread.start()

    def result(self) -> ComparisonResult | None:
        """Give the result once it is there, None before; raises what the comparison raised."""
        if self._error is not None:
            raise self._error
        return self._result

    def release(self) -> None:
        """Stop at the next step."""
        self._stopped = True

    def _run(self) -> None:
        try:
            self._result = _Work(self._plan, self._coordinator, self._history, lambda: self._stopped).run()
        except Exception as error:
            # Whoever asks for the result is told; there is nobody to raise it to here.
            self._error = error


class _Work:
    """One comparison from beginning to end."""

    def __init__(
        self, plan: ComparisonPlan, coordinator: ActorRef | None, history: ActorRef, stopped: Callable[[], bool]
    ) -> None:
        self._plan = plan
        self._coordinator = coordinator
        self._history = history
        self._stopped = stopped
        self._under_way: deque[Answer] = deque()
        self._batch: list[Finding] = []
        self._result = ComparisonResult()
        self._tally = Tally()

    def run(self) -> ComparisonResult:
        """Compare, confirm, send."""
        inventory, remote = Snapshot(self._plan.inventory), Snapshot(self._plan.remote)
        result, plan = self._result, self._plan
        result.files, result.size = remote.table.total_files(), remote.table.total_size()
        result.directories = remote.table.count(State.LISTED)
        result.inventory_files = inventory.table.total_files()
        if plan.tops:
            result.refusal = listing_gate(remote.table, plan.tops, result.inventory_files)
        unlisted = list(remote.table.unlisted())
        result.unlisted = len(unlisted)
        if result.refusal is None:
            candidates = self._compare(inventory.table, remote.table)
            unlisted += self._settle(candidates, {path for path, _, _ in unlisted})
            if plan.whole_run:
                refuted = self._refuted(remote.table)
                unlisted += refuted
                for finding in empty_directories(remote.table, plan.young_after, [path for path, _, _ in refuted]):
                    self._send(finding)
        result.unlisted = len(unlisted)
        for start in range(0, len(unlisted), 10 * _BATCH):
            self._pass_on("stage_unlisted", pack_unlisted(unlisted[start : start + 10 * _BATCH]))
        self._flush()
        while self._under_way:
            self._under_way.popleft().result(_PATIENCE)
        result.protected, result.young = self._tally.protected, self._tally.young
        result.reasons = {reason.label: count for reason, count in sorted(self._tally.reasons.items())}
        return result

    def _compare(self, inventory: DirectoryTable, remote: DirectoryTable) -> list[Finding]:
        """Send what needs no confirmation; give the missing candidates, which the coordinator was told of."""
        ignored = PatternFilter(self._plan.ignored)
        keep = ignored if ignored else None
        options = CompareOptions(self._plan.young_after, keep_orphan=keep, keep_missing=keep)
        candidates: list[Finding] = []
        asked = 0
        for finding in compare(inventory, remote, options, self._tally):
            if finding.kind == Kind.MISSING and self._coordinator is not None:
                candidates.append(finding)
                if len(candidates) - asked >= _BATCH:
                    self._ask_for(candidates[asked:])
                    asked = len(candidates)
            elif finding.kind != Kind.ORPHAN or not self._plan.keep_orphans:
                self._send(finding)
        self._ask_for(candidates[asked:])
        return candidates

    def _ask_for(self, candidates: list[Finding]) -> None:
        if candidates and self._coordinator is not None:
            self._coordinator.ask("confirm", pack_findings(candidates)).result(_PATIENCE)

    def _settle(self, candidates: list[Finding], unlisted: set[bytes]) -> list[tuple[bytes, Reason, str]]:
        """Wait for the verdicts and send what the store denied; give the directories whose listing was contradicted."""
        open_candidates = {finding.directory: finding for finding in candidates}
        confirmed: dict[bytes, Finding] = {}
        contradicted: list[tuple[bytes, Reason, str]] = []
        for finding, verdict in self._verdicts_on(open_candidates):
            confirmed[verdict.path] = self._judged(finding, verdict)
            if verdict.present and verdict.path not in unlisted:
                self._result.disagreeing += 1
                first = verdict.present[0].decode("utf-8", "backslashreplace")
                contradicted.append(
                    (verdict.path, Reason.CUT_SHORT, f"the store has {first}, which its listing lacked")
                )
        for finding in candidates:
            self._send(confirmed[finding.directory])
        return contradicted

    def _refuted(self, remote: DirectoryTable) -> list[tuple[bytes, Reason, str]]:
        """Give the directories that look empty and are not: what of them was listed was not all.

        A listing that is cut short behind a sub-directory looks like one without files. One that came without any entry
        is beyond doubt, since a lister asks twice before it hands that in.
        """
        if self._coordinator is None:
            return []
        inside: dict[bytes, list[bytes]] = {}
        for finding in empty_directories(remote, self._plan.young_after):
            inside.setdefault(paths.parent_of(finding.directory) or b"/", []).append(paths.name_of(finding.directory))
            if finding.directory in inside:
                inside[finding.directory].append(NO_OTHERS)
        questions = [_question(path, names) for path, names in inside.items() if NO_OTHERS in names]
        for start in range(0, len(questions), _BATCH):
            self._ask_for(questions[start : start + _BATCH])
        refuted: list[tuple[bytes, Reason, str]] = []
        for _, verdict in self._verdicts_on({question.directory: question for question in questions}):
            if verdict.unknown:
                refuted.append((verdict.path, verdict.reason, verdict.detail))
            elif verdict.others:
                self._result.disagreeing += 1
                detail = f"the store has {verdict.others} entries that its listing lacked"
                refuted.append((verdict.path, Reason.CUT_SHORT, detail))
        return sorted(refuted)

    def _verdicts_on(self, asked: dict[bytes, Finding]) -> Iterator[tuple[Finding, Verdict]]:
        """Wait for the verdict on each of the candidates, which are taken out as they come."""
        while asked and self._coordinator is not None:
            if self._stopped():
                raise RuntimeError("the comparison was stopped")
            verdicts = unpack_verdicts(self._coordinator.ask("take_verdicts").result(_PATIENCE))
            for verdict in verdicts:
                finding = asked.pop(verdict.path, None)
                if finding is not None:
                    yield finding, verdict
            if not verdicts:
                time.sleep(_POLL)

    def _judged(self, finding: Finding, verdict: Verdict) -> Finding:
        """Keep of a candidate what the store denied."""
        self._tally.protect(len(verdict.unknown), verdict.reason)
        self._tally.protect(len(verdict.present), Reason.CUT_SHORT)
        if len(verdict.absent) == len(finding.files):
            return finding
        absent = frozenset(verdict.absent)
        positions = [i for i, name in enumerate(finding.files.name_list()) if name in absent]
        return Finding(finding.kind, finding.directory, finding.files.select(positions))

    def _send(self, finding: Finding) -> None:
        count = len(finding)
        if not count:
            return
        self._count(finding, count)
        self._batch.append(finding)
        if len(self._batch) >= _BATCH:
            self._flush()

    def _count(self, finding: Finding, count: int) -> None:
        result = self._result
        match finding.kind:
            case Kind.MISSING:
                result.missing += count
                result.missing_size += finding.files.total_size()
            case Kind.ORPHAN:
                result.orphan += count
                result.orphan_size += finding.files.total_size()
            case Kind.SIZE_MISMATCH:
                result.size_mismatch += count
            case Kind.EMPTY:
                result.empty += count

    def _flush(self) -> None:
        if self._batch:
            self._pass_on("stage", pack_findings(self._batch))
            self._batch = []

    def _pass_on(self, method: str, packed: bytes) -> None:
        while len(self._under_way) >= _UNDER_WAY:
            self._under_way.popleft().result(_PATIENCE)
        self._under_way.append(self._history.ask(method, packed))


def _question(directory: bytes, names: list[bytes]) -> Finding:
    return Finding(Kind.EMPTY, directory, FileColumns.from_rows((name, UNKNOWN_SIZE, UNKNOWN_MTIME) for name in names))
