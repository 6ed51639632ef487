"""Dumps that are no lines: elements of XML, objects of JSON, records of Parquet and Avro.

Each is read from blocks of bytes by a class of its own, which is a `Stream`. What they have in common is here.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from storage.inventory.entries import Rows
from storage.inventory.foreign.entry import Holds
from storage.inventory.foreign.lfn import LfnToPath, identity_path
from storage.inventory.formats import Format
from storage.inventory.misfits import Misfits

_FEW = 1 << 13
"""Bytes of the first and the last lines."""

_BLANK = b" "[0]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted of a stream: where relative paths start, and whether anybody wants checksums.

    ``misfits`` takes what does not fit, and ``lfn_to_path`` gives the path of a replica that has none.
    """

    misfits: Misfits
    root: bytes | None = None
    checksums: bool = False
    lfn_to_path: LfnToPath = identity_path

    @property
    def source(self) -> str:
        """The name that messages use."""
        return self.misfits.source


class Stream(Protocol):
    """A dump that is being read; ``lines``, or entries where there are no lines, grows meanwhile."""

    lines: int
    misfits: Misfits

    @property
    def has_checksums(self) -> bool:
        """Whether the dump has checksums, be they asked for or not."""

    @property
    def format(self) -> Format:
        """Which format it is."""

    @property
    def holds(self) -> Holds:
        """Which columns it has."""

    def rows(self) -> Iterator[Rows]:
        """Give what it has, in its order.

        Raises:
            InventoryCut: it ends before its end.
            InventoryMalformed: it is not what it should be.
        """


def whole_lines(blocks: Iterable[bytes], longest: int) -> Generator[bytes, None, None]:
    """Cut blocks at their last newline; where there is none for ``longest`` bytes, anywhere."""
    pending: list[bytes] = []
    held = 0
    for block in blocks:
        cut = block.rfind(b"\n") + 1
        if not cut and held + len(block) < longest:
            pending.append(block)
            held += len(block)
            continue
        cut = cut or len(block)
        yield b"".join((*pending, block[:cut]))
        pending = [block[cut:]] if cut < len(block) else []
        held = len(block) - cut
    if pending:
        yield b"".join(pending)


def portions(blocks: Iterable[bytes], longest: int) -> Iterator[bytes]:
    """Give whole lines, with a few of the first and of the last ones apart: these are not like all others."""
    held: bytes | None = None
    for chunk in whole_lines(blocks, longest):
        rest = chunk
        if held is None:
            cut = chunk.find(b"\n", _FEW) + 1
            if cut:
                yield chunk[:cut]
                rest = chunk[cut:]
        else:
            yield held
        held = rest
    if held:
        cut = held.rfind(b"\n", 0, max(len(held) - _FEW, 0)) + 1
        yield from filter(None, (held[:cut], held[cut:]))


def count_bytes(text: bytes, byte: bytes) -> int:
    """Count a byte; several times as fast as ``bytes.count`` where it is frequent."""
    return int(np.count_nonzero(np.frombuffer(text, dtype=np.uint8) == byte[0]))


def control_characters(text: bytes) -> int:
    """Count control characters, newlines among them."""
    return int(np.count_nonzero(np.frombuffer(text, dtype=np.uint8) < _BLANK))
