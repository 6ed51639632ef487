"""A site whose journal, lists and history take some hundred kilobytes, so that they do not fit everywhere."""

from __future__ import annotations

import sqlite3

from tests.faults.site import FaultySite

WIDE = 400
"""Directories of a site whose journal, reports and history take some hundred kilobytes."""


def fill(site: FaultySite) -> None:
    for number in range(WIDE):
        site.put(f"data/{number:03d}/a file with quite a long name, as they are on grid sites {number}.root")
        site.put(f"data/{number:03d}/another long name of a file that nobody knows {number}.root", known=False)
        site.know(f"data/{number:03d}/a long name of a file that has been lost {number}.root")
    site.put("data/new/later.root")
    site.prepare()


def count_findings(site: FaultySite) -> tuple[int, int]:
    """Count what the history has now, as somebody who reads it meanwhile would."""
    with sqlite3.connect(f"file:{site.home}/var/db/consistency.db?mode=ro", uri=True) as database:
        (missing,) = database.execute("SELECT count(*) FROM invalid").fetchone()
        (orphans,) = database.execute("SELECT count(*) FROM orphans").fetchone()
    database.close()
    return missing, orphans


def assert_whole_page(site: FaultySite) -> None:
    for page in (site.web / "index.html", *(site.web / "sites").glob("*.html")):
        assert page.read_text().rstrip().endswith("</html>"), page


def assert_next_is_fine(site: FaultySite) -> None:
    ended = site.check()
    assert ended.code == 0, ended.err
    site.assert_true()
    assert len(site.found("compare_missing")) == count_findings(site)[0] == len(site.known) - WIDE - 1
    assert len(site.found("compare_orphan")) == count_findings(site)[1] == WIDE
    assert_whole_page(site)
