"""The comparison actor: compares two snapshots, has missing candidates confirmed, and sends findings to the history.

How candidates are confirmed is in `actors.confirmation`. A thread of the actor does the work.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from actors.history_store import pack_unlisted
from actors.runtime import ActorRef, Answer
from engine.checksums.counts import SampleCounts
from engine.columns import LARGEST_SIZE
from engine.compare import Tally, compare, compare_options, empty_directories
from engine.filters import Counted
from engine.findings import Finding, Kind, pack_findings
from engine.gates import Refusal, absent_tops, failed_tops, hidden_files, listing_gate
from engine.misread import MisreadNames
from engine.scope import Scope
from engine.second import Meanwhile, SecondOpinion
from engine.states import Reason, State
from engine.table import DirectoryTable
from engine.usual import ANY_NUMBER, UsualFiles
from storage.snapshot import Snapshot
from storage.threads import named

if TYPE_CHECKING:
    from actors.confirmation import Confirmation
    from engine.cut import LastLine

_BATCH = 200
"""Findings (directories) in one message."""

_UNDER_WAY = 4
"""Messages to the history store that may be under way at a time."""

_PATIENCE = 300.0
"""Seconds that the history store may take for one message."""


@dataclass(frozen=True, slots=True)
class ComparisonPlan:
    """What is compared: two snapshots, and what is not to be called a difference.

    ``young_after`` is in seconds since the epoch, None without an age limit. ``tops`` are the directories that the
    listing started from, for the gates; without any they are those of the listing's own header. ``ignored`` are
    substrings of paths that are left alone, ``left_out`` directories that are; ``keep_orphan`` and ``keep_missing``
    tell of a path, for those of the backend's datasets, whether it is. ``second`` is an inventory that was read after
    the listing, None when there is none. ``usual`` is how many files the runs before have seen. ``last_line`` is that
    of the inventory that was read last, and ``remote_last_line`` that of a list on the other side, if they did not end.
    Everything in it pickles.
    """

    inventory: Path
    remote: Path
    young_after: float | None = None
    tops: tuple[bytes, ...] = ()
    ignored: tuple[bytes, ...] = ()
    keep_orphans: bool = False
    keep_orphan: Callable[[bytes], bool] | None = None
    keep_missing: Callable[[bytes], bool] | None = None
    whole_run: bool = True
    usual: UsualFiles = ANY_NUMBER
    second: Path | None = None
    last_line: LastLine | None = None
    remote_last_line: LastLine | None = None
    left_out: tuple[bytes, ...] = ()

    @property
    def scope(self) -> Scope:
        """Where findings are looked for."""
        return Scope(self.tops, self.ignored, self.left_out, self.keep_orphans, self.young_after)


@dataclass(slots=True)
class ComparisonResult:
    """What was found. Sizes are in bytes, at most ``LARGEST_SIZE``; ``protected`` files were not judged, ``young`` ones
    left alone.

    ``disagreeing`` counts directories that are unlisted because the store has what their listing, which claimed to be
    complete, lacked: above 0 the store's listings are not to be relied on. ``kept`` counts files that would be orphans
    if the plan did not keep those, ``ignored`` differing files that its patterns leave alone, ``of_datasets`` those
    that it leaves alone for the sake of their datasets. ``reasons`` says why files were protected. ``links`` are
    the unlisted directories that are another one by another name. ``young_after`` is
    the age limit of the plan, ``begun`` when the inventory was read, in seconds since the epoch. ``failed_tops`` could
    not be listed. ``accepted`` is a refusal that the plan was told to pass over.
    ``meanwhile`` counts what the second inventory spoke against. ``checksums`` says how the comparison of checksums
    went, None where none are compared.
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
    kept: int = 0
    ignored: int = 0
    of_datasets: int = 0
    disagreeing: int = 0
    inventory_files: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    links: int = 0
    refusal: Refusal | None = None
    young_after: float | None = None
    begun: float | None = None
    failed_tops: tuple[bytes, ...] = ()
    accepted: Refusal | None = None
    meanwhile: Meanwhile = field(default_factory=Meanwhile)
    checksum_mismatch: int = 0
    checksums: SampleCounts | None = None


