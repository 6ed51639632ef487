"""Sites that are listed incrementally, whose directories change with and without their times."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from storage.runs.directory import RunDirectory
from tests.cli.program import Ended, eventually, wait_for
from tests.faults.site import OLD, FaultySite
from tests.servers.faulty_proxy import Fault, FaultyProxy
from tests.servers.xrootd import XRootDServer

LEAVES, MANY = 60, 600


def plant(site: FaultySite, leaves: int = LEAVES, **keys: object) -> None:
    """Plant old leaves of two files each, in three directories; nothing is missing and nothing an orphan."""
    for number in range(leaves):
        for name in ("a", "b"):
            site.put(f"data/{number % 3}/leaf{number}/{name}{number}.root", 10 + number)
    age(site)
    site.prepare(Incremental=True, **{"IncrementalSample": 0, **keys})


def age(site: FaultySite, *names: str) -> None:
    """Set the times of directories back, all when none is named, as an operator or a restored backup may."""
    top = site.path("data")
    places = [site.path(name) for name in names] or [top, *(path for path in top.rglob("*") if path.is_dir())]
    for place in places:
        os.utime(place, (OLD, OLD))


@pytest.fixture
def server(start_xrootd: Callable[..., XRootDServer]) -> XRootDServer:
    """A server that may be paused."""
    return start_xrootd()


@pytest.fixture
def pausable(server: XRootDServer, make_site: Callable[..., FaultySite]) -> FaultySite:
    """A site that a run can be caught in the middle of."""
    site = make_site([server.store], "/store", [server.url])
    listed_once(site, MANY, IncrementalSample=0.5, Timeout=30)
    return site


@pytest.fixture
def slow_door(xrootd_server: XRootDServer) -> Iterator[FaultyProxy]:
    """A door to the common server by which a listing takes a second or more."""
    with FaultyProxy(xrootd_server.port, Fault(delay=0.01)) as proxy:
        yield proxy


def killed(site: FaultySite, server: XRootDServer) -> int:
    """Kill a check in the middle; gives how many directories its journal has."""
    process = site.start_check("--in-flight", "1")
    eventually("begun to take over", lambda: site.listed > 3, process)
    server.pause()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    server.resume()
    return site.listed


def listed_once(site: FaultySite, leaves: int = LEAVES, **keys: object) -> None:
    """Plant, and list for the first time."""
    plant(site, leaves, **keys)
    ended = check(site)
    assert ended.json["taken_over"] == 0
    site.assert_found()


def another_second() -> None:
    """Wait until the second is over: nothing is taken over from a listing that is no second older."""
    time.sleep(1.0 - time.time() % 1.0)


def check(site: FaultySite) -> Ended:
    """Check to the end, in another second than before."""
    another_second()
    ended = site.check()
    assert ended.code == 0, ended.err
    return ended


@pytest.mark.quick_on("threads")
@pytest.mark.fault(
    "incremental listing",
    "nothing",
    "no leaf is asked for; what is missing, orphaned or of another size in what the inventory says now is found, "
    "when its directory was listed after all",
)
def test_nothing_goes_wrong(site: FaultySite, runtime: str) -> None:
    listed_once(site)
    again = check(site)
    assert (again.json["taken_over"], again.json["requests"]) == (LEAVES, 4)
    site.assert_found()
    site.know("data/0/leaf0/lost.root")
    del site.known[b"data/1/leaf1/a1.root"]
    site.know("data/2/leaf2/b2.root", 11)
    site.write_inventory()
    ended = check(site)
    assert ended.json["taken_over"] == LEAVES - 3
    site.assert_found(["data/0/leaf0/lost.root"], ["data/1/leaf1/a1.root"], ["data/2/leaf2/b2.root"])


@pytest.mark.fault(
    "incremental listing",
    "files are added, removed and replaced in leaves, and whole leaves come and go, between two runs",
    "all is found, by requests for these directories alone",
)
def test_leaves_change(site: FaultySite) -> None:
    listed_once(site)
    site.put("data/0/leaf0/new.root", known=False)
    site.path("data/1/leaf1/a1.root").unlink()
    site.path("data/2/leaf2/a2.root").unlink()
    site.put("data/2/leaf2/a2.root", 99)
    site.known[b"data/2/leaf2/a2.root"] = 12
    for path in site.path("data/0/leaf3").iterdir():
        path.unlink()
    site.path("data/0/leaf3").rmdir()
    site.put("data/1/leaf99/other.root", known=False)
    site.write_inventory()
    ended = check(site)
    site.assert_found(
        ["data/1/leaf1/a1.root", "data/0/leaf3/a3.root", "data/0/leaf3/b3.root"],
        ["data/0/leaf0/new.root", "data/1/leaf99/other.root"],
        ["data/2/leaf2/a2.root"],
    )
    assert ended.json["taken_over"] == LEAVES - 4


@pytest.mark.quick_on("ray")
@pytest.mark.fault(
    "incremental listing",
    "the times of changed directories are set back, as by touch, and every one is in the sample",
    "the first disagreement turns the site back to full listing, in this run and the next ones; all is found",
)
def test_times_that_lie_to_a_full_sample(site: FaultySite, runtime: str) -> None:
    listed_once(site, IncrementalSample=1)
    _lie(site)
    ended = check(site)
    assert ended.json["taken_over"] == 0
    assert "its time has not" in ended.json["distrust"]
    assert "listed in full from now on" in ended.err
    assert "listed in full from now on" in site.log
    site.assert_found(["data/1/leaf1/a1.root"], ["data/0/leaf0/new.root"])
    page = (site.web / "sites" / f"{site.name}.html").read_text()
    assert "its time has not" in page


@pytest.mark.fault(
    "incremental listing",
    "a store whose times were found to lie is listed again and again",
    "in full each time, until the key is switched off and on again",
)
def test_who_lied_once(site: FaultySite) -> None:
    listed_once(site, IncrementalSample=1)
    _lie(site)
    assert check(site).json["distrust"]
    site.configure(Incremental=True, IncrementalSample=0)
    for _ in range(2):
        again = check(site)
        assert again.json["taken_over"] == 0
        assert again.json["requests"] >= LEAVES
    assert "listing in full: " in site.log
    # Switched off and on again, the store is believed once more, after a full listing.
    site.configure(IncrementalSample=0)
    check(site)
    site.configure(Incremental=True, IncrementalSample=0)
    assert check(site).json["taken_over"] == 0
    assert check(site).json["taken_over"] > 0


@pytest.mark.fault(
    "incremental listing",
    "a store goes on showing the old time of a directory that changed, as one behind a cache of attributes does, and "
    "shows the new one some seconds later",
    "it is waited for, the store is believed, and what changed is found",
)
def test_a_store_that_is_late(site: FaultySite) -> None:
    listed_once(site, IncrementalSample=1)
    site.configure(Incremental=True, IncrementalSample=1, IncrementalDelay=5)
    site.put("data/0/leaf0/new.root", known=False)
    age(site, "data/0/leaf0")
    another_second()
    process = site.start_check()
    eventually("waiting", lambda: "waiting until 5 s have passed" in site.log, process)
    os.utime(site.path("data/0/leaf0"))
    ended = wait_for(process)
    assert ended.code == 0, ended.err
    assert ended.json["distrust"] is None
    assert "waiting until 5 s have passed" in ended.err
    site.assert_found(orphan=["data/0/leaf0/new.root"])


def _lie(site: FaultySite) -> None:
    site.put("data/0/leaf0/new.root", known=False)
    site.path("data/1/leaf1/a1.root").unlink()
    age(site, "data/0/leaf0", "data/1/leaf1")


@pytest.mark.fault(
    "incremental listing",
    "the times of changed directories are set back, and none of these is in the sample",
    "what changed there is not found; nothing false is; the next full listing finds it",
)
def test_times_that_lie_to_no_sample(site: FaultySite) -> None:
    listed_once(site, IncrementalFullRuns=3)
    _lie(site)
    assert check(site).json["taken_over"] == LEAVES
    site.assert_found()
    assert check(site).json["taken_over"] == LEAVES - 0
    assert check(site).json["taken_over"] == 0
    site.assert_found(["data/1/leaf1/a1.root"], ["data/0/leaf0/new.root"])
    assert "every 3 runs a listing is a full one" in site.log


@pytest.mark.fault(
    "incremental listing",
    "a directory whose time was set back differs from the inventory of now",
    "it is listed before it is judged, and so is everything else that was taken over, since its time was no true one",
)
def test_a_lie_where_the_inventory_differs(site: FaultySite) -> None:
    listed_once(site)
    _lie(site)
    site.know("data/0/leaf0/lost.root")
    site.write_inventory()
    ended = check(site)
    assert ended.json["taken_over"] == 0
    assert "leaf0 has changed" in ended.json["distrust"]
    site.assert_found(["data/0/leaf0/lost.root", "data/1/leaf1/a1.root"], ["data/0/leaf0/new.root"])


@pytest.mark.fault(
    "incremental listing",
    "a file is overwritten in place, which no time of a directory tells",
    "its new size is found by the next full listing, or once it is in the sample, which turns the site back",
)
def test_a_file_is_overwritten(site: FaultySite) -> None:
    listed_once(site)
    site.put("data/0/leaf0/a0.root", 99, known=False)
    assert check(site).json["taken_over"] == LEAVES
    site.assert_found()
    site.configure(Incremental=True, IncrementalSample=1)
    assert "leaf0 has changed" in check(site).json["distrust"]
    site.assert_found(mismatch=["data/0/leaf0/a0.root"])


@pytest.mark.fault(
    "incremental listing",
    "a run is killed (kill -9) in the middle, and files are changed before the next one",
    "it is gone on with: what was taken over stays so, nothing is asked for again, and all findings are true",
)
def test_killed_in_the_middle(pausable: FaultySite, server: XRootDServer) -> None:
    site = pausable
    before = killed(site, server)
    # Whether it is found depends on how far the run had come.
    site.path("data/1/leaf1/a1.root").unlink()
    ended = check(site)
    site.assert_true()
    assert set(site.found("compare_missing")) <= {b"data/1/leaf1/a1.root"}
    assert ended.json["resumed"] == before
    assert ended.json["taken_over"] > MANY / 4
    assert ended.json["requests"] < MANY
    assert ended.json["distrust"] is None


@pytest.mark.fault(
    "incremental listing",
    "a run is killed, and what is kept of the last listing, or the note on it, is damaged or gone before the next one",
    "everything is listed, also what was taken over; all is found",
)
@pytest.mark.parametrize("what", ["snapshot", "note", "snapshot gone", "note gone"])
def test_what_is_kept_is_damaged(pausable: FaultySite, server: XRootDServer, what: str) -> None:
    site = pausable
    _lie(site)
    killed(site, server)
    directory = RunDirectory(site.home / "var", site.name)
    file = directory.earlier if "snapshot" in what else directory.path / "earlier.json"
    if "gone" in what:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-40] + b"x" * 20)
    ended = check(site)
    assert ended.json["taken_over"] == 0
    site.assert_found(["data/1/leaf1/a1.root"], ["data/0/leaf0/new.root"])


@pytest.mark.fault(
    "incremental listing",
    "a run is recorded and dies before it is over, its lists are gone, and so its own listing is gone on with",
    "that is no longer the one that is kept; all is found",
)
def test_its_own_listing_is_gone_on_with(site: FaultySite) -> None:
    listed_once(site)
    _lie(site)
    directory = RunDirectory(site.home / "var", site.name)
    noted = directory.path / "run.json"
    process = site.start_check()
    seen = ""
    while process.poll() is None:
        with suppress(OSError):
            seen = noted.read_text()
    assert wait_for(process).code == 0
    assert directory.earlier.samefile(directory.listing)
    noted.write_text(json.dumps({key: value for key, value in json.loads(seen).items() if key != "found"}))
    assert check(site).json["taken_over"] == 0
    site.assert_found(["data/1/leaf1/a1.root"], ["data/0/leaf0/new.root"])
    assert directory.earlier.samefile(directory.listing)
    assert check(site).json["taken_over"] == LEAVES - 2


@pytest.mark.fault(
    "incremental listing",
    "directories have times of the future, of the epoch, or of the last day",
    "they are listed",
)
def test_times_that_say_nothing(site: FaultySite) -> None:
    plant(site)
    for name, mtime in (("data/0/leaf0", 4_000_000_000), ("data/1/leaf1", 0)):
        os.utime(site.path(name), (mtime, mtime))
    os.utime(site.path("data/2/leaf2"))
    check(site)
    site.put("data/0/leaf0/new.root", known=False)
    os.utime(site.path("data/0/leaf0"), (4_000_000_000, 4_000_000_000))
    site.put("data/1/leaf1/new.root", known=False)
    os.utime(site.path("data/1/leaf1"), (0, 0))
    assert check(site).json["taken_over"] == LEAVES - 3
    site.assert_found(orphan=["data/0/leaf0/new.root", "data/1/leaf1/new.root"])


@pytest.mark.fault(
    "incremental listing",
    "files come and go in all leaves while the site is listed",
    "nothing false is found, and no change of these is taken for a time that lies",
)
def test_changes_under_way(site: FaultySite, slow_door: FaultyProxy) -> None:
    site.doors = [slow_door.url]
    listed_once(site, IncrementalSample=1, InFlight=1)

    def change() -> None:
        for number in range(LEAVES):
            path = site.path(f"data/{number % 3}/leaf{number}")
            (path / "new.root").write_bytes(b"x")
            (path / f"a{number}.root").unlink()

    another_second()
    ended = site.check_while(change)
    assert ended.code == 0, ended.err
    new = [f"data/{n % 3}/leaf{n}/new.root" for n in range(LEAVES)]
    site.assert_true(gone=[f"data/{n % 3}/leaf{n}/a{n}.root" for n in range(LEAVES)], added=new)
    assert ended.json["distrust"] is None
