"""The files of one directory from the pieces of it that stood in an inventory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from operator import eq

import numpy as np

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, FileColumns, Int64s

_UNKNOWN_MTIME = UNKNOWN_MTIME.to_bytes(8, "little", signed=True)
_UNKNOWN_SIZE = UNKNOWN_SIZE.to_bytes(8, "little", signed=True)


class Numbering(dict[bytes, int]):
    """Numbers texts as they are first met; ``texts`` has them by number."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[bytes] = []

    def __missing__(self, text: bytes) -> int:
        number = self[text] = len(self.texts)
        self.texts.append(text)
        return number


@dataclass(frozen=True, slots=True)
class Piece:
    """Some files of one directory, in the order in which they came, as columns.

    ``names`` are separated by NUL; ``ascends`` says that each is greater than the one before. ``sizes``, ``mtimes`` and
    the numbers of ``blocks`` are little-endian int64, empty where the inventory has none.
    """

    names: bytes
    ascends: bool
    sizes: bytes
    mtimes: bytes
    blocks: bytes


def ascend_together(names: Sequence[bytes]) -> bool:
    """Tell whether columns of names, each ascending, do so as well one behind the other."""
    return all(a[a.rfind(b"\0") + 1 :] < b.partition(b"\0")[0] for a, b in pairwise(names))


class PieceJoiner:
    """Makes columns of the pieces of each directory; of entries with the same name the last one stays.

    ``duplicates`` counts the entries so far that a later one of the same path replaced, ``conflicts`` those among them
    whose size was another than that of the later one; ``dropped`` sums the sizes, in bytes, that did not stay.
    """

    def __init__(self, block_numbers: Numbering) -> None:
        """Take the numbers of the blocks; there may be more of them later."""
        self._block_names = block_numbers.texts
        self.duplicates = 0
        self.conflicts = 0
        self.dropped = 0

    def join(self, pieces: Sequence[Piece]) -> FileColumns:
        """Give the files of a directory from all its pieces, in the order in which they came.

        The size of a file is not known where that of another entry of it differs.
        """
        first = pieces[0]
        if len(pieces) == 1 and first.ascends:
            return self._columns(first.names, first.sizes, first.mtimes, first.blocks)
        names = b"\0".join([piece.names for piece in pieces])
        sizes = b"".join([piece.sizes for piece in pieces])
        mtimes = b"".join([piece.mtimes for piece in pieces])
        blocks = b"".join([piece.blocks for piece in pieces])
        if all(piece.ascends for piece in pieces) and ascend_together([piece.names for piece in pieces]):
            return self._columns(names, sizes, mtimes, blocks)
        return self._sorted(names.split(b"\0"), sizes, mtimes, blocks)

    def _sorted(self, names: list[bytes], sizes: bytes, mtimes: bytes, blocks: bytes) -> FileColumns:
        order = sorted(range(len(names)), key=names.__getitem__)
        ordered = [names[at] for at in order]
        replaced = [*map(eq, ordered, islice(ordered, 1, None)), False]
        known = _numbers(sizes)[order] if sizes else None
        if any(replaced):
            self.duplicates += sum(replaced)
            if known is not None:
                self.dropped += _known(known)
                self._forget_conflicting(known, replaced)
            stays = [not gone for gone in replaced]
            known = None if known is None else known[np.array(stays)]
            self.dropped -= 0 if known is None else _known(known)
            order = [at for at, gone in zip(order, replaced, strict=True) if not gone]
            ordered = [names[at] for at in order]
        return self._columns(
            b"\0".join(ordered),
            b"" if known is None else known.tobytes(),
            _numbers(mtimes)[order].tobytes() if mtimes else b"",
            _numbers(blocks)[order].tobytes() if blocks else b"",
        )

    def _forget_conflicting(self, sizes: Int64s, replaced: list[bool]) -> None:
        """Make the size of a file unknown where entries differ: nobody can tell which of them is right."""
        stays, last = UNKNOWN_SIZE, 0
        values = sizes.tolist()
        for at in range(len(values) - 1, -1, -1):
            size = values[at]
            if not replaced[at]:
                stays, last = size, at
            elif UNKNOWN_SIZE not in (size, stays) and size != stays:
                self.conflicts += 1
                sizes[last] = UNKNOWN_SIZE

    def _columns(self, names: bytes, sizes: bytes, mtimes: bytes, blocks: bytes) -> FileColumns:
        files = names.count(b"\0") + 1
        known = b"\0".join([self._block_names[number] for number in _numbers(blocks).tolist()]) if blocks else b""
        return FileColumns(names, sizes or _UNKNOWN_SIZE * files, mtimes or _UNKNOWN_MTIME * files, known)


def _known(sizes: Int64s) -> int:
    return sum(size for size in sizes.tolist() if size > 0)


def _numbers(column: bytes) -> Int64s:
    return np.frombuffer(column, dtype=np.int64)
