"""Blocks of bytes cut into chunks of whole lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from storage.inventory.errors import malformed

MAX_LINE = 1 << 20
"""Bytes after which something without a newline is not taken for a list any more."""

ESCAPED_MARK = b"# names are escaped"
"""The first line of a list in which `engine.paths.escape` was applied to each path; other lists are taken verbatim."""

UNLISTED_MARK = b"# not listed: "
"""Stands before each directory that such a list does not cover. A comparison could not be told, so it is refused."""

_NEWLINE = ord("\n")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines, each ended by one newline; ``first_line`` counts from 1, ``next_line`` is the one behind them.

    ``escaped`` says that paths are to be unescaped. ``ended`` is False where the last newline was added.
    """

    first_line: int
    next_line: int
    data: bytes
    escaped: bool = False
    ended: bool = True

    def lines(self) -> list[bytes]:
        """Split the lines."""
        lines = self.data.split(b"\n")
        lines.pop()
        return lines

    def numbered(self) -> Iterator[tuple[int, bytes]]:
        """Give number and text of each line that says something: neither blank nor a comment."""
        for number, line in enumerate(self.lines(), self.first_line):
            if not is_void(line):
                yield number, line


def is_void(line: bytes) -> bool:
    """Tell a line that is blank or a comment."""
    return line.startswith(b"#") or not line.strip()


def below(chunk: Chunk, line: int) -> Chunk:
    """Drop the lines up to and with this one, such as the head of a table."""
    drop = line - chunk.first_line + 1
    if drop <= 0:
        return chunk
    lines = chunk.data.split(b"\n", drop)
    return Chunk(line + 1, chunk.next_line, lines[drop]) if len(lines) > drop else Chunk(line, line, b"")


class LineTooLong(Exception):
    """Something without a newline that is longer than ``MAX_LINE``; ``start`` is how it begins."""

    def __init__(self, start: bytes) -> None:
        super().__init__(start)
        self.start = start


def cut_blocks(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut blocks at their last newline and give whole lines, never nothing; the last line may lack its newline.

    Raises:
        LineTooLong: there is none where one has to be.
    """
    pending: list[bytes] = []
    held = 0
    for block in _until_end(blocks):
        cut = block.rfind(b"\n") + 1
        if block and not cut:
            pending.append(block)
            held += len(block)
            if held > MAX_LINE:
                raise LineTooLong(pending[0])
            continue
        piece = b"".join((*pending, memoryview(block)[:cut]))
        pending = [block[cut:]] if cut < len(block) else []
        held = len(block) - cut
        if piece:
            yield piece


@dataclass(frozen=True, slots=True)
class Form:
    """What the first line says of all: whether each ends with CR LF, and whether paths are to be unescaped."""

    with_returns: bool = False
    escaped: bool = False

    @classmethod
    def of(cls, piece: bytes) -> Form:
        """Look at a text without a byte order mark."""
        first = piece[: piece.find(b"\n") + 1]
        return cls(first.endswith(b"\r\n"), piece.startswith(ESCAPED_MARK))

    def chunk(self, piece: bytes, first_line: int, source: str) -> Chunk:
        """Make a chunk of whole lines, of which only the last one may lack its newline.

        Raises:
            InventoryMalformed: a NUL byte, or a list that is not complete.
        """
        ended = piece.endswith(b"\n")
        data = piece if ended else piece + b"\n"
        if self.with_returns:
            data = data.replace(b"\r\n", b"\n")
        chunk = Chunk(first_line, first_line + count_lines(data), data, self.escaped, ended)
        _refuse_nul(chunk, source)
        if self.escaped:
            _refuse_unlisted(chunk, source)
        return chunk


class Chunks(Iterator[Chunk]):
    """The chunks of a text. ``pieces`` are the lines that are still to come, and may be put in the place of others.

    A UTF-8 byte order mark is dropped. When the first line ends with CR LF, the CR goes from all lines; otherwise it is
    part of the name. The last line may lack its newline. ``form`` is known when there was a first chunk; ``next_line``
    counts from 1.

    Raises, while it is gone through:
        InventoryMalformed: a NUL byte, or a line longer than ``MAX_LINE``.
    """

    def __init__(self, blocks: Iterable[bytes], source: str) -> None:
        self.pieces = cut_blocks(blocks)
        self.form = Form()
        self.next_line = 1
        self._source = source

    def __next__(self) -> Chunk:
        try:
            piece = next(self.pieces)
        except LineTooLong as error:
            expected = f"a line of at most {MAX_LINE} bytes"
            raise malformed(self._source, self.next_line, expected, error.start) from None
        if self.next_line == 1:
            piece = piece.removeprefix(_BOM)
            self.form = Form.of(piece)
        chunk = self.form.chunk(piece, self.next_line, self._source)
        self.next_line = chunk.next_line
        return chunk


def _until_end(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Mark the end with an empty block."""
    yield from blocks
    yield b""


def count_lines(data: bytes) -> int:
    """Count newlines; for lines of usual length several times as fast as ``bytes.count``."""
    return int(np.count_nonzero(np.frombuffer(data, dtype=np.uint8) == _NEWLINE))


def _refuse_nul(chunk: Chunk, source: str) -> None:
    at = chunk.data.find(b"\0")
    if at >= 0:
        before = chunk.data.count(b"\n", 0, at)
        raise malformed(source, chunk.first_line + before, "text without NUL bytes", chunk.lines()[before])


def _refuse_unlisted(chunk: Chunk, source: str) -> None:
    data = chunk.data
    at = 0 if data.startswith(UNLISTED_MARK) else data.find(b"\n" + UNLISTED_MARK) + 1
    if data.startswith(UNLISTED_MARK, at):
        before = data.count(b"\n", 0, at)
        line = chunk.lines()[before]
        raise malformed(
            source, chunk.first_line + before, "a complete list; of an incomplete one, compare the snapshot", line
        )
