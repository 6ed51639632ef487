"""A clustered site of many directories, whose servers die, stop answering, restart or are slow during a run."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator

import pytest

from tests.cli.program import Ended, eventually, wait_for
from tests.faults.site import FaultySite
from tests.faults.test_cluster_changes import widen
from tests.faults.test_clusters import MISSING, ORPHAN, Make, expected, fill, servers
from tests.servers.faulty_proxy import Fault, FaultyProxy
from tests.servers.xrootd_cluster import XRootDCluster

_TIMEOUT = 1
_IN_FLIGHT = 4
_OPTIONS = ("--listers", "1", "--in-flight", str(_IN_FLIGHT))

_LEFT = [f"data/many/{number}/left.root" for number in (150, 220, 298)]
"""Orphans on the server that stays, in directories that the other one has not."""

_FEW = 15
"""There are fewer directories beside the hundreds."""

_HANDS = 2 * _IN_FLIGHT + 2
"""Directories that a lister has in hand or is about to be handed."""

_MORE = 8
"""Requests to two servers about what is missing, and what is empty on one of them."""

_TRIES = 30
"""Requests that try whether a server is back, in a minute and a half."""

_names = itertools.count()


@pytest.fixture(scope="module")
def harmed() -> Iterator[XRootDCluster]:
    """Two data servers for all rows here; whoever harms one mends it."""
    with XRootDCluster() as started:
        yield started


@pytest.fixture
def wide(harmed: XRootDCluster, make_site: Make) -> FaultySite:
    """A site of hundreds of directories, each on one of two servers, in a directory of its own."""
    name = f"outages{next(_names)}"
    site = widen(fill(make_site([harmed.store(0) / name, harmed.store(1) / name], f"/store/{name}", [])))
    for left in _LEFT:
        site.put(left, known=False, store=0)
    return site


def in_the_middle(site: FaultySite, change: Callable[[], None], *options: str) -> Ended:
    """Start a check, change something when it is at the hundreds of directories, and wait for the end."""
    running = site.start_check(*(options or _OPTIONS))
    eventually("at the many directories", lambda: site.listed > _FEW, running)
    assert site.journal.exists(), "the listing was over before"
    change()
    return wait_for(running)


def prepare(site: FaultySite, cluster: XRootDCluster, **keys: object) -> None:
    site.prepare(**expected(cluster, **{"Timeout": _TIMEOUT, "Retries": 0, **keys}))


def assert_exact(site: FaultySite, ended: Ended, more: int) -> None:
    """Everything was found, each directory with one request to either server, and ``more`` in vain at most."""
    assert ended.code == 0, ended.err
    site.assert_found(MISSING, [*ORPHAN, *_LEFT])
    assert site.unlisted() == {}
    assert ended.json["requests"] <= 2 * ended.json["directories"] + _MORE + more


def assert_given_up(site: FaultySite, ended: Ended, server: str, reasons: set[str]) -> None:
    """What is left is unlisted and names the server, and it was waited for once, not for each of hundreds."""
    assert ended.code == 0, ended.err
    site.assert_true()
    assert set(site.found("compare_missing")) <= {name.encode() for name in MISSING}
    unlisted = site.rows("unlisted")
    # Those that were in hand, and others.
    assert len(unlisted) > 3 * _HANDS
    waited_for = [row for row in unlisted if "given up after " not in row["detail"]]
    # What the server has not is listed on the other one, but for what was waited for.
    in_vain = {row["path"].removeprefix(f"{site.lfn}/") for row in waited_for}
    assert all(name in in_vain or site.path(name, 1).exists() for name in map(os.fsdecode, site.unlisted()))
    assert set(site.found("compare_orphan")) >= {name.encode() for name in _LEFT}
    assert {row["reason"] for row in unlisted} <= reasons
    assert all(f"{server}: " in row["detail"] for row in unlisted)
    assert len(waited_for) <= _HANDS
    assert ended.json["requests"] <= 2 * ended.json["directories"] + 2 * _HANDS + _TRIES


@pytest.mark.soak
@pytest.mark.fault(
    "clusters",
    "one server of hundreds of directories killed during the run",
    "it is waited for once; what it has is unlisted at once, with its name; what only the other has is listed",
)
def test_a_server_is_killed(wide: FaultySite, harmed: XRootDCluster, runtime: str) -> None:
    prepare(wide, harmed)
    try:
        ended = in_the_middle(wide, lambda: harmed.kill_server(1))
    finally:
        harmed.start_server(1)
    harmed.wait_for_servers(2)
    assert_given_up(wide, ended, harmed.server(1), {"connection failed"})
    ended = wide.check("--fresh")
    assert_exact(wide, ended, 0)


@pytest.mark.soak
@pytest.mark.fault(
    "clusters",
    "one server of hundreds of directories stopped (SIGSTOP) during the run",
    "its silence is waited for once; what it has is unlisted, with its name; what only the other has is listed",
)
def test_a_server_is_stopped(wide: FaultySite, harmed: XRootDCluster) -> None:
    prepare(wide, harmed)
    try:
        ended = in_the_middle(wide, lambda: harmed.pause_server(1))
    finally:
        harmed.resume_server(1)
    harmed.wait_for_servers(2)
    # A connection that is made anew is not answered either.
    assert_given_up(wide, ended, harmed.server(1), {"timeout", "connection failed"})


@pytest.mark.fault(
    "clusters",
    "one server killed during the run and started again, with no retries",
    "the listing waits for it; all is listed, and only what was in hand is asked for in vain",
)
def test_a_server_restarts(wide: FaultySite, harmed: XRootDCluster) -> None:
    def restart() -> None:
        harmed.kill_server(1)
        time.sleep(2)
        harmed.start_server(1)

    prepare(wide, harmed)
    ended = in_the_middle(wide, restart)
    harmed.wait_for_servers(2)
    assert_exact(wide, ended, 2 * _HANDS + _TRIES)


@pytest.mark.fault(
    "clusters",
    "one server answers nothing for four times Timeout during the run, with no retries",
    "the listing waits for it; all is listed, and only what was in hand is asked for in vain",
)
def test_a_server_is_silent_for_a_while(wide: FaultySite, harmed: XRootDCluster) -> None:
    def pause() -> None:
        harmed.pause_server(1)
        time.sleep(4 * _TIMEOUT)
        harmed.resume_server(1)

    prepare(wide, harmed)
    assert_exact(wide, in_the_middle(wide, pause), 2 * _HANDS + _TRIES)


@pytest.mark.soak
@pytest.mark.fault(
    "clusters",
    "both servers go away during the run for longer than one would be waited for, and come back",
    "nobody is given up: the listing waits for them, and all is listed",
)
def test_both_servers_go_away(wide: FaultySite, harmed: XRootDCluster) -> None:
    def away() -> None:
        for number in (0, 1):
            harmed.kill_server(number)
        time.sleep(2 * (_TIMEOUT + 20) + 5)
        for number in (0, 1):
            harmed.start_server(number)

    prepare(wide, harmed, Retries=3)
    ended = in_the_middle(wide, away)
    harmed.wait_for_servers(2)
    assert_exact(wide, ended, 4 * (2 * _HANDS + _TRIES))


@pytest.mark.fault(
    "clusters",
    "the redirector is stopped, or killed, during the run and stays away",
    "the data servers are asked without it: all is listed, with no request more",
)
@pytest.mark.parametrize("act", [pytest.param("stop", marks=pytest.mark.soak), "pause"])
def test_the_redirector_goes_away(wide: FaultySite, harmed: XRootDCluster, act: str) -> None:
    away, back = {
        "stop": (harmed.stop_redirector, harmed.start_redirector),
        "pause": (harmed.pause_redirector, harmed.resume_redirector),
    }[act]
    prepare(wide, harmed)
    try:
        ended = in_the_middle(wide, away)
    finally:
        back()
    harmed.wait_for_servers(2)
    assert_exact(wide, ended, 0)


@pytest.mark.fault(
    "clusters",
    "one server takes its time with each answer, from the beginning or from the middle of a run on",
    "the listing takes as long as that takes; all is listed, with no request more",
)
def test_a_server_is_slow(wide: FaultySite, harmed: XRootDCluster) -> None:
    with FaultyProxy(harmed.ports[1], Fault(delay=0.01)) as slow:
        wide.doors = [slow.url, servers(harmed)[1]]

        def slower() -> None:
            slow.fault = Fault(delay=0.03)

        wide.prepare(Layout="clustered", Timeout=20, Retries=0)
        assert_exact(wide, in_the_middle(wide, slower, "--listers", "1", "--in-flight", "64"), 0)
