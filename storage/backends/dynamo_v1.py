"""The backend ``dynamo-v1``: the tables of dynamo's first version, in MySQL or MariaDB, or copied elsewhere.

The inventory is read from ``sites``, ``datasets``, ``blocks``, ``files``, ``block_replicas``, ``dataset_replicas``,
``groups`` and ``file_subscriptions``. Requests go into ``deletion_queue`` and ``transfer_queue``, in the same database
or in the one called ``dynamoregister`` on the same server. Their names are latin1 of at most 512 characters, and MySQL
would cut a longer one or change other characters, so that another file were meant: such names are never entered.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine.columns import UNSETTLED_MTIME
from storage.backends.answers import sort_by_source, sum_blocks
from storage.backends.database import Database
from storage.backends.file_inventory import as_inventory_rows
from storage.backends.heeded import heeded
from storage.backends.protocols import BackendError, Backends, InventoryIdentity, InventoryRow, Transfers
from storage.backends.rows_into import rows_into
from storage.config.site import KnownSites, SiteConfig

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sqlalchemy import Connection, FromClause, Select, TableClause

    from storage.backends.answers import BlockRow
    from storage.backends.protocols import RecordSink
    from storage.inventory import InventoryCounts
    from storage.inventory.entries import Rows

_log = logging.getLogger(__name__)

REGISTER = "dynamoregister"
"""The database in which dynamo keeps its queues."""

_LONGEST_NAME = 512
_ASKED_AT_ONCE = 500
_UNDER_WAY = ("new", "inbatch", "retry", "held")
_COLUMNS = {
    "sites": ("id", "name", "storage_type", "status"),
    "datasets": ("id", "name", "status"),
    "blocks": ("id", "dataset_id", "name"),
    "files": ("id", "block_id", "size", "name"),
    "block_replicas": ("block_id", "site_id", "group_id", "is_complete"),
    "dataset_replicas": ("dataset_id", "site_id"),
    "groups": ("id", "name"),
    "file_subscriptions": ("file_id", "site_id", "status", "delete"),
    "deletion_queue": ("reqid", "file", "site", "status"),
    "transfer_queue": ("reqid", "file", "site_from", "site_to", "status"),
}


def dynamo_v1_backend(_config: KnownSites, site: SiteConfig, default: Backends) -> Backends:
    """Make the backend for the settings of a site; nothing is opened yet. The check and datasets are the default's.

    Raises:
        BackendError: SQL.URL is missing.
    """
    if site.sql is None:
        raise BackendError('the backend "dynamo-v1" needs SQL.URL, the address of the database of dynamo')
    database = Database(site.sql.url)
    inventory = DynamoInventory(database, site)
    return replace(
        default,
        inventory=inventory,
        registry=DynamoRegistry(database, Database(site.sql.url, writable=True)),
        sites=DynamoSites(database),
        deletions=inventory,
        blocks=DynamoBlocks(inventory, site),
    )


def _table(name: str, schema: str | None = None) -> TableClause:
    from sqlalchemy import column, table
    from sqlalchemy.sql import quoted_name

    # "groups" is a word of the language in newer servers, "delete" in all.
    return table(quoted_name(name, True), *(column(quoted_name(each, True)) for each in _COLUMNS[name]), schema=schema)


def _names(database: Database, what: str, query: Select[Any]) -> list[str]:
    return [str(row[0]) for batch in database.batches(what, query, {}) for row in batch]


class DynamoInventory:
    """What should be at a site, which datasets belong there, and which are on their way out."""

    def __init__(self, database: Database, site: SiteConfig) -> None:
        self._database = database
        self._root = site.root_path

    def list_files(self, site: str) -> Iterator[InventoryRow]:
        """Give the files of all block replicas at a site.

        Those of blocks that are not complete, or that nobody owns, may be on their way in or out: they are unsettled,
        so that a check does not judge them.
        """
        for rows in self._rows(site):
            yield from as_inventory_rows(rows)

    def protected_datasets(self, site: str) -> Collection[str]:
        """Name the datasets with a replica at the site, with status IGNORED, or of which a file is on its way there."""
        from sqlalchemy import select

        sites, datasets, replicas = _table("sites"), _table("datasets"), _table("dataset_replicas")
        at_site = (
            select(datasets.c.name)
            .join_from(datasets, replicas, replicas.c.dataset_id == datasets.c.id)
            .join(sites, sites.c.id == replicas.c.site_id)
            .where(sites.c.name == site)
        )
        ignored = select(datasets.c.name).where(datasets.c.status == "IGNORED")
        what = "dynamo-v1, protected datasets"
        found = {*_names(self._database, what, at_site), *_names(self._database, what, ignored)}
        return found | self._subscribed(what, site, 0)

    def deletion_requests(self, site: str) -> Collection[str]:
        """Name the datasets of which dynamo deletes a file at the site."""
        return self._subscribed("dynamo-v1, deletions", site, 1)

    def _subscribed(self, what: str, site: str, delete: int) -> set[str]:
        from sqlalchemy import inspect, select

        with self._database.connect(what) as connection:
            if not inspect(connection).has_table("file_subscriptions"):
                return set()
        sites, datasets, blocks, files = map(_table, ("sites", "datasets", "blocks", "files"))
        wanted = _table("file_subscriptions")
        query = (
            select(datasets.c.name)
            .distinct()
            .join_from(wanted, files, files.c.id == wanted.c.file_id)
            .join(blocks, blocks.c.id == files.c.block_id)
            .join(datasets, datasets.c.id == blocks.c.dataset_id)
            .join(sites, sites.c.id == wanted.c.site_id)
            .where(sites.c.name == site, wanted.c["delete"] == delete, wanted.c.status.in_(_UNDER_WAY))
        )
        return set(_names(self._database, what, query))

    def identity(self, site: str) -> InventoryIdentity:
        """Say which database; it is as new as the moment it is read."""
        label = self._database.label
        return InventoryIdentity({"backend": "dynamo-v1", "database": label, "site": site}, label)

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
        return rows_into(sink, heeded(self._rows(site), heed), keep, listed_at, scratch, "dynamo-v1")

    def find(self, site: str, lfns: Sequence[str]) -> Iterator[InventoryRow]:
        """Give what is known of some files at a site."""
        for at in range(0, len(lfns), _ASKED_AT_ONCE):
            for rows in self._rows(site, lfns[at : at + _ASKED_AT_ONCE]):
                yield from as_inventory_rows(rows)

    def _rows(self, site: str, lfns: Sequence[str] | None = None) -> Iterator[Rows]:
        from sqlalchemy import BigInteger, case, func, literal, select

        from storage.inventory.detect import Columns
        from storage.inventory.values import rows_of

        sites, datasets, blocks, files = map(_table, ("sites", "datasets", "blocks", "files"))
        replicas, groups = _table("block_replicas"), _table("groups")
        settled = (replicas.c.is_complete == 1) & (func.coalesce(replicas.c.group_id, 0) != 0)
        query = (
            select(
                files.c.name.label("lfn"),
                # Dynamo writes -1 where it does not know.
                func.nullif(files.c.size, -1).label("size"),
                case((settled, None), else_=literal(UNSETTLED_MTIME, BigInteger)).label("mtime"),
                blocks.c.name.label("block"),
                datasets.c.name.label("dataset"),
                groups.c.name.label("group"),
            )
            .join_from(sites, replicas, replicas.c.site_id == sites.c.id)
            .join(blocks, blocks.c.id == replicas.c.block_id)
            .join(files, files.c.block_id == blocks.c.id)
            .join(datasets, datasets.c.id == blocks.c.dataset_id, isouter=True)
            .join(groups, groups.c.id == replicas.c.group_id, isouter=True)
            .where(sites.c.name == site)
        )
        if lfns is not None:
            query = query.where(files.c.name.in_(lfns))
        columns = Columns(path=0, size=1, mtime=2, block=3, dataset=4, group=5)
        first = 1
        for batch in self._database.batches("dynamo-v1, files", query, {}):
            yield rows_of(batch, columns, self._root, f"of dynamo-v1, site {site},", first)
            first += len(batch)


class DynamoBlocks:
    """Sums files up by dynamo's blocks."""

    def __init__(self, inventory: DynamoInventory, site: SiteConfig) -> None:
        self._inventory = inventory
        self._root = site.root_path

    def filelist_to_blocklist(self, site: str, lfns: Iterable[str]) -> list[BlockRow]:
        """Give (group, dataset, block, files, bytes), sorted."""
        wanted = list(dict.fromkeys(lfns))
        return sum_blocks(self._root, wanted, self._inventory.find(site, wanted))


