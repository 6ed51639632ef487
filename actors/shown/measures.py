"""What can be measured of a run: the names, kinds and words of each measure, and the values of a moment.

Pure, for whoever shows them: a file for Prometheus (`actors.shown.metrics`), Ray's metrics (`actors.on_ray.metrics`).
Names and units follow Prometheus' conventions; ``docs/monitoring/`` has a table of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.history import RunStatus

if TYPE_CHECKING:
    from actors.oversight import Progress
    from storage.history import RunRow

PREFIX = "dynamo_consistency_"


@dataclass(frozen=True, slots=True)
class Metric:
    """What is measured. Each has the label ``site``, and maybe one more; one that only grows ends in ``_total``."""

    name: str
    help: str
    label: str = ""

    @property
    def is_counter(self) -> bool:
        """Whether it only grows, until the next run begins anew."""
        return self.name.endswith("_total")

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of its labels."""
        return ("site", self.label) if self.label else ("site",)


@dataclass(frozen=True, slots=True)
class Measure:
    """The value of a metric at a moment; ``values`` are those of its labels, in their order."""

    metric: Metric
    values: tuple[str, ...]
    value: float


def _metric(name: str, words: str, label: str = "") -> Metric:
    return Metric(PREFIX + name, words, label)


RUNNING = _metric("running", "Whether a run of the site is going on.")
PHASE = _metric("run_phase", "What the run is doing: 1 for the phase that it is in.", "phase")
STARTED = _metric("run_start_timestamp_seconds", "When the run began, or the last one.")
UPDATED = _metric("updated_timestamp_seconds", "When these figures were last brought up to date.")

LISTED = _metric("listed_directories", "Directories with a complete listing in this run, or the last one.")
FAILED = _metric("failed_directories", "Directories that could not be listed in this run, or the last one.")
IGNORED = _metric("ignored_directories", "Directories left out by the configuration.")
RESUMED = _metric("resumed_directories", "Directories taken over from the journal of a run that was stopped.")
TAKEN = _metric("taken_over_directories", "Directories taken over from the last complete listing.")
FILES = _metric("listed_files", "Files seen in this run, or the last one.")
BYTES = _metric("listed_bytes", "Size of the files seen in this run, or the last one.")
REQUESTS = _metric("requests_total", "Requests sent to the store in this run, or the last one.")
ANSWERS = _metric("answers_total", "What the store has answered in this run, refusals included.")
FAILURES = _metric("failures_total", "What failed in this run, each time that it was tried.", "reason")
QUEUED = _metric("queued_directories", "Directories that wait to be asked for.")
IN_FLIGHT = _metric("in_flight_directories", "Directories that listers have in hand.")
LISTERS = _metric("listers", "Listers that work for the run.")

DOOR_WINDOW = _metric("door_window_requests", "Requests that listers may have under way at a door.", "door")
DOOR_IN_FLIGHT = _metric("door_in_flight_requests", "Requests that are under way at a door.", "door")
DOOR_CONNECTIONS = _metric("door_connections", "Connections over which a door is asked.", "door")
DOOR_LATENCY = _metric("door_latency_seconds", "What an answer of a door takes to a lister, smoothed.", "door")
DOOR_REQUESTS = _metric("door_requests_total", "Requests to a door that had an outcome.", "door")
DOOR_FAILURES = _metric(
    "door_failures_total", "Requests that a door did not answer: silence, no connection, or nobody let in.", "door"
)

ENDED = _metric("last_run_end_timestamp_seconds", "When the last run ended.")
SUCCESS = _metric("last_run_success", "Whether the last run did all that it had to do.")
STATUS = _metric("last_run_status", "How the last run ended: 1 for the status that it has.", "status")
SECONDS = _metric("last_run_duration_seconds", "How long the last run took.")
GATE = _metric("last_run_gate_closed", "1 for each safety gate that closed in the last run.", "gate")
GOOD = _metric("last_good_run_timestamp_seconds", "When the last run with results ended.")
GOOD_DIRECTORIES = _metric("last_good_run_directories", "Directories that the last run with results listed.")
GOOD_FILES = _metric("last_good_run_files", "Files that the last run with results saw.")
GOOD_BYTES = _metric("last_good_run_bytes", "Size of the files that the last run with results saw.")
FINDINGS = _metric("findings", "What the last run with results found: files, or directories, of each kind.", "kind")
FINDING_BYTES = _metric("findings_bytes", "Size of the files that the last run with results found.", "kind")
CHECKSUMS = _metric(
    "checksums", "Files whose checksums the last run with results compared, or should have compared.", "result"
)

