"""Builds the page: the table of sites, a page for each site, and what explains them, from the two databases.

Each file is replaced in one step, so that whoever reads the page sees an old or a new one and nothing between.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from engine.site_states import BUSY
from storage.atomic import naming, sync_directory
from storage.page import render, words
from storage.page.facts import SiteFacts, gather
from storage.page.files import present
from storage.page.install import COLUMNS, INDEX, head_of, install_fixed, is_own, write_page
from storage.page.limits import PageLimits
from storage.page.live import clear_live
from storage.page.site_page import site_page
from storage.page.state import state_of
from storage.page.table import SITES, table_row

_LOCK = ".page.lock"
_WRITERS = 4

_CONFIGURATION = "consistency_config"
"""How the name of the configuration's copy begins."""


@dataclass(frozen=True, slots=True)
class Built:
    """What a build did: how many sites there are, how many files it wrote, and what it could not read."""

    sites: int
    written: int
    notices: tuple[str, ...]


def build_page(
    web_dir: Path, history: Path | None, limits: PageLimits, now: float, own: Mapping[str, Path] | None = None
) -> Built:
    """Build the page in a web directory from its summary and from the history, as far as they are there.

    The page of a site is written anew only when something in it changed. One build works at a time: a second one waits,
    and then reads what the databases hold by then, so that no page ever goes back in time.

    Args:
        web_dir: where the summary, the lists and the page are; it is made when it is not there.
        history: the history database, None when there is none.
        limits: above which numbers are red.
        now: in seconds since the epoch.
        own: the histories of the sites that have another one than the others.

    Raises:
        ReportError: a file cannot be written.
        SummaryError: the summary is there and cannot be read; the page stays as it was.
    """
    with _one_at_a_time(web_dir):
        install_fixed(web_dir)
        facts = gather(web_dir, history, own)
        frame = render.Frame(now, facts.notices, _configuration(web_dir))
        written = _write_sites(web_dir, facts.sites, limits, frame)
        rows = [table_row(site, limits.of(site.row.site), now) for site in facts.sites]
        written += write_page(web_dir / COLUMNS, render.columns_page(frame))
        # The last one, so that it leads to pages that are there.
        written += write_page(web_dir / INDEX, render.index_page(rows, frame))
        _remove_others(web_dir, {words.page_name(site.row.site) for site in facts.sites})
        clear_live(web_dir, {site.row.site for site in facts.sites if site.row.status in BUSY}, now)
        for directory in (web_dir / SITES, web_dir):
            sync_directory(directory)
    return Built(len(facts.sites), written, facts.notices)


def _write_sites(web_dir: Path, sites: Sequence[SiteFacts], limits: PageLimits, frame: render.Frame) -> int:
    """Write the pages that are not up to date; gives how many. The disk works on some while the next is rendered."""
    with ThreadPoolExecutor(_WRITERS) as pool:
        writes: list[Future[bool]] = []
        for facts in sites:
            path, own = web_dir / SITES / words.page_name(facts.row.site), limits.of(facts.row.site)
            state = state_of(facts.row, facts.latest, frame.now, facts.heartbeat)
            made_from = (render.version(), facts.fingerprint(), own, state, frame.notices, frame.configuration)
            digest = hashlib.sha256(repr(made_from).encode()).hexdigest()[:32]
            if f'<meta name="state" content="{digest}">' not in head_of(path):
                html = render.site_html(site_page(facts, own, web_dir, frame.now), frame, digest)
                writes.append(pool.submit(write_page, path, html))
        return sum(write.result() for write in writes)


def _configuration(web_dir: Path) -> str:
    return next((name for name in sorted(present(web_dir)) if name.startswith(f"{_CONFIGURATION}.")), "")


def _remove_others(web_dir: Path, wanted: set[str]) -> None:
    """Remove the pages of sites that are not known any more; a page that is somebody else's stays."""
    for path in (web_dir / SITES).glob("*.html"):
        if path.name not in wanted and is_own(path):
            with suppress(FileNotFoundError), naming(path):
                path.unlink()


@contextmanager
def _one_at_a_time(web_dir: Path) -> Iterator[None]:
    path = web_dir / _LOCK
    with naming(web_dir):
        web_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        # Where locks do not work, a page may for a moment be older than the databases.
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
