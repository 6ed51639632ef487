"""Secrets are planted wherever they may stand, and looked for in all that the program leaves, says and runs."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from storage.config.loading import Config, ConfigError
from tests.cli import loaded
from tests.cli.program import Ended, run
from tests.faults.site import FaultySite
from tests.servers.databases import MariaDBServer, PostgresServer
from tests.servers.smtp import mail_server
from tests.servers.xrootd_secured import SecuredServer

_CLOSED = 9
"""A port of loopback on which nobody listens."""

_ALSO_IN_THE_ENVIRONMENT = ("a wrong password", "no URL", "a user in a door", "a global redirector", "a mail server")


class Vault:
    """Makes secrets, and knows them again: as they are, quoted for a URL, and in base64."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def secret(self, name: str, text: str = "") -> str:
        """Give a new secret, or take one that somebody else made."""
        text = text or f"Planted{name}{secrets.token_hex(8)}"
        self._known[name] = text
        return text

    def in_bytes(self, data: bytes) -> set[str]:
        """Name the secrets that are in some bytes."""
        return {name for name, text in self._known.items() if any(form in data for form in _forms(text))}


def _forms(text: str) -> Iterator[bytes]:
    raw = text.encode()
    yield raw
    yield raw.hex().encode()
    # Without the ends, which depend on what stands around it.
    for shift in range(3):
        yield base64.b64encode(b"\0" * shift + raw)[4:-4]


class Eavesdropper(threading.Thread):
    """Reads the command lines of all processes of the machine, as ``ps`` does, until it is told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.heard: set[bytes] = set()
        self._over = threading.Event()

    def __enter__(self) -> Eavesdropper:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.heard.add(path.read_bytes())
                except OSError:
                    continue


class Leaks:
    """Where secrets were seen."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self.found: list[str] = []
        self.searched = 0

    def look(self, where: str, data: bytes) -> None:
        """Search some bytes."""
        self.searched += 1
        self.found += [f"{name} in {where}" for name in sorted(self._vault.in_bytes(data))]

    def look_at(self, where: str, ended: Ended) -> None:
        """Search what a program printed."""
        self.look(f"stdout of {where}", ended.out.encode())
        self.look(f"stderr of {where}", ended.err.encode())

    def look_below(self, directory: Path, sources: tuple[Path, ...] = ()) -> None:
        """Search all files, and the names of files, but for those in which the secrets were planted."""
        for path in directory.rglob("*"):
            self.look(f"the name of {path}", bytes(path))
            if path.is_file() and not path.is_symlink() and path not in sources:
                self.look(str(path), path.read_bytes())


@pytest.fixture
def vault() -> Vault:
    return Vault()


@pytest.fixture
def ray_env() -> Iterator[dict[str, str]]:
    """Have Ray leave its session in a directory of the test's own; its sockets have paths of a hundred characters."""
    directory = tempfile.mkdtemp(prefix="ray-")
    yield {"RAY_TMPDIR": directory}
    shutil.rmtree(directory)


