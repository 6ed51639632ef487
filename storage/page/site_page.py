"""The page of one site: its state, its runs as table and charts, what changed, what is unlisted and why, its lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine import paths
from engine.actions import ActionLimits
from engine.columns import UNKNOWN_SIZE
from engine.site_states import SiteStatus
from storage.history import FileRow
from storage.history.changes import Changed
from storage.page import files, words
from storage.page.charts import Chart, charts
from storage.page.facts import NAMES, RUNS, SiteFacts
from storage.page.live import live_name
from storage.page.runs import Run
from storage.page.state import Tone, concerns, reporting_words, state_of
from storage.page.strip import Strip, strip

_UP = "../"
"""From the page of a site to the web directory."""

RUN_COLUMNS: tuple[tuple[str, str], ...] = (
    ("started", "Started (UTC)"),
    ("status", "Status"),
    ("time", "Time [min]"),
    ("files", "Files"),
    ("nodes", "Nodes"),
    ("unlisted", "Unlisted (error)"),
    ("empty", "Empty"),
    ("missing", "Missing"),
    ("nosource", "No disk (no tape)"),
    ("missing_size", "Size [TB]"),
    ("orphan", "Orphan"),
    ("orphan_size", "Size [TB]"),
    ("mismatch", "Other size"),
    ("protected", "Not judged"),
    ("unmerged", "Unmerged (logs)"),
    ("checksum", "Other checksum"),
)
"""The columns of the table of runs: key and heading. The first two hold text, the others numbers."""


@dataclass(frozen=True, slots=True)
class RunLine:
    """One run: its start, how it ended and what stopped it, and its numbers in the order of `RUN_COLUMNS`."""

    counted: bool
    started: str
    status: str
    message: str
    numbers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Names:
    """Some names of a list, escaped, with their sizes, and how many there are in all."""

    count: int
    names: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What is new and what is gone of one kind of finding; ``known`` is false when there was no run before.

    ``unseen`` are neither there nor gone, since the last run did not look where they were, or could not.
    """

    title: str
    known: bool
    new: Names
    gone: Names
    href: str
    unseen: int


@dataclass(frozen=True, slots=True)
class SiteList:
    """A list in the web directory: what it holds, where it is, and its first lines."""

    what: str
    name: str
    href: str
    exact: str
    size: str
    lines: tuple[str, ...]
    whole: bool


@dataclass(frozen=True, slots=True)
class SitePage:
    """All that the page of a site shows. ``live`` is the name of the file that its run writes as long as it goes on,
    ``href`` leads to the page itself. ``other_settings`` are keys by which the last run looked elsewhere than before.
    """

    site: str
    href: str
    live: str
    running: bool
    state: str
    tone: Tone
    reporting: str
    running_since: float | None
    latest: Run | None
    limits: ActionLimits
    concerns: tuple[str, ...]
    strip: Strip
    charts: tuple[Chart, ...]
    runs: tuple[RunLine, ...]
    more_runs: bool
    changes: tuple[Change, ...]
    other_settings: tuple[str, ...]
    unlisted: tuple[tuple[str, str, int, tuple[tuple[str, str], ...]], ...]
    reasons: tuple[tuple[str, int], ...]
    lists: tuple[SiteList, ...]


def site_page(facts: SiteFacts, limits: ActionLimits, web_dir: Path, now: float) -> SitePage:
    """Lay out the page of a site; the first lines of its lists are read from ``web_dir``."""
    state = state_of(facts.row, facts.latest, now, facts.heartbeat)
    lists = facts.lists
    return SitePage(
        site=words.shown(facts.row.site),
        href=words.address(words.page_name(facts.row.site)),
        live=live_name(facts.row.site),
        running=facts.row.status == SiteStatus.RUNNING,
        state=state.words,
        tone=state.tone,
        reporting=reporting_words(facts.row),
        running_since=state.running_since,
        latest=facts.latest,
        limits=limits,
        concerns=concerns(state, facts.runs, facts.latest, limits),
        strip=strip(facts.runs),
        charts=charts(facts.runs, limits.max_missing, limits.max_orphan),
        runs=tuple(run_line(run) for run in facts.runs),
        more_runs=len(facts.runs) >= RUNS,
        changes=(
            _change("Missing files", facts.changes.missing, _href(lists, "missing")),
            _change("Orphans", facts.changes.orphans, _href(lists, "orphan")),
        ),
        other_settings=facts.changes.settings,
        unlisted=tuple(
            (group.reason.name.lower(), group.reason.label, group.count, group.examples) for group in facts.unlisted
        ),
        reasons=tuple(sorted(facts.latest.reasons, key=lambda pair: -pair[1])) if facts.latest else (),
        lists=tuple(_site_list(found, web_dir) for found in lists.values()),
    )


def run_line(run: Run) -> RunLine:
    """Lay out a run of the table."""
    number = words.number
    numbers = (
        words.minutes(run.seconds),
        number(run.files),
        number(run.nodes),
        _with_bracket(run.unlisted, run.unlisted_bad),
        number(run.empty),
        number(run.missing),
        _with_bracket(run.no_source, run.unrecoverable),
        words.terabytes(run.missing_bytes),
        number(run.orphan),
        words.terabytes(run.orphan_bytes),
        number(run.size_mismatch),
        number(run.protected),
        _with_bracket(run.unmerged, run.unmerged_logs),
        number(run.checksum_mismatch),
    )
    return RunLine(run.counted, words.utc(run.started), run.status.value, words.shown(run.message), numbers)


def _with_bracket(value: int | None, inner: int | None) -> str:
    return words.number(value) if inner is None else f"{words.number(value)} ({words.number(inner)})"


def _href(lists: Mapping[str, files.ListFile], key: str) -> str:
    found = lists.get(key)
    return _UP + words.address(found.name) if found else ""


def _change(title: str, changed: Changed, href: str) -> Change:
    return Change(
        title,
        bool(changed.before),
        Names(changed.new, _shown(changed.new_files)),
        Names(changed.gone, _shown(changed.gone_files)),
        href,
        changed.unseen,
    )


def _shown(rows: Sequence[FileRow]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (paths.escape(path), "" if size == UNKNOWN_SIZE else words.file_size(size)) for path, size, _ in rows[:NAMES]
    )


def _site_list(found: files.ListFile, web_dir: Path) -> SiteList:
    head = files.head_of(web_dir / found.name, NAMES) if found.name.endswith(".txt") else files.Head()
    return SiteList(
        what=found.kind.what,
        name=found.name,
        href=_UP + words.address(found.name),
        exact=_UP + words.address(found.exact) if found.exact else "",
        size=words.file_size(found.size),
        lines=head.lines,
        whole=head.whole,
    )
