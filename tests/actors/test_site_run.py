"""Whole runs of a site as operators know them: what is recorded, listed and shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from actors.oversight import Killed, Oversight, Progress, Refused
from actors.plans.plan_run import reject
from actors.runtime import Runtime
from actors.site_run import NotReady
from actors.threads import ThreadRuntime
from engine.site_states import BadAction, SiteStatus
from storage.backends import choose
from storage.backends.protocols import Transfers
from storage.backends.queue import queue_path
from storage.history import RunCounts, RunStatus, Table
from storage.inventory import InventoryError
from storage.plans.plan_file import read_plan
from storage.runs.directory import RunDirectory
from storage.snapshot import Snapshot, SnapshotWriter
from tests.actors.small_site import SITE, Registry, Site, run, run_with


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def threads(start_threads: Callable[[], Runtime]) -> Runtime:
    return start_threads()


def test_a_run_in_both_runtimes_finds_records_and_shows(runtime: Runtime, site: Site) -> None:
    done = run(runtime, site)
    found = done.results.comparison
    assert (found.missing, found.orphan, found.empty) == (2, 1, 1)
    assert site.lines("compare_missing") == ["data/gone", "mc/lost"]
    assert site.lines("missing_datasets")[1:] == ["\t\tdata\t1\t10", "\t\tmc\t1\t10"]
    (share, other) = json.loads((site.www / f"{SITE}_storage.json").read_text())["storageservice"]["storageshares"]
    assert (share["path"], share["usedsize"], share["numberoffiles"]) == ([f"{site.home}/store/mc"], 20, 2)
    assert other["numberoffiles"] == 1
    with site.summary() as summary:
        row = summary.stats()[SITE]
        assert (row.files, row.missing, row.missing_bytes, row.orphan, row.empty, row.nodes) == (3, 2, 20, 1, 1, 3)
        assert summary.site(SITE).status == SiteStatus.READY
        assert (summary.site(SITE).last_started or 0) == pytest.approx(done.started, abs=1)
    assert SITE in (site.www / "index.html").read_text()
    assert "mc/lost" in (site.www / "sites" / f"{SITE}.html").read_text()


def test_without_the_inventory_a_site_is_listed_and_its_findings_stay(threads: Runtime, site: Site) -> None:
    run(threads, site)
    site.act()
    (site.home / "inventory.csv").unlink()
    site.put("mc/new")
    done = run(threads, site, no_inventory=True)
    assert (done.results.comparison.files, done.results.comparison.missing) == (4, 0)
    assert site.lines("compare_missing") == ["data/gone", "mc/lost"]
    assert not queue_path(site.home / "var").exists()
    with site.history() as history:
        assert [path.rpartition(b"/")[2] for path, _, _ in history.missing(SITE)] == [b"gone", b"lost"]
        assert history.runs(SITE)[0].message == "without inventory: 4 files in 3 directories"
        assert history.runs(SITE)[0].status == RunStatus.DONE
    with site.summary() as summary:
        row = summary.stats()[SITE]
        assert (row.files, row.missing, row.orphan, row.empty) == (4, 2, 1, 1)


def test_a_listing_between_two_runs_does_not_count_for_the_two_run_rule(threads: Runtime, site: Site) -> None:
    run(threads, site)
    site.act()
    (site.home / "store/mc/kept").unlink()
    run(threads, site, no_inventory=True)
    run(threads, site)
    assert site.requests("transfers") == ["data/gone", "mc/lost"]
    run(threads, site, no_inventory=True)
    run(threads, site)
    assert site.requests("transfers") == ["data/gone", "mc/lost", "mc/kept"]


def test_a_run_that_is_no_news_of_the_site_leaves_summary_and_page_alone(threads: Runtime, site: Site) -> None:
    run(threads, site, summary=False)
    assert not (site.www / "stats.db").exists()
    assert not (site.www / "index.html").exists()
    assert site.lines("compare_missing") == ["data/gone", "mc/lost"]


def test_a_disabled_site_is_not_checked(threads: Runtime, site: Site) -> None:
    run(threads, site)
    with site.summary() as summary:
        summary.set_status(SITE, SiteStatus.DISABLED)
    with pytest.raises(BadAction, match="disabled"):
        run(threads, site)
    with site.summary() as summary, site.history() as history:
        assert summary.site(SITE).status == SiteStatus.DISABLED
        assert len(history.runs(SITE)) == 1


def test_a_site_that_is_not_fit_is_not_checked_unless_nobody_asks(threads: Runtime, site: Site) -> None:
    site.keys["FreeMem"] = 1_000_000
    with pytest.raises(NotReady, match="FreeMem asks for 1e\\+06 GB"):
        run(threads, site)
    assert not site.www.exists()
    run(threads, site, unconditionally=True)


def test_a_site_that_is_set_to_halt_stops_and_goes_on_later(
    threads: Runtime, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(threads, site)
    monkeypatch.setattr("actors.site_run._LOOK_EVERY", 0.0)

    def halt(_phase: str, _progress: Progress) -> None:
        with site.summary() as summary:
            summary.set_status(SITE, SiteStatus.HALT)

    with pytest.raises(Killed, match="the site was set to halt"):
        run(threads, site, Oversight(watch=halt))
    with site.summary() as summary, site.history() as history:
        assert summary.site(SITE).status == SiteStatus.HALT
        assert history.runs(SITE)[0].status == RunStatus.HALTED
    run(threads, site)
    with site.summary() as summary:
        assert summary.site(SITE).status == SiteStatus.READY


def test_a_site_that_looks_empty_is_refused_and_keeps_its_figures(threads: Runtime, site: Site) -> None:
    run(threads, site)
    site.act()
    (site.home / "store").rename(site.home / "unmounted")
    (site.home / "store/mc").mkdir(parents=True)
    (site.home / "store/data").mkdir()
    with pytest.raises(Refused):
        run(threads, site)
    assert not queue_path(site.home / "var").exists()
    with site.summary() as summary:
        assert summary.stats()[SITE].missing == 2
        assert summary.site(SITE).status == SiteStatus.READY


def test_the_unmerged_area_is_cleaned_where_it_is_named(threads: Runtime, site: Site) -> None:
    for name in ("unmerged/Era/old.root", "unmerged/logs/old.tar.gz", "unmerged/kept/x.root"):
        site.put(name)
    (site.home / "protected.json").write_text(json.dumps({"result": [site.lfn("unmerged/kept")]}))
    site.keys |= {
        "Unmerged": True,
        "ListDeletable": {"PROTECTED_LIST": str(site.home / "protected.json")},
    }
    assert run(threads, site).unmerged is None
    site.act()
    done = run(threads, site, unmerged=True)
    assert done.unmerged is not None
    assert (done.unmerged.deletable, done.unmerged.logs) == (2, 1)
    assert "unmerged/Era/old.root" in site.requests("deletions")
    assert "unmerged/kept/x.root" not in site.requests("deletions")
    with site.summary() as summary:
        row = summary.stats()[SITE]
    assert (row.unmerged, row.unmerged_logs) == (2, 1)


def plant_unmerged(site: Site) -> None:
    site.put("unmerged/Era/old.root")
    (site.home / "protected.json").write_text(json.dumps({"result": [site.lfn("unmerged/kept")]}))
    site.keys |= {"Unmerged": True, "ListDeletable": {"PROTECTED_LIST": str(site.home / "protected.json")}}


def test_a_registry_that_takes_no_unmerged_files_takes_nothing_from_the_summary(threads: Runtime, site: Site) -> None:
    plant_unmerged(site)
    run(threads, site)
    site.act()
    registry = Registry("unmerged")
    done = run_with(threads, site, registry, Oversight(), unmerged=True)
    assert done.unmerged is not None
    assert (done.failed, len(registry.transfers)) == ("no unmerged file was asked to be deleted", 2)
    with site.summary() as summary:
        assert (summary.stats()[SITE].missing, summary.stats()[SITE].unmerged) == (2, 1)


def test_a_halt_while_the_unmerged_area_is_looked_through_keeps_what_was_found(threads: Runtime, site: Site) -> None:
    plant_unmerged(site)
    phases: list[str] = []
    done = run(
        threads,
        site,
        Oversight(
            lambda: "enough" if "listing unmerged" in phases else "", lambda phase, _progress: phases.append(phase)
        ),
        unmerged=True,
    )
    assert isinstance(done.failure, Killed)
    assert done.failed == "the unmerged area was not cleaned"
    with site.summary() as summary:
        assert summary.stats()[SITE].missing == 2


def test_a_directory_that_the_site_does_not_need_to_have_makes_no_run_incomplete(threads: Runtime, site: Site) -> None:
    site.keys["DirectoryList"] = ["mc", "data", "himc"]
    assert run(threads, site).results.comparison.unlisted == 0
    assert site.lines("unlisted") == []
    with site.history() as history:
        assert (history.runs(SITE)[0].status, history.runs(SITE)[0].counts.unlisted) == (RunStatus.DONE, 0)
    site.expect("mc/kept", "data/kept", "mc/orphan", "himc/expected")
    done = run(threads, site).results.comparison
    assert (done.unlisted, done.missing, done.protected) == (1, 0, 1)


def test_the_log_of_a_run_tells_its_story_and_is_shown_beside_the_page(threads: Runtime, site: Site) -> None:
    done = run(threads, site)
    (log,) = (site.home / "var/logs" / SITE).iterdir()
    text = log.read_text()
    assert text == (site.www / f"{SITE}.log").read_text()
    assert f"INFO {SITE} run {done.results.run} actors.site_run: on the runtime threads, doors: file://\n" in text
    for words in ("reading the inventory", "listing", "comparing", "done: ", "2 missing, 1 orphan"):
        assert words in text, words


def test_the_log_says_what_ended_a_run(threads: Runtime, site: Site) -> None:
    (site.home / "inventory.csv").write_text("lfn,size\nnonsense\n")
    with pytest.raises(InventoryError):
        run(threads, site)
    assert "INFO T2_TEST run 1 actors.site_run: the run ends: inventory " in (site.www / f"{SITE}.log").read_text()


def test_runs_in_threads_leave_no_lock_behind(site: Site) -> None:
    for _ in range(2):
        runtime = ThreadRuntime()
        run(runtime, site)
        runtime.shutdown()


class Died(BaseException):
    """What stands for the end of the process: nothing catches it."""


class DyingRegistry(Registry):
    """A registry during whose call the process ends, when it has taken what it was asked for."""

    def delete(self, site: str, lfns: Sequence[str]) -> int:
        super().delete(site, lfns)
        raise Died


def test_a_run_that_died_when_it_was_recorded_is_brought_to_its_end_by_the_next(threads: Runtime, site: Site) -> None:
    run(threads, site)
    site.act()
    registry = DyingRegistry()
    with pytest.raises(Died):
        run_with(threads, site, registry, Oversight())
    phases: list[str] = []
    registry = Registry(deletions=registry.deletions)
    done = run_with(threads, site, registry, Oversight(watch=lambda phase, _progress: phases.append(phase)))
    assert "listing" not in phases
    assert "reading the inventory" not in phases
    assert {name.rpartition("/")[2] for name in registry.transfers} == {"gone", "lost"}
    assert (done.results.comparison.missing, done.results.listing.files) == (2, 3)
    with site.history() as history, site.summary() as summary:
        # Nothing counts twice: not the run, and not its findings.
        assert [row.status for row in history.runs(SITE)] == [RunStatus.DONE] * 2
        assert done.results.run == history.runs(SITE)[0].id
        assert history.runs_with_findings(SITE) == 2
        assert len(list(history.missing(SITE, least=3))) == 0
        assert summary.stats()[SITE].missing == 2
        assert len(summary.history(SITE)) == 2
    again = run_with(threads, site, registry, Oversight())
    assert again.results.run != done.results.run


@pytest.mark.parametrize("damaged", ["listing", "inventory"])
def test_a_run_that_died_and_whose_listing_is_damaged_is_made_anew(threads: Runtime, site: Site, damaged: str) -> None:
    run(threads, site)
    site.act()
    with pytest.raises(Died):
        run_with(threads, site, DyingRegistry(), Oversight())
    snapshot = site.home / "var/runs" / SITE / f"{damaged}.snapshot"
    content = bytearray(snapshot.read_bytes())
    content[len(content) // 3] ^= 1
    snapshot.write_bytes(content)
    done = run_with(threads, site, Registry(), Oversight())
    assert (done.results.comparison.missing, done.results.comparison.orphan) == (2, 1)
    with site.history() as history:
        assert len(history.runs(SITE)) == 3
        assert history.runs_with_findings(SITE) == 2


def test_a_dead_run_with_the_listing_of_another_site_is_made_anew(threads: Runtime, site: Site) -> None:
    run(threads, site)
    site.act()
    with pytest.raises(Died):
        run_with(threads, site, DyingRegistry(), Oversight())
    path = site.home / "var/runs" / SITE / "listing.snapshot"
    with closing(Snapshot(path)) as snapshot:
        header = replace(snapshot.header, site="ANOTHER")
    with closing(SnapshotWriter(path, header)) as writer:
        writer.finish()
    registry = Registry()
    done = run_with(threads, site, registry, Oversight())
    assert (done.results.comparison.missing, done.results.comparison.orphan) == (2, 1)
    assert done.results.listing.resumed == 0
    assert {name.rpartition("/")[2] for name in registry.deletions} == {"orphan", "empty"}


def test_one_that_starts_over_leaves_a_dead_run_as_it_is(threads: Runtime, site: Site) -> None:
    run(threads, site)
    site.act()
    with pytest.raises(Died):
        run_with(threads, site, DyingRegistry(), Oversight())
    run_with(threads, site, Registry(), Oversight(), fresh=True)
    with site.history() as history:
        assert len(history.runs(SITE)) == 3


def test_lists_of_a_dead_run_that_are_gone_are_made_again(threads: Runtime, site: Site) -> None:
    run(threads, site)
    site.act()
    with pytest.raises(Died):
        run_with(threads, site, DyingRegistry(), Oversight())
    (site.www / f"{SITE}_compare_missing.txt").unlink()
    done = run_with(threads, site, Registry(), Oversight())
    assert site.lines("compare_missing") == ["data/gone", "mc/lost"]
    # The listing was whole, and is not made again.
    assert done.results.listing.resumed == 3
    _assert_one_listing_counts_once(site, done.results.run)


def _assert_one_listing_counts_once(site: Site, run: int) -> None:
    """A dead run was compared again, as this one, which has its place."""
    with site.history() as history:
        assert [row.id for row in history.runs(SITE) if row.reported] == [run, 1]
        assert history.runs(SITE)[1].status == RunStatus.DIED
        assert f"run {run} takes its place" in history.runs(SITE)[1].message
        assert history.runs_with_findings(SITE) == 2
        assert [path for path, _, _ in history.missing(SITE, least=3)] == []
        assert len(list(history.missing(SITE, least=2))) == 2


def test_lists_that_another_run_has_left_are_not_those_of_a_dead_run(threads: Runtime, site: Site) -> None:
    run(threads, site)
    site.act()
    with pytest.raises(Died):
        run_with(threads, site, DyingRegistry(), Oversight())
    path = site.www / f"{SITE}_compare_missing.txt"
    path.unlink()
    path.write_text("data/of/another\n")
    done = run_with(threads, site, Registry(), Oversight())
    assert site.lines("compare_missing") == ["data/gone", "mc/lost"]
    _assert_one_listing_counts_once(site, done.results.run)


def test_a_dead_run_of_another_version_is_compared_again_and_counts_once(threads: Runtime, site: Site) -> None:
    run(threads, site)
    site.act()
    for _ in range(2):
        with pytest.raises(Died):
            run_with(threads, site, DyingRegistry(), Oversight())
        state = site.home / "var/runs" / SITE / "run.json"
        kept = json.loads(state.read_text())
        del kept["found"]["result"]["files"]
        state.write_text(json.dumps(kept))
    done = run_with(threads, site, Registry(), Oversight())
    assert done.results.listing.resumed == 3
    with site.history() as history:
        assert [row.id for row in history.runs(SITE) if row.reported] == [4, 1]
        assert history.runs_with_findings(SITE) == 2
        assert list(history.missing(SITE, least=3)) == []


def test_what_a_dead_run_has_listed_is_not_judged_behind_others(threads: Runtime, site: Site) -> None:
    run(threads, site)
    site.act()
    with pytest.raises(Died):
        run_with(threads, site, DyingRegistry(), Oversight())
    with site.history() as history:
        other = history.open_run(SITE, 5.0, "python")
        history.report(other, Table.MISSING, [], 6.0)
        history.finish_run(other, 6.0, RunStatus.DONE, RunCounts(), False)
    done = run_with(threads, site, Registry(), Oversight())
    assert done.results.listing.resumed == 0
    with site.history() as history:
        assert [row.id for row in history.runs(SITE) if row.reported] == [4, 3, 2, 1]


def _left_behind(threads: Runtime, site: Site) -> None:
    """Leave a run that is recorded, and whose process died before the registry had taken anything."""
    run(threads, site)
    site.act()
    with pytest.raises(Died):
        run_with(threads, site, DyingRegistry(), Oversight())


def test_an_orphan_that_came_into_the_inventory_since_is_not_deleted_behind_a_dead_run(
    threads: Runtime, site: Site
) -> None:
    _left_behind(threads, site)
    site.expect("mc/kept", "mc/orphan", "mc/empty/soon", "mc/lost", "data/kept")
    registry = Registry()
    done = run_with(threads, site, registry, Oversight())
    assert registry.deletions == []
    assert [name.rpartition("/")[2] for name in registry.transfers] == ["lost"]
    with site.history() as history:
        assert history.runs(SITE)[0].id == done.results.run
        assert "left alone since the run was recorded: 3" in history.runs(SITE)[0].message


def test_orphans_that_are_to_be_left_alone_by_now_are_not_deleted_behind_a_dead_run(
    threads: Runtime, site: Site
) -> None:
    _left_behind(threads, site)
    registry = Registry()
    run_with(threads, site, registry, Oversight(), keep_orphans=True)
    assert [name.rpartition("/")[2] for name in registry.deletions] == ["empty"]


def test_what_is_too_young_by_the_settings_of_now_is_not_acted_on_behind_a_dead_run(
    threads: Runtime, site: Site
) -> None:
    _left_behind(threads, site)
    site.keys["IgnoreAge"] = 10_000
    registry = Registry()
    done = run_with(threads, site, registry, Oversight())
    assert (registry.deletions, registry.transfers) == ([], [])
    assert done.results.comparison.missing == 2


def test_what_is_old_enough_by_the_settings_of_now_is_acted_on_behind_a_dead_run(threads: Runtime, site: Site) -> None:
    site.keys["IgnoreAge"] = 10
    _left_behind(threads, site)
    site.keys["IgnoreAge"] = 20
    registry = Registry()
    run_with(threads, site, registry, Oversight())
    assert {name.rpartition("/")[2] for name in registry.deletions} == {"orphan", "empty"}
    assert {name.rpartition("/")[2] for name in registry.transfers} == {"gone", "lost"}


def test_a_plan_that_was_rejected_is_not_acted_on_behind_a_dead_run(threads: Runtime, site: Site) -> None:
    _left_behind(threads, site)
    config = site.config
    settings = config.site(SITE)
    reject(config, settings, choose(config, settings), threads, "no")
    registry = Registry()
    done = run_with(threads, site, registry, Oversight())
    assert (registry.deletions, registry.transfers) == ([], [])
    assert done.refusal is not None
    assert done.refusal.gate == "rejected"


def test_settings_that_were_changed_since_decide_behind_a_dead_run(threads: Runtime, site: Site) -> None:
    site.keys["MaxOrphan"] = 0
    _left_behind_gate(threads, site)
    # What was too much then is not by now, and the other way round.
    site.keys["MaxOrphan"] = 10
    registry = Registry()
    run_with(threads, site, registry, Oversight())
    assert {name.rpartition("/")[2] for name in registry.deletions} == {"orphan", "empty"}


def _left_behind_gate(threads: Runtime, site: Site) -> None:
    """Leave a run whose process died behind a closed gate, when the sources were asked for."""

    class DyingWhenAsked(Registry):
        def sources(self, site: str, lfns: Sequence[str]) -> Transfers:
            raise Died

    run(threads, site)
    site.act()
    with pytest.raises(Died):
        run_with(threads, site, DyingWhenAsked(), Oversight())


def test_a_transfer_queue_that_is_off_by_now_is_left_alone_behind_a_dead_run(threads: Runtime, site: Site) -> None:
    _left_behind(threads, site)
    site.keys["UseTransferQueue"] = False
    registry = Registry()
    run_with(threads, site, registry, Oversight())
    assert registry.transfers == []
    assert {name.rpartition("/")[2] for name in registry.deletions} == {"orphan", "empty"}


def test_a_plan_of_a_run_of_the_same_number_in_another_history_is_not_taken_up(threads: Runtime, site: Site) -> None:
    run(threads, site)
    before = read_plan(RunDirectory(site.home / "var", SITE).plan, SITE)
    (site.home / "var/db/consistency.db").unlink()
    (site.home / "store/mc/orphan").unlink()
    site.put("mc/other")
    run(threads, site)
    after = read_plan(RunDirectory(site.home / "var", SITE).plan, SITE)
    assert before.header.run.number == after.header.run.number == 1
    assert [item.path.rpartition(b"/")[2] for item in after.items if item.cause == "orphan"] == [b"other"]


def test_nothing_is_asked_for_behind_a_dead_run_without_an_inventory_to_look_into(threads: Runtime, site: Site) -> None:
    _left_behind(threads, site)
    (site.home / "inventory.csv").write_text("lfn,size,mtime\n")
    registry = Registry()
    done = run_with(threads, site, registry, Oversight())
    assert (registry.deletions, registry.transfers) == ([], [])
    assert done.refusal is not None
    assert done.refusal.gate == "recheck"
