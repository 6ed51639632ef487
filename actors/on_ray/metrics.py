"""Shows the measures of a run in Ray's own metrics: each node gives those of its programs out on its metrics port.

Ray puts ``ray_`` before the names, and labels of its own behind ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ray.util.metrics import Gauge

from storage.shown import printable

if TYPE_CHECKING:
    from actors.oversight import Progress
    from actors.shown.measures import Measure
    from actors.shown.metrics import RunMeasures


class RayGauges:
    """Follows a run in gauges of Ray.

    Ray forgets a gauge that is not set anew within two of its reports, 20 s as it comes; so nothing stays of a door
    that is gone, or of a run some time after its end. A counter of Ray's would stay as long as the node, one for each
    run; so what only grows is a gauge as well.
    """

    def __init__(self, source: RunMeasures) -> None:
        self._source = source
        self._gauges: dict[str, Gauge] = {}

    def follow(self, phase: str, progress: Progress) -> None:
        """Set how it is now."""
        self._set(self._source.during(phase, progress))

    def leave(self) -> None:
        """Set what stays; Ray reports it when this process leaves."""
        self._set(self._source.over())

    def _set(self, found: Iterable[Measure]) -> None:
        for measure in found:
            metric = measure.metric
            if metric.name not in self._gauges:
                self._gauges[metric.name] = Gauge(metric.name, metric.help, metric.labels)
            tags = dict(zip(metric.labels, map(printable, measure.values), strict=True))
            self._gauges[metric.name].set(measure.value, tags)