def _plant(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def _planted_environment(home: Path, secured: SecuredServer, vault: Vault) -> dict[str, str]:
    """Give what a user's environment may have, most of which nobody asks for."""
    plant = vault.secret
    # TLS takes a proxy for a certificate of the client, so that it has to be a real one.
    proxy = (secured.home / "ca/host.pem").read_text() + (secured.home / "ca/host.key").read_text()
    plant("proxy", proxy.splitlines()[-5])
    return {
        "X509_USER_PROXY": str(_plant(home / "proxy.pem", proxy)),
        "XrdSecSSSKT": str(_plant(home / "keytab", f"0 u:lister g:users n:key N:1 k:{plant('sss')}\n")),
        "PGPASSWORD": plant("pgpassword"),
        "MYSQL_PWD": plant("mysqlpwd"),
        "RUCIO_AUTH_TOKEN": plant("rucio"),
        "https_proxy": f"http://me:{plant('httpproxy')}@127.0.0.1:{_CLOSED}",
        "HTTP_PROXY": f"http://me:{plant('upperproxy')}@127.0.0.1:{_CLOSED}",
    }


def _fill(site: FaultySite) -> None:
    for number in range(6):
        site.put(f"data/{number % 3}/kept{number}.root")
    site.know("data/1/lost.root")
    site.put("data/2/left.root", known=False)
    site.put(b"data/2/caf\xe9.root", known=False)
    site.write_inventory()


def _files_query(site: FaultySite) -> str:
    """Give a query that answers what the inventory of the site should have, in any database."""
    names = [name.decode() for name in site.known]
    return " UNION ALL ".join(f"SELECT '{site.lfn}/{name}' AS lfn, 10 AS size" for name in names)


def _settings(site: FaultySite, vault: Vault, url: str, **more: Any) -> dict[str, Any]:
    plant = vault.secret
    return {
        "SQL": {"URL": url, "Files": _files_query(site)},
        "Backend": "sql",
        "Inventory": None,
        # A name that is not UTF-8 is listed by another program, once the bindings have not answered in time.
        "Timeout": 1,
        "ListDeletable": {
            "PROTECTED_LIST": f"http://me:{plant('protected')}@127.0.0.1:{_CLOSED}/list?token={plant('listtoken')}",
            "LFN_TO_CLEAN": "unmerged",
        },
        **more,
    }


def _configure(site: FaultySite, **keys: Any) -> None:
    site.configure(**keys)
    given = json.loads((site.home / "consistency_config.json").read_text())
    own = given["Sites"][site.name]
    given["Sites"][site.name] = {key: value for key, value in own.items() if value is not None}
    (site.home / "consistency_config.json").write_text(json.dumps(given))


def _sources(site: FaultySite) -> tuple[Path, ...]:
    return tuple(site.home / name for name in ("consistency_config.json", "proxy.pem", "keytab", "token"))


def _whole_run(site: FaultySite, secured: SecuredServer, vault: Vault, database: PostgresServer, leaks: Leaks) -> None:
    """Check a site with secrets all around, so that it ends well, and look at what the other commands say of it."""
    _fill(site)
    token = vault.secret("token", secured.issuer.token(unknown="x" * 20))
    vault.secret("signature", token.rpartition(".")[2])
    environment = {**_planted_environment(site.home, secured, vault), "BEARER_TOKEN": token, "XrdSecPROTOCOL": "ztn"}
    vault.secret("filetoken", (other := secured.issuer.token(unknown="y" * 20)).rpartition(".")[2])
    environment["BEARER_TOKEN_FILE"] = str(_plant(site.home / "token", other))
    url = database.url("postgres", vault.secret("sql")) + f"?application_name={vault.secret('parameter')}"
    _configure(site, **_settings(site, vault, url), Unmerged=True)
    site.env |= environment
    assert len(vault.in_bytes((site.home / "consistency_config.json").read_bytes())) == 4, "the search is blind"
    with Eavesdropper() as ears:
        ended = run("--log-level", "debug", "check", "--unmerged", site.name, cwd=site.home, env=site.env)
        assert "protected list" in ended.err, "the cleaning did not come to its list"
        site.assert_found(["data/1/lost.root"], ["data/2/left.root", b"data/2/caf\xe9.root"])
        leaks.look_at("the check", ended)
        for command in (("history", site.name), ("status", "--json"), ("sites",), ("sites", "--json")):
            leaks.look_at(command[0], run("--log-level", "debug", *command, cwd=site.home, env=site.env))
    leaks.look("the command lines", b"\n".join(ears.heard))
    assert any(b"dynamo-consistency" in line for line in ears.heard)
    leaks.look_below(site.home, _sources(site))
    assert (site.web / "consistency_config.json").is_file()
    assert leaks.searched > 30
    assert not leaks.found, "\n".join(leaks.found)


@pytest.mark.fault(
    "secrets",
    "tokens, keys, proxies and passwords in configuration and environment; a run that ends well",
    "none is in output, logs, page, databases, snapshots, lists or command lines",
)
def test_a_run_that_ends_well(
    wants_tokens: SecuredServer,
    make_site: Callable[..., FaultySite],
    vault: Vault,
    postgres_server: PostgresServer,
) -> None:
    (wants_tokens.server.store / "well").mkdir()
    site = make_site([wants_tokens.server.store / "well"], "/store/well", [wants_tokens.url])
    site.env |= wants_tokens.env
    _whole_run(site, wants_tokens, vault, postgres_server, Leaks(vault))


@pytest.mark.fault("secrets", "the same over WebDAV", "none is anywhere either")
def test_a_run_over_webdav(make_site: Callable[..., FaultySite], vault: Vault, postgres_server: PostgresServer) -> None:
    with SecuredServer("http") as secured:
        site = make_site([secured.server.store], "/store", [secured.url])
        site.env |= secured.env
        _whole_run(site, secured, vault, postgres_server, Leaks(vault))
        assert "httpcore" not in site.log


@pytest.mark.soak
@pytest.mark.fault(
    "secrets",
    "the same on Ray, whose workers are given what they need",
    "none is in Ray's session directory either",
)
def test_the_logs_of_ray(
    wants_tokens: SecuredServer,
    make_site: Callable[..., FaultySite],
    vault: Vault,
    postgres_server: PostgresServer,
    ray_env: dict[str, str],
) -> None:
    (wants_tokens.server.store / "ray").mkdir()
    site = make_site([wants_tokens.server.store / "ray"], "/store/ray", [wants_tokens.url])
    site.runtime = "ray"
    site.env |= wants_tokens.env | ray_env
    leaks = Leaks(vault)
    _whole_run(site, wants_tokens, vault, postgres_server, leaks)
    directory = Path(ray_env["RAY_TMPDIR"])
    assert list(directory.glob("**/session_*/logs/gcs_server.*")), "Ray has left its logs elsewhere"
    leaks.look_below(directory)
    assert not leaks.found, "\n".join(leaks.found)


def _wrong_settings(site: FaultySite, vault: Vault, mariadb: MariaDBServer) -> dict[str, dict[str, Any]]:
    """Give settings of a site with which a check fails, each with a secret in the place that is wrong."""
    plant = vault.secret
    query = _files_query(site)

    def database(url: str, **more: str) -> dict[str, Any]:
        return {"Backend": "sql", "Inventory": None, "SQL": {"URL": url, "Files": query, **more}}

    here = f"127.0.0.1:{mariadb.port}"
    return {
        "a wrong password": database(f"mysql://root:{plant('wrong')}@{here}/mysql"),
        "nobody there": database(f"postgresql://u:{plant('nobody')}@127.0.0.1:{_CLOSED}/db"),
        "a password as parameter": database(f"postgresql://127.0.0.1:{_CLOSED}/db?password={plant('asked')}"),
        "an unknown parameter": database(
            f"postgresql://127.0.0.1:{_CLOSED}/db?sslpassword={plant('p1')}&x={plant('p2')}"
        ),
        "no such kind": database(f"oracel://u:{plant('kind')}@h/db"),
        "no URL": database(f"u:{plant('nourl')}@h/db"),
        "a bad port": database(f"postgresql://u:{plant('port')}@h:port/db"),
        "a slash in the password": database(f"postgresql://u:{plant('slash')}/x@h:1/db"),
        "a bad query": database(f"mysql://root@{here}/mysql?passwd={plant('passwd')}"),
        "a user in a door": {"Doors": [f"root://me:{plant('door')}@h"]},
        "parameters of a door": {"Doors": [f"root://h//store?authz=Bearer%20{plant('authz')}&xrd.wantprot=ztn"]},
        "parameters without a mark": {"Doors": [f"root://h//store&authz={plant('authzpath')}"]},
        "parameters of xrd": {"Doors": [f"roots://h//store&xrd.k={plant('xrdpath')}"]},
        "a user in a redirector": {"Redirectors": f"me:{plant('redirector')}@h"},
        "parameters of a redirector": {"Redirectors": f"h:1094?authz={plant('redirauthz')}"},
        "a global redirector": {"GlobalRedirectors": [f"root://me:{plant('global')}@h:1094"]},
        "a banned door": {"BannedDoors": [f"h?authz={plant('banned')}"]},
        "a password for mail": {
            "Email": {
                "Sender": "a@b",
                "Recipients": [f"x:{plant('mail')}@h"],
                "Server": "h",
                "Password": plant("mailkey"),
            }
        },
        "a mail server": {"Email": {"Sender": "a@b", "Recipients": ["c@d"], "Server": f"me:{plant('smtp')}@h:25"}},
        "a name of a backend": {"SQL": None, "Backend": f"postgresql://u:{plant('backend')}@h/db"},
        "an unknown key": {f"postgresql://u:{plant('key')}@h/db": 1},
    }


@pytest.mark.fault(
    "secrets",
    "wrong passwords, refused connections, bad URLs, users and parameters in doors, in file and environment",
    "one line that says what is wrong, without the secret; nor is it in what a failed run leaves, or in a mail",
)
def test_runs_that_fail(site: FaultySite, vault: Vault, mariadb_server: MariaDBServer) -> None:
    _fill(site)
    leaks = Leaks(vault)
    wrong = _wrong_settings(site, vault, mariadb_server)
    with mail_server() as mails:
        email = {"Sender": "a@example.org", "Recipients": ["b@example.org"], "Server": mails.address}
        for what, keys in wrong.items():
            if "SQL" not in keys:
                # A configuration that is wrong is said to be so at once, in all its places.
                continue
            _configure(site, **{"Email": email, **keys})
            ended = loaded.run("check", "--email", site.name, cwd=site.home, env=site.env)
            assert ended.code in (2, 4), (what, ended)
            assert ended.err.startswith("dynamo-consistency: "), what
            leaks.look_at(what, ended)
        assert mails.messages
        for message in mails.messages:
            leaks.look("a mail", message.as_bytes())
            leaks.look("the text of a mail", message.get_content().encode())
    refused = {f"S{number}": keys for number, keys in enumerate(wrong.values()) if "SQL" not in keys}
    (site.home / "consistency_config.json").write_text(json.dumps({"Sites": refused}))
    ended = loaded.run("check", "S99", cwd=site.home, env=site.env)
    leaks.look_at("a wrong configuration", ended)
    for name in refused:
        assert f"Sites.{name}." in ended.err or f"Sites.{name}: " in ended.err, name
    _configure(site)
    for what, keys in wrong.items():
        if what in _ALSO_IN_THE_ENVIRONMENT:
            env = {**site.env, **{key: json.dumps(value) for key, value in keys.items() if value is not None}}
            leaks.look_at(f"{what} in the environment", loaded.run("check", site.name, cwd=site.home, env=env))
    leaks.look_below(site.home, _sources(site))
    assert not leaks.found, "\n".join(leaks.found)


@pytest.mark.fault(
    "secrets",
    "secrets on the command line, in a file of the configuration that is malformed, or asked for in Python",
    "one line without them, or an exception without them",
)
def test_what_is_mistyped(site: FaultySite, vault: Vault) -> None:
    _fill(site)
    leaks = Leaks(vault)
    plant = vault.secret
    _configure(site)
    for arguments in (
        ("list", f"root://me:{plant('listuser')}@h//store"),
        ("list", f"root://h//store?authz={plant('listauthz')}"),
        ("check", site.name, "--remote", f"roots://h//store?authz={plant('remote')}&xrd.x=1"),
        ("compare", f"postgresql://u:{plant('compare')}@h/db", "x"),
    ):
        ended = loaded.run(*arguments, cwd=site.home, env=site.env)
        assert ended.code == 2
        leaks.look_at(arguments[0], ended)
    config = site.home / "consistency_config.json"
    for text in (
        f'{{"SQL": {{"URL": "postgresql://u:{plant("cut")}@h/db',
        f'{{"SQL": "postgresql://u:{plant("flat")}@h/db"}}',
        f'SQL: {{URL: "postgresql://u:{plant("yaml")}@h/db}}',
        f"SQL:\n  URL: postgresql://u:{plant('tab')}@h/db\n\t- x",
        f"postgresql://u:{plant('bare')}@h/db",
        f"SQL: !!postgresql://u:{plant('tag')}@h/db",
        f"SQL: *{plant('alias')}",
    ):
        config.write_text(text)
        ended = loaded.run("check", site.name, cwd=site.home, env=site.env)
        assert ended.code == 2
        leaks.look_at(text[:20], ended)
    config.write_text("{}")
    for form in ('"u:{}@h', '{{"URL": "{}"', "[{}", "!!{} 1", "*{}", "!{}", "%{}", "&{} *{}"):
        with pytest.raises(ConfigError) as raised:
            Config.default({"SQL": form.format(*[plant("environment")] * 2)})
        leaks.look(f"SQL={form}", str(raised.value).encode())
    _configure(site, Backend="sql", Inventory=None, SQL={"URL": f"x://u:{plant('python')}@h:y/db", "Files": "SELECT 1"})
    code = f"import dynamo_consistency as d; d.config.LOCATION = {str(config)!r}; d.main.main({site.name!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=site.home, capture_output=True, text=True, timeout=120, check=False
    )
    assert "Traceback" in done.stderr
    leaks.look("an exception in Python", done.stderr.encode())
    leaks.look_below(site.home, _sources(site))
    assert not leaks.found, "\n".join(leaks.found)
