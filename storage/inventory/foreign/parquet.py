"""Tables in Parquet files, with the columns of CSV; they need the package ``pyarrow``.

Such a file says at its end where its columns are, so that it is read here and there: one that is packed once more is
unpacked to disk first. One that was cut off has no end, and is refused.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, Int64s
from storage.inventory.entries import Rows, split_lines
from storage.inventory.errors import InventoryError, malformed, unreadable
from storage.inventory.foreign.entry import Entry, HalfRead, rows_of_entries
from storage.inventory.foreign.replica import by_states, columns_held, read_record
from storage.inventory.foreign.streams import Asked
from storage.inventory.formats import Format
from storage.inventory.table_columns import PATH_COLUMNS, Columns, find_columns
from storage.shown import one_line

if TYPE_CHECKING:
    import pyarrow

_BATCH = 10_000
_BUFFER = 1 << 20
"""Read so much of a column at a time, not all that a group of rows has of it."""


class ParquetStream:
    """Reads a table; ``lines`` counts its rows."""

    format = Format.PARQUET

    def __init__(self, blocks: Iterable[bytes], asked: Asked, file: str | None) -> None:
        """Read ``file`` where it is not packed, or else the blocks."""
        self.lines = 0
        self.misfits = asked.misfits
        self._asked = asked
        self._opened = _open(blocks, asked.source) if file is None else open(file, "rb")  # noqa: SIM115
        try:
            self._table = _table(self._opened, asked.source)
            self._names = [field.name.encode("utf-8", "surrogateescape") for field in self._table.schema_arrow]
            self._columns = self._find_columns()
        except BaseException:
            self._opened.close()
            raise
        columns = self._columns
        self.has_checksums = columns.checksum is not None
        checksums = asked.checksums and self.has_checksums
        self.holds = columns_held(columns, checksums)

    def _find_columns(self) -> Columns:
        try:
            columns = find_columns(self._names, replicas=True)
        except ValueError as error:
            raise malformed(self._asked.source, 1, str(error), b", ".join(self._names)) from error
        if columns is None:
            known = ", ".join(map(paths.decode, PATH_COLUMNS))
            raise malformed(self._asked.source, 1, f"a column of paths ({known})", b", ".join(self._names))
        return columns

    def rows(self) -> Iterator[Rows]:
        """Give what it has."""
        import pyarrow as pa

        used = sorted({at for at in self._used().values() if at is not None})
        try:
            with self._opened:
                names = [self._table.schema_arrow.names[at] for at in used]
                for batch in self._table.iter_batches(_BATCH, columns=names, use_threads=False):
                    columns = dict(zip(used, batch.columns, strict=True))
                    rows = self._quick(columns)
                    yield self._careful(columns, batch.num_rows) if rows is None else rows
                    self.lines += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self._asked.source, f"the Parquet file cannot be read: {one_line(error)}") from error

    def _used(self) -> dict[str, int | None]:
        columns = self._columns
        used = {name.name: getattr(columns, name.name) for name in fields(columns)}
        return used if self._asked.checksums else {**used, "checksum": None}

    def _quick(self, columns: dict[int, pyarrow.Array]) -> Rows | None:
        used = self._used()
        found = {name: columns[at] for name, at in used.items() if at is not None}
        if "scope" in found:
            return None
        located = _located(found["path"], self._asked.root)
        if located is None:
            return None
        sizes = _integers(found["size"], UNKNOWN_SIZE) if "size" in found else None
        mtimes = _seconds(found["mtime"]) if "mtime" in found else None
        if ("size" in found and sizes is None) or ("mtime" in found and mtimes is None):
            return None
        if sizes is not None and bool((sizes < UNKNOWN_SIZE).any()):
            return None
        names = ("block", "dataset", "group", "site", "protected", "checksum", "state")
        try:
            *texts, states = (_texts(found[name]) if name in found else None for name in names)
        except ValueError:
            return None
        if states is not None:
            judged = by_states(states, sizes, mtimes)
            if judged is None:
                return None
            sizes, mtimes = judged
        return Rows(*located, sizes, mtimes, *texts)

    def _careful(self, columns: dict[int, pyarrow.Array], count: int) -> Rows:
        """Read one row after the other, with the readers of the rows of databases."""
        from storage.inventory.values import text_of

        used, misfits, asked = self._used(), self._asked.misfits, self._asked
        held = self._columns if asked.checksums else replace(self._columns, checksum=None)
        values = {at: column.to_pylist() for at, column in columns.items()}

        def of(name: str, row: int) -> Any:
            at = used[name]
            return None if at is None else values[at][row]

        entries: list[Entry] = []
        others = ("block", "dataset", "group", "protected")
        texts: list[list[bytes]] = []
        for row in range(count):
            shown = repr(of("path", row)).encode("utf-8", "replace")

            def value(at: int | None, row: int = row) -> Any:
                return None if at is None else values[at][row]

            try:
                found = [text_of(of(name, row)) for name in others]
                entry = read_record(value, held, asked.root, asked.lfn_to_path)
            except HalfRead as half:
                misfits.take(self.lines + row + 1, str(half), shown, known=True)
                entry = half.entry
            except ValueError as error:
                misfits.take(self.lines + row + 1, str(error), shown)
                continue
            entries.append(entry)
            texts.append(found)
        columns_of = [None if used[name] is None else [found[at] for found in texts] for at, name in enumerate(others)]
        blocks, datasets, groups, protected = columns_of
        rows = rows_of_entries(entries, self.holds)
        return replace(rows, blocks=blocks, datasets=datasets, groups=groups, protected=protected)


def _open(blocks: Iterable[bytes], source: str) -> IO[bytes]:
    """Unpack to a file without a name."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever asked closes it
    try:
        file.writelines(blocks)
        file.seek(0)
    except OSError as error:
        file.close()
        raise unreadable(source, f"there is no room to unpack it in: {error.strerror}") from error
    except BaseException:
        file.close()
        raise
    return file


