"""Lists of paths, alone or with numbers behind them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from engine.paths import unescape
from storage.inventory.chunks import Chunk
from storage.inventory.detect import EXPECTED
from storage.inventory.entries import (
    NamesDirectory,
    Rows,
    read_path,
    read_size,
    read_time,
    sizes_of,
    split_lines,
    times_of,
)
from storage.inventory.misfits import Misfits
from storage.inventory.patterns import SIZED, TIMED, Beginning

_URL_STARTS = re.compile(rb"^x?roots?://[^/\n]+/+", re.MULTILINE)
_DOTTED, _NEXT_DOTTED = b"./", b"\n./"
_SLASHES = b"//"
_SEVERAL = re.compile(rb"//+")
_ENDS_IN_NUMBER = re.compile(rb"[ \t][-+]?[0-9]+\Z")


def read_text(
    chunks: Iterable[Chunk],
    numbers: int,
    root: bytes | None,
    misfits: Misfits,
    begins: Beginning = Beginning.ANY,
) -> Iterator[Rows]:
    """Read chunks of lines with ``numbers`` fields behind the path: none, a size, or a size and a time.

    Each line ``begins`` as most do.

    Numbers are taken from the right and a path may contain blanks. Where a size alone is expected, a line that ends in
    two numbers is refused: nobody can tell a name like ``run 5`` from a time that other lines do not have.

    Raises:
        InventoryMalformed: a line does not fit, and ``misfits`` does not let it pass.
    """
    for chunk in chunks:
        plain = _below(chunk, root) if begins is Beginning.DOTTED else chunk
        rows = None if plain is None else _quick(plain, numbers)
        yield _careful(chunk, numbers, root, misfits, begins) if rows is None else rows


def _below(chunk: Chunk, root: bytes | None) -> Chunk | None:
    """Put the root in the place of the dot with which each line begins; None when one does not."""
    data = chunk.data
    if root is None or not data.startswith(_DOTTED) or data.count(_NEXT_DOTTED) != data.count(b"\n") - 1:
        return None
    before = root.rstrip(b"/") + b"/"
    below = data.replace(_NEXT_DOTTED, b"\n" + before)
    return replace(chunk, data=before + below.removeprefix(_DOTTED))


def _quick(chunk: Chunk, numbers: int) -> Rows | None:
    data = chunk.data
    if chunk.escaped and b"\\" in data:
        return None
    if data.startswith((b"root", b"xroot")) and b"?" not in data:
        data = _URL_STARTS.sub(b"/", data)
    columns = split_lines(data, numbers)
    if columns is None and not chunk.escaped and _SLASHES in data:
        # Slashes that are written twice, as some programs do on every line, may be all that is odd.
        columns = split_lines(_SEVERAL.sub(b"/", data), numbers)
    if columns is None:
        return None
    directories, names, *fields = columns
    if not numbers:
        return Rows(directories, names)
    sizes = sizes_of(fields[0])
    if sizes is None:
        return None
    if numbers == 1:
        return None if _ambiguous(names) else Rows(directories, names, sizes)
    mtimes = times_of(fields[1])
    return None if mtimes is None else Rows(directories, names, sizes, mtimes)


def _ambiguous(names: list[bytes]) -> bool:
    together = b"\n".join(names)
    return (b" " in together or b"\t" in together) and any(_ENDS_IN_NUMBER.search(name) for name in names)


def _careful(chunk: Chunk, numbers: int, root: bytes | None, misfits: Misfits, begins: Beginning) -> Rows:
    directories: list[bytes] = []
    names: list[bytes] = []
    sizes: list[int] = []
    mtimes: list[int] = []
    for number, line in chunk.numbered():
        try:
            begins.check(line)
            path, *fields = _cut(line, numbers)
            if chunk.escaped:
                path = unescape(path.decode("utf-8", "surrogateescape"))
            directory, name = read_path(path, root)
            size = read_size(fields[0]) if numbers else 0
            mtime = read_time(fields[1]) if numbers > 1 else 0
        except NamesDirectory as error:
            # A line that was cut off behind a slash looks like one.
            if chunk.ended or number < chunk.next_line - 1:
                misfits.directories += 1
            else:
                misfits.take(number, str(error), line)
            continue
        except ValueError as error:
            misfits.take(number, str(error), line)
            continue
        directories.append(directory)
        names.append(name)
        sizes.append(size)
        mtimes.append(mtime)
    return Rows(
        directories,
        names,
        np.array(sizes, dtype=np.int64) if numbers else None,
        np.array(mtimes, dtype=np.int64) if numbers > 1 else None,
    )


def _cut(line: bytes, numbers: int) -> tuple[bytes, ...]:
    if not numbers:
        return (line,)
    match = (SIZED if numbers == 1 else TIMED).fullmatch(line)
    if match is None:
        raise ValueError(EXPECTED[numbers])
    if numbers == 1 and _ENDS_IN_NUMBER.search(match.group(1)):
        raise ValueError(f"{EXPECTED[1]} with one number as in most lines")
    return match.groups()
