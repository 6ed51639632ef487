"""Throw-away database servers, on loopback and a free port, in temporary directories."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from cli.xrootd_server import free_ports


class DatabaseServer:
    """A server that runs between `start` and `stop`; root starts it as the user ``account``."""

    account = ""
    scheme = ""
    user = ""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="database-"))
        (self.port,) = free_ports(1)
        self._log = self.directory / "log"
        if os.geteuid() == 0:
            shutil.chown(self.directory, self.account)
        # The account need not be able to write where this process keeps its temporary files.
        self._environment = {**os.environ, "TMPDIR": str(self.directory)}

    def url(self, database: str, password: str = "") -> str:
        """Give an SQLAlchemy URL."""
        user = f"{self.user}:{password}" if password else self.user
        return f"{self.scheme}://{user}@127.0.0.1:{self.port}/{database}"

    def command(self, *words: str) -> list[str]:
        """Give a command line that runs as the server's user."""
        if os.geteuid() != 0:
            return list(words)
        return ["setpriv", f"--reuid={self.account}", f"--regid={self.account}", "--clear-groups", *words]

    def run(self, *words: str) -> None:
        """Run a program to its end."""
        done = subprocess.run(
            self.command(*words),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._environment,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout


class PostgresServer(DatabaseServer):
    """A cluster of PostgreSQL."""

    account = "postgres"
    scheme = "postgresql"
    user = "postgres"

    def start(self) -> None:
        """Make the cluster and start it."""
        programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        self._control = str(programs / "pg_ctl")
        self._data = str(self.directory / "data")
        self.run(
            str(programs / "initdb"),
            *("--pgdata", self._data, "--auth=trust", "--username=postgres", "--no-sync", "--no-instructions"),
            *("--encoding=UTF8", "--locale=C.UTF-8"),
        )
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off -c unix_socket_directories={self.directory}"
        )
        subprocess.run(
            self.command(self._control, "-D", self._data, "-l", str(self._log), "-o", options, "-w", "start"),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
            timeout=120,
        )

    def stop(self) -> None:
        """End it, and remove what it wrote."""
        try:
            self.run(self._control, "-D", self._data, "-m", "immediate", "-w", "stop")
        finally:
            shutil.rmtree(self.directory)


class MariaDBServer(DatabaseServer):
    """A MariaDB."""

    account = "mysql"
    scheme = "mysql"
    user = "root"

    def start(self) -> None:
        """Make its tables and start it."""
        data = self.directory / "data"
        self.run(
            "mariadb-install-db",
            *("--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db"),
        )
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command(
                    shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin") or "mariadbd",
                    *("--no-defaults", f"--datadir={data}", f"--port={self.port}", "--bind-address=127.0.0.1"),
                    *(f"--socket={self.directory}/socket", f"--pid-file={self.directory}/pid"),
                ),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """End it, and remove what it wrote."""
        self._process.terminate()
        self._process.wait(60)
        shutil.rmtree(self.directory)
