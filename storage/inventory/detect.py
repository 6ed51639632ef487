"""What kind of list a file is, told by its first lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine import paths
from storage.inventory.chunks import Chunk, is_void
from storage.inventory.errors import malformed
from storage.inventory.foreign.dcache import may_be_row
from storage.inventory.foreign.entry import Holds
from storage.inventory.foreign.lfn import LfnToPath, identity_path
from storage.inventory.foreign.lines import LineForm
from storage.inventory.foreign.recognise import recognise_lines
from storage.inventory.foreign.replica import columns_held
from storage.inventory.formats import OWN, Format
from storage.inventory.patterns import SIZED, TIMED, Beginning
from storage.inventory.table_columns import KNOWN_COLUMNS as KNOWN_COLUMNS
from storage.inventory.table_columns import PATH_COLUMNS as PATH_COLUMNS
from storage.inventory.table_columns import Columns as Columns
from storage.inventory.table_columns import find_columns as find_columns

SAMPLE = 1000
"""Lines that are looked at."""

EXPECTED = ("a path", '"path size"', '"path size mtime"')
"""What a line of text is, by the count of its numbers."""

_FOREIGN = (
    (re.compile(rb"\s*<"), "XML"),
    (re.compile(rb"\s*[\[{]"), "JSON"),
    (re.compile(rb"[-dl](?:[r-][w-][x-]){1,3} "), "the output of ls -l"),
    (re.compile(rb"(?:path|file|keylength\.file)=|.* size=[0-9]"), "the output of eos find"),
    (re.compile(rb"[^|]*\|[0-9]+(?:\||\Z)"), 'fields separated by "|"'),
)


@dataclass(frozen=True, slots=True)
class Header:
    """The head of a table: its line, how many columns, what separates them, and which of them are used.

    ``lfn_to_path`` gives the path of a replica that has none.
    """

    line: int
    width: int
    delimiter: bytes
    columns: Columns
    lfn_to_path: LfnToPath = identity_path

    @property
    def holds(self) -> Holds:
        """Which columns the rows have."""
        return columns_held(self.columns, self.columns.checksum is not None)


@dataclass(frozen=True, slots=True)
class Layout:
    """How to read a file.

    ``numbers`` counts the fields behind the path in text, and ``begins`` is how each line of it does; ``header`` is
    that of a table, and ``form`` that of a dump of another program.
    """

    format: Format
    numbers: int = 0
    header: Header | None = None
    form: LineForm | None = None
    begins: Beginning = Beginning.ANY

    @property
    def has_sizes(self) -> bool:
        """Whether the entries come with sizes."""
        if self.form is not None:
            return self.form.holds.sizes
        return self.numbers > 0 or (self.header is not None and self.header.holds.sizes)

    @property
    def has_times(self) -> bool:
        """Whether the entries come with times."""
        if self.form is not None:
            return self.form.holds.times
        return self.numbers > 1 or (self.header is not None and self.header.holds.times)

    @property
    def has_checksums(self) -> bool:
        """Whether the entries come with checksums."""
        if self.form is not None:
            return self.form.holds.checksums
        return self.header is not None and self.header.columns.checksum is not None

    @property
    def names_rses(self) -> bool:
        """Whether a column says whose each entry is by the name of an RSE."""
        if self.form is not None:
            return self.form.holds.rses
        return self.header is not None and self.header.holds.rses

    @property
    def head(self) -> int:
        """The line that names the columns, 0 when there is none: what comes behind it may be read apart."""
        if self.form is not None:
            return self.form.header
        return 0 if self.header is None else self.header.line


Sample = list[tuple[int, bytes]]


def take_sample(chunks: Iterator[Chunk]) -> tuple[Sample, bool, list[Chunk]]:
    """Give the first lines that say something, with their numbers, whether they are escaped, and the chunks taken."""
    taken: list[Chunk] = []
    sample: Sample = []
    for chunk in chunks:
        taken.append(chunk)
        lines = enumerate(chunk.lines(), chunk.first_line)
        sample.extend((number, line) for number, line in lines if not is_void(line) or may_be_row(line))
        if len(sample) >= SAMPLE:
            break
    return sample[:SAMPLE], any(chunk.escaped for chunk in taken), taken


def recognise(
    sample: Sample,
    escaped: bool,
    wanted: Format | None,
    source: str,
    *,
    lenient: bool = False,
    lfn_to_path: LfnToPath = identity_path,
) -> Layout:
    """Tell the layout of a file from its first lines, in the format ``wanted`` if one is given.

    An ``escaped`` list is one of our own, in which nothing that names may look like means another program's format.
    A ``lenient`` reader lets some lines pass that do not fit.

    Raises:
        InventoryMalformed: a table without a usable header, a known format that is not read, or text of which most but
            not all lines end in a size: taken as names, those numbers would make every file a finding.
    """
    texts = [text for _, text in sample]
    sample = [(number, text) for number, text in sample if not is_void(text)]
    if not sample:
        return Layout(wanted or Format.PATHS)
    line, first = sample[0]
    form = None
    if not escaped and (wanted is None or wanted not in OWN):
        form = recognise_lines(texts, line, wanted, lfn_to_path)
    if form is not None and (wanted is not None or form.header):
        return Layout(form.format, form=form)
    match wanted:
        case None:
            header = _header(line, first, b"\t" if b"\t" in first else b",", source, lfn_to_path)
            if header is not None:
                return Layout(Format.TSV if header.delimiter == b"\t" else Format.CSV, header=header)
            if form is not None:
                return Layout(form.format, form=form)
            return _recognise_text(sample, escaped, source, lenient)
        case Format.PATHS:
            return Layout(Format.PATHS, begins=_beginning(sample, escaped))
        case Format.SIZES:
            return Layout(Format.SIZES, _numbers(sample, source, lenient) or 1, begins=_beginning(sample, escaped))
        case Format.CSV | Format.TSV:
            header = _header(line, first, b"," if wanted is Format.CSV else b"\t", source, lfn_to_path)
            if header is None:
                raise malformed(source, line, f"a header with a column {_alternatives(PATH_COLUMNS)}", first)
            return Layout(wanted, header=header)
        case _:
            raise malformed(source, line, f"a dump of the format {wanted}", first)


def _recognise_text(sample: Sample, escaped: bool, source: str, lenient: bool) -> Layout:
    line, first = sample[0]
    for pattern, name in () if escaped else _FOREIGN:
        if pattern.match(first):
            raise malformed(source, line, f"a format that is read, which {name} is not", first)
    numbers = _numbers(sample, source, lenient)
    return Layout(Format.SIZES if numbers else Format.PATHS, numbers, begins=_beginning(sample, escaped))


def _beginning(sample: Sample, escaped: bool) -> Beginning:
    """Say how nearly all lines begin, which all then have to: another one may be the message of a program.

    No program writes messages into a list of our own.
    """
    lines = [] if escaped else [text for _, text in sample]
    for beginning in (Beginning.ABSOLUTE, Beginning.DOTTED):
        # Of a few lines, some may begin in one way and some in the other.
        if sum(map(beginning.fits, lines)) * 10 > len(lines) * 9:
            return beginning
    return Beginning.ANY if escaped else Beginning.RELATIVE


def _numbers(sample: Sample, source: str, lenient: bool) -> int:
    """Count the numbers at the end of the lines: those that most lines have, which then all must have."""
    for numbers, pattern in ((2, TIMED), (1, SIZED)):
        misfits = [entry for entry in sample if not pattern.fullmatch(entry[1])]
        if len(misfits) * 2 < len(sample):
            if misfits and not lenient:
                line, text = misfits[0]
                raise malformed(source, line, f"{EXPECTED[numbers]} as in most lines", text)
            return numbers
    return 0


def _header(line: int, text: bytes, delimiter: bytes, source: str, lfn_to_path: LfnToPath) -> Header | None:
    fields = _quoted_fields(text) if delimiter == b"," else text.split(delimiter)
    if any(b"/" in field for field in fields):
        return None
    try:
        columns = find_columns(fields, replicas=True)
    except ValueError as error:
        raise malformed(source, line, str(error), text) from error
    if columns is not None and delimiter == b"," and not _quoted_fields(text, strict=True):
        # A quote that stays open takes the lines below into the header.
        raise malformed(source, line, "a header of one line, quoted as in CSV", text)
    return None if columns is None else Header(line, len(fields), delimiter, columns, lfn_to_path)


def _quoted_fields(text: bytes, strict: bool = False) -> list[bytes]:
    """Cut a line of CSV; gives nothing where that cannot be done."""
    try:
        return [paths.encode(field) for field in next(csv.reader([paths.decode(text)], strict=strict))]
    except csv.Error:
        return []


def _alternatives(names: Sequence[bytes]) -> str:
    words = [paths.decode(name) for name in names]
    return ", ".join(words[:-1]) + " or " + words[-1]
