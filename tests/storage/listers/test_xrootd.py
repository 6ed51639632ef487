"""What XRootD servers get wrong, on a real one, and what both listers make of it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest

from engine.columns import FileColumns
from engine.listing import Absent, Listed, NamesListed, Outcome, Present
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.factory import open_lister
from storage.listers.protocol import BINDINGS, WIRE, Ask, Lister, Request, StoreSpec
from storage.listers.xrootd import XRootDLister
from tests.servers.fixtures import ServedDirectory
from tests.servers.xrootd import XRootDServer
from tests.storage.listers.asking import Asker, asking, reason_of

NOON = 1_600_000_000


def put(directory: ServedDirectory, path: bytes, size: int = 1) -> None:
    located = os.fsencode(directory.path) + path
    os.makedirs(os.path.dirname(located), exist_ok=True)
    with open(located, "wb") as file:
        file.truncate(size)
    os.utime(located, (NOON, NOON))


def opened(method: str, *doors: str, timeout: float = 20, connections: int = 2) -> partial[Lister]:
    return partial(open_lister, StoreSpec(doors, timeout, connections, method))


@pytest.fixture(params=[BINDINGS, WIRE])
def method(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def asker(xrootd_directory: ServedDirectory, method: str) -> Iterator[Asker]:
    with asking(opened(method, f"{xrootd_directory.url}/{xrootd_directory.lfn.decode()}")) as asker:
        yield asker


def test_a_false_empty_is_told_from_an_empty(xrootd_directory: ServedDirectory, asker: Asker) -> None:
    put(xrootd_directory, b"/unsearchable/file")
    (xrootd_directory.path / "unsearchable").chmod(0o444)

    assert reason_of(asker.list(b"/unsearchable")) == Reason.FALSE_EMPTY


def test_an_empty_listing_is_asked_for_twice(xrootd_directory: ServedDirectory, asker: Asker) -> None:
    (xrootd_directory.path / "hollow").mkdir()

    assert asker.list(b"/hollow") == Listed()
    assert asker.lister.requests == 2


def test_names_bring_what_a_looping_link_cuts_off(xrootd_directory: ServedDirectory, asker: Asker) -> None:
    names = {b"file%02d" % i for i in range(20)}
    for name in names:
        put(xrootd_directory, b"/cut/" + name)
    (xrootd_directory.path / "cut" / "loop").symlink_to("loop")

    cut = asker.list(b"/cut")
    # The order on disk decides how much is lost; the server never says that anything is.
    assert isinstance(cut, Listed)
    assert b"loop" not in cut.files.name_list()
    assert asker.names(b"/cut") == NamesListed(frozenset(names | {b"loop"}))
    assert asker.stat(b"/cut/file07") == Present(1, NOON, False)
    assert reason_of(asker.stat(b"/cut/loop")) == Reason.SERVER


def test_links_are_what_they_lead_to(xrootd_directory: ServedDirectory, asker: Asker) -> None:
    put(xrootd_directory, b"/data/file", 9)
    (xrootd_directory.path / "data" / "link").symlink_to("file")
    (xrootd_directory.path / "data" / "dangling").symlink_to("nowhere")

    assert asker.list(b"/data") == Listed(FileColumns.from_rows([(b"file", 9, NOON), (b"link", 9, NOON)]))
    assert asker.names(b"/data") == NamesListed(frozenset((b"file", b"link", b"dangling")))
    assert asker.stat(b"/data/dangling") == Absent()


def test_what_is_neither_file_nor_directory_is_left_out(xrootd_directory: ServedDirectory, asker: Asker) -> None:
    put(xrootd_directory, b"/data/file")
    os.mkfifo(xrootd_directory.path / "data" / "pipe")

    assert asker.list(b"/data") == Listed(FileColumns.from_rows([(b"file", 1, NOON)]), others=True)


def test_a_newline_in_a_name_fails_the_directory(xrootd_directory: ServedDirectory, asker: Asker) -> None:
    put(xrootd_directory, b"/data/one\ntwo")
    put(xrootd_directory, b"/data/file")

    assert reason_of(asker.list(b"/data")) == Reason.BAD_NAME
    assert asker.names(b"/data") == NamesListed(frozenset((b"one", b"two", b"file")))


@pytest.mark.parametrize("name", [b"a?b", b"a\nb"], ids=["question mark", "newline"])
@pytest.mark.parametrize("ask", list(Ask))
def test_paths_that_the_protocol_would_change_are_not_sent(
    xrootd_directory: ServedDirectory, asker: Asker, name: bytes, ask: Ask
) -> None:
    put(xrootd_directory, b"/a/not-this")

    assert reason_of(asker.ask(ask, b"/" + name)) == Reason.BAD_NAME
    assert asker.lister.requests == 0


@pytest.mark.parametrize("ask", list(Ask))
def test_a_path_that_is_not_utf8_is_not_sent_by_the_bindings(xrootd_directory: ServedDirectory, ask: Ask) -> None:
    with asking(opened(BINDINGS, f"{xrootd_directory.url}/{xrootd_directory.lfn.decode()}")) as asker:
        assert reason_of(asker.ask(ask, b"/a\xff")) == Reason.BAD_NAME
        assert asker.lister.requests == 0


def test_a_question_mark_in_a_file_name_is_listed(xrootd_directory: ServedDirectory, asker: Asker) -> None:
    put(xrootd_directory, b"/data/what?")

    assert asker.list(b"/data") == Listed(FileColumns.from_rows([(b"what?", 1, NOON)]))


@pytest.mark.parametrize("ask", [Ask.LIST, Ask.NAMES])
def test_a_name_that_the_server_cut_fails_the_directory(
    xrootd_directory: ServedDirectory, asker: Asker, ask: Ask
) -> None:
    put(xrootd_directory, b"/long/" + b"n" * 255)

    assert reason_of(asker.ask(ask, b"/long")) == Reason.BAD_NAME


@pytest.mark.parametrize("ask", [Ask.LIST, Ask.NAMES])
def test_a_cut_name_does_not_hide_behind_a_whole_one(xrootd_directory: ServedDirectory, asker: Asker, ask: Ask) -> None:
    put(xrootd_directory, b"/long/" + b"n" * 254)
    put(xrootd_directory, b"/long/" + b"n" * 255)

    assert reason_of(asker.ask(ask, b"/long")) == Reason.BAD_NAME


def test_names_of_254_bytes_are_names(xrootd_directory: ServedDirectory, asker: Asker) -> None:
    names = [b"n" * 254, b"m" * 254, "ü".encode() * 127]
    for name in names:
        put(xrootd_directory, b"/long/" + name)

    assert asker.list(b"/long") == Listed(FileColumns.from_rows([(name, 1, NOON) for name in names]))
    assert asker.names(b"/long") == NamesListed(frozenset(names))


def test_names_that_are_not_utf8_come_through_the_program(
    xrootd_directory: ServedDirectory, capfd: pytest.CaptureFixture[str]
) -> None:
    names = [b"latin-\xe4\xf6", b"plain", b" blank \xff"]
    for name in names:
        put(xrootd_directory, b"/bytes/" + name, 5)
    (xrootd_directory.path / "bytes" / "sub").mkdir()
    os.utime(xrootd_directory.path / "bytes" / "sub", (NOON, NOON))

    door = Door.parse(f"{xrootd_directory.url}/{xrootd_directory.lfn.decode()}")
    with asking(partial(XRootDLister, door, timeout=1, grace=0.5)) as asker:
        numbers = [asker.send(ask, b"/bytes") for ask in (Ask.LIST, Ask.NAMES)]
        listed, named = asker.wait(numbers)

    assert isinstance(listed, Listed)
    assert listed.files == FileColumns.from_rows([(name, 5, NOON) for name in names])
    assert listed.directories.name_list() == [b"sub"]
    assert named == NamesListed(frozenset((*names, b"sub")))
    assert capfd.readouterr().err == ""


def test_many_names_that_are_not_utf8_are_passed_over_in_silence(
    xrootd_directory: ServedDirectory, capfd: pytest.CaptureFixture[str]
) -> None:
    for number in range(5):
        put(xrootd_directory, b"/bytes/\xff%d" % number, 5)

    door = Door.parse(f"{xrootd_directory.url}/{xrootd_directory.lfn.decode()}")
    with asking(partial(XRootDLister, door, timeout=1, grace=0.5)) as asker:
        assert isinstance(asker.list(b"/bytes"), Listed)
    assert capfd.readouterr().err == ""


def test_the_silence_does_not_end_with_a_library_that_puts_its_own_hook_back(
    xrootd_directory: ServedDirectory, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(xrootd_directory, b"/bytes/\xff", 5)
    door = Door.parse(f"{xrootd_directory.url}/{xrootd_directory.lfn.decode()}")
    with asking(partial(XRootDLister, door)) as asker:
        asker.list(b"/")
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    with asking(partial(XRootDLister, door, timeout=1, grace=0.5)) as asker:
        assert isinstance(asker.list(b"/bytes"), Listed)
    assert capfd.readouterr().err == ""


def test_closing_ends_the_program_that_helps(
    xrootd_directory: ServedDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = tmp_path / "xrdfs"
    hanging.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/started\nexec sleep 600\n")
    hanging.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    lister = XRootDLister(Door.parse(xrootd_directory.url), lambda _number, _outcome: None, timeout=600)
    assert lister._ask_program(lister._watchdog.start(Request(1, Ask.LIST, b"/store")))
    while not (tmp_path / "started").exists():
        time.sleep(0.01)
    lister.close()

    # The interpreter waits for this thread before it ends.
    leaving = threading.Thread(target=lister._helpers.shutdown, daemon=True)
    leaving.start()
    leaving.join(20)
    assert not leaving.is_alive()


def test_what_is_not_exported_is_forbidden(method: str, xrootd_server: XRootDServer) -> None:
    with asking(opened(method, xrootd_server.url)) as asker:
        assert reason_of(asker.list(b"/elsewhere")) == Reason.PERMISSION
        assert reason_of(asker.stat(b"/elsewhere/file")) == Reason.PERMISSION


def test_a_closed_port_is_a_failed_connection(method: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with asking(opened(method, f"root://localhost:{taken.getsockname()[1]}")) as asker:
            for ask in Ask:
                assert reason_of(asker.ask(ask, b"/store")) == Reason.CONNECTION


def test_an_unknown_host_is_a_failed_connection(method: str) -> None:
    with asking(opened(method, "root://no-such-host.invalid:1094")) as asker:
        assert reason_of(asker.list(b"/store")) == Reason.CONNECTION


def test_a_hanging_server_is_a_timeout_and_can_come_back(
    method: str, start_xrootd: Callable[..., XRootDServer]
) -> None:
    server = start_xrootd()
    (server.store / "file").touch()
    with asking(opened(method, server.url, timeout=2)) as asker:
        assert isinstance(asker.list(b"/store"), Listed)
        server.pause()
        outcomes = asker.wait([asker.send(ask, b"/store") for ask in Ask for _ in range(5)])
        assert {reason_of(outcome) for outcome in outcomes} == {Reason.TIMEOUT}
        server.resume()
        assert isinstance(asker.list(b"/store"), Listed)
        asker.lister.close()
        assert {len(answers) for answers in asker.outcomes.values()} == {1}


def test_a_restarted_server_is_reached_again(method: str, start_xrootd: Callable[..., XRootDServer]) -> None:
    server = start_xrootd()
    (server.store / "file").touch()
    with asking(opened(method, server.url, timeout=5)) as asker:
        assert isinstance(asker.list(b"/store"), Listed)
        server.kill()
        assert reason_of(asker.list(b"/store")) in (Reason.CONNECTION, Reason.TIMEOUT)
        server.start()
        for _ in range(100):
            outcome = asker.list(b"/store")
            if isinstance(outcome, Listed):
                break
            assert reason_of(outcome) in (Reason.CONNECTION, Reason.TIMEOUT)
            time.sleep(0.1)
        assert isinstance(outcome, Listed)


class StuckRelay:
    """Passes on what a server says, until the connections that there are fall silent for good."""

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self._silent: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"root://localhost:{self._listening.getsockname()[1]}"

    def silence(self) -> None:
        self._silent.update(self._ends)

    def close(self) -> None:
        for end in (self._listening, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listening.accept()[0]
                server = socket.create_connection(self._server)
                self._ends += [client, server]
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._relay, args=(source, target), daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if source not in self._silent:
                    target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def test_a_connection_that_is_stuck_is_replaced(method: str, start_xrootd: Callable[..., XRootDServer]) -> None:
    relay = StuckRelay(start_xrootd().port)
    with closing(relay), asking(opened(method, relay.url, timeout=2, connections=1)) as asker:
        assert isinstance(asker.list(b"/store"), Listed)
        relay.silence()
        assert reason_of(asker.list(b"/store")) == Reason.TIMEOUT
        assert isinstance(asker.list(b"/store"), Listed)


def ask_at_once(asker: Asker, server: XRootDServer, count: int) -> None:
    """Have so many requests in flight together: one that is answered before the next leaves room on its connection."""
    server.pause()
    sent = [asker.send(Ask.STAT, b"/store") for _ in range(count)]
    server.resume()
    asker.wait(sent)


def test_a_user_in_the_door_is_the_user_at_the_server(method: str, start_xrootd: Callable[..., XRootDServer]) -> None:
    server = start_xrootd()
    with asking(opened(method, server.url.replace("//", "//alice@"), connections=3)) as asker:
        ask_at_once(asker, server, 12)

    logins = [line for line in server.log.splitlines() if line.endswith("login")]
    assert len(logins) == 3
    assert all(" alice." in line for line in logins)


def test_connections_of_two_listers_are_their_own(method: str, start_xrootd: Callable[..., XRootDServer]) -> None:
    server = start_xrootd()
    for _ in range(2):
        with asking(opened(method, server.url, connections=2)) as asker:
            ask_at_once(asker, server, 8)

    assert server.log.count(" login\n") == 4


def test_a_door_that_is_down_is_passed_over(method: str, start_xrootd: Callable[..., XRootDServer]) -> None:
    server = start_xrootd()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dead = f"root://localhost:{taken.getsockname()[1]}"
        with asking(opened(method, dead, server.url)) as asker:
            outcomes = [asker.stat(b"/store") for _ in range(10)]

    assert reason_of(outcomes[0]) == Reason.CONNECTION
    assert all(isinstance(outcome, Present) for outcome in outcomes[1:])


@pytest.mark.parametrize("hung", [False, True])
def test_a_program_can_end_with_requests_in_flight(
    method: str, start_xrootd: Callable[..., XRootDServer], hung: bool
) -> None:
    server = start_xrootd()
    for number in range(50):
        (server.store / str(number)).touch()
    if hung:
        server.pause()
    program = f"""
