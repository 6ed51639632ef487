"""What servers say before anybody is let in, those that cannot say it well included."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.answers.probing.greeting import Greeting, greet
from tests.servers.fixtures import ServedDirectory
from tests.servers.scripted_xrootd import ScriptedServer, error
from tests.servers.xrootd_secured import SecuredServer


def meet(url: str, environment: Mapping[str, str] | None = None, seconds: float = 10.0) -> Greeting:
    port = int(url.rpartition(":")[2].partition("/")[0])
    with socket.create_connection(("localhost", port), seconds) as connected:
        return greet(connected, "localhost", url.startswith("roots"), environment or {})


@contextmanager
def saying(answer: bytes, closes: bool = True) -> Iterator[str]:
    """Be a server that says the same to everybody."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        done = threading.Event()

        def serve() -> None:
            connected, _ = listening.accept()
            with connected:
                connected.recv(1000)
                connected.sendall(answer)
                if not closes:
                    done.wait(20)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"root://localhost:{listening.getsockname()[1]}"
        done.set()
        thread.join(10)


def test_a_plain_server_asks_nobody_who_they_are(xrootd_directory: ServedDirectory) -> None:
    said = meet(xrootd_directory.url)
    assert said.protocol.startswith("XRootD protocol 5.")
    assert (said.tls, said.certificate_ends, said.wants, said.problem) == ("", None, (), "")
    assert said.seconds is not None
    assert 0 < said.seconds < 10


@pytest.mark.parametrize(("protocol", "wants"), [("none", ()), ("sss", ("sss",)), ("ztn", ("ztn",))])
def test_one_that_encrypts_says_until_when_and_what_it_wants(protocol: str, wants: tuple[str, ...]) -> None:
    with SecuredServer(protocol) as server:
        said = meet(server.url, server.env)
        assert (said.problem, said.wants) == ("", wants)
        assert said.tls.startswith("TLSv1.")
        assert said.certificate_ends is not None
        # The certificate of a test is good for two days.
        assert 86400 < said.certificate_ends - time.time() < 3 * 86400


def test_a_certificate_of_others_is_not_taken(tmp_path: Path) -> None:
    with SecuredServer("none") as server:
        said = meet(server.url, {"X509_CERT_DIR": str(tmp_path)})
        assert said.problem.startswith("no encryption: ")
        assert "held against the authorities of X509_CERT_DIR" in said.problem
        said = meet(server.url, {"X509_CERT_FILE": str(tmp_path / "none.pem")})
        assert "cannot be read" in said.problem
    assert said.advice


def test_one_that_does_not_encrypt_is_none_for_roots(xrootd_directory: ServedDirectory) -> None:
    said = meet(xrootd_directory.url.replace("root://", "roots://"))
    assert said.problem == "TLS: the server does not encrypt"


def test_what_is_no_xrootd_server_is_told() -> None:
    with saying(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as url:
        assert meet(url).problem.startswith("it does not speak XRootD's protocol: ")
    with saying(b"") as url:
        assert "the server closed the connection" in meet(url).problem


def test_one_that_says_nothing_is_not_waited_for_long() -> None:
    with saying(b"", closes=False) as url:
        began = time.monotonic()
        said = meet(url, seconds=0.5)
        assert (said.problem, time.monotonic() - began < 10) == ("it says nothing", True)
        assert "hangs" in said.advice


def test_one_that_refuses_a_login_says_why() -> None:
    with ScriptedServer(lambda *_: []) as server:
        server._login = error(0, 3010, b"not today")
        said = meet(f"root://localhost:{server.port}")
    assert said.problem == "it lets nobody in: [3010] not today"
