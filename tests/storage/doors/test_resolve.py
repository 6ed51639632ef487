"""From a site's settings to doors that can be trusted, on real servers."""

from __future__ import annotations

import itertools
import json
import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage.config.loading import Config
from storage.doors.redirectors import redirector_list
from storage.doors.resolve import resolve
from storage.doors.source import DoorsError, SourceError, StoreSource, parse_source, site_source
from storage.listers.protocol import DIRECTX, GFAL, StoreSpec
from tests.servers.xrootd import XRootDServer
from tests.servers.xrootd_cluster import XRootDCluster

_roots = itertools.count()


@pytest.fixture
def root() -> str:
    """A RootPath of the test's own."""
    return f"/store/resolve{next(_roots)}"


@pytest.fixture
def source(tmp_path: Path, root: str) -> Callable[..., StoreSource]:
    def make(**keys: Any) -> StoreSource:
        settings = {"VarLocation": "var", "Timeout": 10, "RootPath": root, "Sites": {"T2_X": keys}}
        (tmp_path / "site.json").write_text(json.dumps(settings))
        return site_source(Config.load(tmp_path / "site.json", {}).site("T2_X"))

    return make


def put(store: Path, root: str, *files: str) -> None:
    for file in files:
        path = store / root.removeprefix("/store/") / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def refusal(source: StoreSource) -> str:
    with pytest.raises(DoorsError) as caught:
        resolve(source)
    message = str(caught.value)
    assert "\n" not in message
    assert "T2_X" in message
    return message


def test_a_store_that_is_no_site_stays_as_it_is(tmp_path: Path) -> None:
    plain = parse_source(str(tmp_path), None)
    assert isinstance(plain, StoreSource)
    assert resolve(plain) is plain


def test_a_site_with_one_door_stays_as_it_is(
    xrootd_server: XRootDServer, source: Callable[..., StoreSource], root: str
) -> None:
    put(xrootd_server.store, root, "mc/f")
    site = source(Doors=[xrootd_server.url])

    assert resolve(site) == site


def test_a_door_that_is_down_is_for_the_listing_to_find_out(source: Callable[..., StoreSource]) -> None:
    site = source(Doors=["root://localhost:1"])

    # Nobody knows what it is, so nothing will be proved absent.
    assert resolve(site) == replace(site, spec=replace(site.spec, open_ended=True))

    shared = source(Doors=["root://localhost:1"], Layout="shared")
    assert resolve(shared) == shared


def test_a_server_is_found_through_itself(
    xrootd_server: XRootDServer, source: Callable[..., StoreSource], root: str
) -> None:
    put(xrootd_server.store, root, "mc/f")
    found = resolve(source(Redirectors=f"localhost:{xrootd_server.port}"))

    assert found.spec == StoreSpec((found.spec.doors[0],), 10.0, 16, tries=4)
    assert found.spec.doors[0].endswith(f":{xrootd_server.port}")
    assert found.identity == (f"redirector:localhost:{xrootd_server.port}",)


def test_doors_of_one_file_system_share_the_work(
    xrootd_pair: XRootDCluster, source: Callable[..., StoreSource], root: str
) -> None:
    put(xrootd_pair.store(0), root, "mc/a/b/f", "data/c/g")
    expected = {f"root://{xrootd_pair.server(number)}" for number in (0, 1)}

    for keys in ({"Redirectors": xrootd_pair.redirector}, {"GlobalRedirectors": [xrootd_pair.redirector]}):
        found = resolve(source(**keys))
        assert set(found.spec.doors) == expected
        assert found.site is not None
        assert redirector_list(found.site).exists()
    assert set(resolve(source(Doors=sorted(expected))).spec.doors) == expected


