"""Comparing the checksums of a share of the files, when a listing has been compared.

What is asked for, and what the answers come to, is decided in `engine.checksums`. Whatever goes wrong here leaves the
run as good as it was: files are unchecked then, and no mismatch is ever made of that.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from actors.asking import AskingActor, AsRequest, Errand, Questions, ask_store
from actors.oversight import Killed, await_answer, heed
from actors.runtime import RuntimeUnavailable
from actors.store_job import ListingFailed
from engine import paths
from engine.checksums.asking import AskedFile, ChecksumQuery, FileAnswer, Said, Sampled, Sampling
from engine.checksums.choice import Choice, Choosing, SampleFile, affordable, in_turn
from engine.checksums.settling import ChecksumMismatch, SampleState, Settled, settle, without_changed
from engine.checksums.share import Arc, Share
from engine.columns import FileColumns
from engine.compare import compare_options
from engine.findings import Finding, Kind
from engine.stall import StallLimits
from storage.atomic import ReportError
from storage.backends.protocols import BackendError
from storage.config.files import ConfigError
from storage.inventory.errors import InventoryError
from storage.listers.protocol import Ask, Request
from storage.runs.sample import read_sample, write_sample
from storage.snapshot import Snapshot

if TYPE_CHECKING:
    from actors.comparison import ComparisonPlan
    from actors.messages import ListerSettings
    from actors.oversight import Oversight, Progress
    from actors.runtime import ActorRef, Runtime
    from actors.store_job import StoreJob
    from engine.checksums.digest import Checksum
    from engine.work import QueueLimits
    from storage.listers.protocol import StoreSpec

_log = logging.getLogger(__name__)

_CHOOSING, _READING, _ASKING = (
    "choosing files for their checksums",
    "reading the checksums of the inventory",
    "comparing checksums",
)
_FAILED = "the store could not be asked for checksums"

_AT_ONCE, _MOST_AT_ONCE = 2, 16
"""Files that are asked for at a time, at each door and in all: each may have to be read there to its end, and XRootD,
which works on few at a time, has those above its limit wait for half a minute."""

_LEAST_TIMEOUT = 300.0
"""Seconds that a checksum may take at the least, whatever other requests may."""

_SAVE_EVERY = 10.0
"""Seconds between two notes of what was compared."""

_PATIENCE = 300.0

_CANNOT_SAY = (ConfigError, InventoryError, BackendError, OSError)
"""What an inventory raises that cannot be asked for checksums."""

Expected = Callable[[Mapping[bytes, int], Callable[[], None]], "Mapping[bytes, tuple[Checksum, ...]] | None"]
"""Gives the inventory's checksums of files, with their sizes; None where it has none: `storage.backends.checksums`."""


@dataclass(frozen=True, slots=True)
class ChecksumJob:
    """Which share of the files is compared in a run, and up to how many files, bytes that are read here, and seconds.

    ``state`` is the file of what is remembered, ``inventory`` what the inventory is called.
    """

    share: Share
    most: int
    most_bytes: int
    seconds: float
    state: Path
    expected: Expected
    inventory: str = "the inventory"


class ChecksumActor(AskingActor):
    """Asks one store for the checksums of the files of one run."""

    def __init__(
        self, settings: ListerSettings, limits: QueueLimits, questions: Sampling, as_request: AsRequest
    ) -> None:
        self._sampling = questions
        super().__init__(settings, limits, questions, as_request)

    def settled(self, since: int) -> tuple[FileAnswer, ...]:
        """Give what became of files so far, from so many on."""
        return self._sampling.answers(since)


def compare_checksums(
    runtime: Runtime,
    store: StoreJob,
    plan: ComparisonPlan,
    job: ChecksumJob,
    oversight: Oversight,
    progress: Progress,
) -> Settled:
    """Compare the checksums of the files whose turn it is; ``plan`` is that of the comparison.

    Raises:
        Killed: the oversight asked to stop; what was compared is noted.
    """
    return _Sample(runtime, store, plan, job, oversight, progress).run()


