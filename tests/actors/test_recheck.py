"""What changes at a real store between the listing and the requests is not acted on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from actors.check_job import RunRequest
from actors.listing import ListingFailed
from actors.oversight import Killed, Oversight
from actors.runtime import Runtime
from actors.site_run import SiteResults, SiteRun, run_site
from engine.recheck import Dropped
from engine.seats import SeatLimits
from engine.site_states import Reporting
from storage.backends import choose
from storage.backends.queue import RequestQueue, Table, queue_path
from storage.config.loading import Config
from storage.doors.source import site_source
from storage.history import HistoryDatabase, RunStatus
from storage.sites.seats import SeatBook, SeatPlan
from storage.sites.summary import SummaryDatabase
from tests.servers.fixtures import ServedDirectory
from tests.servers.xrootd import XRootDServer

SITE = "T2_TEST"
OLD = 1_700_000_000
ORPHANS = [f"mc/o{number}" for number in range(8)]
LOST = [f"mc/l{number}" for number in range(8)]


@dataclass
class Site:
    """A site behind an XRootD server, with the program's directories in ``home``; it is set to act."""

    home: Path
    store: Path
    lfn: str
    door: str
    keys: dict[str, Any] = field(default_factory=dict)
    top_keys: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("mc/kept", *ORPHANS):
            self.put(name)
        for name in ("mc/empty", "mc/hollow/inner"):
            (self.store / name).mkdir(parents=True)
        for name in ("mc/empty", "mc/hollow/inner", "mc/hollow"):
            os.utime(self.store / name, (OLD, OLD))
        rows = [f"{self.lfn}/{name},10,{OLD}" for name in ("mc/kept", "mc/few/lost", *LOST)]
        (self.home / "inventory.csv").write_text("\n".join(["lfn,size,mtime", *rows]) + "\n")
        with SummaryDatabase(self.home / "www/stats.db") as summary:
            summary.sync({SITE: True})
            summary.set_reporting(SITE, Reporting.ACT)

    def put(self, name: str, content: bytes = b"0123456789", mtime: int = OLD) -> None:
        path = self.store / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (mtime, mtime))

    def run(self, runtime: Runtime, change: Callable[[], object], why: str = "") -> SiteResults:
        """Make a run; what it found is recorded when the change is made, and nothing is asked for yet."""
        keys = {
            "Doors": [self.door],
            "RootPath": self.lfn,
            "DirectoryList": ["mc"],
            "Inventory": "inventory.csv",
            "MaxMissing": 1000,
            "Timeout": 5,
            "Retries": 0,
            **self.keys,
        }
        path = self.home / "config.json"
        path.write_text(json.dumps({**self.top_keys, "Sites": {SITE: keys}}))
        config = Config.load(path, {})
        settings = config.site(SITE)
        changed: list[object] = []

        def stop() -> str:
            with self.history() as history:
                ended = [run for run in history.runs(SITE) if run.status in (RunStatus.DONE, RunStatus.INCOMPLETE)]
            if ended and not changed:
                changed.append(change())
            return why if changed else ""

        what = SiteRun(config, settings, site_source(settings), choose(config, settings), RunRequest())
        done = run_site(runtime, what, Oversight(stop))
        assert changed
        return done

    def history(self) -> HistoryDatabase:
        return HistoryDatabase(self.home / "var/db/consistency.db")

    def message(self) -> str:
        with self.history() as history:
            return history.runs(SITE)[0].message

    def requests(self, table: Table) -> list[str]:
        path = queue_path(self.home / "var")
        requests = RequestQueue(path).requests(table, SITE) if path.exists() else []
        return sorted(request.lfn.decode().removeprefix(f"{self.lfn}/") for request in requests)


@pytest.fixture
def site(tmp_path: Path, xrootd_directory: ServedDirectory) -> Site:
    return Site(tmp_path, xrootd_directory.path, xrootd_directory.lfn.decode(), xrootd_directory.url)


@pytest.fixture
def threads(start_threads: Callable[[], Runtime]) -> Runtime:
    return start_threads()


EMPTY = ["mc/empty", "mc/hollow", "mc/hollow/inner"]


def test_what_stays_as_it_was_found_is_acted_on(runtime: Runtime, site: Site) -> None:
    done = site.run(runtime, lambda: None)
    assert done.acted.dropped == Dropped()
    assert site.requests("deletions") == sorted([*ORPHANS, *EMPTY])
    assert site.requests("transfers") == sorted(["mc/few/lost", *LOST])
    assert site.message() == ""


def test_what_changes_between_the_listing_and_the_requests_is_dropped_and_counted(runtime: Runtime, site: Site) -> None:
    def change() -> None:
        site.put("mc/l0")
        site.put("mc/few/lost")
        (site.store / "mc/o0").unlink()
        site.put("mc/o1", b"another size")
        site.put("mc/o2", mtime=OLD + 1)
        site.put("mc/o3", mtime=2_000_000_000)
        (site.store / "mc/o4").unlink()
        (site.store / "mc/o4").mkdir()
        site.put("mc/hollow/inner/new")
        (site.store / "mc/empty").rmdir()

    done = site.run(runtime, change)
    assert done.acted.dropped == Dropped(back=2, gone=2, changed=3, young=1, filled=2)
    assert site.requests("deletions") == ["mc/o5", "mc/o6", "mc/o7"]
    assert site.requests("transfers") == LOST[1:]
    assert (done.acted.deletions, len(done.acted.transfers.requested)) == (3, 7)
    words = "2 missing before and there now, 2 gone by themselves, 3 changed since the listing, 1 too young by now, "
    assert site.message() == f"dropped when asked again before acting: {words}2 not empty any more"


