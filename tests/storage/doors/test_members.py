"""Sites whose data servers hold a part of the store each, on a real cluster."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage.config.loading import Config
from storage.doors.locate import About
from storage.doors.redirectors import redirector_list
from storage.doors.resolve import resolve
from storage.doors.source import DoorsError, StoreSource, site_source
from tests.servers.xrootd import XRootDServer
from tests.servers.xrootd_cluster import XRootDCluster

_roots = itertools.count()


@pytest.fixture
def root() -> str:
    """A RootPath of the test's own."""
    return f"/store/members{next(_roots)}"


@pytest.fixture
def source(tmp_path: Path, root: str) -> Callable[..., StoreSource]:
    def make(**keys: Any) -> StoreSource:
        settings = {"VarLocation": "var", "Timeout": 10, "RootPath": root, "Sites": {"T2_X": keys}}
        (tmp_path / "site.json").write_text(json.dumps(settings))
        return site_source(Config.load(tmp_path / "site.json", {}).site("T2_X"))

    return make


@pytest.fixture
def parts(xrootd_cluster: XRootDCluster, root: str) -> XRootDCluster:
    """The cluster with a part on each server."""
    fill(xrootd_cluster, root)
    return xrootd_cluster


def fill(cluster: XRootDCluster, root: str) -> None:
    for number in (0, 1):
        path = cluster.store(number) / root.removeprefix("/store/") / "mc"
        path.mkdir(parents=True)
        (path / f"file{number}").write_text("x")


def servers(cluster: XRootDCluster) -> list[str]:
    return [f"root://{cluster.server(number)}" for number in (0, 1)]


def ports(found: StoreSource) -> list[int]:
    return sorted(int(door.rpartition(":")[2].partition("/")[0]) for door in found.spec.doors)