def findings_of(mismatches: tuple[ChecksumMismatch, ...]) -> list[Finding]:
    """Give mismatches as findings, one for each directory."""
    found = []
    by_directory = sorted(mismatches, key=lambda mismatch: (_directory(mismatch), paths.name_of(mismatch.path)))
    for directory, group in groupby(by_directory, key=_directory):
        files = list(group)
        columns = FileColumns.from_sorted_rows([(paths.name_of(m.path), m.size, m.mtime) for m in files])
        pairs = tuple((str(m.expected), str(m.found)) for m in files)
        found.append(Finding(Kind.CHECKSUM_MISMATCH, directory, columns, checksums=pairs))
    return found


def _directory(mismatch: ChecksumMismatch) -> bytes:
    return paths.parent_of(mismatch.path) or b"/"


def _as_request(number: int, query: ChecksumQuery) -> Request:
    if not query.algorithm:
        return Request(number, Ask.STAT, query.path)
    return Request(number, Ask.CHECKSUM, query.path, query.algorithm)


class _Sample:
    """The comparison of one run."""

    def __init__(
        self,
        runtime: Runtime,
        store: StoreJob,
        plan: ComparisonPlan,
        job: ChecksumJob,
        oversight: Oversight,
        progress: Progress,
    ) -> None:
        self._runtime = runtime
        self._store = store
        self._plan = plan
        self._job = job
        self._oversight = oversight
        self._progress = progress
        self._state = read_sample(job.state, store.label)
        self._expected: Mapping[bytes, tuple[Checksum, ...]] | None = None
        # Until something is chosen nobody has looked, and nothing is forgotten.
        self._choice = Choice((), (), self._state.place, frozenset(self._named))
        # What is known without asking the store, and what it said.
        self._first: list[FileAnswer] = []
        self._said: list[FileAnswer] = []
        self._saved = self._begun = time.monotonic()

    def run(self) -> Settled:
        """Choose, look up, ask, settle, note."""
        why = self._tried()
        settled = self._settled(why)
        if settled.mismatches:
            settled = self._still_expected(settled, why)
        self._note(settled.state)
        return settled

    def _tried(self) -> str:
        """Choose and ask; gives why not all of it was done, empty where it was."""
        try:
            self._choice = self._chosen()
            return self._ask()
        except Killed:
            raise
        except Exception as error:
            # What the listing has found, for hours it may be, is as good as it was.
            return f"checksums could not be compared: {type(error).__name__}: {error}"

    def _settled(self, why: str = "", is_looked_up_again: bool = True) -> Settled:
        """Settle what was said; what differs and is not ``is_looked_up_again`` is asked for another time."""
        said = self._said if is_looked_up_again else list(map(self._unconfirmed, self._said))
        settled = settle(self._state, self._choice, [*self._first, *said], time.time(), why)
        return settled if self._expected is None else without_changed(settled, self._expected)

    def _unconfirmed(self, answer: FileAnswer) -> FileAnswer:
        if answer.said != Said.DIFFERS:
            return answer
        same = (m for m in self._state.known if m.path == answer.path)
        is_known = any((m.expected, m.found) == (answer.expected, answer.found) for m in same)
        return answer if is_known else FileAnswer(answer.path, Said.UNSURE)

    @property
    def _named(self) -> list[bytes]:
        """Name what earlier runs have left to this one."""
        return [*(mismatch.path for mismatch in self._state.known), *self._state.owed]

    def _look(self, phase: str) -> Callable[[], None]:
        def look() -> None:
            heed(self._oversight)
            self._oversight.watch(phase, self._progress)

        return look

    def _chosen(self) -> Choice:
        plan, state, most = self._plan, self._state, self._job.most
        look = self._look(_CHOOSING)
        look()
        inventory = Snapshot(plan.inventory)
        remote = Snapshot(plan.remote, like=inventory)
        try:
            ours = (plan.young_after, plan.ignored, None, plan.keep_missing)
            options = compare_options(*ours, one_name=False, left_out=plan.left_out)
            choosing = Choosing(inventory.table, remote.table, options, look)
            # With one file to a run it would be the same one for ever.
            left = max(1, most - len(state.again(most)))
            return choosing.choose(Arc(state.place, self._job.share.width), left, self._named)
        finally:
            inventory.close()
            remote.close()

    def _ask(self) -> str:
        """Ask for what was chosen; gives why not all of it was, empty where it was."""
        choice, job = self._choice, self._job
        first = frozenset(self._state.again(job.most, {file.path for file in choice.again}))
        files = in_turn([file for file in choice.again if file.path in first], choice.files)
        if not (files or choice.again):
            return ""
        spec = self._spec()
        if spec.no_checksums:
            return f"the store cannot be asked: {spec.no_checksums}"
        sizes = {file.path: file.size for file in (*choice.again, *choice.files)}
        try:
            self._expected = job.expected(sizes, self._look(_READING))
        except _CANNOT_SAY as error:
            return f"the inventory cannot be asked for checksums: {error}"
        if self._expected is None:
            return f"{job.inventory} has no checksums to compare with"
        if spec.is_read_for_checksums:
            files = self._affordable(files, first)
        return self._ask_store([AskedFile(file, self._expected.get(file.path, ())) for file in files])

    def _spec(self) -> StoreSpec:
        """Say how the store is asked: as it is listed, but for what needs more time."""
        spec = self._store.settings.spec
        return replace(spec, timeout=max(spec.timeout, _LEAST_TIMEOUT))

    def _affordable(self, files: list[SampleFile], again: frozenset[bytes]) -> list[SampleFile]:
        """Leave out what is more than a run may read; where the inventory has no checksum nothing is read."""
        expected = self._expected or {}
        summed = [file for file in files if expected.get(file.path)]
        taken, too_large = affordable(summed, self._job.most_bytes, again)
        self._first = [FileAnswer(file.path, Said.TOO_LARGE) for file in too_large]
        read = {file.path for file in taken}
        return [file for file in files if file.path in read or not expected.get(file.path)]

    def _ask_store(self, asked: list[AskedFile]) -> str:
        """Ask; gives why not all was asked, empty where it was."""
        if not asked:
            return ""
        self._saved = self._begun = time.monotonic()
        spec = self._spec()
        limits = replace(self._store.plan.limits, max_attempts=1, lease_seconds=2 * spec.timeout)
        settings = replace(self._store.settings, spec=spec)
        plan = replace(self._store.plan, limits=limits)
        # What may take longer is awaited longer.
        stall = StallLimits.of(self._store.stall.give_up_after / 60, spec.timeout)
        store = replace(self._store, plan=plan, settings=settings, stall=stall)
        young_after = self._plan.young_after

        def begin() -> Questions:
            self._said = []
            return Sampling(asked, min(_MOST_AT_ONCE, _AT_ONCE * len(spec.doors)), young_after)

        errand = Errand("checksums", ChecksumActor, _ASKING, _FAILED, begin, _as_request, self._watch)
        try:
            sampled: Sampled = ask_store(self._runtime, store, errand, self._oversight, self._progress)
        except (ListingFailed, RuntimeUnavailable) as error:
            return str(error)
        except Killed:
            self._note(self._settled(is_looked_up_again=False).state)
            raise
        self._said = list(sampled.answers)
        is_late = not sampled.gave_up and len(sampled.answers) < len(asked)
        return sampled.gave_up or (f"stopped after {_minutes(self._job.seconds)}" if is_late and self._is_late else "")

    @property
    def _is_late(self) -> bool:
        return time.monotonic() - self._begun >= self._job.seconds

    def _watch(self, actor: ActorRef) -> bool:
        """Note now and then what was compared; gives whether there is no time for more."""
        now = time.monotonic()
        if now - self._saved >= _SAVE_EVERY:
            self._saved = now
            self._said += await_answer(actor.ask("settled", len(self._said)), _PATIENCE, self._oversight)
            self._note(self._settled(is_looked_up_again=False).state)
        return self._is_late

    def _still_expected(self, settled: Settled, why: str) -> Settled:
        """Ask the inventory once more for what seems to differ: it may have been put right meanwhile."""
        if self._expected is None:
            return settled
        sizes = {mismatch.path: mismatch.size for mismatch in settled.mismatches}
        try:
            still = self._job.expected(sizes, self._look(_READING))
            silent = "" if still is not None else f"{self._job.inventory} has no checksums any more"
        except Killed:
            raise
        except Exception as error:
            still, silent = None, f"the inventory cannot be asked again for checksums: {error}"
        if still is not None:
            return without_changed(settled, still)
        return self._settled("; ".join(filter(None, (why, silent))), is_looked_up_again=False)

    def _note(self, state: SampleState) -> None:
        try:
            write_sample(self._job.state, state)
        except ReportError as error:
            # The next run compares the same files again.
            _log.warning("%s: which checksums were compared is not noted: %s", self._store.label, error)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:g} minutes"
