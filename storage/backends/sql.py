"""The backend ``sql``: any database, asked with the queries of the key ``SQL``.

A query that is not configured is not asked; its question is left to the default backend. Columns mean what they are
called, as in an inventory file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine import paths
from storage.backends.answers import is_tape, sort_by_source, sum_blocks
from storage.backends.database import Database, checked_query
from storage.backends.file_inventory import as_inventory_rows, checksum_rows
from storage.backends.heeded import heeded
from storage.backends.protocols import (
    BackendError,
    Backends,
    ChecksumInventory,
    ChecksumRow,
    InventoryIdentity,
    InventoryRow,
    Registry,
    SiteInfo,
    Transfers,
    TreeInventory,
)
from storage.backends.rows_into import rows_into
from storage.config.site import KnownSites, SiteConfig, SQLSettings
from storage.shown import printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from storage.backends.answers import BlockRow
    from storage.backends.protocols import RecordSink
    from storage.inventory import InventoryCounts
    from storage.inventory.detect import Columns
    from storage.inventory.entries import Rows

_ASKED_AT_ONCE = 500
_TRUE = ("1", "true", "t", "yes", "y")


def sql_backend(_config: KnownSites, site: SiteConfig, default: Backends) -> Backends:
    """Make the backend for the settings of a site; nothing is opened yet.

    Raises:
        BackendError: the key SQL is missing.
    """
    if site.sql is None:
        raise BackendError('the backend "sql" needs the key SQL, with URL and queries')
    asker = SQLAsker(site.sql)
    backends = replace(default)
    if site.sql.files is not None or site.inventory is None:
        inventory = SQLInventory(asker, site)
        backends = replace(backends, inventory=inventory, blocks=SQLBlocks(inventory, site))
    elif site.sql.protected_datasets is not None and isinstance(default.inventory, TreeInventory):
        backends = replace(backends, inventory=ProtectingInventory(default.inventory, asker))
    if site.sql.other_copies is not None:
        backends = replace(backends, registry=SQLRegistry(default.registry, asker))
    if site.sql.sites is not None or site.sql.ready_sites is not None:
        backends = replace(backends, sites=SQLSites(default.sites, asker))
    if site.sql.pending_deletions is not None:
        backends = replace(backends, deletions=SQLDeletions(asker))
    return backends


class SQLAsker:
    """Asks the configured queries."""

    def __init__(self, settings: SQLSettings) -> None:
        self.settings = settings
        self.database = Database(settings.url)

    def names(self, key: str, query: str, site: str | None = None) -> list[str]:
        """Ask for names: the first column of each row."""
        found: list[str] = []
        for _, batch in self.batches(key, query, {} if site is None else {"site": site}):
            found += [_as_text(row[0], f"SQL.{key}") for row in batch]
        return found

    def batches(
        self, key: str, query: str, values: dict[str, Any]
    ) -> Iterator[tuple[list[str], Sequence[Sequence[Any]]]]:
        """Give the names of the columns and the rows, in batches; the first batch may be empty."""
        what = f"SQL.{key}"
        statement, asked = checked_query(what, query, values)
        columns: list[str] = []
        empty = True
        for batch in self.database.batches(
            what, statement, {name: values[name] for name in asked}, lambda names: columns.extend(names)
        ):
            empty = False
            yield columns, batch
        if empty:
            yield columns, []

    def protected_datasets(self, site: str) -> list[str]:
        """Ask ProtectedDatasets."""
        query = self.settings.protected_datasets
        return [] if query is None else self.names("ProtectedDatasets", query, site)


def _as_text(value: Any, what: str) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return paths.decode(bytes(value))
    if isinstance(value, str):
        return value
    raise BackendError(f"{what}: expected names in the first column, found {printable(repr(value))}")


class SQLInventory:
    """What should be at a site, from the query Files."""

    def __init__(self, asker: SQLAsker, site: SiteConfig) -> None:
        self._asker = asker
        self._root = site.root_path

    def list_files(self, site: str) -> Iterator[InventoryRow]:
        """Give the rows as they come.

        Raises:
            BackendError: the database cannot be asked, or the query has no column of paths.
            InventoryError: a value is not what its column holds.
        """
        for rows in self._rows(site, lambda _: None):
            yield from as_inventory_rows(rows)

    def protected_datasets(self, site: str) -> Collection[str]:
        """Name what ProtectedDatasets gives; nothing when there is no such query."""
        return frozenset(self._asker.protected_datasets(site))

    def identity(self, site: str) -> InventoryIdentity:
        """Say which database and query; it is as new as the moment it is read."""
        label = self._asker.database.label
        mark = {"backend": "sql", "database": label, "query": self._query(), "site": site}
        return InventoryIdentity(mark, label)

    def read_into(
        self,
        site: str,
        sink: RecordSink,
        *,
        keep: Sequence[bytes],
        listed_at: int,
        heed: Callable[[], None],
        scratch: Path,
    ) -> InventoryCounts:
        """Read by columns."""
        sized: list[bool] = []
        rows = heeded(self._rows(site, lambda columns: sized.append(columns.size is not None)), heed)
        return replace(rows_into(sink, rows, keep, listed_at, scratch, "sql"), has_sizes=any(sized))

    def checksums(self, site: str, lfns: Collection[str], heed: Callable[[], None]) -> list[ChecksumRow] | None:
        """Ask Files once more, for the checksums of some files; None where it has no column of them."""
        summed: list[bool] = []
        rows = heeded(self._rows(site, lambda columns: summed.append(columns.checksum is not None)), heed)
        found = checksum_rows((each for each in rows if all(summed)), lfns)
        return found if any(summed) else None

    def _query(self) -> str:
        query = self._asker.settings.files
        if query is None:
            raise BackendError("no inventory: set SQL.Files to the query that gives the files of :site, or Inventory")
        return query

    def _rows(self, site: str, tell: Callable[[Columns], None]) -> Iterator[Rows]:
        from storage.inventory.values import rows_of

        columns: Columns | None = None
        first = 1
        for names, batch in self._asker.batches("Files", self._query(), {"site": site}):
            if columns is None:
                columns = _columns(names)
                tell(columns)
            if not batch:
                return
            rows = rows_of(batch, columns, self._root, f"SQL.Files of {site or 'no site'},", first)
            first += len(batch)
            if rows.sites is not None and site:
                wanted = paths.encode(site)
                rows = rows.select([name == wanted for name in rows.sites])
            yield rows


def _columns(names: Sequence[str]) -> Columns:
    from storage.inventory.detect import PATH_COLUMNS, find_columns

    had = ", ".join(map(printable, names)) or "none"
    try:
        columns = find_columns([paths.encode(name) for name in names])
    except ValueError as error:
        raise BackendError(f"SQL.Files: expected each column once, had: {had}") from error
    if columns is None:
        known = ", ".join(map(paths.decode, PATH_COLUMNS))
        raise BackendError(f"SQL.Files: no column of paths ({known}) in the result; its columns: {had}")
    return columns


class ProtectingInventory:
    """The default backend's inventory, with the protected datasets of the database."""

    def __init__(self, inner: TreeInventory, asker: SQLAsker) -> None:
        self._inner = inner
        self._asker = asker
        self.list_files = inner.list_files
        self.identity = inner.identity
        self.read_into = inner.read_into

    def protected_datasets(self, site: str) -> Collection[str]:
        """Name those of both."""
        return {*self._inner.protected_datasets(site), *self._asker.protected_datasets(site)}

    def checksums(self, site: str, lfns: Collection[str], heed: Callable[[], None]) -> Collection[ChecksumRow] | None:
        """Give those of the default backend."""
        inner = self._inner
        return inner.checksums(site, lfns, heed) if isinstance(inner, ChecksumInventory) else None


