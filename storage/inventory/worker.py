"""A process that reads pieces of an inventory for another one, which `storage.inventory.team` starts.

It shares memory with the process that started it, which puts pieces there and finds there what they have. Through its
standard input it is given first what `PieceForm` says, packed, and then where pieces are; through its standard output
it says where the answers are. It ends when its input does, and with the process that started it.
"""

from __future__ import annotations

import mmap
import os
import pickle
import select
import struct

from storage.inventory.allocator import keep_freed_memory
from storage.inventory.text_file import PieceForm, PieceReader

MESSAGE = struct.Struct("<II")
"""A slot of the shared memory and how many bytes are in it. In an answer none means that the piece was not read."""

READY = 0xFFFFFFFF
"""In the place of a slot: everything is loaded."""

LONGEST_PIECE = 4 << 20
LONGEST_ANSWER = 12 << 20
SLOT = LONGEST_PIECE + LONGEST_ANSWER
SLOTS = 2
"""A piece that waits while another one is read."""

_LOOK_EVERY = 1000
"""Milliseconds between two looks at whether the process that started this one is still there."""


def main(shared: int) -> None:
    """Read pieces until there are no more; ``shared`` is the descriptor of the shared memory."""
    parent = os.getppid()
    keep_freed_memory()
    memory = mmap.mmap(shared, SLOT * SLOTS)
    (length, _) = MESSAGE.unpack(_take(MESSAGE.size, parent))
    form = pickle.loads(_take(length, parent))
    assert isinstance(form, PieceForm)
    reader = PieceReader(form)
    os.write(1, MESSAGE.pack(READY, 0))
    while True:
        slot, length = MESSAGE.unpack(_take(MESSAGE.size, parent))
        start = slot * SLOT
        answer = _answer(reader, memory[start : start + length])
        start += LONGEST_PIECE
        memory[start : start + len(answer)] = answer
        os.write(1, MESSAGE.pack(slot, len(answer)))


def _answer(reader: PieceReader, piece: bytes) -> bytes:
    """Read a piece; gives nothing where the process that asked has to read it by itself, and see what is wrong."""
    try:
        found = reader.read(piece)
        answer = b"" if found is None else pickle.dumps(found, pickle.HIGHEST_PROTOCOL)
    except Exception:
        return b""
    return answer if len(answer) <= LONGEST_ANSWER else b""


def _take(wanted: int, parent: int) -> bytes:
    """Take bytes from the standard input; ends the process where that does, or where its parent is gone."""
    taken = b""
    waiting = select.poll()
    waiting.register(0, select.POLLIN)
    while len(taken) < wanted:
        if not waiting.poll(_LOOK_EVERY):
            if os.getppid() != parent:
                raise SystemExit(0)
            continue
        more = os.read(0, wanted - len(taken))
        if not more:
            raise SystemExit(0)
        taken += more
    return taken
