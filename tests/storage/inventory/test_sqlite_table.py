"""Inventories that are tables of SQLite databases, and lists with the rows of several sites."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from engine.record import DirectoryRecord
from storage.inventory import InventoryCounts, InventoryError, InventoryMalformed, InventoryUnreadable, read_inventory


def make(path: Path, *statements: str, rows: list[tuple[Any, ...]] | None = None) -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
        if rows:
            connection.executemany(f"INSERT INTO files VALUES ({', '.join('?' * len(rows[0]))})", rows)
    return path


def read(path: Path, **options: Any) -> tuple[InventoryCounts, dict[bytes, list[tuple[bytes, int, int]]]]:
    records: list[DirectoryRecord] = []
    counts = read_inventory(path, records.append, listed_at=1, **options)
    return counts, {record.path: record.files.rows() for record in records if len(record.files)}


def test_a_table_is_a_tree(tmp_path: Path) -> None:
    path = make(
        tmp_path / "inventory",
        "CREATE TABLE files (LFN TEXT, size, mtime, block, other)",
        rows=[
            ("/store/mc/b/2", 5, 1_700_000_000, "one#1", None),
            ("/store/mc/a/1", "6", "2023-11-14T22:13:20Z", "one#1", b"x"),
            ("/store/mc/a/0", None, 1.75, None, 1),
        ],
    )
    counts, tree = read(path)
    assert tree == {
        b"/store/mc/a": [(b"0", UNKNOWN_SIZE, 1), (b"1", 6, 1_700_000_000)],
        b"/store/mc/b": [(b"2", 5, 1_700_000_000)],
    }
    assert (counts.format, counts.has_sizes, counts.lines, counts.bytes) == ("sqlite", True, 3, 11)


def test_names_are_bytes(tmp_path: Path) -> None:
    path = make(tmp_path / "inventory", "CREATE TABLE files (path)")
    with closing(sqlite3.connect(path)) as connection, connection:
        for name in (b"/s/\xff", "/s/a\nb", "/s/\xe9 'q\" ", b"/s/\xc3\xa8"):
            connection.execute("INSERT INTO files VALUES (?)", (name,))
        connection.execute("INSERT INTO files VALUES (CAST(x'2f732f62fe' AS TEXT))")
    _, tree = read(path)
    assert [name for name, *_ in tree[b"/s"]] == [b"a\nb", b"b\xfe", b"\xc3\xa8", "\xe9 'q\" ".encode(), b"\xff"]


def test_names_in_a_database_of_another_encoding(tmp_path: Path) -> None:
    path = make(
        tmp_path / "inventory", "PRAGMA encoding = 'UTF-16le'", "CREATE TABLE files (name)", rows=[("/s/\xe9",)]
    )
    assert read(path)[1] == {b"/s": [("\xe9".encode(), UNKNOWN_SIZE, UNKNOWN_MTIME)]}


def test_many_rows_in_any_order(tmp_path: Path) -> None:
    rows = [(f"/s/{number % 7}/{number}", number) for number in range(50_001)]
    path = make(tmp_path / "inventory", "CREATE TABLE files (lfn, size)", rows=rows[::-1])
    counts, tree = read(path)
    assert (counts.files, counts.bytes) == (50_001, sum(range(50_001)))
    assert len(tree) == 7


def test_the_table_is_chosen_and_may_be_a_view(tmp_path: Path) -> None:
    path = make(
        tmp_path / "inventory",
        'CREATE TABLE "a ""table""" (lfn)',
        'INSERT INTO "a ""table""" VALUES (\'/s/a\')',
        'CREATE VIEW seen AS SELECT lfn || \'2\' AS path FROM "a ""table"""',
    )
    assert list(read(path, table='A "Table"')[1]) == [b"/s"]
    assert read(path, table="seen")[1][b"/s"][0][0] == b"a2"
    with pytest.raises(InventoryMalformed, match=r'no table files; it has: a "table", seen; InventoryTable names'):
        read(path)


def test_a_column_of_sites_chooses_the_rows(tmp_path: Path) -> None:
    rows = [("T2_A", "/s/a"), ("T2_B", "/s/b")]
    path = make(tmp_path / "inventory", "CREATE TABLE files (site, lfn)", rows=rows)
    assert read(path, site="T2_A")[0].files == 1
    assert read(path, site="T2_B")[1][b"/s"][0][0] == b"b"
    assert read(path)[0].files == 2
    with pytest.raises(InventoryMalformed, match=r"no row of the site T2_C; its column of sites has: T2_A, T2_B"):
        read(path, site="T2_C")


@pytest.mark.parametrize("content", ["site,lfn\nT2_A,/s/a\nT2_B,/s/b\n", 'lfn,site\n"/s/a",T2_A\n"/s/b"," T2_B "\n'])
def test_a_list_may_have_the_rows_of_several_sites_too(tmp_path: Path, content: str) -> None:
    path = tmp_path / "inventory.csv"
    path.write_text(content)
    assert [read(path, site=site)[0].files for site in ("T2_A", "T2_B", "")] == [1, 1, 2]
    with pytest.raises(InventoryMalformed, match=r"no row of the site T2_C; its column of sites has: .*T2_A, T2_B"):
        read(path, site="T2_C")