class SQLBlocks:
    """Sums files up by what the query Files says of them."""

    def __init__(self, inventory: SQLInventory, site: SiteConfig) -> None:
        self._inventory = inventory
        self._root = site.root_path

    def filelist_to_blocklist(self, site: str, lfns: Iterable[str]) -> list[BlockRow]:
        """Give (group, dataset, block, files, bytes), sorted; where no block is known, the directory stands for it."""
        wanted = dict.fromkeys(lfns)
        known = (row for row in self._inventory.list_files(site) if row.lfn in wanted) if wanted else ()
        return sum_blocks(self._root, wanted, known)


class SQLRegistry:
    """Leaves requests to the default backend, and asks the database where else files are."""

    def __init__(self, inner: Registry, asker: SQLAsker) -> None:
        self._inner = inner
        self._asker = asker

    def delete(self, site: str, lfns: Sequence[str]) -> int:
        """Enter requests; gives how many were new."""
        return self._inner.delete(site, lfns)

    def transfer(self, site: str, lfns: Sequence[str]) -> Transfers:
        """Enter a request for each file that has a source."""
        found = self.sources(site, lfns)
        self._inner.transfer(site, found.requested)
        return found

    def sources(self, site: str, lfns: Sequence[str]) -> Transfers:
        """Ask OtherCopies."""
        lfns = list(dict.fromkeys(lfns))
        query = self._asker.settings.other_copies
        assert query is not None
        copies: dict[str, list[bool]] = {}
        _, asked = checked_query("SQL.OtherCopies", query, ("site", "lfn", "lfns"))
        if "lfn" in asked:
            groups = [[lfn] for lfn in lfns]
        elif "lfns" in asked:
            groups = [lfns[at : at + _ASKED_AT_ONCE] for at in range(0, len(lfns), _ASKED_AT_ONCE)]
        else:
            groups = [lfns] if lfns else []
        for group in groups:
            for lfn, on_tape in self._copies(query, site, group):
                copies.setdefault(lfn, []).append(on_tape)
        return sort_by_source(lfns, copies)

    def _copies(self, query: str, site: str, group: list[str]) -> Iterator[tuple[str, bool]]:
        what = "SQL.OtherCopies"
        values = {"site": site, "lfn": _parameter(group[0]), "lfns": [_parameter(lfn) for lfn in group]}
        for names, batch in self._asker.batches("OtherCopies", query, values):
            at = {name.lower(): position for position, name in enumerate(names)}
            if "lfn" not in at and len(group) > 1:
                raise BackendError(f"{what}: no column lfn in the result; its columns: {', '.join(names)}")
            for row in batch:
                lfn = _as_text(row[at["lfn"]], what) if "lfn" in at else group[0]
                owner = _as_text(row[at["site"]], what) if "site" in at else ""
                if owner != site or "site" not in at:
                    yield lfn, _is_true(row[at["tape"]]) if "tape" in at else is_tape(owner)


