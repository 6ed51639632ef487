"""What the last inventory and the last listing of a site say of a path, as they lie on disk.

Opening a snapshot reads its index; of its files only those of the directories that are asked about are read.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, UNSETTLED_MTIME, FileColumns, numbers
from engine.explaining.facts import BelowFacts, DirectoryFacts, FileEntry, InventoryFacts, Source, StoreFacts
from engine.explaining.judging import only_file
from engine.incremental import is_taken
from engine.states import Reason, State
from engine.table import DirectoryTable
from storage.runs.directory import RunDirectory, file_identity
from storage.shown import printable
from storage.snapshot import Snapshot, SnapshotError, part_of

_STATES = {
    State.UNFILLED: "never reached",
    State.LISTED: "listed",
    State.FAILED: "failed",
    State.IGNORED: "ignored",
}


@dataclass(frozen=True, slots=True)
class Sides:
    """The two sides of a comparison, None where one is not there or cannot be read; ``notices`` say why not.

    ``second`` is the inventory that was read after the listing, and ``unread`` names what cannot be read.
    """

    inventory: Snapshot | None
    listing: Snapshot | None
    second: Snapshot | None = None
    notices: tuple[str, ...] = ()
    unread: tuple[Source, ...] = ()


@contextmanager
def open_sides(directory: RunDirectory) -> Iterator[Sides]:
    """Open the snapshots that the last run of a site has left."""
    notices: list[str] = []
    unread: list[Source] = []
    with ExitStack() as stack:

        def opened(path: Path, source: Source, like: Snapshot | None = None) -> Snapshot | None:
            if not path.exists():
                return None
            try:
                snapshot = Snapshot(path, like)
            except (SnapshotError, OSError) as error:
                notices.append(printable(str(error)))
                unread.append(source)
                return None
            stack.callback(snapshot.close)
            return snapshot

        inventory = opened(directory.inventory, Source.INVENTORY)
        listing = opened(directory.listing, Source.LISTING, inventory)
        second = opened(directory.second_inventory, Source.INVENTORY, inventory)
        yield Sides(inventory, listing, second, tuple(notices), tuple(unread))


def is_directory(sides: Sides, path: bytes) -> bool:
    """Tell whether a path is a directory on one of the sides, and a file on none."""
    tables = [side.table for side in (sides.inventory, sides.listing) if side is not None]
    return any(table.find(path) is not None for table in tables) and not any(
        _file(table, path) is not None for table in tables
    )


def inventory_facts(
    snapshot: Snapshot, directory: RunDirectory, source: Path | None, path: bytes, whole: bool
) -> InventoryFacts:
    """Say what the inventory has at a path, ``whole``: a directory; ``source`` is the file that it is read from."""
    table, header = snapshot.table, snapshot.header
    above: bytes | None = path if whole else paths.parent_of(path)
    nearest = None if above is None else table.nearest(above)
    return InventoryFacts(
        float(header.created),
        printable(header.source),
        _changed_since(directory, source),
        None if whole else _file(table, path),
        _below(table, path) if whole else None,
        None if nearest is None else table.paths[nearest],
        header.has_unread,
    )


def _changed_since(directory: RunDirectory, source: Path | None) -> float | None:
    """Give when the file of the inventory changed, if it is not the one any more that was read."""
    read = directory.kept_inventory_file()
    try:
        now = None if source is None else file_identity(source)
    except OSError:
        return None
    return now[2] / 1e9 if now is not None and read is not None and now != read else None


def inventory_time(directory: RunDirectory) -> float | None:
    """Give the time of the file that the inventory was read from, in seconds since the epoch; None where unknown."""
    read = directory.kept_inventory_file()
    return None if read is None else read[2] / 1e9


def store_facts(snapshot: Snapshot, directory: RunDirectory, path: bytes, whole: bool) -> StoreFacts:
    """Say what the listing has at a path, ``whole``: a directory."""
    table, header = snapshot.table, snapshot.header
    place = path if whole else paths.parent_of(path) or b"/"
    row, blind = table.find(place), table.blind_rows()
    known = table.nearest(place)
    hidden = None if known is None or blind[known] < 0 else _directory(snapshot, blind[known])
    return StoreFacts(
        float(header.created),
        printable(header.source),
        None if whole else _file(table, path),
        None if row is None else _directory(snapshot, row),
        _below(table, path) if whole else None,
        _nearest_seen(table, place, blind),
        hidden,
        _newer(directory),
        header.has_unread,
    )


def _nearest_seen(table: DirectoryTable, place: bytes, blind: array[int]) -> bytes | None:
    above: bytes | None = place
    while above is not None:
        row = table.find(above)
        if row is not None and blind[row] < 0:
            return above
        above = paths.parent_of(above)
    return None


def _newer(directory: RunDirectory) -> float | None:
    try:
        return part_of(directory.listing).stat().st_mtime
    except OSError:
        return None


def _directory(snapshot: Snapshot, row: int) -> DirectoryFacts:
    table = snapshot.table
    state, mtime = table.state(row), int(table.mtimes[row])
    reason = table.reason(row)
    if state != State.LISTED and not reason:
        reason = Reason.NEVER_REACHED
    return DirectoryFacts(
        table.paths[row],
        _STATES[state],
        reason.label,
        printable(table.details.get(row, "")),
        float(table.listed_at[row]) or None,
        None if mtime == UNKNOWN_MTIME else mtime,
        int(table.files[row]),
        is_taken(table, row, snapshot.header.taken_until),
    )


def _below(table: DirectoryTable, path: bytes) -> BelowFacts | None:
    rows = table.rows_under(path)
    if rows.start == rows.stop:
        return None
    unlisted = sum(1 for _ in table.rows_but(State.LISTED, State.IGNORED, first=rows.start, last=rows.stop))
    return BelowFacts(sum(table.files[rows]), sum(table.sizes[rows]), rows.stop - rows.start, unlisted)


def _file(table: DirectoryTable, path: bytes) -> FileEntry | None:
    row = table.find(paths.parent_of(path) or b"/")
    files = FileColumns() if row is None or not table.files[row] else table.load(row)
    found = only_file(files, paths.name_of(path))
    if not found:
        return None
    size, mtime = numbers(found.sizes)[0], numbers(found.mtimes)[0]
    (block,) = found.block_list() or [b""]
    return FileEntry(
        None if size == UNKNOWN_SIZE else size,
        None if mtime in (UNKNOWN_MTIME, UNSETTLED_MTIME) else mtime,
        paths.escape(block),
        mtime == UNSETTLED_MTIME,
    )
