"""Inventories as users have them: a file goes in, a tree comes out."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import pickle
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from engine.record import DirectoryRecord
from engine.states import State
from storage.inventory import InventoryCounts, InventoryMalformed, read_inventory

Row = tuple[bytes, int, int]
Tree = dict[bytes, list[Row]]

LISTED_AT = 1_700_000_000
CHUNK_SIZES = (7, 64, 1 << 20)


def read_records(path: Path, **options: Any) -> tuple[InventoryCounts, list[DirectoryRecord]]:
    records: list[DirectoryRecord] = []
    counts = read_inventory(path, records.append, listed_at=LISTED_AT, **options)
    return counts, records


def files_in(records: Sequence[DirectoryRecord]) -> Tree:
    return {record.path: record.files.rows() for record in records if len(record.files)}


class Reader:
    """Writes bytes to a file and reads them as an inventory."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "dump.txt"

    def counts(self, content: bytes, **options: Any) -> InventoryCounts:
        self.path.write_bytes(content)
        return read_records(self.path, **options)[0]

    def tree(self, content: bytes, **options: Any) -> Tree:
        self.path.write_bytes(content)
        return files_in(read_records(self.path, **options)[1])

    def names(self, content: bytes, **options: Any) -> list[bytes]:
        tree = self.tree(content, **options)
        return [paths.join(directory, name) for directory, rows in tree.items() for name, _, _ in rows]

    def error(self, content: bytes, **options: Any) -> str:
        with pytest.raises(InventoryMalformed) as caught:
            self.counts(content, **options)
        return str(caught.value).replace(str(self.path), "dump.txt")


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
@pytest.mark.parametrize(
    ("content", "format_", "row"),
    [
        (b"/store/a/f\n", "paths", (b"f", UNKNOWN_SIZE, UNKNOWN_MTIME)),
        (b"/store/a/f 12\n", "sizes", (b"f", 12, UNKNOWN_MTIME)),
        (b"/store/a/f\t12\n", "sizes", (b"f", 12, UNKNOWN_MTIME)),
        (b"/store/a/f 12 1700000000\n", "sizes", (b"f", 12, 1_700_000_000)),
        (b"/store/a/f 12   1700000000.999\n", "sizes", (b"f", 12, 1_700_000_000)),
        (b"/store/a/f 12 -1.5\n", "sizes", (b"f", 12, -2)),
        (b"lfn,size\n/store/a/f,12\n", "csv", (b"f", 12, UNKNOWN_MTIME)),
        (b"Size,checksum,PATH\n12,ad:1,/store/a/f\n", "csv", (b"f", 12, UNKNOWN_MTIME)),
        (b"lfn\n/store/a/f\n", "csv", (b"f", UNKNOWN_SIZE, UNKNOWN_MTIME)),
        (b"name,bytes,timestamp\n/store/a/f,12,17.9\n", "csv", (b"f", 12, 17)),
        (b"file,filesize,date\n/store/a/f,12,1970-01-02T00:00:01.5Z\n", "csv", (b"f", 12, 86_401)),
        (b"pfn,size,mtime\nroot://door//store/a/f,12,1970-01-02 00:00:00+01:00\n", "csv", (b"f", 12, 82_800)),
        (b"path,size,mtime\n/store/a/f,12,1970-01-02\n", "csv", (b"f", 12, 86_400)),
        (b"path,size,mtime\n/store/a/f,,\n", "csv", (b"f", UNKNOWN_SIZE, UNKNOWN_MTIME)),
        (b'"path","size"\n"/store/a/f","12"\n', "csv", (b"f", 12, UNKNOWN_MTIME)),
        (b"lfn\tsize\n/store/a/f\t12\n", "tsv", (b"f", 12, UNKNOWN_MTIME)),
        (b"rse\tscope\tname\tpath\tsize\nX\tcms\tn\t/store/a/f\t12\n", "tsv", (b"f", 12, UNKNOWN_MTIME)),
    ],
)
def test_each_format_is_recognised(reader: Reader, content: bytes, format_: str, row: Row, chunk_size: int) -> None:
    for wanted in ("auto", format_):
        assert reader.tree(content, format=wanted, chunk_size=chunk_size) == {b"/store/a": [row]}
        counts = reader.counts(content, format=wanted, chunk_size=chunk_size)
        assert counts.format == format_
        assert counts.has_sizes == (b"12" in content or b"size" in content)


