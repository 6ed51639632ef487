"""Blocks of any size become chunks of whole lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.inventory import InventoryMalformed
from storage.inventory.chunks import MAX_LINE, Chunk, Chunks


def chunks_of(*blocks: bytes) -> list[Chunk]:
    return list(Chunks(blocks, "dump"))


def test_a_chunk_ends_with_the_last_newline_of_its_block() -> None:
    assert chunks_of(b"a\nb\nc", b"d", b"e\nf") == [
        Chunk(1, 3, b"a\nb\n"),
        Chunk(3, 4, b"cde\n"),
        Chunk(4, 5, b"f\n", ended=False),
    ]


def test_only_lines_that_say_something_are_given() -> None:
    (chunk,) = chunks_of(b"a\n#b\n\n \t\n #c\nd\n")
    assert list(chunk.numbered()) == [(1, b"a"), (5, b" #c"), (6, b"d")]


@given(st.binary(max_size=60).map(lambda text: text.replace(b"\0", b"\r\n")), st.integers(1, 20))
def test_cutting_changes_nothing(text: bytes, size: int) -> None:
    chunks = chunks_of(*(text[at : at + size] for at in range(0, len(text), size)))
    lines = [line for chunk in chunks for line in chunk.lines()]
    assert lines == [line for chunk in chunks_of(text) for line in chunk.lines()]
    assert [chunk.first_line for chunk in chunks[1:]] == [chunk.next_line for chunk in chunks[:-1]]


def test_a_line_without_end() -> None:
    block = b"x" * (MAX_LINE // 4)
    assert len(chunks_of(b"a\n", block, block, block, block)) == 2
    with pytest.raises(InventoryMalformed, match=r"inventory dump line 2: expected a line of at most 1048576 bytes"):
        chunks_of(b"a\n", block, block, block, block, b"x")


def test_a_line_without_end_that_comes_in_crumbs() -> None:
    with pytest.raises(InventoryMalformed, match=r"inventory dump line 1: expected a line of at most 1048576 bytes"):
        chunks_of(*[b"x"] * (MAX_LINE + 1))


def test_nul_bytes_are_refused() -> None:
    with pytest.raises(InventoryMalformed, match=r'dump line 3: expected text without NUL bytes, found "\\x00c"'):
        chunks_of(b"a\nb\n\0c\nd\n")


def test_a_last_line_that_does_not_end_is_told_from_one_that_does() -> None:
    assert [chunk.ended for chunk in Chunks([b"/a\n/b\n"], "dump")] == [True]
    assert [(chunk.data, chunk.ended) for chunk in Chunks([b"/a\n", b"/b\n", b"/", b"c"], "dump")] == [
        (b"/a\n", True),
        (b"/b\n", True),
        (b"/c\n", False),
    ]


@pytest.mark.parametrize("size", [1, 7, 20, 25, 26, 45, 1000])
def test_the_mark_of_an_incomplete_list_is_found_wherever_a_chunk_begins(size: int) -> None:
    text = b"# names are escaped\n/a\n/b\n# not listed: /c\n/d\n"
    with pytest.raises(InventoryMalformed, match=r'dump line 4: expected a complete list.*found "# not listed: /c"'):
        chunks_of(*(text[at : at + size] for at in range(0, len(text), size)))


def test_a_mark_in_the_middle_of_a_line_is_a_name() -> None:
    text = b"# names are escaped\n/a # not listed: /c\n"
    assert len(chunks_of(text)) == 1
