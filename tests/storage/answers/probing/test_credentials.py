"""What there is to be somebody with, where it is, and until when; never what is in it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from storage.answers.probing.credentials import credentials
from tests.servers.credentials import Authority, Issuer


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 987654)


def test_without_any_there_is_none() -> None:
    assert credentials({}) == ()


def test_a_token_says_when_it_ends(tmp_path: Path) -> None:
    text = Issuer().token(600)
    file = tmp_path / "token"
    file.write_text(text)
    file.chmod(0o600)
    (token,) = credentials({"BEARER_TOKEN_FILE": str(file)})
    assert (token.method, token.kind, token.place, token.problem) == ("ztn", "token", "BEARER_TOKEN_FILE", "")
    assert token.ends is not None
    assert abs(token.ends - time.time() - 600) < 30
    assert text not in repr(token)
    file.chmod(0o644)
    (token,) = credentials({"BEARER_TOKEN_FILE": str(file)})
    assert "open to other users" in token.problem


def test_a_proxy_is_of_use_as_long_as_each_of_its_certificates(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    proxy = tmp_path / "proxy.pem"
    proxy.write_bytes(authority.certificate.read_bytes() + authority.key.read_bytes() + authority.file.read_bytes())
    proxy.chmod(0o600)
    (found,) = credentials({"X509_USER_PROXY": str(proxy)})
    assert (found.method, found.kind, found.problem) == ("gsi", "proxy", "")
    assert found.ends is not None
    assert 86400 < found.ends - time.time() < 3 * 86400
    proxy.write_text("no certificate")
    (found,) = credentials({"X509_USER_PROXY": str(proxy)})
    assert found.problem == "cannot be read: no certificate in PEM"
    (found,) = credentials({"X509_USER_PROXY": str(tmp_path / "none")})
    assert found.problem == "cannot be read: No such file or directory"
    # A certificate without its key is no secret.
    authority.certificate.chmod(0o644)
    (found,) = credentials({"X509_USER_CERT": str(authority.certificate)})
    assert (found.kind, found.problem) == ("certificate", "")


def test_a_shared_key_is_there_or_not(tmp_path: Path) -> None:
    keytab = tmp_path / ".xrd" / "sss.keytab"
    keytab.parent.mkdir()
    keytab.write_text("x")
    keytab.chmod(0o600)
    (usual,) = credentials({})
    assert (usual.method, usual.place, usual.ends, usual.problem) == ("sss", str(keytab), None, "")
    keytab.chmod(0o644)
    (named,) = credentials({"XrdSecSSSKT": str(keytab)})
    assert (named.place, "open to other users" in named.problem) == ("XrdSecSSSKT", True)


def test_keys_of_s3_are_there_whole_or_not(tmp_path: Path) -> None:
    own = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "s3cr3t"}
    (key,) = credentials(own)
    assert (key.method, key.place, key.problem) == ("s3", "AWS_ACCESS_KEY_ID", "")
    assert "s3cr3t" not in repr(key)
    (half,) = credentials({"AWS_ACCESS_KEY_ID": "me"})
    assert half.problem == "AWS_SECRET_ACCESS_KEY is not set"
    (file,) = credentials({"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none")})
    assert file.problem == "cannot be read: No such file or directory"
