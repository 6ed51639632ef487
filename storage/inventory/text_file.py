"""A text that is being read, as a whole or in pieces that may be read by anybody and in any order.

Only its first lines, which say what it is, and its last ones, which may be cut off, have to be read where all is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from engine.cut import LastLine
from storage.inventory.chunks import Chunk, Chunks, Form
from storage.inventory.detect import Layout, recognise, take_sample
from storage.inventory.entries import Rows
from storage.inventory.errors import InventoryError, cut_off
from storage.inventory.foreign.lfn import LfnToPath, identity_path
from storage.inventory.foreign.lines import ChunkReader, read_foreign
from storage.inventory.formats import Format
from storage.inventory.last_line import Tail
from storage.inventory.misfits import Misfits
from storage.inventory.owner import Owner, SiteRows
from storage.inventory.packing import Packed, Packer
from storage.inventory.table_text import read_table
from storage.inventory.text import read_text


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a text: its format, if that is known, where relative paths start, whose rows, and checksums.

    ``lfn_to_path`` gives the path of a replica that has none. ``allowed`` is the part of the lines of a dump of another
    program that may not fit, and ``allowed_in_lists`` that of other lists.
    """

    format: Format | None = None
    root: bytes | None = None
    owner: Owner = field(default_factory=Owner)
    checksums: bool = False
    lfn_to_path: LfnToPath = identity_path
    allowed: float = 0.0
    allowed_in_lists: float = 0.0


@dataclass(frozen=True, slots=True)
class PieceForm:
    """All that is to be known for reading a piece of a text: what `TextFile` found out, and what is asked for."""

    source: str
    layout: Layout
    form: Form
    root: bytes | None
    site: bytes
    keep: tuple[bytes, ...]
    listed_at: int


@dataclass(frozen=True, slots=True)
class ReadPiece:
    """What a piece has: its rows made ready, how many lines it is, and what `SiteRows` found out of it."""

    packed: Packed
    lines: int
    found: bool
    others: frozenset[str]


class PieceReader:
    """Reads pieces of whole lines from behind the first lines of a text."""

    def __init__(self, form: PieceForm) -> None:
        self._form = form
        self._packer = Packer(form.keep, form.listed_at)

    def read(self, piece: bytes) -> ReadPiece | None:
        """Read a piece; None when it cannot be told what is in it without all that comes before it.

        So it is when something is wrong with it, whose line nobody knows here, and from the first quote of a CSV on.
        """
        form, layout = self._form, self._form.layout
        if layout.format is Format.CSV and b'"' in piece:
            return None
        first_line = layout.head + 1
        owned = SiteRows(form.site)
        packed = Packed()
        try:
            chunk = form.form.chunk(piece, first_line, form.source)
            reader = None if layout.form is None else layout.form.reader(form.root, checksums=False)
            for rows in read_rows((chunk,), layout, form.root, Misfits(form.source), reader):
                kept = owned.of(rows)
                packed = packed if kept is None else self._packer.pack(kept)
        except InventoryError:
            return None
        return ReadPiece(packed, chunk.next_line - first_line, owned.found, frozenset(owned.others))


