"""Who a lister is at a door over TLS, and to whom it is not said."""

from __future__ import annotations

import os
import re
import ssl
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from engine.columns import FileColumns
from engine.listing import Failed, Listed, Outcome
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.webdav.lister import WebDavLister
from tests.servers.credentials import Authority, Issuer
from tests.servers.scripted_http import Script, ScriptedHTTP, answer
from tests.servers.webdav import ApacheServer
from tests.servers.xrootd_secured import SecuredServer
from tests.storage.listers.asking import asking, reason_of
from tests.storage.listers.webdav.test_answers import document, response

NOON = 1_600_000_000
SEEN = "seen"
"""What was shown to an Apache, a line for each request."""


@pytest.fixture(scope="module")
def wants_tokens() -> Iterator[SecuredServer]:
    with SecuredServer("http") as server:
        _fill(server.server.store)
        yield server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Begin without anything to show."""
    for name in ("BEARER_TOKEN", "BEARER_TOKEN_FILE", "X509_USER_PROXY", "X509_USER_CERT", "X509_USER_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def _fill(store: Path) -> None:
    (store / "data").mkdir()
    (store / "data/x").write_text("x")
    os.utime(store / "data/x", (NOON, NOON))


def apache(authority: Authority, *extra: str) -> ApacheServer:
    """Give one over TLS that writes down what it is shown."""
    server = ApacheServer(
        (
            f'CustomLog {SEEN} "%U|%{{Authorization}}i|%{{SSL_CLIENT_S_DN}}x"',
            "SSLEngine on",
            f"SSLCertificateFile {authority.certificate}",
            f"SSLCertificateKeyFile {authority.key}",
            *extra,
        ),
        tls=True,
    )
    _fill(server.store)
    return server


def seen(server: ApacheServer) -> list[list[str]]:
    file = server.root.parent / SEEN
    # It is written when the answer is gone.
    give_up = time.monotonic() + 10
    while not (file.exists() and file.read_text()) and time.monotonic() < give_up:
        time.sleep(0.01)
    return [line.split("|") for line in file.read_text().splitlines()]


def listed(url: str) -> Outcome:
    with asking(partial(WebDavLister, Door.parse(f"{url}/store"), timeout=10.0, connections=1)) as asker:
        return asker.list(b"/data")


FOUND = Listed(FileColumns.from_rows([(b"x", 1, NOON)]))


def test_a_token_lets_in(wants_tokens: SecuredServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X509_CERT_DIR", wants_tokens.env["X509_CERT_DIR"])
    refused = listed(wants_tokens.url)
    assert isinstance(refused, Failed)
    assert refused.reason == Reason.PERMISSION
    assert "no token, key or proxy was found" in refused.detail
    monkeypatch.setenv("BEARER_TOKEN", wants_tokens.issuer.token())
    assert listed(wants_tokens.url) == FOUND
    monkeypatch.setenv("BEARER_TOKEN", wants_tokens.issuer.token(-100))
    over = listed(wants_tokens.url)
    assert isinstance(over, Failed)
    assert over.reason == Reason.AUTHENTICATION
    assert "its token ended at" in over.detail
    monkeypatch.setenv("BEARER_TOKEN", wants_tokens.issuer.token(scope="storage.read:/other"))
    assert reason_of(listed(wants_tokens.url)) == Reason.PERMISSION


def test_a_token_that_was_renewed_is_read_again(
    wants_tokens: SecuredServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / f"bt_u{os.geteuid()}"
    file.touch(0o600)
    file.write_text(wants_tokens.issuer.token(-100))
    monkeypatch.setenv("X509_CERT_DIR", wants_tokens.env["X509_CERT_DIR"])
    with asking(partial(WebDavLister, Door.parse(f"{wants_tokens.url}/store"), timeout=10.0)) as asker:
        assert reason_of(asker.list(b"/data")) == Reason.AUTHENTICATION
        file.write_text(wants_tokens.issuer.token())
        # At once: a refusal has it read again.
        assert asker.list(b"/data") == FOUND
        file.chmod(0o644)
        outcome = asker.list(b"/data")
        while isinstance(outcome, Listed):
            outcome = asker.list(b"/data")
        assert isinstance(outcome, Failed)
        assert "open to other users" in outcome.detail


def test_a_server_that_nobody_vouches_for_is_not_asked(
    wants_tokens: SecuredServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEARER_TOKEN", wants_tokens.issuer.token())
    monkeypatch.setenv("X509_CERT_DIR", str(authority.certificates))
    refused = listed(wants_tokens.url)
    assert isinstance(refused, Failed)
    assert refused.reason == Reason.AUTHENTICATION
    assert "not trusted" in refused.detail
    assert "X509_CERT_DIR" in refused.detail


def test_a_certificate_is_shown_where_it_is_wanted_unless_there_is_a_token(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    proxy = tmp_path / "proxy"
    proxy.write_bytes(authority.certificate.read_bytes() + authority.key.read_bytes())
    monkeypatch.setenv("X509_CERT_DIR", str(authority.certificates))
    with apache(authority, "SSLVerifyClient require", f"SSLCACertificateFile {authority.file}") as server:
        refused = listed(server.url)
        assert isinstance(refused, Failed)
        assert refused.reason == Reason.AUTHENTICATION
        monkeypatch.setenv("X509_USER_PROXY", str(proxy))
        proxy.chmod(0o644)
        open_to_all = listed(server.url)
        assert isinstance(open_to_all, Failed)
        assert "open to other users" in open_to_all.detail
        proxy.chmod(0o600)
        assert listed(server.url) == FOUND
        monkeypatch.delenv("X509_USER_PROXY")
        monkeypatch.setenv("X509_USER_CERT", str(authority.certificate))
        monkeypatch.setenv("X509_USER_KEY", str(authority.key))
        assert listed(server.url) == FOUND
        assert {line[2] for line in seen(server)} == {"CN=localhost"}
        monkeypatch.setenv("BEARER_TOKEN", Issuer().token())
        assert reason_of(listed(server.url)) == Reason.AUTHENTICATION
    monkeypatch.delenv("BEARER_TOKEN")
    monkeypatch.setenv("X509_USER_PROXY", str(tmp_path / "nowhere"))
    unusable = listed("davs://localhost:1")
    assert isinstance(unusable, Failed)
    assert unusable.reason == Reason.AUTHENTICATION
    assert "X509_USER_PROXY" in unusable.detail


def test_a_token_goes_to_its_door_and_nowhere_else(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    token = Issuer().token()
    monkeypatch.setenv("BEARER_TOKEN", token)
    monkeypatch.setenv("X509_CERT_DIR", str(authority.certificates))
    with apache(authority) as elsewhere, ApacheServer() as plain:
        ways = (f"Redirect 307 /store/data {elsewhere.url.replace('davs', 'https')}/store/data",)
        with apache(authority, *ways) as door:
            assert listed(door.url) == FOUND
            assert seen(door) == [["/store/data", f"Bearer {token}", "-"]]
            assert seen(elsewhere) == [["/store/data", "-", "-"]]
        _fill(plain.store)
        with apache(authority, f"Redirect 307 /store/data {plain.url.replace('dav', 'http')}/store/data") as door:
            refused = listed(door.url)
            assert isinstance(refused, Failed)
            assert "not secure" in refused.detail


def test_a_token_that_a_server_says_back_is_not_said(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("X509_CERT_DIR", str(authority.certificates))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)

    def shown(head: bytes) -> str:
        return re.search(rb"\r\nAuthorization: (.*)", head)[1].decode()  # type: ignore[index]

    scripts: list[Script] = [
        lambda head: answer("500 Oh", body=head),
        lambda head: answer(f"500 {shown(head)}", body=b"<html>"),
        lambda head: answer("302 Found", f"Location: http://{shown(head)[7:]}/data"),
        lambda head: answer("207 Multi-Status", body=document(response(f"/{shown(head)}"))),
        lambda head: answer("207 Multi-Status", body=document(response("/store/data", status=shown(head)))),
        lambda head: answer("404 Not Found", f"Server: {shown(head)}"),
    ]
    for token in (Issuer().token(), "MDAxY2xvY2F0aW9uIG1hY2Fyb29u"):
        monkeypatch.setenv("BEARER_TOKEN", token)
        for script in scripts:
            with ScriptedHTTP(script, context) as server:
                outcome = listed(server.url)
                assert isinstance(outcome, Failed)
                assert token in shown(server.asked[0])
                assert not any(part in outcome.detail for part in (token[:16], token[-16:]))


def test_a_token_that_is_refused_is_said_to_be(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X509_CERT_DIR", str(authority.certificates))
    monkeypatch.setenv("BEARER_TOKEN", Issuer().token())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)
    with ScriptedHTTP(lambda head: answer("401 Unauthorized"), context) as server:
        outcome = listed(server.url)
    assert isinstance(outcome, Failed)
    assert "BEARER_TOKEN: not accepted" in outcome.detail


def test_nothing_is_shown_without_encryption(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEARER_TOKEN", Issuer().token())
    with ApacheServer((f'CustomLog {SEEN} "%U|%{{Authorization}}i|"',)) as server:
        _fill(server.store)
        assert listed(server.url) == FOUND
        assert seen(server) == [["/store/data", "-", ""]]


def test_a_directory_may_be_somewhere_else_and_not_everywhere() -> None:
    with ApacheServer(
        (
            "RedirectMatch 301 ^/moved/data$ /store/data/",
            "RedirectMatch 307 ^/circle/data/?$ /circle/data/",
            "RedirectMatch 307 ^/nowhere/data$ /none/data",
            "RedirectMatch 307 ^/other/data$ /store/none",
            "RedirectMatch 307 ^/signed/data$ /store/data?&key=x%20y",
            f'CustomLog {SEEN} "%U|%q"',
        )
    ) as server:
        _fill(server.store)
        (server.root / "nowhere").mkdir()
        outcomes = []
        for prefix in ("moved", "circle", "nowhere", "signed", "other"):
            door = Door.parse(f"{server.url}/{prefix}")
            with asking(partial(WebDavLister, door, timeout=10.0, connections=1)) as asker:
                outcomes.append(asker.list(b"/data"))
        assert outcomes[0] == outcomes[3] == FOUND
        assert [reason_of(outcome) for outcome in outcomes[1:3]] == [Reason.CONNECTION, Reason.NOT_FOUND]
        # That another path is not there says nothing of this one.
        assert reason_of(outcomes[4]) == Reason.SERVER
        assert ["/store/data", "?&key=x%20y"] in seen(server)