class DynamoSites:
    """The sites that dynamo knows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def site_list(self) -> Sequence[str]:
        """Name all sites, sorted."""
        from sqlalchemy import select

        sites = _table("sites")
        return _names(self._database, "dynamo-v1, sites", select(sites.c.name).order_by(sites.c.name))

    def ready_sites(self) -> Collection[str]:
        """Name the sites with status ready."""
        from sqlalchemy import select

        sites = _table("sites")
        query = select(sites.c.name).where(sites.c.status == "ready")
        return frozenset(_names(self._database, "dynamo-v1, ready sites", query))


class DynamoRegistry:
    """Dynamo's queues. A request that is there already is left alone, and opened again when it has ended."""

    def __init__(self, reader: Database, writer: Database) -> None:
        self._reader = reader
        self._writer = writer

    def delete(self, site: str, lfns: Sequence[str]) -> int:
        """Enter files into the deletion queue; gives how many requests were new."""
        return self._enter("deletion_queue", [{"file": lfn, "site": site} for lfn in _safe(lfns)])

    def transfer(self, site: str, lfns: Sequence[str]) -> Transfers:
        """Enter files into the transfer queue, once for each source: those on disk, else those on tape."""
        copies = self._copies(site, lfns)
        requests = []
        for lfn in _safe(lfns):
            found = copies.get(lfn, [])
            on_disk = [source for source, tape in found if not tape]
            requests += [
                {"file": lfn, "site_from": source, "site_to": site} for source in on_disk or [name for name, _ in found]
            ]
        self._enter("transfer_queue", requests)
        entered = {request["file"] for request in requests}
        found_sources = _sorted(lfns, copies)
        return replace(found_sources, requested=[lfn for lfn in found_sources.requested if lfn in entered])

    def sources(self, site: str, lfns: Sequence[str]) -> Transfers:
        """Look for complete copies that somebody owns at other sites that are ready."""
        return _sorted(lfns, self._copies(site, lfns))

    def _copies(self, site: str, lfns: Sequence[str]) -> dict[str, list[tuple[str, bool]]]:
        """Name the other sites of each file, and whether they are tape."""
        from sqlalchemy import func, select

        sites, files, replicas = map(_table, ("sites", "files", "block_replicas"))
        wanted = list(dict.fromkeys(lfns))
        found: dict[str, list[tuple[str, bool]]] = {}
        for at in range(0, len(wanted), _ASKED_AT_ONCE):
            query = (
                select(files.c.name, sites.c.name, sites.c.storage_type)
                .join_from(files, replicas, replicas.c.block_id == files.c.block_id)
                .join(sites, sites.c.id == replicas.c.site_id)
                .where(
                    files.c.name.in_(wanted[at : at + _ASKED_AT_ONCE]),
                    sites.c.name != site,
                    sites.c.status == "ready",
                    replicas.c.is_complete == 1,
                    func.coalesce(replicas.c.group_id, 0) != 0,
                )
                .order_by(files.c.name, sites.c.name)
            )
            for batch in self._reader.batches("dynamo-v1, other copies", query, {}):
                for lfn, name, storage in batch:
                    found.setdefault(lfn, []).append((name, storage == "mss"))
        return found

    def _enter(self, name: str, requests: Sequence[dict[str, str]]) -> int:
        """Enter requests, all or, on a server with transactions, none; gives how many were new."""
        if not requests:
            return 0
        new = 0
        with self._writer.connect(f"dynamo-v1, {name}") as connection:
            queue = _table(name, _schema_of(connection, name))
            for at in range(0, len(requests), _ASKED_AT_ONCE):
                new += _enter_some(connection, queue, requests[at : at + _ASKED_AT_ONCE])
            connection.commit()
        return new


