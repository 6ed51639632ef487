"""From a file to the records of a tree."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from pathlib import Path

from engine import paths
from engine.cut import LastLine
from engine.record import DirectoryRecord
from storage.inventory.builder import TreeBuilder
from storage.inventory.chunks import Chunk, read_chunks
from storage.inventory.compression import read_blocks
from storage.inventory.detect import Format, Layout, recognise, take_sample
from storage.inventory.entries import Rows
from storage.inventory.last_line import Tail
from storage.inventory.sqlite_table import DEFAULT_TABLE, TableReader, is_database, no_rows_of
from storage.inventory.table_text import read_table
from storage.inventory.text import read_text

CHUNK_SIZE = 1 << 20
_NAMED = 10


@dataclass(frozen=True, slots=True)
class InventoryCounts:
    """What was read. ``bytes`` sums the known sizes; ``directories`` counts the records, ancestors included.

    ``duplicates`` counts the entries that a later one of the same path replaced, ``conflicts`` those among them whose
    size was another, which is not known then, ``skipped`` those outside of the directories to keep. ``lines``
    are those of the file, comments included, or the rows of a table. ``has_sizes`` tells whether the format carries
    sizes. ``last_line`` is the last line of a text that does not end with a newline; ``ended`` is False wherever there
    is none, be it behind a comment.
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
    last_line: LastLine | None = None
    ended: bool = True


@dataclass(slots=True)
class Reading:
    """An inventory that is being read; ``lines``, those of the file or the rows of a table, grows meanwhile.

    ``last_line`` and ``ended`` are known when all rows were read.
    """

    format: str
    has_sizes: bool
    rows: Iterator[Rows]
    lines: int = 0
    last_line: LastLine | None = None
    ended: bool = True


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
    table: str = DEFAULT_TABLE,
    site: str = "",
    see: Callable[[Rows], None] = lambda _rows: None,
    scratch: Path | None = None,
) -> InventoryCounts:
    """Read an inventory and hand one record for each directory that has files, and each ancestor, to ``append``.

    Records come in tree order and all are `State.LISTED`, at ``listed_at`` (seconds since the epoch). Entries that are
    not below one of the canonical directories ``keep`` are skipped. ``see`` is shown all rows in the order of the file,
    before the first record is handed over. More files than fit into the memory that is set for them are put in order on
    disk, in the directory ``scratch`` or else in ``TMPDIR``; nothing of them stays there. The other arguments are those
    of `open_inventory`.
    A file without entries gives no records.

    Raises:
        InventoryError: the file cannot be read or a line is not what it should be; no record was handed over then.
        ValueError: an unknown format, or a ``root`` or ``keep`` that is not a canonical absolute path.
        OSError: there is no room on disk to put the files in order, or they cannot be read back.
    """
    for directory in keep:
        _refuse_not_canonical(directory)
    with TreeBuilder(keep, scratch) as builder:
        with open_inventory(
            path, format=format, root=root, chunk_size=chunk_size, heed=heed, table=table, site=site
        ) as reading:
            for rows in reading.rows:
                see(rows)
                builder.add(rows)
        tree = builder.emit(append, listed_at)
    last_line = reading.last_line
    if last_line is not None:
        last_line = replace(last_line, repeated=tree.duplicates > 0)
    return InventoryCounts(
        **asdict(tree),
        lines=reading.lines,
        has_sizes=reading.has_sizes,
        format=reading.format,
        last_line=last_line,
        ended=reading.ended,
    )


@contextmanager
def open_inventory(
    path: Path | str,
    *,
    format: str = "auto",  # noqa: A002 - the word that the configuration uses
    root: bytes | None = None,
    chunk_size: int = CHUNK_SIZE,
    heed: Callable[[], None] = lambda: None,
    table: str = DEFAULT_TABLE,
    site: str = "",
) -> Iterator[Reading]:
    """Open an inventory for reading its rows in the order of the file.

    ``format`` is auto, paths, sizes, csv or tsv, and of no account for an SQLite database, of which ``table`` is read.
    Relative paths are joined to ``root``. Where there is a column of sites, only the rows of ``site`` are given; all of
    them when it is empty. ``chunk_size`` is in bytes. ``heed`` is called now and then and may raise to give up.

    Raises:
        InventoryError, ValueError: see `read_inventory`; also while the rows are read.
    """
    wanted = None if format == "auto" else Format(format)
    if root is not None:
        _refuse_not_canonical(root)
    file = os.fspath(path)
    source = paths.escape(os.fsencode(file))
    chosen = paths.encode(site)
    if is_database(file):
        with closing(_open_table(TableReader(file, source, table, chosen, root), heed)) as opened:
            yield next(opened)
        return
    with closing(read_blocks(file, source, chunk_size)) as blocks:
        reading, tail = Reading("", False, iter(())), Tail(source)

        def count_lines(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
            for chunk in chunks:
                reading.lines = chunk.next_line - 1
                tail.see(chunk)
                heed()
                yield chunk

        sample, escaped, chunks = take_sample(count_lines(read_chunks(blocks, source)))
        # A line that may be cut does not say what a line looks like.
        telling = sample[:-1] if len(sample) > 1 and sample[-1][0] == tail.line else sample
        layout = recognise(telling, escaped, wanted, source)
        reading.format, reading.has_sizes = layout.format.value, layout.has_sizes
        if sample:

            def noted() -> Iterator[Rows]:
                yield from tail.note(_rows(chunks, layout, root, source))
                reading.last_line = tail.last_line(layout, root, chosen)
                reading.ended = tail.ended

            reading.rows = _of_site(noted(), chosen, source)
        yield reading


def _open_table(reader: TableReader, heed: Callable[[], None]) -> Generator[Reading, None, None]:
    """Give the one reading of a table, and close the database when this is closed."""
    with closing(reader.read(heed)) as batches:
        first = next(batches, None)
        columns = reader.columns
        reading = Reading("sqlite", columns is not None and columns.size is not None, iter(()))

        def counted() -> Iterator[Rows]:
            for rows in chain(() if first is None else (first,), batches):
                reading.lines += len(rows.names)
                yield rows

        reading.rows = counted()
        yield reading


def _of_site(batches: Iterator[Rows], site: bytes, source: str) -> Iterator[Rows]:
    """Keep the rows of one site, where there is a column that says whose they are."""
    found, others = False, set[str]()
    for rows in batches:
        if site and rows.sites is not None:
            mask = [name.strip() == site for name in rows.sites]
            if not any(mask):
                others.update(paths.escape(name.strip()) for name in islice(dict.fromkeys(rows.sites), _NAMED))
                continue
            rows = rows if all(mask) else rows.select(mask)
        found = True
        yield rows
    if others and not found:
        raise no_rows_of(source, site, sorted(others)[:_NAMED])


def _refuse_not_canonical(directory: bytes) -> None:
    if not directory.startswith(b"/") or paths.canonical(directory) != directory:
        raise ValueError(f"not a canonical absolute path: {paths.escape(directory)}")


def _rows(chunks: Iterator[Chunk], layout: Layout, root: bytes | None, source: str) -> Iterator[Rows]:
    if layout.header is None:
        return read_text(chunks, layout.numbers, root, source)
    return read_table(chunks, layout.header, root, source)
