"""Replicas of Rucio: ``rse scope name checksum size creation_date path update_date state``, separated by tabs.

Older dumps lack the state; a header may name the columns in another order. Where the path is empty, as on
deterministic RSEs, it follows from scope and name. A replica that is not available, be it on its way in or out, is in
the inventory so that its file is no orphan, but is not judged: see `UNSETTLED_MTIME`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.columns import UNKNOWN_MTIME, UNSETTLED_MTIME, Int64s
from engine.lfn2path import DOTTED
from storage.inventory.entries import Bytes, Rows, read_size, read_time, split_lines
from storage.inventory.foreign.entry import Entry, HalfRead, Holds
from storage.inventory.foreign.lfn import BY_IDENTITY, SHARED, LfnToPath, identity_path
from storage.inventory.foreign.lines import LineReader
from storage.inventory.foreign.replica import AVAILABLE, NULLS, by_states, is_settled
from storage.inventory.foreign.spans import Places, Span, below_root, cut_paths
from storage.inventory.foreign.template import Found, Template
from storage.inventory.formats import Format

COLUMNS = ("rse", "scope", "name", "checksum", "size", "creation_date", "path", "update_date", "state")
_SYNONYMS = {"bytes": "size", "adler32": "checksum", "updated_at": "update_date", "created_at": "creation_date"}
"""What columns are called in the database."""

_NEEDED = frozenset(("rse", "scope", "name", "size"))
_TELLING = frozenset(("checksum", "creation_date", "update_date", "state"))
"""What a header has to name, and of what it has to name one."""

_FEWEST, _MOST = len(COLUMNS) - 1, len(COLUMNS) + 1

_DATES = ("update_date", "creation_date")
"""When a replica was last changed, or made where that is not said."""

_LONGEST_NULL = 4
_SLASH, _DOT = b"/."


@dataclass(frozen=True, slots=True)
class RucioForm:
    """Which column stands where.

    ``header`` is the number of the line that names the columns, 0 when there is none.
    """

    columns: tuple[str, ...]
    header: int = 0
    lfn_to_path: LfnToPath = identity_path
    format = Format.RUCIO

    @property
    def apart(self) -> bool:
        """See whether other processes may read: not with a function that may not be had there."""
        return self.lfn_to_path in SHARED

    @classmethod
    def of(
        cls, sample: Sequence[bytes], first_line: int = 1, lfn_to_path: LfnToPath = identity_path
    ) -> RucioForm | None:
        """Recognise it by most of the first lines, or by a header, which is the line ``first_line``."""
        names = tuple(name.strip().lower().decode("ascii", "replace") for name in sample[0].split(b"\t"))
        names = tuple(_SYNONYMS.get(name, name) if _SYNONYMS.get(name) not in names else name for name in names)
        if len(set(names)) == len(names) and set(names) >= _NEEDED and set(names) & _TELLING:
            return cls(names, first_line, lfn_to_path)
        rows = [line.split(b"\t") for line in sample]
        ((width, _),) = Counter(map(len, rows)).most_common(1)
        if not _FEWEST <= width <= _MOST:
            return None
        fitting = [row for row in rows if len(row) == width and row[COLUMNS.index("size")].isdigit()]
        if len(fitting) * 2 <= len(rows):
            return None
        return cls((*COLUMNS, "")[:width], lfn_to_path=lfn_to_path)

    @property
    def holds(self) -> Holds:
        """Which columns it has."""
        return Holds(times=True, checksums="checksum" in self.columns, sites=True, rses=True)

    def reader(self, root: bytes | None, checksums: bool) -> RucioReader:
        """Make a reader."""
        return RucioReader(self, root, checksums)


class RucioReader(LineReader):
    """Reads lines of a form."""

    # A replica is a file, and what its path is then nobody can tell.
    has_directories = False

    def __init__(self, form: RucioForm, root: bytes | None, checksums: bool) -> None:
        super().__init__(form.holds._replace(checksums=form.holds.checksums and checksums), root)
        self._form = form
        known = frozenset(COLUMNS)
        # A path never has a tab in it, and may be relative, so that it is cut out like any other text.
        names = tuple("location" if name == "path" else name if name in known else "" for name in form.columns)
        self._template = Template(b"\t", (b"", *[b"\t"] * (len(names) - 1), b""), names)

    def quick(self, data: bytes) -> Rows | None:
        """Read all lines at once, or give None."""
        found = self._template.find(data)
        located = None if found is None else self._paths(found)
        sizes = None if found is None else found.integers("size")
        mtimes = None if found is None else self._times(found)
        if found is None or located is None or sizes is None or mtimes is None:
            return None
        if "state" in found.spans:
            judged = by_states(found.texts("state"), sizes, mtimes)
            if judged is None:
                return None
            sizes, mtimes = judged
        checksums = found.texts("checksum") if self.holds.checksums else None
        return Rows(*located, sizes, mtimes, sites=found.texts("rse"), checksums=checksums)

    def plain(self, data: bytes) -> bytes:
        """Leave it: what is below a scope or a host may be another file with one slash less."""
        return data

    def _paths(self, found: Found) -> tuple[list[bytes], list[bytes]] | None:
        spans = found.spans
        place = spans.get("location")
        if place is not None and not (place.ends - place.starts <= _LONGEST_NULL).any():
            return self._cut(found.text, place)
        scope, name = spans["scope"], spans["name"]
        follow = self._form.lfn_to_path in BY_IDENTITY and (place is None or place.is_empty.all())
        together = (scope.ends + 1 == name.starts).all() and not (found.text[name.starts] == _SLASH).any()
        if follow and together:
            # What stands in the line is the path, but for the tab, and for the dots of some scopes.
            text = found.text.copy()
            text[scope.ends] = _SLASH
            text[_dots_that_are_slashes(text, scope)] = _SLASH
            return self._cut(text, Span(scope.starts, name.ends))
        return self._named(found)

    def _cut(self, text: Bytes, span: Span) -> tuple[list[bytes], list[bytes]] | None:
        absolute = text[span.starts] == _SLASH
        if absolute.all():
            return cut_paths(text, span)
        located = None if absolute.any() or self.root is None else cut_paths(text, span, relative=True)
        return None if located is None else (below_root(located[0], self.root), located[1])

    def _named(self, found: Found) -> tuple[list[bytes], list[bytes]] | None:
        """Make paths of names, where the dump does not say them."""
        names = zip(found.texts("scope"), found.texts("name"), strict=True)
        try:
            paths = [self._form.lfn_to_path(scope, name) for scope, name in names]
        except ValueError:
            return None
        if "location" in found.spans:
            places = found.texts("location")
            paths = [path if place in NULLS else place for path, place in zip(paths, places, strict=True)]
        absolute = sum(path.startswith(b"/") for path in paths)
        if absolute < len(paths) and (absolute or self.root is None):
            return None
        before = b"\n" if absolute else b"\n" + (self.root or b"").rstrip(b"/") + b"/"
        columns = split_lines(before[1:] + before.join(paths) + b"\n")
        return None if columns is None else (columns[0], columns[1])

    def _times(self, found: Found) -> Int64s | None:
        """Read when each replica was last changed, or made where that is not said."""
        for name in _DATES:
            if name in found.spans:
                is_empty = found.spans[name].is_empty
                if not is_empty.all():
                    return None if is_empty.any() else found.times(name)
        return np.full(len(found.spans["size"].starts), UNKNOWN_MTIME)

    def careful(self, line: bytes) -> Entry | None:
        """Read one line."""
        form = self._form
        fields = line.split(b"\t")
        if len(fields) != len(form.columns):
            raise ValueError(f"{len(form.columns)} fields separated by tabs")
        of = dict(zip(form.columns, fields, strict=True))
        path = of.get("path", b"")
        located = self.locate(form.lfn_to_path(of["scope"], of["name"]) if path in NULLS else path)
        entry = Entry(*located, mtime=UNSETTLED_MTIME, checksum=of.get("checksum", b""), site=of["rse"])
        try:
            settled = is_settled(of.get("state", AVAILABLE).strip())
            size, mtime = read_size(of["size"].strip()), _time_of(of)
        except ValueError as error:
            raise HalfRead(str(error), entry) from error
        return entry._replace(size=size, mtime=mtime) if settled else entry


def _dots_that_are_slashes(text: Bytes, scopes: Span) -> Places:
    """Give the dots of those scopes whose dots are slashes in a path; see `engine.lfn2path`."""
    dots = np.flatnonzero(text == _DOT)
    rows = np.searchsorted(scopes.starts, dots, side="right") - 1
    within = (rows >= 0) & (dots < scopes.ends[rows])
    dots, rows = dots[within], rows[within]
    if not len(dots):
        return dots
    begun = np.zeros(len(dots), dtype=np.bool_)
    for beginning in DOTTED:
        at = scopes.starts[rows]
        begun |= np.logical_and.reduce([text[at + offset] == byte for offset, byte in enumerate(beginning)])
    return dots[begun]


def _time_of(fields: dict[str, bytes]) -> int:
    for name in _DATES:
        text = fields.get(name, b"").strip()
        if text not in NULLS:
            return read_time(text)
    return UNKNOWN_MTIME
