"""What kind of list a file is, told by its first lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from engine import paths
from storage.inventory.chunks import Chunk
from storage.inventory.errors import malformed

SAMPLE = 1000
"""Lines that are looked at."""

PATH_COLUMNS = (b"lfn", b"path", b"file", b"name", b"pfn")
SIZE_COLUMNS = (b"size", b"bytes", b"filesize")
TIME_COLUMNS = (b"mtime", b"timestamp", b"date")
BLOCK_COLUMNS = (b"block",)
DATASET_COLUMNS = (b"dataset",)
GROUP_COLUMNS = (b"group", b"owner")
SITE_COLUMNS = (b"site",)
PROTECTED_COLUMNS = (b"protected",)
KNOWN_COLUMNS = (
    PATH_COLUMNS,
    SIZE_COLUMNS,
    TIME_COLUMNS,
    BLOCK_COLUMNS,
    DATASET_COLUMNS,
    GROUP_COLUMNS,
    SITE_COLUMNS,
    PROTECTED_COLUMNS,
)
"""The names of each column that means something, in the order of the positions in a `Columns`."""

SIZED = re.compile(rb"(.*[^ \t])[ \t]([0-9]+)", re.DOTALL)
TIMED = re.compile(rb"(.*[^ \t])[ \t]([0-9]+)[ \t]+(-?[0-9]+(?:\.[0-9]*)?)", re.DOTALL)

EXPECTED = ("a path", '"path size"', '"path size mtime"')
"""What a line of text is, by the count of its numbers."""

_FOREIGN = (
    (re.compile(rb"\s*<"), "XML"),
    (re.compile(rb"\s*[\[{]"), "JSON"),
    (re.compile(rb"[-dl](?:[r-][w-][x-]){1,3} "), "the output of ls -l"),
    (re.compile(rb"(?:path|file|keylength\.file)=|.* size=[0-9]"), "the output of eos find"),
    (re.compile(rb"[^|]*\|[0-9]+(?:\||\Z)"), 'fields separated by "|"'),
)


class Format(StrEnum):
    """The formats that are read."""

    PATHS = "paths"
    SIZES = "sizes"
    CSV = "csv"
    TSV = "tsv"


@dataclass(frozen=True, slots=True)
class Columns:
    """The position of each column of a table that means something; None: there is no such column."""

    path: int
    size: int | None = None
    mtime: int | None = None
    block: int | None = None
    dataset: int | None = None
    group: int | None = None
    site: int | None = None
    protected: int | None = None


def find_columns(names: Sequence[bytes]) -> Columns | None:
    """Find the columns by their names, in any case; None when none of them is a path.

    Raises:
        ValueError: a name comes twice; says what was expected.
    """
    lowered = [name.strip().lower() for name in names]
    found = [_positions(lowered, known) for known in KNOWN_COLUMNS]
    if not found[0]:
        return None
    for positions in found:
        if len(positions) > 1 and lowered[positions[0]] == lowered[positions[1]]:
            raise ValueError("a header that names each column once")
    path, *others = (positions[0] if positions else None for positions in found)
    assert path is not None
    return Columns(path, *others)


@dataclass(frozen=True, slots=True)
class Header:
    """The head of a table: its line, how many columns, what separates them, and which of them are used."""

    line: int
    width: int
    delimiter: bytes
    columns: Columns


@dataclass(frozen=True, slots=True)
class Layout:
    """How to read a file. ``numbers`` counts the fields behind the path in text; ``header`` is that of a table."""

    format: Format
    numbers: int = 0
    header: Header | None = None

    @property
    def has_sizes(self) -> bool:
        """Whether the entries come with sizes."""
        return self.numbers > 0 or (self.header is not None and self.header.columns.size is not None)


Sample = list[tuple[int, bytes]]


def take_sample(chunks: Iterator[Chunk]) -> tuple[Sample, bool, list[Chunk]]:
    """Give the first lines that say something, with their numbers, whether they are escaped, and the chunks taken."""
    taken: list[Chunk] = []
    sample: Sample = []
    for chunk in chunks:
        taken.append(chunk)
        sample.extend(chunk.numbered())
        if len(sample) >= SAMPLE:
            break
    return sample[:SAMPLE], any(chunk.escaped for chunk in taken), taken


def recognise(sample: Sample, escaped: bool, wanted: Format | None, source: str) -> Layout:
    """Tell the layout of a file from its first lines, in the format ``wanted`` if one is given.

    An ``escaped`` list is one of our own, in which nothing that names may look like means another program's format.

    Raises:
        InventoryMalformed: a table without a usable header, a known format that is not read, or text of which most but
            not all lines end in a size: taken as names, those numbers would make every file a finding.
    """
    if not sample:
        return Layout(wanted or Format.PATHS)
    line, first = sample[0]
    match wanted:
        case None:
            header = _header(line, first, b"\t" if b"\t" in first else b",", source)
            if header is not None:
                return Layout(Format.TSV if header.delimiter == b"\t" else Format.CSV, header=header)
            return _recognise_text(sample, escaped, source)
        case Format.PATHS:
            return Layout(Format.PATHS)
        case Format.SIZES:
            return Layout(Format.SIZES, _numbers(sample, source) or 1)
        case Format.CSV | Format.TSV:
            header = _header(line, first, b"," if wanted is Format.CSV else b"\t", source)
            if header is None:
                raise malformed(source, line, f"a header with a column {_alternatives(PATH_COLUMNS)}", first)
            return Layout(wanted, header=header)


def _recognise_text(sample: Sample, escaped: bool, source: str) -> Layout:
    line, first = sample[0]
    for pattern, name in () if escaped else _FOREIGN:
        if pattern.match(first):
            raise malformed(source, line, f"a format that is read, which {name} is not", first)
    numbers = _numbers(sample, source)
    return Layout(Format.SIZES if numbers else Format.PATHS, numbers)


def _numbers(sample: Sample, source: str) -> int:
    """Count the numbers at the end of the lines: those that most lines have, which then all must have."""
    for numbers, pattern in ((2, TIMED), (1, SIZED)):
        misfits = [entry for entry in sample if not pattern.fullmatch(entry[1])]
        if len(misfits) * 2 < len(sample):
            if misfits:
                line, text = misfits[0]
                raise malformed(source, line, f"{EXPECTED[numbers]} as in most lines", text)
            return numbers
    return 0


def _header(line: int, text: bytes, delimiter: bytes, source: str) -> Header | None:
    fields = _quoted_fields(text) if delimiter == b"," else text.split(delimiter)
    if any(b"/" in field for field in fields):
        return None
    try:
        columns = find_columns(fields)
    except ValueError as error:
        raise malformed(source, line, str(error), text) from error
    if columns is not None and delimiter == b"," and not _quoted_fields(text, strict=True):
        # A quote that stays open takes the lines below into the header.
        raise malformed(source, line, "a header of one line, quoted as in CSV", text)
    return None if columns is None else Header(line, len(fields), delimiter, columns)


def _quoted_fields(text: bytes, strict: bool = False) -> list[bytes]:
    """Cut a line of CSV; gives nothing where that cannot be done."""
    try:
        return [paths.encode(field) for field in next(csv.reader([paths.decode(text)], strict=strict))]
    except csv.Error:
        return []


def _positions(names: Sequence[bytes], known: Iterable[bytes]) -> list[int]:
    """Give the positions of columns with a known name, the most telling first."""
    return [at for name in known for at, found in enumerate(names) if found == name]


def _alternatives(names: Sequence[bytes]) -> str:
    words = [paths.decode(name) for name in names]
    return ", ".join(words[:-1]) + " or " + words[-1]
