"""What is known on disk of a path, after whole runs of a small site."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.oversight import Oversight, Progress
from actors.threads import ThreadRuntime
from engine.explaining.facts import CountFacts, PathFacts, Source, Verdict
from storage.answers.path_facts import path_facts
from storage.backends.queue import RequestQueue, queue_path
from storage.history import RunCounts, RunStatus, Table
from storage.runs.directory import RunDirectory, RunInfo
from storage.snapshot import part_of
from tests.actors.small_site import OLD, SITE, Site, run


@pytest.fixture
def runtime() -> Iterator[ThreadRuntime]:
    threads = ThreadRuntime()
    yield threads
    threads.shutdown()


def facts(site: Site, name: str, as_directory: bool = False) -> PathFacts:
    path = name if name.startswith("/") else site.lfn(name)
    config = site.config
    return path_facts(config, config.site(SITE), path.encode("utf-8", "surrogateescape"), as_directory, time.time())


def test_before_any_run_nothing_is_known(tmp_path: Path) -> None:
    found = facts(Site(tmp_path), "mc/kept")
    assert found.judged.verdict == Verdict.UNKNOWN
    assert (found.inventory, found.store, found.run, found.found, found.notices) == (None, None, None, (), ())
    # Looking makes nothing.
    assert not (tmp_path / "var").exists()


def test_a_missing_file_is_followed_from_the_inventory_to_the_registry(tmp_path: Path, runtime: ThreadRuntime) -> None:
    site = Site(tmp_path)
    site.config.site(SITE)
    run(runtime, site)
    site.act()
    run(runtime, site)
    found = facts(site, "mc/lost")
    assert found.judged.verdict == Verdict.MISSING
    assert found.confirmed is False
    assert found.inventory is not None
    assert found.inventory.file is not None
    assert (found.inventory.file.size, found.inventory.file.mtime) == (10, OLD)
    assert found.store is not None
    assert found.store.file is None
    assert found.store.directory is not None
    assert (found.store.directory.state, found.store.directory.files) == ("listed", 2)
    # The newest run has found what the one before had found as well.
    assert [(past.kind, past.run, past.current, past.seen) for past in found.found] == [
        ("missing", 2, True, 2),
        ("missing", 1, False, 1),
    ]
    assert found.run is not None
    assert (found.run.number, found.run.last_with_findings) == (2, 2)
    action = found.action
    assert action.acting
    assert action.confirm is not None
    assert (action.confirm.seen, action.confirm.needed, action.confirm.is_due) == (2, 2, True)
    assert action.plan is not None
    assert (action.plan.run, action.plan.action, action.plan.state) == (2, "transfer", "done")
    assert [act.event for act in action.acts] == ["begun", "done"]
    (request,) = action.requests
    assert (request.kind, request.status) == ("transfer", "new")
    queue = RequestQueue(queue_path(tmp_path / "var"))
    queue.settle("transfers", [each.id for each in queue.take("transfers", SITE, 9)], "done")
    (request,) = facts(site, "mc/lost").action.requests
    assert request.status == "done"
    assert request.changed > request.requested


def test_files_are_judged_by_the_settings_and_what_is_on_disk(tmp_path: Path, runtime: ThreadRuntime) -> None:
    site = Site(tmp_path, keys={"IgnoreAge": 2, "IgnoreDirectories": ["/skip/", "/hidden"]})
    site.put("mc/skip/x")
    site.put("mc/hidden/x")
    site.put("mc/fresh")
    os.utime(tmp_path / "store/mc/fresh")
    run(runtime, site)
    verdicts = {
        "mc/kept": Verdict.AGREES,
        "mc/orphan": Verdict.ORPHAN,
        "mc/lost": Verdict.MISSING,
        "mc/nowhere": Verdict.NOWHERE,
        "mc/none/nowhere": Verdict.NOWHERE,
        "mc/fresh": Verdict.YOUNG,
        "mc/skip/x": Verdict.SPARED,
        "mc/hidden/x": Verdict.UNSEEN,
        "/elsewhere/x": Verdict.OUTSIDE,
    }
    assert {name: facts(site, name).judged.verdict for name in verdicts} == verdicts
    assert facts(site, "mc/skip/x").rules.ignored_by == (b"/skip/",)
    hidden = facts(site, "mc/hidden/x").store
    assert hidden is not None
    assert hidden.hidden is not None
    assert (hidden.hidden.state, hidden.hidden.path) == ("ignored", site.lfn("mc/hidden").encode())
    young = facts(site, "mc/fresh").rules
    assert young.young_after is not None
    assert abs(young.young_after - (time.time() - 2 * 86400)) < 3600
    assert facts(site, "/elsewhere/x").inventory is None


def test_the_quarantine_leaves_itself_out_and_nothing_else(tmp_path: Path, runtime: ThreadRuntime) -> None:
    site = Site(tmp_path, keys={"Quarantine": "mc/q"})
    names = ("mc/qcd/dark", "mc/q.root", "mc/other/mc/q/dark")
    for name in ("mc/q/plan/aside", *names):
        site.put(name)
    run(runtime, site)
    assert {name: facts(site, name).judged.verdict for name in names} == dict.fromkeys(names, Verdict.ORPHAN)
    found = facts(site, "mc/q/plan/aside")
    assert (found.judged.verdict, found.rules.quarantine) == (Verdict.UNSEEN, site.lfn("mc/q").encode())
    assert found.store is not None
    assert found.store.hidden is not None
    assert (found.store.hidden.state, found.store.hidden.path) == ("ignored", site.lfn("mc/q").encode())
    assert facts(site, names[0]).rules.quarantine is None


def test_without_a_plan_the_age_limit_is_worked_out_again(tmp_path: Path, runtime: ThreadRuntime) -> None:
    site = Site(tmp_path, keys={"IgnoreAge": 2})
    os.utime(tmp_path / "inventory.csv", (OLD + 5, OLD + 5))
    run(runtime, site)
    limit = facts(site, "mc/kept").rules.young_after
    RunDirectory(tmp_path / "var", SITE).plan.unlink()
    assert facts(site, "mc/kept").rules.young_after == limit == OLD + 5 - 2 * 86400


def test_datasets_that_belong_spare_their_files(tmp_path: Path, runtime: ThreadRuntime) -> None:
    site = Site(tmp_path)
    kept, spared, dark = (f"mc/Era/{name}/AOD/v1/0000/f.root" for name in ("Kept", "Spared", "Dark"))
    rows = [
        f"{site.lfn(kept)},10,{OLD},/Kept/Era-v1/AOD,0",
        f"{site.lfn('mc/Era/Spared/AOD/v1/0000/g')},10,{OLD},/Spared/Era-v1/AOD,1",
    ]
    (tmp_path / "inventory.csv").write_text("\n".join(["lfn,size,mtime,dataset,protected", *rows]) + "\n")
    for name in (kept, spared, dark):
        site.put(name)
    run(runtime, site)
    found = facts(site, spared)
    assert found.judged.verdict == Verdict.SPARED
    assert (found.rules.protected, found.rules.being_deleted) == (True, False)
    assert facts(site, dark).judged.verdict == Verdict.ORPHAN
    off = Site.__new__(Site)
    off.home, off.keys = tmp_path, {"DeleteOrphans": False}
    found = facts(off, dark)
    assert (found.judged.verdict, found.rules.keeps_orphans) == (Verdict.SPARED, True)


def test_a_directory_has_what_is_below_it_and_its_findings(tmp_path: Path, runtime: ThreadRuntime) -> None:
    site = Site(tmp_path)
    site.put("mc/below/\udcff/dark")
    run(runtime, site)
    found = facts(site, "mc")
    assert found.is_directory
    assert found.inventory is not None
    assert found.inventory.below is not None
    assert (found.inventory.below.files, found.inventory.below.size) == (2, 20)
    assert found.store is not None
    assert found.store.below is not None
    assert (found.store.below.files, found.store.below.directories) == (3, 4)
    assert found.counts == (CountFacts("missing", 1, 10), CountFacts("orphan", 2, 20), CountFacts("empty", 1, 0))
    empty = facts(site, "mc/empty")
    assert [(past.kind, past.current) for past in empty.found] == [("empty", True)]
    assert facts(site, "mc/none", as_directory=True).store is not None
    above = facts(site, str(tmp_path), as_directory=True)
    assert (above.rules.top, above.rules.above) == (None, True)
    assert sum(count.count for count in above.counts) == 5
    odd = facts(site, "mc/below/\udcff")
    assert odd.counts == (CountFacts("orphan", 1, 10),)


def test_twins_and_acted_findings_and_newer_journals_are_told(tmp_path: Path, runtime: ThreadRuntime) -> None:
    site = Site(tmp_path)
    os.utime(tmp_path / "inventory.csv", (OLD + 10 * 86400, OLD + 10 * 86400))
    run(runtime, site)
    with site.history() as history:
        assert len(list(history.orphans(SITE, acting=OLD + 9.0))) == 1
    directory = RunDirectory(tmp_path / "var", SITE)
    part = part_of(directory.listing)
    part.write_bytes(b"")
    os.utime(part, (OLD + 7, OLD + 7))
    site.expect("mc/kept")
    found = facts(site, "mc/orphan")
    assert [(past.current, past.acted) for past in found.found] == [(False, OLD + 9.0)]
    assert found.store is not None
    assert found.store.newer == OLD + 7
    assert found.inventory is not None
    assert found.inventory.changed_since is not None


def test_a_run_that_died_and_many_cleanings_hide_no_run(tmp_path: Path, runtime: ThreadRuntime) -> None:
    site = Site(tmp_path)
    run(runtime, site)
    with site.history() as history:
        for number in range(30):
            cleaning = history.open_run(SITE, OLD + number, "threads")
            history.report(cleaning, Table.UNMERGED, [], OLD + number)
            history.finish_run(cleaning, OLD + number, RunStatus.DONE, RunCounts(), keep_findings=False)
    last = facts(site, "mc/lost").run
    assert last is not None
    assert (last.number, last.status) == (1, "done")
    with site.history() as history:
        history.open_run(SITE, OLD + 99.0, "threads")
    died = facts(site, "mc/lost").run
    assert died is not None
    assert (died.number, died.status, died.last_with_findings) == (32, "died", 1)
    with RunDirectory(tmp_path / "var", SITE) as held:
        held.acquire(RunInfo(1, "here", 1.0, "threads"))
        assert facts(site, "mc/lost").run == last


def test_a_replica_that_is_on_its_way_says_so(tmp_path: Path, runtime: ThreadRuntime) -> None:
    site = Site(tmp_path, keys={"InventoryFormat": "rucio"})
    rows = [
        f"{SITE}\tcms\t{site.lfn(name)}\tab\t10\t2023-11-14 00:00:00\t\t2023-11-14 00:00:00\t{state}"
        for name, state in (("mc/kept", "A"), ("mc/coming", "C"))
    ]
    (tmp_path / "inventory.csv").write_text("\n".join(rows) + "\n")
    run(runtime, site)
    found = facts(site, "mc/coming")
    assert found.judged.verdict == Verdict.YOUNG
    assert found.inventory is not None
    assert found.inventory.file is not None
    assert (found.inventory.file.mtime, found.inventory.file.unsettled) == (None, True)


def test_a_line_that_nobody_could_read_is_why_something_is_no_orphan(tmp_path: Path, runtime: ThreadRuntime) -> None:
    site = Site(tmp_path, keys={"InventoryFormat": "pipe", "MaxMalformed": 0.9})
    lines = [*(f"{site.lfn(name)}|10|{OLD}" for name in ("mc/kept", "mc/lost", "data/kept")), "error: what is this"]
    (tmp_path / "inventory.csv").write_text("\n".join(lines) + "\n")
    run(runtime, site)
    assert facts(site, "mc/orphan").judged.verdict == Verdict.UNREAD
    assert facts(site, "mc/lost").judged.verdict == Verdict.MISSING


def test_what_the_second_inventory_speaks_against_says_so(tmp_path: Path, runtime: ThreadRuntime) -> None:
    site = Site(tmp_path)

    def change(phase: str, _progress: Progress) -> None:
        if phase == "listing":
            site.expect("mc/kept", "mc/orphan", "data/kept", "data/gone")

    run(runtime, site, Oversight(lambda: "", change))
    assert facts(site, "mc/orphan").judged.verdict == Verdict.MEANWHILE
    assert facts(site, "mc/lost").judged.verdict == Verdict.MEANWHILE
    assert facts(site, "data/gone").judged.verdict == Verdict.MISSING
    # The next run reads it once, and needs no second one.
    os.utime(tmp_path / "inventory.csv", (OLD + 100 * 86400, OLD + 100 * 86400))
    run(runtime, site)
    assert not RunDirectory(tmp_path / "var", SITE).second_inventory.exists()
    assert facts(site, "mc/orphan").judged.verdict == Verdict.AGREES


@pytest.mark.parametrize(
    ("broken", "words", "source"),
    [
        ("var/runs/{site}/listing.snapshot", "damaged snapshot", Source.LISTING),
        ("var/runs/{site}/inventory.snapshot", "damaged snapshot", Source.INVENTORY),
        ("var/db/consistency.db", "not a history database", Source.HISTORY),
        ("var/runs/{site}/plan.jsonl", "its digest is not that of its lines", Source.PLAN),
        ("www/stats.db", "stats.db", Source.SUMMARY),
    ],
)
def test_what_cannot_be_read_is_said_and_the_rest_is_told(
    tmp_path: Path, runtime: ThreadRuntime, broken: str, words: str, source: Source
) -> None:
    site = Site(tmp_path)
    run(runtime, site)
    path = tmp_path / broken.format(site=SITE)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if path.suffix == ".snapshot" else b"x" * 5000)
    for more in ("-wal", "-shm"):
        path.with_name(path.name + more).unlink(missing_ok=True)
    found = facts(site, "mc/lost")
    assert any(words in notice for notice in found.notices), found.notices
    assert found.unread == (source,)
    known: list[Any] = [found.inventory, found.store, found.run, found.found]
    assert sum(part not in (None, ()) for part in known) >= 2
