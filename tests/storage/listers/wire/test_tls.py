"""Encryption and tokens, on real servers, with no other lister to fall back on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from engine.listing import Failed, Listed, Outcome
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.wire.lister import WireLister
from storage.listers.wire.tls import TLSError, tls_context
from tests.servers.credentials import Authority, Issuer
from tests.servers.xrootd_secured import SecuredServer
from tests.storage.listers.asking import asking


def listed(url: str) -> Outcome:
    with asking(partial(WireLister, Door.parse(url), timeout=20)) as asker:
        return asker.list(b"/store")


def refusal(url: str) -> str:
    outcome = listed(url)
    assert isinstance(outcome, Failed)
    assert outcome.reason == Reason.AUTHENTICATION, outcome
    assert outcome.detail.isprintable()
    return outcome.detail


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("BEARER_TOKEN", "BEARER_TOKEN_FILE", "X509_CERT_DIR", "X509_CERT_FILE", "XrdSecPROTOCOL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture(scope="module", params=["all", "login", "session", "capable all"])
def encrypting(request: pytest.FixtureRequest) -> Iterator[SecuredServer]:
    """A server that wants all encrypted, the login, what comes after it, or what a client wants."""
    with SecuredServer("none", tls=request.param) as server:
        (server.server.store / "file").touch()
        yield server


@pytest.mark.parametrize("scheme", ["root", "roots"])
def test_what_is_to_be_encrypted_is(encrypting: SecuredServer, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X509_CERT_DIR", encrypting.env["X509_CERT_DIR"])
    outcome = listed(encrypting.server.url.replace("root://", f"{scheme}://"))
    assert isinstance(outcome, Listed), outcome
    assert outcome.files.name_list() == [b"file"]


def test_an_authority_may_be_a_file(encrypting: SecuredServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X509_CERT_FILE", f"{encrypting.env['X509_CERT_DIR']}/ca.pem")
    assert isinstance(listed(encrypting.url), Listed)


def test_a_certificate_that_nobody_signed_is_refused(
    encrypting: SecuredServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("X509_CERT_DIR", str(Authority(tmp_path / "other").certificates))
    said = refusal(encrypting.url)
    assert "certificate is not trusted" in said
    assert "X509_CERT_DIR" in said


def test_a_certificate_of_another_host_is_refused(encrypting: SecuredServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X509_CERT_DIR", encrypting.env["X509_CERT_DIR"])
    assert "certificate is not trusted" in refusal(encrypting.url.replace("localhost", "127.0.0.2"))


def test_a_server_that_does_not_encrypt_is_refused_where_it_should(xrootd_server: object) -> None:
    url: str = xrootd_server.url  # type: ignore[attr-defined]
    assert "does not encrypt" in refusal(url.replace("root://", "roots://"))


def test_authorities_that_are_none_are_said(tmp_path: Path) -> None:
    with pytest.raises(TLSError, match="gone"):
        tls_context({"X509_CERT_FILE": str(tmp_path / "gone")})


@pytest.fixture(scope="module")
def wants_tokens() -> Iterator[SecuredServer]:
    with SecuredServer("ztn") as server:
        (server.server.store / "file").touch()
        yield server


@pytest.mark.parametrize("scheme", ["root", "roots"])
def test_a_token_lets_us_in(wants_tokens: SecuredServer, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X509_CERT_DIR", wants_tokens.env["X509_CERT_DIR"])
    monkeypatch.setenv("BEARER_TOKEN", wants_tokens.issuer.token())
    outcome = listed(wants_tokens.server.url.replace("root://", f"{scheme}://"))
    assert isinstance(outcome, Listed), outcome
    assert outcome.files.name_list() == [b"file"]


def test_a_token_that_is_none_lets_nobody_in(
    wants_tokens: SecuredServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("X509_CERT_DIR", wants_tokens.env["X509_CERT_DIR"])
    assert "no token" in refusal(wants_tokens.url)
    file = tmp_path / "token"
    file.write_text(wants_tokens.issuer.token())
    file.chmod(0o644)
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(file))
    assert "chmod 600" in refusal(wants_tokens.url)
    monkeypatch.setenv("BEARER_TOKEN", "nonsense")
    assert "no JSON web token" in refusal(wants_tokens.url)
    monkeypatch.setenv("BEARER_TOKEN", wants_tokens.issuer.token(-5))
    assert "its token ended" in refusal(wants_tokens.url)
    secret = Issuer().token()
    monkeypatch.setenv("BEARER_TOKEN", secret)
    outcome = listed(wants_tokens.url)
    assert isinstance(outcome, Failed)
    assert secret not in outcome.detail
    assert outcome.reason in (Reason.AUTHENTICATION, Reason.PERMISSION)


def test_a_token_is_not_sent_where_the_server_is_not_known(
    wants_tokens: SecuredServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BEARER_TOKEN", wants_tokens.issuer.token())
    monkeypatch.setenv("X509_CERT_DIR", str(tmp_path))
    assert "not trusted" in refusal(wants_tokens.url)
