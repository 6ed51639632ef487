"""The gate for a list that was cut off in the middle of its last line.

A text whose last line has no newline may be whole: many programs write lists like that. Cut off, it names a file that
there is not, or gives a wrong size. Only the other side of a comparison tells: it has a file that goes on where the
line stops, and which the list lacks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, FileColumns, numbers
from engine.gates import Refusal
from engine.merge import difference
from engine.table import DirectoryTable

CUT = "inventory-cut"
"""The name of the gate."""

DUMP_CUT = "dump-cut"
"""The name of the gate for a dump, which is held to more: what comes behind a cut would all be called missing."""

_DIGITS = 11
"""More digits than a time has."""

_AHEAD = 1.2
"""A time that is larger than the age limit by this factor lies decades ahead."""


@dataclass(frozen=True, slots=True)
class LastLine:
    """The last line of a text, which has no newline: where it is, the path that was read, and what may be cut.

    ``begins`` is what a longer path would begin with, had the line been cut in it, empty where its path is whole.
    ``size`` (bytes) and ``mtime`` (seconds since the epoch) are unknown unless they stand at the end of the line.
    ``site`` says that the line ends in what the name of the site begins with. ``repeated`` says that the list names
    files more than once.
    """

    source: str
    line: int
    path: bytes
    begins: bytes = b""
    size: int = UNKNOWN_SIZE
    mtime: int = UNKNOWN_MTIME
    site: bool = False
    repeated: bool = False


def dump_gate(source: str) -> Refusal:
    """Refuse the dump of a store whose last line has no newline, whatever an inventory says of that line."""
    return Refusal(
        DUMP_CUT,
        f"dump {source}: its last line has no newline, so that it may be cut off, and what came behind would be called "
        "missing; have it made or brought anew, or have whoever makes it end it with a newline",
    )


def cut_gate(
    last: LastLine, known: Sequence[DirectoryTable], other: DirectoryTable, young_after: float | None = None
) -> Refusal | None:
    """Refuse a list whose last line was cut off, by what the other side of the comparison shows.

    ``known`` are the tables of what stands on the side of the list. ``young_after`` is in seconds since the epoch.
    """
    size = _size_of(last.path, other)
    seen = ""
    if last.begins and (size is None or last.repeated):
        longer = next(_longer(last.begins, known, other), None)
        if longer is not None:
            seen = f"the other side has '{paths.escape(longer)}', which begins like that and is not in the list"
    if not seen and size is not None and last.size != UNKNOWN_SIZE and _is_beginning(last.size, size):
        seen = f"it was read as {last.size} bytes, and the other side has {size} bytes, which begins like that"
    if not seen and last.site and size is not None and all(_size_of(last.path, table) is None for table in known):
        seen = "it ends in a part of the site's name, and the other side has the file"
    if not seen and size is None and young_after is not None and _may_be_young(last.mtime, young_after):
        seen = f"the file is not on the other side, and its time, read as {last.mtime}, may be a part of a young one"
    if not seen:
        return None
    return Refusal(
        CUT,
        f"{last.source}: line {last.line}, '{paths.escape(last.path)}', is the last one and does not end, and {seen}: "
        "it seems to be cut off; make the list anew, or end it with a newline if it is whole",
    )


def _size_of(path: bytes, table: DirectoryTable) -> int | None:
    """Give the size of a file; None where it is not."""
    files, name = _files_of(table, paths.parent_of(path) or b"/"), paths.name_of(path)
    if not _has(files, name):
        return None
    size: int = numbers(files.sizes)[files.name_list().index(name)]
    return size


def _has(files: FileColumns, name: bytes) -> bool:
    return bool(len(files)) and b"\0%s\0" % name in b"\0%s\0" % files.names


def _files_of(table: DirectoryTable, directory: bytes) -> FileColumns:
    row = table.find(directory)
    return FileColumns() if row is None or not table.files[row] else table.load(row)


def _longer(begins: bytes, known: Sequence[DirectoryTable], other: DirectoryTable) -> Iterator[bytes]:
    """Give the files of the other side that begin like that, and that none of the known tables has."""
    parent = paths.parent_of(begins) or b"/"
    beginning = paths.name_of(begins)
    for directory in (parent, *(path for path in other.paths if path.startswith(begins))):
        gone = _files_of(other, directory)
        names = gone.names
        if directory == parent:
            names = b"\0".join(name for name in gone.name_list() if name.startswith(beginning) and name != beginning)
        for table in known:
            only, _ = difference(names, _files_of(table, directory).names)
            names = b"\0".join(only.values())
        if names:
            yield from (paths.join(directory, name) for name in names.split(b"\0"))


def _is_beginning(part: int, whole: int) -> bool:
    return part != whole and str(whole).startswith(str(part))


def _may_be_young(time: int, young_after: float) -> bool:
    """Tell whether more digits behind an old time could make it a young one."""
    if time == UNKNOWN_MTIME or time < 0 or time > young_after:
        return False
    # Times that lie far ahead stand in no list.
    return time > 0 and any(
        (time + 1) * 10**count > young_after and time * 10**count < _AHEAD * young_after for count in range(1, _DIGITS)
    )