def _parameter(lfn: str) -> str | bytes:
    """Give a name as a database may hold it: bytes where it is not valid UTF-8."""
    name = paths.encode(lfn)
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name


def _is_true(value: Any) -> bool:
    return value.strip().lower() in _TRUE if isinstance(value, str) else bool(value)


class SQLSites:
    """Which sites there are, from the queries Sites and ReadySites."""

    def __init__(self, inner: SiteInfo, asker: SQLAsker) -> None:
        self._inner = inner
        self._asker = asker

    def site_list(self) -> Sequence[str]:
        """Name what Sites gives; without that query, the sites of the default backend."""
        query = self._asker.settings.sites
        return self._inner.site_list() if query is None else self._asker.names("Sites", query)

    def ready_sites(self) -> Collection[str]:
        """Name what ReadySites gives; without that query, all sites."""
        query = self._asker.settings.ready_sites
        return frozenset(self.site_list() if query is None else self._asker.names("ReadySites", query))


class SQLDeletions:
    """What is on its way out, from the query PendingDeletions."""

    def __init__(self, asker: SQLAsker) -> None:
        self._asker = asker

    def deletion_requests(self, site: str) -> Collection[str]:
        """Name the datasets."""
        query = self._asker.settings.pending_deletions
        return frozenset(() if query is None else self._asker.names("PendingDeletions", query, site))
