"""Whole runs of a site as operators know them: what is recorded, asked for, listed and shown."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from actors.check_job import RunRequest
from actors.oversight import Killed, Oversight, Progress, Refused
from actors.runtime import Runtime
from actors.site_run import NotReady, SiteResults, SiteRun, run_site
from actors.threads import ThreadRuntime
from engine.site_states import BadAction, Reporting, SiteStatus
from storage.backends import choose
from storage.backends.protocols import BackendError, DatasetFilter, Transfers
from storage.backends.queue import RequestQueue, Table, queue_path
from storage.config.loading import Config
from storage.doors.source import site_source
from storage.history import HistoryDatabase, RunStatus
from storage.inventory import InventoryError
from storage.runs.reports import ReportError
from storage.sites.summary import SummaryDatabase

SITE = "T2_TEST"
OLD = 1_700_000_000
LOST = "mc/Era/Lost/AOD/v1/0000/lost.root"


@dataclass
class Site:
    """A small site on disk, and the program's directories beside it."""

    home: Path
    keys: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.home / "store").mkdir()
        for name in ("mc/kept", "mc/orphan", "data/kept"):
            self.put(name)
        self.expect("mc/kept", "mc/lost", "data/kept", "data/gone")
        (self.home / "store/mc/empty").mkdir()
        os.utime(self.home / "store/mc/empty", (OLD, OLD))

    def put(self, name: str) -> None:
        path = self.home / "store" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"0123456789")
        os.utime(path, (OLD, OLD))

    def lfn(self, name: str) -> str:
        return f"{self.home}/store/{name}"

    def expect(self, *names: str, header: str = "lfn,size,mtime", more: str = "") -> None:
        """Write the inventory."""
        rows = [f"{self.lfn(name)},10,{OLD}{more}" for name in names]
        (self.home / "inventory.csv").write_text("\n".join([header, *rows]) + "\n")

    @property
    def config(self) -> Config:
        path = self.home / "config.json"
        keys = {"Doors": ["file:///"], "RootPath": f"{self.home}/store", "Inventory": "inventory.csv", **self.keys}
        path.write_text(json.dumps({"Sites": {SITE: keys}}))
        return Config.load(path, {})

    @property
    def www(self) -> Path:
        return self.home / "www"

    def summary(self) -> SummaryDatabase:
        return SummaryDatabase(self.www / "stats.db")

    def history(self) -> HistoryDatabase:
        return HistoryDatabase(self.home / "var/db/consistency.db")

    def act(self) -> None:
        """Set the site to act; a run has to have made it known."""
        with self.summary() as summary:
            summary.set_reporting(SITE, Reporting.ACT)

    def requests(self, table: Table) -> list[str]:
        """Give what was asked for, without the beginning that all names have."""
        path = queue_path(self.home / "var")
        requests = RequestQueue(path).requests(table, SITE) if path.exists() else []
        return [request.lfn.decode().removeprefix(self.lfn("")) for request in requests]

    def lines(self, ending: str) -> list[str]:
        lines = (self.www / f"{SITE}_{ending}.txt").read_text().splitlines()
        return [line.replace(self.lfn(""), "") for line in lines]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def threads(start_threads: Callable[[], Runtime]) -> Runtime:
    return start_threads()


def run(runtime: Runtime, site: Site, oversight: Oversight | None = None, **request: Any) -> SiteResults:
    config = site.config
    settings = config.site(SITE)
    what = SiteRun(config, settings, site_source(settings), choose(config, settings), RunRequest(**request))
    return run_site(runtime, what, oversight or Oversight())


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


def test_a_dry_site_asks_for_nothing(threads: Runtime, site: Site) -> None:
    done = run(threads, site)
    assert done.refusal is not None
    assert done.refusal.gate == "dry"
    assert not queue_path(site.home / "var").exists()


def test_a_site_that_acts_asks_for_deletions_at_once_and_for_transfers_after_two_runs(
    threads: Runtime, site: Site
) -> None:
    run(threads, site)
    site.act()
    (site.home / "store/mc/kept").unlink()
    done = run(threads, site)
    assert done.refusal is None
    assert site.requests("deletions") == ["mc/orphan", "mc/empty"]
    # It was there in the run before, so it may come back by itself.
    assert site.requests("transfers") == ["data/gone", "mc/lost"]
    run(threads, site)
    assert site.requests("transfers") == ["data/gone", "mc/lost", "mc/kept"]
    assert site.requests("deletions") == ["mc/orphan", "mc/empty"]


def test_the_first_run_of_a_site_that_acts_has_no_run_before_it(threads: Runtime, site: Site) -> None:
    with site.summary() as summary:
        summary.sync({SITE: True})
    site.act()
    run(threads, site)
    assert site.requests("transfers") == ["data/gone", "mc/lost"]


def test_missing_files_wait_for_as_many_runs_as_the_site_wants_also_in_its_first(threads: Runtime, site: Site) -> None:
    site.keys["MissingRuns"] = 3
    with site.summary() as summary:
        summary.sync({SITE: True})
    site.act()
    for _ in range(2):
        run(threads, site)
        assert site.requests("transfers") == []
    run(threads, site)
    assert site.requests("transfers") == ["data/gone", "mc/lost"]


def test_orphans_wait_for_as_many_runs_as_the_site_wants(threads: Runtime, site: Site) -> None:
    site.keys["OrphanRuns"] = 2
    run(threads, site)
    site.act()
    site.put("mc/other")
    run(threads, site)
    assert site.requests("deletions") == ["mc/orphan", "mc/empty"]
    run(threads, site)
    assert site.requests("deletions") == ["mc/orphan", "mc/empty", "mc/other"]


@pytest.mark.parametrize(("days", "asked"), [(0.0001, 1), (0.5, 1), (1.5, 0)])
def test_findings_wait_for_as_many_days_as_the_site_wants(
    threads: Runtime, site: Site, days: float, asked: int
) -> None:
    site.keys |= {"MissingDays": days, "OrphanDays": days}
    run(threads, site)
    site.act()
    with closing(sqlite3.connect(site.home / "var/db/consistency.db")) as database, database:
        for table in ("invalid", "orphans"):
            database.execute(f"UPDATE {table} SET since = since - 86400, entered = entered - 86400")
    site.put("mc/other")
    run(threads, site)
    assert site.requests("transfers") == ["data/gone", "mc/lost"] * asked
    assert site.requests("deletions") == ["mc/orphan"] * asked + ["mc/empty"]


@pytest.mark.parametrize("key", ["MaxMissing", "MaxOrphan"])
def test_too_many_of_either_stop_everything(threads: Runtime, site: Site, key: str) -> None:
    run(threads, site)
    site.act()
    site.keys[key] = 0
    done = run(threads, site)
    assert done.refusal is not None
    assert done.refusal.gate == "too-many"
    assert key in done.refusal.message
    assert not queue_path(site.home / "var").exists()
    assert site.lines("compare_missing") == ["data/gone", "mc/lost"]


def test_a_directory_in_which_files_should_be_is_not_deleted(threads: Runtime, site: Site) -> None:
    site.expect("mc/kept", "data/kept", "mc/empty/lost")
    run(threads, site)
    site.act()
    run(threads, site)
    assert site.requests("deletions") == ["mc/orphan"]
    assert site.requests("transfers") == ["mc/empty/lost"]


def test_what_may_be_another_file_seen_through_a_link_is_not_deleted(threads: Runtime, site: Site) -> None:
    for name in ("mc/real/0/a", "mc/real/0/b", "mc/alias/0/a", "mc/alias/0/b"):
        site.put(name)
    site.expect("mc/kept", "data/kept", "mc/real/0/a", "mc/real/0/b")
    run(threads, site)
    site.act()
    done = run(threads, site)
    assert site.lines("compare_orphan") == ["mc/orphan", "mc/alias/0/a", "mc/alias/0/b"]
    assert site.requests("deletions") == ["mc/orphan", "mc/empty"]
    assert done.acted.doubles == 2


def test_without_a_transfer_queue_nothing_is_brought_back(threads: Runtime, site: Site) -> None:
    run(threads, site)
    site.act()
    site.keys["UseTransferQueue"] = False
    run(threads, site)
    assert site.requests("deletions") == ["mc/orphan", "mc/empty"]
    assert site.requests("transfers") == []


@pytest.mark.parametrize("how", ["option", "key"])
def test_orphans_can_be_left_alone(threads: Runtime, site: Site, how: str) -> None:
    run(threads, site)
    site.act()
    if how == "key":
        site.keys["DeleteOrphans"] = False
    done = run(threads, site, keep_orphans=how == "option")
    assert (done.results.comparison.orphan, done.results.comparison.kept) == (0, 1)
    assert site.requests("deletions") == ["mc/empty"]