def test_an_empty_table_is_empty(tmp_path: Path) -> None:
    path = make(tmp_path / "inventory", "CREATE TABLE files (site, lfn)")
    assert read(path, site="T2_A")[0].files == 0


def test_it_is_opened_for_reading_only(tmp_path: Path) -> None:
    path = make(tmp_path / "inventory", "CREATE TABLE files (lfn)", rows=[("/s/a",)])
    before = path.read_bytes()
    path.chmod(0o444)
    assert read(path)[0].files == 1
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("columns", "row", "message"),
    [
        ("lfn, size", ("/s/a", -1), "table files, row 1: expected a size in bytes, found -1"),
        ("lfn, size", ("/s/a", "x"), 'table files, row 1: expected a size in bytes, found "x"'),
        ("lfn, size", ("/s/a", 1.5), "expected a size in bytes, found 1.5"),
        ("lfn, mtime", ("/s/a", "soon"), 'expected seconds since the epoch or an ISO 8601 time, found "soon"'),
        ("lfn", (None,), "row 1: expected a path, found NULL"),
        ("lfn", (5,), "row 1: expected a path, found 5"),
        ("lfn", ("relative",), 'expected an absolute path, found "relative"'),
        ("lfn", ("/s/a/",), "expected the path of a file, not of a directory"),
        ("lfn", ("/s/../a",), 'expected a path without "." and ".." components'),
        ("lfn", (b"/s/a\0b",), "row 1: expected a path"),
        ("lfn, block", ("/s/a", "a\0b"), "expected text without NUL bytes"),
        (
            "size, kind",
            (1, 2),
            r"files has no column of paths \(lfn, path, file, name, pfn\); it has: size, kind",
        ),
    ],
)
def test_what_makes_no_sense(tmp_path: Path, columns: str, row: tuple[Any, ...], message: str) -> None:
    path = make(tmp_path / "inventory", f"CREATE TABLE files ({columns})", rows=[row])
    with pytest.raises(InventoryMalformed, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_database(tmp_path: Path) -> None:
    rows = [(f"/s/{number}",) for number in range(10_000)]
    path = make(tmp_path / "inventory", "CREATE TABLE files (lfn)", rows=rows)
    content = bytearray(path.read_bytes())
    content[8192:40960] = b"\xff" * (40960 - 8192)
    path.write_bytes(content)
    with pytest.raises(InventoryUnreadable, match=r"the SQLite database cannot be read: .*malformed"):
        read(path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"files (lfn, one)", b"files (lfn, o\xffe)", "a name in it is not UTF-8"),
        (b"files (lfn, one)", b"files y\xff(lfn,on)", "a name in it is not UTF-8"),
        (b"files (lfn, one)", b"files \x16lfn, one)", r"malformed database schema .*\\x16"),
        (b"tablefilesfiles", b"tablefi\nesfiles", "malformed database schema"),
    ],
)
def test_a_schema_that_is_damaged_is_refused_in_one_line(tmp_path: Path, old: bytes, new: bytes, words: str) -> None:
    path = make(tmp_path / "inventory", "CREATE TABLE files (lfn, one)", rows=[("/s/f", 1)])
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    with pytest.raises(InventoryError, match=words) as caught:
        read(path)
    assert str(caught.value).isprintable()


def test_the_reading_can_be_given_up(tmp_path: Path) -> None:
    class EnoughError(Exception):
        pass

    def heed() -> None:
        raise EnoughError

    rows = [(f"/s/{number}",) for number in range(100)]
    path = make(tmp_path / "inventory", "CREATE TABLE files (lfn)", rows=rows)
    with pytest.raises(EnoughError):
        read(path, heed=heed)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT '/s/a' AS lfn FROM n WHERE i < 0"
    make(path, f"CREATE VIEW endless AS {endless}")
    with pytest.raises(EnoughError):
        read(path, table="endless", heed=heed)


def test_all_errors_are_of_one_kind(tmp_path: Path) -> None:
    path = tmp_path / "inventory"
    path.write_bytes(b"SQLite format 3\0 and nothing more")
    with pytest.raises(InventoryError):
        read(path)


def test_a_pipe_is_read_from_its_first_byte(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"/s/a 5\n/s/b 6\n",))
    writer.start()
    assert read(pipe)[0].bytes == 11
    writer.join()


def test_a_write_ahead_database_where_nobody_may_write(tmp_path: Path) -> None:
    path = make(tmp_path / "inventory", "PRAGMA journal_mode = WAL", "CREATE TABLE files (lfn)", rows=[("/s/a",)])
    assert read(path)[0].files == 1
    code = (
        "import os, sys; from storage.inventory import InventoryError, read_inventory\n"
        "if os.geteuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "try: read_inventory(sys.argv[1], lambda record: None, listed_at=1)\n"
        "except InventoryError as error: print(error)\n"
    )
    # The tests' own directories may not be entered by others.
    with tempfile.TemporaryDirectory() as place:
        shutil.copy(path, Path(place, "inventory"))
        Path(place).chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", code, f"{place}/inventory"],
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            timeout=60,
        )
        Path(place).chmod(0o755)
    assert done.stderr == ""
    assert "it is in write-ahead mode, in which readers need to write into its directory" in done.stdout
