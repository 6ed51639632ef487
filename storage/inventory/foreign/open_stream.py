"""Dumps that are no lines: which one a file is, and what reads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from storage.inventory.compression import is_packed
from storage.inventory.foreign.streams import Asked, Stream
from storage.inventory.misfits import Misfits

if TYPE_CHECKING:
    from storage.inventory.text_file import Wanted

HEAD = 1 << 16
"""Bytes of which the first ones tell what a file is."""

PARQUET, AVRO = b"PAR1", b"Obj\x01"
_MARKS = (b"<", b"[", b"{")
_BOM = b"\xef\xbb\xbf"


def first_blocks(blocks: Iterator[bytes]) -> list[bytes]:
    """Take as many blocks as are needed to tell what a file is."""
    taken: list[bytes] = []
    held = 0
    for block in blocks:
        taken.append(block)
        held += len(block)
        if held >= HEAD:
            break
    return taken


def open_stream(
    file: str, taken: Sequence[bytes], blocks: Iterable[bytes], source: str, wanted: Wanted
) -> Stream | None:
    """Give what reads a dump that is no lines, whose first blocks were taken; None when it is none.

    Raises:
        InventoryError: it is one, and cannot be read.
    """
    # What reads each is loaded where there is one: most files are lines.
    head = b"".join(taken)
    asked = Asked(Misfits(source, wanted.allowed), wanted.root, wanted.checksums, wanted.lfn_to_path)
    if head.startswith(PARQUET):
        from storage.inventory.foreign.parquet import ParquetStream

        return ParquetStream(chain(taken, blocks), asked, None if is_packed(file) else file)
    if head.startswith(AVRO):
        from storage.inventory.foreign.avro import AvroStream

        return AvroStream(chain(taken, blocks), asked)
    start = head.removeprefix(_BOM).lstrip()
    if not start.startswith(_MARKS):
        return None
    if start.startswith(b"<"):
        from storage.inventory.foreign.syncat import SyncatStream, is_syncat

        return SyncatStream(chain(taken, blocks), asked) if is_syncat(head) else None
    from storage.inventory.foreign.json_array import JsonStream, is_json_array

    return JsonStream(chain(taken, blocks), asked, head) if is_json_array(head) else None