def test_every_ancestor_is_a_record_that_names_what_is_below(reader: Reader) -> None:
    reader.path.write_bytes(b"/store/a/x/f 1\n/store/a-b/g 2\n/store/a/h 3\n")

    counts, records = read_records(reader.path)

    assert [(record.path, record.directories.name_list(), len(record.files)) for record in records] == [
        (b"/", [b"store"], 0),
        (b"/store", [b"a", b"a-b"], 0),
        (b"/store/a", [b"x"], 1),
        (b"/store/a/x", [], 1),
        (b"/store/a-b", [], 1),
    ]
    assert {record.state for record in records} == {State.LISTED}
    assert {record.listed_at for record in records} == {LISTED_AT}
    assert {mtime for record in records for mtime in record.directories.mtime_list()} == {UNKNOWN_MTIME}
    assert counts == InventoryCounts(
        files=3, bytes=6, directories=5, duplicates=0, conflicts=0, skipped=0, lines=3, has_sizes=True, format="sizes"
    )


@pytest.mark.parametrize("format_", ["auto", "paths", "sizes", "csv", "tsv"])
@pytest.mark.parametrize("content", [b"", b"\n", b"# nothing\n\n", b"\xef\xbb\xbf"])
def test_an_inventory_without_entries_is_no_error(reader: Reader, content: bytes, format_: str) -> None:
    reader.path.write_bytes(content)

    counts, records = read_records(reader.path, format=format_)

    assert (counts.files, counts.directories, records) == (0, 0, [])


def test_a_table_with_a_header_alone_has_no_entries(reader: Reader) -> None:
    counts = reader.counts(b"lfn,size\n")
    assert (counts.files, counts.format, counts.has_sizes, counts.lines) == (0, "csv", True, 1)


def test_a_file_in_the_root(reader: Reader) -> None:
    assert reader.tree(b"/f 1\n/a/g 2\n") == {
        b"/": [(b"f", 1, UNKNOWN_MTIME)],
        b"/a": [(b"g", 2, UNKNOWN_MTIME)],
    }


@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
@pytest.mark.parametrize("delimiter", [b"\t", b","])
def test_a_row_that_was_commented_out_is_no_file(reader: Reader, delimiter: bytes, chunk_size: int) -> None:
    for rows in (b"#X|/s/a|5\nX|/s/b|6\n", b"X|/s/b|6\n#X|/s/a|5\n"):
        content = b"rse|path|size\n" + rows
        assert reader.names(content.replace(b"|", delimiter), chunk_size=chunk_size) == [b"/s/b"]


@pytest.mark.parametrize("header", [b'"lfn,size', b'lfn,"size', b'lfn,"size"x', b'site,path,"bytes'])
def test_a_header_with_a_quote_that_stays_open_is_no_header(reader: Reader, header: bytes) -> None:
    content = header + b'\n/store/a,5\n"/store/b",6\n'
    assert "quoted as in CSV" in reader.error(content) or "an absolute path" in reader.error(content)


def test_a_byte_order_mark_in_the_middle_can_be_seen(reader: Reader) -> None:
    assert reader.error("/a/b\n\ufeff/a/c\n".encode()).endswith(
        r'line 2: expected an absolute path, found "\ufeff/a/c"'
    )


def test_a_path_can_be_a_file_and_a_directory(reader: Reader) -> None:
    assert reader.names(b"/a/b\n/a/b/c\n") == [b"/a/b", b"/a/b/c"]


@pytest.mark.parametrize(
    "name",
    [
        b"with blanks  inside",
        b" leading",
        "\N{GREEK SMALL LETTER ALPHA}\N{NO-BREAK SPACE}".encode(),
        b"\xff\xfe not UTF-8",
        b"a,b;c\\x0a%20'",
        b".hidden",
        b"...",
        b"-rf",
        b"#1",
        b"return\r",
        b"control\x01\x0b\x0c\x1c",
        b'"quoted"',
        "line\N{LINE SEPARATOR}separator".encode(),
    ],
)
def test_names_are_kept_verbatim(reader: Reader, name: bytes) -> None:
    path = b"/a dir/" + name
    assert reader.names(b"/a/b\n" + path + b"\n") == [b"/a/b", path]
    assert reader.names(path + b" 12\n/a/b 1\n") == [b"/a/b", path]
    assert reader.names(path + b" 12 1700000000\n/a/b 1 1\n") == [b"/a/b", path]
    assert reader.names(b"size\tlfn\n1\t" + path + b"\n") == [path]
    if b"\r" not in name:
        quoted = b'"' + path.replace(b'"', b'""') + b'"'
        assert reader.names(b"lfn,size\n/a/b,2\n" + quoted + b",1\n") == [b"/a/b", path]


