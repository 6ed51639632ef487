"""Tables: CSV and TSV with a header."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import chain, islice

import numpy as np

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from storage.inventory.chunks import Chunk, below, is_void
from storage.inventory.detect import Header
from storage.inventory.entries import Rows, read_path, read_size, read_time, sizes_of, split_lines, times_of
from storage.inventory.errors import malformed
from storage.inventory.foreign.entry import Entry, rows_of_entries
from storage.inventory.foreign.replica import by_states, read_record
from storage.inventory.misfits import Misfits
from storage.inventory.table_columns import Columns

_BATCH = 10_000

Record = tuple[int, list[bytes]]
"""The number of its first line and its fields."""


def read_table(chunks: Iterable[Chunk], header: Header, root: bytes | None, misfits: Misfits) -> Iterator[Rows]:
    """Read the rows below the header; columns that are not used may hold anything.

    From the first quote in a CSV on, the rules of Python's ``csv`` module apply; a TSV knows no quotes.

    Raises:
        InventoryMalformed: a row does not fit, and ``misfits`` does not let it pass.
    """
    remaining = iter(chunks)
    for chunk in remaining:
        rest = below(chunk, header.line)
        if header.delimiter == b"," and b'"' in rest.data:
            yield from _quoted(chain((rest,), remaining), header, root, misfits)
            return
        rows = _quick(rest, header)
        if rows is None:
            delimiter = header.delimiter
            records = ((number, line.split(delimiter)) for number, line in rest.numbered())
            rows = _careful(records, header, root, misfits)
        yield rows


def _quick(chunk: Chunk, header: Header) -> Rows | None:
    width, delimiter = header.width, header.delimiter
    if header.columns.scope is not None:
        return None
    if chunk.data.startswith(b"#") or b"\n#" in chunk.data:
        # A row that was commented out looks like one where its first column is not used.
        return None
    text = np.frombuffer(chunk.data, dtype=np.uint8)
    ends = text == ord("\n")
    cuts = np.flatnonzero((text == ord(delimiter)) | ends)
    lines = np.count_nonzero(ends)
    if len(cuts) != lines * width or not ends[cuts[width - 1 :: width]].all():
        return None
    fields = chunk.data.replace(b"\n", delimiter).split(delimiter)
    fields.pop()
    used = header.columns
    located = split_lines(b"\n".join(fields[used.path :: width]) + b"\n")
    if located is None:
        return None
    sizes = mtimes = None
    if used.size is not None and (sizes := sizes_of(fields[used.size :: width])) is None:
        return None
    if used.mtime is not None and (mtimes := times_of(fields[used.mtime :: width])) is None:
        return None
    if used.state is not None:
        judged = by_states(fields[used.state :: width], sizes, mtimes)
        if judged is None:
            return None
        sizes, mtimes = judged
    texts = (None if at is None else fields[at::width] for at in _texts_of(used))
    return Rows(located[0], located[1], sizes, mtimes, *texts)


def _texts_of(used: Columns) -> tuple[int | None, ...]:
    return (used.block, used.dataset, used.group, used.site, used.protected, used.checksum)


def _careful(records: Iterable[Record], header: Header, root: bytes | None, misfits: Misfits) -> Rows:
    used = header.columns
    if used.scope is not None or used.state is not None:
        return _replicas(records, header, root, misfits)
    directories: list[bytes] = []
    names: list[bytes] = []
    sizes: list[int] = []
    mtimes: list[int] = []
    kept: list[list[bytes]] = []
    for number, fields in records:
        try:
            if len(fields) != header.width:
                raise ValueError(f"{header.width} fields as in the header")
            directory, name = read_path(fields[used.path], root)
            text = b"" if used.size is None else fields[used.size].strip()
            size = read_size(text) if text else UNKNOWN_SIZE
            text = b"" if used.mtime is None else fields[used.mtime].strip()
            mtime = read_time(text) if text else UNKNOWN_MTIME
        except ValueError as error:
            misfits.take(number, str(error), header.delimiter.join(fields))
            continue
        directories.append(directory)
        names.append(name)
        sizes.append(size)
        mtimes.append(mtime)
        kept.append(fields)
    return Rows(
        directories,
        names,
        None if used.size is None else np.array(sizes, dtype=np.int64),
        None if used.mtime is None else np.array(mtimes, dtype=np.int64),
        *(None if at is None else [fields[at] for fields in kept] for at in _texts_of(used)),
    )


def _replicas(records: Iterable[Record], header: Header, root: bytes | None, misfits: Misfits) -> Rows:
    """Read rows that say more of a file than its path, size and time."""
    used = header.columns
    entries: list[Entry] = []
    kept: list[list[bytes]] = []
    for number, fields in records:

        def value(at: int | None, fields: list[bytes] = fields) -> bytes | None:
            return None if at is None else fields[at]

        try:
            if len(fields) != header.width:
                raise ValueError(f"{header.width} fields as in the header")
            entry = read_record(value, used, root, header.lfn_to_path)
        except ValueError as error:
            # Of a plain list all of a row has to be right, or nobody knows whether any of it is.
            misfits.take(number, str(error), header.delimiter.join(fields))
            continue
        entries.append(entry)
        kept.append(fields)
    rows = rows_of_entries(entries, header.holds)
    return Rows(
        rows.directories,
        rows.names,
        rows.sizes,
        rows.mtimes,
        *(None if at is None else [fields[at] for fields in kept] for at in _texts_of(used)),
    )


def _quoted(chunks: Iterable[Chunk], header: Header, root: bytes | None, misfits: Misfits) -> Iterator[Rows]:
    records = _records(chunks, misfits.source)
    while batch := list(islice(records, _BATCH)):
        yield _careful(batch, header, root, misfits)


class _Lines:
    """Lines for ``csv.reader``; between two records, and only there, blank lines and comments are passed over."""

    def __init__(self, chunks: Iterable[Chunk]) -> None:
        self._lines = (pair for chunk in chunks for pair in enumerate(chunk.lines(), chunk.first_line))
        self.between = True
        self.record_line = 0
        self.last = b""

    def __iter__(self) -> Iterator[str]:
        for number, line in self._lines:
            if self.between:
                if is_void(line):
                    continue
                self.between = False
                self.record_line = number
            self.last = line
            yield paths.decode(line) + "\n"


def _records(chunks: Iterable[Chunk], source: str) -> Iterator[Record]:
    lines = _Lines(chunks)
    try:
        for fields in csv.reader(lines, strict=True):
            yield lines.record_line, [paths.encode(field) for field in fields]
            lines.between = True
    except csv.Error as error:
        raise malformed(source, lines.record_line, f"fields quoted as in CSV ({error})", lines.last) from error
