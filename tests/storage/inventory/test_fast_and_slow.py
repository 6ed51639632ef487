"""The quick readers of columns and the careful one of lines say the same of an inventory, or refuse the same line."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.record import DirectoryRecord
from storage.inventory import InventoryError, builder, read_inventory, table_text, text

DIRECTORIES = (
    b"/a",
    b"/a/b",
    b"/a-b",
    b"/a/b/c",
    b"/.x",
    b"",
    b"/a//b",
    b"/a/./b",
    b"/a/..",
    b"root://h//a",
    b"root:////a",
    b"//a",
    b"b",
    b"./b",
)
NAMES = (
    b"1",
    b"2",
    b"f 3",
    b"f\t4",
    b".h",
    b"..h",
    b"..",
    b"\xff\xfe",
    b"x\r",
    b"\\n",
    b"\\x41",
    b"\xe2\x80\xa8",
    b"",
    b"a#",
)
SIZES = (b"0", b"7", b"007", b"12345678901234567890", b"-1", b"x", b"9223372036854775807", b"9223372036854775808", b"")
TIMES = (b"1", b"1.9", b"-1", b"2020-01-01", b"2020-01-01T00:00:00+01:00", b"x", b"")
ODD = (
    b"",
    b"# note",
    b"#",
    b"   ",
    b"\t",
    b"/",
    b"/a/b",
    b"no slash",
    b"/a/1\0 2",
    b"\xef\xbb\xbf/a/1 2",
    b'"/a/1",2,3',
)


@st.composite
def inventories(draw: st.DrawFn) -> bytes:
    """Make lines of one form, most of them as they should be, sorted or not, and then spoil a few."""
    fields = draw(st.integers(0, 2))
    separator = draw(st.sampled_from([b" ", b" ", b"\t", b","]))
    # Without any oddity all is read quickly; each oddity can be where a chunk begins or ends.
    odd = draw(st.integers(0, 3))
    good = st.tuples(st.sampled_from(DIRECTORIES[:4]), st.sampled_from(NAMES[:3]), st.just(b"7"), st.just(b"1"))
    any_row = st.tuples(*map(st.sampled_from, (DIRECTORIES, NAMES, SIZES, TIMES)))
    rows = draw(st.lists(good, min_size=1, max_size=30)) + draw(st.lists(any_row, max_size=odd))
    rows = sorted(rows) if draw(st.booleans()) else draw(st.permutations(rows))
    lines = [
        separator.join((directory + b"/" + name, size, time)[: fields + 1]) for directory, name, size, time in rows
    ]
    if odd:
        for line in draw(st.lists(st.sampled_from(ODD), max_size=2)):
            lines.insert(draw(st.integers(0, len(lines))), line)
    if separator == b",":
        lines.insert(0, b",".join((b"lfn", b"size", b"mtime")[: fields + 1]))
    if draw(st.sampled_from([False, False, False, True])):
        lines.insert(0, b"# names are escaped")
    end = draw(st.sampled_from([b"\n", b"\n", b"\r\n"]))
    data = draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"])) + end.join(lines) + end
    return data[: len(data) - draw(st.sampled_from([0, 0, 1, 2, 4]))]


@contextmanager
def changed(slow: bool, held: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builder.TreeBuilder.__init__, "__defaults__", (None, held))
        if slow:
            patch.setattr(text, "_quick", lambda *_arguments: None)
            patch.setattr(table_text, "_quick", lambda *_arguments: None)
        yield


def outcome(path: Path, slow: bool, held: int, **options: Any) -> tuple[object, list[DirectoryRecord]]:
    records: list[DirectoryRecord] = []
    with changed(slow, held):
        try:
            return read_inventory(path, records.append, listed_at=1, **options), records
        except InventoryError as error:
            return (type(error), str(error)), records


@settings(max_examples=300)
@given(inventories(), st.sampled_from(["auto", "paths", "sizes"]), st.sampled_from([None, b"/r"]), st.integers(7, 300))
def test_both_ways_of_reading_say_the_same(data: bytes, format: str, root: bytes | None, chunk_size: int) -> None:  # noqa: A002
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "list")
        path.write_bytes(data)
        options = {"format": format, "root": root, "chunk_size": chunk_size}
        careful = outcome(path, slow=True, held=builder.HELD, **options)
        assert outcome(path, slow=False, held=builder.HELD, **options) == careful
        assert outcome(path, slow=False, held=200, **options) == careful