def test_files_of_protected_datasets_are_no_orphans(threads: Runtime, site: Site) -> None:
    top = site.home / "store/mc/Era/Sample/AOD/v1/0000"
    top.mkdir(parents=True)
    for name in ("kept.root", "left.root"):
        site.put(f"mc/Era/Sample/AOD/v1/0000/{name}")
    site.put("mc/Era/Other/AOD/v1/0000/left.root")
    kept = site.lfn("mc/Era/Sample/AOD/v1/0000/kept.root")
    (site.home / "inventory.csv").write_text(
        f"lfn,size,mtime,dataset,protected\n{kept},10,{OLD},/Sample/Era-v1/AOD,yes\n"
        f"{site.lfn('mc/kept')},10,{OLD},,\n{site.lfn('mc/orphan')},10,{OLD},,\n{site.lfn('data/kept')},10,{OLD},,\n"
    )
    done = run(threads, site)
    assert site.lines("compare_orphan") == ["mc/Era/Other/AOD/v1/0000/left.root"]
    assert done.results.comparison.of_datasets == 1
    assert done.results.comparison.ignored == 0


@dataclass(frozen=True)
class GoingAway:
    """A backend that says that datasets are being deleted, from the second question on."""

    asked: list[str] = field(default_factory=list)

    def deletion_requests(self, site: str) -> frozenset[str]:
        self.asked.append(site)
        return frozenset() if len(self.asked) == 1 else frozenset({"/Sample/Era-v1/AOD"})


def test_what_is_asked_to_be_deleted_while_the_site_is_listed_is_not_missing(threads: Runtime, site: Site) -> None:
    site.expect("mc/kept", "data/kept", "mc/orphan", "mc/Era/Sample/AOD/v1/0000/gone.root", LOST)
    config = site.config
    settings = config.site(SITE)
    deletions = GoingAway()
    backends = replace(choose(config, settings), deletions=deletions)
    run_site(threads, SiteRun(config, settings, site_source(settings), backends), Oversight())
    assert deletions.asked == [SITE, SITE]
    assert site.lines("compare_missing") == [LOST]


@dataclass
class Gone:
    """A backend that says that a dataset is being deleted, until it is gone."""

    going: bool = True

    def deletion_requests(self, site: str) -> frozenset[str]:
        return frozenset({"/Sample/Era-v1/AOD"} if self.going else ())


def test_a_run_that_goes_on_with_an_old_inventory_knows_what_was_to_be_deleted_then(
    threads: Runtime, site: Site
) -> None:
    site.expect("mc/kept", "data/kept", "mc/orphan", "mc/Era/Sample/AOD/v1/0000/gone.root", LOST)
    config = site.config
    settings = config.site(SITE)
    deletions = Gone()
    what = SiteRun(config, settings, site_source(settings), replace(choose(config, settings), deletions=deletions))
    phases: list[str] = []
    halted = Oversight(lambda: "enough" if "listing" in phases else "", lambda phase, _progress: phases.append(phase))
    with pytest.raises(Killed):
        run_site(threads, what, halted)
    deletions.going = False
    run_site(threads, what, Oversight())
    assert site.lines("compare_missing") == [LOST]
    # The next inventory is another one, and so is what goes with it.
    run_site(threads, what, Oversight())
    assert site.lines("compare_missing") == [LOST, "mc/Era/Sample/AOD/v1/0000/gone.root"]


class NoFilter:
    """A backend that cannot tell datasets apart."""

    def filter(self, datasets: Collection[str]) -> DatasetFilter:
        raise BackendError("no filter today")


def test_a_filter_that_cannot_be_made_is_found_out_before_the_listing(threads: Runtime, site: Site) -> None:
    config = site.config
    settings = config.site(SITE)
    backends = replace(choose(config, settings), deletions=Gone(), datasets=NoFilter())
    phases: list[str] = []
    watch = Oversight(watch=lambda phase, _progress: phases.append(phase))
    with pytest.raises(BackendError, match="no filter today"):
        run_site(threads, SiteRun(config, settings, site_source(settings), backends), watch)
    assert "listing" not in phases


def test_files_that_no_other_site_has_are_listed_apart(threads: Runtime, site: Site) -> None:
    lines = [
        "lfn,size,mtime,site",
        *(
            f"{site.lfn(name)},10,{OLD},{SITE}"
            for name in ("mc/kept", "mc/lost", "data/kept", "data/gone", "data/tape")
        ),
        f"{site.lfn('mc/lost')},10,{OLD},T2_OTHER",
        f"{site.lfn('data/tape')},10,{OLD},T1_OTHER_MSS",
    ]
    (site.home / "inventory.csv").write_text("\n".join(lines) + "\n")
    done = run(threads, site)
    assert site.lines("compare_missing") == ["data/gone", "data/tape", "mc/lost"]
    assert site.lines("missing_nosite") == ["data/gone", "data/tape"]
    assert site.lines("unrecoverable") == ["data/gone"]
    with site.summary() as summary:
        row = summary.stats()[SITE]
    assert (row.no_source, row.unrecoverable) == (2, 1)
    assert len(done.acted.transfers.no_disk) == 2


