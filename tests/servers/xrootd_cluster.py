"""A redirector with data servers behind it: two daemons for each, all on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from cli.xrootd_server import free_ports

_ACCOUNT = "xrootd"
_READY_SECONDS = 40.0
_TRIES = 2


class XRootDCluster:
    """Serves ``/store`` from several data servers, each with a tree of its own, or all with the same one.

    ``roots`` are the trees, by data server; ``ports`` are those of the redirector and then of the data servers. With
    ``http`` they are asked over HTTP at the same ports as well. ``extra`` lines go into the configuration of
    all of them.
    """

    def __init__(self, servers: int = 2, shared: bool = False, http: bool = False, extra: tuple[str, ...] = ()) -> None:
        self._http = http
        self._extra = extra
        self._home = Path(tempfile.mkdtemp(prefix="xrootd-cluster-"))
        self._home.chmod(0o755)
        self._admin = self._home / "admin"
        self._admin.mkdir()
        if os.geteuid() == 0:
            account = pwd.getpwnam(_ACCOUNT)
            os.chown(self._admin, account.pw_uid, account.pw_gid)
        names = [self._home / f"data{0 if shared else number}" for number in range(servers)]
        for root in names:
            (root / "store").mkdir(parents=True, exist_ok=True)
        self.roots = names
        self._take_ports()
        self._daemons: dict[str, list[subprocess.Popen[bytes]]] = {}

    @property
    def redirector(self) -> str:
        """The redirector as ``host:port``."""
        return f"localhost:{self.ports[0]}"

    def server(self, number: int) -> str:
        """Give a data server, counted from 0, as ``localhost:port``."""
        return f"localhost:{self.ports[number + 1]}"

    def store(self, number: int) -> Path:
        """Give the directory that a data server shows as ``/store``."""
        return self.roots[number] / "store"

    def start(self, without: int = 0) -> None:
        """Start all daemons, but for so many data servers, the last; wait until the redirector knows the others.

        The first time, another process may take a port before it is ours: then others are tried.
        """
        for _ in range(_TRIES):
            try:
                self._start(without)
                return
            except AssertionError:
                self._end_all()
                self._take_ports()
        self._start(without)

    def _take_ports(self) -> None:
        *self.ports, self._manager_port = free_ports(len(self.roots) + 2)

    def _start(self, without: int) -> None:
        for program in ("xrootd", "cmsd"):
            (self._home / f"{program}.cfg").write_text(self._configuration(program, len(self.roots) - without))
        for name in ("rdr", *[f"ds{number}" for number in range(len(self.roots) - without)]):
            self._launch(name)
        self.wait_for_servers(len(self.roots) - without)

    def stop_server(self, number: int) -> None:
        """End a data server, as one that is down."""
        self._end(f"ds{number}")

    def stop_redirector(self) -> None:
        """End the redirector."""
        self._end("rdr")

    def start_redirector(self) -> None:
        """Start the redirector again; the data servers come back to it by themselves."""
        self._launch("rdr")

    def start_server(self, number: int) -> None:
        """Start a data server again, and wait until it answers."""
        self._launch(f"ds{number}")
        self._answers(number)

    def kill_server(self, number: int) -> None:
        """End a data server without a warning."""
        self._signal(number, signal.SIGKILL)
        for process in self._daemons.pop(f"ds{number}"):
            process.wait()

    def pause_server(self, number: int) -> None:
        """Stop a data server in its tracks: connections stay open, and nothing is answered."""
        self._signal(number, signal.SIGSTOP)

    def resume_server(self, number: int) -> None:
        """Let a paused data server go on."""
        self._signal(number, signal.SIGCONT)

    def pause_redirector(self) -> None:
        """Stop the redirector in its tracks."""
        self._signal_to("rdr", signal.SIGSTOP)

    def resume_redirector(self) -> None:
        """Let a paused redirector go on."""
        self._signal_to("rdr", signal.SIGCONT)

    def _signal(self, number: int, what: signal.Signals) -> None:
        self._signal_to(f"ds{number}", what)

    def _signal_to(self, name: str, what: signal.Signals) -> None:
        for process in self._daemons[name]:
            process.send_signal(what)

    def _answers(self, number: int) -> None:
        give_up = time.monotonic() + _READY_SECONDS
        while time.monotonic() < give_up:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.ports[number + 1]), 1):
                return
            time.sleep(0.1)
        raise AssertionError(f"data server {number} does not come back")

    def _end_all(self) -> None:
        for name in list(self._daemons):
            self._end(name)

    def stop(self) -> None:
        """End everything and remove the trees."""
        self._end_all()
        shutil.rmtree(self._home, ignore_errors=True)

    def __enter__(self) -> XRootDCluster:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _configuration(self, program: str, servers: int) -> str:
        lines = [
            "all.export /store",
            f"all.manager localhost:{self._manager_port}",
            "xrd.allow host localhost",
            "xrd.allow host 127.0.0.1",
            "cms.allow host localhost",
            "cms.allow host 127.0.0.1",
            f"all.adminpath {self._admin}",
            f"all.pidpath {self._admin}",
            *(self._extra if program == "xrootd" else ()),
            "if named rdr",
            "all.role manager",
            f"xrd.port {self.ports[0]} if exec xrootd",
            f"xrd.port {self._manager_port} if exec cmsd",
            *self._protocol(program, 0),
        ]
        for number, root in enumerate(self.roots):
            lines += [
                f"else if named ds{number}",
                "all.role server",
                f"oss.localroot {root}",
                f"xrd.port {self.ports[number + 1]} if exec xrootd",
                *self._protocol(program, number + 1),
            ]
        lines += ["fi", f"cms.delay startup 3 servers {servers} lookup 2", "cms.space min 10m"]
        return "\n".join(lines) + "\n"

    def _protocol(self, program: str, number: int) -> list[str]:
        wanted = self._http and program == "xrootd"
        return [f"xrd.protocol http:{self.ports[number]} libXrdHttp.so"] if wanted else []

    def _launch(self, name: str) -> None:
        for program in ("cmsd", "xrootd"):
            log = self._admin / f"{name}-{program}.log"
            pid = str(self._admin / f"{name}-{program}.pid")
            command = [
                program,
                "-I",
                "v4",
                "-n",
                name,
                "-c",
                str(self._home / f"{program}.cfg"),
                "-l",
                str(log),
                "-s",
                pid,
            ]
            if os.geteuid() == 0:
                command = ["setpriv", f"--reuid={_ACCOUNT}", f"--regid={_ACCOUNT}", "--clear-groups", *command]
            process = subprocess.Popen(
                command,
                cwd=self._admin,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            self._daemons.setdefault(name, []).append(process)

    def wait_for_servers(self, servers: int) -> None:
        """Wait until the redirector names so many data servers."""
        give_up = time.monotonic() + _READY_SECONDS
        while time.monotonic() < give_up:
            done = subprocess.run(
                ["xrdfs", self.redirector, "locate", "-r", "*"],
                capture_output=True,
                timeout=30,
                env=os.environ
                | {"XRD_TIMEOUTRESOLUTION": "1", "XRD_CONNECTIONWINDOW": "5", "XRD_REQUESTTIMEOUT": "10"},
                check=False,
            )
            if sum(b"Server" in line for line in done.stdout.splitlines()) >= servers:
                return
            for name, processes in self._daemons.items():
                assert all(process.poll() is None for process in processes), f"{name} does not start"
            time.sleep(0.3)
        raise AssertionError(f"the cluster does not come up: {done.stdout!r} {done.stderr!r}")

    def _end(self, name: str) -> None:
        processes = self._daemons.pop(name, [])
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
