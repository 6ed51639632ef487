"""What a file is: which list or dump, how old, how much is in it, and what of it does not fit."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from itertools import compress, count
from pathlib import Path

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, UNSETTLED_MTIME, numbers
from storage.inventory.age import Made, made_at, too_old
from storage.inventory.compression import packing_of
from storage.inventory.entries import Rows
from storage.inventory.errors import InventoryError
from storage.inventory.foreign.checksums import NONE
from storage.inventory.foreign.lfn import LfnToPath, identity_path
from storage.inventory.formats import OWN, UNTYPED
from storage.inventory.misfits import ALL, Misfit, Misfits
from storage.inventory.reader import Reading, open_inventory
from storage.inventory.sqlite_table import DEFAULT_TABLE
from storage.snapshot import Snapshot, SnapshotError, is_snapshot

SNAPSHOT = "snapshot"

_Tops = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a site expects: its name, empty for none, and that of its ``rse`` where it is another one, where relative
    paths start, and what may be let pass.

    ``dump_age`` is in days, 0 for any, and ``max_malformed`` a part of all lines. Files have to be below one of the
    ``tops``, wherever it is without any. ``table`` is the one of a database, and ``lfn_to_path`` gives the path of a
    replica of which a dump does not say it.
    """

    site: str = ""
    root: bytes = b"/"
    dump_age: float = 0.0
    max_malformed: float = 0.0
    tops: tuple[bytes, ...] = ()
    table: str = DEFAULT_TABLE
    rse: str = ""
    lfn_to_path: LfnToPath = identity_path


@dataclass(slots=True)
class Identity:
    """What is known of a file.

    ``format`` is empty where nobody can tell, and ``packing`` where it is not packed. ``entries`` are files, ``bytes``
    sums their known sizes; ``sizes``, ``times`` and ``checksums`` count the entries that have one, and ``unsettled``
    those that are on their way in or out. ``sites`` counts them by the site whose they are said to be. ``newest`` is
    the latest time of a file, in seconds since the epoch. Of ``malformed`` lines nobody knows the file of ``lost``.
    ``ended`` is False where a list has no newline at its end. ``refused`` says why it would not be used, empty when it
    would. ``is_below``: it has files where they are wanted. ``directories`` were passed over, since their paths end
    with a slash. ``mixed`` counts entries with others below them, as far as these stand near, where nothing else says
    what is a directory.
    """

    path: str
    format: str = ""
    packing: str = ""
    made: Made | None = None
    lines: int = 0
    entries: int = 0
    bytes: int = 0
    sizes: int = 0
    times: int = 0
    checksums: int = 0
    unsettled: int = 0
    newest: int | None = None
    sites: Counter[str] = field(default_factory=Counter)
    malformed: int = 0
    lost: int = 0
    errors: list[Misfit] = field(default_factory=list)
    ended: bool = True
    refused: str = ""
    is_below: bool = False
    directories: int = 0
    mixed: int = 0

    def see(self, rows: Rows, tops: _Tops = ()) -> None:
        """Count some rows, and see whether one is below one of the ``tops``."""
        count = len(rows.names)
        self.entries += count
        if not count:
            return
        if not self.is_below:
            self.is_below = any(
                paths.is_under(directory or b"/", top) for directory in rows.directories for top in tops
            )
        if self.format in UNTYPED:
            entries = set(map(paths.join, rows.directories, rows.names))
            self.mixed += len(entries.intersection(rows.directories))
        if rows.sizes is not None:
            known = rows.sizes != UNKNOWN_SIZE
            self.sizes += int(known.sum())
            # As Python's numbers, since sizes may be too large to be true.
            self.bytes += sum(rows.sizes[known].tolist())
        if rows.mtimes is not None:
            unsettled = rows.mtimes == UNSETTLED_MTIME
            known = (rows.mtimes != UNKNOWN_MTIME) & ~unsettled
            self.unsettled += int(unsettled.sum())
            self.times += int(known.sum())
            if known.any():
                self.newest = max(int(rows.mtimes[known].max()), self.newest or 0)
        if rows.checksums is not None:
            self.checksums += sum(text.strip().lower() not in NONE for text in rows.checksums)
        if rows.sites is not None:
            self.sites.update(paths.escape(site.strip()) for site in rows.sites)

    def take_misfits(self, misfits: Misfits) -> None:
        """Take over what did not fit."""
        self.malformed, self.lost, self.errors = misfits.count, misfits.lost, list(misfits.first)
        self.directories = misfits.directories


def identify(file: Path, expected: Expected, format_: str = "auto") -> Identity:
    """Read a file to its end and say what it is; whatever is wrong with it is in the answer.

    Raises:
        OSError: there is no such file, or it cannot be read. What ``lfn_to_path`` raises besides `ValueError`.
    """
    found = Identity(paths.escape(os.fsencode(file)), made=made_at(file), packing=packing_of(os.fspath(file)))
    if is_snapshot(file):
        return _of_snapshot(file, found)
    reading: Reading | None = None
    try:
        with open_inventory(
            file,
            format=format_,
            root=expected.root,
            table=expected.table,
            allowed=ALL,
            allowed_in_lists=ALL,
            checksums=True,
            lfn_to_path=expected.lfn_to_path,
        ) as reading:
            found.format = reading.format
            for rows in reading.rows:
                found.see(rows, expected.tops)
    except InventoryError as error:
        found.refused = str(error)
    if reading is not None:
        found.lines, found.ended = reading.lines, reading.ended
        found.take_misfits(reading.misfits)
        found.refused = found.refused or _why_not(found, expected, reading.misfits, reading.has_rses)
    return found


def _why_not(found: Identity, expected: Expected, misfits: Misfits, rses: bool) -> str:
    """Say why a file that could be read would not be used."""
    if misfits.count > expected.max_malformed * max(found.lines, found.entries + found.lost):
        share = misfits.count / max(found.lines, found.entries + found.lost, 1)
        return f"{share:.2%} of its lines do not fit, and MaxMalformed lets {expected.max_malformed:.2%} of them pass"
    if misfits.count and found.format in OWN:
        return "as an inventory: all lines of a plain list have to fit (as a Dump, MaxMalformed lets these pass)"
    if found.made is not None and (words := too_old(found.made, expected.dump_age)):
        return words
    own = expected.rse or expected.site if rses else expected.site
    if expected.site and found.sites and own not in found.sites:
        return f"it has no entry of the {'RSE' if rses else 'site'} {own}"
    if not found.entries:
        return "it names no file"
    if expected.tops and not found.is_below:
        return f"it names no file below {', '.join(map(paths.escape, expected.tops))}"
    return ""


def _of_snapshot(file: Path, found: Identity) -> Identity:
    found.format = SNAPSHOT
    try:
        snapshot = Snapshot(file)
    except SnapshotError as error:
        found.refused = str(error)
        return found
    table = snapshot.table
    found.made = Made(float(snapshot.header.created), "its content")
    found.entries = found.lines = table.total_files()
    found.bytes = table.total_size()
    try:
        for files in map(table.load, compress(count(), table.files)):
            known = [mtime for mtime in numbers(files.mtimes) if mtime not in (UNKNOWN_MTIME, UNSETTLED_MTIME)]
            found.sizes += sum(size != UNKNOWN_SIZE for size in numbers(files.sizes))
            found.times += len(known)
            found.unsettled += sum(mtime == UNSETTLED_MTIME for mtime in numbers(files.mtimes))
            found.newest = max([*known, *filter(None, [found.newest])], default=None)
    except SnapshotError as error:
        found.refused = str(error)
    finally:
        snapshot.close()
    return found