def test_tabs_and_blanks_at_the_end_belong_to_a_path_that_stands_alone(reader: Reader) -> None:
    assert reader.names(b"/a/tab\tinside\n/a/blank \n/a/b 12\n") == [b"/a/b 12", b"/a/blank ", b"/a/tab\tinside"]


def test_quoted_fields_hold_commas_quotes_and_newlines(reader: Reader) -> None:
    content = b'lfn,size\n/a/plain,1\n\n# "comment\n"/a/x,""y""",2\n"/a/new\nline",3\n\n/a/z"z,4\n'
    for chunk_size in CHUNK_SIZES:
        assert reader.tree(content, chunk_size=chunk_size) == {
            b"/a": [
                (b"new\nline", 3, UNKNOWN_MTIME),
                (b"plain", 1, UNKNOWN_MTIME),
                (b'x,"y"', 2, UNKNOWN_MTIME),
                (b'z"z', 4, UNKNOWN_MTIME),
            ]
        }


def test_blocks_follow_their_files(reader: Reader) -> None:
    content = b"path,block,dataset,size\n/a/2,B,D,1\n/a/1,A,D,1\n/b/3,,D,1\n/b/4,A,D,1\n"
    reader.path.write_bytes(content)

    records = read_records(reader.path)[1]

    assert {record.path: record.files.block_list() for record in records if len(record.files)} == {
        b"/a": [b"A", b"B"],
        b"/b": [b"", b"A"],
    }


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
def test_compression_is_told_by_content(reader: Reader, pack: Callable[[bytes], bytes], chunk_size: int) -> None:
    content = b"".join(b"/store/%02d/file%d %d\n" % (at % 10, at, at) for at in range(300))
    counts = reader.counts(pack(content), chunk_size=chunk_size)
    assert (counts.files, counts.bytes, counts.lines) == (300, sum(range(300)), 300)


@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
def test_line_ends_and_byte_order_marks(reader: Reader, chunk_size: int) -> None:
    def names(content: bytes) -> list[bytes]:
        return reader.names(content, chunk_size=chunk_size)

    assert names(b"/a/b\n/a/c") == [b"/a/b", b"/a/c"]
    assert names(b"/a/b\r\n/a/c\r\n/a/d\n/a/e\r") == [b"/a/b", b"/a/c", b"/a/d", b"/a/e"]
    assert names(b"/a/b\n/a/c\r\n") == [b"/a/b", b"/a/c\r"]
    assert names(b"\xef\xbb\xbf/a/b\r\n") == [b"/a/b"]
    assert names(b"\xef\xbb\xbf# note\r\n\r\n \r\n/a/b\r\n#\r\n") == [b"/a/b"]


def test_urls_and_relative_paths(reader: Reader) -> None:
    assert reader.names(b"root://door:1094//store/a\nxroots://door/store//b\n/store/c\n") == [
        b"/store/a",
        b"/store/b",
        b"/store/c",
    ]
    assert reader.names(b"root://door///a b/c 1\n/d/root://door//e 2\nxroot://x//f 3\n") == [
        b"/f",
        b"/a b/c",
        b"/d/root:/door/e",
    ]
    assert reader.names(b"./x/a\nx/b\n/other/c\n", root=b"/store") == [b"/other/c", b"/store/x/a", b"/store/x/b"]
    assert reader.names(b"a\n", root=b"/") == [b"/a"]
    assert reader.names(b"//a///b\n") == [b"/a/b"]


def test_a_path_of_half_a_million_levels_is_refused(reader: Reader) -> None:
    deep = b"/a" * 8192
    assert reader.names(b"/b/c\n" + deep + b"\n") == [deep, b"/b/c"]
    for content in (deep + b"b\n", b"/b/c\n" + b"/a" * 500_000 + b"\n", b"lfn,size\n%sb,1\n" % deep):
        with pytest.raises(InventoryMalformed, match="a path of at most 16,384 bytes"):
            reader.names(content)


