import http.client
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from storage.page.install import install_page
from storage.page.server import TYPES, PageServer, ServeError, public_path


@pytest.fixture
def web(tmp_path: Path) -> Path:
    """A web directory with a page, and with what must not leave it."""
    directory = tmp_path / "www"
    install_page(directory)
    (directory / "T2_A_empty.txt").write_text("größe\n")
    (directory / "T2 <b>&?#%.log").write_text("log\n")
    for secret in (
        "stats.db",
        "stats.db-wal",
        ".hidden.txt",
        "listing.snapshot.part",
        ".T2.txt.12345678.tmp",
        "key.pem",
    ):
        (directory / secret).write_text("secret")
    (directory / ".git").mkdir()
    (directory / ".git" / "config.txt").write_text("secret")
    (directory / "folder.txt").mkdir()
    (tmp_path / "outside.txt").write_text("secret")
    (tmp_path / "www-too").mkdir()
    (tmp_path / "www-too" / "outside.txt").write_text("secret")
    (directory / "link.txt").symlink_to(tmp_path / "outside.txt")
    (directory / "linked").symlink_to(tmp_path)
    (directory / "database.txt").symlink_to(directory / "stats.db")
    (directory / "hidden.txt").symlink_to(directory / ".hidden.txt")
    (directory / "inside.txt").symlink_to(directory / "T2_A_empty.txt")
    (directory / "loop.txt").symlink_to(directory / "loop.txt")
    os.mkfifo(directory / "pipe.txt")
    return directory


