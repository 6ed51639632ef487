"""Real WebDAV servers on free ports of the loopback interface: XRootD's HTTP plugin, and Apache's mod_dav."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from cli.xrootd_server import CannotServe, XRootDServer, free_ports

_MODULES = Path("/usr/lib/apache2/modules")
_NOBODY = 65534
_START_SECONDS = 20.0


class XRootDOverHTTP(XRootDServer):
    """An XRootD server that is asked over HTTP: its ``url`` is ``dav://``, or ``davs://`` if it has ``tls`` set up."""

    def __init__(
        self,
        extra: tuple[str, ...] = (),
        root: Path | None = None,
        environment: Mapping[str, str] | None = None,
        tls: bool = False,
    ) -> None:
        (self.http_port,) = free_ports(1)
        self._scheme = "davs" if tls else "dav"
        super().__init__((f"xrd.protocol http:{self.http_port} libXrdHttp.so", *extra), root, environment)

    @property
    def url(self) -> str:
        return f"{self._scheme}://localhost:{self.http_port}"


_CONFIGURATION = """\
ServerRoot {home}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {home}/pid
ErrorLog {home}/log
Mutex file:{locks}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule alias_module {modules}/mod_alias.so
LoadModule headers_module {modules}/mod_headers.so
LoadModule dav_module {modules}/mod_dav.so
LoadModule dav_fs_module {modules}/mod_dav_fs.so
DavLockDB {locks}/DavLock
DocumentRoot {root}
MaxKeepAliveRequests 0
LimitRequestLine 16384
<Directory {root}>
Dav On
AllowOverride None
Options FollowSymLinks
Require all granted
</Directory>
"""


class ApacheServer:
    """Serves ``root/store`` as ``/store``. Use it as a context manager.

    Started by root, it runs as nobody, so that permissions mean something. ``extra`` lines are added to its
    configuration.

    Raises:
        CannotServe: it is not installed, or does not answer.
    """

    def __init__(self, extra: tuple[str, ...] = (), tls: bool = False) -> None:
        if shutil.which("apache2", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
            raise CannotServe("apache2 is not installed; it comes with Debian's apache2-bin")
        self._home = Path(tempfile.mkdtemp(prefix="apache-"))
        self._home.chmod(0o755)
        self.root = self._home / "data"
        self.store = self.root / "store"
        self.store.mkdir(parents=True)
        locks = self._home / "locks"
        locks.mkdir()
        self._extra = extra
        self._scheme = "davs" if tls else "dav"
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None
        lines = _CONFIGURATION.format(
            home=self._home, port=self.port, locks=locks, modules=_MODULES, root=self.root
        ).splitlines()
        if tls:
            lines.insert(0, f"LoadModule ssl_module {_MODULES}/mod_ssl.so")
        if os.geteuid() == 0:
            os.chown(locks, _NOBODY, _NOBODY)
            lines += [f"User #{_NOBODY}", f"Group #{_NOBODY}"]
        self._configuration = self._home / "apache.conf"
        self._configuration.write_text("\n".join([*lines, *extra]) + "\n")

    @property
    def url(self) -> str:
        """The door, without a path."""
        return f"{self._scheme}://localhost:{self.port}"

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = subprocess.Popen(
            ["/usr/sbin/apache2", "-X", "-f", str(self._configuration)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        give_up = time.monotonic() + _START_SECONDS
        while time.monotonic() < give_up and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=2).close()
                return
            except OSError:
                time.sleep(0.02)
        self.kill()
        log = self._home / "log"
        raise CannotServe(f"apache2 does not start:\n{log.read_text() if log.exists() else self._configuration}")

    def kill(self) -> None:
        """End the server and keep its data; `start` brings it back on the same port."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def pause(self) -> None:
        """Stop its process: connections stay, and nothing answers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def stop(self) -> None:
        """End the server and remove its directory."""
        self.kill()
        shutil.rmtree(self._home, ignore_errors=True)

    def __enter__(self) -> ApacheServer:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