def test_a_banned_door_is_not_used(xrootd_pair: XRootDCluster, source: Callable[..., StoreSource], root: str) -> None:
    put(xrootd_pair.store(0), root, "mc/f")
    other = (f"root://{xrootd_pair.server(1)}",)

    banned = [xrootd_pair.server(0)]
    assert resolve(source(Redirectors=xrootd_pair.redirector, BannedDoors=banned)).spec.doors == other
    doors = [f"root://{xrootd_pair.server(number)}" for number in (0, 1)]
    assert resolve(source(Doors=doors, BannedDoors=banned)).spec.doors == other
    assert "BannedDoors has all" in refusal(source(Doors=doors, BannedDoors=["localhost"]))


@pytest.mark.parametrize("deep", ["", "a/b/c/"])
@pytest.mark.parametrize("kind", ["shared", "global", "doors"])
def test_data_servers_with_parts_of_the_store_are_refused(
    xrootd_cluster: XRootDCluster, source: Callable[..., StoreSource], root: str, deep: str, kind: str
) -> None:
    for number in (0, 1):
        put(xrootd_cluster.store(number), root, f"mc/{deep}file{number}", "data/common")
    doors = [f"root://{xrootd_cluster.server(number)}" for number in (0, 1)]
    keys: dict[str, Any] = {
        "shared": {"Redirectors": xrootd_cluster.redirector, "Layout": "shared"},
        "global": {"GlobalRedirectors": [xrootd_cluster.redirector]},
        "doors": {"Doors": doors},
    }[kind]

    message = refusal(source(**keys))
    for number in (0, 1):
        assert f"{xrootd_cluster.server(number)} has file{number} in {root}/mc/{deep}".rstrip("/") in message


def test_a_ban_does_not_make_one_part_the_whole(
    xrootd_cluster: XRootDCluster, source: Callable[..., StoreSource], root: str
) -> None:
    for number in (0, 1):
        put(xrootd_cluster.store(number), root, f"mc/file{number}")

    banned = [xrootd_cluster.server(0)]
    message = refusal(source(Redirectors=xrootd_cluster.redirector, BannedDoors=banned))
    assert f"{xrootd_cluster.server(0)} has file0" in message


def test_the_last_member_that_answers_is_not_taken_for_the_whole(source: Callable[..., StoreSource], root: str) -> None:
    with XRootDCluster() as cluster:
        for number in (0, 1):
            put(cluster.store(number), root, f"mc/file{number}")
        site = source(Redirectors=cluster.redirector, Layout="shared")
        assert "do not show the same store" in refusal(site)
        cluster.stop_server(1)
        assert f"only {cluster.server(0)} of its cluster answers" in refusal(site)
        # Nor is it when the list of doors is not there to tell.
        assert site.site is not None
        redirector_list(site.site).unlink()
        refusal(site)


def test_a_load_balancer_must_show_what_is_behind_it(
    xrootd_cluster: XRootDCluster, xrootd_server: XRootDServer, source: Callable[..., StoreSource], root: str
) -> None:
    for number in (0, 1):
        put(xrootd_cluster.store(number), root, f"mc/file{number}")
    put(xrootd_server.store, root, "mc/f")

    message = refusal(source(Redirectors=xrootd_cluster.redirector, UseLoadBalancer=True))
    assert "its load balancer does not show the whole store" in message
    balancer = f"localhost:{xrootd_server.port}"
    found = resolve(source(Redirectors=balancer, UseLoadBalancer=True))
    assert found.spec == StoreSpec((f"root://{balancer}",), 10.0, 1, tries=4)


def test_a_load_balancer_in_front_of_parts_is_refused_although_it_shows_them_all(
    xrootd_cluster: XRootDCluster, source: Callable[..., StoreSource], root: str
) -> None:
    for number in (0, 1):
        put(xrootd_cluster.store(number), root, f"mc/file{number}", "data/file")

    message = refusal(source(Redirectors=xrootd_cluster.redirector, UseLoadBalancer=True, AccessMethod="directx"))
    assert "servers that do not show the same store" in message
    assert f"{root}/mc" in message


def test_a_load_balancer_that_does_not_say_what_is_behind_it_is_refused(source: Callable[..., StoreSource]) -> None:
    message = refusal(source(Redirectors="localhost:1", UseLoadBalancer=True))
    assert "whether localhost:1 shows the whole store cannot be told" in message


