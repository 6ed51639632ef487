"""What a run asks of the registry: what waits, what is spared, and what a failure takes away."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from actors.oversight import Killed, Oversight, Progress
from actors.runtime import Runtime
from actors.site_run import SiteRun, run_site
from engine.site_states import SiteStatus
from storage.backends import choose
from storage.backends.protocols import BackendError, DatasetFilter
from storage.backends.queue import queue_path
from storage.doors.source import site_source
from storage.history import RunStatus
from storage.inventory import InventoryError
from storage.runs.reports import ReportError
from tests.actors.small_site import LOST, OLD, SITE, Registry, Site, run, run_with


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def threads(start_threads: Callable[[], Runtime]) -> Runtime:
    return start_threads()


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


def test_a_registry_that_knows_files_alone_is_given_no_directory(threads: Runtime, site: Site) -> None:
    class FilesAlone(Registry):
        takes_directories = False

    run(threads, site)
    site.act()
    registry = FilesAlone()
    run_with(threads, site, registry, Oversight())
    assert registry.deletions == [site.lfn("mc/orphan")]


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
