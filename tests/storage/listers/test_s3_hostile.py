"""What stores of buckets say that are broken, or mean no good: scripted, since no real one can be made to."""

from __future__ import annotations

import itertools
import ssl
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from engine.columns import FileColumns
from engine.listing import Absent, Failed, Listed, Outcome
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.protocol import Ask
from storage.listers.s3 import S3Lister
from tests.servers.credentials import Authority
from tests.servers.s3 import ENVIRONMENT
from tests.servers.scripted_http import Script, ScriptedHTTP, answer
from tests.storage.listers.asking import Asker, asking

NOON = 1_600_000_000


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def server() -> Iterator[ScriptedHTTP]:
    with ScriptedHTTP(lambda head: answer("500 Oh"), scheme="s3+http") as server:
        yield server


@pytest.fixture
def asker(server: ScriptedHTTP) -> Iterator[Asker]:
    with asking(partial(S3Lister, Door.parse(f"{server.url}/bucket"), timeout=20.0, connections=1)) as asker:
        yield asker


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def key(name: str, size: object = 1) -> str:
    time = "<LastModified>2020-09-13T12:26:40.000Z</LastModified>"
    return f"<Contents><Key>{name}</Key>{time}<Size>{size}</Size></Contents>"


def page(*keys: str, prefix: str = "data/", following: str = "") -> list[bytes]:
    more = f"<NextContinuationToken>{following}</NextContinuationToken>" if following else ""
    flags = f"<EncodingType>url</EncodingType><IsTruncated>{str(bool(following)).lower()}</IsTruncated>"
    inside = f"<Name>bucket</Name><Prefix>{prefix}</Prefix>{flags}{more}{''.join(keys)}"
    return answer("200 OK", body=f'<?xml version="1.0"?><ListBucketResult>{inside}</ListBucketResult>'.encode())


def failed(outcome: Outcome) -> Failed:
    assert isinstance(outcome, Failed), outcome
    return outcome


def test_a_key_that_is_on_two_pages_counts_once(server: ScriptedHTTP, asker: Asker) -> None:
    pages = itertools.cycle([page(key("data/x"), key("data/y"), following="more"), page(key("data/y"), key("data/z"))])
    server.script = lambda head: next(pages)
    assert asker.list(b"/data") == Listed(FileColumns.from_rows([(name, 1, NOON) for name in (b"x", b"y", b"z")]))
    pages = itertools.cycle([page(key("data/x"), following="more"), page(key("data/x", 2))])
    assert "listed twice" in failed(asker.list(b"/data")).detail


@pytest.mark.parametrize("code", ["", "NoSuchKey", "NoSuchThing"])
def test_what_stands_before_a_store_that_is_away_denies_nothing(server: ScriptedHTTP, asker: Asker, code: str) -> None:
    body = f"<Error><Code>{code}</Code></Error>".encode() if code else b"404 page not found"
    server.script = lambda head: answer("404 Not Found", body=b"" if head.startswith(b"HEAD") else body)
    for ask in Ask:
        assert failed(asker.ask(ask, b"/data/x")).reason == Reason.SERVER


@pytest.mark.parametrize("listed", [(), ("data/xx",), ("data/x",)])
def test_a_key_is_denied_by_its_list_as_well(server: ScriptedHTTP, asker: Asker, listed: tuple[str, ...]) -> None:
    def script(head: bytes) -> list[bytes]:
        if head.startswith(b"HEAD"):
            return answer("404 Not Found")
        if b"prefix=data%2Fx%2F" in head:
            return page(prefix="data/x/")
        return page(*map(key, listed), prefix="data/x")

    server.script = script
    if "data/x" in listed:
        assert failed(asker.stat(b"/data/x")).reason == Reason.PARTIAL
    else:
        assert asker.stat(b"/data/x") == Absent()


def endless(first: bytes, more: bytes, seconds: float = 0.0) -> Script:
    """Begin an answer and go on for ever, with so many seconds between two pieces."""

    def script(head: bytes) -> Iterator[bytes]:
        yield first
        while True:
            time.sleep(seconds)
            yield more

    return script


