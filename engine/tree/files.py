"""The files of a tree's directory at the edge: tuples come in, dictionaries go out, columns stay inside."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from operator import lt
from typing import Any, TypedDict

import numpy as np

from engine import paths
from engine.columns import NO_FILES, UNKNOWN_MTIME, UNKNOWN_SIZE, FileColumns
from engine.tree.errors import BadPath

UNLISTED = "_unlisted_"
"""The name of the pseudo-file that says, at the edge only, that a directory could not be listed."""

FileTuple = Sequence[Any]
"""Name, size in bytes, and optionally mtime in seconds since the epoch and block. None means not known."""

_NOT_NAMES = frozenset(("", ".", ".."))


class FileInfo(TypedDict):
    """One file as users see it.

    ``size`` is in bytes, ``UNKNOWN_SIZE`` when not known; ``mtime`` in seconds since the epoch, 0 when not known;
    ``block`` is empty when not known; ``hash`` covers name and size.
    """

    name: str
    size: int
    mtime: int
    block: str
    hash: str
    can_compare: bool


def to_columns(names: list[str], rows: Sequence[FileTuple]) -> tuple[FileColumns, bool]:
    """Turn tuples into columns and say whether the pseudo-file was among them, which is left out.

    ``names`` are the names of ``rows``, whose own first elements are not read. Of files with the same name the first
    one stays.

    Raises:
        BadPath: something that cannot be the name of a file.
    """
    unlisted = UNLISTED in names
    if unlisted:
        kept = [i for i, name in enumerate(names) if name != UNLISTED]
        names, rows = [names[i] for i in kept], [rows[i] for i in kept]
    if not rows:
        return NO_FILES, unlisted
    packed = _pack(names)
    if len(set(map(len, rows))) > 1:
        rows = [(*row, *(None, "")[len(row) - 2 :]) for row in rows]
    _, sizes, *optional = zip(*rows, strict=True)
    columns = FileColumns(
        packed,
        _int64s(sizes, UNKNOWN_SIZE),
        _int64s(optional[0] if optional else (None,) * len(rows), UNKNOWN_MTIME),
        _pack_blocks([paths.encode(block or "") for block in optional[1]]) if len(optional) > 1 else b"",
    )
    # The order of str is that of the bytes, but for lone surrogates.
    ordered: Sequence[Any] = names if packed.isascii() else packed.split(b"\0")
    if all(map(lt, ordered, islice(ordered, 1, None))):
        return columns, unlisted
    return _arrange(columns), unlisted


def merge(held: FileColumns, given: FileColumns) -> FileColumns:
    """Add the files of ``given`` whose names ``held`` does not have."""
    if not len(held) or not len(given):
        return held if len(held) else given
    blocks = b""
    if held.blocks or given.blocks:
        blocks = b"\0".join(c.blocks or b"\0" * (len(c) - 1) for c in (held, given))
    both = FileColumns(held.names + b"\0" + given.names, held.sizes + given.sizes, held.mtimes + given.mtimes, blocks)
    return _arrange(both)


def file_infos(columns: FileColumns, limit: float) -> list[FileInfo]:
    """Show files as dictionaries; those from ``limit`` on (seconds since the epoch) are too young to compare."""
    blocks = columns.block_list() or [b""] * len(columns)
    return [
        {
            "name": paths.decode(name),
            "size": size,
            "mtime": 0 if mtime == UNKNOWN_MTIME else mtime,
            "block": paths.decode(block),
            "hash": _hash(name, size),
            "can_compare": mtime < limit,
        }
        for (name, size, mtime), block in zip(columns.rows(), blocks, strict=True)
    ]


def unlisted_info() -> FileInfo:
    """Give the pseudo-file of a directory that could not be listed."""
    name = paths.encode(UNLISTED)
    return {"name": UNLISTED, "size": 0, "mtime": 0, "block": "", "hash": _hash(name, 0), "can_compare": False}


def runs(file_infos: Iterable[FileTuple]) -> Iterator[tuple[str, list[str], list[FileTuple]]]:
    """Group (path, …) tuples that follow each other in the same directory.

    Gives the directory's path with its last slash, the names, and the tuples as they came.
    """
    head = None
    names: list[str] = []
    rows: list[FileTuple] = []
    for row in file_infos:
        path: str = row[0]
        cut = path.rfind("/") + 1
        if path[:cut] != head:
            if head is not None:
                yield head, names, rows
            head, names, rows = path[:cut], [], []
        names.append(path[cut:])
        rows.append(row)
    if head is not None:
        yield head, names, rows


def names_before(columns: FileColumns, limit: float) -> list[bytes]:
    """Give the names of files from before ``limit``, in seconds since the epoch; unknown times stand for 0."""
    return [name for name, _, mtime in columns.rows() if (0 if mtime == UNKNOWN_MTIME else mtime) < limit]


def to_tuple(info: FileInfo | FileTuple) -> FileTuple:
    """Take a file as a dictionary or as a tuple."""
    if isinstance(info, dict):
        return info["name"], info["size"], info["mtime"], info["block"]
    return info


def old_files(columns: FileColumns, limit: float) -> FileColumns:
    """Keep the files from before ``limit``, in seconds since the epoch; those of unknown age count as old."""
    if columns.newest() < limit:
        return columns
    return columns.select(np.flatnonzero(columns.mtime_array() < limit).tolist())


def _hash(name: bytes, size: int) -> str:
    return blake2b(b"%d\0%b" % (size, name), digest_size=16).hexdigest()


def _pack(names: list[str]) -> bytes:
    text = "\0".join(names)
    try:
        packed = paths.encode(text)
    except UnicodeEncodeError as error:
        raise BadPath(f"a name that no bytes stand for: {error}") from error
    if "/" in text or packed.count(b"\0") != len(names) - 1 or not _NOT_NAMES.isdisjoint(names):
        raise BadPath(f"not a file name: {next(name for name in names if not is_name(name))!r}")
    return packed


def is_name(name: str) -> bool:
    """Tell whether this can be the name of a file or directory."""
    return name not in _NOT_NAMES and "/" not in name and "\0" not in name


def _pack_blocks(blocks: list[bytes]) -> bytes:
    return b"\0".join(blocks) if any(blocks) else b""


def _int64s(values: Iterable[Any], unknown: int) -> bytes:
    try:
        return array("q", values).tobytes()
    except TypeError:
        return array("q", [unknown if value is None else int(value) for value in values]).tobytes()


def _arrange(columns: FileColumns) -> FileColumns:
    """Sort by name; of files with the same name the first one stays."""
    names = columns.name_list()
    blocks = columns.block_list()
    first: dict[bytes, int] = {}
    for position, name in enumerate(names):
        first.setdefault(name, position)
    order = sorted(first)
    positions = [first[name] for name in order]
    return FileColumns(
        b"\0".join(order),
        columns.size_array()[positions].tobytes(),
        columns.mtime_array()[positions].tobytes(),
        _pack_blocks([blocks[i] for i in positions]) if blocks else b"",
    )