@contextmanager
def serving(web: Path, refresh: object = None, host: str = "127.0.0.1") -> Iterator[PageServer]:
    server = PageServer(web, host, 0, refresh or (lambda: None))  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def get(server: PageServer, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Ask for a path exactly as it is written."""
    host, port = server.server_address[:2]
    with closing(http.client.HTTPConnection(str(host), int(port), timeout=10)) as connection:
        connection.putrequest(method, path, skip_host=True)
        for name, value in {"Host": "localhost", **headers}.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def test_the_page_is_at_the_root(web: Path) -> None:
    with serving(web) as server:
        status, headers, body = get(server, "/")
        assert (status, body) == (200, (web / "index.html").read_bytes())
        assert headers["content-type"] == "text/html; charset=utf-8"
        assert server.url == f"http://127.0.0.1:{server.server_address[1]}/"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/assets/page.css?abc", "text/css; charset=utf-8"),
        ("/assets/index.js", "text/javascript; charset=utf-8"),
        ("/assets/icon.svg", "image/svg+xml; charset=utf-8"),
        ("/favicon.ico", "image/svg+xml; charset=utf-8"),
        ("/T2_A_empty.txt", "text/plain; charset=utf-8"),
        ("/inside.txt", "text/plain; charset=utf-8"),
        (f"/{quote('T2 <b>&?#%.log')}", "text/plain; charset=utf-8"),
    ],
)
def test_files_have_their_types_and_are_asked_for_again(web: Path, path: str, kind: str) -> None:
    with serving(web) as server:
        status, headers, body = get(server, path)
    assert (status, headers["content-type"], len(body)) == (200, kind, int(headers["content-length"]))
    assert headers["cache-control"] == "no-cache"
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "Python" not in headers["server"]


@pytest.mark.parametrize(
    "path",
    [
        *("/stats.db", "/stats.db-wal", "/.hidden.txt", "/listing.snapshot.part", "/.T2.txt.12345678.tmp", "/key.pem"),
        *("/.git/config.txt", "/folder.txt", "/assets", "/assets/", "/sites/", "/link.txt", "/linked/outside.txt"),
        *("/linked/www/stats.db", "/database.txt", "/hidden.txt", "/loop.txt", "/pipe.txt", "/nothing.html"),
        *(
            "/../outside.txt",
            "/%2e%2e/outside.txt",
            "/%2e%2e%2foutside.txt",
            "/..%2foutside.txt",
            "/assets/../../outside.txt",
        ),
        *("/../www-too/outside.txt", "/..%5coutside.txt", "/%00.txt", "//etc/passwd", "/%2fetc%2fhostname.txt"),
        *("/T2_A_empty.txt/", "/T2_A_empty.txt%00.html", "/./T2_A_empty.txt", "/%ff%fe.txt", "http://[/", "/[::1"),
        "/" + "a" * 5000 + ".txt",
    ],
)
def test_what_is_not_public_is_not_there(web: Path, path: str) -> None:
    with serving(web) as server:
        status, _, body = get(server, path)
    assert status == 404
    assert b"secret" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_written(web: Path, method: str) -> None:
    before = (web / "T2_A_empty.txt").read_bytes()
    with serving(web) as server:
        assert get(server, "/T2_A_empty.txt", method)[0] == 501
    assert (web / "T2_A_empty.txt").read_bytes() == before


def test_head_gives_the_headers_alone(web: Path) -> None:
    with serving(web) as server:
        status, headers, body = get(server, "/T2_A_empty.txt", "HEAD")
    assert (status, headers["content-length"], body) == (200, "8", b"")


def test_what_a_browser_has_is_not_sent_again(web: Path) -> None:
    os.utime(web / "T2_A_empty.txt", (1_700_000_000, 1_700_000_000))
    with serving(web) as server:
        _, headers, _ = get(server, "/T2_A_empty.txt")
        known = {"If_Modified_Since": headers["last-modified"]}
        assert get(server, "/T2_A_empty.txt", **known)[0] == 304
        assert get(server, "/T2_A_empty.txt", If_Modified_Since="yesterday")[0] == 200
        (web / "T2_A_empty.txt").write_text("new")
        assert get(server, "/T2_A_empty.txt", **known)[2] == b"new"


def test_pages_are_refreshed_before_they_are_given_and_lists_are_not(web: Path) -> None:
    asked = []

    def refresh() -> None:
        asked.append(True)
        (web / "index.html").write_text(f"built {len(asked)}")

    with serving(web, refresh) as server:
        assert get(server, "/")[2] == b"built 1"
        get(server, "/T2_A_empty.txt")
        get(server, "/assets/page.css")
        assert get(server, "/index.html")[2] == b"built 2"


def test_a_list_of_many_megabytes_is_sent_whole(web: Path) -> None:
    content = b"/store/mc/a.root\n" * 500_000
    (web / "T2_A_unlisted.txt").write_bytes(content)
    with serving(web) as server:
        assert get(server, "/T2_A_unlisted.txt")[2] == content


def test_a_client_that_goes_away_disturbs_nobody(web: Path) -> None:
    (web / "T2_A_unlisted.txt").write_bytes(b"x" * 20_000_000)
    with serving(web) as server:
        for _ in range(3):
            with socket.create_connection(server.server_address[:2]) as client:  # type: ignore[arg-type]
                client.sendall(b"GET /T2_A_unlisted.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert get(server, "/T2_A_empty.txt")[0] == 200


def test_a_port_that_is_in_use_is_said(web: Path) -> None:
    with serving(web) as server, pytest.raises(ServeError, match="in use; choose another with --port"):
        PageServer(web, "127.0.0.1", int(server.server_address[1]), lambda: None)


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1"])
def test_an_address_of_another_machine_is_said(web: Path, host: str) -> None:
    with pytest.raises(ServeError, match="no address of this machine"):
        PageServer(web, host, 0, lambda: None)


def test_it_listens_on_an_address_of_the_newer_kind(web: Path) -> None:
    with serving(web, host="::1") as server:
        assert server.url.startswith("http://[::1]:")
        assert get(server, "/T2_A_empty.txt")[0] == 200


def test_only_endings_that_are_meant_for_browsers_are_public(tmp_path: Path) -> None:
    for name in ("a.db", "a", "a.html.part", "a.sqlite", "a.py", "a.snapshot"):
        (tmp_path / name).touch()
        assert public_path(tmp_path.resolve(), f"/{name}") is None
    for ending in TYPES:
        (tmp_path / f"a{ending}").touch()
        assert public_path(tmp_path.resolve(), f"/a{ending}") is not None


def answer(server: PageServer, request: bytes) -> bytes:
    """Send some bytes and give all that comes back until the server closes."""
    with closing(socket.create_connection(server.server_address[:2], timeout=20)) as connection:  # type: ignore[arg-type]
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:80", "a.localhost", "LOCALHOST", ""]
)
def test_this_machine_is_answered_on_loopback(web: Path, host: str) -> None:
    with serving(web) as server:
        request = f"GET /T2_A_empty.txt HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        assert answer(server, request.encode()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "localhost.evil.example", "[::1", "127.0.0.1.evil.example"]
)
def test_a_page_from_elsewhere_cannot_read_the_lists_by_a_name_of_its_own(web: Path, host: str) -> None:
    with serving(web) as server:
        request = f"GET /T2_A_empty.txt HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        found = answer(server, request.encode())
    assert found.startswith(b"HTTP/1.1 421 ")
    assert "größe".encode() not in found


def test_any_name_will_do_where_others_may_read(web: Path) -> None:
    with serving(web, host="0.0.0.0") as server:
        assert server.answers_to("lists.example.org")


def test_a_body_is_not_taken_for_the_next_request(web: Path) -> None:
    hidden = b"GET /assets/page.css HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with serving(web) as server:
        head = b"GET /T2_A_empty.txt HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(hidden)
        assert answer(server, head + hidden).count(b"HTTP/1.1") == 1


def test_many_may_knock_at_once(web: Path) -> None:
    with PageServer(web, "127.0.0.1", 0, lambda: None) as server, ExitStack() as clients:
        # Nobody is let in yet, and yet nobody is turned away.
        for _ in range(100):
            address = server.server_address[:2]
            clients.enter_context(socket.create_connection(address, timeout=0.5))  # type: ignore[arg-type]
