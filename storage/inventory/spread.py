"""An inventory that several processes read: this one, and workers that it hands pieces of the text to.

What a piece has comes into the tree in the order of the file, whoever read it, and from the first piece that cannot be
read apart from the others on, this process reads by itself, as it does from the first that was lost with a worker. So
tree, counts and errors are those of one process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain

from storage.inventory.builder import TreeBuilder
from storage.inventory.foreign.lfn import SHARED
from storage.inventory.formats import Format
from storage.inventory.team import Team, Ticket
from storage.inventory.text_file import PieceReader, TextFile

ALONE = 16 << 20
"""Bytes of text that this process reads before it starts others: a list of no more is read before they are there."""

_WAITING = 4
"""Pieces for each process that may wait for one that comes before them; each is held, with what it has."""


def spread(text: TextFile, builder: TreeBuilder, processes: int, keep: tuple[bytes, ...], listed_at: int) -> None:
    """Read a text with several processes, this one included; what remains is for `TextFile.rows`.

    The last lines always do, since the end of a text is looked at there.

    Raises:
        InventoryError: as for one process.
        OSError: there is no room for what is set aside.
    """
    form, header = text.layout.form, text.layout.header
    if form is not None and not form.apart:
        return
    if header is not None and header.lfn_to_path not in SHARED:
        # It may not be had in another process.
        return
    if text.layout.format is Format.CSV and any(b'"' in chunk.data for chunk in text.taken):
        return
    for rows in text.taken_rows():
        builder.add(rows)
    pieces = _Pieces(text.pieces)
    reader = PieceReader(piece_form := text.piece_form(keep, listed_at))
    waiting: deque[Ticket] = deque()
    team: Team | None = None
    with ExitStack() as stack:

        def settle(most: int) -> bool:
            """Put what was read into the tree until so many pieces wait; False when one could not be read."""
            while waiting and (len(waiting) > most or waiting[0].done):
                if team is not None:
                    team.wait(waiting[0])
                found = waiting[0].found
                if found is None:
                    return False
                text.passed(found)
                builder.add_packed(found.packed)
                waiting.popleft()
            return True

        went_well = True
        read = in_order = 0
        for piece in pieces:
            text.heed()
            # Of lines in no order, nearly all work is left when they are read.
            if team is None and pieces.size > ALONE and 2 * in_order >= read:
                team = stack.enter_context(Team(processes - 1, piece_form, text.heed))
            ticket = None if team is None else team.give(piece)
            if ticket is None:
                ticket = Ticket(piece, True, reader.read(piece))
                read += 1
                in_order += ticket.found is not None and bool(ticket.found.packed.directories)
            waiting.append(ticket)
            if not settle(_WAITING * processes):
                went_well = False
                break
        if went_well:
            settle(0)
    text.put_back(chain([ticket.piece for ticket in waiting], pieces.rest()))


class _Pieces(Iterator[bytes]):
    """All pieces but the last one; ``size`` is that of those that were given, in bytes."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._error: Exception | None = None
        self.size = 0
        self._ahead = self._following()

    def _following(self) -> bytes | None:
        try:
            return next(self._pieces, None)
        except Exception as error:
            # What comes before it may be wrong as well, and is then said first.
            self._error = error
            return None

    def __next__(self) -> bytes:
        piece, following = self._ahead, self._following()
        if piece is None or following is None:
            raise StopIteration
        self._ahead = following
        self.size += len(piece)
        return piece

    def rest(self) -> Iterator[bytes]:
        """Give what is still to come, or raise what came in its place."""
        if self._ahead is not None:
            yield self._ahead
        if self._error is not None:
            raise self._error
        yield from self._pieces
