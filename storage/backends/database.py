"""Databases behind an SQLAlchemy URL: streamed queries, and errors of one line without the password.

Everything is loaded and opened with the first question.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import paths
from storage.backends.protocols import BackendError
from storage.shown import one_line, printable

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine
    from sqlalchemy.sql import Executable

BATCH = 20_000
"""Rows that are fetched at a time."""

LIST = "lfns"
"""The parameter of a query that stands for a list: ``IN :lfns``."""

_CAST = re.compile(r"((?<![:\w\\]):\w+)::")

_PATIENCE = 30
"""Seconds to wait for a connection, or for another process that locks an SQLite database."""

_KEEPALIVES = {"keepalives_idle": 60, "keepalives_interval": 15, "keepalives_count": 8}
"""How PostgreSQL's client notices within minutes, and not within hours, that a server is gone without a word. One that
takes its time answers these all the same."""

_LOST_STATES = ("08", "40", "53", "57")
"""Classes of states in SQL: no connection, rolled back for others, nothing left to serve it with, ended by somebody."""

_SOON = ("starting up", "shutting down", "too many")
_LOST_CODES = frozenset((1040, 1053, 2002, 2003, 2006, 2013))
_LOST_IN_ORACLE = frozenset(
    ("DPY-4011", "DPY-6000", "DPY-6005", "ORA-01033", "ORA-03113", "ORA-03114", "ORA-12514", "ORA-12528", "ORA-12541")
)
"""Codes of MySQL and of Oracle that say the same."""

_DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql", "mariadb": "pymysql", "oracle": "oracledb"}
"""What is used where the URL names no driver."""

_EXTRAS = {"psycopg": "postgresql", "pymysql": "mysql"}
"""The extra of this program that brings a driver."""


class ConnectionLost(BackendError):
    """A database cannot be reached now, or broke off; later it may answer."""


class Database:
    """A database to ask; every method raises `BackendError` when it cannot be reached or does not understand.

    It is opened for reading only, as far as it knows such a thing, unless it is ``writable``.
    """

    def __init__(self, url: str, key: str = "SQL.URL", writable: bool = False) -> None:
        self._given = url
        self._key = key
        self._writable = writable

    @property
    def label(self) -> str:
        """The URL without password and parameters."""
        return self._url.set(query={}).render_as_string(hide_password=True)

    @property
    def kind(self) -> str:
        """What kind of database it is, as SQLAlchemy calls it."""
        return self._url.get_backend_name()

    @contextmanager
    def connect(self, what: str) -> Iterator[Connection]:
        """Open a connection for one question and name it ``what`` in errors; nothing is committed."""
        with self.translated(what), self._engine.connect() as connection:
            if not self._writable and connection.dialect.name == "postgresql":
                connection = connection.execution_options(postgresql_readonly=True)
            elif not self._writable and connection.dialect.name in ("mysql", "mariadb"):
                connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            yield connection

    @contextmanager
    def translated(self, what: str) -> Iterator[None]:
        """Turn what goes wrong inside into one line."""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, UnicodeError) as error:
            inner = getattr(error, "orig", None) or error
            kind = ConnectionLost if _is_lost(error) else BackendError
            raise kind(f"{what}: {self.label}: {self._without_password(one_line(inner))}") from error

    def batches(
        self,
        what: str,
        query: Executable,
        values: Mapping[str, Any],
        names: Callable[[Sequence[str]], None] = lambda _: None,
    ) -> Iterator[Sequence[Sequence[Any]]]:
        """Give the rows of a query in batches, as they come from the server; ``names`` is told the columns first."""
        with self.connect(what) as connection:
            streamed = connection.execution_options(stream_results=True, yield_per=BATCH)
            with streamed.execute(query, dict(values)) as result:
                if not result.returns_rows:
                    raise BackendError(f"{what}: the query gives no rows")
                names(list(result.keys()))
                yield from result.partitions(BATCH)

    @cached_property
    def _url(self) -> URL:
        from sqlalchemy import make_url
        from sqlalchemy.exc import SQLAlchemyError

        try:
            url = make_url(self._given)
        except (SQLAlchemyError, ValueError) as error:
            # The text may hold a password, and so may what SQLAlchemy says of it.
            raise BackendError(
                f"{self._key}: not a database URL; expected one such as postgresql://user@host/database"
            ) from error
        if "+" not in url.drivername and url.drivername in _DRIVERS:
            url = url.set(drivername=f"{url.drivername}+{_DRIVERS[url.drivername]}")
        return url

    @cached_property
    def _engine(self) -> Engine:
        from sqlalchemy import NullPool, create_engine
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError

        url = self._url
        options: dict[str, Any] = {"poolclass": NullPool}
        try:
            if url.get_backend_name() == "sqlite":
                file = url.database or ""
                options["creator"] = lambda: _open_sqlite(file, self._writable)
                url = url.set(query={})
            elif url.get_driver_name() in _EXTRAS and "connect_timeout" not in url.query:
                options["connect_args"] = {"connect_timeout": _PATIENCE}
            if url.get_driver_name() == "psycopg" and "keepalives_idle" not in url.query:
                options["connect_args"] = {**options.get("connect_args", {}), **_KEEPALIVES}
            return create_engine(url, **options)
        except ImportError as error:
            raise BackendError(f"{self._key}: {_missing(url.get_driver_name(), error)}") from error
        except (NoSuchModuleError, ArgumentError) as error:
            raise BackendError(f"{self._key}: no database of the kind {printable(url.drivername)} is known") from error

    def _without_password(self, words: str) -> str:
        password = self._url.password
        return words.replace(str(password), "***") if password and len(str(password)) > 2 else words


def _is_lost(error: Exception) -> bool:
    """Tell whether it was the connection that failed, and not what was asked, or who asked."""
    inner = getattr(error, "orig", None)
    code = inner.args[0] if inner is not None and inner.args else None
    match type(inner).__module__.partition(".")[0]:
        case "psycopg":
            state = getattr(inner, "sqlstate", None)
            if state is not None:
                return str(state)[:2] in _LOST_STATES
            words = str(inner)
            # What the server itself says of whoever wants to come in has no state.
            return type(inner).__name__ == "OperationalError" and ("FATAL" not in words or any(map(words.count, _SOON)))
        case "pymysql":
            return code in _LOST_CODES
        case "oracledb":
            return getattr(code, "full_code", None) in _LOST_IN_ORACLE
    return bool(getattr(error, "connection_invalidated", False))


def _missing(driver: str, error: ImportError) -> str:
    extra = _EXTRAS.get(driver)
    if not isinstance(error, ModuleNotFoundError):
        return f"the driver {printable(driver)} cannot be loaded: {one_line(error)}"
    brings = f"the package that brings {printable(str(error.name))}"
    advice = f"install dynamo-consistency[{extra}]" if extra else f"install {brings}"
    return f"the driver {printable(driver)} is not installed; {advice}"


def _open_sqlite(database: str, writable: bool) -> sqlite3.Connection:
    """Open a file that is there; SQLite would make one with a mistyped name."""
    mode = "rw" if writable else "ro"
    address = f"{Path(database).absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(address, _PATIENCE, uri=True, check_same_thread=False)
    connection.text_factory = paths.decode
    return connection


def checked_query(what: str, query: str, known: Collection[str]) -> tuple[Executable, frozenset[str]]:
    """Give a query that was configured and the parameters that it has.

    Raises:
        BackendError: it has a parameter that is not known.
    """
    from sqlalchemy import bindparam, text

    # SQLAlchemy does not see a parameter directly before a cast of PostgreSQL.
    statement = text(_CAST.sub(r"\1 ::", query))
    asked = frozenset(statement.compile().params)
    # What is called like several things is a list, for IN.
    statement = statement.bindparams(*(bindparam(name, expanding=True) for name in asked if name == LIST))
    for name in sorted(asked - frozenset(known)):
        given = ", ".join(f":{each}" for each in known) or "none"
        raise BackendError(rf"{what}: unknown parameter :{name}; known: {given} (write \: for a colon that is none)")
    return statement, asked
