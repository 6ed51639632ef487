"""Turns what is laid out into HTML. What is put into a page is escaped, and nothing may be left undefined."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.history import RunStatus
from storage.page import words
from storage.page.columns import COLUMNS
from storage.page.runs import Run
from storage.page.site_page import RUN_COLUMNS, SitePage
from storage.page.state import DAY
from storage.page.strip import Strip, strip
from storage.page.table import TableRow

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
"""What a page may load: its own files, and nothing that is written into it."""

HERE = Path(__file__).parent
"""Where templates and assets are."""

ASSETS = ("page.css", "theme.js", "sort.js", "index.js", "site.js", "live.js", "running.js", "icon.svg")


@dataclass(frozen=True, slots=True)
class Frame:
    """What every page has around it: ``notices`` for its readers, the file name of the configuration's copy or ``""``.

    ``now`` is when the pages are made, in seconds since the epoch.
    """

    now: float
    notices: tuple[str, ...] = ()
    configuration: str = ""


@dataclass(frozen=True, slots=True)
class Chip:
    """A state that the table can be narrowed to, and how many sites are in it."""

    key: str
    label: str
    meaning: str
    count: int


@cache
def version() -> str:
    """Give a digest of templates and assets: pages and what they load change together."""
    digest = hashlib.sha256()
    for path in sorted([*HERE.glob("*.html"), *(HERE / name for name in ASSETS), *HERE.glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@cache
def _environment() -> Environment:
    # Imported here because a command that makes no page need not wait for it.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters["cells"] = _cells
    return environment


def _cells(texts: Sequence[str]) -> Markup:
    """Join the texts of cells, all escaped at once: a hundred thousand rows are two million cells."""
    from markupsafe import Markup, escape

    # A tab is in no number, and is escaped to itself.
    return Markup(escape("\t".join(texts)).replace("\t", Markup("</td><td>")))


def _render(template: str, frame: Frame, here: str, up: str, **values: Any) -> str:
    common = {
        "policy": POLICY,
        "version": version(),
        "here": here,
        "up": up,
        "notices": frame.notices,
        "configuration": words.address(frame.configuration) if frame.configuration else "",
    }
    return _environment().get_template(template).render(**common, **values)


def index_page(rows: Sequence[TableRow], frame: Frame) -> str:
    """Render the main table."""
    acting = sum(row.acting for row in rows)
    return _render(
        "index.html",
        frame,
        "index",
        "",
        built=frame.now,
        built_words=words.utc(frame.now),
        columns=COLUMNS,
        rows=rows,
        running=[row for row in rows if row.status == "running"],
        chips=chips(rows, frame.now),
        counts={"act": acting, "dry": len(rows) - acting, "all": len(rows)},
    )


def chips(rows: Sequence[TableRow], now: float) -> tuple[Chip, ...]:
    """Count the sites in each state that the table can be narrowed to."""
    tags = [tags_of(row, now) for row in rows]

    def chip(key: str, label: str, meaning: str) -> Chip:
        return Chip(key, label, meaning, sum(key in tag for tag in tags))

    return (
        chip("look", "need a look", "A red cell, a run of more than 24 hours, or a last run that failed or died"),
        chip("running", "running", "Being checked now"),
        chip("queued", "queued", "Picked, and about to be checked"),
        chip("fresh", "fresh", "Updated within 24 hours"),
        chip("stale", "not updated", "Ready to be checked, and not updated within 24 hours"),
        chip("off", "off", "Halted, disabled or not ready"),
    )


def tags_of(row: TableRow, now: float) -> frozenset[str]:
    """Say in which states a site is; the page's script does the same as time goes on."""
    updated = row.cells[0].value
    fresh = isinstance(updated, float) and now - updated <= DAY
    off = row.off
    tags = {
        "look": bool(row.concerns),
        "running": row.status == "running",
        "queued": row.status == "locked",
        "fresh": fresh,
        "stale": not fresh and not off,
        "off": off,
    }
    return frozenset(key for key, true in tags.items() if true)


def columns_page(frame: Frame) -> str:
    """Render the page that explains the columns."""
    return _render("columns.html", frame, "columns", "", columns=COLUMNS, examples=_examples())


def _examples() -> tuple[Strip, ...]:
    """Draw one strip of each kind."""

    def run(status: RunStatus, missing: int = 0) -> Run:
        return Run(None, 0.0, None, status, missing=missing)

    return tuple(
        strip(runs)
        for runs in (
            [run(RunStatus.DONE, 10**power) for power in range(6, 0, -1)] + [run(RunStatus.DONE)],
            [run(RunStatus.INCOMPLETE, 10**power) for power in range(3, 0, -1)],
            [run(RunStatus.FAILED), run(RunStatus.DONE)],
            [run(RunStatus.HALTED), run(RunStatus.DONE)],
            [run(RunStatus.RUNNING), run(RunStatus.DONE)],
        )
    )


def site_html(page: SitePage, frame: Frame, digest: str) -> str:
    """Render the page of a site; ``digest`` is kept in it and says what it was made from."""
    return _render(
        "site.html", frame, "site", "../", page=page, digest=digest, run_columns=RUN_COLUMNS, tiles=_tiles(page)
    )


def _tiles(page: SitePage) -> tuple[tuple[str, str, str], ...]:
    """Give what is most wanted of the last results: label, number, and a note."""
    latest = page.latest
    if latest is None:
        return (("Last update", "never", ""),)
    return (
        ("Last update", f"{words.utc(latest.ended)} UTC", ""),
        ("Missing", words.number(latest.missing), f"{words.terabytes(latest.missing_bytes)} TB"),
        ("Orphans", words.number(latest.orphan), f"{words.terabytes(latest.orphan_bytes)} TB"),
        ("Files", words.number(latest.files), f"in {words.number(latest.nodes)} directories"),
        ("Unlisted", words.number(latest.unlisted), _errors(latest.unlisted_bad)),
        ("Acting stops above", f"{page.limits.max_missing:,} missing", f"or {page.limits.max_orphan:,} orphans"),
    )


def _errors(count: int | None) -> str:
    return "" if count is None else f"{count:,} because of an error"
