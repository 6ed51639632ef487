"""Keys of a bucket that are deleted, on moto's store."""

from __future__ import annotations

from functools import partial

import pytest

from engine.listing import Absent, Failed, Present
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.s3 import S3Lister
from storage.removers.s3 import S3Remover
from tests.servers.s3 import ENVIRONMENT, S3Server
from tests.servers.scripted_http import ScriptedHTTP, answer
from tests.storage.listers.asking import asking


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def test_a_key_is_deleted_and_no_other(s3_server: S3Server) -> None:
    s3_server.make_bucket("removed")
    for key in (b"data/a b%41", b"data/a b", b"data/a bA"):
        s3_server.put("removed", key)
    door = Door.parse(f"{s3_server.url}/removed")
    assert S3Remover(door, 10.0).remove(b"/data/a b%41") is None
    with asking(partial(S3Lister, door, timeout=10.0)) as asker:
        assert asker.stat(b"/data/a b%41") == Absent()
        assert isinstance(asker.stat(b"/data/a b"), Present)
        assert isinstance(asker.stat(b"/data/a bA"), Present)


def test_what_cannot_be_deleted_is_said() -> None:
    body = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    with ScriptedHTTP(lambda head: answer("403 Forbidden", body=body), scheme="s3+http") as server:
        refused = S3Remover(Door.parse(f"{server.url}/removed"), 5.0).remove(b"/data/x")
    assert isinstance(refused, Failed)
    assert refused.reason == Reason.PERMISSION
    assert len(server.asked) == 1
