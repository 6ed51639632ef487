"""The main table: what stands in each cell of each site.

A cell holds parts, each perhaps a link, a value to sort by, a colour, and words that say what the colour says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.actions import ActionLimits
from engine.site_states import Reporting
from storage.history.changes import Changed
from storage.page import words
from storage.page.facts import SiteFacts
from storage.page.live import live_name
from storage.page.runs import Run
from storage.page.state import Tone, concerns, is_empty, is_fresh, reporting_words, state_of
from storage.page.strip import LENGTH, Strip, strip

SITES = "sites"
"""The directory of the pages of sites, inside the web directory."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a cell: its text, where it leads, and what a reader who cannot see the table is told of it."""

    text: str
    href: str = ""
    about: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell. ``value`` is what it sorts by, None last of all; ``note`` says in words what ``tone`` says."""

    key: str
    value: float | str | None = None
    parts: tuple[Part, ...] = ()
    tone: Tone = Tone.NONE
    note: str = ""
    below: tuple[Part, ...] = ()
    """A second, smaller line."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One site, by its name as it is shown. ``running_since`` is in seconds since the epoch, or None.

    ``strip`` goes into the column ``runs``; ``live`` is the name of the file that its run writes as long as it goes on.
    """

    site: str
    acting: bool
    status: str
    running_since: float | None
    concerns: tuple[str, ...]
    cells: tuple[Cell, ...]
    strip: Strip
    page: str
    live: str
    off: bool
    """Halted, disabled or not ready."""


def table_row(facts: SiteFacts, limits: ActionLimits, now: float) -> TableRow:
    """Lay out the row of a site; ``now`` in seconds since the epoch."""
    site, latest = words.shown(facts.row.site), facts.latest
    state = state_of(facts.row, latest, now, facts.heartbeat)
    page = words.address(SITES, words.page_name(facts.row.site))
    fresh = is_fresh(latest, now)
    acting = facts.row.reporting == Reporting.ACT
    updated = latest.ended if latest else None
    cells = (
        Cell(
            "updated",
            updated,
            (Part(words.utc(updated) if updated is not None else "never", page, f"history of {site}"),),
            Tone.GREEN if fresh else Tone.NONE,
            "within 24 h" if fresh else "",
        ),
        Cell(
            "site",
            site.lower(),
            (Part(site, _list(facts, "log") or page),),
            state.tone,
            below=(Part(state.words), Part(reporting_words(facts.row))),
        ),
        Cell("runs", _urgency(facts.runs)),
        *_counts(facts, limits),
    )
    return TableRow(
        site=site,
        acting=acting,
        status=facts.row.status.name.lower(),
        running_since=state.running_since,
        concerns=concerns(state, facts.runs, latest, limits),
        cells=cells,
        strip=strip(facts.runs),
        page=page,
        live=live_name(facts.row.site),
        off=state.tone == Tone.GRAY,
    )


def _urgency(runs: Sequence[Run]) -> int | None:
    """Sort the strips by how many of the last ten runs came to results."""
    last = [run for run in runs if not run.cleaned][:LENGTH]
    return sum(run.counted for run in last) if last else None


def _counts(facts: SiteFacts, limits: ActionLimits) -> tuple[Cell, ...]:
    latest = facts.latest or Run.unknown()
    missing, orphan = latest.missing, latest.orphan
    many_missing = missing is not None and missing > limits.max_missing
    many_orphans = orphan is not None and orphan > limits.max_orphan
    nothing = is_empty(latest)
    return (
        Cell("time", latest.seconds, (Part(words.minutes(latest.seconds)),)),
        _count(facts, "files", latest.files, "storage", Tone.RED if nothing else Tone.NONE, "none" if nothing else ""),
        _count(facts, "nodes", latest.nodes),
        Cell(
            "unlisted",
            latest.unlisted,
            (
                _linked(facts, latest.unlisted, "unlisted", "unlisted directories"),
                *_bracket(latest.unlisted_bad),
            ),
            Tone.RED if latest.unlisted_bad else Tone.NONE,
            "errors" if latest.unlisted_bad else "",
        ),
        _count(facts, "empty", latest.empty, "empty"),
        Cell(
            "missing",
            missing,
            (_linked(facts, missing, "missing", "missing files"),),
            Tone.RED if many_missing else Tone.NONE,
            f"over {limits.max_missing:,}" if many_missing else "",
            (*_change(facts.changes.missing), *_blocks(facts)),
        ),
        Cell(
            "nosource",
            latest.no_source,
            (
                _linked(facts, latest.no_source, "nosite", "not on another disk"),
                *_bracket(latest.unrecoverable, _list(facts, "unrecoverable"), "not on tape either"),
            ),
        ),
        Cell("missing_size", latest.missing_bytes, (Part(words.terabytes(latest.missing_bytes)),)),
        Cell(
            "orphan",
            orphan,
            (_linked(facts, orphan, "orphan", "orphans"),),
            Tone.RED if many_orphans else Tone.NONE,
            f"over {limits.max_orphan:,}" if many_orphans else "",
            _change(facts.changes.orphans),
        ),
        Cell("orphan_size", latest.orphan_bytes, (Part(words.terabytes(latest.orphan_bytes)),)),
        Cell(
            "unmerged",
            latest.unmerged,
            (
                _linked(facts, latest.unmerged, "unmerged", "unmerged files"),
                *_bracket(latest.unmerged_logs),
            ),
        ),
    )


def _count(facts: SiteFacts, key: str, value: int | None, of: str = "", tone: Tone = Tone.NONE, note: str = "") -> Cell:
    return Cell(key, value, (_linked(facts, value, of),), tone, note)


def _linked(facts: SiteFacts, value: int | None, of: str, about: str = "") -> Part:
    """Lead from a number to its list. That of an earlier run may be there where the last one did not look."""
    href = _list(facts, of) if of else ""
    is_older = bool(href) and value is None and facts.latest is not None
    return Part("list" if is_older else words.number(value), href, about)


def _list(facts: SiteFacts, key: str) -> str:
    """Give the address of a list, nothing when it is not there."""
    found = facts.lists.get(key)
    return words.address(found.name) if found else ""


def _bracket(value: int | None, href: str = "", about: str = "") -> tuple[Part, ...]:
    if value is None:
        return ()
    return (Part(" ("), Part(words.number(value), href, about), Part(")"))


def _blocks(facts: SiteFacts) -> tuple[Part, ...]:
    href = _list(facts, "datasets")
    return (Part("blocks", href, "missing files by block"),) if href else ()


def _change(changed: Changed) -> tuple[Part, ...]:
    if not (changed.new or changed.gone or changed.unseen):
        return ()
    text = f"+{changed.new:,} −{changed.gone:,}"  # noqa: RUF001
    about = f"{changed.new:,} new and {changed.gone:,} gone since the run before"
    if changed.unseen:
        text += f" ?{changed.unseen:,}"
        about += f"; {changed.unseen:,} not seen, since the last run did not look there, or could not"
    return (Part(text, about=about),)
