"""From a file to the records of a tree."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path

from engine import paths
from engine.cut import LastLine
from engine.record import DirectoryRecord
from storage.inventory.allocator import keep_freed_memory
from storage.inventory.builder import AppendLeaves, TreeBuilder
from storage.inventory.compression import read_blocks
from storage.inventory.entries import Rows
from storage.inventory.foreign.lfn import LfnToPath, identity_path
from storage.inventory.foreign.open_stream import first_blocks, open_stream
from storage.inventory.foreign.replica import columns_held
from storage.inventory.foreign.streams import Stream
from storage.inventory.formats import LINES_OF_FIND, OWN, SQLITE, UNTYPED, Format
from storage.inventory.misfits import Misfits
from storage.inventory.owner import Owner, SiteRows
from storage.inventory.spread import spread
from storage.inventory.sqlite_table import DEFAULT_TABLE, TableReader, is_database
from storage.inventory.text_file import TextFile, Wanted

CHUNK_SIZE = 1 << 20

MOST_PROCESSES = 4
"""With more, one of them would do nothing but hand out pieces and wait for the disk."""


@dataclass(frozen=True, slots=True)
class InventoryCounts:
    """What was read. ``bytes`` sums the known sizes; ``directories`` counts the records, ancestors included.

    ``duplicates`` counts the entries that a later one of the same path replaced, ``conflicts`` those among them whose
    size was another, which is not known then, ``skipped`` those outside of the directories to keep. ``lines``
    are those of the file, comments included, or the rows of a table. ``has_sizes`` tells whether the format carries
    sizes. ``last_line`` is the last line of a text that does not end with a newline; ``ended`` is False wherever there
    is none, be it behind a comment. ``misfits`` are the lines that did not fit and were let pass, if there are any.
    ``both`` counts the entries that are directories as well, which are not judged, and ``unsure`` those of which nobody
    knows whether they are directories, where some are. ``sizes_of_both`` are the sizes of the former.
    """

    files: int
    bytes: int
    directories: int
    duplicates: int
    conflicts: int
    skipped: int
    lines: int
    has_sizes: bool
    format: str
    last_line: LastLine | None = None
    ended: bool = True
    misfits: Misfits | None = None
    both: int = 0
    unsure: int = 0
    sizes_of_both: frozenset[int] = frozenset()

    @property
    def is_mixed(self) -> bool:
        """Whether there are directories among the files, and nothing but sizes tells the empty ones from files."""
        return self.both > 0 and self.has_sizes and self.format in UNTYPED


@dataclass(slots=True)
class Reading:
    """An inventory that is being read; ``lines``, those of the file or the rows of a table, grows meanwhile.

    ``last_line`` and ``ended`` are known when all rows were read, and so are the ``misfits`` that were let pass.
    ``has_checksums`` says that the file has some, be they in the rows or not, ``has_rses`` that its sites go by the
    names of their RSEs.
    """

    format: str
    has_sizes: bool
    rows: Iterator[Rows]
    lines: int = 0
    last_line: LastLine | None = None
    ended: bool = True
    text: TextFile | None = None
    misfits: Misfits = field(default_factory=lambda: Misfits(""))
    has_times: bool = False
    has_checksums: bool = False
    has_rses: bool = False


def read_inventory(
    path: Path | str,
    append: Callable[[DirectoryRecord], None],
    *,
    format: str = "auto",  # noqa: A002 - the word that the configuration uses
    root: bytes | None = None,
    keep: Sequence[bytes] = (),
    listed_at: int,
    chunk_size: int = CHUNK_SIZE,
    heed: Callable[[], None] = lambda: None,
    table: str = DEFAULT_TABLE,
    site: str = "",
    rse: str = "",
    see: Callable[[Rows], None] | None = None,
    scratch: Path | None = None,
    append_leaves: AppendLeaves | None = None,
    processes: int | None = 1,
    allowed: float = 0.0,
    allowed_in_lists: float = 0.0,
    notice: Callable[[Misfits], None] | None = None,
    lfn_to_path: LfnToPath = identity_path,
    of_store: bool = False,
    mixed: frozenset[int] | None = None,
) -> InventoryCounts:
    """Read an inventory and hand one record for each directory that has files, and each ancestor, to ``append``.

    Records come in tree order and all are `State.LISTED`, at ``listed_at`` (seconds since the epoch). Entries that are
    not below one of the canonical directories ``keep`` are skipped. ``see`` is shown all rows in the order of the file,
    before the first record is handed over. More files than fit into the memory that is set for them are put in order on
    disk, in the directory ``scratch`` or else in ``TMPDIR``; nothing of them stays there. ``notice`` is shown the lines
    that did not fit and were let pass, before the first record is handed over. A list ``of_store`` says what is there,
    and may have directories among its files, whatever its format. In one that is known to be ``mixed`` with
    directories, some of which have these sizes, what may be an empty one by its size is not judged. The other arguments
    are those of `open_inventory`.
    A file without entries gives no records.

    Raises:
        InventoryError: the file cannot be read or a line is not what it should be; no record was handed over then.
        ValueError: an unknown format, or a ``root`` or ``keep`` that is not a canonical absolute path.
        OSError: there is no room on disk to put the files in order, or they cannot be read back.
    """
    for directory in keep:
        _refuse_not_canonical(directory)
    keep_freed_memory()
    made_at = None if append_leaves is None else listed_at
    with TreeBuilder(keep, scratch, listed_at=made_at) as builder:
        with open_inventory(
            path,
            format=format,
            root=root,
            chunk_size=chunk_size,
            heed=heed,
            table=table,
            site=site,
            rse=rse,
            allowed=allowed,
            allowed_in_lists=allowed_in_lists,
            lfn_to_path=lfn_to_path,
        ) as reading:
            several = process_count(processes)
            if reading.text is not None and append_leaves is not None and see is None and several > 1:
                spread(reading.text, builder, several, tuple(keep), listed_at)
            for rows in reading.rows:
                if see is not None:
                    see(rows)
                builder.add(rows)
        if notice is not None:
            notice(reading.misfits)
        is_own = reading.text is not None and reading.text.is_escaped
        typed = not of_store and (is_own or reading.format not in LINES_OF_FIND)
        tree = builder.emit(append, listed_at, append_leaves if mixed is None else None, typed=typed, mixed=mixed)
    last_line = reading.last_line
    if last_line is not None:
        last_line = replace(last_line, repeated=tree.duplicates > 0)
    return InventoryCounts(
        **asdict(tree),
        lines=reading.lines,
        has_sizes=reading.has_sizes,
        format=reading.format,
        last_line=last_line,
        ended=reading.ended,
        misfits=reading.misfits if reading.misfits.count else None,
    )


def process_count(wanted: int | None) -> int:
    """Say with how many processes an inventory is read: as many as this one may use cores, but few, unless told."""
    if wanted is not None:
        return wanted
    return min(len(os.sched_getaffinity(0)), MOST_PROCESSES) if hasattr(os, "sched_getaffinity") else 1


@contextmanager
def open_inventory(
    path: Path | str,
    *,
    format: str = "auto",  # noqa: A002 - the word that the configuration uses
    root: bytes | None = None,
    chunk_size: int = CHUNK_SIZE,
    heed: Callable[[], None] = lambda: None,
    table: str = DEFAULT_TABLE,
    site: str = "",
    rse: str = "",
    allowed: float = 0.0,
    allowed_in_lists: float = 0.0,
    checksums: bool = False,
    lfn_to_path: LfnToPath = identity_path,
) -> Iterator[Reading]:
    """Open an inventory, or a dump, for reading its rows in the order of the file.

    ``format`` is auto or a `Format`, and of no account for an SQLite database, of which ``table`` is read.
    Relative paths are joined to ``root``. Where there is a column of sites, only the rows of ``site`` are given; all of
    them when it is empty. In a column of RSEs it goes by ``rse``, where that is another name. ``chunk_size`` is in
    bytes. ``heed`` is called now and then and may raise to give up.
    ``allowed`` is the part of the lines of a dump of another program that may not fit, and ``allowed_in_lists`` that of
    other lists: who lets some pass has to look at `Reading.misfits`.
    ``checksums`` says whether the rows of dumps are to have them. ``lfn_to_path`` gives the path of a replica of which
    the dump does not say it.

    Raises:
        InventoryError, ValueError: see `read_inventory`; also while the rows are read.
    """
    wanted = None if format == "auto" else Format(format)
    if root is not None:
        _refuse_not_canonical(root)
    file = os.fspath(path)
    source = paths.escape(os.fsencode(file))
    owner = Owner(paths.encode(site), paths.encode(rse))
    asked = Wanted(wanted, root, owner, checksums, lfn_to_path, allowed, allowed_in_lists)
    if is_database(file):
        with closing(_open_table(TableReader(file, source, table, owner, root, lfn_to_path), heed)) as opened:
            yield next(opened)
        return
    with closing(read_blocks(file, source, chunk_size)) as blocks:
        taken = first_blocks(blocks)
        stream = None
        if wanted is None or wanted not in OWN:
            stream = open_stream(file, taken, blocks, source, asked)
        if stream is not None:
            yield _of_stream(stream, asked, source, heed)
            return
        text = TextFile(chain(taken, blocks), source, asked, heed)
        yield _of_text(text)


def _of_text(text: TextFile) -> Reading:
    layout = text.layout
    reading = Reading(layout.format.value, layout.has_sizes, iter(()), text.lines, misfits=text.misfits)
    reading.has_times, reading.has_checksums = layout.has_times, layout.has_checksums
    reading.has_rses = layout.names_rses

    def noted() -> Iterator[Rows]:
        for rows in text.rows():
            reading.lines = text.lines
            yield rows
        reading.lines = text.lines
        reading.last_line, reading.ended = text.last_line, text.ended

    if not text.is_empty:
        reading.rows, reading.text = noted(), text
    return reading


def _of_stream(stream: Stream, asked: Wanted, source: str, heed: Callable[[], None]) -> Reading:
    holds, misfits = stream.holds, stream.misfits
    owned = SiteRows(asked.owner.named(holds.rses), holds.rses)
    reading = Reading(stream.format.value, holds.sizes, iter(()), misfits=misfits)
    reading.has_times, reading.has_checksums, reading.has_rses = holds.times, stream.has_checksums, holds.rses

    def noted() -> Iterator[Rows]:
        entries = 0
        for rows in stream.rows():
            heed()
            reading.lines = stream.lines
            entries += len(rows.names)
            kept = owned.of(rows) if rows.names else None
            if kept is not None:
                yield kept
        reading.lines = stream.lines
        # Where an element need not be a line, elements are what count.
        misfits.check(entries + misfits.lost)
        owned.check(source)

    reading.rows = noted()
    return reading


def _open_table(reader: TableReader, heed: Callable[[], None]) -> Generator[Reading, None, None]:
    """Give the one reading of a table, and close the database when this is closed."""
    with closing(reader.read(heed)) as batches:
        first = next(batches, None)
        columns = reader.columns
        reading = Reading(SQLITE, columns is not None and columns_held(columns, False).sizes, iter(()))
        reading.has_checksums = columns is not None and columns.checksum is not None
        reading.has_rses = columns is not None and columns_held(columns, False).rses

        def counted() -> Iterator[Rows]:
            for rows in chain(() if first is None else (first,), batches):
                reading.lines += len(rows.names)
                yield rows

        reading.rows = counted()
        yield reading


def _refuse_not_canonical(directory: bytes) -> None:
    if not directory.startswith(b"/") or paths.canonical(directory) != directory:
        raise ValueError(f"not a canonical absolute path: {paths.escape(directory)}")