def test_a_load_balancer_with_one_server_behind_it_is_refused(
    xrootd_cluster: XRootDCluster, source: Callable[..., StoreSource], root: str
) -> None:
    put(xrootd_cluster.store(0), root, "mc/file")
    site = source(Redirectors=xrootd_cluster.redirector, UseLoadBalancer=True, AccessMethod="directx")
    assert site.site is not None
    kept = redirector_list(site.site)
    kept.parent.mkdir(parents=True)
    kept.write_text(
        f"# found {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} by asking {xrootd_cluster.redirector}\n"
        f"{xrootd_cluster.server(0)} {xrootd_cluster.server(0)} cluster\n"
    )

    assert f"only {xrootd_cluster.server(0)} is behind its load balancer" in refusal(site)


def test_who_was_asked_in_vain_is_said(source: Callable[..., StoreSource]) -> None:
    message = refusal(source(Redirectors="localhost:1", GlobalRedirectors=["localhost:2"]))
    assert "localhost:1" in message
    assert "localhost:2" in message


def test_the_prefix_of_cms_is_found_once(
    start_xrootd: Callable[..., XRootDServer],
    source: Callable[..., StoreSource],
    root: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = start_xrootd("all.export /cms")
    put(server.root / "cms" / "store", root, "mc/f")

    with caplog.at_level(logging.WARNING):
        found = resolve(source(Doors=[server.url]))
    assert found.spec.doors == (f"{server.url}//cms",)
    assert f"/cms{root} is" in caplog.text
    assert resolve(replace(found)).spec.doors == found.spec.doors
    with_own = source(Doors=[f"{server.url}//elsewhere"])
    assert resolve(with_own) == with_own
    with_key = source(Doors=[server.url], PathPrefix="/cms")
    assert resolve(with_key).spec.doors == (f"{server.url}//cms",)


def test_a_site_that_is_where_it_should_be_gets_no_prefix(
    start_xrootd: Callable[..., XRootDServer], source: Callable[..., StoreSource], root: str
) -> None:
    server = start_xrootd("all.export /cms")
    put(server.store, root, "mc/f")
    put(server.root / "cms" / "store", root, "mc/g")

    assert resolve(source(Doors=[server.url])).spec.doors == (server.url,)


@pytest.mark.parametrize("below", ["", "mc"])
def test_a_site_that_is_where_it_should_be_and_closed_gets_no_prefix(
    start_xrootd: Callable[..., XRootDServer], source: Callable[..., StoreSource], root: str, below: str
) -> None:
    server = start_xrootd("all.export /cms")
    put(server.store, root, "mc/f")
    put(server.root / "cms" / "store", root, "mc/g")
    server.store.chmod(0)

    assert resolve(source(Doors=[server.url], RootPath=f"{root}/{below}")).spec.doors == (server.url,)


def test_what_is_not_exported_may_have_the_prefix(
    start_xrootd: Callable[..., XRootDServer], source: Callable[..., StoreSource]
) -> None:
    server = start_xrootd("all.export /cms")
    put(server.root / "cms" / "elsewhere", "", "mc/f")

    assert resolve(source(Doors=[server.url], RootPath="/elsewhere")).spec.doors == (f"{server.url}//cms",)


def test_the_prefix_goes_on_doors_that_are_found(
    start_xrootd: Callable[..., XRootDServer], source: Callable[..., StoreSource], root: str
) -> None:
    server = start_xrootd("all.export /cms")
    put(server.root / "cms" / "store", root, "mc/f")

    found = resolve(source(Redirectors=f"localhost:{server.port}", PathPrefix="/cms"))
    assert found.spec.doors[0].endswith(f":{server.port}//cms")


def test_a_dump_is_read_and_says_when_it_was_made(
    tmp_path: Path, source: Callable[..., StoreSource], root: str
) -> None:
    (tmp_path / "dump.txt").write_text(f"{root}/mc/f 1 18500\n")
    os.utime(tmp_path / "dump.txt", (1_600_000_000, 1_600_000_000))
    found = resolve(source(AccessMethod="RAL-Reader", Dump="dump.txt"))

    assert found.as_of == 1_600_000_000
    (door,) = found.spec.doors
    assert door.startswith(f"dump://{tmp_path}/var/dumps/T2_X_dump_")
    assert found.spec.is_of_this_machine
    assert resolve(source(AccessMethod="RAL-Reader", Dump="dump.txt")) == found


def test_a_dump_that_cannot_be_used_fails_the_run(
    tmp_path: Path, source: Callable[..., StoreSource], root: str
) -> None:
    with pytest.raises(SourceError, match=r"set Sites\.T2_X\.Dump"):
        source(AccessMethod="RAL-Reader")
    assert "No such file" in refusal(source(AccessMethod="RAL-Reader", Dump="dump.txt"))
    for content in ("", f"{root}/a 1 2\n{root}/b 1 2\n{root}/c x\n", "/elsewhere/f 1 2\n"):
        (tmp_path / "dump.txt").write_text(content)
        assert "dump.txt" in refusal(source(AccessMethod="RAL-Reader", Dump="dump.txt"))


def test_the_access_method_goes_into_the_spec(source: Callable[..., StoreSource]) -> None:
    doors = ("root://door",)
    assert source(Doors=doors, AccessMethod="directx").spec == StoreSpec(doors, 10.0, 2, DIRECTX, tries=4)
    assert source(Doors=doors, AccessMethod="SRM", GFALThreads=7).spec == StoreSpec(doors, 10.0, 7, GFAL, tries=4)
    assert source(Doors=doors, UseLoadBalancer=True).spec == StoreSpec(doors, 10.0, 1, tries=4)


@pytest.mark.parametrize(("method", "package"), [("SRM", "gfal2-util-scripts"), ("directx", "xrootd-client")])
def test_a_program_that_is_missing_is_named_before_anything_is_listed(
    source: Callable[..., StoreSource],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    method: str,
    package: str,
) -> None:
    from storage.listers import gfal

    site = source(Doors=["root://localhost:1"], AccessMethod=method)
    monkeypatch.setenv("PATH", str(tmp_path))
    gfal.find_gfal.cache_clear()
    with pytest.raises(DoorsError, match=package):
        resolve(site)


@pytest.mark.parametrize("method", ["XRootD", "directx", "SRM"])
def test_a_site_is_probed_with_its_own_method(
    xrootd_pair: XRootDCluster, source: Callable[..., StoreSource], root: str, method: str
) -> None:
    put(xrootd_pair.store(0), root, "mc/a/f", "data/f")
    doors = [f"root://{xrootd_pair.server(number)}" for number in (0, 1)]

    assert list(resolve(source(Doors=doors, AccessMethod=method)).spec.doors) == doors


def test_a_door_that_only_gfal_can_open_asks_for_the_method(source: Callable[..., StoreSource]) -> None:
    assert "set AccessMethod.T2_X to SRM" in refusal(source(Doors=["srm://door/srm/managerv2?SFN=/pnfs"]))


@pytest.mark.parametrize("key", ["Doors", "Redirectors"])
def test_whoever_waits_for_a_deaf_server_can_give_up(source: Callable[..., StoreSource], key: str) -> None:
    class Enough(Exception):
        pass

    looks = itertools.count()

    def enough() -> None:
        if next(looks) == 3:
            raise Enough

    with socket.create_server(("127.0.0.1", 0)) as deaf:
        host = f"localhost:{deaf.getsockname()[1]}"
        asked = source(Doors=[f"root://{host}"]) if key == "Doors" else source(Redirectors=host)
        with pytest.raises(Enough):
            resolve(asked, enough)
    assert not [line for line in _children() if host in line]


def _children() -> list[str]:
    own = str(os.getpid())
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "stat").read_text().rpartition(")")[2].split()[1] == own:
                lines.append((process / "cmdline").read_text())
    return lines
