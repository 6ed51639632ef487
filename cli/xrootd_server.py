"""A real XRootD server on a free port of the loopback interface, for the demo and for tests."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType


class CannotServe(RuntimeError):
    """There is no XRootD server on this machine, or it does not start; the message says what to do."""


_ACCOUNT = "xrootd"
_START_SECONDS = 20.0
_ATTEMPTS = 5

_PORTS = range(20_000, 32_000)
"""Below those that Linux gives to whoever connects."""


class XRootDServer:
    """Serves ``root/store`` as ``/store``. Use it as a context manager, or call `start` and `stop`.

    Without a ``root`` it serves a temporary directory, which goes when it stops. Started by root, it runs as the user
    ``xrootd``, so that permissions mean something; else as whoever starts it. ``extra`` lines are added to its
    configuration, and what is in ``environment`` to what it finds there.

    Raises:
        CannotServe: it is not installed, or does not answer.
    """

    def __init__(
        self, extra: tuple[str, ...] = (), root: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        if shutil.which("xrootd") is None:
            raise CannotServe("xrootd is not installed; it comes with Debian's xrootd-server and xrootd-client")
        self._extra = extra
        self._environment = {**os.environ, **(environment or {})}
        self._home = Path(tempfile.mkdtemp(prefix="xrootd-"))
        self._home.chmod(0o755)
        self._admin = self._home / "admin"
        self._admin.mkdir()
        self.root = root or self._home / "data"
        self.store = self.root / "store"
        self.store.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            try:
                account = pwd.getpwnam(_ACCOUNT)
            except KeyError as error:
                raise CannotServe(f"xrootd refuses to run as root, and there is no user {_ACCOUNT}") from error
            os.chown(self._admin, account.pw_uid, account.pw_gid)
            _must_reach(self.root, account)
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The door, without a path."""
        return f"root://localhost:{self.port}"

    @property
    def pid(self) -> int:
        """The server's process; 0 while there is none."""
        return 0 if self._process is None else self._process.pid

    @property
    def log(self) -> str:
        """What the server wrote to its log so far."""
        path = self._admin / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start it and wait until it answers."""
        for _ in range(_ATTEMPTS):
            if not self.port:
                (self.port,) = free_ports(1)
            self._launch()
            if self._answers():
                return
            self._end()
            self.port = 0
        raise CannotServe(f"xrootd does not start:\n{self.log}")

    def stop(self) -> None:
        """End the server and remove its temporary directory; a ``root`` that it was given stays."""
        self._end()
        shutil.rmtree(self._home, ignore_errors=True)

    def kill(self) -> None:
        """End the server and keep its data; `start` brings it back on the same port."""
        self._end()

    def restart(self) -> None:
        """End the server and start it on the same port."""
        self._end()
        self.start()

    def pause(self) -> None:
        """Stop the server's process: connections stay, and nothing answers."""
        self._signal(signal.SIGSTOP)
        if self._process is not None:
            # Its threads go on for a moment after the signal was sent.
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._signal(signal.SIGCONT)

    def __enter__(self) -> XRootDServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self) -> None:
        config = self._home / "xrootd.cfg"
        lines = (
            "all.export /store",
            f"oss.localroot {self.root}",
            f"xrd.port {self.port}",
            "xrd.allow host localhost",
            "xrd.allow host 127.0.0.1",
            f"all.adminpath {self._admin}",
            f"all.pidpath {self._admin}",
            *self._extra,
        )
        config.write_text("\n".join(lines) + "\n")
        command = ["xrootd", "-I", "v4", "-c", str(config), "-l", str(self._admin / "log")]
        if os.geteuid() == 0:
            command = ["setpriv", f"--reuid={_ACCOUNT}", f"--regid={_ACCOUNT}", "--clear-groups", *command]
        self._process = subprocess.Popen(
            command,
            cwd=self._admin,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _answers(self) -> bool:
        """Wait until it takes part in the protocol's handshake; False when it ended instead."""
        assert self._process is not None
        give_up = time.monotonic() + _START_SECONDS
        while time.monotonic() < give_up and self._process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                    connection.sendall(struct.pack(">5i", 0, 0, 0, 4, 2012))
                    if connection.recv(16):
                        return True
            except OSError:
                pass
            time.sleep(0.05)
        return False

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _must_reach(directory: Path, account: pwd.struct_passwd) -> None:
    """Find out what the server would say at the end of a long log.

    Raises:
        CannotServe: a directory above keeps the account out.
    """
    for above in directory.absolute().parents:
        found = above.stat()
        own = found.st_uid == account.pw_uid
        bit = stat.S_IXUSR if own else stat.S_IXGRP if found.st_gid == account.pw_gid else stat.S_IXOTH
        if not found.st_mode & bit:
            raise CannotServe(f"the user {account.pw_name}, as which it runs, may not enter {above}")


def free_ports(count: int) -> list[int]:
    """Give ports that nobody has, and that the system gives to nobody who does not ask for one.

    So a server that is started again finds its port as it left it.
    """
    ports: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            ports.append(port)
        if len(ports) == count:
            return ports
    raise CannotServe("no port is free")
