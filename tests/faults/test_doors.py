"""Doors that are dead, silent, slow, or say what they should not: alone, and as one of three."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest

from tests.cli.program import Ended
from tests.faults.site import OLD, FaultySite
from tests.servers.faulty_proxy import FORWARD, Fault, FaultyProxy, as_listing, listing_of
from tests.servers.fixtures import ServedDirectory
from tests.servers.xrootd import XRootDServer

_DIRECTORIES = 40
_WIDE = 1500
"""So many that a listing with one request at a time can be caught in the middle."""

_TIMEOUT = 1

SILENT = Fault(stall=True)
LATE = Fault(delay=_TIMEOUT + 1.5)
SLOW = Fault(delay=0.1)
GARBAGE = Fault(garbage=True)
RESETS = Fault(limit=700)
CUTS = Fault(limit=700, politely=True)

Make = Callable[..., FaultySite]


@pytest.fixture
def proxy(xrootd_directory: ServedDirectory) -> Iterator[FaultyProxy]:
    """A door of the common server that can go wrong."""
    with FaultyProxy(xrootd_directory.server.port) as door:
        yield door


@pytest.fixture
def alone(xrootd_directory: ServedDirectory, proxy: FaultyProxy, make_site: Make) -> FaultySite:
    """A site whose only door is the one that goes wrong."""
    return _filled(make_site([xrootd_directory.path], xrootd_directory.lfn.decode(), [proxy.url]))


@pytest.fixture
def among_three(xrootd_directory: ServedDirectory, proxy: FaultyProxy, make_site: Make) -> Iterator[FaultySite]:
    """A site with three doors, of which the first goes wrong."""
    with FaultyProxy(xrootd_directory.server.port) as third:
        doors = [proxy.url, xrootd_directory.url, third.url]
        yield _filled(make_site([xrootd_directory.path], xrootd_directory.lfn.decode(), doors))


def _filled(site: FaultySite, directories: int = _DIRECTORIES) -> FaultySite:
    for number in range(directories):
        site.put(f"data/{number}/kept.root")
    site.know("data/1/lost.root")
    site.put("data/2/left.root", known=False)
    site.make("data/empty")
    _prepare(site)
    return site


def _prepare(site: FaultySite, **keys: object) -> None:
    # All doors show the whole store, as whoever runs such a site says; without that it is looked into, and spoken of.
    site.prepare(**{"Timeout": _TIMEOUT, "Retries": 1, "Connections": 1, "Layout": "shared", **keys})


def _assert_all_found(site: FaultySite, ended: Ended, more: int = 0) -> None:
    """Everything was listed, with no request but those that are needed and ``more`` that were in vain."""
    assert ended.code == 0, ended.err
    site.assert_found(["data/1/lost.root"], ["data/2/left.root"], [], ["data/empty"])
    assert site.unlisted() == {}
    # What is not there, and what is empty, is asked of two doors where there are several.
    twice = 3 if len(site.doors) > 1 else 0
    assert ended.json["requests"] <= ended.json["directories"] + 2 + twice + more


def _assert_refused(site: FaultySite, ended: Ended, reason: str) -> None:
    """Nothing was found, and one line says which door it was and what was wrong with it."""
    assert ended.code == 4
    assert f"{reason} at {site.doors[0].removeprefix('root://')}: " in ended.message
    assert not list(site.web.glob("*_compare_*"))


@pytest.mark.fault(
    "doors", "the only door accepts and never answers", "the run fails: timeout at the door, in one line"
)
def test_a_silent_door_alone(alone: FaultySite, proxy: FaultyProxy) -> None:
    proxy.fault = SILENT
    _assert_refused(alone, alone.check(), "timeout")


@pytest.mark.fault("doors", "the only door is closed", "the run fails: connection failed at the door, in one line")
def test_a_closed_door_alone(alone: FaultySite, proxy: FaultyProxy) -> None:
    proxy.shut()
    _assert_refused(alone, alone.check(), "connection failed")


@pytest.mark.fault("doors", "the only door drops whatever knocks", "the run fails: timeout at the door, in one line")
def test_a_deaf_door_alone(alone: FaultySite, proxy: FaultyProxy) -> None:
    proxy.deafen()
    _assert_refused(alone, alone.check(), "timeout")


@pytest.mark.soak
@pytest.mark.fault(
    "doors",
    "the only door answers garbage",
    "the run fails at the door, in one line: a timeout with the library, wire says that it is no XRootD server",
)
def test_garbage_alone(alone: FaultySite, proxy: FaultyProxy) -> None:
    proxy.fault = GARBAGE
    ended = alone.check()
    if alone.lister == "bindings":
        _assert_refused(alone, ended, "timeout")
    else:
        _assert_refused(alone, ended, "connection failed")
        assert "not an XRootD server" in ended.message


@pytest.mark.soak
@pytest.mark.fault(
    "doors", "the only door answers after the deadline", "the run fails: timeout at the door, in one line"
)
def test_a_late_door_alone(alone: FaultySite, proxy: FaultyProxy) -> None:
    proxy.fault = LATE
    _assert_refused(alone, alone.check(), "timeout")


@pytest.mark.soak
@pytest.mark.parametrize("method", ["directx", "SRM"])
@pytest.mark.fault(
    "doors",
    "the only door is silent, closed or talks garbage, for xrdfs shells and gfal-ls",
    "the run fails within the deadlines, in one line that names the site",
)
def test_dead_doors_of_programs(alone: FaultySite, proxy: FaultyProxy, method: str) -> None:
    _prepare(alone, AccessMethod=method)
    for fault in (SILENT, GARBAGE):
        proxy.fault = fault
        assert alone.name in _failed(alone.check())
    proxy.shut()
    assert alone.name in _failed(alone.check())
    proxy.open()
    proxy.fault = FORWARD
    # Programs that have to start take longer than a second on a busy machine.
    _prepare(alone, AccessMethod=method, Timeout=20)
    ended = alone.check()
    assert ended.code == 0, ended.err
    alone.assert_found(["data/1/lost.root"], ["data/2/left.root"], [], ["data/empty"])


def _failed(ended: Ended) -> str:
    assert ended.code == 4, ended
    return ended.message


@pytest.mark.fault(
    "doors", "one of three doors accepts and never answers", "the others do the work; few requests are lost on it"
)
def test_a_silent_door(among_three: FaultySite, proxy: FaultyProxy) -> None:
    proxy.fault = SILENT
    _assert_all_found(among_three, among_three.check(), more=30)


@pytest.mark.soak
@pytest.mark.fault("doors", "one of three doors goes silent, then is closed", "the others do the work, each time")
def test_dead_doors(among_three: FaultySite, proxy: FaultyProxy, runtime: str) -> None:
    proxy.fault = SILENT
    _assert_all_found(among_three, among_three.check(), more=30)
    proxy.shut()
    _assert_all_found(among_three, among_three.check(), more=30)


@pytest.mark.fault("doors", "one of three doors is closed", "the others do the work; nothing is unlisted")
def test_a_closed_door(among_three: FaultySite, proxy: FaultyProxy) -> None:
    proxy.shut()
    _assert_all_found(among_three, among_three.check(), more=30)


@pytest.mark.soak
@pytest.mark.fault("doors", "one of three doors drops whatever knocks", "the others do the work; nothing is unlisted")
def test_a_deaf_door(among_three: FaultySite, proxy: FaultyProxy) -> None:
    proxy.deafen()
    _assert_all_found(among_three, among_three.check(), more=30)


@pytest.mark.soak
@pytest.mark.fault("doors", "one of three doors answers garbage", "the others do the work; nothing is unlisted")
def test_garbage(among_three: FaultySite, proxy: FaultyProxy) -> None:
    proxy.fault = GARBAGE
    _assert_all_found(among_three, among_three.check(), more=30)


@pytest.mark.soak
@pytest.mark.fault(
    "doors", "one of three doors answers after the deadline", "the others do the work; nothing is unlisted"
)
def test_a_late_door(among_three: FaultySite, proxy: FaultyProxy) -> None:
    proxy.fault = LATE
    _assert_all_found(among_three, among_three.check(), more=30)


@pytest.mark.fault("doors", "one slow door among fast ones", "all is listed; the fast ones do most of it")
def test_a_slow_door(among_three: FaultySite, proxy: FaultyProxy) -> None:
    _prepare(among_three, Timeout=10)
    proxy.fault = SLOW
    _assert_all_found(among_three, among_three.check())


@pytest.mark.parametrize(
    "fault", [pytest.param(RESETS, marks=pytest.mark.soak, id="reset"), pytest.param(CUTS, id="closed")]
)
@pytest.mark.fault(
    "doors", "a door resets, or closes, every connection in the middle of an answer", "retries succeed: all is listed"
)
def test_a_door_that_cuts_answers(alone: FaultySite, proxy: FaultyProxy, fault: Fault) -> None:
    # A connection brings about a hundred bytes until it is logged in, and a small answer is about as long.
    for number in range(_DIRECTORIES):
        alone.put(f"data/{number}/other.root")
    _prepare(alone, Retries=20, InFlight=1)
    proxy.fault = Fault(limit=5000, politely=fault.politely)
    _assert_all_found(alone, alone.check(), more=40)
    assert proxy.connections > 2


@pytest.mark.soak
@pytest.mark.fault(
    "doors",
    "one of three doors resets, or closes, every connection in the middle of an answer",
    "the others do the work; nothing of half an answer is used",
)
def test_a_door_among_three_that_cuts_answers(among_three: FaultySite, proxy: FaultyProxy) -> None:
    for fault in (RESETS, CUTS):
        proxy.fault = fault
        _assert_all_found(among_three, among_three.check("--fresh"), more=40)


@pytest.mark.fault(
    "doors",
    "the only door goes away in the middle for 5 seconds, as by a restart",
    "it is asked again, and all is listed; only what was in flight is asked for in vain",
)
def test_a_door_that_comes_back(alone: FaultySite, proxy: FaultyProxy) -> None:
    _filled(alone, _WIDE)
    _prepare(alone, Retries=3, InFlight=4)

    def away() -> None:
        proxy.shut()
        time.sleep(5)
        proxy.open()

    _assert_all_found(alone, alone.check_while(away), more=60)


@pytest.mark.soak
@pytest.mark.parametrize("seconds", [20, 60])
@pytest.mark.fault(
    "doors",
    "the only door goes away in the middle for 20 seconds, or for a minute",
    "the run waits for it, with a request now and then, and all is listed",
)
def test_a_door_that_comes_back_late(alone: FaultySite, proxy: FaultyProxy, seconds: int) -> None:
    _filled(alone, _WIDE)
    _prepare(alone, Retries=3, InFlight=4)

    def away() -> None:
        proxy.shut()
        time.sleep(seconds)
        proxy.open()

    _assert_all_found(alone, alone.check_while(away), more=60)


@pytest.mark.fault(
    "doors",
    "the only door goes away in the middle and stays away",
    "the run is given up after StallMinutes; what was listed is kept, and the next run goes on from there",
)
def test_a_door_that_goes_away(alone: FaultySite, proxy: FaultyProxy) -> None:
    _filled(alone, _WIDE)
    _prepare(alone, Retries=0, InFlight=4, StallMinutes=0.05)
    ended = alone.check_while(proxy.shut)
    assert ended.code == 4
    last = ended.err.splitlines()[-1]
    assert "nothing has answered for " in last
    assert last.endswith("the next run goes on from there")
    assert "there are answers again" not in ended.err
    assert not list(alone.web.glob("*_compare_*"))

    proxy.open()
    again = alone.check()
    assert again.json["resumed"] > 3
    _assert_all_found(alone, again)


@pytest.mark.fault(
    "doors", "one of three doors goes silent in the middle", "the others do the rest; nothing is unlisted"
)
def test_a_door_that_goes_silent(among_three: FaultySite, proxy: FaultyProxy) -> None:
    _filled(among_three, _WIDE)
    _prepare(among_three, InFlight=8)

    def silence() -> None:
        proxy.fault = SILENT

    _assert_all_found(among_three, among_three.check_while(silence), more=30)


def _doubled(body: bytes) -> bytes:
    entries = listing_of(body)
    return as_listing(entries + entries) if entries else body


def _halved(body: bytes) -> bytes:
    entries = listing_of(body)
    return as_listing(entries[: (len(entries) + 1) // 2]) if entries else body


def _emptied(body: bytes) -> bytes:
    return as_listing([]) if listing_of(body) else body


@pytest.mark.fault("doors", "a door names every entry twice in each answer", "each counts once; all is as it is")
def test_entries_that_come_twice(alone: FaultySite, proxy: FaultyProxy) -> None:
    proxy.fault = Fault(rewrite=_doubled)
    ended = alone.check()
    _assert_all_found(alone, ended)
    assert ended.json["files"] == _DIRECTORIES + 1


@pytest.mark.fault(
    "doors",
    "a door leaves out half of each answer, or all of it, and calls it complete",
    "its directories are unlisted; no file that is there is called missing, and no directory empty",
)
def test_answers_that_are_cut_and_ok(alone: FaultySite, proxy: FaultyProxy) -> None:
    for number in range(_DIRECTORIES):
        alone.put(f"data/{number}/other.root")
    _prepare(alone)
    proxy.fault = Fault(rewrite=_halved)
    ended = alone.check()
    assert ended.code == 0, ended.err
    alone.assert_true()
    assert set(alone.found("compare_missing")) <= {b"data/1/lost.root"}
    assert set(alone.unlisted().values()) == {"listing cut short"}
    proxy.fault = Fault(rewrite=_emptied)
    ended = alone.check("--fresh")
    assert ended.code == 4
    assert "empty with attributes" in ended.message
    alone.assert_true()


@pytest.mark.fault(
    "doors",
    "one of two doors has lost some of its directories, such as mounts of a gateway, and shows these as empty",
    "what it denies is asked of the other one: all is listed, and what is found is exact",
)
def test_a_door_that_has_lost_a_mount(
    xrootd_directory: ServedDirectory, start_xrootd: Callable[..., XRootDServer], make_site: Make
) -> None:
    other = start_xrootd()
    name = xrootd_directory.path.name
    site = make_site([xrootd_directory.path], f"/store/{name}", [xrootd_directory.url, other.url])
    for number in range(10):
        for inner in range(3):
            for file in range(1 + number % 2 * 5):
                site.put(f"data/{number}/{inner}/file{file}.root")
    site.know("data/3/1/lost.root")
    site.put("data/4/1/left.root", known=False)
    (other.store / name / "data").mkdir(parents=True)
    for number in range(10):
        place = other.store / name / "data" / str(number)
        # Those that are looked into before the listing, the first and the last ones, are as they should be.
        if number in (3, 4, 6, 7):
            place.mkdir()
            os.utime(place, (OLD, OLD))
        else:
            place.symlink_to(site.path(f"data/{number}"))
    site.prepare()
    ended = site.check()
    assert ended.code == 0, ended.err
    site.assert_found(["data/3/1/lost.root"], ["data/4/1/left.root"])
    assert site.unlisted() == {}
