"""Shows the measures of a run to those who collect such: in a file for Prometheus, and on Ray in Ray's metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from actors.oversight import Killed, Progress, Refused
from actors.shown.measures import Ended, Measure, Past, by_metric, ended, measures, past
from storage.atomic import AtomicFile, naming
from storage.history import HistoryDatabase, HistoryError, RunStatus, Table
from storage.runs.directory import directory_name
from storage.shown import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOOK_BACK = 100
"""So many runs are looked through for one with results."""

_STARTING = "starting"


class RunMeasures:
    """What there is to say of a run of a site, at any moment of it; all who show it ask the same one.

    ``history`` is the database with the runs before it, ``started`` when it began, and ``clock`` gives the time, both
    in seconds since the epoch. Call ``ended`` when the run is over, before those who follow it are told.
    """

    def __init__(self, site: str, history: Path, started: float, clock: Callable[[], float] = time.time) -> None:
        self.site = site
        self._history = history
        self._started = started
        self._clock = clock
        self._past: Past | None = None
        self._end: tuple[Exception | None] | None = None
        self._last: tuple[str, Progress] = (_STARTING, Progress())

    def ended(self, failure: Exception | None) -> None:
        """Take note that the run is over, and what went wrong in it, also behind its results; None: nothing."""
        self._end = (failure,)

    def during(self, phase: str, progress: Progress) -> list[Measure]:
        """Give all measures of now."""
        self._last = (phase, progress)
        if self._past is None:
            self._past = self._read(None)
        return measures(self.site, phase, progress, self._past, self._started, self._clock())

    def over(self) -> list[Measure]:
        """Give all measures that stay when the run is over."""
        # One that nobody says anything of was told to stop, and stopped at once.
        before = self._read(self._end or (Killed("stopped at once"),))
        return measures(self.site, *self._last, before, self._started, self._clock(), running=False)

    def _read(self, end: tuple[Exception | None] | None) -> Past:
        """Read the runs of the site; a history that cannot be read is the run's trouble, which will say so."""
        with suppress(HistoryError):
            if self._history.exists():
                with HistoryDatabase(self._history) as history:
                    rows = history.runs(self.site, _LOOK_BACK)
                    found = history.last_run_with(self.site, Table.MISSING)
                ours = next((ended(row) for row in rows if row.started == self._started), None)
                if end is None:
                    return past(rows, found, self._started)
                # One that goes on behind a run that died has no entry of its own.
                ours = ours or (ended(rows[0]) if rows and end == (None,) else None)
                return past(rows, found, self._started, self._judged(ours, *end))
        return Past() if end is None else Past(self._judged(None, *end))

    def _judged(self, entry: Ended | None, failure: Exception | None) -> Ended:
        """Say how this run ended: as its entry in the history has it, if there is one, and as its process knows."""
        if entry is None:
            status = RunStatus.HALTED if isinstance(failure, Killed) else RunStatus.FAILED
            gates = (failure.refusal.gate,) if isinstance(failure, Refused) else ()
            now = self._clock()
            return Ended(status, now, now - self._started, False, gates)
        return Ended(entry.status, entry.at, entry.seconds, entry.success and failure is None, entry.gates)


class MetricsFile:
    """Follows a run in a file in Prometheus' text format, for the textfile collector of its node exporter.

    It is named ``SITE.prom``, with the name of the site as in its lists, and written anew each time, whole or not at
    all: what is no more is no more in it.
    """

    def __init__(self, source: RunMeasures, directory: Path) -> None:
        self._source = source
        self.path = directory / f"{directory_name(source.site)}.prom"

    def follow(self, phase: str, progress: Progress) -> None:
        """Write how it is now."""
        self._write(self._source.during(phase, progress))

    def leave(self) -> None:
        """Write what stays."""
        self._write(self._source.over())

    def _write(self, found: Sequence[Measure]) -> None:
        content = text(found)
        with naming(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        AtomicFile.clear_up(self.path)
        with AtomicFile(self.path) as file:
            file.write(content)


def text(found: Sequence[Measure]) -> str:
    """Give measures in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    families: list[CounterMetricFamily | GaugeMetricFamily] = []
    for metric, measured in by_metric(found).items():
        kind = CounterMetricFamily if metric.is_counter else GaugeMetricFamily
        family = kind(metric.name, metric.help, labels=metric.labels)
        for measure in measured:
            family.add_metric([printable(value) for value in measure.values], measure.value)
        families.append(family)

    class Collected:
        def collect(self) -> Sequence[CounterMetricFamily | GaugeMetricFamily]:
            return families

    registry = CollectorRegistry()
    registry.register(Collected())
    return generate_latest(registry).decode()
