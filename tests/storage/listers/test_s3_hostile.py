"""What stores of buckets say that are broken, or mean no good: scripted, since no real one can be made to."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial

import pytest

from engine.columns import FileColumns
from engine.listing import Absent, Failed, Listed, Outcome
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.protocol import Ask
from storage.listers.s3 import S3Lister
from tests.servers.s3 import ENVIRONMENT
from tests.servers.scripted_http import ScriptedHTTP, answer
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
    with asking(partial(S3Lister, Door.parse(f"{server.url}/bucket"), timeout=2.0, connections=1)) as asker:
        yield asker


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
