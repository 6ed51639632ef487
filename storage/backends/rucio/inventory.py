"""What should be at a site: the replicas at its RSE.

One that is available has to be there. One that is unavailable, being copied, being deleted, temporarily unavailable or
bad need not be, and is no orphan if it is: it is in the inventory as unsettled, which no comparison judges.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import compress
from typing import TYPE_CHECKING

from engine import paths
from engine.checksums.digest import ADLER32, MD5
from engine.lfn2path import DID, HashPaths, NoPath
from storage.backends.database import ConnectionLost
from storage.backends.file_inventory import as_inventory_rows
from storage.backends.heeded import heeded
from storage.backends.protocols import BackendError, ChecksumRow, InventoryIdentity, InventoryRow
from storage.backends.rows_into import rows_into
from storage.backends.rucio.naming import Naming, mark_of_paths, naming_of, no_rule
from storage.backends.rucio.patience import sleep, waits_of
from storage.backends.rucio.replicas import RSE, AskServer, Replicas, ReplicaSource
from storage.config.site import RucioSettings, SiteConfig
from storage.shown import printable

if TYPE_CHECKING:
    from pathlib import Path

    from storage.backends.protocols import RecordSink
    from storage.inventory import InventoryCounts
    from storage.inventory.entries import Rows

_log = logging.getLogger(__name__)


class RucioInventory:
    """The inventory of one site; `settings_of` gives site and Rucio for a name."""

    def __init__(
        self,
        source: ReplicaSource,
        settings_of: Callable[[str], tuple[SiteConfig, RucioSettings]],
        ask_server: AskServer,
    ) -> None:
        self._source = source
        self._settings_of = settings_of
        self._ask_server = ask_server

    def list_files(self, site: str) -> Iterator[InventoryRow]:
        """Give all replicas at the site.

        Raises:
            BackendError: Rucio cannot be asked, or says of a replica not where it is.
            InventoryError: a path makes no sense.
        """
        for rows in self._rows(site):
            yield from as_inventory_rows(rows)

    def protected_datasets(self, site: str) -> Collection[str]:
        """Name none: what may be at a site, each replica says for itself."""
        return frozenset()

    def identity(self, site: str) -> InventoryIdentity:
        """Say which Rucio and RSE; it is as new as the moment it is read."""
        _, settings = self._settings_of(site)
        label = f"{self._source.label}, RSE {printable(settings.rse or site)}"
        mark = {"backend": "rucio", "source": self._source.label, "rse": settings.rse or site, "site": site}
        return InventoryIdentity({**mark, "paths": mark_of_paths(settings)}, label)

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
        """Read by columns; a database that breaks off is read again from its beginning, for as long as is wanted."""
        _, settings = self._settings_of(site)
        waits = None
        while True:
            try:
                return rows_into(sink, heeded(self._rows(site), heed), keep, listed_at, scratch, "rucio")
            except ConnectionLost as error:
                waits = waits_of(settings.patience) if waits is None else waits
                wait = next(waits)
                if wait is None:
                    raise
                _log.warning("%s; asking again in %.2g s", error, wait)
                sleep(wait, heed)

    def place(self, site: str) -> tuple[RSE, Naming]:
        """Say which RSE the site is, and how its files are called.

        Raises:
            BackendError: Rucio cannot be asked.
        """
        own, settings = self._settings_of(site)
        rse = self._source.rse(settings.rse or site)
        return rse, naming_of(own, settings, rse, self._ask_server)

    def find(self, site: str, lfns: Iterable[bytes]) -> dict[bytes, DID]:
        """Look through all replicas for those with these LFNs; gives scope and name of what was found.

        Raises:
            BackendError: Rucio cannot be asked.
        """
        rse, naming = self.place(site)
        wanted = frozenset(lfns)
        found: dict[bytes, DID] = {}
        for replicas in self._source.replicas(rse) if wanted else ():
            try:
                located = naming.lfns(replicas)
            except NoPath as error:
                raise no_rule(rse, error) from error
            for at, lfn in enumerate(located):
                if lfn in wanted and lfn is not None:
                    found[lfn] = paths.encode(replicas.scopes[at]), paths.encode(replicas.names[at])
        return found

    def checksums(self, site: str, lfns: Collection[str], heed: Callable[[], None]) -> list[ChecksumRow]:
        """Ask for the checksums of some files; all replicas are looked through only where no rule leads to the names.

        Raises:
            BackendError: Rucio cannot be asked.
        """
        rse, naming = self.place(site)
        wanted = {paths.encode(lfn) for lfn in lfns}
        dids = [did for lfn in sorted(wanted) for did in naming.dids(lfn)]
        texts = [(scope.decode(), name.decode()) for scope, name in dids if is_text((scope, name))]
        rows = self._checksums(rse, naming, wanted, self._source.checksums(rse, texts), heed) if texts else []
        left = wanted - {paths.encode(row.lfn) for row in rows}
        if left and not (rse.deterministic and naming.is_invertible):
            rows += self._checksums(rse, naming, left, self._source.checksums(rse, None), heed)
        return rows

    def _checksums(
        self, rse: RSE, naming: Naming, wanted: set[bytes], found: Iterator[Replicas], heed: Callable[[], None]
    ) -> list[ChecksumRow]:
        rows = []
        for replicas in heeded(found, heed):
            try:
                located = naming.lfns(replicas)
            except NoPath as error:
                raise no_rule(rse, error) from error
            for at, lfn in enumerate(located):
                if lfn is None or lfn not in wanted:
                    continue
                columns = ((ADLER32, replicas.adler32s), (MD5, replicas.md5s))
                texts = [f"{name}:{column[at]}" for name, column in columns if column is not None and column[at]]
                rows.append(ChecksumRow(paths.decode(lfn), replicas.sizes[at], texts))
        return rows

    def _rows(self, site: str) -> Iterator[Rows]:
        from storage.inventory.detect import Columns
        from storage.inventory.values import rows_of_columns

        own, settings = self._settings_of(site)
        rse, naming = self.place(site)
        columns, first = Columns(path=0, size=1, mtime=2), 1
        source = f"of Rucio, RSE {printable(rse.name)},"
        unplaced = _Unplaced(rse, skips=settings.skip_without_path)
        for replicas in self._source.replicas(rse, isinstance(naming.made_by, HashPaths)):
            try:
                values = unplaced.left_out(naming.lfns(replicas), replicas)
            except NoPath as error:
                raise no_rule(rse, error) from error
            if values[0]:
                yield rows_of_columns(values, columns, own.root_path, source, first)
            first += len(replicas.names)
        unplaced.say()


def is_text(did: DID) -> bool:
    """Whether a name can be sent at all."""
    try:
        return bool(did[0].decode() and did[1].decode())
    except UnicodeDecodeError:
        return False


class _Unplaced:
    """Counts the replicas of which Rucio does not say where they are.

    What lies at such a place would be called an orphan, so that nothing is compared then, unless that is wanted.
    """

    def __init__(self, rse: RSE, skips: bool) -> None:
        self._rse = rse
        self._skips = skips
        self._count = 0
        self._example = ""

    def left_out(self, lfns: list[bytes | None], replicas: Replicas) -> list[Sequence[object]]:
        """Give LFNs, sizes and mtimes of the replicas that have a place."""
        if None not in lfns:
            return [lfns, replicas.sizes, replicas.mtimes]
        placed = [lfn is not None for lfn in lfns]
        self._count += placed.count(False)
        at = placed.index(False)
        self._example = self._example or f"{replicas.scopes[at]}:{replicas.names[at]}"
        return [list(compress(column, placed)) for column in (lfns, replicas.sizes, replicas.mtimes)]

    def say(self) -> None:
        """Tell when there were any.

        Raises:
            BackendError: there were, and they are not to be skipped.
        """
        if not self._count:
            return
        words = (
            f"Rucio, RSE {printable(self._rse.name)}: {self._count} replicas have no path, such as "
            f"{printable(self._example)}"
        )
        if not self._skips:
            raise BackendError(
                f"{words}; their files, if there are any, would be called orphans; give them a path, or set "
                "Rucio.SkipWithoutPath to have that"
            )
        _log.warning("%s; they are left out", words)