def test_a_backend_that_fails_behind_the_comparison_takes_nothing_away(threads: Runtime, site: Site) -> None:
    run(threads, site)
    site.act()
    queue_path(site.home / "var").write_bytes(b"no database at all" * 100)
    done = run(threads, site)
    assert isinstance(done.failure, BackendError)
    assert done.refusal is not None
    assert done.refusal.gate == "backend"
    assert site.lines("compare_missing") == ["data/gone", "mc/lost"]
    with site.summary() as summary:
        assert summary.stats()[SITE].missing == 2
        assert summary.site(SITE).status == SiteStatus.READY


@dataclass
class Registry:
    """A registry that keeps what it is asked for, and takes nothing that is, or whose name contains, ``refuses``."""

    refuses: str = ""
    deletions: list[str] = field(default_factory=list)
    transfers: list[str] = field(default_factory=list)

    def delete(self, site: str, lfns: Sequence[str]) -> int:
        self._take("deletion", lfns)
        self.deletions += lfns
        return len(lfns)

    def transfer(self, site: str, lfns: Sequence[str]) -> Transfers:
        self._take("transfer", lfns)
        self.transfers += lfns
        return Transfers(requested=lfns)

    def sources(self, site: str, lfns: Sequence[str]) -> Transfers:
        return Transfers(requested=lfns)

    def _take(self, what: str, lfns: Sequence[str]) -> None:
        if self.refuses and (self.refuses == what or any(self.refuses in lfn for lfn in lfns)):
            raise BackendError("nobody answers")


def run_with(runtime: Runtime, site: Site, registry: Registry, oversight: Oversight, **request: Any) -> SiteResults:
    config = site.config
    settings = config.site(SITE)
    backends = replace(choose(config, settings), registry=registry)
    return run_site(
        runtime, SiteRun(config, settings, site_source(settings), backends, RunRequest(**request)), oversight
    )


def test_a_registry_that_fails_half_way_has_what_it_took(threads: Runtime, site: Site) -> None:
    run(threads, site)
    site.act()
    done = run_with(threads, site, Registry("transfer"), Oversight())
    assert (done.acted.deletions, len(done.acted.transfers.requested)) == (2, 0)
    assert (str(done.failure), done.failed) == ("nobody answers", "deletions were asked for, and no transfers")
    with site.summary() as summary:
        assert summary.stats()[SITE].missing == 2


def test_a_halt_behind_the_comparison_keeps_what_was_found_and_asks_for_nothing(threads: Runtime, site: Site) -> None:
    run(threads, site)
    site.act()
    site.put("mc/new")
    registry = Registry()

    def recorded() -> str:
        with site.history() as history:
            return "enough" if [run.status for run in history.runs(SITE)] == [RunStatus.DONE] * 2 else ""

    done = run_with(threads, site, registry, Oversight(recorded))
    assert isinstance(done.failure, Killed)
    assert (done.failed, registry.deletions, registry.transfers) == ("nothing was asked for", [], [])
    assert site.lines("compare_orphan") == ["mc/new", "mc/orphan"]
    with site.summary() as summary:
        assert summary.stats()[SITE].orphan == 2
        assert summary.site(SITE).status == SiteStatus.READY


@pytest.mark.parametrize("acting", [True, False])
def test_an_inventory_that_is_gone_when_the_run_ends_takes_nothing_away(
    threads: Runtime, site: Site, acting: bool
) -> None:
    run(threads, site)
    if acting:
        site.act()

    def remove(phase: str, _progress: Progress) -> None:
        if phase == "comparing":
            (site.home / "inventory.csv").unlink(missing_ok=True)

    done = run(threads, site, Oversight(watch=remove))
    assert isinstance(done.failure, InventoryError)
    assert site.requests("deletions") == (["mc/orphan", "mc/empty"] if acting else [])
    assert site.lines("compare_missing") == ["data/gone", "mc/lost"]
    with site.summary() as summary:
        assert summary.stats()[SITE].missing == 2
        assert len(summary.history(SITE)) == 2


@pytest.mark.parametrize("name", ["storage.json", "missing_nosite.txt"])
def test_a_list_that_cannot_be_written_takes_nothing_away(threads: Runtime, site: Site, name: str) -> None:
    (site.www / f"{SITE}_{name}").mkdir(parents=True)
    done = run(threads, site)
    assert isinstance(done.failure, ReportError)
    assert done.failed == "not all lists beside the reports were written"
    with site.summary() as summary:
        assert summary.stats()[SITE].missing == 2


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
