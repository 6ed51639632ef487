"""What servers say that are broken, or mean no good: scripted, since no real one can be made to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from engine.checksums.digest import ADLER32, Checksum
from engine.columns import FileColumns
from engine.listing import Absent, Failed, Listed, NoChecksum, Outcome, Present
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.protocol import Ask
from storage.listers.webdav.lister import WebDavLister
from tests.servers.scripted_http import Script, ScriptedHTTP, answer, path_of
from tests.storage.listers.asking import Asker, asking
from tests.storage.listers.webdav.test_answers import NOON, document, response


def multistatus(*responses: str, server: str = "stranger") -> list[bytes]:
    return answer("207 Multi-Status", f"Server: {server}", body=document(*responses))


@pytest.fixture
def server() -> Iterator[ScriptedHTTP]:
    with ScriptedHTTP(lambda head: answer("500 Oh")) as server:
        yield server


@pytest.fixture
def asker(server: ScriptedHTTP) -> Iterator[Asker]:
    with asking(partial(WebDavLister, Door.parse(server.url), timeout=20.0, connections=1)) as asker:
        yield asker


def failed(outcome: Outcome) -> Failed:
    assert isinstance(outcome, Failed), outcome
    return outcome


def store(head: bytes, otherwise: Callable[[bytes], list[bytes]]) -> list[bytes]:
    """Answer for a store with ``/`` and in it a page, a directory ``data`` and in that a file."""
    with_members = b"Depth: 1" in head
    match path_of(head):
        case b"/":
            return multistatus(response("/"), *[response("/index.html", 7), response("/data/")] * with_members)
        case b"/data":
            return multistatus(response("/data/"), *[response("/data/x", 1)] * with_members)
        case _:
            return otherwise(head)


@pytest.mark.parametrize("location", ["/", "/login", "http://127.0.0.1:1/", "/data/x/y"])
def test_what_is_said_of_another_path_is_not_believed(server: ScriptedHTTP, asker: Asker, location: str) -> None:
    server.script = lambda head: store(head, lambda _: answer("302 Found", f"Location: {location}"))
    for ask in Ask:
        # The top, with a page and a directory, is neither this directory nor a directory in the place of a file.
        assert "another path" in failed(asker.ask(ask, b"/data/lost")).detail
    assert asker.list(b"/data") == Listed(FileColumns.from_rows([(b"x", 1, NOON)]))


@pytest.mark.parametrize("sent", ["/data/A%2541", "/data/A%41", "//localhost:{port}/data/A%2541", "/other/data/A%2541"])
def test_the_name_that_is_sent_on_to_is_read_as_it_was_asked_for(server: ScriptedHTTP, asker: Asker, sent: str) -> None:
    location = sent.format(port=server.port) + "/"

    def script(head: bytes) -> list[bytes]:
        path = path_of(head)
        return multistatus(response(path.decode())) if path.endswith(b"/") else answer("301", f"Location: {location}")

    server.script = script
    assert asker.stat(b"/data/A%41") == Present(0, NOON, True)
    assert path_of(server.asked[-1]).endswith(b"/data/A%2541/")


def test_a_listing_that_somebody_without_a_name_sends_on_may_be_a_part(server: ScriptedHTTP, asker: Asker) -> None:
    with ScriptedHTTP(lambda head: multistatus(response("/data/"), response("/data/x", 1))) as part:
        location = f"Location: http://localhost:{part.port}/data"
        server.script = lambda head: answer("307 Moved", location)
        assert "is a redirector" in failed(asker.list(b"/data")).detail
        server.script = lambda head: answer("307 Moved", location, "Server: stranger")
        assert asker.list(b"/data") == Listed(FileColumns.from_rows([(b"x", 1, NOON)]))


@pytest.mark.parametrize("host", ["", "me@door", "door:x", "door:", "[::1", "d\xe9"])
def test_what_is_no_host_is_not_asked(server: ScriptedHTTP, asker: Asker, host: str) -> None:
    server.script = lambda head: answer("302 Found", f"Location: http://{host}/data")
    assert failed(asker.list(b"/data")).reason == Reason.SERVER


def test_a_server_that_wants_a_slash_behind_directories_gets_it(server: ScriptedHTTP, asker: Asker) -> None:
    def script(head: bytes) -> list[bytes]:
        if path_of(head) == b"/data/":
            return multistatus(response("/data/"), response("/data/x", 1))
        return answer("301 Moved Permanently", "Location: /data/")

    server.script = script
    assert asker.list(b"/data") == Listed(FileColumns.from_rows([(b"x", 1, NOON)]))


@pytest.mark.parametrize("name", [(), ("Server: proxy",)])
def test_what_stands_before_a_store_that_is_away_denies_nothing(
    server: ScriptedHTTP, asker: Asker, name: tuple[str, ...]
) -> None:
    def nothing(head: bytes) -> list[bytes]:
        return answer("404 Not Found", *name, body=b"404 page not found")

    server.script = nothing
    for ask in Ask:
        assert "everything is denied" in failed(asker.ask(ask, b"/data/x")).detail
    # It is back before the next question.
    server.script = lambda head: store(head, nothing)
    for ask in Ask:
        assert "its directory is shown by 'stranger'" in failed(asker.ask(ask, b"/data/lost")).detail
    server.script = lambda head: store(head, lambda _: answer("404 Not Found", "Server: stranger"))
    assert asker.stat(b"/data/lost") == asker.stat(b"/data/none/lost") == Absent()
    assert failed(asker.list(b"/data/lost")).reason == Reason.NOT_FOUND


def endless(first: bytes, more: bytes, seconds: float = 0.0) -> Script:
    """Begin an answer and go on for ever, with so many seconds between two pieces."""

    def script(head: bytes) -> Iterator[bytes]:
        yield first
        while True:
            time.sleep(seconds)
            yield more

    return script


OPEN = b"HTTP/1.1 207 Multi-Status\r\n\r\n" + document()[: -len(b"</d:multistatus>")]


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (b"HTTP/1.1 207 Multi-Status\r\n\r\n<html>", b"<p>hello</p>" * 5000),
        (OPEN + b"<d:response><d:href>/data</d:href>", b"<d:propstat><d:prop/></d:propstat>" * 2000),
        (OPEN + b"<d:response><d:href>/data", b"x" * 65536),
        (OPEN + response("/data").encode(), b"<d:multistatus></d:multistatus>" * 2000),
        (OPEN + b"<!--", b"x" * 65536),
        (OPEN + b"<d:x y='", b"x" * 65536),
        (b"HTTP/1.1 207 Multi-Status\r\nX: ", b"x" * 65536),
        (b"HTTP/1.1 500 Oh\r\n\r\n", b"x" * 65536),
    ],
)
def test_what_does_not_end_is_not_kept(server: ScriptedHTTP, asker: Asker, first: bytes, more: bytes) -> None:
    server.script = endless(first, more)
    # Not by its timeout, after which there would be gigabytes of it.
    assert failed(asker.list(b"/data")).reason in (Reason.SERVER, Reason.CONNECTION)


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        (b"HTTP/1.1 207 Multi-Status\r\nX: ", b"x"),
        (b"HTTP/1.1 207 Multi-Status\r\nContent-Length: 100000\r\n\r\n", b" "),
        (b"HTTP/1.1 207 Multi-Status\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFF\r\n", b" "),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 100000\r\n\r\n", b"x"),
    ],
)
def test_what_drips_ends_by_the_timeout(server: ScriptedHTTP, first: bytes, more: bytes) -> None:
    server.script = endless(first, more, 0.01)
    with asking(partial(WebDavLister, Door.parse(server.url), timeout=0.5, connections=1)) as asker:
        # Said by the worker, and not by whoever looks after those that do not come back.
        assert "no answer in time" in failed(asker.list(b"/data")).detail


def test_a_size_of_thousands_of_digits_is_none(server: ScriptedHTTP, asker: Asker) -> None:
    server.script = lambda head: multistatus(response("/data/"), response("/data/x", "9" * 5000))
    assert "a size of" in failed(asker.list(b"/data")).detail


@pytest.mark.parametrize(
    "script",
    [
        lambda head: multistatus(response("http://elsewhere\n\x85ERROR \x9b31m" + "x" * 5000 + "/data")),
        lambda head: multistatus(response("/data"), response("/data/x", 1, status="403 \n\x85ERROR " + "x" * 5000)),
        lambda head: multistatus(response("/\n\x85ERROR" + "x" * 5000)),
        lambda head: multistatus(response("/data"), response("/data/x", "\n\x85ERROR" + "x" * 5000)),
        lambda head: answer("500 Oh", body=b"\n\xc2\x85ERROR\x1b[31m" + b"x" * 5000),
        lambda head: answer("207 Multi-Status", body=b"<d:x xmlns:d='y:z\xc2\x85'><d:y\xc2\x9b></d:z></d:x>"),
    ],
)
def test_what_a_server_says_is_one_line(server: ScriptedHTTP, asker: Asker, script: Script) -> None:
    server.script = script
    said = failed(asker.list(b"/data")).detail
    assert said.isprintable()
    assert len(said) < 400


@pytest.mark.parametrize(
    ("headers", "given"),
    [
        (("Digest: md5=AAAA", "Digest: adler32=1a0b045d"), True),
        (("Digest: adler32=1a0b045d", "digest: md5=AAAA"), True),
        (("Digest: adler32=1a0b045d", "Repr-Digest: adler=:GgsEXQ==:"), True),
        (("Digest: adler32=1a0b045d", "Digest: adler32=1a0b045e"), False),
        (("Digest: adler32=1a0b045d", "Content-Encoding: identity"), True),
        # That of what would be sent, which need not be what is there.
        (("Digest: adler32=1a0b045d", "Content-Encoding: gzip"), False),
    ],
)
def test_a_checksum_is_that_of_the_file_alone(
    server: ScriptedHTTP, asker: Asker, headers: tuple[str, ...], given: bool
) -> None:
    server.script = lambda head: answer("200 OK", *headers)
    outcome = asker.checksum(b"/data/x")
    assert outcome == Checksum(ADLER32, "1a0b045d") if given else isinstance(outcome, NoChecksum)