METRICS = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All of them."""

_GOOD = (RunStatus.DONE, RunStatus.INCOMPLETE)

_KINDS = ("missing", "orphan", "size_mismatch", "empty", "unlisted", "protected", "checksum_mismatch")
"""The counts of a run that are findings, or what could not be judged."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How the last run of a site ended; ``at`` in seconds since the epoch, None: nobody knows when.

    ``success`` says that nothing behind the comparison went wrong either; ``gates`` are the names of those that closed.
    """

    status: str
    at: float | None
    seconds: float | None = None
    success: bool = False
    gates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Past:
    """What the runs of a site up to now have left: how the ``last`` one ended, the last ``good`` one, which has
    results, and the last one that said what is missing, whose findings are ``found``.
    """

    last: Ended | None = None
    good: RunRow | None = None
    found: RunRow | None = None


def past(rows: Sequence[RunRow], found: RunRow | None, started: float, last: Ended | None = None) -> Past:
    """Sum up the runs of a site, newest first, for one that ``started`` then: in seconds since the epoch.

    ``found`` is the last one that said what is missing. ``last`` is how the run that started then ended, None: it goes
    on. A cleaning of the unmerged area is no run of the site.
    """
    rows = [row for row in rows if not row.cleaned and (last is not None or row.started != started)]
    good = next((row for row in rows if row.status in _GOOD), None) or found
    return Past(last or (ended(rows[0]) if rows else None), good, found or good)


def ended(row: RunRow) -> Ended:
    """Say how a run of the history ended; one that is still noted as running, and does not, has died."""
    status = RunStatus.DIED if row.status is RunStatus.RUNNING else row.status
    gates = tuple(dict.fromkeys(gate.gate for gate in row.signs.gates))
    return Ended(status, row.finished, row.counts.seconds or None, status in _GOOD, gates)


def measures(
    site: str, phase: str, progress: Progress, before: Past, started: float, now: float, running: bool = True
) -> list[Measure]:
    """Give all measures of a site at a moment, for a run that ``started`` then: in seconds since the epoch.

    A run that is over is in no phase, asks no door and has nothing in its queue: of it these measures are not there.
    """
    make = _Maker(site)
    now_and_then = [make(RUNNING, running), make(STARTED, started), make(UPDATED, now)]
    return [*now_and_then, *_of_progress(make, phase, progress, running), *_of_past(make, before)]


@dataclass(frozen=True, slots=True)
class _Maker:
    site: str

    def __call__(self, metric: Metric, value: float, label: str = "") -> Measure:
        return Measure(metric, (self.site, label) if metric.label else (self.site,), float(value))


def _of_progress(make: _Maker, phase: str, progress: Progress, running: bool) -> Iterator[Measure]:
    yield make(LISTED, progress.listed)
    yield make(FAILED, progress.failed)
    yield make(IGNORED, progress.ignored)
    yield make(RESUMED, progress.resumed)
    yield make(TAKEN, progress.taken)
    yield make(FILES, progress.files)
    yield make(BYTES, progress.size)
    yield make(REQUESTS, progress.requests)
    yield make(ANSWERS, progress.answers)
    for reason, count in progress.failed_by:
        yield make(FAILURES, count, reason.name.lower())
    if not running:
        return
    yield make(PHASE, 1, phase)
    yield make(QUEUED, progress.queued)
    yield make(IN_FLIGHT, progress.in_flight)
    yield make(LISTERS, progress.listers)
    for pace in progress.doors:
        yield make(DOOR_WINDOW, pace.window, pace.door)
        yield make(DOOR_IN_FLIGHT, pace.in_flight, pace.door)
        yield make(DOOR_CONNECTIONS, pace.connections, pace.door)
        yield make(DOOR_LATENCY, pace.latency, pace.door)
        yield make(DOOR_REQUESTS, pace.ended, pace.door)
        yield make(DOOR_FAILURES, pace.failed, pace.door)


def _of_past(make: _Maker, before: Past) -> Iterator[Measure]:
    if before.last is not None:
        yield from _of_last(make, before.last)
    good, found = before.good, before.found
    if good is not None:
        yield make(GOOD, good.started if good.finished is None else good.finished)
        yield make(GOOD_DIRECTORIES, good.counts.directories)
        yield make(GOOD_FILES, good.counts.files)
        yield make(GOOD_BYTES, good.counts.bytes)
    if found is not None:
        for kind in _KINDS:
            if kind not in found.unknown:
                yield make(FINDINGS, getattr(found.counts, kind), kind)
        if "checksums" not in found.unknown:
            yield make(CHECKSUMS, found.counts.checksums, "compared")
            yield make(CHECKSUMS, found.counts.checksums_unchecked, "unchecked")
        for kind in ("missing", "orphan"):
            if f"{kind}_bytes" not in found.unknown:
                yield make(FINDING_BYTES, getattr(found.counts, f"{kind}_bytes"), kind)


def _of_last(make: _Maker, last: Ended) -> Iterator[Measure]:
    yield make(STATUS, 1, last.status)
    yield make(SUCCESS, last.success)
    if last.at is not None:
        yield make(ENDED, last.at)
    if last.seconds is not None:
        yield make(SECONDS, last.seconds)
    for gate in last.gates:
        yield make(GATE, 1, gate)


def by_metric(found: Iterable[Measure]) -> dict[Metric, list[Measure]]:
    """Put the measures of each metric together, in the order in which they come."""
    together: dict[Metric, list[Measure]] = {}
    for measure in found:
        together.setdefault(measure.metric, []).append(measure)
    return together
