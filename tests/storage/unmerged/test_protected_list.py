"""The protected list from files and from a real HTTP server that misbehaves as servers do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from storage.unmerged.protected_list import ProtectedListError, read_protected_list

GOOD = json.dumps({"request": 1, "result": ["/store/unmerged/a", "/store//unmerged/b/"]}).encode()
PREFIXES = {b"/store/unmerged/a", b"/store/unmerged/b"}

Answer = Callable[[BaseHTTPRequestHandler], None]


def plain(body: bytes, status: int = 200, length: int | None = None) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def redirect(target: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.end_headers()

    return answer


def drip(handler: BaseHTTPRequestHandler) -> None:
    """Send a byte now and then, for ever."""
    handler.send_response(200)
    handler.end_headers()
    for byte in GOOD:
        handler.wfile.write(bytes((byte,)))
        handler.wfile.flush()
        time.sleep(0.1)


def drip_headers(handler: BaseHTTPRequestHandler) -> None:
    """Send a header now and then; each comes in good time."""
    handler.wfile.write(b"HTTP/1.0 200 OK\r\n")
    for number in range(20):
        handler.wfile.write(b"X-%d: 1\r\n" % number)
        handler.wfile.flush()
        time.sleep(0.1)


def silence(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(3)
    plain(GOOD)(handler)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def talk_nonsense(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"EHLO there\r\n\r\n")


class Handler(BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, Answer]] = {}

    def do_GET(self) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            self.answers[self.path.partition("?")[0]](self)

    def log_message(self, *_words: object) -> None:
        """Keep quiet."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    Handler.answers = {
        "/good": plain(GOOD),
        "/moved": redirect("/good"),
        "/loop": redirect("/loop"),
        "/elsewhere": redirect("ftp://127.0.0.1/list"),
        "/file": redirect("file:///etc/passwd"),
        "/gone": plain(b"no", 404),
        "/broken": plain(GOOD, 500),
        "/nothing": plain(b"", 204),
        "/empty": plain(b""),
        "/cut": plain(GOOD[:-1], length=len(GOOD)),
        "/short": plain(GOOD, length=len(GOOD) + 5),
        "/html": plain(b"<html>log in</html>"),
        "/drip": drip,
        "/drip-headers": drip_headers,
        "/silence": silence,
        "/hang-up": hang_up,
        "/nonsense": talk_nonsense,
    }
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.mark.parametrize("path", ["/good", "/moved", "/good?token=x"])
def test_a_list_behind_a_url(server: str, path: str) -> None:
    assert read_protected_list(server + path) == PREFIXES


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/gone", "the server answered 404 Not Found"),
        ("/broken", "the server answered 500 "),
        ("/nothing", "the server answered 204 "),
        ("/loop", "the server answered 302 "),
        ("/elsewhere", "unknown url type: ftp"),
        ("/file", "redirection to url 'file:///etc/passwd' is not allowed"),
        ("/empty", "it is empty"),
        ("/cut", "of 7"),
        ("/short", "of 7"),
        ("/html", "it is no JSON"),
        ("/hang-up", "closed connection without response"),
        ("/nonsense", "EHLO"),
    ],
)
def test_an_answer_that_is_no_list(server: str, path: str, words: str) -> None:
    with pytest.raises(ProtectedListError) as failure:
        read_protected_list(server + path, patience=5)
    message = str(failure.value)
    assert words.lower() in message.lower()
    assert message.startswith(f'protected list "{server}{path}": ')
    assert message.endswith("; nothing is deleted without it")
    assert "\n" not in message


@pytest.mark.parametrize("path", ["/drip", "/drip-headers", "/silence"])
def test_a_server_that_is_too_slow(server: str, path: str) -> None:
    with pytest.raises(ProtectedListError, match=r"no whole answer within 0\.5 s"):
        read_protected_list(server + path, patience=0.5)


def test_a_list_that_is_too_large(server: str) -> None:
    with pytest.raises(ProtectedListError, match="more than 10 bytes"):
        read_protected_list(f"{server}/good", largest=10)


def test_nobody_listens() -> None:
    with pytest.raises(ProtectedListError, match="refused"):
        read_protected_list("http://127.0.0.1:1/list")


def test_a_server_without_tls_is_not_trusted(server: str) -> None:
    with pytest.raises(ProtectedListError, match="protected list"):
        read_protected_list(server.replace("http:", "https:") + "/good", patience=5)


def test_secrets_of_a_url_are_not_shown() -> None:
    with pytest.raises(ProtectedListError) as failure:
        read_protected_list("http://user:secret@127.0.0.1:1/list?token=hidden")
    assert "secret" not in str(failure.value)
    assert "hidden" not in str(failure.value)


@pytest.mark.parametrize("form", ["{}", "file://{}", "file://localhost{}"])
def test_a_list_in_a_file(tmp_path: Path, form: str) -> None:
    file = tmp_path / "my list.json"
    file.write_bytes(GOOD)
    assert read_protected_list(form.format(str(file).replace(" ", "%20") if "://" in form else file)) == PREFIXES


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("/no/such/file", "No such file or directory"),
        ("/", "Is a directory"),
        ("file://host/list", "three slashes"),
        ("ftp://host/list", "expected a URL with http, https or file"),
        ("a\0b", "null byte"),
    ],
)
def test_a_file_that_cannot_be_read(source: str, words: str) -> None:
    with pytest.raises(ProtectedListError, match=words):
        read_protected_list(source)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("{", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ('{"result": ["/a"]} {"result": ["/b"]}', "it is no JSON"),
        ('{"result": ["/a"], "result": ["/b"]}', "a key stands twice"),
        ("null", "expected a JSON object"),
        ('["/store/unmerged/a"]', "expected a JSON object"),
        ("{}", "expected a JSON object"),
        ('{"result": "/store/unmerged/a"}', "expected a JSON object"),
        ('{"result": null}', "expected a JSON object"),
        ('{"result": {"/a": 1}}', "expected a JSON object"),
        ('{"result": []}', 'its "result" is empty'),
    ],
)
def test_content_that_is_no_list(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "list.json"
    file.write_text(content)
    with pytest.raises(ProtectedListError, match=words):
        read_protected_list(str(file))


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "store/unmerged/a",
        " /store/unmerged/a",
        "/store/unmerged/a\n",
        "/store/unmerged/a\n/store/unmerged/b",
        "/store/unmerged/../mc",
        "/store/./unmerged",
        "/store/unmerged/*",
        "root://host//store/unmerged/a",
        "/store/unmerged/\ud800",
        "/store/\0",
        7,
        None,
        ["/store/unmerged/a"],
    ],
)
def test_one_entry_that_would_protect_nothing_spoils_the_list(tmp_path: Path, entry: object) -> None:
    file = tmp_path / "list.json"
    file.write_text(json.dumps({"result": ["/store/unmerged/a", entry]}))
    with pytest.raises(ProtectedListError, match="entry 2: expected an absolute path"):
        read_protected_list(str(file))


def test_entries_become_canonical(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    file.write_text(json.dumps({"result": ["/store/unmerged/a/", "//store///b", "/", "/store/ü b?", "/store/a.root"]}))
    assert read_protected_list(str(file)) == {
        b"/store/unmerged/a",
        b"/store/b",
        b"/",
        "/store/ü b?".encode(),
        b"/store/a.root",
    }