class TextFile:
    """A text of which the first lines were looked at.

    ``pieces`` are the whole lines behind those that were ``taken`` to look at. Who reads some of them by another way
    than `rows`, which then gives the rest, says so with `passed` and `put_back`. ``last_line`` and ``ended`` are known
    when all rows were read; ``lines`` grows meanwhile. One that ``is_empty`` says nothing in any line, and one that
    ``is_escaped`` is a list of our own, in which there are files alone.
    """

    def __init__(self, blocks: Iterable[bytes], source: str, wanted: Wanted, heed: Callable[[], None]) -> None:
        """Look at the first lines; see `storage.inventory.reader.open_inventory`."""
        self.source = source
        self.heed = heed
        self.last_line: LastLine | None = None
        self._root = wanted.root
        self._chunks = Chunks(blocks, source)
        self._tail = Tail(source)
        self.taken: list[Chunk] = []
        sample, self.is_escaped = self._sample()
        # A line that may be cut does not say what a line looks like.
        telling = sample[:-1] if len(sample) > 1 and sample[-1][0] == self._tail.line else sample
        self.layout = recognise(
            telling,
            self.is_escaped,
            wanted.format,
            source,
            lenient=wanted.allowed_in_lists > 0,
            lfn_to_path=wanted.lfn_to_path,
        )
        form = self.layout.form
        self.misfits = Misfits(source, wanted.allowed_in_lists if form is None else wanted.allowed)
        rses = self.layout.names_rses
        self._site = wanted.owner.named(rses)
        self._owned = SiteRows(self._site, rses)
        self._reader = None if form is None else form.reader(wanted.root, wanted.checksums)
        self.is_empty = not sample

    def _sample(self) -> tuple[list[tuple[int, bytes]], bool]:
        sample, escaped, self.taken = take_sample(self._seen(self._chunks))
        return sample, escaped

    def _seen(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            self._tail.see(chunk)
            self.heed()
            yield chunk

    @property
    def lines(self) -> int:
        """How many lines were read."""
        return self._chunks.next_line - 1

    @property
    def ended(self) -> bool:
        """Whether there is a newline at the end."""
        return self._tail.ended

    @property
    def pieces(self) -> Iterator[bytes]:
        """The whole lines that are still to come; see `storage.inventory.chunks.cut_blocks`."""
        return self._chunks.pieces

    def piece_form(self, keep: tuple[bytes, ...], listed_at: int) -> PieceForm:
        """Say how to read a piece; see `Packer`."""
        return PieceForm(self.source, self.layout, self._chunks.form, self._root, self._site, keep, listed_at)

    def taken_rows(self) -> Iterator[Rows]:
        """Give the rows of the lines that were taken to look at; `rows` gives the others then."""
        taken, self.taken = self.taken, []
        yield from self._rows(taken)

    def passed(self, piece: ReadPiece) -> None:
        """Take note of a piece that was read, the next one in the order of the file."""
        self._chunks.next_line += piece.lines
        self._owned.found |= piece.found
        self._owned.others |= piece.others

    def put_back(self, pieces: Iterator[bytes]) -> None:
        """Say which pieces are still to come."""
        self._chunks.pieces = pieces

    def rows(self) -> Iterator[Rows]:
        """Give the rows of all that is still to come."""
        taken, self.taken = self.taken, []
        yield from self._rows(chain(taken, self._seen(self._chunks)))
        if self._reader is None:
            self.last_line = self._tail.last_line(self.layout, self._root, self._site)
        else:
            self._end(self._reader)
        self.misfits.check(self.lines)
        self._owned.check(self.source)

    def _end(self, reader: ChunkReader) -> None:
        """Look at the end of a dump, which programs end with a newline."""
        if not self.ended:
            raise cut_off(self.source, self.lines, "a newline at the end of its last line")
        reader.finish(self.misfits)

    def _rows(self, chunks: Iterable[Chunk]) -> Iterator[Rows]:
        rows_read = read_rows(chunks, self.layout, self._root, self.misfits, self._reader)
        for rows in self._tail.note(rows_read):
            kept = self._owned.of(rows)
            if kept is not None:
                yield kept


def read_rows(
    chunks: Iterable[Chunk], layout: Layout, root: bytes | None, misfits: Misfits, reader: ChunkReader | None
) -> Iterator[Rows]:
    """Read chunks of a text; ``reader`` is that of the dump of another program.

    Raises:
        InventoryMalformed: a line does not fit, and ``misfits`` does not let it pass.
    """
    if reader is not None:
        return read_foreign(chunks, reader, layout.head, misfits)
    if layout.header is None:
        return read_text(chunks, layout.numbers, root, misfits, layout.begins)
    return read_table(chunks, layout.header, root, misfits)