@pytest.mark.parametrize("status", ["200 OK", "500 Oh"])
def test_what_does_not_end_is_not_kept(
    server: ScriptedHTTP, asker: Asker, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    monkeypatch.setattr("storage.listers.s3_sending._LARGEST", 4 << 20)
    begun = b"<ListBucketResult><Name>bucket</Name>"
    server.script = endless(f"HTTP/1.1 {status}\r\n\r\n".encode() + begun, b"<Owner>%b</Owner>" % (b"x" * 65536))
    # Not by its timeout, after which there would be gigabytes of it.
    assert "more than 4 MB" in failed(asker.list(b"/data")).detail


@pytest.mark.parametrize("how", ["Content-Length: 100000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\nFFFFFF\r\n"])
def test_what_drips_ends_by_the_timeout(server: ScriptedHTTP, how: str) -> None:
    server.script = endless(f"HTTP/1.1 200 OK\r\n{how}".encode(), b" ", 0.01)
    with asking(partial(S3Lister, Door.parse(f"{server.url}/bucket"), timeout=1.0, connections=1)) as asker:
        # Said by the worker, and not by whoever looks after those that do not come back.
        assert failed(asker.list(b"/data")).detail.startswith("timeout at localhost")


def test_an_answer_that_is_shorter_than_it_says_is_none(server: ScriptedHTTP, asker: Asker) -> None:
    def script(head: bytes) -> Iterator[bytes]:
        yield from [piece.replace(b"Content-Length: ", b"Content-Length: 1") for piece in page(key("data/x"))]
        raise OSError

    server.script = script
    assert failed(asker.list(b"/data")).reason == Reason.CONNECTION


def test_nobody_is_sent_on_to_somewhere_else(server: ScriptedHTTP, asker: Asker) -> None:
    with ScriptedHTTP(lambda head: page(key("data/x"))) as elsewhere:
        server.script = lambda head: answer(
            "307 Moved", f"Location: http://localhost:{elsewhere.port}/bucket?list-type=2"
        )
        assert f"sent on to localhost:{elsewhere.port}" in failed(asker.list(b"/data")).detail
        assert elsewhere.asked == []
    # botocore asks on and on where a bucket is that answers so.
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "item",
    [
        key("data/x", -1),
        key("data/x", 2**63),
        key("data/x", "9" * 5000),
        key("data/x", "many"),
        key("data/x").replace("<Size>1</Size>", ""),
        key("data/x").replace("2020-09-13", "yesterday "),
        key("data/x").replace("LastModified", "Modified"),
        key("data/x").replace("Key>", "Name>"),
        "<CommonPrefixes></CommonPrefixes>",
    ],
)
def test_an_entry_that_lacks_something_leaves_its_directory_partial(
    server: ScriptedHTTP, asker: Asker, item: str
) -> None:
    server.script = lambda head: page(key("data/a"), item)
    assert failed(asker.list(b"/data")).reason == Reason.PARTIAL


def test_a_key_without_a_time_is_not_denied(server: ScriptedHTTP, asker: Asker) -> None:
    server.script = lambda head: answer("200 OK")
    assert failed(asker.stat(b"/data/x")).reason == Reason.PARTIAL


def test_what_a_server_says_is_one_line_without_a_secret(server: ScriptedHTTP, monkeypatch: pytest.MonkeyPatch) -> None:
    token = "of-this-session" * 3
    monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    for code in ("C" * 5000, f"Header{token}"):
        body = f"<Error><Code>{code}&#x85;\nx</Code><Message>it was {token}</Message></Error>".encode()
        server.script = lambda head, body=body: answer("500 Oh", body=body)  # type: ignore[misc]
        with asking(partial(S3Lister, Door.parse(f"{server.url}/bucket"), timeout=2.0, connections=1)) as asker:
            said = failed(asker.list(b"/data")).detail
        assert said.isprintable()
        assert len(said) < 400
        assert "of-this-session" not in said


def test_a_door_that_botocore_does_not_take_is_said() -> None:
    with asking(partial(S3Lister, Door.parse("s3+http://under_score:1/bucket"), timeout=2.0, connections=1)) as asker:
        assert "the door cannot be used: Invalid endpoint" in failed(asker.list(b"/data")).detail


def test_credentials_that_were_replaced_are_used(
    server: ScriptedHTTP, asker: Asker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    good = b"first"

    def script(head: bytes) -> list[bytes]:
        if b"Credential=" + good + b"/" in head:
            return page(key("data/x"))
        return answer("400 Bad Request", body=b"<Error><Code>ExpiredToken</Code><Message>over</Message></Error>")

    def write(name: bytes) -> None:
        file.write_bytes(b"[default]\naws_access_key_id = %b\naws_secret_access_key = mine\n" % name)

    server.script = script
    write(b"none")
    assert failed(asker.list(b"/data")).reason == Reason.AUTHENTICATION
    assert len(server.asked) == 1
    monkeypatch.setattr("storage.listers.s3_client._EVERY", 0.0)
    for good in (b"first", b"second"):
        write(good)
        assert isinstance(asker.list(b"/data"), Listed)
    monkeypatch.setattr("storage.listers.s3_client._EVERY", 60.0)
    good = b"third"
    assert failed(asker.list(b"/data")).reason == Reason.AUTHENTICATION
    # Not at each refusal.
    asked = len(server.asked)
    assert failed(asker.list(b"/data")).reason == Reason.AUTHENTICATION
    assert len(server.asked) == asked + 1


def test_a_door_is_who_its_certificate_says(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    another = Authority(tmp_path / "another")

    def listed() -> Outcome:
        door = Door.parse(f"{server.url}/bucket")
        with asking(partial(S3Lister, door, timeout=5.0, connections=1)) as asker:
            return asker.list(b"/data")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)
    with ScriptedHTTP(lambda head: page(key("data/x")), context, scheme="s3") as server:
        for name in ("X509_CERT_FILE", "AWS_CA_BUNDLE"):
            with monkeypatch.context() as here:
                here.setenv(name, str(authority.file))
                assert isinstance(listed(), Listed)
        for name, said in (("AWS_CA_BUNDLE", "of AWS_CA_BUNDLE"), ("", "that come with botocore")):
            with monkeypatch.context() as here:
                if name:
                    here.setenv(name, str(another.file))
                refused = failed(listed())
                assert refused.reason == Reason.AUTHENTICATION
                assert f"held against the authorities {said}" in refused.detail