def test_duplicates_are_kept_once_and_sizes_that_differ_are_not_known(reader: Reader) -> None:
    lines = [b"/a/f 1\n", b"/a/g 5\n", b"/b/h 7\n", b"/a/f 1\n", b"/a/g 6\n", b"/a/g 6\n", b"//b/h 7\n"]
    for chunk_size in CHUNK_SIZES:
        counts = reader.counts(b"".join(lines), chunk_size=chunk_size)
        assert (counts.files, counts.bytes, counts.duplicates, counts.conflicts) == (3, 8, 4, 1)
        assert reader.tree(b"".join(lines), chunk_size=chunk_size)[b"/a"] == [
            (b"f", 1, UNKNOWN_MTIME),
            (b"g", UNKNOWN_SIZE, UNKNOWN_MTIME),
        ]
    assert reader.counts(b"/a/f\n/a/f\n").duplicates == 1


def test_an_unknown_size_conflicts_with_none(reader: Reader) -> None:
    counts = reader.counts(b"lfn,size\n/a/f,3\n/a/f,\n/a/f,4\n/a/f,4\n")
    assert (counts.files, counts.bytes, counts.duplicates, counts.conflicts) == (1, 0, 3, 1)
    counts = reader.counts(b"lfn,size\n/a/f,4\n/a/f,\n/a/f,4\n")
    assert (counts.files, counts.bytes, counts.duplicates, counts.conflicts) == (1, 4, 2, 0)


def test_only_what_is_below_the_directories_to_keep(reader: Reader) -> None:
    content = b"/store/mc/a 1\n/store/mc/x/b 2\n/store/mcx/c 4\n/store/data/d 8\n/store/mc 16\n/store/data/d 8\n"
    for chunk_size in CHUNK_SIZES:
        counts = reader.counts(content, keep=(b"/store/mc", b"/none"), chunk_size=chunk_size)
        assert (counts.files, counts.bytes, counts.skipped, counts.duplicates) == (2, 3, 4, 0)
    assert reader.names(content, keep=(b"/store/mc",)) == [b"/store/mc/a", b"/store/mc/x/b"]
    reader.path.write_bytes(content)
    records = read_records(reader.path, keep=(b"/store/mc",))[1]
    assert [record.path for record in records] == [b"/", b"/store", b"/store/mc", b"/store/mc/x"]
    assert reader.counts(content, keep=(b"/none",)).directories == 0
    assert reader.counts(content, keep=(b"/",)).skipped == 0


