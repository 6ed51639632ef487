"""A real Rucio on loopback: its REST server, with SQLite in a temporary directory or any database of one's own.

It lives in an environment of its own, ``.venv-rucio``, which ``scripts/setup.sh servers`` makes, since it wants other
versions of some packages than this program.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import NullPool, create_engine, make_url, text

from cli.xrootd_server import free_ports
from storage.backends.rucio import rest
from storage.config.site import RucioSettings
from tests.servers.processes import processes_below

ENVIRONMENT = Path(__file__).parents[2] / ".venv-rucio"

PASSWORD = "not-to-be-seen-rucio"
"""What the account ``root`` identifies itself with."""

_PATIENCE = 120.0

_MAKE_TABLES = """
import sys
from rucio.db.sqla.util import build_database, create_base_vo, create_root_account
build_database()
create_base_vo()
create_root_account()
"""

_ALEMBIC = """[alembic]
script_location = rucio:db/sqla/migrate_repo
sqlalchemy.url = {url}
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = WARN
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = plain
[formatter_plain]
format = %(message)s
"""

_CLIENT = """[client]
rucio_host = {host}
auth_host = {host}
auth_type = userpass
username = {account}
password = {password}
account = {account}
request_retries = 3
"""

_SERVER = """[common]
logdir = {directory}
loglevel = WARNING
[database]
default = {url}
[bootstrap]
userpass_identity = root
userpass_pwd = {password}
userpass_email = root@localhost
[alembic]
cfg = {directory}/alembic.ini
[policy]
permission = generic
schema = generic
lfn2pfn_algorithm_default = {algorithm}
"""


class RucioServer:
    """A server that runs between `start` and `stop`; ``url`` is the SQLAlchemy URL of an empty database, not its own.

    ``algorithm`` is how it makes paths of the names on deterministic RSEs that say nothing else.
    """

    def __init__(self, url: str = "", algorithm: str = "hash") -> None:
        assert (ENVIRONMENT / "set-up").exists(), f"{ENVIRONMENT} is not there: scripts/setup.sh servers makes it"
        self.directory = Path(tempfile.mkdtemp(prefix="rucio-"))
        (self.port,) = free_ports(1)
        self.host = f"http://127.0.0.1:{self.port}"
        self.database = url or f"sqlite:///{self.directory}/rucio.db"
        self.client_config = self.write_client_config("root", PASSWORD)
        self._process: subprocess.Popen[bytes] | None = None
        etc = self.directory / "etc"
        etc.mkdir()
        values = {"directory": self.directory, "url": self.database, "password": PASSWORD, "algorithm": algorithm}
        (etc / "rucio.cfg").write_text(_SERVER.format(**values))
        (self.directory / "alembic.ini").write_text(_ALEMBIC.format(url=self.database))
        self._environment = {
            **{key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")},
            "RUCIO_HOME": str(self.directory),
            "RUCIO_CONFIG": str(etc / "rucio.cfg"),
        }

    def write_client_config(self, account: str, password: str) -> Path:
        """Write what a client needs to be this account; gives the path of the file."""
        path = self.directory / f"client-{account}-{len(list(self.directory.iterdir()))}.cfg"
        path.write_text(_CLIENT.format(host=self.host, account=account, password=password))
        return path

    def make_tables(self) -> None:
        """Make the tables and the account ``root``."""
        self._run(ENVIRONMENT / "bin" / "python", "-c", _MAKE_TABLES)

    def start(self) -> None:
        """Make what is not there yet, and serve."""
        if not (self.directory / "made").exists():
            self.make_tables()
            (self.directory / "made").touch()
        log = (self.directory / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [
                    str(ENVIRONMENT / "bin" / "python"),
                    *("-m", "gunicorn", "--no-control-socket", "-k", "sync", "-w", "1", "--timeout", "120"),
                    *("--bind", f"127.0.0.1:{self.port}", "rucio.web.rest.flaskapi.v1.main:application"),
                ],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
            )
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.2)

    def ask(self, question: Callable[[Any], Any]) -> Any:
        """Have the account ``root`` do something with the client."""
        return rest.RucioServer(RucioSettings(config=self.client_config)).ask("a question of a test", question)

    def add_rse(
        self, name: str, prefix: str = "", *, deterministic: bool = True, tape: bool = False, port: int = 1094
    ) -> None:
        """Make a storage element behind an XRootD door on this machine; its prefix is its name, if nothing is said."""
        operations = {"read": 1, "write": 1, "delete": 1}
        protocol = {
            "scheme": "root",
            "hostname": "localhost",
            "port": port,
            "prefix": prefix or f"//{name}/",
            "impl": "rucio.rse.protocols.gfal.Default",
            "domains": {"lan": operations, "wan": operations},
        }

        def make(client: Any) -> None:
            client.add_rse(name, deterministic=deterministic, rse_type="TAPE" if tape else "DISK")
            client.add_protocol(name, protocol)

        self.ask(make)

    def add_files(self, rse: str, files: Mapping[tuple[str, str], int], paths: Mapping[str, str] | None = None) -> None:
        """Register available replicas: sizes by scope and name; ``paths`` has those below the RSE's
        own prefix by name."""
        rows = [
            {"scope": scope, "name": name, "bytes": size, "adler32": "00000001"}
            for (scope, name), size in files.items()
        ]
        for row in rows if paths else ():
            row["pfn"] = f"root://localhost:1094//{rse}/{(paths or {})[str(row['name'])]}"

        def add(client: Any) -> None:
            known = set(client.list_scopes())
            for scope in dict.fromkeys(scope for scope, _ in files):
                if scope not in known:
                    client.add_scope("root", scope)
            for at in range(0, len(rows), 500):
                client.add_replicas(rse, rows[at : at + 500])

        self.ask(add)

    def bad(self, rse: str, state: str = "B") -> set[tuple[str, str]]:
        """Give scope and name of the replicas that are declared bad, or suspicious with the state ``S``."""
        from rucio.common.constants import HTTPMethod

        def read(client: Any) -> str:
            url = f"{client.host}/replicas/bad/states?state={state}&rse={rse}"
            return str(client._send_request(url, method=HTTPMethod.GET).text)

        entries = [json.loads(line) for line in self.ask(read).splitlines() if line]
        return {(entry["scope"], entry["name"]) for entry in entries}

    def quarantined(self, rse: str) -> set[tuple[str, str, str]]:
        """Give path, scope and name of what is in the quarantine."""
        rows = self.execute(
            "SELECT path, scope, q.name FROM quarantined_replicas q JOIN rses ON rses.id = q.rse_id WHERE rse = :rse",
            rse=rse,
        )
        return {(str(path), str(scope), str(name)) for path, scope, name in rows}

    def execute(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """Do something in the database behind the server's back; gives the rows, if any."""
        engine = create_engine(make_url(self.database), poolclass=NullPool)
        with engine.begin() as connection:
            result = connection.execute(text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []

    def set_state(self, rse: str, name: str, state: str) -> None:
        """Put a replica into a state."""
        self.execute(
            "UPDATE replicas SET state = :state WHERE name = :name AND rse_id = (SELECT id FROM rses WHERE rse = :rse)",
            state=state,
            name=name,
            rse=rse,
        )

    def run_code(self, code: str) -> str:
        """Run Python as a daemon of Rucio would, beside the server; gives what it prints."""
        return self._run(ENVIRONMENT / "bin" / "python", "-c", code)

    def log(self) -> str:
        """Give what the server wrote."""
        return (self.directory / "log").read_text(errors="replace")

    def halt(self) -> None:
        """End the server; its database stays."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let it neither answer nor end."""
        assert self._process is not None
        processes = [self._process.pid, *processes_below(self._process.pid)]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)

    def stop(self) -> None:
        """End it, and remove what it wrote."""
        self.halt()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.host}/ping", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _run(self, *words: Any) -> str:
        done = subprocess.run(
            [str(word) for word in words],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._environment,
            timeout=_PATIENCE,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout
