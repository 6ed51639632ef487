from __future__ import annotations

import os
import pickle
import time
from pathlib import Path

import pytest

from engine.listing import Failed, Listed
from engine.states import Reason
from storage.listers.credentials import Credentials, Login, explain, explain_tls, find_token
from storage.listers.xrootd_errors import refused
from tests.servers.credentials import Issuer

ISSUER = Issuer()
NOBODY = 65534


def write(path: Path, token: str, mode: int = 0o600) -> Path:
    path.write_text(token + "\n")
    path.chmod(mode)
    return path


def test_credentials_are_chosen_by_name() -> None:
    chosen = Credentials.of({"PATH": "/bin", "BEARER_TOKEN": "abc", "XrdSecSSSKT": "/k", "XRD_LOGLEVEL": "Debug"})
    assert [name for name, _ in chosen.variables] == ["BEARER_TOKEN", "XRD_LOGLEVEL", "XrdSecSSSKT"]
    assert pickle.loads(pickle.dumps(chosen)) == chosen


def test_credentials_show_no_value() -> None:
    shown = repr([Credentials.of({"BEARER_TOKEN": "secret"})])
    assert shown == "[Credentials(BEARER_TOKEN)]"


def test_credentials_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X509_USER_PROXY", "/old")
    monkeypatch.setenv("X509_CERT_DIR", "/stays")
    Credentials.of({"X509_USER_PROXY": "/new"}).apply()
    assert (os.environ["X509_USER_PROXY"], os.environ["X509_CERT_DIR"]) == ("/new", "/stays")


def test_a_token_is_found_where_wlcg_says(tmp_path: Path) -> None:
    places = {
        "BEARER_TOKEN": ISSUER.token(jti="1"),
        "BEARER_TOKEN_FILE": str(write(tmp_path / "named", ISSUER.token(jti="2"))),
        "XDG_RUNTIME_DIR": str(tmp_path),
    }
    write(tmp_path / f"bt_u{os.geteuid()}", ISSUER.token(jti="3"))
    found = []
    for name in list(places):
        token = find_token(places)
        assert token is not None
        found.append(token.place)
        del places[name]
    assert found == ["BEARER_TOKEN", "BEARER_TOKEN_FILE", str(tmp_path / f"bt_u{os.geteuid()}")]


def test_a_directory_of_somebody_else_has_no_token_for_us(tmp_path: Path) -> None:
    # As /run/user/0 in the environment of whom su has made another user.
    tmp_path.chmod(0)
    if os.geteuid() == 0:
        os.setresuid(NOBODY, NOBODY, 0)
    try:
        found = find_token({"XDG_RUNTIME_DIR": str(tmp_path)})
    finally:
        if os.getresuid()[2] == 0:
            os.setresuid(0, 0, 0)
        tmp_path.chmod(0o700)
    assert found is None or found.place.startswith("/tmp/bt_u")


@pytest.mark.parametrize("text", ["nonsense", "a.b.c", "a.e30=.c", "..", "a.bnVsbA.c", "é.é.é"])
def test_what_is_no_token_is_none_that_ends(text: str) -> None:
    token = find_token({"BEARER_TOKEN": text})
    assert token is not None
    assert token.end is None


def test_a_login_is_over_with_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEARER_TOKEN", ISSUER.token(600))
    assert not Login().is_over()
    monkeypatch.setenv("BEARER_TOKEN", ISSUER.token(-1))
    assert Login().is_over()


def test_a_login_is_over_when_its_token_soon_ends_and_there_is_a_newer_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = write(tmp_path / "token", ISSUER.token(30))
    monkeypatch.delenv("BEARER_TOKEN", raising=False)
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(file))
    login = Login()
    assert not login.is_over()
    write(file, "half a tok")
    assert not login.is_over()
    write(file, ISSUER.token(600))
    assert login.is_over()


def test_what_is_wrong_is_explained(tmp_path: Path) -> None:
    open_to_others = write(tmp_path / "open", ISSUER.token(), 0o644)
    key = write(tmp_path / "key", "abc")
    ended = {"BEARER_TOKEN": ISSUER.token(-5)}
    now = time.time()
    assert explain(ended, True, now).startswith("BEARER_TOKEN: its token ended at 2")
    assert explain({"BEARER_TOKEN": ISSUER.token()}, True, now).startswith("BEARER_TOKEN: not accepted")
    assert "roots://" in explain({"BEARER_TOKEN": ISSUER.token()}, False, now)
    assert "chmod 600" in explain({"BEARER_TOKEN_FILE": str(open_to_others)}, True, now)
    assert "No such file" in explain({"BEARER_TOKEN_FILE": str(tmp_path / "gone")}, True, now)
    assert "no file name" in explain({"BEARER_TOKEN_FILE": "a\0b"}, True, now)
    assert explain({"XrdSecSSSKT": str(key)}, True, now).startswith("XrdSecSSSKT: not accepted")
    assert explain({"X509_USER_PROXY": str(tmp_path)}, True, now).startswith("X509_USER_PROXY: ")


def test_the_authorities_are_named(tmp_path: Path) -> None:
    assert explain_tls({"X509_CERT_DIR": str(tmp_path)}).endswith("authorities of X509_CERT_DIR")
    assert explain_tls({"X509_CERT_DIR": str(tmp_path / "gone")}).endswith("which is no directory")
    assert explain_tls({"X509_CERT_FILE": "/a"}).endswith("X509_CERT_FILE")
    assert "/etc/grid-security/certificates" in explain_tls({})
    assert "X509_USER_PROXY cannot" in explain_tls({"X509_USER_PROXY": "/a"}, "TLS error: Failed to initialize TLS")


def test_only_a_refused_login_is_explained() -> None:
    said = refused(Failed(Reason.AUTHENTICATION, "Auth failed"), "roots", "door:1094")
    assert isinstance(said, Failed)
    assert said.detail.startswith("authentication failed at door:1094: Auth failed (")
    for outcome in (Listed(), Failed(Reason.PERMISSION, "no")):
        assert refused(outcome, "roots", "door:1094") is outcome
