"""A site whose data servers hold a part of the store each, and what it takes to know all of them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

import pytest

from storage.history import HistoryDatabase
from tests.faults.site import FaultySite
from tests.servers.xrootd_cluster import XRootDCluster

FILES = [f"data/{number % 3}/file{number}.root" for number in range(30)]

MISSING, ORPHAN = ["data/0/lost.root", "data/gone/lost.root"], ["data/1/left.root"]

Make = Callable[..., FaultySite]

_roots = itertools.count()


@pytest.fixture
def parted(xrootd_cluster: XRootDCluster, make_site: Make) -> FaultySite:
    """A site in a directory of its own on the common cluster, which nobody harms; see `fill`."""
    name = f"faults{next(_roots)}"
    site = make_site(
        [xrootd_cluster.store(0) / name, xrootd_cluster.store(1) / name],
        f"/store/{name}",
        [f"root://{xrootd_cluster.redirector}"],
    )
    return fill(site)


def fill(site: FaultySite) -> FaultySite:
    """Put files on either server, a directory on each alone, and two missing files and one orphan."""
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
    """Give all data servers, as doors."""
    return [f"root://{cluster.server(number)}" for number in range(len(cluster.roots))]


def expected(cluster: XRootDCluster, **keys: Any) -> dict[str, Any]:
    """Settings that say how many data servers there are."""
    return {"Doors": [], "Redirectors": cluster.redirector, "DataServers": 2, **keys}


def message(site: FaultySite) -> str:
    """Give what the history says of the last run."""
    with HistoryDatabase(site.home / "var" / "db" / "consistency.db") as history:
        return history.runs(site.name)[0].message


@pytest.mark.quick_on("ray")
@pytest.mark.fault("clusters", "nothing: each server holds a part", "the parts are merged, and what is found is exact")
def test_all_is_well(xrootd_cluster: XRootDCluster, make_site: Make, runtime: str, parted: FaultySite) -> None:
    parted.prepare(**expected(xrootd_cluster))
    ended = parted.check()
    assert ended.code == 0, ended.err
    parted.assert_found(MISSING, ORPHAN)
    assert parted.unlisted() == {}
    assert message(parted).startswith("listed as a cluster of 2 data servers")
    assert ended.json["cluster"] == {"servers": 2, "all_known": True, "on_several": 0, "sizes_differ": 0}


@pytest.mark.fault(
    "clusters",
    "a redirector is the only door",
    "no file is called missing and no directory empty; orphans are found, and it is said which key to set",
)
def test_a_redirector_is_the_only_door(parted: FaultySite) -> None:
    parted.make("data/empty")
    parted.make("data/nested/empty", store=1)
    parted.prepare()
    ended = parted.check()
    assert ended.code == 0, ended.err
    assert "DataServers" in ended.err
    assert "set Sites.T2_FAULTY.DataServers" in message(parted)
    parted.assert_found([], ORPHAN)
    # What lacks files is listed all the same: only these are not judged.
    assert parted.unlisted() == {}
    assert ended.json["protected"] == 2
    assert not ended.json["cluster"]["all_known"]


@pytest.mark.fault(
    "clusters",
    "one data server is the only door",
    "no file is called missing, no directory empty, and it is said which key to set",
)
def test_a_data_server_is_the_only_door(parted: FaultySite, xrootd_cluster: XRootDCluster) -> None:
    parted.make("data/full", store=0)
    parted.put("data/full/unknown.root", known=False, store=1)
    parted.put("data/1/dark.root", known=False, store=0)
    parted.prepare(Doors=servers(xrootd_cluster)[:1])
    ended = parted.check()
    assert ended.code == 0, ended.err
    assert "no file is called missing: its only door" in ended.err
    assert "set Sites.T2_FAULTY.Layout to shared if it shows the whole" in message(parted)
    parted.assert_found([], ["data/1/dark.root"])
    assert parted.unlisted() == {}


@pytest.mark.fault(
    "clusters",
    "none: the only door is one gateway of a shared file system, below a redirector",
    "listed, orphans found, and one line says to set Layout to shared, with which missing files are found",
)
def test_a_gateway_below_a_redirector(xrootd_pair: XRootDCluster, make_site: Make) -> None:
    name = f"faults{next(_roots)}"
    site = make_site([xrootd_pair.store(0) / name], f"/store/{name}", servers(xrootd_pair)[:1])
    site.put("data/0/file.root")
    site.put("data/0/left.root", known=False)
    site.know("data/0/lost.root")
    site.prepare()
    ended = site.check()
    assert ended.code == 0, ended.err
    assert len([line for line in ended.err.splitlines() if "Layout to shared" in line]) == 1
    site.assert_found([], ["data/0/left.root"])
    site.prepare(Layout="shared")
    ended = site.check()
    assert (ended.code, ended.json["cluster"]) == (0, None)
    site.assert_found(["data/0/lost.root"], ["data/0/left.root"])


@pytest.mark.fault(
    "clusters",
    "a file on both servers, also in different sizes",
    "each once; no size is called wrong; both are counted in JSON, text and history, also without an inventory",
)
def test_copies_on_both_servers(parted: FaultySite, xrootd_cluster: XRootDCluster) -> None:
    for store, size in ((0, 10), (1, 10)):
        parted.put("data/2/twice.root", size, store=store)
    for store, size in ((0, 10), (1, 11)):
        parted.put("data/2/unlike.root", size, store=store)
    parted.know("data/2/unlike.root", 10)
    parted.prepare(**expected(xrootd_cluster))
    for options in ((), ("--no-inventory",)):
        ended = parted.check(*options)
        assert ended.code == 0, ended.err
        counts = {"servers": 2, "all_known": True, "on_several": 2, "sizes_differ": 1}
        assert ended.json["cluster"] == counts
        assert "2 on several servers, 1 with different sizes" in message(parted)
        parted.assert_found(MISSING, ORPHAN)


@pytest.mark.fault(
    "clusters",
    "a directory on both servers may not be read on one of them",
    "it is unlisted, with the name of the server; what is in it and below is not judged",
)
def test_unreadable_on_one_server(parted: FaultySite, xrootd_cluster: XRootDCluster) -> None:
    parted.put("data/1/below/file.root", store=0)
    parted.know("data/1/below/lost.root")
    parted.put("data/1/below/left.root", known=False, store=0)
    closed = parted.path("data/1", 0)
    closed.chmod(0o700 if os.geteuid() == 0 else 0)
    parted.prepare(**expected(xrootd_cluster))
    try:
        ended = parted.check()
    finally:
        closed.chmod(0o755)
    assert ended.code == 0, ended.err
    parted.assert_found(MISSING)
    assert parted.unlisted() == {b"data/1": "permission denied"}
    (row,) = parted.rows("unlisted")
    assert f":{xrootd_cluster.ports[1]}" in row["detail"]


@pytest.mark.fault(
    "clusters",
    "a name is a file on one server and a directory on the other; a file is where a directory is looked for",
    "the directory of that name is unlisted, with both servers; nothing in it is judged, and the rest is",
)
def test_a_file_here_and_a_directory_there(parted: FaultySite, xrootd_cluster: XRootDCluster) -> None:
    parted.put("data/odd/name", store=0)
    parted.put("data/odd/name/file.root", store=1)
    parted.know("data/odd/lost.root")
    parted.put("data/odd/left.root", known=False, store=1)
    parted.put("data/gone", known=False, store=0)
    parted.prepare(**expected(xrootd_cluster))
    ended = parted.check()
    assert ended.code == 0, ended.err
    parted.assert_found(MISSING, [*ORPHAN, "data/gone"])
    assert list(parted.unlisted()) == [b"data/odd"]


@pytest.mark.fault(
    "clusters",
    "directories that are empty on one server, on both, and on the one that has them",
    "empty are those that are so everywhere",
)
def test_empty_directories(parted: FaultySite, xrootd_cluster: XRootDCluster) -> None:
    parted.make("data/hollow", store=0)
    parted.put("data/hollow/unknown.root", known=False, store=1)
    parted.make("data/empty", store=0)
    parted.make("data/empty", store=1)
    parted.make("data/alone/inner", store=1)
    parted.prepare(**expected(xrootd_cluster))
    ended = parted.check()
    assert ended.code == 0, ended.err
    empty = ["data/empty", "data/alone/inner", "data/alone"]
    parted.assert_found(MISSING, [*ORPHAN, "data/hollow/unknown.root"], [], empty)
