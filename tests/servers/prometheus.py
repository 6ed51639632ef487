"""A real Prometheus on loopback, and a little web server that gives out the files that a node exporter would."""

from __future__ import annotations

import http.server
import json
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

_START_SECONDS = 60.0
_STOP_SECONDS = 60.0


class Prometheus:
    """A running server; see `running_prometheus`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **parameters: object) -> Any:
        """Give the data of an answer of its HTTP API; a query that makes no sense is an `AssertionError`."""
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=60) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error

    def now(self, query: str) -> list[Any]:
        """Give the series of a query as they are now, each with ``metric`` and ``value``."""
        result: list[Any] = self.ask("query", query=query)["result"]
        return result

    def values(self, query: str, label: str = "") -> dict[str, float]:
        """Give the values of a query by one of the labels."""
        return {series["metric"].get(label, ""): float(series["value"][1]) for series in self.now(query)}


@contextmanager
def running_prometheus(home: Path, configuration: dict[str, Any], rules: Sequence[Path] = ()) -> Iterator[Prometheus]:
    """Start a server that keeps everything below ``home``, and end it afterwards."""
    home.mkdir()
    file = home / "prometheus.yml"
    file.write_text(yaml.safe_dump({**configuration, "rule_files": [str(path) for path in rules]}))
    port = _free_port()
    log = (home / "log").open("wb")
    command = [
        *("prometheus", f"--config.file={file}", f"--storage.tsdb.path={home / 'data'}"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"),
    ]
    process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=home)
    try:
        server = Prometheus(f"http://127.0.0.1:{port}")
        give_up = time.monotonic() + _START_SECONDS
        while not _is_ready(server):
            assert process.poll() is None, (home / "log").read_text()
            assert time.monotonic() < give_up
            time.sleep(0.05)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_STOP_SECONDS)
        log.close()


def promtool(*arguments: object, cwd: Path | None = None) -> str:
    """Run promtool and give what it prints; the test fails with its words if it is not content."""
    command = ["promtool", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@contextmanager
def serving_files(directory: Path) -> Iterator[str]:
    """Give out all files ``*.prom`` of a directory as one page ``/metrics``; gives the address, ``HOST:PORT``."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            texts = [path.read_bytes() for path in sorted(directory.glob("*.prom"))]
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.end_headers()
            self.wfile.write(b"".join(texts))

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _is_ready(server: Prometheus) -> bool:
    try:
        urllib.request.urlopen(f"{server.url}/-/ready", timeout=5).close()
    except OSError:
        return False
    return True
