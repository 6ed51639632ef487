"""What servers may say on a connection, from orderly to hostile; the common suites have the rest."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial

import pytest

from engine.columns import FileColumns
from engine.listing import Absent, Failed, Listed, NamesListed, Outcome, Present
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.memory import MemoryLister, MemoryStore, publish
from storage.listers.paced import Spreadable
from storage.listers.protocol import Ask, Lister, Sink
from storage.listers.wire import session
from storage.listers.wire.connections import address
from storage.listers.wire.lister import WireLister
from tests.servers import scripted_xrootd as scripted
from tests.servers.credentials import Issuer
from tests.servers.fixtures import ServedDirectory
from tests.servers.scripted_xrootd import Script, ScriptedServer, frame
from tests.storage.listers.asking import asking

NOON = 1_600_000_000
LISTING = b".\n0 0 0 0\na\n7 1 48 1600000000\0"
A = Listed(FileColumns.from_rows([(b"a", 1, NOON)]))


def opened(
    url: str, timeout: float = 20, connections: int = 1, **more: Callable[[Sink], Lister]
) -> partial[WireLister]:
    return partial(WireLister, Door.parse(url), timeout=timeout, connections=connections, **more)


def failed(outcome: Outcome) -> Failed:
    assert isinstance(outcome, Failed), outcome
    assert outcome.detail.isprintable()
    return outcome


def asked_of(script: Script, ask: Ask = Ask.LIST, timeout: float = 20, **more: bytes) -> tuple[Outcome, ScriptedServer]:
    with ScriptedServer(script, **more) as server, asking(opened(server.url, timeout)) as asker:
        return asker.ask(ask, b"/store"), server


def answering(status: int, body: bytes) -> Script:
    return lambda stream, _code, _path: [frame(stream, status, body)]


def test_an_answer_in_parts_is_put_together() -> None:
    def script(stream: int, _code: int, _path: bytes) -> Iterable[bytes]:
        yield frame(stream, scripted.OK_SO_FAR, LISTING[:15])
        yield frame(stream, scripted.OK_SO_FAR, LISTING[15:20])
        yield frame(stream, scripted.OK, LISTING[20:])

    assert asked_of(script)[0] == A


def test_an_answer_may_be_promised() -> None:
    def script(stream: int, _code: int, _path: bytes) -> Iterable[bytes]:
        yield frame(stream, scripted.WAIT_FOR_ANSWER, struct.pack(">i", 5))
        yield frame(0, scripted.ATTENTION, struct.pack(">i", 5002) + b"good morning")
        yield scripted.late(stream, scripted.OK, LISTING)

    assert asked_of(script)[0] == A


def test_a_server_may_have_a_request_wait() -> None:
    def script(stream: int, _code: int, _path: bytes) -> Iterable[bytes]:
        if len(server.asked) < 3:
            yield frame(stream, scripted.WAIT, struct.pack(">i", 0) + b"busy")
        else:
            yield frame(stream, scripted.OK, LISTING)

    with ScriptedServer(script) as server, asking(opened(server.url)) as asker:
        assert asker.list(b"/store") == A
    assert len(server.asked) == 3


def test_a_wait_beyond_the_timeout_is_not_waited_for() -> None:
    outcome, _ = asked_of(answering(scripted.WAIT, struct.pack(">i", 2**31 - 1)))
    assert failed(outcome).reason == Reason.TIMEOUT


def test_a_server_that_has_everybody_wait_for_ever_is_a_timeout() -> None:
    outcome, server = asked_of(answering(scripted.WAIT, struct.pack(">i", -1)), timeout=2)
    assert failed(outcome).reason == Reason.TIMEOUT
    assert len(server.asked) <= 5


def test_a_redirection_is_followed_with_what_it_says() -> None:
    def refer(stream: int, _code: int, _path: bytes) -> Iterable[bytes]:
        return [frame(stream, scripted.REDIRECT, struct.pack(">i", there.port) + b"localhost?key=1")]

    with (
        ScriptedServer(answering(scripted.OK, LISTING)) as there,
        ScriptedServer(refer) as here,
        asking(opened(here.url)) as asker,
    ):
        assert [asker.list(b"/store") for _ in range(2)] == [A, A]
    assert there.asked == [(scripted.DIRLIST, b"/store?key=1")] * 2
    assert there.logins == 1


def test_redirections_in_a_circle_end() -> None:
    def to(port: Callable[[], int]) -> Script:
        return lambda stream, _code, _path: [scripted.redirect(stream, port())]

    with (
        ScriptedServer(to(lambda: b.port)) as a,
        ScriptedServer(to(lambda: a.port)) as b,
        asking(opened(a.url)) as asker,
    ):
        said = failed(asker.list(b"/store"))
    assert said.reason == Reason.CONNECTION
    assert "in a circle" in said.detail
    assert len(a.asked) + len(b.asked) <= 4


def test_redirections_without_an_end_end() -> None:
    def on(stream: int, _code: int, _path: bytes) -> Iterable[bytes]:
        return [frame(stream, scripted.REDIRECT, struct.pack(">i", server.port) + b"localhost?%d" % len(server.asked))]

    with ScriptedServer(on) as server, asking(opened(server.url)) as asker:
        said = failed(asker.list(b"/store"))
    assert said.reason == Reason.CONNECTION
    assert "9 times" in said.detail


@pytest.mark.parametrize("body", [b"", b"\0\0\0\0", struct.pack(">i", 70000) + b"a", struct.pack(">i", 1) + b"a\nb"])
def test_a_redirection_to_nowhere_is_a_failure(body: bytes) -> None:
    assert failed(asked_of(answering(scripted.REDIRECT, body))[0]).reason == Reason.SERVER


def test_a_redirection_to_nobody_is_a_failed_connection() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        outcome, _ = asked_of(lambda stream, _code, _path: [scripted.redirect(stream, port)])
    assert failed(outcome).reason == Reason.CONNECTION
    assert f"localhost:{port}: connect" in failed(outcome).detail


@pytest.mark.parametrize(
    ("number", "words", "reason"),
    [
        (3011, b"no such file", Reason.NOT_FOUND),
        (3010, b"no permission\n\x1b[31m", Reason.PERMISSION),
        (3005, b"Not a directory", Reason.NOT_A_DIRECTORY),
        (3024, b"", Reason.SERVER),
        (-1, b"\xff", Reason.SERVER),
    ],
)
def test_an_error_has_a_reason(number: int, words: bytes, reason: Reason) -> None:
    outcome, _ = asked_of(lambda stream, _code, _path: [scripted.error(stream, number, words)])
    assert failed(outcome).reason == reason
    stat, _ = asked_of(lambda stream, _code, _path: [scripted.error(stream, number, words)], Ask.STAT)
    assert stat == Absent() if reason == Reason.NOT_FOUND else failed(stat).reason == reason


@pytest.mark.parametrize("ask", list(Ask))
@pytest.mark.parametrize("body", [b"", b"\0", b"\n", b"x" * 100, b"\xff\0\xff", b"1 2 3", b".\n0 0 0 0\n\n\0"])
def test_no_body_is_more_than_a_failure(ask: Ask, body: bytes) -> None:
    outcome, _ = asked_of(answering(scripted.OK, body), ask)
    assert isinstance(outcome, Failed) or outcome in (
        Listed(),
        NamesListed(frozenset()),
        NamesListed(frozenset({body})),
    )


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n" * 50,
        struct.pack(">HHi", 1, 0, -1),
        struct.pack(">HHi", 1, 0, 2**31 - 1) + b"x" * 1000,
        struct.pack(">HHi", 1, 99, 0),
        frame(60_000, scripted.OK, LISTING),
        frame(0, scripted.OK, LISTING),
        frame(60_000, scripted.OK_SO_FAR, LISTING),
        scripted.late(60_000, scripted.OK, LISTING),
    ],
)
def test_what_is_no_answer_to_anything_ends_the_connection(sent: bytes) -> None:
    outcome, server = asked_of(lambda _stream, _code, _path: [sent])
    assert failed(outcome).reason == Reason.CONNECTION
    # What was under way is asked once more, on another connection, and no more than that.
    assert len(server.asked) == server.logins == 2


def test_a_second_answer_to_one_question_ends_the_connection() -> None:
    def script(stream: int, _code: int, _path: bytes) -> Iterable[bytes]:
        return [frame(stream, scripted.OK, LISTING)] * 2

    with ScriptedServer(script) as server, asking(opened(server.url)) as asker:
        assert [asker.list(b"/store") for _ in range(3)] == [A] * 3
    assert server.logins == 3


def test_an_answer_without_an_end_takes_no_memory_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.listers.wire.protocol.LARGEST_ANSWER", 1 << 20)
    part = b"%s\n7 1 48 1600000000\n" % (b"n" * 200) * 40

    def script(stream: int, _code: int, _path: bytes) -> Iterable[bytes]:
        yield frame(stream, scripted.OK_SO_FAR, b".\n0 0 0 0\n")
        while True:
            yield frame(stream, scripted.OK_SO_FAR, part)

    said = failed(asked_of(script)[0])
    assert said.reason == Reason.CONNECTION
    assert "without an end" in said.detail


def test_many_answers_without_an_end_take_no_more_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_MOST_BYTES", 1 << 20)
    streams: list[int] = []

    def script(stream: int, _code: int, _path: bytes) -> Iterable[bytes]:
        streams.append(stream)
        if len(streams) < 20:
            return
        for _ in range(1000):
            for each in streams[-20:]:
                yield frame(each, scripted.OK_SO_FAR, b"x" * 1000)

    with ScriptedServer(script) as server, asking(opened(server.url)) as asker:
        outcomes = asker.wait([asker.send(Ask.NAMES, b"/store") for _ in range(20)])
    assert {failed(outcome).reason for outcome in outcomes} == {Reason.CONNECTION}


def test_an_answer_that_goes_on_and_on_is_a_timeout() -> None:
    def script(stream: int, _code: int, _path: bytes) -> Iterable[bytes]:
        if len(server.asked) > 1:
            yield frame(stream, scripted.OK, LISTING)
        while True:
            yield frame(stream, scripted.OK_SO_FAR, b"x\n")
            time.sleep(0.01)

    with ScriptedServer(script) as server, asking(opened(server.url, timeout=1)) as asker:
        assert failed(asker.names(b"/store")).reason == Reason.TIMEOUT
        # The next question has a connection of its own, for the other one is still busy.
        assert asker.list(b"/store") == A
    assert server.logins == 2


def test_a_part_that_never_ends_holds_up_no_other_connection() -> None:
    def script(stream: int, _code: int, _path: bytes) -> Iterable[bytes]:
        if len(server.asked) > 1:
            yield frame(stream, scripted.OK, LISTING)
            return
        yield struct.pack(">HHi", stream, scripted.OK, 1 << 28)
        while True:
            yield b"x"
            time.sleep(0.05)

    with ScriptedServer(script) as server, asking(opened(server.url, timeout=1)) as asker:
        assert failed(asker.list(b"/store")).reason == Reason.TIMEOUT
        assert asker.list(b"/store") == A
    assert server.logins == 2


def test_one_answer_that_never_comes_holds_up_no_other() -> None:
    def script(stream: int, _code: int, path: bytes) -> Iterable[bytes]:
        return [] if path == b"/lost" else [frame(stream, scripted.OK, LISTING)]

    with ScriptedServer(script) as server, asking(opened(server.url, timeout=2)) as asker:
        lost = asker.send(Ask.LIST, b"/lost")
        until = time.monotonic() + 4
        while lost not in asker.outcomes and time.monotonic() < until:
            assert asker.list(b"/store") == A
            time.sleep(0.05)
        assert failed(asker.wait([lost])[0]).reason == Reason.TIMEOUT
        assert asker.list(b"/store") == A
    assert server.logins == 1


def test_a_server_that_takes_too_long_to_let_us_in_is_a_timeout() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        asking(opened(f"root://localhost:{silent.getsockname()[1]}", timeout=1)) as asker,
    ):
        said = failed(asker.list(b"/store"))
    assert said.reason == Reason.TIMEOUT
    assert "localhost" in said.detail


def test_what_is_asked_while_a_connection_breaks_is_asked_again() -> None:
    def script(stream: int, _code: int, _path: bytes) -> Iterable[bytes]:
        if len(server.asked) == 1:
            raise OSError
        yield frame(stream, scripted.OK, LISTING)

    with ScriptedServer(script) as server, asking(opened(server.url)) as asker:
        assert asker.list(b"/store") == A
    assert (len(server.asked), server.logins) == (2, 2)


def test_half_an_answer_is_forgotten_with_its_connection() -> None:
    def script(stream: int, _code: int, _path: bytes) -> Iterable[bytes]:
        if len(server.asked) == 1:
            yield frame(stream, scripted.OK_SO_FAR, b".\n0 0 0 0\nb\n7 1 48 1600000000\n")
            raise OSError
        yield frame(stream, scripted.OK, LISTING)

    with ScriptedServer(script) as server, asking(opened(server.url)) as asker:
        assert asker.list(b"/store") == A


def test_a_dead_door_is_not_knocked_at_without_a_pause() -> None:
    with ScriptedServer(answering(scripted.OK, LISTING), greeting=b"") as server:
        server._first = b"HTTP/1.1 400 Bad Request\r\n\r\n"
        with asking(opened(server.url)) as asker:
            outcomes = asker.wait([asker.send(Ask.LIST, b"/store") for _ in range(50)])
            outcomes += [asker.list(b"/store") for _ in range(50)]
            assert {failed(outcome).reason for outcome in outcomes} == {Reason.CONNECTION}
            assert len(server.open) <= 2


def test_a_name_of_254_bytes_is_looked_up() -> None:
    name = b"n" * 254

    def script(stream: int, code: int, path: bytes) -> Iterable[bytes]:
        if code == scripted.DIRLIST:
            yield frame(stream, scripted.OK, b".\n0 0 0 0\n%s\n7 1 48 1600000000\0" % name)
        elif path == b"/store/" + name and is_there:
            yield frame(stream, scripted.OK, b"7 1 48 1600000000\0")
        else:
            yield scripted.error(stream, 3011, b"no")

    for is_there in (True, False):
        outcome, server = asked_of(script)
        assert [code for code, _ in server.asked] == [scripted.DIRLIST, scripted.STAT]
        if is_there:
            assert outcome == Listed(FileColumns.from_rows([(name, 1, NOON)]))
        else:
            assert failed(outcome).reason == Reason.BAD_NAME


def test_names_are_bytes_both_ways(xrootd_directory: ServedDirectory) -> None:
    name = b"latin-\xe4\xf6 \xff"
    os.makedirs(os.fsencode(xrootd_directory.path) + b"/" + name + b"/" + name)
    with open(os.fsencode(xrootd_directory.path) + b"/" + name + b"/file", "wb"):
        pass
    with asking(opened(f"{xrootd_directory.url}/{xrootd_directory.lfn.decode()}")) as asker:
        listed = asker.list(b"/" + name)
        assert isinstance(listed, Listed)
        assert (listed.files.name_list(), listed.directories.name_list()) == ([b"file"], [name])
        assert asker.names(b"/" + name) == NamesListed(frozenset((b"file", name)))
        assert isinstance(asker.stat(b"/" + name + b"/file"), Present)


def test_a_directory_of_many_files_comes_in_parts(xrootd_directory: ServedDirectory) -> None:
    for number in range(5000):
        (xrootd_directory.path / f"{number:05d}").touch()
    with asking(opened(xrootd_directory.url)) as asker:
        listed = asker.list(xrootd_directory.lfn)
        assert isinstance(listed, Listed)
        assert listed.files.name_list() == [b"%05d" % number for number in range(5000)]
        assert asker.names(xrootd_directory.lfn) == NamesListed(frozenset(listed.files.name_list()))


class _Spreadable(MemoryLister):
    def spread(self, connections: int) -> None:
        """Has no connections."""


class Substitute:
    """Has another lister take over, and keeps how often."""

    def __init__(self) -> None:
        self.opened = 0
        self._store = MemoryStore()
        self._store.add_file(b"/store/a", 1, NOON)
        self._door = Door.parse(publish("substitute", self._store))

    def __call__(self, sink: Sink, connections: int) -> Spreadable:
        assert connections > 0
        self.opened += 1
        return _Spreadable(self._door, sink, timeout=20)


SIGNED = scripted.NOTHING_SPECIAL + b"S\0\0\0\x04\0"


@pytest.mark.parametrize(
    "said",
    [
        {"login": bytes(16) + b"&P=gsi,v:10400&P=unix\0"},
        {"login": bytes(16) + b"&P=sss,0.13:/key\0"},
        {"login": bytes(16) + b"&P=ztn,0:4096:\0"},
        {"protocol": SIGNED},
    ],
    ids=["proxy", "key", "token in the clear", "signatures"],
)
def test_what_is_not_spoken_here_another_lister_does(said: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEARER_TOKEN", Issuer().token())
    substitute = Substitute()
    with ScriptedServer(answering(scripted.OK, b""), **said) as server:
        with asking(opened(server.url, substitute=substitute)) as asker:
            outcomes = asker.wait([asker.send(Ask.LIST, b"/store") for _ in range(20)])
            assert outcomes == [A] * 20
            assert asker.list(b"/store") == A
            assert asker.lister.requests >= 21
        assert {len(answers) for answers in asker.outcomes.values()} == {1}
        assert server.asked == []
    assert substitute.opened == 1


def test_another_lister_that_cannot_be_opened_is_a_failed_authentication() -> None:
    def broken(_sink: Sink, _connections: int) -> Spreadable:
        raise ImportError("no such library")

    with (
        ScriptedServer(answering(scripted.OK, b""), login=bytes(16) + b"&P=gsi,v:10400\0") as server,
        asking(opened(server.url, substitute=broken)) as asker,
    ):
        said = failed(asker.list(b"/store"))
    assert said.reason == Reason.AUTHENTICATION
    assert "no such library" in said.detail


def test_without_another_lister_it_is_a_failed_authentication() -> None:
    outcome, server = asked_of(answering(scripted.OK, b""), login=bytes(16) + b"&P=gsi,v:10400\0")
    said = failed(outcome)
    assert said.reason == Reason.AUTHENTICATION
    assert "gsi" in said.detail
    assert server.asked == []


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("a", ("a", 1094)),
        ("a:1", ("a", 1)),
        ("[::1]", ("::1", 1094)),
        ("[::1]:22", ("::1", 22)),
        ("1.2.3.4:5", ("1.2.3.4", 5)),
    ],
)
def test_an_address_has_a_port(host: str, expected: tuple[str, int]) -> None:
    assert address(host) == expected


def test_an_answer_that_breaks_what_reads_it_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> Outcome:
        raise RecursionError("too deep")

    monkeypatch.setattr("storage.listers.wire.answers.ListingAnswer.end", broken)
    with ScriptedServer(answering(scripted.OK, LISTING)) as server, asking(opened(server.url)) as asker:
        assert failed(asker.list(b"/store")).reason == Reason.SERVER
        # The lister itself goes on.
        assert failed(asker.names(b"/store")).reason == Reason.BAD_NAME


def test_closing_ends_the_thread() -> None:
    with ScriptedServer(answering(scripted.OK, LISTING)) as server, asking(opened(server.url)) as asker:
        asker.list(b"/store")
        assert any(thread.name == "wire-lister" for thread in threading.enumerate())
        asker.lister.close()
        assert not any(thread.name == "wire-lister" for thread in threading.enumerate())
