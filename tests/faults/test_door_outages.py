"""Sites of one door and of three that go away in the middle of a run: for seconds, for longer, for good."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.cli.program import Ended
from tests.faults.site import FaultySite
from tests.faults.test_doors import Make
from tests.servers.faulty_proxy import Fault, FaultyProxy
from tests.servers.fixtures import ServedDirectory

_WIDE = 1500
_IN_FLIGHT = 4

_HANDS = 2 * _IN_FLIGHT + 2
"""Directories that a lister has in hand or is about to be handed."""

_TRIES = 30
"""Requests that try whether a door is back, in a minute and a half."""

Doors = list[FaultyProxy]


@pytest.fixture(params=[1, 3])
def doors(request: pytest.FixtureRequest, xrootd_directory: ServedDirectory) -> Iterator[Doors]:
    with ExitStack() as stack:
        yield [stack.enter_context(FaultyProxy(xrootd_directory.server.port)) for _ in range(request.param)]


@pytest.fixture
def wide(doors: Doors, xrootd_directory: ServedDirectory, make_site: Make) -> FaultySite:
    site = make_site([xrootd_directory.path], xrootd_directory.lfn.decode(), [door.url for door in doors])
    site.plant_wide(_WIDE)
    return site


def _prepare(site: FaultySite, **keys: object) -> None:
    # What is in hand has one try, so nothing but waiting keeps it from being unlisted.
    site.prepare(**{"Timeout": 1, "Retries": 0, "InFlight": _IN_FLIGHT, "Layout": "shared", **keys})


def _while_away(site: FaultySite, doors: Doors, seconds: float) -> Ended:
    """Check the site, and shut all of its doors for so long when a part of it is in the journal."""

    def away() -> None:
        for door in doors:
            door.shut()
        time.sleep(seconds)
        for door in doors:
            door.open()

    return site.check_while(away)


@pytest.mark.fault(
    "doors",
    "all doors of a site, one or three, go away in the middle for 5 seconds, with no retries",
    "they are waited for: nothing is unlisted, and only what was in hand is asked for in vain",
)
def test_all_doors_come_back(wide: FaultySite, doors: Doors) -> None:
    _prepare(wide)
    ended = _while_away(wide, doors, 5)
    wide.assert_wide(ended)
    assert ended.json["requests"] <= ended.json["directories"] + 2 * _HANDS + _TRIES


@pytest.mark.soak
@pytest.mark.fault(
    "doors",
    "all doors of a site, one or three, go away in the middle for longer than one try waits",
    "what was in hand is unlisted, with the reason, unless there are retries; all else is listed",
)
@pytest.mark.parametrize("retries", [0, 2])
def test_all_doors_come_back_late(wide: FaultySite, doors: Doors, retries: int) -> None:
    _prepare(wide, Retries=retries)
    ended = _while_away(wide, doors, 25)
    if retries:
        wide.assert_wide(ended)
        return
    assert ended.code == 0, ended.err
    wide.assert_true()
    assert 0 < len(wide.unlisted()) <= _HANDS
    assert set(wide.unlisted().values()) == {"connection failed"}


@pytest.mark.soak
@pytest.mark.fault(
    "doors",
    "all doors of a site, one or three, go away in the middle for longer than any try waits, and stay away",
    "a line says that nothing answers; the run ends after StallMinutes, whatever is left; the next one goes on",
)
def test_all_doors_stay_away(wide: FaultySite, doors: Doors) -> None:
    _prepare(wide, StallMinutes=0.5)

    def away() -> None:
        for door in doors:
            door.shut()

    ended = wide.check_while(away)
    assert ended.code == 4
    last = ended.err.splitlines()[-1]
    assert "nothing has answered for 3" in last
    assert last.endswith("what was listed is kept, and the next run goes on from there")
    assert not list(wide.web.glob("*_compare_*"))

    listed = wide.listed
    for door in doors:
        door.open()
    again = wide.check()
    assert again.json["resumed"] == listed
    wide.assert_wide(again)
    assert again.json["requests"] <= again.json["directories"] - listed + _HANDS


def _prepare_three(site: FaultySite, **keys: object) -> None:
    site.prepare(**{"Timeout": 2, "Retries": 1, "Connections": 1, "InFlight": 4, "Layout": "shared", **keys})


@pytest.fixture
def three(wide: FaultySite) -> FaultySite:
    _prepare_three(wide)
    return wide


@pytest.mark.fault(
    "doors",
    "two of three doors go away in the middle and stay away, one closed and one silent",
    "the third does the rest; nothing is unlisted",
)
@pytest.mark.parametrize("doors", [3], indirect=True)
def test_two_of_three_doors_go_away(three: FaultySite, doors: Doors) -> None:
    def away() -> None:
        doors[0].shut()
        doors[1].fault = Fault(stall=True)

    three.assert_wide(three.check_while(away))


@pytest.mark.soak
@pytest.mark.fault(
    "doors",
    "all of three doors go away in the middle, closed or silent, and come back one after the other",
    "the run waits for them; all is listed",
)
@pytest.mark.parametrize("doors", [3], indirect=True)
@pytest.mark.parametrize("silent", [False, True])
def test_three_doors_come_back_one_by_one(three: FaultySite, doors: Doors, silent: bool) -> None:
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
    if silent:
        _prepare_three(three, Retries=6)
    three.assert_wide(three.check_while(away))