def test_a_directory_that_may_not_be_read_any_more_leaves_nothing_certain(threads: Runtime, site: Site) -> None:
    if os.geteuid() == 0:
        # The server runs as somebody else, or a mode of 0 would stop nobody.
        shutil.chown(site.store / "mc", site.store.owner(), site.store.group())
    directory = site.store / "mc"
    try:
        done = site.run(threads, lambda: directory.chmod(0))
    finally:
        directory.chmod(0o755)
    if done.acted.dropped == Dropped():
        pytest.fail("the mode of a directory stops the server from nothing, so this shows nothing")
    # With no certain answer about so much, nothing else is asked for.
    assert done.acted.dropped == Dropped(uncertain=len(ORPHANS))
    assert done.refusal is not None
    assert (done.refusal.gate, done.failed) == ("recheck", "nothing was asked for")
    assert str(done.failure).startswith("the store gave no certain answer about 8 of 8; look at its doors")
    assert (site.requests("deletions"), site.requests("transfers")) == ([], [])


def test_a_server_that_is_gone_leaves_nothing_certain(
    threads: Runtime, tmp_path: Path, start_xrootd: Callable[..., XRootDServer]
) -> None:
    server = start_xrootd()
    (server.store / "own").mkdir(exist_ok=True)
    site = Site(tmp_path, server.store / "own", "/store/own", server.url)
    done = site.run(threads, server.kill)
    # With no certain answer about so much, nothing else is asked for.
    assert done.acted.dropped == Dropped(uncertain=len(ORPHANS))
    assert done.refusal is not None
    assert (done.refusal.gate, done.failed) == ("recheck", "nothing was asked for")
    assert str(done.failure).startswith("the store gave no certain answer about 8 of 8; look at its doors")
    assert (site.requests("deletions"), site.requests("transfers")) == ([], [])
    assert "without a certain answer" in site.message()
    # The next run, of a server that is back, finds them all once more and acts.
    server.restart()
    site.run(threads, lambda: None)
    assert site.requests("deletions") == sorted([*ORPHANS, *EMPTY])


def test_a_store_that_goes_silent_meanwhile_is_given_up(
    threads: Runtime, tmp_path: Path, start_xrootd: Callable[..., XRootDServer], caplog: pytest.LogCaptureFixture
) -> None:
    server = start_xrootd()
    (server.store / "own").mkdir(exist_ok=True)
    # With so many tries it would go on for an hour.
    keys = {"Timeout": 1, "Retries": 99, "StallMinutes": 0.05}
    site = Site(tmp_path, server.store / "own", "/store/own", server.url, keys)
    with caplog.at_level("INFO"):
        done = site.run(threads, server.pause)
    server.resume()
    assert isinstance(done.failure, ListingFailed)
    assert "nothing has answered for " in str(done.failure)
    assert "asking again before acting: nothing has answered for " in caplog.text
    assert (site.requests("deletions"), site.requests("transfers")) == ([], [])
    assert done.results.comparison.missing == 9


def test_a_halt_meanwhile_asks_for_nothing(threads: Runtime, site: Site) -> None:
    done = site.run(threads, lambda: None, "enough")
    assert isinstance(done.failure, Killed)
    assert (site.requests("deletions"), site.requests("transfers")) == ([], [])
    assert site.message() == "nothing was asked for: enough"


def test_a_recheck_that_cannot_be_made_asks_for_nothing(
    threads: Runtime, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lister of the recheck finds no door that it knows."""
    from actors import site_run

    listing_job = site_run.listing_job

    def without_doors(*arguments: Any) -> Any:
        job = listing_job(*arguments)
        spec = replace(job.settings.spec, doors=("nobody://here",))
        return replace(job, settings=replace(job.settings, spec=spec))

    monkeypatch.setattr(site_run, "listing_job", without_doors)
    done = site.run(threads, lambda: None)
    assert isinstance(done.failure, ListingFailed)
    assert done.refusal is not None
    assert done.refusal.gate == "recheck"
    assert (site.requests("deletions"), site.requests("transfers")) == ([], [])
    assert done.results.comparison.missing == 9


def test_asking_again_waits_for_a_seat(threads: Runtime, site: Site) -> None:
    site.top_keys["Pool"] = 1
    other = SeatBook(SeatPlan(site.home / "var", SeatLimits(1)), "OTHER")
    when_it_left: list[list[str]] = []

    def leave() -> None:
        when_it_left.append(site.requests("deletions"))
        other.leave()

    timer = Timer(1.5, leave)

    def take_the_seat() -> None:
        # The listers of the listing have given theirs back.
        assert other.ask(1, 0) == 1
        timer.start()

    done = site.run(threads, take_the_seat)
    timer.join()
    assert when_it_left == [[]]
    assert done.acted.dropped == Dropped()
    assert site.requests("deletions") == sorted([*ORPHANS, *EMPTY])
    assert json.loads((site.home / "var/seats.json").read_text())["runs"] == []
