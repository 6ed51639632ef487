"""The runs of a site as the page shows them: what the history and the summary know of each, in one row."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter

from engine.gates import Refusal
from storage.history import RunCounts, RunRow, RunStatus
from storage.sites.summary import StatsRow

_ROUNDING = 1.0
"""Seconds by which a row of the summary may seem older than the run that wrote it: other programs keep whole ones."""

_COUNTED = (RunStatus.DONE, RunStatus.INCOMPLETE)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a site; None where nobody noted it.

    ``number`` is that of the history, ``started`` and ``ended`` are seconds since the epoch, ``seconds`` the duration.
    Only of a run that ``counted`` do the numbers mean anything. One that ``cleaned`` looked through the unmerged area,
    and says nothing about the rest of the site. ``gates`` are those that closed, ``reasons`` why files were not judged,
    in words, and how many.
    """

    number: int | None
    started: float
    ended: float | None
    status: RunStatus
    message: str = ""
    seconds: float | None = None
    files: int | None = None
    nodes: int | None = None
    unlisted: int | None = None
    unlisted_bad: int | None = None
    empty: int | None = None
    missing: int | None = None
    missing_bytes: int | None = None
    no_source: int | None = None
    unrecoverable: int | None = None
    orphan: int | None = None
    orphan_bytes: int | None = None
    size_mismatch: int | None = None
    checksum_mismatch: int | None = None
    protected: int | None = None
    unmerged: int | None = None
    unmerged_logs: int | None = None
    cleaned: bool = False
    gates: tuple[Refusal, ...] = ()
    reasons: tuple[tuple[str, int], ...] = ()

    @property
    def counted(self) -> bool:
        """Whether the run came to results about the site."""
        return self.status in _COUNTED and not self.cleaned

    @classmethod
    def unknown(cls) -> Run:
        """Stand for the run of a site that has had none."""
        return cls(None, 0.0, None, RunStatus.DONE)


run_values = attrgetter(*(column.name for column in fields(Run)))
"""Gives the values of a run as a tuple."""


def of_stats(row: StatsRow, run: RunRow | None = None, cleaned: bool = True) -> Run:
    """Show a row of the summary, and what the history has beyond it.

    The summary has a 0 for what a run did not look for; the history can tell, and whether it ``cleaned`` as well.
    """
    unknown = run.unknown if run else frozenset({"size_mismatch", "checksum_mismatch", "protected"})
    if not (cleaned or row.unmerged):
        unknown |= {"unmerged"}
    counts = run.counts if run else RunCounts()

    def known(name: str, value: int) -> int | None:
        return None if name in unknown else value

    return Run(
        number=run.id if run else None,
        started=run.started if run else row.entered - row.seconds,
        ended=row.entered,
        status=run.status if run else RunStatus.DONE,
        message=run.message if run else "",
        seconds=row.seconds,
        files=row.files,
        nodes=row.nodes,
        unlisted=row.unlisted,
        unlisted_bad=row.unlisted_bad,
        empty=known("empty", row.empty),
        missing=known("missing", row.missing),
        missing_bytes=known("missing", row.missing_bytes),
        no_source=known("missing", row.no_source),
        unrecoverable=known("missing", row.unrecoverable),
        orphan=known("orphan", row.orphan),
        orphan_bytes=known("orphan", row.orphan_bytes),
        size_mismatch=known("size_mismatch", counts.size_mismatch),
        checksum_mismatch=known("checksum_mismatch", counts.checksum_mismatch),
        protected=known("protected", counts.protected),
        unmerged=known("unmerged", row.unmerged),
        unmerged_logs=known("unmerged", row.unmerged_logs),
        gates=run.signs.gates if run else (),
        reasons=run.signs.reasons if run else (),
    )


def of_run(run: RunRow) -> Run:
    """Show a run that the summary has no row of; one without results about the site has no numbers either."""
    if not _counted(run):
        seconds = None if run.finished is None else run.finished - run.started
        return Run(
            *(run.id, run.started, run.finished, run.status, run.message, seconds),
            cleaned=run.cleaned,
            gates=run.signs.gates,
        )
    counts, unknown = run.counts, run.unknown

    def known(name: str, value: int) -> int | None:
        return None if name in unknown else value

    return Run(
        number=run.id,
        started=run.started,
        ended=run.finished,
        status=run.status,
        message=run.message,
        seconds=counts.seconds,
        files=counts.files,
        nodes=counts.directories,
        unlisted=counts.unlisted,
        empty=known("empty", counts.empty),
        missing=known("missing", counts.missing),
        missing_bytes=known("missing", counts.missing_bytes),
        orphan=known("orphan", counts.orphan),
        orphan_bytes=known("orphan", counts.orphan_bytes),
        size_mismatch=known("size_mismatch", counts.size_mismatch),
        checksum_mismatch=known("checksum_mismatch", counts.checksum_mismatch),
        protected=known("protected", counts.protected),
        gates=run.signs.gates,
        reasons=run.signs.reasons,
    )


def _counted(run: RunRow) -> bool:
    return run.status in _COUNTED and not run.cleaned


def merge(runs: Sequence[RunRow], stats: Sequence[StatsRow]) -> list[Run]:
    """Put the runs of the history and the rows of the summary together, newest first.

    A row of the summary belongs to the last run with results that had begun when it was entered. Rows without a run,
    as those from before the history was kept, and runs without a row stand by themselves.
    """
    counted = sorted((run for run in runs if _counted(run)), key=lambda run: run.started)
    starts = [run.started for run in counted]
    rows: dict[int, StatsRow] = {}
    merged: list[Run] = []
    # The newest go first: a row that could be of two runs, since it came within their second, is left to the older one.
    for row in sorted(stats, key=lambda row: row.entered, reverse=True):
        index = bisect_right(starts, row.entered + _ROUNDING) - 1
        if index > 0 and counted[index].id in rows and starts[index] > row.entered:
            index -= 1
        if index >= 0 and counted[index].id not in rows:
            rows[counted[index].id] = row
        else:
            merged.append(of_stats(row))
    cleanings = sorted(run.started for run in runs if run.cleaned)

    def cleaned(run: RunRow) -> bool:
        """Tell whether a cleaning began between the beginning of a run and its row."""
        return bisect_right(cleanings, rows[run.id].entered + _ROUNDING) > bisect_right(cleanings, run.started)

    merged += [of_stats(rows[run.id], run, cleaned(run)) if run.id in rows else of_run(run) for run in runs]
    return sorted(merged, key=lambda run: (run.started, run.number or 0), reverse=True)
