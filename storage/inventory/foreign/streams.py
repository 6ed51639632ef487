"""Dumps that are no lines: elements of XML, objects of JSON, records of Parquet and Avro.

Each is read from blocks of bytes by a class of its own, which is a `Stream`. What they have in common is here.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from storage.inventory.entries import Rows
from storage.inventory.foreign.entry import Holds
from storage.inventory.formats import Format
from storage.inventory.misfits import Misfits


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted of a stream: where relative paths start, and whether anybody wants checksums.

    ``misfits`` takes what does not fit.
    """

    misfits: Misfits
    root: bytes | None = None
    checksums: bool = False

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
