"""The tables of Rucio, read from its database: ``rses``, ``rse_attr_map``, ``replicas``, ``quarantined_replicas``.

Nothing is ever written there: what is asked for goes through the server, which checks it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from engine.columns import UNSETTLED_MTIME
from storage.backends.database import Database
from storage.backends.protocols import BackendError
from storage.backends.rucio.replicas import AVAILABLE, DEFAULT_VO, RSE, Replicas
from storage.shown import printable, quoted

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Select, TableClause

    from storage.config.site import RucioSettings

KEY = "Rucio.Database"

TRIED = "41"
"""The version of Rucio whose tables were tried."""

_ASKED_AT_ONCE = 500
_ALGORITHM = "lfn2pfn_algorithm"
_COLUMNS = {
    "rses": ("id", "rse", "vo", "deterministic", "deleted"),
    "rse_attr_map": ("rse_id", "key", "value"),
    "replicas": ("rse_id", "scope", "name", "bytes", "path", "state", "created_at", "updated_at"),
    "quarantined_replicas": ("rse_id", "path"),
}


class RucioDatabase:
    """The replicas of a Rucio, from its database."""

    def __init__(self, url: str, settings: RucioSettings) -> None:
        self._database = Database(url, KEY)
        self._schema = settings.schema
        self._vo = settings.vo

    @property
    def label(self) -> str:
        """The URL without password and parameters."""
        return self._database.label

    def rse(self, name: str) -> RSE:
        """Look up a storage element.

        Raises:
            BackendError: there is none, or it was deleted, or these are not the tables of Rucio.
        """
        from sqlalchemy import select

        self._check_tables()
        rses, attributes = self._table("rses"), self._table("rse_attr_map")
        of_vo = select(rses.c.rse, rses.c.id, rses.c.deterministic, rses.c.deleted).where(rses.c.vo == self._vo)
        known = {row[0]: row for row in self._rows("RSEs", of_vo) if not row[3]}
        if name not in known:
            nearest = get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"; similar: {', '.join(map(printable, nearest))}" if nearest else ""
            raise BackendError(
                f"{KEY}: {self.label}: no RSE {quoted(name)} among {len(known)} of the VO {quoted(self._vo)}{hint}; "
                "Rucio.RSE names it where the site is called differently"
            )
        _, identity, deterministic, _ = known[name]
        query = select(attributes.c.value).where(attributes.c.rse_id == identity, attributes.c.key == _ALGORITHM)
        algorithms = [str(row[0]) for row in self._rows("RSE attributes", query)]
        algorithm = algorithms[0] if algorithms and algorithms[0] != "default" else ""
        return RSE(name, identity, bool(deterministic), algorithm)

    def replicas(self, rse: RSE, hashed: bool = False) -> Iterator[Replicas]:
        """Give all replicas at a storage element, those of a directory together where that can be had.

        Raises:
            BackendError: the database cannot be asked.
        """
        for batch in self._database.batches(f"{KEY}, replicas of {printable(rse.name)}", self.query(rse, hashed), {}):
            scopes, names, sizes, mtimes, *paths = zip(*batch, strict=True)
            yield Replicas(self._scopes(scopes), names, sizes, mtimes, paths[0] if paths else None)

    def checksums(self, rse: RSE, dids: Sequence[tuple[str, str]] | None) -> Iterator[Replicas]:
        """Give replicas with their checksums: those that have one of these scopes and names, or all.

        Raises:
            BackendError: the database cannot be asked.
        """
        from sqlalchemy import column

        query = self.query(rse).add_columns(column("adler32"), column("md5"))
        queries = [query]
        if dids is not None:
            ending = "" if self._vo == DEFAULT_VO else f"@{self._vo}"
            queries = [
                query.where(column("scope") == scope + ending, column("name").in_(names))
                for scope, names in _grouped(dids)
            ]
        for each in queries:
            for batch in self._database.batches(f"{KEY}, checksums of replicas at {printable(rse.name)}", each, {}):
                scopes, names, sizes, mtimes, *paths, adler32s, md5s = zip(*batch, strict=True)
                known = paths[0] if paths else None
                yield Replicas(self._scopes(scopes), names, sizes, mtimes, known, adler32s, md5s)

    def query(self, rse: RSE, hashed: bool = False) -> Select[Any]:
        """Give what the database is asked for the replicas at a storage element.

        With ``hashed`` paths, PostgreSQL is asked for them in the order of their directories, which are put together
        in less time then; in any other order nothing is wrong.
        """
        from sqlalchemy import BigInteger, String, case, cast, func, literal, select

        table = self._table("replicas")
        changed = self._epoch(func.coalesce(table.c.updated_at, table.c.created_at))
        # On PostgreSQL a state is of a type of its own.
        settled = cast(table.c.state, String(1)) == AVAILABLE
        mtime = case((settled, changed), else_=literal(UNSETTLED_MTIME, BigInteger))
        # Of what is being written no size is wrong.
        size = case((settled, table.c.bytes), else_=None)
        columns: list[ColumnElement[Any]] = [table.c.scope, table.c.name, size, mtime]
        columns += [] if rse.deterministic else [table.c.path]
        query = select(*columns).where(table.c.rse_id == rse.id)
        if hashed and self._database.kind == "postgresql":
            digits = func.left(func.md5(table.c.scope + ":" + table.c.name), 4)
            return query.order_by(table.c.scope, digits)
        return query

    def quarantined(self, rse: RSE, paths: Sequence[str]) -> set[str]:
        """Give those of some paths that are in the quarantine already.

        Raises:
            BackendError: the database cannot be asked.
        """
        return self._paths_in("quarantined_replicas", "the quarantine", rse, paths)

    def registered(self, rse: RSE, paths: Sequence[str]) -> set[str]:
        """Give those of some paths at which Rucio has written down a replica, with a slash before them or without.

        Raises:
            BackendError: the database cannot be asked.
        """
        known = self._paths_in("replicas", "replicas by their paths", rse, [*paths, *(f"/{path}" for path in paths)])
        return {path.lstrip("/") for path in known}

    def _paths_in(self, name: str, what: str, rse: RSE, paths: Sequence[str]) -> set[str]:
        from sqlalchemy import select

        table = self._table(name)
        found: set[str] = set()
        for at in range(0, len(paths), _ASKED_AT_ONCE):
            some = paths[at : at + _ASKED_AT_ONCE]
            query = select(table.c.path).where(table.c.rse_id == rse.id, table.c.path.in_(some))
            found.update(row[0] for row in self._rows(what, query))
        return found

    def _scopes(self, scopes: Sequence[str]) -> Sequence[str]:
        """Leave out the VO, which stands behind the scopes of all but the first one."""
        ending = f"@{self._vo}"
        return scopes if self._vo == DEFAULT_VO else [scope.removesuffix(ending) for scope in scopes]

    def _rows(self, what: str, query: Any) -> Iterator[Sequence[Any]]:
        for batch in self._database.batches(f"{KEY}, {what}", query, {}):
            yield from batch

    def _table(self, name: str) -> TableClause:
        from sqlalchemy import column, table

        return table(name, *(column(each) for each in _COLUMNS[name]), schema=self._schema)

    def _epoch(self, moment: ColumnElement[Any]) -> ColumnElement[Any]:
        """Give the seconds since the epoch of a moment, which has no zone and is in UTC."""
        from sqlalchemy import DATE, BigInteger, Numeric, cast, extract, func, literal_column, type_coerce

        match self._database.kind:
            case "sqlite":
                return cast(func.strftime("%s", moment), BigInteger)
            case "oracle":
                # There the difference of dates is a number of days.
                days = type_coerce(cast(moment, DATE) - literal_column("DATE '1970-01-01'", DATE), Numeric)
                return func.floor(days * 86400)
            case "mysql" | "mariadb":
                return func.timestampdiff(literal_column("SECOND"), literal_column("'1970-01-01'"), moment)
            case _:
                return cast(func.floor(extract("epoch", moment)), BigInteger)

    def _check_tables(self) -> None:
        """See whether these are the tables of a Rucio that is known here.

        Raises:
            BackendError: they are not.
        """
        with self._database.connect(KEY) as connection:
            for name, columns in _COLUMNS.items():
                lacking = set(columns) - self._columns_of(connection, name)
                if lacking:
                    what = "is not there" if lacking == set(columns) else f"has no column {', '.join(sorted(lacking))}"
                    where = f" in the schema {quoted(self._schema)}" if self._schema else ""
                    raise BackendError(
                        f"{KEY}: {self.label}: the table {name} {what}{where}; expected the tables of Rucio, as of "
                        f"version {TRIED}, where Rucio.Schema says"
                    )

    def _columns_of(self, connection: Connection, name: str) -> set[str]:
        from sqlalchemy import inspect
        from sqlalchemy.exc import NoSuchTableError

        try:
            return {column["name"].lower() for column in inspect(connection).get_columns(name, schema=self._schema)}
        except NoSuchTableError:
            return set()


def _grouped(dids: Sequence[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """Give scopes with some of their names, few enough for one question."""
    by_scope: dict[str, list[str]] = {}
    for scope, name in dids:
        by_scope.setdefault(scope, []).append(name)
    for scope, names in by_scope.items():
        for at in range(0, len(names), _ASKED_AT_ONCE):
            yield scope, names[at : at + _ASKED_AT_ONCE]
