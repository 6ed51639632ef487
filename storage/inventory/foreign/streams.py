"""Dumps that are no lines: elements of XML, objects of JSON, records of Parquet and Avro.

Each is read from blocks of bytes by a class of its own, which is a `Stream`. What they have in common is here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from storage.inventory.entries import Rows
from storage.inventory.foreign.entry import Holds
from storage.inventory.foreign.lfn import LfnToPath, identity_path
from storage.inventory.formats import Format
from storage.inventory.misfits import Misfits

_FEW = 1 << 13
"""Bytes of the first and the last elements."""

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


def whole_elements(blocks: Iterable[bytes], longest: int, end: Callable[[], bytes]) -> Generator[bytes, None, None]:
    """Cut blocks behind the last ``end`` of an element; where there is none for ``longest`` bytes, anywhere."""
    pending: list[bytes] = []
    held = 0
    for block in blocks:
        mark = end()
        cut = block.rfind(mark) + len(mark)
        if cut < len(mark) and held + len(block) < longest:
            pending.append(block)
            held += len(block)
            continue
        cut = cut if cut >= len(mark) else len(block)
        yield b"".join((*pending, memoryview(block)[:cut]))
        pending = [block[cut:]] if cut < len(block) else []
        held = len(block) - cut
    if pending:
        yield b"".join(pending)


def portions(blocks: Iterable[bytes], longest: int, end: Callable[[], bytes]) -> Iterator[bytes]:
    """Give whole elements, with a few of the first and of the last ones apart: these are not like all others.

    ``end`` says how an element ends, as far as that is known by then.
    """
    held: bytes | None = None
    for chunk in whole_elements(blocks, longest, end):
        rest = chunk
        if held is None:
            mark = end()
            cut = chunk.find(mark, _FEW) + len(mark)
            if cut >= len(mark):
                yield chunk[:cut]
                rest = chunk[cut:]
        else:
            yield held
        held = rest
    if held:
        mark = end()
        cut = held.rfind(mark, 0, max(len(held) - _FEW, 0)) + len(mark)
        yield from filter(None, (held[:cut], held[cut:]) if cut >= len(mark) else (held,))


def count_bytes(text: bytes, byte: bytes) -> int:
    """Count a byte; several times as fast as ``bytes.count`` where it is frequent."""
    return int(np.count_nonzero(np.frombuffer(text, dtype=np.uint8) == byte[0]))


def control_characters(text: bytes) -> int:
    """Count control characters, newlines among them."""
    return int(np.count_nonzero(np.frombuffer(text, dtype=np.uint8) < _BLANK))
