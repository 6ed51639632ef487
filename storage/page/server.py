"""Serves a web directory over HTTP, and keeps its page up to date with the databases.

Only what is meant for the public leaves the directory: plain files with the endings of pages and lists. What is hidden,
half written, a database, or reached through a symbolic link that leads out, is not there for anybody. Nothing can be
written.

    ServeError    the address cannot be listened on, in one line
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from socketserver import TCPServer
from stat import S_ISREG
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes, urlsplit

from storage.page.install import INDEX
from storage.page.render import POLICY

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".log": "text/plain; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".jsonl": "application/x-ndjson; charset=utf-8",
    ".yaml": "text/plain; charset=utf-8",
    ".yml": "text/plain; charset=utf-8",
    ".toml": "text/plain; charset=utf-8",
}
"""What is public: files with these endings, and what a browser is told of them."""

_ALIASES = {"": [INDEX], "favicon.ico": ["assets", "icon.svg"]}
"""What is asked for under another name; browsers look for the icon of a list there, which names none."""

_PATIENCE = 30.0
"""Seconds after which a client that neither sends nor reads is let go."""

_CHUNK = 1 << 18

_logger = logging.getLogger(__name__)


class ServeError(Exception):
    """The address cannot be listened on; the message says why and what to do."""


class PageServer(ThreadingHTTPServer):
    """Serves ``web_dir``; ``refresh`` is called before a page is given, and may take its time.

    The server listens from here on; port 0 takes a free one, and `url` says which.

    Raises:
        ServeError: the address cannot be listened on.
    """

    daemon_threads = True
    request_queue_size = 128
    """So many may knock at once; beyond the 5 of the library a client waits for seconds until it tries again."""

    def __init__(self, web_dir: Path, host: str, port: int, refresh: Callable[[], None]) -> None:
        self.web_dir = web_dir.resolve()
        self._host = host
        self.refresh = refresh
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self.address_family = family
            super().__init__(address[:2], _Handler)  # type: ignore[arg-type]
        except OverflowError:
            raise ServeError(f"port {port} is not between 0 and 65535") from None
        except OSError as error:
            raise ServeError(_explain(error, host, port)) from error

    @property
    def url(self) -> str:
        """The address to open in a browser."""
        host, port = self.server_address[:2]
        name = host.decode() if isinstance(host, bytes | bytearray) else str(host)
        return f"http://{f'[{name}]' if ':' in name else name}:{port}/"

    def answers_to(self, host: str) -> bool:
        """Tell whether a request that names a host is meant for this server.

        On loopback only this machine may read the lists. A page from elsewhere, open in a browser here, reads them as
        well if a name of its own leads to 127.0.0.1; the browser then says that name.
        """
        if not host or not _is_loopback(str(self.server_address[0])):
            return True
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in ("localhost", self._host.lower()) or name.endswith(".localhost") or _is_address(name)

    def server_bind(self) -> None:
        """Bind without asking a name server who this machine is, which may take long and is of no use here."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over clients that went away; note everything else."""
        error = sys.exception()
        quiet = isinstance(error, ConnectionError | TimeoutError)
        _logger.log(logging.DEBUG if quiet else logging.ERROR, "a request failed", exc_info=True)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(address: str) -> bool:
    return ip_address(address.split("%")[0]).is_loopback


def _explain(error: OSError, host: str, port: int) -> str:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"cannot listen on {host!r}: it is no address of this machine; give another with --host"
    words = "it is in use" if error.errno == errno.EADDRINUSE else (error.strerror or str(error)).lower()
    return f"cannot listen on port {port} of {host}: {words}; choose another with --port"


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE
    # Head and body leave together, and nothing waits for an answer to what went before.
    wbufsize = _CHUNK
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        if self.headers.get("Transfer-Encoding") or self.headers.get("Content-Length", "0") != "0":
            # Nobody reads a body here, so that it must not be taken for the next request.
            self.close_connection = True
        if not self.server.answers_to(self.headers.get("Host", "")):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "not the name of this server")
            return
        path = public_path(self.server.web_dir, self.path)
        if path is not None and path.suffix == ".html":
            self.server.refresh()
        file = None if path is None else _open(path)
        if path is None or file is None:
            self.send_error(HTTPStatus.NOT_FOUND, "no such page or list")
            return
        with file:
            state = os.fstat(file.fileno())
            if self._is_known(state.st_mtime):
                self.send_response(HTTPStatus.NOT_MODIFIED)
                self._send_common(state.st_mtime)
                self.end_headers()
                return
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", TYPES[path.suffix])
            self.send_header("Content-Length", str(state.st_size))
            self._send_common(state.st_mtime)
            self.end_headers()
            if with_body:
                self._send(file, state.st_size)

    def _send(self, file: BinaryIO, size: int) -> None:
        """Send as much as was promised: a log may have grown meanwhile."""
        left = size
        while left:
            data = file.read(min(left, _CHUNK))
            if not data:
                raise ConnectionError("the file is shorter than it was")
            self.wfile.write(data)
            left -= len(data)

    def _send_common(self, mtime: float) -> None:
        self.send_header("Last-Modified", formatdate(mtime, usegmt=True))
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Content-Security-Policy", f"{POLICY}; frame-ancestors 'none'")

    def _is_known(self, mtime: float) -> bool:
        """Whether the client has the file as it is. Times go by whole seconds here, so a fresh file is sent again."""
        given = self.headers.get("If-Modified-Since")
        if not given:
            return False
        try:
            since = parsedate_to_datetime(given).timestamp()
        except (ValueError, TypeError, OverflowError):
            return False
        return int(mtime) == since and time.time() - mtime > 2

    def version_string(self) -> str:
        """Say who answers, and not with which version of what."""
        return "dynamo-consistency"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        _logger.info("%s %s", self.address_string(), ascii(format % args))


def public_path(web_dir: Path, target: str) -> Path | None:
    """Give the file that a request asks for, None when there is nothing that everybody may see.

    ``web_dir`` is resolved. Names are compared after they were decoded, so no way of writing ``..`` gets around it.
    """
    try:
        raw = unquote_to_bytes(urlsplit(target).path)
    except ValueError:
        return None
    if not raw.startswith(b"/") or b"\0" in raw or b"\\" in raw:
        return None
    names = [os.fsdecode(name) for name in raw[1:].split(b"/")]
    names = _ALIASES.get("/".join(names), names)
    if any(not name or name.startswith(".") for name in names):
        return None
    path = web_dir.joinpath(*names)
    if path.suffix not in TYPES:
        return None
    try:
        resolved = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    if not resolved.is_relative_to(web_dir):
        return None
    # A link inside of the directory must not lead to what is not public there.
    inside = resolved.relative_to(web_dir)
    hidden = any(name.startswith(".") for name in inside.parts)
    return None if hidden or resolved.suffix not in TYPES else resolved


def _open(path: Path) -> BinaryIO | None:
    """Open a plain file; anything else, a pipe above all, is not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except (OSError, ValueError):
        return None
    if not S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "rb")