def _table(file: IO[bytes], source: str) -> Any:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise missing_package(source, "a Parquet file", "pyarrow") from error
    try:
        return pq.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        what = f"the Parquet file is damaged, or cut off: {one_line(error)}"
        raise unreadable(source, what) from error


def missing_package(source: str, what: str, package: str) -> InventoryError:
    """Say what to install."""
    return unreadable(
        source, f"it is {what}, for which there is no package: pip install 'dynamo-consistency[dumps]' brings {package}"
    )


def _located(column: pyarrow.Array, root: bytes | None) -> tuple[list[bytes], list[bytes]] | None:
    texts = _joined(column)
    if texts is None:
        return None
    if not texts.startswith(b"/") and root is not None:
        before = root.rstrip(b"/") + b"/"
        if b"\n/" in texts:
            return None
        texts = before + texts.replace(b"\n", b"\n" + before)
    columns = split_lines(texts + b"\n")
    return None if columns is None else (columns[0], columns[1])


def _joined(column: pyarrow.Array) -> bytes | None:
    """Give texts separated by newlines, without making an object of each; None when one is null, or has a newline."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.null_count or not len(column):
        return None
    kind = pa.large_binary()
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type) or _is_binary(column.type)):
        return None
    together = pa.LargeListArray.from_arrays([0, len(column)], column.cast(kind))
    joined: bytes = pc.binary_join(together, pa.scalar(b"\n", kind))[0].as_py()
    if b"\0" in joined or joined.count(b"\n") != len(column) - 1:
        return None
    return joined


def _is_binary(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _texts(column: pyarrow.Array) -> list[bytes]:
    joined = _joined(column)
    if joined is not None:
        return joined.split(b"\n")
    from storage.inventory.values import text_of

    return [text_of(value) for value in column.to_pylist()]


def _integers(column: pyarrow.Array, unknown: int) -> Int64s | None:
    import pyarrow as pa

    if not pa.types.is_integer(column.type):
        return None
    try:
        whole = column.cast(pa.int64())
    except pa.ArrowException:
        return None
    values: Int64s = whole.fill_null(unknown).to_numpy(zero_copy_only=False)
    return values


def _seconds(column: pyarrow.Array) -> Int64s | None:
    """Read seconds, or moments, which are in UTC where they have no zone."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
        counts: Int64s = column.cast(pa.int64()).fill_null(UNKNOWN_MTIME).to_numpy(zero_copy_only=False)
        return np.where(counts == UNKNOWN_MTIME, UNKNOWN_MTIME, counts // per_second)
    return _integers(column, UNKNOWN_MTIME)
