"""Inventories from files, as a backend gives them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from storage.backends.protocols import ChecksumRow, InventoryIdentity, InventoryRow
from storage.config.files import ConfigError
from storage.config.site import KnownSites, SiteConfig

if TYPE_CHECKING:
    from storage.backends.protocols import RecordSink
    from storage.inventory import InventoryCounts, Reading
    from storage.inventory.age import Made
    from storage.inventory.entries import Rows
    from storage.inventory.foreign.lfn import LfnToPath

_TRUE = (b"1", b"true", b"yes")


@dataclass(frozen=True, slots=True)
class SettingsOf:
    """The settings of the site that a backend is made for, and of any other one that it is asked about."""

    config: KnownSites
    site: SiteConfig

    def __call__(self, name: str) -> SiteConfig:
        """Give the settings of a site; raises `ConfigError` for one that there is not."""
        return self.site if name in ("", self.site.name) else self.config.site(name)

    def known(self, name: str) -> SiteConfig:
        """Give the settings of a site, which may be one that only a backend knows."""
        return self(name) if name in self.config.sites else self.site


class FileInventory:
    """What should be at a site, from the file that ``Inventory`` names."""

    def __init__(self, settings: SettingsOf) -> None:
        self._settings = settings

    def list_files(self, site: str) -> Iterator[InventoryRow]:
        """Give the rows in the order of the file.

        Raises:
            ConfigError: no inventory is configured.
            InventoryError: it cannot be used.
        """
        for rows in self._rows(site):
            yield from as_inventory_rows(rows)

    def protected_datasets(self, site: str) -> Collection[str]:
        """Name the datasets of rows in whose column ``protected`` there is 1, true or yes; none without that column."""
        found = set[str]()
        # Where a line of a dump is let pass, nothing is called an orphan, whatever dataset it is of.
        for rows in self._rows(site, lenient=True):
            if rows.protected is None:
                break
            for flag, dataset in zip(rows.protected, _datasets_of(rows), strict=True):
                if flag.strip().lower() in _TRUE and dataset:
                    found.add(paths.decode(dataset))
        return found

    def identity(self, site: str) -> InventoryIdentity:
        """Say which file, of which size and time, this is."""
        from storage.inventory.errors import unreadable

        settings = self._settings(site)
        file = _file_of(settings)
        try:
            status = file.stat()
        except OSError as error:
            raise unreadable(paths.escape(os.fsencode(file)), error.strerror or str(error)) from error
        mark: dict[str, object] = {
            "path": str(file),
            "size": status.st_size,
            "mtime_ns": status.st_mtime_ns,
            "format": settings.inventory_format,
            "table": settings.inventory_table,
        }
        if settings.rucio is not None:
            from storage.backends.rucio.naming import mark_of_paths

            mark["paths"] = mark_of_paths(settings.rucio)
        if settings.rse:
            # It says which rows count.
            mark["rse"] = settings.rse
        return InventoryIdentity(mark, str(file), _made(file).at)

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
        """Read the file by columns."""
        from storage.inventory import read_inventory

        settings = self._settings(site)
        file = _file_of(settings)
        refuse_old_inventory(file, settings)
        # Lines are let pass only where it is remembered that they were.
        notice = getattr(sink, "notice", None)
        return read_inventory(
            file,
            sink.append,
            format=settings.inventory_format,
            root=settings.root_path,
            keep=keep,
            listed_at=listed_at,
            heed=heed,
            table=settings.inventory_table,
            site=settings.name,
            rse=settings.rse,
            scratch=scratch,
            append_leaves=sink.append_leaves,
            processes=settings.inventory_processes,
            allowed=settings.max_malformed if notice is not None else 0.0,
            lfn_to_path=lfn_to_path_of(settings),
            notice=notice,
        )

    def find(self, site: str, lfns: Collection[str]) -> Iterator[InventoryRow]:
        """Give what the inventory says of some files, in the order of the file; nothing where there is none."""
        wanted = {paths.encode(lfn) for lfn in lfns}
        if not wanted or self._settings(site).inventory is None:
            return
        for rows in self._rows(site, lenient=True):
            found = [lfn in wanted for lfn in _lfns(rows)]
            if any(found):
                yield from as_inventory_rows(rows.select(found))

    def checksums(self, site: str, lfns: Collection[str], heed: Callable[[], None]) -> list[ChecksumRow] | None:
        """Read the file for the checksums of some files; None where it has no column of them.

        Raises:
            InventoryError: it cannot be used.
        """
        with self._open(site, lenient=True, checksums=True, heed=heed) as reading:
            return checksum_rows(reading.rows, lfns) if reading.has_checksums else None

    def other_sites(self, site: str, lfns: Collection[str]) -> dict[str, list[str]] | None:
        """Name the other sites that have each of the files; None when the inventory does not say who has what."""
        settings = self._settings(site)
        if settings.inventory is None:
            return None
        copies: dict[bytes, list[str]] = {paths.encode(lfn): [] for lfn in lfns}
        with self._open(site, of_all=True, lenient=True) as reading:
            own = settings.rse or site if reading.has_rses else site
            for rows in reading.rows:
                if rows.sites is None:
                    return None
                for lfn, owner in zip(_lfns(rows), rows.sites, strict=True):
                    if lfn in copies and (name := paths.decode(owner.strip())) != own:
                        copies[lfn].append(name)
            if reading.misfits.lost:
                # A copy may stand in a line that nobody could read.
                return None
        return {paths.decode(lfn): sites for lfn, sites in copies.items()}

    def _rows(self, site: str, lenient: bool = False) -> Iterator[Rows]:
        with self._open(site, lenient=lenient) as reading:
            yield from reading.rows

    def _open(
        self,
        site: str,
        of_all: bool = False,
        lenient: bool = False,
        checksums: bool = False,
        heed: Callable[[], None] = lambda: None,
    ) -> AbstractContextManager[Reading]:
        from storage.inventory import open_inventory

        settings = self._settings(site)
        return open_inventory(
            _file_of(settings),
            format=settings.inventory_format,
            root=settings.root_path,
            table=settings.inventory_table,
            site="" if of_all else settings.name,
            rse="" if of_all else settings.rse,
            allowed=settings.max_malformed if lenient else 0.0,
            lfn_to_path=lfn_to_path_of(settings),
            checksums=checksums,
            heed=heed,
        )


def lfn_to_path_of(settings: SiteConfig) -> LfnToPath:
    """Give what makes paths of the replicas of a site for which a file has none.

    Where the settings do not say it, the Rucio that answers for the site does.

    Raises:
        BackendError: the rules cannot be used; what is given may raise it as well.
    """
    from engine.lfn2path import identity_path
    from storage.inventory.foreign.lfn import absolute_path

    rucio = settings.rucio
    if rucio is None:
        return absolute_path
    if rucio.lfn2path == "identity" and not (rucio.prefix or rucio.path_rules or rucio.storage_json):
        # The same as what is made of it below, and read all at once.
        return identity_path
    from storage.backends.rucio.naming import paths_of_names
    from storage.backends.rucio.rest import RucioServer
    from storage.backends.rucio.rest_source import rse_of

    server = RucioServer(rucio) if "rucio" in (settings.backend, *dict(settings.backends).values()) else None
    return paths_of_names(settings, None if server is None else partial(rse_of, server)) or absolute_path


def refuse_old_inventory(file: Path, settings: SiteConfig) -> None:
    """Refuse a list that is older than ``DumpAge``; a database is as new as the moment it is read.

    Raises:
        InventoryError: it is older, or is not there.
    """
    from storage.inventory.age import too_old
    from storage.inventory.errors import unreadable
    from storage.inventory.sqlite_table import is_database

    if settings.dump_age and not is_database(os.fspath(file)):
        words = too_old(_made(file), settings.dump_age)
        if words:
            raise unreadable(paths.escape(os.fsencode(file)), words)


def _made(file: Path) -> Made:
    from storage.inventory.age import made_at
    from storage.inventory.errors import unreadable

    try:
        return made_at(file)
    except OSError as error:
        raise unreadable(paths.escape(os.fsencode(file)), error.strerror or str(error)) from error


def why_no_file(path: Path) -> str:
    """Say why a path is no file that can be read; empty when it is one."""
    if not path.is_file():
        blank = " (its name ends with a blank)" if path.name != path.name.rstrip() else ""
        return "is not a file" if path.exists() else f"does not exist{blank}"
    return "" if os.access(path, os.R_OK) else "may not be read by this user"


def _file_of(settings: SiteConfig) -> Path:
    if settings.inventory is None:
        raise ConfigError(f"no inventory for {settings.name}: set Sites.{settings.name}.Inventory")
    return settings.inventory


def _lfns(rows: Rows) -> list[bytes]:
    return [directory + b"/" + name for directory, name in zip(rows.directories, rows.names, strict=True)]


def _datasets_of(rows: Rows) -> Sequence[bytes]:
    """Give the dataset of each row: as it says, else what stands before the ``#`` of its block."""
    blocks = rows.blocks or [b""] * len(rows.names)
    datasets = rows.datasets or [b""] * len(rows.names)
    return [dataset or block.rpartition(b"#")[0] for dataset, block in zip(datasets, blocks, strict=True)]