from storage.listers.factory import open_lister
from storage.listers.protocol import Ask, Request, StoreSpec
lister = open_lister(StoreSpec(("{server.url}",), method="{method}"), lambda number, outcome: None)
for number in range(1000):
    lister.submit(Request(number, Ask.LIST, b"/store"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, b"")


def test_settings_of_the_user_are_kept(xrootd_server: XRootDServer) -> None:
    program = f"""
import os
os.environ["XRD_CONNECTIONWINDOW"] = "7"
from storage.listers.factory import open_lister
from storage.listers.protocol import StoreSpec
open_lister(StoreSpec(("{xrootd_server.url}",)), print).close()
from pyxrootd import client
print(*[client.EnvGetInt_cpp(name) for name in ("ConnectionWindow", "TimeoutResolution", "WorkerThreads")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=True)

    assert done.stdout == b"7 1 1\n"


def test_an_answer_that_cannot_be_read_is_a_failure(
    xrootd_directory: ServedDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_entries: object) -> Outcome:
        raise RecursionError("too deep")

    put(xrootd_directory, b"/data/file")
    monkeypatch.setattr("storage.listers.xrootd_answers.listing", broken)
    with asking(partial(XRootDLister, Door.parse(xrootd_directory.url))) as asker:
        assert reason_of(asker.list(xrootd_directory.lfn + b"/data")) == Reason.SERVER
