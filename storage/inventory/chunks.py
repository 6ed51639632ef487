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


def read_chunks(blocks: Iterable[bytes], source: str) -> Iterator[Chunk]:
    """Cut blocks at their last newline.

    A UTF-8 byte order mark is dropped. When the first line ends with CR LF, the CR goes from all lines; otherwise it is
    part of the name. The last line may lack its newline.

    Raises:
        InventoryMalformed: a NUL byte, or a line longer than ``MAX_LINE``.
    """
    first_line = 1
    pending: list[bytes] = []
    held = 0
    with_returns = escaped = False
    for block in _until_end(blocks):
        cut = block.rfind(b"\n") + 1
        if block and not cut:
            pending.append(block)
            held += len(block)
            if held > MAX_LINE:
                raise malformed(source, first_line, f"a line of at most {MAX_LINE} bytes", pending[0])
            continue
        data = b"".join((*pending, block[:cut]))
        pending = [block[cut:]] if cut < len(block) else []
        held = len(block) - cut
        if not data:
            continue
        if first_line == 1:
            data = data.removeprefix(_BOM)
            with_returns = data[: data.find(b"\n") + 1].endswith(b"\r\n")
            escaped = data.startswith(ESCAPED_MARK)
        ended = data.endswith(b"\n")
        if not ended:
            data += b"\n"
        if with_returns:
            data = data.replace(b"\r\n", b"\n")
        chunk = Chunk(first_line, first_line + _count_lines(data), data, escaped, ended)
        _refuse_nul(chunk, source)
        if escaped:
            _refuse_unlisted(chunk, source)
        yield chunk
        first_line = chunk.next_line


def _until_end(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Mark the end with an empty block."""
    yield from blocks
    yield b""


def _count_lines(data: bytes) -> int:
    """Count newlines; for lines of usual length several times as fast as ``bytes.count``."""
    return int(np.count_nonzero(np.frombuffer(data, dtype=np.uint8) == _NEWLINE))


def _refuse_nul(chunk: Chunk, source: str) -> None:
    at = chunk.data.find(b"\0")
    if at >= 0:
        before = chunk.data.count(b"\n", 0, at)
        raise malformed(source, chunk.first_line + before, "text without NUL bytes", chunk.lines()[before])


def _refuse_unlisted(chunk: Chunk, source: str) -> None:
    at = chunk.data.find(b"\n" + UNLISTED_MARK)
    if at >= 0:
        before = chunk.data.count(b"\n", 0, at + 1)
        line = chunk.lines()[before]
        raise malformed(
            source, chunk.first_line + before, "a complete list; of an incomplete one, compare the snapshot", line
        )
