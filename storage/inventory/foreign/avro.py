"""Records in Avro files, with the names of the columns of CSV; they need the package ``fastavro``.

Read from the beginning to the end, one record after the other. A file that was cut off within a block is refused; of
one that was cut between two blocks nobody can tell, as with lines.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from operator import itemgetter
from typing import Any

from engine import paths
from storage.inventory.entries import Rows
from storage.inventory.errors import InventoryError, cut_off, malformed, unreadable
from storage.inventory.foreign.entry import Entry, HalfRead, rows_of_entries
from storage.inventory.foreign.parquet import missing_package
from storage.inventory.foreign.replica import columns_held, read_record
from storage.inventory.foreign.streams import Asked
from storage.inventory.formats import Format
from storage.inventory.table_columns import PATH_COLUMNS, Columns, find_columns
from storage.inventory.values import rows_of
from storage.shown import one_line

_BATCH = 10_000
_BUFFER = 1 << 20


class AvroStream:
    """Reads records; ``lines`` counts them."""

    format = Format.AVRO

    def __init__(self, blocks: Iterable[bytes], asked: Asked) -> None:
        self.lines = 0
        self.misfits = asked.misfits
        self._asked = asked
        self._file = _Blocks(blocks)
        self._records = self._open()
        self._names, columns = self._find_columns()
        self._columns = columns
        self.has_checksums = columns.checksum is not None
        checksums = asked.checksums and self.has_checksums
        self.holds = columns_held(columns, checksums)

    def _open(self) -> Any:
        try:
            import fastavro
        except ImportError as error:
            raise missing_package(self._asked.source, "an Avro file", "fastavro") from error
        try:
            return fastavro.reader(io.BufferedReader(self._file, _BUFFER))
        except InventoryError:
            raise
        except Exception as error:
            raise unreadable(self._asked.source, f"the Avro file cannot be read: {one_line(error)}") from error

    def _find_columns(self) -> tuple[list[str], Columns]:
        schema = self._records.writer_schema
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
        while True:
            try:
                batch = list(islice(self._records, _BATCH))
            except InventoryError:
                raise
            except EOFError as error:
                raise cut_off(self._asked.source, self.lines + 1, "the end of its block") from error
            except Exception as error:
                # What fastavro raises depends on what it stumbles over.
                what = f"the Avro file is damaged behind record {self.lines:,}, or cut off: {one_line(error)}"
                raise unreadable(self._asked.source, what) from error
            if not batch:
                return
            rows = self._quick(batch)
            yield rows_of_entries(list(self._entries(batch)), self.holds) if rows is None else rows
            self.lines += len(batch)

    def _quick(self, batch: list[dict[str, Any]]) -> Rows | None:
        """Read records by columns, where all of them fit."""
        columns = self._columns if self.holds.checksums else replace(self._columns, checksum=None)
        if columns.scope is not None or columns.state is not None:
            return None
        path = self._names[columns.path]
        if any("\0" in value if isinstance(value, str) else True for value in map(itemgetter(path), batch)):
            return None
        try:
            return rows_of([tuple(record.values()) for record in batch], columns, self._asked.root, self._asked.source)
        except InventoryError:
            return None

    def _entries(self, batch: list[dict[str, Any]]) -> Iterator[Entry]:
        misfits, names, columns = self._asked.misfits, self._names, self._columns
        columns = columns if self.holds.checksums else replace(columns, checksum=None)
        for number, record in enumerate(batch, self.lines + 1):

            def value(at: int | None, record: dict[str, Any] = record) -> Any:
                return None if at is None else record.get(names[at])

            try:
                yield read_record(value, columns, self._asked.root, self._asked.lfn_to_path)
            except HalfRead as half:
                misfits.take(number, str(half), repr(record).encode("utf-8", "replace"), known=True)
                yield half.entry
            except ValueError as error:
                misfits.take(number, str(error), repr(record).encode("utf-8", "replace"))


class _Blocks(io.RawIOBase):
    """Blocks as a file that is read from its beginning to its end."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

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
        return len(part)
