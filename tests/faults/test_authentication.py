"""Doors that want to know who asks: keys of sss and tokens of ztn, over TLS."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from tests.cli.program import Ended, eventually, wait_for
from tests.faults.site import FaultySite
from tests.servers.credentials import Issuer
from tests.servers.xrootd_secured import SecuredServer

_DIRECTORIES = 2000
"""So many that a listing with one request at a time can be caught in the middle."""

_SLOWLY = {"InFlight": 1, "Connections": 1, "Timeout": 30}


@pytest.fixture(scope="module")
def wants_keys() -> Iterator[SecuredServer]:
    with SecuredServer("sss") as server:
        yield server


@pytest.fixture
def forgets_keys(wants_keys: SecuredServer) -> Iterator[SecuredServer]:
    """The same server, for whoever takes the key back."""
    yield wants_keys
    wants_keys.know_key()
    wants_keys.server.restart()


def _site_of(secured: SecuredServer, make_site: Callable[..., FaultySite], name: str) -> FaultySite:
    path = secured.server.store / name
    path.mkdir()
    site = make_site([path], f"/store/{name}", [secured.url])
    site.env |= secured.env
    return site


def _fill(site: FaultySite) -> None:
    for number in range(6):
        site.put(f"data/{number % 3}/kept{number}.root")
    site.know("data/1/lost.root")
    site.put("data/2/left.root", known=False)
    site.prepare()


def _fill_wide(site: FaultySite) -> None:
    for number in range(_DIRECTORIES):
        site.put(f"data/{number:04d}/kept.root")
    site.know("data/lost.root")
    site.prepare(**_SLOWLY)


def _found(site: FaultySite, ended: Ended) -> None:
    assert ended.code == 0, ended.err
    site.assert_found(["data/1/lost.root"], ["data/2/left.root"])
    assert site.unlisted() == {}


def _refused(site: FaultySite, ended: Ended, words: str) -> None:
    """Nothing was found, and the one line says where the refusal came from and what there is to look at."""
    assert ended.code == 4
    assert f"authentication failed at {site.doors[0].removeprefix('roots://')}" in ended.message
    assert words in ended.message
    assert not list(site.web.glob("*_compare_*"))


def _token_file(site: FaultySite, token: str) -> Path:
    path = site.home / "token"
    fresh = site.home / "token.new"
    fresh.write_text(token)
    fresh.chmod(0o600)
    os.replace(fresh, path)
    site.env["BEARER_TOKEN_FILE"] = str(path)
    return path


@pytest.mark.quick_on("ray")
@pytest.mark.fault("authentication", "none: a token over TLS", "all is found, with the token of whoever started it")
def test_a_token(wants_tokens: SecuredServer, make_site: Callable[..., FaultySite], runtime: str) -> None:
    site = _site_of(wants_tokens, make_site, f"token-{runtime}")
    _fill(site)
    _found(site, site.check(env={"BEARER_TOKEN": wants_tokens.issuer.token()}))


@pytest.mark.quick_on("ray")
@pytest.mark.fault("authentication", "none: a key of sss over TLS", "all is found, with the key of whoever started it")
def test_a_key(wants_keys: SecuredServer, make_site: Callable[..., FaultySite], runtime: str) -> None:
    site = _site_of(wants_keys, make_site, f"key-{runtime}")
    _fill(site)
    _found(site, site.check(env={"XrdSecSSSKT": str(wants_keys.keytab)}))


@pytest.mark.fault("authentication", "none: a token, with xrdfs shells", "all is found")
def test_a_token_with_shells(wants_tokens: SecuredServer, make_site: Callable[..., FaultySite]) -> None:
    site = _site_of(wants_tokens, make_site, "shells")
    _fill(site)
    site.configure(AccessMethod="directx")
    _token_file(site, wants_tokens.issuer.token())
    _found(site, site.check())


@pytest.mark.fault(
    "authentication",
    "a token that has ended, is forged, is none, is in a file that others may read, or is not there",
    "the run fails with one line: authentication, the door, and what is wrong with the token",
)
def test_tokens_that_are_refused(wants_tokens: SecuredServer, make_site: Callable[..., FaultySite]) -> None:
    site = _site_of(wants_tokens, make_site, "refused")
    _fill(site)
    good = wants_tokens.issuer.token()
    _refused(
        site, site.check(env={"BEARER_TOKEN": wants_tokens.issuer.token(-100)}), "BEARER_TOKEN: its token ended at"
    )
    _refused(site, site.check(env={"BEARER_TOKEN": Issuer().token()}), "BEARER_TOKEN: not accepted")
    _refused(site, site.check(env={"BEARER_TOKEN": "nonsense"}), "BEARER_TOKEN: no JSON web token")
    _refused(site, site.check(), "no token, key or proxy was found")
    _token_file(site, good).chmod(0o644)
    _refused(site, site.check(), "BEARER_TOKEN_FILE: open to other users")
    site.configure(AccessMethod="directx")
    _refused(site, site.check(), "BEARER_TOKEN_FILE: open to other users")


@pytest.mark.fault(
    "authentication",
    "a key that the door does not know, or that is not there; a door whose certificate nobody signed",
    "the run fails with one line: authentication, the door, and what to look at",
)
def test_keys_that_are_refused(
    forgets_keys: SecuredServer, make_site: Callable[..., FaultySite], tmp_path: Path
) -> None:
    site = _site_of(forgets_keys, make_site, "refused")
    _fill(site)
    site.env["XrdSecSSSKT"] = str(forgets_keys.keytab)
    _refused(site, site.check(env={"XrdSecSSSKT": "/nowhere"}), "XrdSecSSSKT: cannot be read: No such file")
    _refused(site, site.check(env={"X509_CERT_DIR": str(tmp_path)}), "the authorities of X509_CERT_DIR")
    forgets_keys.change_key()
    forgets_keys.server.restart()
    _refused(site, site.check(), "XrdSecSSSKT: not accepted")


@pytest.mark.soak
@pytest.mark.fault("authentication", "a key that the door does not know", "the run fails with one line that says so")
def test_a_wrong_key(forgets_keys: SecuredServer, make_site: Callable[..., FaultySite], runtime: str) -> None:
    site = _site_of(forgets_keys, make_site, f"wrong-{runtime}")
    _fill(site)
    forgets_keys.change_key()
    forgets_keys.server.restart()
    ended = site.check(env={"XrdSecSSSKT": str(forgets_keys.keytab)})
    assert ended.code == 4
    assert "XrdSecSSSKT: not accepted" in ended.err


def _is_begun(site: FaultySite) -> bool:
    """Whether some of the directories in the top one are listed."""
    return site.listed > 3


def _in_the_middle(site: FaultySite) -> Popen[str]:
    """Start a check, and come back when the journal has some of the site."""
    process = site.start_check()
    eventually("begun to list", lambda: _is_begun(site), process)
    return process


def _while_its_token_ends(site: FaultySite, secured: SecuredServer) -> Popen[str]:
    """Start a check whose token ends in the middle; gives it when that is so, and the server stands still.

    A program that has not begun to list by then, on a busy machine, is given one that lasts longer.
    """
    for lifetime in (3, 6, 12, 24, 48, 96):
        end = int(time.time()) + lifetime
        _token_file(site, secured.issuer.token(exp=end))
        process = site.start_check("--fresh")
        eventually("begun to list", lambda end=end: _is_begun(site) or time.time() >= end, process)  # type: ignore[misc]
        secured.server.pause()
        if _is_begun(site) and time.time() < end:
            time.sleep(end - time.time() + 0.5)
            return process
        process.kill()
        process.communicate()
        secured.server.resume()
        site.journal.unlink(missing_ok=True)
    raise AssertionError("it never began to list before its token ended")


def _assert_rest_unlisted(site: FaultySite, ended: Ended) -> None:
    """What was not listed is unlisted for that reason, and was asked for once."""
    assert ended.code == 0, ended.err
    unlisted = site.unlisted()
    assert 0 < len(unlisted) < _DIRECTORIES
    assert set(unlisted.values()) == {"authentication failed"}
    assert ended.json["requests"] < _DIRECTORIES + 20
    site.assert_true()


def _detail(site: FaultySite) -> str:
    return str(site.rows("unlisted")[-1]["detail"])


@pytest.mark.fault(
    "authentication",
    "a token that ends during the run",
    "the rest is unlisted, with authentication as the reason, and is not asked for again and again",
)
def test_a_token_that_ends(wants_tokens: SecuredServer, make_site: Callable[..., FaultySite]) -> None:
    site = _site_of(wants_tokens, make_site, "ends")
    _fill_wide(site)
    process = _while_its_token_ends(site, wants_tokens)
    wants_tokens.server.resume()
    _assert_rest_unlisted(site, wait_for(process))
    assert re.search(r"authentication failed at localhost:\d+: .*BEARER_TOKEN_FILE: its token ended at", _detail(site))


@pytest.mark.fault(
    "authentication",
    "a token that ends during the run, in a file that somebody keeps fresh",
    "the fresh one is used: all is listed",
)
def test_a_token_that_is_renewed(wants_tokens: SecuredServer, make_site: Callable[..., FaultySite]) -> None:
    site = _site_of(wants_tokens, make_site, "renewed")
    _fill_wide(site)
    process = _while_its_token_ends(site, wants_tokens)
    _token_file(site, wants_tokens.issuer.token())
    wants_tokens.server.resume()
    ended = wait_for(process)
    assert ended.code == 0, ended.err
    assert site.unlisted() == {}
    site.assert_found(["data/lost.root"])


@pytest.mark.fault(
    "authentication",
    "one of two doors does not know the key",
    "the other one does the work; nothing is unlisted",
)
def test_one_door_of_two(wants_keys: SecuredServer, make_site: Callable[..., FaultySite]) -> None:
    site = _site_of(wants_keys, make_site, "two")
    with SecuredServer("sss", wants_keys.server.root) as other:
        authorities = site.home / "authorities"
        shutil.copytree(wants_keys.env["X509_CERT_DIR"], authorities, symlinks=True)
        for number, path in enumerate(Path(other.env["X509_CERT_DIR"]).glob("*.0")):
            shutil.copy(path, authorities / f"{path.stem}.{number + 1}")
        site.doors = [other.url, wants_keys.url]
        site.env |= {"X509_CERT_DIR": str(authorities), "XrdSecSSSKT": str(wants_keys.keytab)}
        _fill(site)
        site.configure(Retries=3)
        _found(site, site.check())
        assert "User authentication failed" in other.server.log


@pytest.mark.fault(
    "authentication",
    "a door that restarts during the run and does not know the key any more",
    "the rest is unlisted, with authentication as the reason, and is not asked for again and again",
)
def test_a_key_that_is_taken_back(forgets_keys: SecuredServer, make_site: Callable[..., FaultySite]) -> None:
    site = _site_of(forgets_keys, make_site, "taken")
    _fill_wide(site)
    site.env["XrdSecSSSKT"] = str(forgets_keys.keytab)
    process = _in_the_middle(site)
    forgets_keys.server.kill()
    forgets_keys.change_key()
    forgets_keys.server.start()
    _assert_rest_unlisted(site, wait_for(process))
    assert "XrdSecSSSKT: not accepted" in _detail(site)