def checksum_rows(batches: Iterable[Rows], lfns: Collection[str]) -> list[ChecksumRow]:
    """Pick the checksums of some files out of all rows."""
    wanted = {paths.encode(lfn) for lfn in lfns}
    names = {lfn.rpartition(b"/")[2] for lfn in wanted}
    found: list[ChecksumRow] = []
    for rows in batches:
        if rows.checksums is None:
            continue
        for at, name in enumerate(rows.names):
            if name in names and (lfn := rows.directories[at] + b"/" + name) in wanted:
                size = UNKNOWN_SIZE if rows.sizes is None else int(rows.sizes[at])
                text = paths.decode(rows.checksums[at])
                found.append(ChecksumRow(paths.decode(lfn), None if size == UNKNOWN_SIZE else size, (text,)))
    return found


def as_inventory_rows(rows: Rows) -> Iterator[InventoryRow]:
    """Give columns as rows."""
    count = len(rows.names)
    empty = [b""] * count
    for lfn, size, mtime, block, dataset, group in zip(
        _lfns(rows),
        [UNKNOWN_SIZE] * count if rows.sizes is None else rows.sizes.tolist(),
        [UNKNOWN_MTIME] * count if rows.mtimes is None else rows.mtimes.tolist(),
        rows.blocks or empty,
        _datasets_of(rows),
        rows.groups or empty,
        strict=True,
    ):
        yield InventoryRow(
            paths.decode(lfn),
            None if size == UNKNOWN_SIZE else size,
            None if mtime == UNKNOWN_MTIME else mtime,
            paths.decode(block),
            paths.decode(dataset),
            paths.decode(group),
        )
