from __future__ import annotations

import socket

import pytest

from storage.doors.locate import About, DataServer, LocateError, ask_about, locate
from tests.servers.xrootd import XRootDServer
from tests.servers.xrootd_cluster import XRootDCluster


def test_a_server_that_stands_alone_names_itself(xrootd_server: XRootDServer) -> None:
    address = f"127.0.0.1:{xrootd_server.port}"

    (server,) = locate(f"localhost:{xrootd_server.port}", b"/store", 10)
    assert (server.address, server.member) == (address, False)
    assert server.door in (address, f"localhost:{xrootd_server.port}")


def test_a_redirector_names_the_members_of_its_cluster(xrootd_cluster: XRootDCluster) -> None:
    found = locate(xrootd_cluster.redirector, b"/store", 10)

    assert sorted(server.address for server in found) == sorted(
        f"127.0.0.1:{port}" for port in xrootd_cluster.ports[1:]
    )
    assert {server.member for server in found} == {True}


def test_a_member_without_the_path_is_named_too(xrootd_cluster: XRootDCluster) -> None:
    (xrootd_cluster.store(0) / "only-here").mkdir(exist_ok=True)

    assert len(locate(xrootd_cluster.redirector, b"/store/only-here", 10)) == 2


def test_who_does_not_answer_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        door = f"localhost:{deaf.getsockname()[1]}"
        with pytest.raises(LocateError, match=door):
            locate(door, b"/store", 1)
    with pytest.raises(LocateError, match="Connection error"):
        locate(door, b"/store", 1)
    with pytest.raises(LocateError, match=r"no-such-host\.invalid"):
        locate("no-such-host.invalid", b"/store", 1)


def test_a_process_that_is_late_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.doors.locate._START_SECONDS", -2.999)
    with pytest.raises(LocateError, match="gave no answer in time"):
        locate("localhost:1", b"/store", 1)


def test_a_data_server_is_a_plain_value() -> None:
    assert DataServer("door:1", "10.0.0.1:1") == DataServer("door:1", "10.0.0.1:1", None)


def test_a_door_says_what_it_is(xrootd_cluster: XRootDCluster, xrootd_server: XRootDServer) -> None:
    redirector = ask_about(f"root://{xrootd_cluster.redirector}", 5)
    member = ask_about(f"root://{xrootd_cluster.server(0)}", 5)
    alone = ask_about(f"root://localhost:{xrootd_server.port}", 5)

    assert (redirector.is_redirector, redirector.is_member) == (True, False)
    assert (member.is_redirector, member.is_member) == (False, True)
    assert (alone.is_redirector, alone.is_member) == (False, False)
    assert alone != About()


@pytest.mark.parametrize(
    "about",
    [
        About(),
        About("role", "cms"),  # dCache gives a question back that it does not know
        About("manager", "cms"),  # and EOS is a manager, of another kind
        About("none", "none"),
        About("server", ""),
        About("manager", ""),
    ],
)
def test_a_door_that_does_not_say_is_a_server_by_itself(about: About) -> None:
    assert not about.is_redirector
    assert not about.is_member


def test_a_door_that_does_not_answer_has_not_said_anything() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        assert ask_about(f"root://localhost:{deaf.getsockname()[1]}", 1) == About()
    assert ask_about("root://localhost:1", 1) == About()


def test_a_process_that_is_late_has_not_said_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.doors.locate._START_SECONDS", -0.999)
    assert ask_about("root://localhost:1", 1) == About()