def test_keeping_also_drops_the_columns_of_a_table(reader: Reader) -> None:
    content = b"lfn,size,mtime,block\n/x/a,1,10,A\n/y/b,2,20,B\n/x/c,3,30,C\n"
    reader.path.write_bytes(content)
    files = read_records(reader.path, keep=(b"/x",))[1][1].files
    assert files.rows() == [(b"a", 1, 10), (b"c", 3, 30)]
    assert files.block_list() == [b"A", b"C"]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (
            b"/a/b 1\n/a/c\n",
            {"format": "sizes"},
            'line 2: expected "path size", found "/a/c"',
        ),
        (
            b"/a/b 1 2\n# note\n/a/c 3 4 \n",
            {"format": "sizes"},
            'line 1: expected "path size" with one number as in most lines, found "/a/b 1 2"',
        ),
        (b"/a/b 1 2\n" * 1000 + b"/a/c 3", {}, 'line 1001: expected "path size mtime", found "/a/c 3"'),
        (b"/a/b 1\n" * 1000 + b"/a/c -3", {}, 'line 1001: expected "path size", found "/a/c -3"'),
        (b"/a/b 1\n" * 1000 + b"/a/c  3", {}, 'line 1001: expected "path size", found "/a/c  3"'),
        (b"/a/b 1\n" * 1000 + b"/a/c\\\n", {}, 'line 1001: expected "path size", found "/a/c\\\\"'),
        (
            b"/a/b 1\n" * 1000 + b"/a/run 5 12\n",
            {},
            'line 1001: expected "path size" with one number as in most lines, found "/a/run 5 12"',
        ),
        (b"/a/b 1\n/a/c 2\n/a/d -3\n", {}, 'line 3: expected "path size" as in most lines, found "/a/d -3"'),
        (
            b"/a/b 1 9\n/a/c 2 9\n/a/d 3\n",
            {},
            'line 3: expected "path size mtime" as in most lines, found "/a/d 3"',
        ),
        (b"/a/b 9223372036854775808\n", {}, 'line 1: expected a size in bytes, found "/a/b 9223372036854775808"'),
        (
            b"/a/b 1 9223372036854775808\n",
            {},
            'line 1: expected seconds since the epoch within 64 bits, found "/a/b 1 9223372036854775808"',
        ),
        (b"/a/b\n\n# x\na/c\n", {}, 'line 4: expected an absolute path, found "a/c"'),
        (b"/a/b\n/a/../c\n", {}, 'line 2: expected a path without "." and ".." components, found "/a/../c"'),
        (b"/a/b\n/a/.\n", {}, 'line 2: expected a path without "." and ".." components, found "/a/."'),
        (b"/a/.. 5\n", {}, 'line 1: expected a path without "." and ".." components, found "/a/.. 5"'),
        (b"../b\n", {"root": b"/a"}, 'line 1: expected a path without "." and ".." components, found "../b"'),
        (b"/a/b/", {}, 'line 1: expected the path of a file, not of a directory, found "/a/b/"'),
        (b"/a/b\n/", {}, 'line 2: expected the path of a file, not of a directory, found "/"'),
        (b"lfn\n/a/b/\n", {}, 'line 2: expected the path of a file, not of a directory, found "/a/b/"'),
        (b"/a/b\n/a/\xff\0c\n", {}, 'line 2: expected text without NUL bytes, found "/a/\\xff\\x00c"'),
        (
            b"root://door//a?x=1\n",
            {},
            'line 1: expected an absolute path or a root://host//path URL without parameters, found "root://door//a?x=1"',
        ),
        (
            b"https://door/a\n",
            {"root": b"/a"},
            'line 1: expected an absolute path or a root://host//path URL without parameters, found "https://door/a"',
        ),
        (b"<?xml?>\n", {}, 'line 1: expected a format that is read, which XML is not, found "<?xml?>"'),
        (b"[{\n", {"root": b"/a"}, 'line 1: expected a format that is read, which JSON is not, found "[{"'),
        (
            b"-rw-r--r-- 1 a b 1 Jan 2 03:04 p\n",
            {"root": b"/a"},
            "line 1: expected a format that is read, which the output of ls -l is not, "
            'found "-rw-r--r-- 1 a b 1 Jan 2 03:04 p"',
        ),
        (
            b"path=/a/b size=7\n",
            {"root": b"/a"},
            'line 1: expected a format that is read, which the output of eos find is not, found "path=/a/b size=7"',
        ),
        (
            b"a|7|1|ad:1\n",
            {"root": b"/a"},
            'line 1: expected a format that is read, which fields separated by "|" is not, found "a|7|1|ad:1"',
        ),
        (
            b"/a/b,1\n",
            {"format": "csv"},
            'line 1: expected a header with a column lfn, path, file, name or pfn, found "/a/b,1"',
        ),
        (b"lfn,size,size\n", {}, 'line 1: expected a header that names each column once, found "lfn,size,size"'),
        (b"lfn,size\n/a/b,1\n/a/c\n", {}, 'line 3: expected 2 fields as in the header, found "/a/c"'),
        (b"lfn,size\n/a/b,1\n/a/c,1,2\n", {}, 'line 3: expected 2 fields as in the header, found "/a/c,1,2"'),
        (b"lfn\tsize\n/a/b\t-1\n", {}, 'line 2: expected a size in bytes, found "/a/b\\t-1"'),
        (b"lfn,size\n/a/b,1 2\n", {}, 'line 2: expected a size in bytes, found "/a/b,1 2"'),
        (b"lfn,size\n,1\n", {"root": b"/a"}, 'line 2: expected an absolute path, found ",1"'),
        (
            b"lfn,mtime\n/a/b,yesterday\n",
            {},
            'line 2: expected seconds since the epoch or an ISO 8601 time, found "/a/b,yesterday"',
        ),
        (
            b"lfn,mtime\n/a/b,1.2.3\n",
            {},
            'line 2: expected seconds since the epoch or an ISO 8601 time, found "/a/b,1.2.3"',
        ),
        (
            b'lfn,size\n/a/b,1\n"/a/c,2\n\n',
            {},
            'line 3: expected fields quoted as in CSV (unexpected end of data), found ""',
        ),
        (b'lfn,size\n"/a/b",1\n"/a/c\nd",x\n', {}, 'line 3: expected a size in bytes, found "/a/c\\nd,x"'),
    ],
)
@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
def test_a_line_that_does_not_fit_is_named(
    reader: Reader, content: bytes, options: dict[str, Any], message: str, chunk_size: int
) -> None:
    assert reader.error(content, chunk_size=chunk_size, **options) == "inventory dump.txt " + message


def test_what_is_found_is_shortened(reader: Reader) -> None:
    message = reader.error(b"x" * 500 + b"\n")
    assert message == f'inventory dump.txt line 1: expected an absolute path, found "{"x" * 99}…"'


