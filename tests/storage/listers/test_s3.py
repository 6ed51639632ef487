"""Buckets, on a store whose answers are also spoilt on the way."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from engine.columns import UNKNOWN_MTIME, DirectoryColumns, FileColumns
from engine.listing import Absent, Failed, Listed, NamesListed, Outcome, Present
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.protocol import Ask
from storage.listers.s3 import S3Lister
from tests.servers.faulty_http import FaultyHTTPProxy, cut_short, parts_of, saying, with_body
from tests.servers.faulty_proxy import FORWARD, Fault
from tests.servers.s3 import ENVIRONMENT, S3Server
from tests.storage.listers.asking import Asker, asking

NOON = 1_600_000_000

_buckets = itertools.count()


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    name = f"listed{next(_buckets)}"
    s3_server.make_bucket(name)
    return name


@pytest.fixture
def put(s3_server: S3Server, bucket: str) -> Callable[..., None]:
    def put(*keys: bytes, size: int = 1) -> None:
        for key in keys:
            s3_server.put(bucket, key, size, NOON)

    return put


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[FaultyHTTPProxy]:
    with FaultyHTTPProxy(s3_server.port, scheme="s3+http") as proxy:
        yield proxy


@pytest.fixture
def asker(proxy: FaultyHTTPProxy, bucket: str) -> Iterator[Asker]:
    """Asks through the proxy, as long as that does nothing straight ahead."""
    with asking(_opener(f"{proxy.url}/{bucket}")) as asker:
        yield asker


def _opener(door: str, timeout: float = 5.0) -> partial[S3Lister]:
    return partial(S3Lister, Door.parse(door), timeout=timeout, connections=2)


def files(*names: bytes) -> Listed:
    return Listed(FileColumns.from_rows([(name, 1, NOON) for name in names]))


def failed(outcome: Outcome) -> Failed:
    assert isinstance(outcome, Failed), outcome
    return outcome


def test_a_directory_has_as_many_pages_as_it_takes(
    put: Callable[..., None], asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [b"%04d" % number for number in range(25)]
    put(*[b"data/" + name for name in names], *[b"data/d%02d/x" % number for number in range(25)])
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")
    listed = asker.list(b"/data")
    assert listed == Listed(
        FileColumns.from_rows([(name, 1, NOON) for name in names]),
        DirectoryColumns.from_rows([(b"d%02d" % number, UNKNOWN_MTIME) for number in range(25)]),
    )
    assert asker.lister.requests == 5
    assert asker.names(b"/data") == NamesListed(frozenset((*names, *[b"d%02d" % number for number in range(25)])))


def test_no_directory_is_empty(put: Callable[..., None], asker: Asker) -> None:
    put(b"marked/", b"full/", b"full/x")
    assert asker.list(b"/marked") == Listed(others=True)
    assert asker.list(b"/full") == files(b"x")
    assert asker.stat(b"/marked") == Present(0, NOON, True)
    assert failed(asker.list(b"/none")).reason == Reason.NOT_FOUND
    assert asker.list(b"/") == Listed(
        directories=DirectoryColumns.from_rows([(b"full", UNKNOWN_MTIME), (b"marked", UNKNOWN_MTIME)])
    )


def test_an_empty_bucket_is_there(asker: Asker) -> None:
    assert asker.list(b"/") == Listed(others=True)
    assert asker.stat(b"/") == Present(0, UNKNOWN_MTIME, True)


@pytest.mark.parametrize("key", [b"data//x", b"data/./x", b"data/..", b"data/../x", b"data//"])
def test_a_key_for_which_no_path_stands_leaves_its_directory_unlisted(
    put: Callable[..., None], asker: Asker, key: bytes
) -> None:
    put(b"data/kept", b"other/kept", key)
    assert failed(asker.list(b"/data")).reason == Reason.BAD_NAME
    assert asker.list(b"/other") == files(b"kept")


def test_a_key_that_others_go_on_from_is_no_path(put: Callable[..., None], asker: Asker) -> None:
    put(b"data/both", b"data/both/x")
    assert "no path can be both" in failed(asker.list(b"/data")).detail


@pytest.mark.parametrize(
    "names",
    [
        (b"a b", b"a+b", b"a%20b", b"a%2Bb"),
        (b"a+b",),
        (b"A%41", b"AA", b"100%", b"%zz"),
        ("café\N{OLD ITALIC LETTER A}".encode(), b"\x01\x1b[31m\x7f", b"&amp;<x>]]>"),
        (b"l" * 255, b"L" * 300),
    ],
)
def test_names_are_those_of_the_keys(put: Callable[..., None], asker: Asker, names: tuple[bytes, ...]) -> None:
    put(*[b"data/" + name for name in names], *[b"d +%41/" + name for name in names])
    assert asker.list(b"/data") == files(*names)
    assert asker.list(b"/d +%41") == files(*names)
    assert [asker.stat(b"/data/" + name) for name in names] == [Present(1, NOON, False)] * len(names)
    assert asker.stat(b"/data/" + names[0] + b"x") == Absent()


def _as_aws(answer: bytes) -> bytes:
    """Write blanks as plus signs."""
    head, body = parts_of(answer)
    return with_body(head, body.replace(b"%20", b"+"))


def _with_plain_plus(answer: bytes) -> bytes:
    head, body = parts_of(answer)
    return with_body(head, body.replace(b"%2B", b"+"))


@pytest.mark.parametrize(("way", "name"), [(_as_aws, b"a b"), (_with_plain_plus, b"a+b")])
def test_a_plus_sign_is_what_the_server_means_by_it(
    put: Callable[..., None], asker: Asker, proxy: FaultyHTTPProxy, way: Callable[[bytes], bytes], name: bytes
) -> None:
    put(b"data/" + name, b"more/" + name)
    proxy.fault = Fault(replace=way)
    assert asker.list(b"/data") == files(name)
    before = asker.lister.requests
    assert asker.list(b"/more") == files(name)
    assert asker.lister.requests == before + 1


def test_a_bucket_that_is_gone_denies_nothing(s3_server: S3Server) -> None:
    with asking(_opener(f"{s3_server.url}/no-such-bucket")) as asker:
        for ask in Ask:
            outcome = failed(asker.ask(ask, b"/data/x"))
            assert outcome.reason == Reason.SERVER
            assert "NoSuchBucket" in outcome.detail


def test_a_path_that_cannot_be_a_key_is_not_denied(asker: Asker, s3_server: S3Server) -> None:
    assert failed(asker.stat(b"/data/caf\xe9")).reason == Reason.BAD_NAME
    with asking(_opener(s3_server.url)) as other:
        assert "write it behind the host" in failed(other.list(b"/")).detail


def _error(code: str, status: str) -> Callable[[bytes], bytes]:
    return saying(status, body=f"<Error><Code>{code}</Code><Message>{code} it is</Message></Error>".encode())


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        ("AccessDenied", "403 Forbidden", Reason.PERMISSION),
        ("InvalidAccessKeyId", "403 Forbidden", Reason.AUTHENTICATION),
        ("ExpiredToken", "400 Bad Request", Reason.AUTHENTICATION),
        ("SlowDown", "503 Slow Down", Reason.TIMEOUT),
        ("InternalError", "500 Internal Server Error", Reason.SERVER),
        # Said of a list: there is none of nothing.
        ("NoSuchKey", "404 Not Found", Reason.SERVER),
    ],
)
def test_what_a_server_says_instead_is_a_reason(
    proxy: FaultyHTTPProxy, asker: Asker, code: str, status: str, reason: Reason
) -> None:
    proxy.fault = Fault(replace=_error(code, status))
    outcome = failed(asker.list(b"/data"))
    assert outcome.reason == reason
    if reason == Reason.AUTHENTICATION:
        assert "credentials by env" in outcome.detail
        assert "of-tests" not in outcome.detail


def test_half_an_answer_is_none(put: Callable[..., None], proxy: FaultyHTTPProxy, bucket: str) -> None:
    put(*[b"data/%d" % number for number in range(40)])

    def shorter(answer: bytes) -> bytes:
        head, body = parts_of(answer)
        return with_body(head, body[: len(body) // 2])

    def endless(answer: bytes) -> bytes:
        head, body = parts_of(answer)
        return with_body(head, body.replace(b"<IsTruncated>false", b"<IsTruncated>true"))

    def silent_about_it(answer: bytes) -> bytes:
        head, body = parts_of(answer)
        return with_body(head, body.replace(b"<IsTruncated>false</IsTruncated>", b""))

    def of_another(answer: bytes) -> bytes:
        head, body = parts_of(answer)
        return with_body(head, body.replace(b"data/", b"othr/"))

    with asking(_opener(f"{proxy.url}/{bucket}", timeout=1.5)) as asker:
        for fault in (
            Fault(limit=2000),
            Fault(limit=2000, politely=True),
            Fault(replace=cut_short),
            Fault(replace=shorter),
            Fault(replace=endless),
            Fault(replace=silent_about_it),
            Fault(replace=of_another),
            Fault(stall=True),
        ):
            proxy.fault = fault
            assert failed(asker.list(b"/data")).reason.retryable, fault
            proxy.reset()
        proxy.fault = FORWARD
        assert isinstance(asker.list(b"/data"), Listed)


def test_a_closed_port_is_said_at_once(s3_server: S3Server) -> None:
    started = time.monotonic()
    with asking(_opener("s3+http://localhost:1/bucket")) as asker:
        outcome = failed(asker.list(b"/data"))
    assert outcome.reason == Reason.CONNECTION
    assert "connection failed at localhost:1" in outcome.detail
    assert time.monotonic() - started < 5


def test_credentials_come_from_the_usual_files(
    put: Callable[..., None], s3_server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put(b"data/x")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = me\naws_secret_access_key = mine\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with asking(_opener(f"{s3_server.url}/{bucket}")) as asker:
        assert asker.list(b"/data") == files(b"x")
    # Without any it is asked as by anybody.
    file.unlink()
    with asking(_opener(f"{s3_server.url}/{bucket}")) as asker:
        assert asker.list(b"/data") == files(b"x")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with asking(_opener(f"{s3_server.url}/{bucket}")) as asker:
        outcome = failed(asker.list(b"/data"))
    assert outcome.reason == Reason.AUTHENTICATION
    assert "nobody" in outcome.detail