def _sorted(lfns: Sequence[str], copies: dict[str, list[tuple[str, bool]]]) -> Transfers:
    known = {lfn: [tape for _, tape in sites] for lfn, sites in copies.items()}
    return sort_by_source(list(dict.fromkeys(lfns)), known)


def _safe(lfns: Sequence[str]) -> list[str]:
    """Leave out the names that the queues could not hold as they are."""
    safe = [lfn for lfn in dict.fromkeys(lfns) if lfn.isascii() and len(lfn) <= _LONGEST_NAME]
    if len(safe) < len(set(lfns)):
        _log.warning(
            "dynamo-v1: %d names are longer than %d characters or not ASCII, and were not entered",
            len(set(lfns)) - len(safe),
            _LONGEST_NAME,
        )
    return safe


def _schema_of(connection: Connection, name: str) -> str | None:
    """Find a queue in the database itself, or in the one of dynamo's registry."""
    from sqlalchemy import inspect

    inspector = inspect(connection)
    if inspector.has_table(name):
        return None
    if REGISTER in inspector.get_schema_names() and inspector.has_table(name, schema=REGISTER):
        return REGISTER
    raise BackendError(f"dynamo-v1: no table {name}, neither in the database of SQL.URL nor in {REGISTER}")


def _enter_some(connection: Connection, queue: TableClause, requests: Sequence[dict[str, str]]) -> int:
    from sqlalchemy import select, tuple_

    columns = [queue.c[column] for column in requests[0]]

    def key_of(request: dict[str, str]) -> tuple[str, ...]:
        return tuple(request.values())

    def is_one_of(some: Sequence[dict[str, str]]) -> Any:
        return tuple_(*columns).in_([key_of(each) for each in some])

    rows = connection.execute(select(*columns, queue.c.status).where(is_one_of(requests)))
    there = {tuple(row[:-1]): row[-1] for row in rows}
    ended = [request for request in requests if there.get(key_of(request)) in ("done", "failed")]
    absent = [request for request in requests if key_of(request) not in there]
    if ended:
        connection.execute(queue.update().where(is_one_of(ended)).values(status="new"))
    if absent:
        values = [{"reqid": 0, **request, "status": "new"} for request in absent]
        connection.execute(_insert_if_absent(connection, queue), values)
    return len(ended) + len(absent)


def _insert_if_absent(connection: Connection, queue: FromClause) -> Any:
    """Make an insertion that leaves alone what another process has entered in the meantime."""
    from sqlalchemy import TableClause
    from sqlalchemy.dialects import postgresql, sqlite

    assert isinstance(queue, TableClause)
    match connection.dialect.name:
        case "postgresql":
            return postgresql.insert(queue).on_conflict_do_nothing()
        case "sqlite":
            return sqlite.insert(queue).on_conflict_do_nothing()
        case "mysql" | "mariadb":
            return queue.insert().prefix_with("IGNORE")
        case _:
            return queue.insert()
