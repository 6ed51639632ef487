"""An inventory that is a table, or a view, of an SQLite database. It is opened for reading only."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine import paths
from storage.inventory.detect import PATH_COLUMNS, Columns, find_columns
from storage.inventory.entries import Rows
from storage.inventory.errors import InventoryMalformed, malformed_row, no_rows_of, unreadable
from storage.inventory.foreign.entry import Entry, rows_of_entries
from storage.inventory.foreign.lfn import LfnToPath, identity_path
from storage.inventory.foreign.replica import columns_held, read_record
from storage.inventory.owner import Owner
from storage.inventory.values import rows_of, text_of
from storage.shown import one_line

MAGIC = b"SQLite format 3\0"
DEFAULT_TABLE = "files"

_BATCH = 20_000
_BUSY_SECONDS = 30
_STEPS = 1_000_000
"""How many steps of SQLite's machine pass between two questions whether to go on: some tens of milliseconds."""
_NAMED = 10
_TEXTS = ("block", "dataset", "group", "protected")
"""Columns of texts that say nothing of the file itself."""

_READ_VERSION = 19
"""Where in the file the journal's mode stands."""
_NOT_OPENED = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
_WRITE_AHEAD = (
    "; it is in write-ahead mode, in which readers need to write into its directory: let them, or have its owner say "
    "PRAGMA journal_mode = DELETE"
)


def is_database(path: str) -> bool:
    """Tell an SQLite database by its first bytes; a file that cannot be read is none."""
    if not os.path.isfile(path):
        # From a pipe they could not be read again.
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


class TableReader:
    """Reads the rows of one table; ``site`` chooses those of one site where there is a column of that name."""

    def __init__(
        self,
        path: str,
        source: str,
        table: str,
        owner: Owner,
        root: bytes | None,
        lfn_to_path: LfnToPath = identity_path,
    ) -> None:
        self._path = path
        self._file = source
        self._table = table
        self._owner = owner
        self._root = root
        self._lfn_to_path = lfn_to_path
        self.rows_read = 0
        self.columns: Columns | None = None

    def read(self, heed: Callable[[], None]) -> Generator[Rows, None, None]:
        """Give the rows in batches, as they come; ``columns`` is set from the first one on.

        Raises:
            InventoryUnreadable: the database cannot be read.
            InventoryMalformed: there is no such table or column, or a value is not what its column holds.
        """
        stopped: list[BaseException] = []

        def look() -> int:
            # SQLite would lose an exception.
            try:
                heed()
            except BaseException as error:
                stopped.append(error)
            return len(stopped)

        with self._translated(stopped), closing(self._connect()) as connection:
            connection.set_progress_handler(look, _STEPS)
            yield from self._rows(connection, heed)

    def _connect(self) -> sqlite3.Connection:
        address = Path(self._path).absolute().as_uri()
        connection = sqlite3.connect(f"{address}?mode=ro", _BUSY_SECONDS, uri=True, check_same_thread=False)
        # Names stay what they are, whatever their encoding.
        connection.text_factory = bytes
        return connection

    def _rows(self, connection: sqlite3.Connection, heed: Callable[[], None]) -> Iterator[Rows]:
        table = self._find_table(connection)
        names = [row[1] for row in connection.execute(f"PRAGMA table_xinfo({_quoted(table)})")]
        self.columns = columns = self._find_columns(table, names)
        source = f"{self._file}, table {paths.escape(table)},"
        where, values = "", tuple[str, ...]()
        rses = columns_held(columns, False).rses
        site = self._owner.named(rses)
        if site and columns.site is not None:
            where, values = f" WHERE {_quoted(names[columns.site])} = ?", (paths.decode(site),)
        selected = ", ".join(map(_quoted, names))
        cursor = connection.execute(f"SELECT {selected} FROM {_quoted(table)}{where}", values)
        while records := cursor.fetchmany(_BATCH):
            yield self._rows_of(records, columns, source)
            self.rows_read += len(records)
            heed()
        if where and not self.rows_read:
            self._refuse_other_sites(connection, table, names[columns.site or 0], rses)

    def _rows_of(self, records: Sequence[Sequence[Any]], columns: Columns, source: str) -> Rows:
        first = self.rows_read + 1
        if columns.scope is None and columns.state is None:
            return rows_of(records, columns, self._root, source, first)
        entries: list[Entry] = []
        texts: list[list[bytes]] = []
        for row, record in enumerate(records, first):

            def value(at: int | None, record: Sequence[Any] = record) -> Any:
                return None if at is None else record[at]

            try:
                entries.append(read_record(value, columns, self._root, self._lfn_to_path))
                texts.append([text_of(value(getattr(columns, name))) for name in _TEXTS])
            except ValueError as error:
                raise malformed_row(source, row, str(error), value(columns.path)) from error
        rows = rows_of_entries(entries, columns_held(columns, columns.checksum is not None))
        there = [
            None if getattr(columns, name) is None else list(column)
            for name, column in zip(_TEXTS, zip(*texts, strict=True), strict=True)
        ]
        blocks, datasets, groups, protected = there
        return replace(rows, blocks=blocks, datasets=datasets, groups=groups, protected=protected)

    def _find_table(self, connection: sqlite3.Connection) -> bytes:
        query = (
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
        )
        tables = sorted(name for (name,) in connection.execute(query))
        wanted = paths.encode(self._table)
        for table in tables:
            if table.lower() == wanted.lower():
                return bytes(table)
        there = ", ".join(map(paths.escape, tables)) or "none"
        raise InventoryMalformed(
            f"inventory {self._file}: no table {paths.escape(wanted)}; it has: {there}; "
            "InventoryTable names the one to read"
        )

    def _find_columns(self, table: bytes, names: list[bytes]) -> Columns:
        columns = find_columns(names, replicas=True)
        if columns is None:
            known = ", ".join(map(paths.decode, PATH_COLUMNS))
            raise InventoryMalformed(
                f"inventory {self._file}: table {paths.escape(table)} has no column of paths ({known}); "
                f"it has: {', '.join(map(paths.escape, names))}"
            )
        return columns

    def _refuse_other_sites(self, connection: sqlite3.Connection, table: bytes, column: bytes, rses: bool) -> None:
        query = f"SELECT DISTINCT {_quoted(column)} FROM {_quoted(table)} LIMIT {_NAMED}"
        sites = [
            str(site) if not isinstance(site, bytes) else paths.escape(site) for (site,) in connection.execute(query)
        ]
        if sites:
            raise no_rows_of(self._file, self._owner.named(rses), sites, rses)

    @contextmanager
    def _translated(self, stopped: list[BaseException]) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, sqlite3.Warning) as error:
            if stopped:
                raise stopped[0] from None
            hint = _WRITE_AHEAD if _code(error) in _NOT_OPENED and _writes_ahead(self._path) else ""
            raise unreadable(self._file, f"the SQLite database cannot be read: {one_line(error)}{hint}") from error
        except UnicodeError as error:
            # So it comes from names, or messages about them, in a damaged schema.
            raise unreadable(self._file, "the SQLite database cannot be read: a name in it is not UTF-8") from error


def _code(error: Exception) -> int:
    """Give the low byte of the error code; the rest refines it."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _writes_ahead(path: str) -> bool:
    """Tell a database in write-ahead mode: even its readers write, beside it."""
    with open(path, "rb") as file:
        return file.read(_READ_VERSION + 1)[_READ_VERSION:] == b"\2"


def _quoted(name: bytes) -> str:
    return '"' + paths.decode(name).replace('"', '""') + '"'
