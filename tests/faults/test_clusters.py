"""A site whose data servers hold a part of the store each, while some of them are not there, late, or disagree."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from storage.history import HistoryDatabase
from tests.cli.program import eventually, wait_for
from tests.faults.site import FaultySite
from tests.servers.xrootd_cluster import XRootDCluster

FILES = [f"data/{number % 3}/file{number}.root" for number in range(30)]


@pytest.fixture
def cluster() -> Iterator[XRootDCluster]:
    """Two data servers of one's own, to be harmed."""
    with XRootDCluster() as started:
        yield started


@pytest.fixture
def parted(cluster: XRootDCluster, make_site: Callable[..., FaultySite]) -> FaultySite:
    """A site with files on either server, a directory on each alone, and one file of each kind of finding."""
    return fill(cluster, make_site)


def fill(cluster: XRootDCluster, make_site: Callable[..., FaultySite]) -> FaultySite:
    site = make_site([cluster.store(0), cluster.store(1)], "/store", [f"root://{cluster.redirector}"])
    for number, name in enumerate(FILES):
        site.put(name, store=number % 2)
    for store in (0, 1):
        site.put(f"data/only{store}/deep/file.root", store=store)
    site.make("data/halves", store=0)
    site.put("data/halves/file.root", store=1)
    site.know("data/0/lost.root")
    site.know("data/gone/lost.root")
    site.put("data/1/left.root", known=False, store=1)
    return site


def servers(cluster: XRootDCluster) -> list[str]:
    return [f"root://{cluster.server(number)}" for number in (0, 1)]


def expected(cluster: XRootDCluster, **keys: Any) -> dict[str, Any]:
    """Settings that say how many data servers there are."""
    return {"Doors": [], "Redirectors": cluster.redirector, "DataServers": 2, **keys}


def message(site: FaultySite) -> str:
    with HistoryDatabase(site.home / "var" / "db" / "consistency.db") as history:
        return history.runs(site.name)[0].message


MISSING, ORPHAN = ["data/0/lost.root", "data/gone/lost.root"], ["data/1/left.root"]


@pytest.mark.fault("clusters", "nothing: each server holds a part", "the parts are merged, and what is found is exact")
def test_all_is_well(cluster: XRootDCluster, make_site: Callable[..., FaultySite], runtime: str) -> None:
    parted = fill(cluster, make_site)
    parted.prepare(**expected(cluster))
    ended = parted.check()
    assert ended.code == 0, ended.err
    parted.assert_found(MISSING, ORPHAN)
    assert parted.unlisted() == {}
    assert message(parted).startswith("listed as a cluster of 2 data servers")


@pytest.mark.fault(
    "clusters",
    "a redirector is the only door",
    "what may be on servers nobody named is not judged",
)
def test_a_redirector_is_the_only_door(parted: FaultySite) -> None:
    parted.prepare()
    ended = parted.check()
    assert "DataServers" in ended.err
    parted.assert_found([], ORPHAN)


@pytest.mark.fault("clusters", "one data server is the only door", "no file is called missing, and the log says why")
def test_a_data_server_is_the_only_door(parted: FaultySite, cluster: XRootDCluster) -> None:
    parted.prepare(Doors=servers(cluster)[:1])
    ended = parted.check()
    assert "is a data server of a cluster" in ended.err
    parted.assert_true()
    assert parted.found("compare_missing") == []


@pytest.mark.fault("clusters", "one server stopped before the second run", "nothing is called missing")
@pytest.mark.parametrize("layout", ["auto", "clustered"])
def test_a_server_is_stopped_before_the_run_and_is_back(
    parted: FaultySite, cluster: XRootDCluster, layout: str
) -> None:
    parted.prepare(**expected(cluster, Layout=layout))
    assert parted.check().code == 0
    cluster.stop_server(1)
    ended = parted.check("--fresh")
    assert ended.code != 0
    assert f":{cluster.ports[2]}" in ended.err
    parted.assert_true()
    cluster.start_server(1)
    ended = parted.check("--fresh")
    assert ended.code == 0, ended.err
    parted.assert_found(MISSING, ORPHAN)


@pytest.mark.fault("clusters", "one server down from the first run on", "refused, or nothing is called missing")
@pytest.mark.parametrize("keys", ["redirector", "clustered", "count", "doors", "door"])
def test_a_server_is_down_from_the_first_run_on(parted: FaultySite, cluster: XRootDCluster, keys: str) -> None:
    settings: dict[str, Any] = {
        "redirector": {"Doors": [], "Redirectors": cluster.redirector},
        "clustered": {"Doors": [], "Redirectors": cluster.redirector, "Layout": "clustered"},
        "count": expected(cluster),
        "doors": {"Doors": servers(cluster)},
        "door": {},
    }[keys]
    cluster.kill_server(1)
    parted.prepare(**settings)
    ended = parted.check()
    assert ended.code != 0
    assert not (parted.web / f"{parted.name}_compare_missing.jsonl").exists()


@pytest.mark.fault("clusters", "one server killed during the run", "what it may hold is unlisted, never missing")
def test_a_server_is_killed_during_the_run(parted: FaultySite, cluster: XRootDCluster) -> None:
    for number in range(2000):
        parted.put(f"data/many/{number}/file.root", store=number % 2)
    parted.prepare(**expected(cluster, InFlight=2, Connections=1))
    running = parted.start_check()
    journal = parted.home / "var"
    eventually(
        "the run to begin", lambda: any(path.stat().st_size > 20_000 for path in journal.rglob("*.part")), running
    )
    cluster.kill_server(1)
    assert wait_for(running).code != 0
    if (parted.web / f"{parted.name}_compare_missing.jsonl").exists():
        parted.assert_true()


@pytest.mark.fault("clusters", "one server answers late", "the listing waits for it, and what is found is exact")
def test_a_server_answers_late(parted: FaultySite, cluster: XRootDCluster) -> None:
    parted.prepare(**expected(cluster, Retries=5, Timeout=5))
    assert parted.check().code == 0
    cluster.pause_server(1)
    running = parted.start_check("--fresh")
    try:
        with suppress(subprocess.TimeoutExpired):
            running.wait(12)
    finally:
        cluster.resume_server(1)
    wait_for(running)
    parted.assert_true()


@pytest.mark.fault("clusters", "a file on both servers, also in different sizes", "each once; no size is called wrong")
def test_copies_on_both_servers(parted: FaultySite, cluster: XRootDCluster) -> None:
    for store, size in ((0, 10), (1, 10)):
        parted.put("data/2/twice.root", size, store=store)
    for store, size in ((0, 10), (1, 11)):
        parted.put("data/2/unlike.root", size, store=store)
    parted.know("data/2/unlike.root", 10)
    parted.prepare(**expected(cluster))
    ended = parted.check()
    assert ended.code == 0, ended.err
    parted.assert_found(MISSING, ORPHAN)
    assert "2 on several servers, 1 with different sizes" in message(parted)
