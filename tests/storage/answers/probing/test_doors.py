"""Doors by themselves: their names, addresses, clocks and room."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from storage.answers.probing.doors import probe_door, probe_doors
from storage.answers.probing.web import ask_web
from tests.servers.credentials import Authority
from tests.servers.fixtures import ServedDirectory
from tests.servers.scripted_http import ScriptedHTTP


def test_a_server_tells_its_clock_and_its_room(xrootd_directory: ServedDirectory) -> None:
    probe = probe_door(xrootd_directory.url, xrootd_directory.lfn, 10.0, {})
    assert probe.is_up
    assert [address.problem for address in probe.addresses] == [""]
    assert probe.clock is not None
    assert abs(probe.clock) < 30
    assert probe.clock_error >= 0.5
    assert probe.space is not None
    assert probe.space.total is not None
    assert probe.space.free is not None
    assert 0 < probe.space.free <= probe.space.total


def test_of_a_place_that_it_does_not_have_it_tells_no_room(xrootd_directory: ServedDirectory) -> None:
    probe = probe_door(xrootd_directory.url, b"/store/none", 10.0, {})
    assert probe.is_up
    assert probe.space is None


def test_doors_that_are_not_there_are_told_apart(tmp_path: Path) -> None:
    doors = ("root://localhost:1", "root://nowhere.invalid", f"file://{tmp_path}", "file:///none/at/all", "dump:///x")
    refused, unknown, here, gone, dump = probe_doors(doors, b"", 5.0, {})
    assert not refused.is_up
    assert refused.addresses[0].problem == "Connection refused"
    assert not unknown.is_up
    assert unknown.name_problem
    assert here.is_up
    assert here.space is not None
    assert not gone.is_up
    assert "No such file" in gone.problem
    assert dump.is_up


@contextmanager
def web_server(directory: Path, date: str | None) -> Iterator[int]:
    """Serve over TLS, with a date of our own in the answers; None: without any."""

    class Handler(BaseHTTPRequestHandler):
        def do_OPTIONS(self) -> None:
            self.send_response_only(401)
            if date is not None:
                self.send_header("Date", date)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    authority = Authority(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join(10)


def test_the_date_of_an_answer_is_the_clock_of_a_webdav_door(tmp_path: Path) -> None:
    ahead = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600))
    with web_server(tmp_path / "ca", ahead) as port:
        environment = {"X509_CERT_DIR": str(tmp_path / "ca/certificates")}
        probe = probe_door(f"davs://localhost:{port}", b"/store", 10.0, environment)
        assert probe.is_up
        assert (probe.protocol, probe.clock_by) == ("WebDAV", "the date of its answer")
        assert probe.clock is not None
        assert abs(probe.clock - 3600) < 30
        assert probe.tls.startswith("TLSv1.")
        assert probe.certificate_ends is not None
        said = ask_web("localhost", port, True, 10.0, {"X509_CERT_DIR": str(tmp_path)})
        assert said.ahead is None
        assert said.problem.startswith("no encryption: ")
        assert ask_web("localhost", port, False, 10.0, {}).problem.startswith("no answer over HTTP: ")


def test_the_certificate_of_a_bucket_is_held_against_the_authorities_of_its_lister(tmp_path: Path) -> None:
    with web_server(tmp_path / "ca", "Sun, 13 Sep 2020 12:26:40 GMT") as port:
        grid = {"X509_CERT_DIR": str(tmp_path / "ca/certificates")}
        assert "no encryption: " in probe_door(f"s3://localhost:{port}/bucket", b"/store", 10.0, grid).problem
        own = {"AWS_CA_BUNDLE": str(tmp_path / "ca/ca.pem")}
        probe = probe_door(f"s3://localhost:{port}/bucket", b"/store", 10.0, own)
        assert (probe.problem, probe.clock is not None) == ("", True)
        gone = {"AWS_CA_BUNDLE": str(tmp_path / "none")}
        assert "none: " in probe_door(f"s3://localhost:{port}/bucket", b"/store", 10.0, gone).problem


def test_an_answer_that_drips_tells_no_clock() -> None:
    def script(head: bytes) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nX: "
        while True:
            time.sleep(0.05)
            yield b"x"

    with ScriptedHTTP(script) as server:
        # And it ends, which it would not by itself.
        assert ask_web("localhost", server.port, False, 0.5, {}).ahead is None


def test_an_answer_without_a_date_tells_no_clock(tmp_path: Path) -> None:
    with web_server(tmp_path / "ca", None) as port:
        environment = {"X509_CERT_DIR": str(tmp_path / "ca/certificates")}
        assert ask_web("localhost", port, True, 10.0, environment).ahead is None
    with web_server(tmp_path / "other", "some day") as port:
        environment = {"X509_CERT_DIR": str(tmp_path / "other/certificates")}
        assert ask_web("localhost", port, True, 10.0, environment).ahead is None


@contextmanager
def silent_server() -> Iterator[int]:
    """Take connections, and say nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_door_that_says_nothing_is_told_so_in_the_same_words() -> None:
    with silent_server() as port:
        probes = probe_doors((f"root://127.0.0.1:{port}", f"davs://127.0.0.1:{port}"), b"/s", 0.3, {})
    assert [probe.problem for probe in probes] == ["it says nothing", "it says nothing"]
    assert all(probe.advice.startswith("see whether the server hangs") for probe in probes)


def test_who_is_stopped_need_not_wait_for_a_door_that_says_nothing() -> None:
    asked = threading.Event()

    def heed() -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    began = time.monotonic()
    with silent_server() as port, pytest.raises(KeyboardInterrupt):
        probe_doors([f"root://127.0.0.1:{port}"] * 9, b"/s", 60.0, {}, heed)
    assert time.monotonic() - began < 30
