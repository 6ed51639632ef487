"""What stays in an unmerged area, and why, as an SQLite file that users can search.

The file is built under another name and appears whole or not at all; ``docs/formats.md`` describes its tables.

    KeptError    a file of this kind cannot be read
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, FileColumns
from engine.states import Reason
from engine.unmerged import JudgedFiles, Kept
from storage.atomic import AtomicFile, ReportError, claim, naming, sync_directory

APPLICATION_ID = 0x64634B31
VERSION = 1

_SCHEMA = (
    "CREATE TABLE about (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
    "CREATE TABLE reasons (id INTEGER PRIMARY KEY, words TEXT NOT NULL)",
    "CREATE TABLE directories (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE)",
    """CREATE TABLE files (
        directory INTEGER NOT NULL REFERENCES directories(id),
        name TEXT NOT NULL,
        size INTEGER,
        mtime INTEGER,
        reason INTEGER NOT NULL REFERENCES reasons(id),
        PRIMARY KEY (directory, name)) WITHOUT ROWID""",
    "CREATE TABLE unlisted (path TEXT PRIMARY KEY, reason TEXT NOT NULL, detail TEXT NOT NULL) WITHOUT ROWID",
    """CREATE VIEW kept AS
        SELECT d.path || '/' || f.name AS path, f.size AS size, f.mtime AS mtime, r.words AS reason
        FROM files f JOIN directories d ON d.id = f.directory JOIN reasons r ON r.id = f.reason
        UNION ALL
        SELECT path, NULL, NULL, 'unlisted: ' || reason FROM unlisted""",
)


class KeptError(Exception):
    """The file is not there, is no such file, or cannot be read; the message names it."""


@dataclass(frozen=True, slots=True)
class KeptRow:
    """One thing that stays: a file, or a directory without a complete listing. None: not known."""

    path: bytes
    size: int | None
    mtime: int | None
    reason: str


class KeptFiles:
    """Writes such a file. Used as a context: without `publish`, leaving it leaves nothing behind.

    Raises:
        ReportError: the file cannot be written.
    """

    def __init__(self, path: Path, about: Mapping[str, str | float]) -> None:
        self.path = path
        AtomicFile.clear_up(path)
        self._temporary, self._claimed = claim(path)
        self._directories = 0
        with self._translated():
            self._connection: sqlite3.Connection | None = sqlite3.connect(self._temporary, isolation_level=None)
        try:
            with self._translated():
                self._create(self._connection, about)
        except BaseException:
            self.discard()
            raise

    @staticmethod
    def _create(connection: sqlite3.Connection, about: Mapping[str, str | float]) -> None:
        # Nobody sees the file before it is whole, so there is nothing to go back to.
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("BEGIN")
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.executemany("INSERT INTO about VALUES (?, ?)", about.items())
        connection.executemany("INSERT INTO reasons VALUES (?, ?)", [(int(kept), kept.label) for kept in Kept])

    def add(self, judged: JudgedFiles) -> None:
        """Enter the files of one directory that stay."""
        connection = self._open()
        with self._translated():
            number = 0
            for reason, files in judged.kept():
                if not number:
                    number = self._directories = self._directories + 1
                    connection.execute("INSERT INTO directories VALUES (?, ?)", (number, _stored(judged.directory)))
                connection.executemany("INSERT INTO files VALUES (?, ?, ?, ?, ?)", _rows(number, files, reason))

    def add_unlisted(self, rows: Iterable[tuple[bytes, Reason, str]]) -> None:
        """Enter directories that have no complete listing, with reason and detail."""
        values = ((_stored(path), reason.label, _text(detail)) for path, reason, detail in rows)
        with self._translated():
            self._open().executemany("INSERT INTO unlisted VALUES (?, ?, ?)", values)

    def prepare(self) -> None:
        """Bring everything to the disk, without giving it its name."""
        connection = self._open()
        with self._translated():
            connection.execute("COMMIT")
            connection.close()
            self._connection = None
        with naming(self.path), open(self._temporary, "rb+") as file:
            os.fsync(file.fileno())

    def publish(self) -> None:
        """Take the place of the file with the name; after `prepare`."""
        assert self._connection is None, "published before it was prepared"
        with naming(self.path):
            os.replace(self._temporary, self.path)
        self._claimed.close()
        sync_directory(self.path.parent)

    def discard(self) -> None:
        """Remove what was written, unless it was published."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
        self._temporary.unlink(missing_ok=True)
        self._claimed.close()

    def __enter__(self) -> KeptFiles:
        return self

    def __exit__(self, *_error: object) -> None:
        self.discard()

    def _open(self) -> sqlite3.Connection:
        assert self._connection is not None, "written after it was prepared"
        return self._connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise ReportError(f"{self.path}: cannot be written: {error}") from error


def find_kept(file: Path, below: bytes = b"/") -> Iterator[KeptRow]:
    """Give what stays at or below a path: files in tree order of their directories, then unlisted directories.

    Raises:
        KeptError: the file cannot be read.
    """
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            _check(file, connection)
            connection.execute("BEGIN")
            yield from _find(connection, below)
    except sqlite3.Error as error:
        raise KeptError(f"{file}: not a database of kept files, or damaged ({error})") from error


def _check(file: Path, connection: sqlite3.Connection) -> None:
    (mark,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if mark != APPLICATION_ID:
        raise KeptError(f"{file}: not a database of kept files")
    if version != VERSION:
        raise KeptError(f"{file}: version {version} of a database of kept files; this program reads {VERSION}")


def _find(connection: sqlite3.Connection, below: bytes) -> Iterator[KeptRow]:
    directories = connection.execute("SELECT id, CAST(path AS BLOB) FROM directories ORDER BY id").fetchall()
    query = (
        "SELECT CAST(name AS BLOB), size, mtime, words FROM files JOIN reasons ON reasons.id = reason "
        "WHERE directory = ?"
    )
    for number, directory in directories:
        whole = paths.is_under(directory, below)
        if whole or directory == paths.parent_of(below):
            for name, size, mtime, reason in sorted(connection.execute(query, (number,))):
                path = paths.join(directory, name)
                if whole or path == below:
                    yield KeptRow(path, size, mtime, reason)
    for path, reason in connection.execute("SELECT CAST(path AS BLOB), reason FROM unlisted").fetchall():
        if paths.is_under(path, below):
            yield KeptRow(path, None, None, f"unlisted: {reason}")


def _rows(
    number: int, files: FileColumns, reason: Kept
) -> Iterator[tuple[int, str | bytes, int | None, int | None, int]]:
    for name, size, mtime in files.rows():
        yield (
            number,
            _stored(name),
            None if size == UNKNOWN_SIZE else size,
            None if mtime == UNKNOWN_MTIME else mtime,
            int(reason),
        )


def _stored(name: bytes) -> str | bytes:
    """Give a name as it is stored: TEXT when valid UTF-8, else BLOB; ``CAST(… AS BLOB)`` reads both back."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name


def _text(words: str) -> str:
    return words.encode("utf-8", "backslashreplace").decode()
