"""A clustered site whose servers go, come, and are late: before a run and in the middle of one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from actors.check_job import RunRequest
from actors.oversight import Oversight
from actors.site_run import SiteRun, run_site
from actors.threads import ThreadRuntime
from engine.site_states import Reporting
from storage.backends import choose
from storage.backends.queue import RequestQueue, queue_path
from storage.config.loading import Config
from storage.doors.source import site_source
from storage.history import HistoryDatabase, RunStatus
from storage.sites.summary import SummaryDatabase
from tests.cli.program import Ended, eventually, wait_for
from tests.faults.site import FaultySite
from tests.faults.test_clusters import MISSING, ORPHAN, Make, expected, fill, servers
from tests.servers.faulty_proxy import Fault, FaultyProxy
from tests.servers.xrootd_cluster import XRootDCluster

_WIDE = 300
"""So many directories that a listing with few requests at a time can be caught in the middle."""

_MORE = ("--listers", "1", "--in-flight", "400")
"""All at once: a server that is gone is waited for, with whatever is in flight."""

_SLOWLY = ("--listers", "1", "--in-flight", "2")


@pytest.fixture
def cluster() -> Iterator[XRootDCluster]:
    """Two data servers of one's own, to be harmed."""
    with XRootDCluster() as started:
        yield started


@pytest.fixture
def parted(cluster: XRootDCluster, make_site: Make) -> FaultySite:
    return fill(make_site([cluster.store(0), cluster.store(1)], "/store", [f"root://{cluster.redirector}"]))


def widen(site: FaultySite) -> FaultySite:
    for number in range(_WIDE):
        site.put(f"data/many/{number}/file.root", store=number % 2)
    return site


def in_the_middle(site: FaultySite, change: Callable[[], None], *options: str) -> Ended:
    """Start a check, change something when a part of the listing is in its journal, and wait for the end."""
    running = site.start_check(*(options or _SLOWLY))
    eventually("begun to list", lambda: site.listed > 5, running)
    assert site.journal.exists(), "the listing was over before"
    change()
    return wait_for(running)


@pytest.mark.fault(
    "clusters",
    "one server stopped before the second run",
    "nothing can be listed, the run fails and names the server; back, what is found is exact",
)
def test_a_server_is_stopped_before_the_run_and_is_back(parted: FaultySite, cluster: XRootDCluster) -> None:
    parted.prepare(**expected(cluster))
    assert parted.check().code == 0
    cluster.stop_server(1)
    ended = parted.check("--fresh")
    assert ended.code == 4
    assert f"connection failed at localhost:{cluster.ports[2]}" in ended.err.splitlines()[-1]
    # The lists are those of before, and as true as they were.
    parted.assert_found(MISSING, ORPHAN)
    cluster.start_server(1)
    ended = parted.check("--fresh")
    assert ended.code == 0, ended.err
    parted.assert_found(MISSING, ORPHAN)


@pytest.mark.fault(
    "clusters",
    "one server down from the first run on",
    "refused in one line: with a redirector, or with both servers as Doors, one of them silent",
)
def test_a_server_is_down_from_the_first_run_on(parted: FaultySite, cluster: XRootDCluster) -> None:
    cluster.kill_server(1)
    # A redirector names a server that is gone for a while, or gives no answer; later on it names the other one alone.
    unsure = ("are not known", "of its cluster", "does not answer", "no doors of the site")
    settings: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        ({"Doors": [], "Redirectors": cluster.redirector, "Layout": "clustered"}, unsure),
        ({"Doors": [], "Redirectors": cluster.redirector}, unsure),
        ({"Doors": servers(cluster)}, ("is a data server of a cluster; set Sites.T2_FAULTY.Layout to shared",)),
    ]
    for keys, words in settings:
        parted.prepare(**keys)
        ended = parted.check()
        last = ended.err.splitlines()[-1]
        assert ended.code == 4, (keys, ended.err)
        assert any(known in last for known in words), (keys, last)
        assert not (parted.web / f"{parted.name}_compare_missing.jsonl").exists()


@pytest.mark.soak
@pytest.mark.fault(
    "clusters",
    "one server killed during the run",
    "what was listed is found; what is left is unlisted, with the server, and not judged",
)
def test_a_server_is_killed_during_the_run(cluster: XRootDCluster, make_site: Make, runtime: str) -> None:
    stores = [cluster.store(0), cluster.store(1)]
    with FaultyProxy(cluster.ports[1], Fault(delay=0.1)) as slow:
        parted = widen(fill(make_site(stores, "/store", [slow.url, servers(cluster)[1]])))
        parted.prepare(Layout="clustered", Retries=0)
        ended = in_the_middle(parted, lambda: cluster.kill_server(1), *_MORE)
    assert ended.code == 0, ended.err
    parted.assert_true()
    assert set(parted.found("compare_missing")) <= {name.encode() for name in MISSING}
    unlisted = parted.rows("unlisted")
    # Of several failures the first is named, which may be that of the slow server, out of time behind the proxy.
    assert all("localhost:" in row["detail"] or "127.0.0.1:" in row["detail"] for row in unlisted), unlisted
    assert ended.json["directories"] > 5


@pytest.mark.soak
@pytest.mark.fault(
    "clusters",
    "one server answers nothing for 12 seconds, from the beginning of a run on",
    "the listing waits for it; all is listed, and what is found is exact",
)
def test_a_server_answers_late(parted: FaultySite, cluster: XRootDCluster) -> None:
    parted.prepare(**expected(cluster, Retries=6, Timeout=5))
    assert parted.check().code == 0
    cluster.pause_server(1)
    running = parted.start_check("--fresh")
    try:
        with suppress(subprocess.TimeoutExpired):
            running.wait(12)
    finally:
        cluster.resume_server(1)
    ended = wait_for(running)
    assert ended.code == 0, ended.err
    parted.assert_found(MISSING, ORPHAN)
    assert parted.unlisted() == {}


