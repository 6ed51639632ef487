"""The output of ``eos find`` as text: keys and values behind a path.

Either ``path="/eos/a" size=7 mtime=1700000000.5`` or ``/eos/a size=7 checksum=… mtime=…``. The path is all that is
before the keys which most lines have, so that a name may look like one of them. A path that ends with a slash is that
of a directory.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from storage.inventory.entries import Rows, read_size, read_time
from storage.inventory.foreign.entry import Entry, HalfRead, Holds
from storage.inventory.foreign.lines import LineReader
from storage.inventory.foreign.template import Template
from storage.inventory.formats import Format

COLUMNS = {b"size": "size", b"checksum": "checksum", b"xs": "checksum", b"mtime": "mtime", b"ctime": "ctime"}
"""What keys mean; the time of a file is its ``mtime``, or ``ctime`` where that is not there."""

_KEY = rb"[A-Za-z][A-Za-z0-9_.]*"
_WORDS = re.compile(rb"[ \t]+([^ \t]+)")
_KEY_AND_VALUE = re.compile(rb"%b=" % _KEY)
_KEYS = re.compile(rb"([ \t]+)(%b)=" % _KEY)
_QUOTED = re.compile(rb'path="(?:/|x?roots?://)')
_PLAIN = re.compile(rb"(?:/|x?roots?://)")


@dataclass(frozen=True, slots=True)
class EosForm:
    """The keys of each line, each with the blanks before it; the path may be ``quoted``."""

    quoted: bool
    keys: tuple[tuple[bytes, bytes], ...]
    format = Format.EOS
    apart = True
    header = 0

    @classmethod
    def of(cls, sample: Sequence[bytes]) -> EosForm | None:
        """Recognise it by the keys of most of the first lines that are no directories."""
        for quoted, beginning in ((True, _QUOTED), (False, _PLAIN)):
            begun = [line for line in sample if beginning.match(line)]
            ends = list(zip(begun, map(_path_end, begun), strict=True))
            slash = b'/"' if quoted else b"/"
            files = [line[end:] for line, end in ends if end < len(line) and not line.endswith(slash, 0, end)]
            counts = Counter(tuple(_KEYS.findall(tail)) for tail in files)
            known = [keys for keys in counts if _has_known(keys)]
            if not known or len(begun) * 2 <= len(sample):
                continue
            # What looks like a key may be the end of a name: then a line has more of them than most.
            most = min(known, key=lambda keys: (-counts[keys], len(keys)))
            fitting = sum(count for keys, count in counts.items() if keys[-len(most) :] == most)
            directories = sum(line[:end].rstrip(b" \t").endswith(slash) for line, end in ends)
            if (fitting + directories) * 2 > len(begun):
                return cls(quoted, most)
        return None

    @property
    def holds(self) -> Holds:
        """Which columns it has."""
        names = {COLUMNS.get(key, "") for _, key in self.keys}
        return Holds("size" in names, bool({"mtime", "ctime"} & names), "checksum" in names)

    def reader(self, root: bytes | None, checksums: bool) -> EosReader:
        """Make a reader."""
        return EosReader(self, root, checksums)


def _path_end(line: bytes) -> int:
    """Say where the keys and values at the end of a line begin; its length where there are none.

    A pattern for all of them would be tried from each blank on, and take hours for a line of a million.
    """
    begin = len(line)
    for match in reversed(list(_WORDS.finditer(line))):
        if match.end() != begin or not _KEY_AND_VALUE.match(match[1]):
            break
        begin = match.start()
    return begin


def _has_known(keys: Sequence[tuple[bytes, bytes]]) -> bool:
    return b"size" in (known := [key for _, key in keys]) or b"mtime" in known or b"checksum" in known


class EosReader(LineReader):
    """Reads lines of a form."""

    def __init__(self, form: EosForm, root: bytes | None, checksums: bool) -> None:
        super().__init__(form.holds._replace(checksums=form.holds.checksums and checksums), root)
        self._quoted = form.quoted
        first, end = (b'path="', b'"') if form.quoted else (b"", b"")
        names, literals, pattern = ["path"], [first], re.escape(first) + rb"(?P<path>.*)" + re.escape(end)
        for blanks, key in form.keys:
            literal = blanks + key + b"="
            name = COLUMNS.get(key, "")
            name = "" if name in names else name
            literals.append(end + literal if len(literals) == 1 else literal)
            names.append(name)
            pattern += re.escape(literal) + (rb"(?P<%b>[^=]*)" % name.encode() if name else rb"[^=]*")
        literals.append(b"")
        self._time = "mtime" if "mtime" in names else "ctime"
        self._template = Template(b"=", tuple(literals), tuple(names))
        self._line = re.compile(pattern, re.DOTALL)

    def quick(self, data: bytes) -> Rows | None:
        """Read all lines at once, or give None."""
        found = self._template.find(data)
        located = None if found is None else found.paths()
        if found is None or located is None:
            return None
        sizes = found.integers("size") if self.holds.sizes else None
        mtimes = found.times(self._time) if self.holds.times else None
        if (self.holds.sizes and sizes is None) or (self.holds.times and mtimes is None):
            return None
        return Rows(*located, sizes, mtimes, checksums=found.texts("checksum") if self.holds.checksums else None)

    def careful(self, line: bytes) -> Entry | None:
        """Read one line."""
        match = self._line.fullmatch(line)
        if match is None:
            if self._is_directory(line):
                return None
            raise ValueError("a path with the same keys behind it as on most lines")
        of = match.groupdict()
        path = of["path"]
        if path.endswith(b"/"):
            return None
        entry = Entry(*self.locate(path), checksum=of.get("checksum") or b"")
        try:
            size = read_size(of["size"]) if "size" in of else UNKNOWN_SIZE
            time = of.get(self._time)
            return entry._replace(size=size, mtime=read_time(time) if time else UNKNOWN_MTIME)
        except ValueError as error:
            raise HalfRead(str(error), entry) from error

    def _is_directory(self, line: bytes) -> bool:
        """Tell a directory, which may have other keys, or none."""
        line = line.rstrip(b" \t")
        path = line[: _path_end(line)]
        if self._quoted:
            return path.startswith(b'path="/') and path.endswith(b'/"')
        return path.startswith(b"/") and path.endswith(b"/")
