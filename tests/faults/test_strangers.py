"""Strangers: whoever asks the page's server, names the files of a store, or calls a site something odd."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from storage.config.loading import Config, ConfigError
from tests.cli.loaded import run, run_all
from tests.cli.program import PATIENCE, start
from tests.faults.site import FaultySite

_SECRET = b"what nobody may read"


@pytest.fixture
def on_disk(tmp_path: Path) -> FaultySite:
    """A site behind a ``file://`` door, which carries every name."""
    (tmp_path / "home").mkdir()
    store = tmp_path / "disk"
    site = FaultySite(tmp_path / "home", [store], str(store), ["file:///"])
    site.make("data")
    return site


@pytest.fixture
def served(on_disk: FaultySite) -> Iterator[tuple[FaultySite, str, int]]:
    """A site whose page is served, with what nobody may read all around; host and port of the server."""
    site = on_disk
    site.put("data/kept.root")
    site.know("data/lost.root")
    site.prepare()
    assert site.check().code == 0
    for name in ("secret.txt", "www/.secret.txt", "www/secret.key", "var/secret.txt", "www2.txt"):
        (site.home / name).write_bytes(_SECRET)
    (site.home / "www/out.txt").symlink_to(site.home / "secret.txt")
    (site.home / "www/absolute.txt").symlink_to("/etc/passwd")
    (site.home / "www/up").symlink_to(site.home)
    (site.home / "www/database.txt").symlink_to("stats.db")
    process = start("web", "serve", "--port", 0, "--json", cwd=site.home)
    assert process.stdout is not None
    address = urlsplit(json.loads(process.stdout.readline())["url"])
    assert address.hostname is not None
    assert address.port is not None
    yield site, address.hostname, address.port
    process.terminate()
    process.communicate(timeout=PATIENCE)


def _say(host: str, port: int, request: bytes) -> bytes:
    """Send some bytes as they are, and read until the server is done."""
    with closing(socket.create_connection((host, port), timeout=20)) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(1 << 16):
            answer += part
    return answer


_WAYS_OUT = (
    *(
        b"/../secret.txt",
        b"/sites/../../secret.txt",
        b"/%2e%2e/secret.txt",
        b"/%2E%2E%2Fsecret.txt",
        b"/..%2fsecret.txt",
    ),
    *(b"/.%2e/secret.txt", b"/%252e%252e/secret.txt", b"/..;/secret.txt", b"/..\\secret.txt", b"/..%5csecret.txt"),
    *(b"/%c0%ae%c0%ae/secret.txt", b"/sites%2f..%2f..%2fsecret.txt", b"/assets/%2e%2e/%2e%2e/secret.txt"),
    *(b"/up/secret.txt", b"/up/var/secret.txt", b"/out.txt", b"/absolute.txt", b"/database.txt", b"/stats.db"),
    *(b"/.secret.txt", b"/%2esecret.txt", b"/secret.key", b"/secret.txt%00.html", b"/%00", b"/\0secret.txt"),
    *(b"//etc/passwd", b"/etc/passwd", b"/%2fetc%2fpasswd", b"file:///etc/passwd", b"/../www2.txt", b"../secret.txt"),
    *(b"http://localhost/../secret.txt", b"http://elsewhere/out.txt", b"*", b"/" + b"../" * 3000 + b"etc/passwd"),
    *(b"/" + b"a" * 70_000, b"/" + b"%2e%2e/" * 8000 + b"secret.txt", b"/.page.lock", b"/.git/config"),
)