def refusal(source: StoreSource) -> str:
    with pytest.raises(DoorsError) as caught:
        resolve(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("layout", ["auto", "clustered"])
@pytest.mark.parametrize("method", ["XRootD", "directx"])
def test_the_members_are_those_that_the_redirector_names(
    parts: XRootDCluster, source: Callable[..., StoreSource], layout: str, method: str
) -> None:
    found = resolve(source(Redirectors=parts.redirector, Layout=layout, AccessMethod=method))

    assert (ports(found), found.spec.clustered) == (sorted(parts.ports[1:]), True)
    assert found.identity == ("layout:clustered", *sorted(found.spec.doors))


def test_what_was_found_out_is_said_and_kept(
    parts: XRootDCluster, source: Callable[..., StoreSource], caplog: pytest.LogCaptureFixture
) -> None:
    site = source(Redirectors=parts.redirector, DataServers=2)
    with caplog.at_level(logging.WARNING):
        found = resolve(site)
    assert "its 2 data servers each hold a part of the store, listed as a cluster" in caplog.text
    assert site.site is not None
    lines = redirector_list(site.site).read_text().splitlines()
    assert lines.count("# layout clustered") == 1
    caplog.clear()
    assert resolve(site) == found
    assert not caplog.text
    assert redirector_list(site.site).read_text().splitlines()[3:] == lines[3:]


@pytest.mark.parametrize("layout", ["auto", "clustered"])
def test_a_redirector_that_is_the_only_door_is_no_door(
    parts: XRootDCluster, source: Callable[..., StoreSource], layout: str
) -> None:
    for keys in ({}, {"Redirectors": parts.redirector}):
        found = resolve(source(Doors=[f"root://{parts.redirector}"], Layout=layout, **keys))
        assert (ports(found), found.spec.clustered) == (sorted(parts.ports[1:]), True)


def test_a_redirector_as_door_of_a_shared_file_system_leads_to_its_servers(
    xrootd_pair: XRootDCluster, source: Callable[..., StoreSource], root: str
) -> None:
    (xrootd_pair.store(0) / root.removeprefix("/store/") / "mc").mkdir(parents=True)
    found = resolve(source(Doors=[f"root://{xrootd_pair.redirector}"]))

    assert (ports(found), found.spec.clustered) == (sorted(xrootd_pair.ports[1:]), False)


def test_doors_are_the_members_that_are_expected(parts: XRootDCluster, source: Callable[..., StoreSource]) -> None:
    doors = servers(parts)

    for keys in ({}, {"Redirectors": parts.redirector}, {"Redirectors": "localhost:1"}):
        found = resolve(source(Doors=doors, Layout="clustered", **keys))
        assert (list(found.spec.doors), found.spec.clustered) == (doors, True)
    found = resolve(source(Doors=doors, Redirectors=parts.redirector))
    assert (list(found.spec.doors), found.spec.clustered) == (doors, True)


def test_a_member_that_nobody_expects_is_refused(parts: XRootDCluster, source: Callable[..., StoreSource]) -> None:
    message = refusal(source(Doors=servers(parts)[:1], Redirectors=parts.redirector, Layout="clustered"))
    assert f":{parts.ports[2]}, which is not among its Doors" in message


def test_an_expected_member_that_the_redirector_does_not_name_is_listed_all_the_same(
    parts: XRootDCluster, source: Callable[..., StoreSource], caplog: pytest.LogCaptureFixture
) -> None:
    doors = [*servers(parts), "root://localhost:1"]
    found = resolve(source(Doors=doors, Redirectors=parts.redirector, Layout="clustered"))

    assert list(found.spec.doors) == doors
    assert "does not name localhost:1" in caplog.text
    assert "localhost:1 does not answer" in caplog.text


def test_doors_in_parts_without_a_redirector_have_to_be_called_a_cluster(
    parts: XRootDCluster, source: Callable[..., StoreSource]
) -> None:
    assert "or Sites.T2_X.Layout to clustered if they hold a part of it each" in refusal(source(Doors=servers(parts)))


@pytest.mark.parametrize("keys", [{"Layout": "clustered"}, {"Layout": "auto"}])
def test_no_member_can_be_banned(
    parts: XRootDCluster, source: Callable[..., StoreSource], keys: dict[str, str]
) -> None:
    banned = [parts.server(0)]
    refusal(source(Redirectors=parts.redirector, BannedDoors=banned, **keys))
    refusal(source(Doors=servers(parts), BannedDoors=banned, Redirectors=parts.redirector, Layout="clustered"))


def test_what_contradicts_a_cluster_is_refused(parts: XRootDCluster, source: Callable[..., StoreSource]) -> None:
    message = refusal(source(Redirectors=parts.redirector, UseLoadBalancer=True, Layout="clustered"))
    assert "UseLoadBalancer" in message
    message = refusal(source(GlobalRedirectors=[parts.redirector], Layout="clustered"))
    assert "set Redirectors.T2_X" in message


def test_a_cluster_of_one_is_not_believed_unless_it_is_expected(
    xrootd_server: XRootDServer, source: Callable[..., StoreSource]
) -> None:
    host = f"localhost:{xrootd_server.port}"

    assert "is known" in refusal(source(Redirectors=host, Layout="clustered"))
    found = resolve(source(Doors=[f"root://{host}"], Redirectors=host, Layout="clustered"))
    assert found.spec.doors == (f"root://{host}",)


def test_a_member_that_went_down_is_not_forgotten(
    source: Callable[..., StoreSource], root: str, caplog: pytest.LogCaptureFixture
) -> None:
    with XRootDCluster() as cluster:
        fill(cluster, root)
        site = source(Redirectors=cluster.redirector)
        before = resolve(site)
        cluster.kill_server(1)
        assert resolve(site).spec == before.spec
        assert f"localhost:{cluster.ports[2]}" in caplog.text or f"127.0.0.1:{cluster.ports[2]}" in caplog.text
        assert "does not answer, so nothing can be listed completely" in caplog.text
        # The same when the redirector says nothing at all.
        cluster.stop_redirector()
        assert resolve(site).spec == before.spec
        assert site.site is not None
        redirector_list(site.site).unlink()
        refusal(site)


@pytest.mark.parametrize("paused", [False, True])
def test_a_cluster_of_which_a_member_is_silent_is_not_found_out(
    source: Callable[..., StoreSource], root: str, paused: bool
) -> None:
    with XRootDCluster(3) as cluster:
        fill(cluster, root)
        cluster.pause_server(2) if paused else cluster.kill_server(2)
        try:
            refusal(source(Redirectors=cluster.redirector))
        finally:
            if paused:
                cluster.resume_server(2)


@pytest.mark.parametrize(("count", "open_ended"), [(0, True), (2, False), (3, True)])
def test_a_cluster_is_complete_only_where_its_number_is_known(
    parts: XRootDCluster, source: Callable[..., StoreSource], count: int, open_ended: bool
) -> None:
    found = resolve(source(Redirectors=parts.redirector, DataServers=count))
    assert (found.spec.clustered, found.spec.open_ended) == (True, open_ended)


def test_a_data_server_alone_is_not_taken_for_the_whole(
    parts: XRootDCluster, source: Callable[..., StoreSource]
) -> None:
    assert resolve(source(Doors=servers(parts)[:1])).spec.open_ended
    assert not resolve(source(Doors=servers(parts)[:1], Layout="shared")).spec.open_ended


def test_a_journal_of_an_only_door_is_that_of_its_store_whatever_it_shows(
    parts: XRootDCluster, source: Callable[..., StoreSource]
) -> None:
    doors = servers(parts)[:1]
    assert resolve(source(Doors=doors)).identity == resolve(source(Doors=doors, Layout="shared")).identity


def test_a_server_by_itself_is_the_whole(xrootd_server: XRootDServer, source: Callable[..., StoreSource]) -> None:
    found = resolve(source(Doors=[f"root://localhost:{xrootd_server.port}"]))
    assert (found.spec.clustered, found.spec.open_ended) == (False, False)


def test_a_door_that_does_not_answer_may_be_anything(
    source: Callable[..., StoreSource], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for keys, open_ended in (({}, True), ({"Layout": "shared"}, False)):
        caplog.clear()
        found = resolve(source(Doors=["root://localhost:1"], **keys))
        assert (found.spec.clustered, found.spec.open_ended) == (False, open_ended)
        assert ("localhost:1, does not answer" in caplog.text) == open_ended


def test_an_eos_or_dcache_door_is_the_whole_and_is_not_asked_for_its_servers(
    xrootd_server: XRootDServer, source: Callable[..., StoreSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What these answer, in front of a real server.
    for about in (About("manager", "cms"), About("role", "cms"), About()):
        monkeypatch.setattr("storage.doors.members.ask_about", lambda *_, said=about: said)
        monkeypatch.setattr("storage.doors.members.locate", lambda *_: pytest.fail("it was asked"))
        found = resolve(source(Doors=[f"root://localhost:{xrootd_server.port}"]))
        assert (found.spec.clustered, found.spec.open_ended) == (False, False)


def test_a_redirector_over_tls_as_the_only_door_is_refused(
    xrootd_server: XRootDServer, source: Callable[..., StoreSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    redirector = About("manager", "localhost:1213/c")
    monkeypatch.setattr("storage.doors.members.ask_about", lambda *_: redirector)
    assert "its door is a redirector" in refusal(source(Doors=[f"roots://localhost:{xrootd_server.port}"]))
