"""A site that a Rucio manages, while the Rucio is not what it should be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from storage.backends.queue import RequestQueue, Table, queue_path
from tests.cli.managed import ManagedSite
from tests.faults.test_secrets import Leaks, Vault
from tests.servers.fixtures import ServedDirectory
from tests.servers.rucio import PASSWORD, RucioServer


@pytest.fixture
def managed(tmp_path: Path, xrootd_directory: ServedDirectory, rucio_server: RucioServer) -> ManagedSite:
    site = ManagedSite(tmp_path, xrootd_directory, rucio_server)
    site.configure()
    return site


def statuses(site: ManagedSite, table: Table) -> set[str]:
    requests = RequestQueue(queue_path(site.home / "var")).requests(table, site.name)
    return {request.status for request in requests}


@pytest.mark.fault(
    "rucio",
    "its server is down, or hangs, when a check is about to act",
    "what was found is recorded, and one line says what was not asked for; the next check asks for it",
)
def test_a_server_that_is_gone_when_a_check_acts(managed: ManagedSite) -> None:
    site, rucio = managed, managed.rucio
    assert site.check()["missing"] == 2
    assert site.program("set-status", site.name, "act").code == 0
    nobody = site.home / "nobody.cfg"
    nobody.write_text(rucio.client_config.read_text().replace(f":{rucio.port}", ":9"))
    # So that nobody asks the server before.
    others = {"sites": "files", "check": "files"}
    site.configure(others, Config=str(nobody), LFN2Path="hash", Patience=1)
    down = site.program("check", site.name)
    assert (down.code, "missing:       2 files" in down.out) == (2, True)
    assert down.err.splitlines()[-1].endswith(
        "quarantining replicas: it cannot be reached; put into the quarantine before that: 0"
    )
    assert statuses(site, "deletions") == {"failed"}
    site.configure(others, LFN2Path="hash", Timeout=1, Patience=0)
    with rucio.paused():
        hangs = site.program("check", site.name)
    assert (hangs.code, "missing:       2 files" in hangs.out) == (2, True)
    assert "what was found is recorded; nothing was asked for: " in hangs.err
    assert rucio.bad(site.name) == set()
    site.configure()
    assert site.check()["missing"] == 2
    assert rucio.bad(site.name) == {(site.scope, "lost")}
    assert len(rucio.quarantined(site.name)) == 2


@pytest.mark.fault(
    "rucio",
    "its server is down when a check begins",
    "the check ends before anything is listed, with one line",
)
def test_a_server_that_is_gone_when_a_check_begins(managed: ManagedSite) -> None:
    site = managed
    nobody = site.home / "nobody.cfg"
    nobody.write_text(site.rucio.client_config.read_text().replace(f":{site.rucio.port}", ":9"))
    site.configure(Config=str(nobody), LFN2Path="hash", Patience=0)
    ended = site.program("check", site.name, "--no-sam")
    assert (ended.code, ended.message.endswith(": it cannot be reached")) == (2, True)
    assert not (site.home / "var/runs").exists()
    assert not (site.home / "www/stats.db").exists()


@pytest.mark.fault(
    "rucio",
    "the account is refused",
    "one line that names the account and the file with its credentials, without them, and nothing was asked for",
)
def test_an_account_that_is_refused(managed: ManagedSite) -> None:
    site, vault = managed, Vault()
    leaks = Leaks(vault)
    config = site.rucio.write_client_config("stranger", vault.secret("password"))
    site.configure(Config=str(config), Account="stranger", Patience=0)
    for arguments in (("check", site.name), ("--log-level", "debug", "check", site.name, "--no-sam")):
        ended = site.program(*arguments)
        assert ended.code == 2
        assert 'the account "stranger" was refused: ' in ended.err
        assert f"see [client] in {config}" in ended.err
        leaks.look_at(" ".join(arguments), ended)
    leaks.look_below(site.home)
    assert not leaks.found, "\n".join(leaks.found)


@pytest.mark.fault(
    "secrets",
    "the password of a Rucio account and of Rucio's database, in runs that act and that fail",
    "neither is in output, logs, page, databases, snapshots or lists",
)
def test_secrets_of_rucio(managed: ManagedSite) -> None:
    site, vault = managed, Vault()
    leaks = Leaks(vault)
    vault.secret("account", PASSWORD)
    configuration = site.home / "consistency_config.json"
    assert site.check()["missing"] == 2
    assert site.program("set-status", site.name, "act").code == 0
    for arguments in (
        ("--log-level", "debug", "check", site.name),
        ("invalidate", "--last-copies"),
        ("history", site.name),
    ):
        leaks.look_at(" ".join(arguments), site.program(*arguments))
    assert site.rucio.bad(site.name)
    url = f"postgresql://rucio:{vault.secret('database')}@127.0.0.1:9/rucio"
    site.configure(Database=url)
    leaks.look_at("a database that is gone", site.program("check", site.name))
    site.configure(Database=f"rucio:{vault.secret('nourl')}@host/db")
    leaks.look_at("no URL", site.program("check", site.name))
    document = json.loads(configuration.read_text())
    configuration.write_text(
        json.dumps({**document, "Rucio": {**document["Rucio"], "Databse": vault.secret("mistyped")}})
    )
    leaks.look_at("a mistyped key", site.program("check", site.name))
    leaks.look_below(site.home, (configuration,))
    assert leaks.searched > 20
    assert not leaks.found, "\n".join(leaks.found)
