"""Inventories that were damaged: every line is a file of the tree, or counted as something else, or all is refused."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from engine.columns import UNKNOWN_SIZE
from engine.paths import decode, is_under, join, parent_of, unescape
from engine.record import DirectoryRecord
from storage.inventory import InventoryCounts, InventoryError, read_inventory
from storage.snapshot import Snapshot, SnapshotHeader, SnapshotWriter
from tests.fuzz.damage import damaged

Files = dict[bytes, int]
"""Sizes by path."""

MARK = b"# names are escaped\n"
_TOKENS = (
    *(
        b"\n",
        b"\r\n",
        b"\r",
        b" ",
        b"  ",
        b"\t",
        b",",
        b'"',
        b'""',
        b"#",
        b"/",
        b"//",
        b"/./",
        b"/../",
        b"\\",
        b"\\n",
        b"\\x00",
    ),
    *(
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xa8",
        b"\x0b",
        b"\x0c",
        b"\x1c",
        b"\x85",
        b"0",
        b"-1",
        b"1.5",
        b"1e9",
        b"9" * 19,
    ),
    *(
        b"9" * 40,
        b"+5",
        b"0x10",
        b"_",
        b"root://h//store/z",
        b"xroot://h/a?b",
        b"/store/new 5",
        b"/store/new\n",
        b"lfn,size\n",
    ),
    *(
        b"# names are escaped\n",
        b"\n\n",
        b" 7\n",
        b" 7 8\n",
        b"2026-01-02T03:04:05",
        b"path\tsize\n",
        b"%2F",
        b"{",
        b"<a>",
        b"|5",
    ),
)
_PACKERS: tuple[Callable[[bytes], bytes], ...] = (
    lambda data: gzip.compress(data, 1),
    lambda data: gzip.compress(data, 1, mtime=0)[:10] + gzip.compress(data, 1)[10:],
    bz2.compress,
    lambda data: lzma.compress(data, preset=0),
    lambda data: gzip.compress(data[:30], 1) + gzip.compress(data[30:], 1) + bytes(20),
)
_LISTS = ("paths", "sizes", "csv", "tsv", "ral")
_KEEPS: tuple[tuple[bytes, ...], ...] = ((), (), (b"/store",), (b"/store/mc", b"/store/data/x"))
_NAMES = (
    b"f%d.root",
    b"with blank %d",
    b"%d",
    b"a,b%d",
    b'q"%d',
    b"t\tab%d",
    b"\xff%d",
    b"back\\slash%d",
    b"?%d",
    b"run 5 %d",
)
_URL = re.compile(rb"x?roots?://[^/]+(/[^?]*)", re.DOTALL)
_TIMED = re.compile(rb"(.*[^ \t])[ \t]([0-9]+)[ \t]+(-?[0-9]+(?:\.[0-9]*)?)", re.DOTALL)
_PATH_COLUMNS = (b"lfn", b"path", b"file", b"name", b"pfn")
_SIZE_COLUMNS = (b"size", b"bytes", b"filesize")


class InventoryFuzzer:
    """Damages lists of every format, packed or not, and SQLite databases."""

    name = "inventories"

    def __init__(self, directory: Path) -> None:
        chance = random.Random(2)
        self._path = directory / "inventory"
        self._lists = [_make_list(chance) for _ in range(200)]
        self._databases = [_make_database(chance) for _ in range(30)]

    def try_one(self, chance: random.Random) -> str:
        """Try one damaged inventory."""
        keep, root = chance.choice(_KEEPS), chance.choice((None, b"/store"))
        kind = chance.randrange(10)
        if kind == 0:
            return self._try_database(chance, keep, root)
        content = damaged(chance, chance.choice(self._lists), self._lists, _TOKENS)
        packed = chance.choice(_PACKERS)(content) if kind <= 2 else content
        if kind == 2:
            packed = damaged(chance, packed, self._lists)
        self._path.write_bytes(packed)
        chunk_size = chance.choice((1, 7, 64, 1 << 20))
        found = self._read(keep, root, chunk_size)
        if kind == 2:
            # What was unpacked is not known; it may only not go wrong.
            return "packed, refused" if found is None else "packed, read"
        if chance.random() < 0.3:
            other = self._read(keep, root, 1 << 20)
            # In a table with a lone CR it matters whether a quote stood before it.
            assert found == other or b"\r" in content, "another size of chunks gives something else"
        if found is None:
            return "refused"
        counts, tree = found
        # What was damaged into a dump of another program is held by their own fuzzer.
        if counts.format in _LISTS:
            check(content, keep, root, counts, tree)
        if chance.random() < 0.1:
            self._check_the_way_into_a_snapshot(keep, root, tree)
        return "read" if counts.files else "read, and empty"

    def _check_the_way_into_a_snapshot(self, keep: tuple[bytes, ...], root: bytes | None, tree: Files) -> None:
        path = self._path.with_name("snapshot")
        writer = SnapshotWriter(path, SnapshotHeader("inventory", "fuzz", 1, "", keep))
        read_inventory(self._path, writer.append, root=root, keep=keep, listed_at=1, append_leaves=writer.append_leaves)
        writer.finish()
        with closing(Snapshot(path)) as snapshot:
            table = snapshot.table
            assert table.total_files() == len(tree)
            for row, directory in enumerate(table.paths):
                for name, size, _ in table.load(row).rows():
                    assert tree[join(directory, name)] == size

    def _read(
        self, keep: tuple[bytes, ...], root: bytes | None, chunk_size: int
    ) -> tuple[InventoryCounts, Files] | None:
        records: list[DirectoryRecord] = []
        try:
            counts = read_inventory(
                self._path, records.append, root=root, keep=keep, listed_at=1, chunk_size=chunk_size
            )
        except InventoryError as error:
            assert not records, "records came before the refusal"
            _check_words(error)
            return None
        tree = _tree_of(records)
        assert counts.files == len(tree)
        assert counts.directories == len(records)
        assert counts.bytes == sum(size for size in tree.values() if size > 0)
        return counts, tree

    def _try_database(self, chance: random.Random, keep: tuple[bytes, ...], root: bytes | None) -> str:
        content, files = chance.choice(self._databases)
        sound = chance.random() < 0.1
        if not sound:
            others = [other for other, _ in self._databases]
            content = damaged(chance, content, others, (b"files", b"lfn", b"\0", b"CREATE TABLE", b"\xff\xff"))
        self._path.write_bytes(content)
        found = self._read(keep, root, 1 << 20)
        if found is None:
            assert not sound or files is None, "a sound database was refused"
            return "database refused"
        counts, tree = found
        if counts.format == "sqlite":
            assert counts.files + counts.duplicates + counts.skipped == counts.lines
        if sound and files is not None:
            assert tree == {path: size for path, size in files.items() if _kept(path, keep)}
        return "database read"


def check(content: bytes, keep: tuple[bytes, ...], root: bytes | None, counts: InventoryCounts, tree: Files) -> None:
    """Hold what was read against a reader that goes line by line and knows no short cuts."""
    lines = _lines(content)
    assert counts.lines == len(lines)
    of_table = counts.format in ("csv", "tsv")
    rows = _rows_of_table(lines, counts.format) if of_table else _rows_of_text(lines, counts.format)
    # What ends with a slash is a directory in a plain list, but for what may be cut off at the end.
    said = [(text, size) for text, size in rows if of_table or not text.endswith(b"/")]
    entries = [(_path_of(text, root), size) for text, size in said]
    inside = [(path, size) for path, size in entries if _kept(path, keep)]
    expected, skipped = _files_of(inside), len(entries) - len(inside)
    if not of_table and not _is_own(lines):
        # So is what has others below it, as far as anybody knows, but for lists of our own.
        above = {directory for path in expected for directory in _above(path)}
        expected = {path: UNKNOWN_SIZE if path in above else size for path, size in expected.items()}
    assert tree == expected, "the tree has other files than the lines"
    assert counts.skipped == skipped
    assert counts.duplicates == len(entries) - skipped - len(expected)


def _files_of(entries: Sequence[tuple[bytes, int]]) -> Files:
    """Give each file once, with its last size, which is not known where another one differs."""
    files, sizes = dict(entries), dict[bytes, set[int]]()
    for path, size in entries:
        sizes.setdefault(path, set()).add(size)
    differ = {path for path, size in files.items() if size != UNKNOWN_SIZE and sizes[path] - {size, UNKNOWN_SIZE}}
    return {path: UNKNOWN_SIZE if path in differ else size for path, size in files.items()}


def _above(path: bytes) -> Iterator[bytes]:
    while (path := parent_of(path) or b"/") != b"/":
        yield path


def _kept(path: bytes, keep: tuple[bytes, ...]) -> bool:
    return not keep or any(is_under(parent_of(path) or b"/", top) for top in keep)


def _lines(content: bytes) -> list[bytes]:
    marked, content = content, content.removeprefix(b"\xef\xbb\xbf")
    lines = content.split(b"\n")
    if not lines[-1] and marked != b"\xef\xbb\xbf":
        lines.pop()
    if lines and lines[0].endswith(b"\r") and b"\n" in content:
        lines = [line.removesuffix(b"\r") for line in lines]
    return lines


def _is_own(lines: list[bytes]) -> bool:
    return bool(lines) and lines[0].startswith(MARK.strip())


def _void(line: bytes) -> bool:
    return line.startswith(b"#") or not line.strip()


def _rows_of_text(lines: list[bytes], kind: str) -> Iterator[tuple[bytes, int]]:
    escaped = _is_own(lines)
    said = [line for line in lines if not _void(line)]
    timed = kind in ("sizes", "ral") and all(_TIMED.fullmatch(line) for line in said)
    for line in said:
        text, size = line, UNKNOWN_SIZE
        if timed:
            match = _TIMED.fullmatch(line)
            assert match is not None
            text, size = match.group(1), int(match.group(2))
        elif kind == "sizes":
            at = max(line.rfind(b" "), line.rfind(b"\t"))
            text, size = line[:at], int(line[at + 1 :])
        yield unescape(decode(text)) if escaped else text, size


def _rows_of_table(lines: list[bytes], kind: str) -> Iterator[tuple[bytes, int]]:
    records = _tab_records(lines) if kind == "tsv" else _comma_records(lines)
    header = [name.strip().lower() for name in next(records)]
    path = next(header.index(name) for name in _PATH_COLUMNS if name in header)
    size = next((header.index(name) for name in _SIZE_COLUMNS if name in header), None)
    for fields in records:
        assert len(fields) == len(header), "a line with another number of fields was read"
        number = b"" if size is None else fields[size].strip()
        yield fields[path], int(number) if number else UNKNOWN_SIZE


def _tab_records(lines: list[bytes]) -> Iterator[list[bytes]]:
    return (line.split(b"\t") for line in lines if not _void(line))


def _comma_records(lines: list[bytes]) -> Iterator[list[bytes]]:
    """Read CSV character by character; a quote opens a field at its start only."""
    fields: list[bytes] = []
    field = bytearray()
    quoted = was_quoted = False
    for line in lines:
        if not quoted and _void(line):
            continue
        if quoted:
            field += b"\n"
        at = 0
        while at < len(line):
            one = line[at : at + 1]
            if quoted:
                if one == b'"' and line[at + 1 : at + 2] == b'"':
                    field += b'"'
                    at += 1
                elif one == b'"':
                    quoted, was_quoted = False, True
                else:
                    field += one
            elif one == b",":
                fields.append(bytes(field))
                field, was_quoted = bytearray(), False
            elif one == b'"' and not field and not was_quoted:
                quoted = True
            else:
                field += one
            at += 1
        if not quoted:
            yield [*fields, bytes(field)]
            fields, field, was_quoted = [], bytearray(), False
    assert not quoted, "a field that never ends was read"


def _path_of(text: bytes, root: bytes | None) -> bytes:
    match = _URL.fullmatch(text)
    if match is not None:
        text = match.group(1)
    elif not text.startswith(b"/"):
        assert root is not None, "a relative path was read without a root"
        text = join(root, text.removeprefix(b"./"))
    parts = [part for part in text.split(b"/") if part]
    assert not {b".", b".."} & set(parts), "a path that points elsewhere was read"
    assert parts, "the root was read as a file"
    assert not text.endswith(b"/"), "a directory was read as a file"
    return b"/" + b"/".join(parts)


def _tree_of(records: list[DirectoryRecord]) -> Files:
    """Give the files of a tree, which is whole: every directory is named by the one above."""
    tree: Files = {}
    named: set[bytes] = set()
    for record in records:
        rows = record.files.rows()
        names = [name for name, _, _ in rows]
        assert names == sorted(set(names)), "names that are not in order, or not unique"
        assert len(record.files.block_list()) in (0, len(rows))
        tree.update((join(record.path, name), size) for name, size, _ in rows)
        assert record.path == b"/" or record.path in named or parent_of(record.path) is None
        named.update(join(record.path, name) for name in record.directories.name_list())
    assert named == {record.path for record in records if record.path != b"/"}
    return tree


def _check_words(error: InventoryError) -> None:
    words = str(error)
    assert words.startswith("inventory "), words
    assert words.isprintable(), f"no printable line: {words!r}"
    assert len(words) < 2000, "a line of thousands of characters"


def _make_list(chance: random.Random) -> bytes:
    """Make a sound list of one of the formats."""
    kind = chance.choice(("paths", "sizes", "timed", "csv", "tsv", "quoted", "escaped", "urls", "relative"))
    paths = []
    for number in range(chance.choice((0, 1, 3, 8, 20))):
        name = chance.choice(_NAMES) % chance.choice((number, chance.randrange(5)))
        if kind in ("csv", "tsv"):
            name = name.replace(b",", b"").replace(b'"', b"").replace(b"\t", b"")
        paths.append(chance.choice((b"/store/mc/", b"/store/mc/a/", b"/store/data/x/", b"/store//", b"/other/")) + name)
    sizes = [chance.choice((b"0", b"5", b"123456789", b"%d" % chance.randrange(2**62))) for _ in paths]
    end = chance.choice((b"\n", b"\n", b"\r\n"))
    rows = list(zip(paths, sizes, strict=True))
    match kind:
        case "paths":
            lines = paths
        case "escaped":
            lines = [MARK.strip(), *(path.replace(b"\\", b"\\\\").replace(b"\xff", b"\\xff") for path in paths)]
        case "urls":
            lines = [b"root://door:1094/" + path for path in paths]
        case "relative":
            lines = [path[1:] for path in paths]
        case "sizes":
            lines = [path + b" " + size for path, size in rows]
        case "timed":
            lines = [path + b" " + size + b" 1700000000" for path, size in rows]
        case "csv":
            lines = [b"lfn,size,block", *(path + b"," + size + b",/b#1" for path, size in rows)]
        case "tsv":
            lines = [b"size\tpath\tmtime", *(size + b"\t" + path + b"\t1700000000.5" for path, size in rows)]
        case _:
            lines = [b"site,path,bytes", *(b'S,"' + path.replace(b'"', b'""') + b'",' + size for path, size in rows)]
    return end.join(lines) + chance.choice((b"", end))


def _make_database(chance: random.Random) -> tuple[bytes, Files | None]:
    """Make a sound database; with it come the files that it has, or None when a value is no path, size or time."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("PRAGMA page_size = 512")
        connection.execute("CREATE TABLE files (lfn, size, mtime, block)")
        connection.execute("CREATE VIEW others AS SELECT lfn AS path, size FROM files")
        files: list[tuple[bytes, int]] | None = []
        for number in range(chance.choice((0, 1, 5, 40))):
            path: Any = b"/store/mc/%d/" % (number % 3) + chance.choice(_NAMES) % chance.randrange(50)
            size: Any = chance.choice((5, 0, "7", 8.0, None, 2**40))
            mtime: Any = chance.choice((None, 5, "2026-01-02", 1.5, b"7"))
            if chance.random() < 0.01:
                path, files = chance.choice((None, 5, "", "/", "a/b", "/a/../b", b"/a\0b")), None
            connection.execute(
                "INSERT INTO files VALUES (?, ?, ?, ?)",
                (
                    path if path is None or isinstance(path, (int, str)) or b"\xff" in path else decode(path),
                    size,
                    mtime,
                    "b",
                ),
            )
            if files is not None:
                files.append((path, UNKNOWN_SIZE if size is None else int(size)))
        connection.commit()
        return connection.serialize(), None if files is None else _files_of(files)