def test_nothing_is_handed_over_before_everything_is_read(reader: Reader) -> None:
    reader.path.write_bytes(b"/a/b\n" * 100 + b"relative\n")
    records: list[DirectoryRecord] = []
    with pytest.raises(InventoryMalformed):
        read_inventory(reader.path, records.append, listed_at=LISTED_AT, chunk_size=7)
    assert records == []


@pytest.mark.parametrize("options", [{"format": "xml"}, {"root": b"store"}, {"root": b"/a/"}, {"keep": (b"a",)}])
def test_wrong_options_are_refused(reader: Reader, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"xml|canonical"):
        reader.counts(b"/a/b\n", **options)


NAMES = st.binary(min_size=1, max_size=6).filter(
    lambda name: not set(name) & set(b"\0/\n\r") and name not in (b".", b"..")
)
DIRECTORIES = st.lists(st.sampled_from([b"a", b"a-b", b"b", b"\xff", b"long directory name"]), max_size=4)
ENTRIES = st.dictionaries(
    st.tuples(DIRECTORIES, NAMES).map(lambda parts: b"/" + b"/".join([*parts[0], parts[1]])),
    st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 2**40)),
    max_size=30,
)


def expected_tree(entries: dict[bytes, tuple[int, int]]) -> Tree:
    tree: Tree = {}
    for path, (size, mtime) in entries.items():
        parent = paths.parent_of(path)
        assert parent is not None
        tree.setdefault(parent, []).append((paths.name_of(path), size, mtime))
    return {path: sorted(rows) for path, rows in tree.items()}


@given(ENTRIES, st.integers(1, 200), st.randoms(use_true_random=False))
def test_any_order_and_chunk_size_give_the_same_tree(
    tmp_path_factory: pytest.TempPathFactory,
    entries: dict[bytes, tuple[int, int]],
    chunk_size: int,
    shuffler: random.Random,
) -> None:
    path = tmp_path_factory.getbasetemp() / "shuffled.tsv"
    items = list(entries.items())
    shuffler.shuffle(items)
    lines = [b"%s\t%d\t%d\n" % (name.replace(b"\t", b"_"), size, mtime) for name, (size, mtime) in items]
    shown = {name.replace(b"\t", b"_"): numbers for name, numbers in items}
    path.write_bytes(b"# first\nlfn\tsize\tmtime\n" + b"".join(lines))

    counts, records = read_records(path, chunk_size=chunk_size)

    assert files_in(records) == expected_tree(shown)
    assert counts.files == len(shown)
    assert counts.bytes == sum(size for size, _ in shown.values())
    assert counts.duplicates == len(items) - len(shown)
    assert [record.path for record in records] == sorted((r.path for r in records), key=paths.tree_key)
    assert {r.path for r in records if r.path != b"/"} == {
        paths.join(r.path, name) for r in records for name in r.directories.name_list()
    }


@given(st.lists(st.binary(max_size=12).filter(lambda line: b"\n" not in line), max_size=12), st.integers(1, 64))
def test_any_lines_are_read_alike_in_any_chunks(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], chunk_size: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(b"\n".join(b"/" + line for line in lines))
    outcomes = []
    for size in (chunk_size, 1 << 20):
        try:
            outcomes.append(repr(read_records(path, chunk_size=size, format="paths")))
        except InventoryMalformed as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


def test_the_name_of_the_file_is_escaped(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/bad\n\xff"
    Path(os.fsdecode(path)).write_bytes(b"relative\n")
    with pytest.raises(InventoryMalformed, match=r"bad\\n\\xff line 1: expected"):
        read_records(Path(os.fsdecode(path)))


def test_errors_pickle(reader: Reader) -> None:
    with pytest.raises(InventoryMalformed) as caught:
        reader.counts(b"relative\n")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy)) == (InventoryMalformed, str(caught.value))


def test_counts_pickle(reader: Reader) -> None:
    counts = reader.counts(b"/a/b 1\n")
    assert pickle.loads(pickle.dumps(counts)) == counts


@pytest.mark.parametrize("sign", ["-", "+"])
def test_a_number_with_a_sign_is_no_part_of_a_name(tmp_path: Path, sign: str) -> None:
    # Some dumps say -1 where they know no size; taken for a blank and a part of the name, every file would be missing.
    file = tmp_path / "inventory.txt"
    file.write_text(f"/store/a {sign}1 1700000000\n/store/b {sign}1 1700000000\n")
    with pytest.raises(InventoryMalformed, match="with one number as in most lines"):
        read_inventory(file, lambda _record: None, listed_at=1)
