"""A clustered site of which one server answers, and shows nothing of what it has: its disk is not mounted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.site import FaultySite
from tests.faults.test_cluster_changes import cluster, in_the_middle, parted, widen
from tests.faults.test_clusters import MISSING, ORPHAN, expected, message
from tests.servers.xrootd_cluster import XRootDCluster

__all__ = ["cluster", "parted"]


def unmount(cluster: XRootDCluster, mount_point: bool) -> Callable[[], None]:
    """Take the store of the second server away, but for an empty directory of each top; gives what brings it back."""
    store, away = cluster.store(1), cluster.roots[1] / "away"
    store.rename(away)
    store.mkdir()
    if mount_point:
        (store / "data").mkdir()

    def mount() -> None:
        if mount_point:
            (store / "data").rmdir()
        store.rmdir()
        away.rename(store)

    return mount


@pytest.mark.fault(
    "clusters",
    "one server shows nothing when the run begins, as if its disk were not mounted",
    "no file is called missing and no directory empty, and the server is named; mounted, what is found is exact",
)
@pytest.mark.parametrize("mount_point", [True, False])
def test_a_server_shows_nothing(parted: FaultySite, cluster: XRootDCluster, mount_point: bool) -> None:
    parted.make("data/hollow", store=0)
    parted.put("data/hollow/file.root", store=1)
    parted.prepare(**expected(cluster))
    mount = unmount(cluster, mount_point)
    ended = parted.check()
    assert ended.code == 0, ended.err
    assert f"no file is called missing: {cluster.server(1)} shows nothing in /store" in ended.err
    assert f"{cluster.server(1)} shows nothing" in message(parted)
    mount()
    # The orphan is on this server.
    parted.assert_found()
    ended = parted.check()
    assert ended.code == 0, ended.err
    parted.assert_found(MISSING, ORPHAN)


@pytest.mark.fault(
    "clusters",
    "one server has nothing yet, and a directory that says so",
    "what is found is exact",
)
def test_a_server_is_empty_on_purpose(parted: FaultySite, cluster: XRootDCluster) -> None:
    for name in [name for name in parted.known if parted.path(name, 1).exists()]:
        del parted.known[name]
    unmount(cluster, True)
    (cluster.store(1) / "nothing-yet").mkdir()
    parted.prepare(**expected(cluster))
    ended = parted.check()
    assert ended.code == 0, ended.err
    assert ended.json["cluster"]["all_known"]
    parted.assert_found(MISSING, [], [], ["data/halves"])


@pytest.mark.fault(
    "clusters",
    "one server shows nothing any more from the middle of a run on, as if its disk were gone",
    "refused, `server-empty`; mounted, the next run judges nothing of what it lacked, and a fresh one is exact",
)
def test_a_server_shows_nothing_any_more(parted: FaultySite, cluster: XRootDCluster) -> None:
    widen(parted).prepare(**expected(cluster))
    back: list[Callable[[], None]] = []
    ended = in_the_middle(parted, lambda: back.append(unmount(cluster, True)))
    assert ended.code == 4
    assert f"server-empty: {cluster.server(1)} shows nothing in /store" in ended.err.splitlines()[-1]
    assert not list(parted.web.glob("*_compare_*"))
    back[0]()
    ended = parted.check()
    assert ended.code == 0, ended.err
    assert ended.json["resumed"] > 0
    parted.assert_true()
    ended = parted.check("--fresh")
    assert ended.code == 0, ended.err
    parted.assert_found(MISSING, ORPHAN)
