"""Several doors that go away at once, as with the network between them and whoever lists."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.cli.program import Ended, eventually, wait_for
from tests.faults.site import FaultySite
from tests.servers.faulty_proxy import Fault, FaultyProxy
from tests.servers.fixtures import ServedDirectory

_WIDE = 1200
"""So many directories that a listing can be caught in the middle."""


@pytest.fixture
def doors(xrootd_directory: ServedDirectory) -> Iterator[list[FaultyProxy]]:
    """Three doors of one store, each of which can go wrong."""
    with ExitStack() as stack:
        yield [stack.enter_context(FaultyProxy(xrootd_directory.server.port)) for _ in range(3)]


@pytest.fixture
def site(
    xrootd_directory: ServedDirectory, doors: list[FaultyProxy], make_site: Callable[..., FaultySite]
) -> FaultySite:
    site = make_site([xrootd_directory.path], xrootd_directory.lfn.decode(), [door.url for door in doors])
    site.plant_wide(_WIDE)
    return site


def _in_the_middle(site: FaultySite, act: Callable[[], None], **keys: object) -> Ended:
    site.prepare(**{"Timeout": 2, "Retries": 1, "Connections": 1, "InFlight": 4, "Layout": "shared", **keys})
    process = site.start_check()
    eventually("begun to list", lambda: site.listed > 5, process)
    act()
    return wait_for(process)


@pytest.mark.fault(
    "doors",
    "two of three doors go away in the middle and stay away, one closed and one silent",
    "the third does the rest; nothing is unlisted",
)
def test_two_of_three_doors_go_away(site: FaultySite, doors: list[FaultyProxy]) -> None:
    def away() -> None:
        doors[0].shut()
        doors[1].fault = Fault(stall=True)

    site.assert_wide(_in_the_middle(site, away))


@pytest.mark.soak
@pytest.mark.fault(
    "doors",
    "all of three doors go away in the middle, closed or silent, and come back one after the other",
    "the run waits for them; all is listed",
)
@pytest.mark.parametrize("silent", [False, True])
def test_all_doors_come_back(site: FaultySite, doors: list[FaultyProxy], silent: bool) -> None:
    def away() -> None:
        for door in doors:
            if silent:
                door.fault = Fault(stall=True)
            else:
                door.shut()
        time.sleep(8)
        for door in doors:
            if silent:
                door.fault = Fault()
            else:
                door.open()
            time.sleep(1)

    # Unlike a closed door, a silent one costs every directory in hand a try.
    site.assert_wide(_in_the_middle(site, away, **({"Retries": 6} if silent else {})))


@pytest.mark.soak
@pytest.mark.fault(
    "doors",
    "all of three doors go away in the middle and stay away",
    "the run is given up after StallMinutes, with nothing found; the next one goes on from there",
)
def test_all_doors_go_away(site: FaultySite, doors: list[FaultyProxy]) -> None:
    def away() -> None:
        for door in doors:
            door.shut()

    ended = _in_the_middle(site, away, StallMinutes=0.05)
    assert ended.code == 4, ended
    last = ended.err.splitlines()[-1]
    assert "nothing has answered for " in last
    assert last.endswith("the next run goes on from there")
    assert list(site.web.glob("*_compare_*")) == []
    for door in doors:
        door.open()
    again = site.check()
    site.assert_wide(again)
    assert again.json["resumed"] > 3