class Comparison:
    """Compares for one run. ``coordinator`` None: candidates are not confirmed, since there is nobody to ask."""

    def __init__(self, plan: ComparisonPlan, coordinator: ActorRef | None, history: ActorRef) -> None:
        self._plan = plan
        self._coordinator = coordinator
        self._history = history
        self._result: ComparisonResult | None = None
        self._error: Exception | None = None
        self._stopped = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=named("comparison"), daemon=True)
        self._thread.start()

    def result(self, patience: float = 0.0) -> ComparisonResult | None:
        """Wait so many seconds for the result; None when it is not there by then. Raises what the comparison raised."""
        self._over.wait(patience)
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
        finally:
            self._over.set()


class _Work:
    """One comparison from beginning to end."""

    def __init__(
        self, plan: ComparisonPlan, coordinator: ActorRef | None, history: ActorRef, stopped: Callable[[], bool]
    ) -> None:
        self._plan = plan
        self._history = history
        self._under_way: deque[Answer] = deque()
        self._batch: list[Finding] = []
        self._result = ComparisonResult(young_after=plan.young_after)
        self._tally = Tally()
        self._second: SecondOpinion | None = None
        self._confirmation: Confirmation | None = None
        self._open = False, False
        if coordinator is not None:
            # A comparison of two files asks nobody, and need not load how that is done.
            from actors.confirmation import Confirmation

            self._confirmation = Confirmation(coordinator, self._tally, stopped)

    def run(self) -> ComparisonResult:
        """Compare, confirm, send."""
        inventory = Snapshot(self._plan.inventory)
        remote = Snapshot(self._plan.remote, like=inventory)
        result, plan = self._result, self._plan
        known = [inventory.table]
        self._open = inventory.header.has_unread, remote.header.has_unread
        if plan.second is not None:
            second = Snapshot(plan.second, like=inventory)
            known.append(second.table)
            self._open = self._open[0] or second.header.has_unread, self._open[1]
        result.files, result.size = remote.table.total_files(), min(remote.table.total_size(), LARGEST_SIZE)
        result.directories = remote.table.count(State.LISTED)
        result.inventory_files = inventory.table.total_files()
        # A finished listing knows where it started; a list of files does not.
        is_listing = remote.finished and remote.header.kind == "listing"
        if plan.second is not None:
            store = remote.table if is_listing else None
            self._second = SecondOpinion(known[-1], plan.young_after, self._tally, store)
            result.meanwhile = self._second.meanwhile
        tops = plan.tops or (remote.header.tops if is_listing else ())
        if tops:
            result.refusal = listing_gate(remote.table, inventory.table, tops)
        if result.refusal is None:
            self._heed_usual(remote.table, inventory.table)
        if result.refusal is None:
            result.refusal = self._cut_off(known, remote.table)
        absent = absent_tops(remote.table, inventory.table, tops)
        result.failed_tops = failed_tops(remote.table, tops, absent)
        unlisted = [row for row in remote.table.unlisted() if row[0] not in absent]
        result.unlisted = len(unlisted)
        if result.refusal is None:
            is_list = remote.header.kind == "inventory" or remote.header.source.startswith("dump:")
            self._compare(inventory.table, remote.table, is_listing, MisreadNames(of_lists=is_list))
            if self._confirmation is not None:
                for finding in self._confirmation.confirmed({path for path, _, _ in unlisted}):
                    self._send(finding)
            if plan.whole_run:
                not_empty = self._refuted(remote.table)
                for finding in empty_directories(remote.table, plan.young_after, not_empty):
                    self._send(finding)
            unlisted += self._links()
            if self._confirmation is not None:
                doubts = self._confirmation.doubts()
                result.disagreeing = sum(doubt.disagrees for doubt in doubts)
                unlisted += sorted((doubt.path, doubt.reason, doubt.detail) for doubt in doubts)
        result.unlisted = len(unlisted)
        result.links = sum(reason == Reason.LINK for _, reason, _ in unlisted)
        for start in range(0, len(unlisted), 10 * _BATCH):
            self._pass_on("stage_unlisted", pack_unlisted(unlisted[start : start + 10 * _BATCH]))
        self._flush()
        while self._under_way:
            self._under_way.popleft().result(_PATIENCE)
        result.protected, result.young = self._tally.protected, self._tally.young
        result.ignored = self._tally.kept - result.of_datasets
        result.reasons = {reason.label: count for reason, count in sorted(self._tally.reasons.items())}
        return result

    def _links(self) -> list[tuple[bytes, Reason, str]]:
        """Give the directories that are judged under another name, as unlisted ones."""
        if not self._tally.links:
            return []
        from engine.links import same_as

        return [(path, Reason.LINK, same_as(target)) for path, target in self._tally.links.items()]

    def _heed_usual(self, remote: DirectoryTable, inventory: DirectoryTable) -> None:
        """Refuse far fewer files than the runs before have seen, or note that this was accepted."""
        usual, result = self._plan.usual, self._result
        fewer = usual.refusal(result.files, result.inventory_files, hidden_files(remote, inventory))
        if usual.accept:
            result.accepted = fewer
        else:
            result.refusal = fewer

    def _cut_off(self, known: Sequence[DirectoryTable], remote: DirectoryTable) -> Refusal | None:
        """Refuse a list that stops in the middle of a line."""
        plan, refusal = self._plan, None
        if plan.last_line is None and plan.remote_last_line is None:
            return None
        from engine.cut import cut_gate

        if plan.last_line is not None:
            refusal = cut_gate(plan.last_line, known, remote, plan.young_after)
        if refusal is None and plan.remote_last_line is not None:
            refusal = cut_gate(plan.remote_last_line, [remote], known[0], plan.young_after)
        return refusal

    def _compare(
        self, inventory: DirectoryTable, remote: DirectoryTable, is_listing: bool, misread: MisreadNames
    ) -> None:
        """Send what needs no confirmation, and have the rest confirmed."""
        plan = self._plan
        orphans, missing = (keep and Counted(keep) for keep in (plan.keep_orphan, plan.keep_missing))
        options = replace(
            compare_options(plan.young_after, plan.ignored, orphans, missing, is_listing, plan.left_out),
            open_inventory=self._open[0],
            open_remote=self._open[1],
        )
        for finding in compare(inventory, remote, options, self._tally):
            if self._second is not None:
                agreed = self._second.agreed(finding)
                if agreed is None:
                    continue
                finding = agreed
            # One that was put right when it was read again misleads nobody.
            misread.see(finding)
            if finding.kind == Kind.MISSING and self._confirmation is not None:
                self._confirmation.add(finding)
            elif finding.kind == Kind.ORPHAN and plan.keep_orphans:
                self._result.kept += len(finding)
            else:
                self._send(finding)
        self._result.of_datasets = sum(keep.count for keep in (orphans, missing) if keep)
        self._result.refusal = misread.refusal()

    def _refuted(self, remote: DirectoryTable) -> Iterable[bytes]:
        """Give the directories that look empty and are not, or into which files are to come."""
        if self._confirmation is None and self._second is None:
            return ()
        empty = [finding.directory for finding in empty_directories(remote, self._plan.young_after)]
        awaited = set[bytes]() if self._second is None else set(filter(self._second.holds, empty))
        if self._confirmation is None:
            return awaited
        return awaited | self._confirmation.not_empty(path for path in empty if path not in awaited)

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
                result.missing_size = min(result.missing_size + finding.files.total_size(), LARGEST_SIZE)
            case Kind.ORPHAN:
                result.orphan += count
                result.orphan_size = min(result.orphan_size + finding.files.total_size(), LARGEST_SIZE)
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
