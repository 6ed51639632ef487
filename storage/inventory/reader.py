"""From a file to the records of a tree."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from engine import paths
from engine.record import DirectoryRecord
from storage.inventory.builder import TreeBuilder
from storage.inventory.chunks import Chunk, read_chunks
from storage.inventory.compression import read_blocks
from storage.inventory.detect import Format, Layout, recognise, take_sample
from storage.inventory.entries import Rows
from storage.inventory.table_text import read_table
from storage.inventory.text import read_text

CHUNK_SIZE = 1 << 20


@dataclass(frozen=True, slots=True)
class InventoryCounts:
    """What was read. ``bytes`` sums the known sizes; ``directories`` counts the records, ancestors included.

    ``duplicates`` counts the entries that a later one of the same path replaced, ``conflicts`` those among them whose
    size was another than that of the entry that stays, ``skipped`` those outside of the directories to keep. ``lines``
    are those of the file, comments included. ``has_sizes`` tells whether the format carries sizes.
    """

    files: int
    bytes: int
    directories: int
    duplicates: int
    conflicts: int
    skipped: int
    lines: int
    has_sizes: bool
    format: str


def read_inventory(
    path: Path | str,
    append: Callable[[DirectoryRecord], None],
    *,
    format: str = "auto",  # noqa: A002 - the word that the configuration uses
    root: bytes | None = None,
    keep: Sequence[bytes] = (),
    listed_at: int,
    chunk_size: int = CHUNK_SIZE,
    heed: Callable[[], None] = lambda: None,
) -> InventoryCounts:
    """Read an inventory and hand one record for each directory that has files, and each ancestor, to ``append``.

    Records come in tree order and all are `State.LISTED`, at ``listed_at`` (seconds since the epoch). ``format`` is
    auto, paths, sizes, csv or tsv. Relative paths are joined to ``root``. Entries that are not below one of the
    canonical directories ``keep`` are skipped. ``chunk_size`` is in bytes. ``heed`` is called after each chunk and may
    raise to give up. A file without entries gives no records.

    Raises:
        InventoryError: the file cannot be read or a line is not what it should be; no record was handed over then.
        ValueError: an unknown format, or a ``root`` or ``keep`` that is not a canonical absolute path.
    """
    wanted = None if format == "auto" else Format(format)
    for directory in (*keep, *(() if root is None else (root,))):
        if not directory.startswith(b"/") or paths.canonical(directory) != directory:
            raise ValueError(f"not a canonical absolute path: {paths.escape(directory)}")
    file = os.fspath(path)
    source = paths.escape(os.fsencode(file))
    builder = TreeBuilder(keep)
    lines = 0

    def count_lines(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        nonlocal lines
        for chunk in chunks:
            lines = chunk.next_line - 1
            heed()
            yield chunk

    with closing(read_blocks(file, source, chunk_size)) as blocks:
        sample, escaped, chunks = take_sample(count_lines(read_chunks(blocks, source)))
        layout = recognise(sample, escaped, wanted, source)
        if sample:
            for rows in _rows(chunks, layout, root, source):
                builder.add(rows)
    tree = builder.emit(append, listed_at)
    return InventoryCounts(**asdict(tree), lines=lines, has_sizes=layout.has_sizes, format=layout.format.value)


def _rows(chunks: Iterator[Chunk], layout: Layout, root: bytes | None, source: str) -> Iterator[Rows]:
    if layout.header is None:
        return read_text(chunks, layout.numbers, root, source)
    return read_table(chunks, layout.header, root, source)
