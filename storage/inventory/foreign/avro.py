"""Records in Avro files, with the names of the columns of CSV; they need the package ``fastavro``.

Read from the beginning to the end: where records are flat, some blocks at once, and else one record after the other. A
file that was cut off within a block is refused; of one that was cut between two blocks nobody can tell, as with lines.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice
from operator import itemgetter
from typing import Any

from engine import paths
from storage.inventory.entries import Rows
from storage.inventory.errors import InventoryError, cut_off, malformed, unreadable
from storage.inventory.foreign.avro_blocks import FlatSchema, rows_of_records
from storage.inventory.foreign.entry import Entry, HalfRead, rows_of_entries
from storage.inventory.foreign.parquet import missing_package
from storage.inventory.foreign.replica import columns_held, read_record
from storage.inventory.foreign.streams import Asked
from storage.inventory.formats import Format
from storage.inventory.table_columns import PATH_COLUMNS, Columns, find_columns
from storage.inventory.values import rows_of, text_of
from storage.shown import one_line

_BATCH = 10_000
_TOGETHER, _LARGEST = 1 << 20, 8 << 20
"""Bytes of blocks that are read at once: from how many on no more are taken, and how many there may be."""

_BUFFER = 1 << 20


class AvroStream:
    """Reads records; ``lines`` counts them."""

    format = Format.AVRO

    def __init__(self, blocks: Iterable[bytes], asked: Asked) -> None:
        self.lines = 0
        self.misfits = asked.misfits
        self._asked = asked
        self._file = _Blocks(blocks)
        self._read_blocks = self._open()
        self._names, columns = self._find_columns()
        self.has_checksums = columns.checksum is not None
        checksums = asked.checksums and self.has_checksums
        self.holds = columns_held(columns, checksums)
        self._used = columns if checksums else replace(columns, checksum=None)
        plain = columns.scope is None and columns.state is None
        self._schema = FlatSchema.of(self._read_blocks.writer_schema, columns.path) if plain else None

    def _open(self) -> Any:
        try:
            import fastavro
        except ImportError as error:
            raise missing_package(self._asked.source, "an Avro file", "fastavro") from error
        try:
            return fastavro.block_reader(io.BufferedReader(self._file, _BUFFER))
        except InventoryError:
            raise
        except Exception as error:
            raise unreadable(self._asked.source, f"the Avro file cannot be read: {one_line(error)}") from error

    def _find_columns(self) -> tuple[list[str], Columns]:
        schema = self._read_blocks.writer_schema
        fields = schema.get("fields", []) if isinstance(schema, dict) else []
        names = [str(field["name"]) for field in fields]
        shown = ", ".join(names).encode("utf-8", "replace")
        try:
            columns = find_columns([name.encode("utf-8", "replace") for name in names], replicas=True)
        except ValueError as error:
            raise malformed(self._asked.source, 1, str(error), shown) from error
        if columns is None:
            known = ", ".join(map(paths.decode, PATH_COLUMNS))
            raise malformed(self._asked.source, 1, f"records with a path ({known})", shown)
        return names, columns

    def rows(self) -> Iterator[Rows]:
        """Give what it has."""
        for blocks in self._batches():
            rows = self._at_once(blocks)
            if rows is None:
                yield from self._one_by_one(chain.from_iterable(blocks))
            else:
                yield rows
                self.lines += len(rows.names)

    def _batches(self) -> Iterator[list[Any]]:
        """Give some blocks at a time; what is wrong with one is said behind those before it."""
        more = True
        while more:
            blocks: list[Any] = []
            held = 0
            failure: InventoryError | None = None
            while more and held < _TOGETHER and failure is None:
                try:
                    with self._failures():
                        block = next(self._read_blocks, None)
                except InventoryError as error:
                    failure = error
                    break
                more = block is not None
                if block is not None:
                    blocks.append(block)
                    held += len(block.bytes_.getbuffer())
            if blocks:
                yield blocks
            if failure is not None:
                raise failure

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Say what is wrong with the file."""
        try:
            yield
        except InventoryError:
            raise
        except EOFError as error:
            raise cut_off(self._asked.source, self.lines + 1, "the end of its block") from error
        except Exception as error:
            # What fastavro raises depends on what it stumbles over.
            what = f"the Avro file is damaged behind record {self.lines:,}, or cut off: {one_line(error)}"
            raise unreadable(self._asked.source, what) from error

    def _at_once(self, blocks: list[Any]) -> Rows | None:
        """Read blocks by columns, without making an object of each record."""
        contents = [block.bytes_.getvalue() for block in blocks]
        # Of a block that is larger than all others there would be too many numbers in memory.
        if self._schema is None or not 0 < sum(map(len, contents)) <= _LARGEST:
            return None
        records = self._schema.read(contents, [block.num_records for block in blocks])
        return None if records is None else rows_of_records(records, self._used)

    def _one_by_one(self, records: Iterator[dict[str, Any]]) -> Iterator[Rows]:
        while True:
            with self._failures():
                batch = list(islice(records, _BATCH))
            if not batch:
                return
            rows = self._quick(batch)
            yield self._careful(batch) if rows is None else rows
            self.lines += len(batch)

    def _quick(self, batch: list[dict[str, Any]]) -> Rows | None:
        """Read records by columns, where all of them fit."""
        columns = self._used
        if columns.scope is not None or columns.state is not None:
            return None
        path = self._names[columns.path]
        if any("\0" in value if isinstance(value, str) else True for value in map(itemgetter(path), batch)):
            return None
        try:
            return rows_of([tuple(record.values()) for record in batch], columns, self._asked.root, self._asked.source)
        except InventoryError:
            return None

    def _careful(self, batch: list[dict[str, Any]]) -> Rows:
        """Read one record after the other, with all columns that the quick ways give."""
        asked, names, used = self._asked, self._names, self._used
        entries: list[Entry] = []
        others = (used.block, used.dataset, used.group, used.protected)
        texts: list[list[bytes]] = []
        for number, record in enumerate(batch, self.lines + 1):

            def value(at: int | None, record: dict[str, Any] = record) -> Any:
                return None if at is None else record.get(names[at])

            try:
                found = [text_of(value(at)) for at in others]
                entry = read_record(value, used, asked.root, asked.lfn_to_path)
            except HalfRead as half:
                asked.misfits.take(number, str(half), repr(record).encode("utf-8", "replace"), known=True)
                entry = half.entry
            except ValueError as error:
                asked.misfits.take(number, str(error), repr(record).encode("utf-8", "replace"))
                continue
            entries.append(entry)
            texts.append(found)
        columns = [None if at is None else [found[place] for found in texts] for place, at in enumerate(others)]
        blocks, datasets, groups, protected = columns
        rows = rows_of_entries(entries, self.holds)
        return replace(rows, blocks=blocks, datasets=datasets, groups=groups, protected=protected)


class _Blocks(io.RawIOBase):
    """Blocks as a file that is read from its beginning to its end."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._left = memoryview(b"")
        self._position = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        """Say how many bytes were read."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as there is something; 0 at the end."""
        while not self._left:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._left = memoryview(block)
        part = self._left[: len(buffer)]
        buffer[: len(part)] = part
        self._left = self._left[len(part) :]
        self._position += len(part)
        return len(part)