@pytest.mark.soak
@pytest.mark.fault(
    "clusters", "the redirector restarts during the run", "nobody notices: all is listed, what is found is exact"
)
def test_the_redirector_restarts(parted: FaultySite, cluster: XRootDCluster) -> None:
    def restart() -> None:
        cluster.stop_redirector()
        cluster.start_redirector()

    widen(parted).prepare(**expected(cluster))
    ended = in_the_middle(parted, restart)
    assert ended.code == 0, ended.err
    parted.assert_found(MISSING, ORPHAN)
    assert parted.unlisted() == {}


@pytest.mark.soak
@pytest.mark.fault(
    "clusters",
    "a third server, which nobody knew, joins during the run",
    "no file is called missing, be it on the third or not; the next run knows it, and is exact",
)
@pytest.mark.parametrize("count", [3, 0])
def test_a_server_joins(make_site: Make, count: int) -> None:
    cluster = XRootDCluster(3)

    def join() -> None:
        # The others are held until it is there.
        cluster.pause_server(0)
        cluster.start_server(2)
        cluster.resume_server(0)

    try:
        cluster.start(without=1)
        stores = [cluster.store(number) for number in range(3)]
        site = widen(fill(make_site(stores, "/store", [])))
        site.put("data/0/third.root", store=2)
        site.put("data/third/file.root", store=2)
        site.prepare(**expected(cluster, DataServers=count))
        ended = in_the_middle(site, join)
        assert ended.code == 0, ended.err
        site.assert_found([], ORPHAN)
        if not count:
            return
        cluster.wait_for_servers(3)
        ended = site.check("--fresh")
        assert ended.code == 0, ended.err
        site.assert_found(MISSING, ORPHAN)
    finally:
        cluster.stop()


@pytest.mark.soak
@pytest.mark.fault(
    "clusters",
    "the only door, a redirector or a data server, is silent when the run begins and comes back",
    "refused, or no file is called missing in this run; the next one knows what it is",
)
@pytest.mark.parametrize("door", ["redirector", "server"])
def test_the_door_comes_back(parted: FaultySite, cluster: XRootDCluster, door: str) -> None:
    url = parted.doors[0] if door == "redirector" else servers(cluster)[0]
    parted.prepare(Doors=[url], Timeout=5, Retries=8)
    pause = cluster.pause_redirector if door == "redirector" else lambda: cluster.pause_server(0)
    resume = cluster.resume_redirector if door == "redirector" else lambda: cluster.resume_server(0)
    pause()
    running = parted.start_check()
    try:
        log = parted.home / "var" / "runs" / parted.name / "listing.snapshot.part"
        eventually("begun", log.exists, running)
    finally:
        resume()
    ended = wait_for(running)
    assert "does not answer; should it come back" in parted.log
    if ended.code == 0:
        parted.assert_true()
        assert parted.found("compare_missing") == []
    else:
        # A redirector that has just come back denies everything at first.
        assert ended.code == 4
        assert not (parted.web / f"{parted.name}_compare_missing.jsonl").exists()
    cluster.wait_for_servers(2)
    ended = parted.check("--fresh")
    assert ended.code == 0, ended.err
    assert not ended.json["cluster"]["all_known"]
    parted.assert_found([], ORPHAN if door == "redirector" else [])


@pytest.mark.fault(
    "clusters",
    "a site acts, and after the listing a missing file and an orphan turn up, go or become known on one server",
    "each is asked for again on every server: only what is still so is asked of the registry",
)
def test_what_changes_before_acting(parted: FaultySite, cluster: XRootDCluster) -> None:
    parted.put("data/2/vanishing.root", known=False, store=0)
    parted.put("data/2/grows.root", known=False, store=1)
    parted.make("data/empty", store=0)
    parted.make("data/fills", store=0)
    parted.prepare(**expected(cluster, MissingRuns=1, MaxMissing=100, MaxOrphan=100))
    with SummaryDatabase(parted.web / "stats.db") as summary:
        summary.sync({parted.name: True})
        summary.set_reporting(parted.name, Reporting.ACT)
    changed = []

    def change() -> str:
        """Change the store when the findings are in the history, before anything is asked for."""
        history = parted.home / "var/db/consistency.db"
        if not changed and history.exists():
            with HistoryDatabase(history) as database:
                rows = database.runs(parted.name)
            if rows and rows[0].status == RunStatus.DONE:
                changed.append(True)
                parted.put("data/0/lost.root", store=1)
                parted.path("data/2/vanishing.root", 0).unlink()
                parted.put("data/2/grows.root", 20, known=False, store=1)
                parted.put("data/fills/new.root", known=False, store=1)
        return ""

    config = Config.load(parted.home / "consistency_config.json", {})
    site = config.site(parted.name)
    run = SiteRun(config, site, site_source(site), choose(config, site), RunRequest())
    threads = ThreadRuntime()
    try:
        done = run_site(threads, run, Oversight(change, lambda _phase, _progress: None))
    finally:
        threads.shutdown()
    assert changed
    assert done.refusal is None
    queue = RequestQueue(queue_path(parted.home / "var"))
    deletions, transfers = queue.requests("deletions", parted.name), queue.requests("transfers", parted.name)
    assert sorted(request.lfn for request in deletions) == [b"/store/data/1/left.root", b"/store/data/empty"]
    assert [request.lfn for request in transfers] == [b"/store/data/gone/lost.root"]
    dropped = done.acted.dropped
    assert (dropped.back, dropped.gone, dropped.changed, dropped.filled, dropped.uncertain) == (1, 1, 1, 1, 0)
