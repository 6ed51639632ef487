"""The reason why a directory has no complete listing, from what a store says to all that tells of a run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from actors.check_job import RunRequest
from actors.oversight import Oversight
from actors.runtime import Runtime
from actors.site_run import SiteResults, SiteRun, run_site
from cli.check_command import summary
from engine.states import Reason, State
from storage.backends import choose
from storage.doors.source import site_source
from storage.listers.memory import Fault, MemoryStore, publish
from storage.snapshot import Snapshot
from tests.actors.small_site import SITE, Site

OLD = 1_700_000_000

OWN = {
    # By the configuration, not by the store.
    Reason.IGNORED: b"/store/data/left-out",
    Reason.DEPTH: b"/store/data/deep/1/2/3",
}

JUDGED = (Reason.NONE, Reason.OTHERS)
"""Those of a directory that was listed."""

REASONS = [reason for reason in Reason if reason not in JUDGED]


def directory_of(reason: Reason) -> bytes:
    return OWN.get(reason, b"/store/data/" + reason.name.lower().encode())


class _Site(Site):
    """A site in memory: for each reason a directory that cannot be listed for it, with a file that is there."""

    def __init__(self, home: Path) -> None:
        self.store = MemoryStore()
        for reason in REASONS:
            path = directory_of(reason)
            self.store.add_file(path + b"/there", 10, OLD)
            if reason not in OWN:
                self.store.misbehave(path, Fault.failing(reason, f"detail of {reason.name}"))
        self.store.add_file(b"/store/data/kept", 10, OLD)
        self.door = publish(f"reasons-{home.name}", self.store)
        super().__init__(
            home,
            {
                "RootPath": "/store",
                "DirectoryList": ["data"],
                "IgnoreDirectories": ["left-out"],
                "MaxDepth": 3,
                "Retries": 0,
                "MaxUnlisted": 1.0,
            },
        )
        lfns = [f"{directory_of(reason).decode()}/{name}" for reason in REASONS for name in ("there", "lost")]
        rows = [f"{lfn},10,{OLD}" for lfn in ("/store/data/kept", *lfns)]
        (home / "inventory.csv").write_text("\n".join(["lfn,size,mtime", *rows]) + "\n")


@pytest.fixture
def done(tmp_path: Path, start_threads: Callable[[], Runtime]) -> tuple[_Site, SiteResults]:
    site = _Site(tmp_path)
    config = site.config
    settings = config.site(SITE)
    source = site_source(settings)
    source = replace(source, spec=replace(source.spec, doors=(site.door,)))
    what = SiteRun(config, settings, source, choose(config, settings), RunRequest())
    return site, run_site(start_threads(), what, Oversight())


def test_each_reason_is_in_all_that_tells_of_a_run(done: tuple[_Site, SiteResults], tmp_path: Path) -> None:
    site, results = done
    unjudged = {reason.label: 2 for reason in REASONS}
    assert results.results.comparison.reasons == unjudged
    found = summary(results)
    assert (found["reasons"], found["protected"]) == (unjudged, 2 * len(REASONS))
    assert (found["missing"], found["orphan"], found["empty"]) == (0, 0, 0)
    snapshot = Snapshot(next(tmp_path.rglob("listing.snapshot")))
    for reason in REASONS:
        row = snapshot.table.find(directory_of(reason))
        assert row is not None
        assert snapshot.table.reason(row) == reason
        assert snapshot.table.state(row) == (State.IGNORED if reason == Reason.IGNORED else State.FAILED)
    snapshot.close()
    # What the configuration leaves out is no failure.
    expected = {(directory_of(reason), reason) for reason in REASONS if reason != Reason.IGNORED}
    with site.history() as history:
        assert {(path, reason) for path, reason, _ in history.unlisted(SITE)} == expected
        (row_of_run,) = history.runs(SITE)
    assert dict(row_of_run.signs.reasons) == unjudged
    lines = (site.www / f"{SITE}_unlisted.txt").read_text().splitlines()
    assert {tuple(line.split("\t")[:2]) for line in lines} == {(path.decode(), r.label) for path, r in expected}
    exact = [json.loads(line) for line in (site.www / f"{SITE}_unlisted.jsonl").read_text().splitlines()]
    assert {(entry["path"], entry["reason"]) for entry in exact} == {(p.decode(), r.label) for p, r in expected}
    page = next(site.www.rglob(f"sites/{SITE}.html")).read_text()
    table = page[page.index("Why files were not judged") :]
    shown = re.findall(r'<th scope="row">([^<]*)</th><td class="num">([^<]*)</td></tr>', table)
    assert dict(shown) == dict.fromkeys(unjudged, "2")
    # A link is no failure that anybody has to look at.
    with site.summary() as stats:
        row_of_stats = stats.stats()[SITE]
    assert (row_of_stats.unlisted, row_of_stats.unlisted_bad) == (len(REASONS), len(expected) - 1)
    for _, reason in expected:
        assert f'data-reason="{reason.name.lower()}"' in page
