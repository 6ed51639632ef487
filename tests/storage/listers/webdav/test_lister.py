"""WebDAV servers as they are: XRootD's HTTP plugin and Apache's mod_dav, also through a proxy that spoils answers."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from engine import paths
from engine.columns import FileColumns
from engine.listing import Absent, Failed, Listed, NamesListed, Outcome, Present
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.factory import open_lister
from storage.listers.protocol import Ask, StoreSpec
from storage.listers.webdav.lister import WebDavLister
from tests.servers.faulty_http import FaultyHTTPProxy, cut_short, from_stranger, parts_of, saying, with_body
from tests.servers.faulty_proxy import FORWARD, Fault
from tests.servers.fixtures import ServedDirectory
from tests.servers.webdav import ApacheServer
from tests.servers.xrootd_cluster import XRootDCluster
from tests.storage.listers.asking import Asker, asking, reason_of

NOON = 1_600_000_000

SERVERS = {"XRootD": "http_directory", "Apache": "apache_directory"}


@pytest.fixture(params=[*SERVERS])
def served(request: pytest.FixtureRequest) -> ServedDirectory:
    directory: ServedDirectory = request.getfixturevalue(SERVERS[request.param])
    return directory


def _is_xrootd(served: ServedDirectory) -> bool:
    return not isinstance(served.server, ApacheServer)


def door_of(served: ServedDirectory, url: str = "") -> str:
    return f"{url or served.url}{paths.decode(served.lfn)}"


def opener(*doors: str, timeout: float = 20.0, **more: object) -> Callable[..., object]:
    return partial(open_lister, StoreSpec(doors, timeout=timeout, **more))  # type: ignore[arg-type]


@pytest.fixture
def asker(served: ServedDirectory) -> Iterator[Asker]:
    with asking(opener(door_of(served))) as asker:  # type: ignore[arg-type]
        yield asker


@pytest.fixture
def proxy(served: ServedDirectory) -> Iterator[FaultyHTTPProxy]:
    port = served.server.port if isinstance(served.server, ApacheServer) else served.server.http_port  # type: ignore[attr-defined]
    with FaultyHTTPProxy(port) as proxy:
        yield proxy


@pytest.fixture
def through(served: ServedDirectory, proxy: FaultyHTTPProxy) -> Iterator[Asker]:
    """Asks through the proxy; a store that is away is not waited for."""
    door = Door.parse(door_of(served, proxy.url))
    with asking(partial(WebDavLister, door, timeout=2.0, connections=2)) as asker:
        yield asker


def put(served: ServedDirectory, name: bytes, size: int = 1) -> None:
    path = os.fsencode(served.path) + b"/" + name
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.truncate(size)
    os.utime(path, (NOON, NOON))


def detail_of(outcome: Outcome) -> str:
    assert isinstance(outcome, Failed), outcome
    return outcome.detail


def files(*names: bytes) -> Listed:
    return Listed(FileColumns.from_rows([(name, 1, NOON) for name in names]))


@pytest.mark.parametrize(
    "names",
    [
        (b"A%41",),
        (b"AA",),
        (b"A%41", b"AA"),
        (b"100%", b"%zz", b"%2"),
        (b"%2F", b"%00", b"%25"),
        (b"a b", b"a%20b", b"a+b"),
        (b"caf\xe9", b"caf%E9", "café".encode()),
        (b"&amp;", b"<x>", b"&#65;", b"]]>"),
    ],
)
def test_names_come_out_right_whatever_the_server_makes_of_percent_signs(
    served: ServedDirectory, asker: Asker, names: tuple[bytes, ...]
) -> None:
    for name in names:
        put(served, b"plain/" + name)
        put(served, b"p%41 x/" + name)
    assert asker.list(b"/plain") == files(*names)
    assert asker.list(b"/p%41 x") == files(*names)
    assert asker.names(b"/plain") == NamesListed(frozenset(names))
    assert [asker.stat(b"/plain/" + name) for name in names] == [Present(1, NOON, False)] * len(names)


def test_how_names_are_written_is_asked_once(served: ServedDirectory, asker: Asker) -> None:
    for number in range(5):
        put(served, b"%d/A%%41" % number)
    assert [asker.list(b"/%d" % number) for number in range(5)] == [files(b"A%41")] * 5
    # XRootD denies the other reading before it is asked for this one.
    assert asker.lister.requests <= 5 + 2


def test_a_name_that_goes_while_its_writing_is_found_out_is_not_guessed(
    served: ServedDirectory, proxy: FaultyHTTPProxy, through: Asker
) -> None:
    put(served, b"data/A%41")

    def remove(answer: bytes) -> bytes:
        (served.path / "data/A%41").unlink(missing_ok=True)
        return answer

    proxy.fault = Fault(replace=remove)
    assert reason_of(through.list(b"/data")) == Reason.PARTIAL


def test_a_path_with_a_question_mark_is_asked_for_only_where_it_is_meant(served: ServedDirectory, asker: Asker) -> None:
    put(served, b"data/what?x=1")
    put(served, b"data/a?b/inside")
    put(served, b"data/a/elsewhere")
    asked = (asker.list(b"/data/a?b"), asker.stat(b"/data/what?x=1"), asker.stat(b"/data/not?there"))
    if _is_xrootd(served):
        assert [reason_of(outcome) for outcome in asked] == [Reason.BAD_NAME] * 3
    else:
        assert asked == (files(b"inside"), Present(1, NOON, False), Absent())
    listed = asker.list(b"/data")
    assert isinstance(listed, Listed)
    assert listed.files.name_list() == [b"what?x=1"]
    assert listed.directories.name_list() == [b"a", b"a?b"]


def test_a_name_with_a_newline_spoils_nothing(served: ServedDirectory, asker: Asker) -> None:
    put(served, b"data/first\nsecond")
    put(served, b"data/third")
    outcome = asker.list(b"/data")
    if _is_xrootd(served):
        assert reason_of(outcome) == Reason.BAD_NAME
    else:
        assert outcome == files(b"first\nsecond", b"third")


def test_long_names_are_whole_or_none(served: ServedDirectory, asker: Asker) -> None:
    put(served, b"254/" + b"l" * 254)
    put(served, b"255/" + b"L" * 255)
    assert asker.list(b"/254") == files(b"l" * 254)
    outcome = asker.list(b"/255")
    if _is_xrootd(served):
        assert reason_of(outcome) == Reason.BAD_NAME
    else:
        assert outcome == files(b"L" * 255)


def test_control_characters_are_carried_or_refused(served: ServedDirectory, asker: Asker) -> None:
    put(served, b"data/\x01\x1b[31m\x7f")
    outcome = asker.list(b"/data")
    if _is_xrootd(served):
        assert reason_of(outcome) == Reason.BAD_NAME
    else:
        assert outcome == files(b"\x01\x1b[31m\x7f")


def test_what_is_behind_a_link_that_leads_nowhere_does_not_make_a_directory_empty(
    served: ServedDirectory, asker: Asker
) -> None:
    (served.path / "loop").mkdir()
    (served.path / "loop/self").symlink_to("self")
    assert asker.list(b"/loop") == Listed(others=True)


def test_a_server_of_which_nothing_is_known_is_not_believed_that_a_directory_is_empty(
    served: ServedDirectory, proxy: FaultyHTTPProxy, through: Asker
) -> None:
    (served.path / "hollow").mkdir()
    (served.path / "closed").mkdir()
    put(served, b"closed/file")
    (served.path / "closed").chmod(0o444)
    proxy.fault = Fault(replace=from_stranger)
    # dCache shows one that it cannot list at the moment so, StoRM one whose files it cannot look at.
    assert through.list(b"/hollow") == Listed(others=True)
    assert reason_of(through.list(b"/closed")) == Reason.PERMISSION


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("401 Unauthorized", Reason.AUTHENTICATION),
        ("403 Forbidden", Reason.PERMISSION),
        # Of everything; see `test_hostile`.
        ("404 Not Found", Reason.SERVER),
        ("405 Method Not Allowed", Reason.SERVER),
        ("500 Internal Server Error", Reason.SERVER),
        ("502 Bad Gateway", Reason.SERVER),
        ("200 OK", Reason.SERVER),
        ("207 Multi-Status", Reason.PARTIAL),
        ("302 Found", Reason.SERVER),
    ],
)
def test_what_a_server_says_instead_is_a_reason(
    proxy: FaultyHTTPProxy, through: Asker, status: str, reason: Reason
) -> None:
    proxy.fault = Fault(replace=saying(status))
    assert reason_of(through.list(b"/data")) == reason


def test_a_server_that_has_too_much_to_do_is_asked_later(
    served: ServedDirectory, proxy: FaultyHTTPProxy, through: Asker
) -> None:
    put(served, b"data/x")
    refusals = iter(["1", "1"])

    def busy(answer: bytes) -> bytes:
        seconds = next(refusals, None)
        return answer if seconds is None else saying("503 Busy", f"Retry-After: {seconds}")(answer)

    proxy.fault = Fault(replace=busy)
    assert reason_of(through.list(b"/data")) == Reason.TIMEOUT
    assert through.list(b"/data") == files(b"x")
    proxy.fault = Fault(replace=saying("429 Too Many Requests", "Retry-After: 3600"))
    started = time.monotonic()
    assert "wants to be asked in 3600 s" in detail_of(through.list(b"/data"))
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("politely", [True, False])
def test_half_an_answer_is_none(
    served: ServedDirectory, proxy: FaultyHTTPProxy, through: Asker, politely: bool
) -> None:
    for number in range(40):
        put(served, b"data/%d" % number)
    proxy.fault = Fault(limit=3000, politely=politely)
    assert reason_of(through.list(b"/data")) in (Reason.PARTIAL, Reason.CONNECTION)
    proxy.fault = Fault(replace=cut_short, politely=True)
    # The proxy waits for another request, and the lister for the rest.
    assert reason_of(through.list(b"/data")) == Reason.TIMEOUT
    proxy.fault = FORWARD
    listed = through.list(b"/data")
    assert isinstance(listed, Listed)
    assert len(listed.files) == 40


def test_an_answer_that_says_less_than_it_has_is_none(
    served: ServedDirectory, proxy: FaultyHTTPProxy, through: Asker
) -> None:
    put(served, b"data/x")

    def shorten(answer: bytes) -> bytes:
        head, body = parts_of(answer)
        return with_body(head, body[: len(body) // 2])

    proxy.fault = Fault(replace=shorten)
    assert reason_of(through.list(b"/data")) == Reason.PARTIAL


def test_a_connection_that_was_kept_and_is_gone_is_made_anew(
    served: ServedDirectory, proxy: FaultyHTTPProxy, through: Asker
) -> None:
    put(served, b"data/x")
    for _ in range(3):
        assert through.list(b"/data") == files(b"x")
        proxy.reset()


def test_a_silent_server_is_a_timeout(served: ServedDirectory, proxy: FaultyHTTPProxy, through: Asker) -> None:
    put(served, b"data/x")
    proxy.fault = Fault(stall=True)
    started = time.monotonic()
    assert reason_of(through.list(b"/data")) == Reason.TIMEOUT
    assert time.monotonic() - started < 4


def test_an_answer_that_drips_is_a_timeout(served: ServedDirectory) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        door = Door.parse(f"dav://localhost:{listener.getsockname()[1]}")
        with asking(partial(WebDavLister, door, timeout=1.0, connections=1)) as asker:
            number = asker.send(Ask.LIST, b"/data")
            client, _ = listener.accept()
            with client:
                client.recv(4096)
                client.sendall(b"HTTP/1.1 207 Multi-Status\r\n")
                while number not in asker.outcomes:
                    client.sendall(b"X-Drip: 1\r\n")
                    time.sleep(0.1)
                assert reason_of(asker.wait([number])[0]) == Reason.TIMEOUT


def test_closing_breaks_what_is_under_way(served: ServedDirectory, proxy: FaultyHTTPProxy) -> None:
    put(served, b"data/x")
    proxy.fault = Fault(stall=True)
    asker = Asker(partial(WebDavLister, Door.parse(door_of(served, proxy.url)), timeout=60.0, connections=2))
    asker.send(Ask.LIST, b"/data")
    while not proxy.connections:
        time.sleep(0.01)
    started = time.monotonic()
    asker.lister.close()
    assert time.monotonic() - started < 2
    assert asker.outcomes == {}


def test_a_redirector_of_xrootd_shows_one_part_and_is_not_believed() -> None:
    with XRootDCluster(http=True) as cluster:
        for number in (0, 1):
            (cluster.store(number) / "data").mkdir()
            (cluster.store(number) / f"data/f{number}").touch()
        with asking(opener(f"dav://{cluster.redirector}/store")) as asker:  # type: ignore[arg-type]
            refused = asker.list(b"/data")
            assert "is a redirector" in detail_of(refused)
            # One file it knows where to find, and what nobody has at the moment may be on a server that is down.
            assert isinstance(asker.stat(b"/data/f1"), Present)
            assert reason_of(asker.stat(b"/data/f2")) == Reason.SERVER
        doors = [f"dav://{cluster.server(number)}/store" for number in (0, 1)]
        with asking(opener(*doors, clustered=True)) as asker:  # type: ignore[arg-type]
            listed = asker.list(b"/data")
            assert isinstance(listed, Listed)
            assert listed.files.name_list() == [b"f0", b"f1"]
            assert asker.stat(b"/data/f2") == Absent()