@pytest.mark.fault(
    "strangers",
    "requests for what is outside of WebDir, hidden or a database: .. in all spellings, links, NUL, long paths",
    "nothing of it; the server goes on",
)
def test_ways_out_of_the_web_directory(served: tuple[FaultySite, str, int]) -> None:
    _, host, port = served
    for path in _WAYS_OUT:
        answer = _say(host, port, b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b" 200 " not in answer.partition(b"\r\n")[0], path
        assert _SECRET not in answer, path
        assert b"root:" not in answer, path
        assert b"SQLite format" not in answer, path
    ok = _say(host, port, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert b" 200 " in ok.partition(b"\r\n")[0]


@pytest.mark.fault(
    "strangers",
    "other methods, other hosts, bodies, broken requests",
    "refused; nothing is written or read",
)
def test_other_requests(served: tuple[FaultySite, str, int]) -> None:
    site, host, port = served
    name = f"{site.name}_compare_missing.txt".encode()
    before = {path: path.read_bytes() for path in site.web.rglob("*") if path.is_file()}
    for method in (
        b"POST",
        b"PUT",
        b"DELETE",
        b"PATCH",
        b"OPTIONS",
        b"TRACE",
        b"CONNECT",
        b"PROPFIND",
        b"MOVE",
        b"get",
    ):
        answer = _say(
            host, port, method + b" /" + name + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
        )
        assert b" 501 " in answer.partition(b"\r\n")[0], method
        assert b"lost.root" not in answer, method
    for strange in (
        b"evil.example",
        b"localhost.evil.example",
        b"evil.example:%d" % port,
        b"[",
        b"localhost@evil.example",
    ):
        answer = _say(host, port, b"GET /" + name + b" HTTP/1.1\r\nHost: " + strange + b"\r\nConnection: close\r\n\r\n")
        assert b"lost.root" not in answer, strange
    for broken in (
        *(b"", b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        *(
            b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 500 + b"\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"x" * 70_000,
        ),
    ):
        assert b"lost.root" not in _say(host, port, broken)
    smuggled = (
        b"GET /"
        + name
        + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    assert _say(host, port, smuggled).count(b"HTTP/1.1 200") == 1
    assert {path: path.read_bytes() for path in before} == before


_HOSTILE = (
    b"'; DROP TABLE runs; --.root",
    b'"; DROP TABLE sites; --.root',
    b"') OR ('1'='1",
    b"x' UNION SELECT name FROM sqlite_master --",
    b"%s %(site)s {site} :site :lfn ?1 @a $b",
    b"back\\slash\\'quote",
    b"`backtick`; --",
    b"[brackets]; --",
    b"/*comment*/".replace(b"/", b"|"),
    b"caf\xe9'); DELETE FROM invalid; --",
    b"\xff\xfe' OR 1=1",
    b"new\nline'; DROP TABLE invalid; --",
    b"<script>alert('x')</script>".replace(b"/", b"|"),
)


def _rows(path: Path, query: str) -> list[bytes]:
    with closing(sqlite3.connect(path)) as database:
        database.text_factory = bytes
        return sorted(row[0] for row in database.execute(query))


@pytest.mark.fault(
    "strangers",
    "files, directories and datasets called like SQL, through history, registry, blocks, page and lists",
    "each name is a name: found, recorded and asked for as it is, byte for byte",
)
def test_names_that_are_sql(on_disk: FaultySite) -> None:
    site = on_disk
    for number, name in enumerate(_HOSTILE):
        site.put(b"data/%b/left" % name, number + 20, known=False)
        site.put(b"data/left/%b" % name, known=False)
        site.know(b"data/%b/lost" % name, number + 1)
        site.know(b"data/lost/%b" % name, number + 1)
    for name in filter(bytes.isascii, _HOSTILE):
        # Datasets, which are left alone.
        site.put(b"data/set/%b/left" % name, known=False)
    site.put("data/kept.root")
    site.make("data/lost")
    datasets = site.home / "datasets.db"
    with closing(sqlite3.connect(datasets)) as database, database:
        database.execute("CREATE TABLE datasets (name TEXT)")
        rows = [(f"{site.lfn}/data/set/{name.decode()}",) for name in _HOSTILE if name.isascii()]
        database.executemany("INSERT INTO datasets VALUES (?)", rows)
    query = "SELECT name FROM datasets WHERE :site = :site"
    site.write_inventory()
    keys = {"SQL": {"URL": f"sqlite:///{datasets}", "ProtectedDatasets": query, "PendingDeletions": query}}
    site.configure(**keys, Backend="sql", MissingRuns=1)
    assert run("check", site.name, cwd=site.home).code == 0
    assert run("set-status", site.name, "act", cwd=site.home).code == 0
    ended = site.check()
    assert ended.code == 0, ended.err
    missing = sorted([b"data/%b/lost" % name for name in _HOSTILE] + [b"data/lost/%b" % name for name in _HOSTILE])
    orphans = sorted([b"data/%b/left" % name for name in _HOSTILE] + [b"data/left/%b" % name for name in _HOSTILE])
    assert sorted(site.found("compare_missing")) == missing
    assert sorted(site.found("compare_orphan")) == orphans
    site.assert_true()
    history = site.home / "var/db/consistency.db"
    joined = (
        "SELECT CAST(d.name AS BLOB) || X'2f' || CAST(f.name AS BLOB) "
        "FROM {} f JOIN directories d ON d.id = f.directory"
    )
    prefix = os.fsencode(site.lfn) + b"/"
    assert _rows(history, joined.format("invalid")) == [prefix + name for name in missing]
    assert _rows(history, joined.format("orphans")) == [prefix + name for name in orphans]
    assert len(_rows(history, "SELECT CAST(id AS TEXT) FROM runs")) == 2
    registry = site.home / "var/db/registry.db"
    assert _rows(registry, "SELECT CAST(name AS BLOB) FROM transfers") == [prefix + name for name in missing]
    assert set(_rows(registry, "SELECT CAST(name AS BLOB) FROM deletions")) >= {prefix + name for name in orphans}
    commands = [("history", site.name), ("status", site.name), ("sites",), ("invalidate", site.name, "--dry-run")]
    for command, told in zip(commands, run_all(commands, cwd=site.home), strict=True):
        assert told.code == 0, (command, told)
    for page in site.web.rglob("*.html"):
        assert b"<script>alert" not in page.read_bytes()


@pytest.mark.fault(
    "strangers",
    "an inventory in SQLite whose table, columns and sites are called like SQL",
    "it is read as it is, and stays as it is",
)
def test_tables_that_are_sql(on_disk: FaultySite) -> None:
    site = on_disk
    site.put("data/kept.root")
    table = """files"; DROP TABLE kept; --'"""
    inventory = site.home / "inventory.db"
    with closing(sqlite3.connect(inventory)) as database, database:
        quoted = table.replace('"', '""')
        database.execute(f"""CREATE TABLE "{quoted}" (lfn TEXT, size INTEGER, site TEXT, "x"" FROM kept; --" TEXT)""")
        database.execute("CREATE TABLE kept (lfn TEXT)")
        rows = [
            (f"{site.lfn}/data/{name}", 10, owner, "") for name, owner in (("kept.root", site.name), ("a", "' OR ''='"))
        ]
        database.executemany(f"""INSERT INTO "{quoted}" VALUES (?, ?, ?, ?)""", rows)
    before = inventory.read_bytes()
    site.configure(Inventory="inventory.db", InventoryFormat="auto", InventoryTable=table)
    ended = site.check()
    assert ended.code == 0, ended.err
    assert (site.found("compare_missing"), site.found("compare_orphan")) == ([], [])
    site.configure(Inventory="inventory.db", InventoryFormat="auto", InventoryTable='x" UNION SELECT 1; --')
    assert site.check().code == 2
    assert inventory.read_bytes() == before


_ODD_SITES = (
    "../../escaped",
    "..",
    ".",
    "a/b",
    "/tmp/absolute",
    "a\nb",
    "-x",
    "x" * 250,
    "%2e%2e",
    "a'; DROP TABLE sites; --",
    "~",
)


def _all_files(directory: Path) -> set[Path]:
    return {path for path in directory.rglob("*") if not path.is_dir()}


@pytest.mark.fault(
    "strangers",
    "sites called ../.., a/b, with newlines, quotes or 250 characters, on the command line and in a configuration",
    "nothing is written outside of VarLocation and WebDir; in a configuration they are refused",
)
def test_sites_with_odd_names(on_disk: FaultySite, tmp_path: Path) -> None:
    site = on_disk
    site.put("data/kept.root")
    site.know("data/lost.root")
    site.prepare()
    (site.home / "consistency_config.json").rename(site.home / "used.json")
    outside = _all_files(tmp_path) - _all_files(site.home)
    at_home = set(site.home.iterdir())
    sides = ("--inventory", "inventory.txt", "--remote", f"file://{site.lfn}", "--runtime", "threads")
    runs = run_all([("check", *sides, "--", name) for name in _ODD_SITES], cwd=site.home)
    for name, ended in zip(_ODD_SITES, runs, strict=True):
        assert ended.code in (0, 2, 4), (name, ended)
        (site.home / "odd.json").write_text(json.dumps({"Sites": {name: {"Doors": ["file:///"]}}}))
        if set(name) != {"x"}:
            with pytest.raises(ConfigError, match="a site name of letters"):
                Config.load(site.home / "odd.json", {})
    for name in _ODD_SITES[:2]:
        told, halted = run_all([("history", "--", name), ("halt", "--", name)], cwd=site.home)
        # No check was ever made of what is no site.
        assert told.code == 2, (name, told)
        assert halted.code in (0, 2, 4), (name, halted)
    assert _all_files(tmp_path) - _all_files(site.home) == outside
    # All of them are refused before anything is made.
    assert set(site.home.iterdir()) - at_home == {site.home / "odd.json"}
