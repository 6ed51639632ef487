"""The second opinion: findings of a comparison, held against an inventory that was read after the listing.

A listing can take days, and the inventory moves meanwhile. A file is missing only if both inventories have it, an
orphan only if neither has it, and a size is wrong only if both expect the same one. Only the directories in which
something was found are opened. What the second inventory did not see completely it does not prove, so that nothing is
judged there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress

from engine.columns import NO_FILES, FileColumns, age_limit, numbers
from engine.compare import Sight, Tally
from engine.findings import Finding, Kind
from engine.gates import Refusal
from engine.merge import Names, difference
from engine.states import Reason, State
from engine.table import DirectoryTable
from engine.twins import Twins
from engine.usual import UsualFiles


@dataclass(slots=True)
class Meanwhile:
    """What was no finding any more, since the inventory changed: files, and directories that only looked ``empty``."""

    missing: int = 0
    orphan: int = 0
    size_mismatch: int = 0
    empty: int = 0

    @property
    def total(self) -> int:
        """Count all of them."""
        return self.missing + self.orphan + self.size_mismatch + self.empty

    @property
    def words(self) -> str:
        """Say it for people; empty when there is nothing to say."""
        counts = {
            "missing": self.missing,
            "orphan": self.orphan,
            "size mismatch": self.size_mismatch,
            "empty": self.empty,
        }
        return ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)


class SecondOpinion:
    """Holds findings against the second inventory.

    ``young_after`` is in seconds since the epoch, None without an age limit. Files that it proves nothing of are
    counted in ``tally``, as are the young ones; what is no finding any more in ``meanwhile``. ``remote`` is what a
    store showed, where a directory may be there under several names, as behind a link.
    """

    def __init__(
        self, table: DirectoryTable, young_after: float | None, tally: Tally, remote: DirectoryTable | None = None
    ) -> None:
        self._table = table
        self._sight = Sight(table)
        self._young_after = young_after
        self._tally = tally
        self._remote = remote
        self._twins = None if remote is None else Twins(remote)
        self._crowds: dict[int, tuple[Sequence[int], frozenset[bytes] | None]] = {}
        self.meanwhile = Meanwhile()

    def agreed(self, finding: Finding) -> Finding | None:
        """Give what is left of a finding of files; None when nothing is."""
        row = self._table.find(finding.directory)
        unseen = self._unseen(finding.directory)
        if unseen is not None:
            self._tally.protect(len(finding), unseen)
            return None
        files = NO_FILES if row is None or not self._table.files[row] else self._table.load(row)
        gone, _ = difference(finding.files.names, files.names)
        match finding.kind:
            case Kind.MISSING:
                known = _others(finding.files, gone)
                self.meanwhile.missing += len(gone)
                return self._old(finding, known, files)
            case Kind.ORPHAN:
                gone = self._but_known_elsewhere(finding.directory, gone)
                self.meanwhile.orphan += len(finding) - len(gone)
                return _part(finding, gone)
            case Kind.SIZE_MISMATCH:
                same = self._same_size(finding.files, _others(finding.files, gone), files)
                self.meanwhile.size_mismatch += len(finding) - len(same)
                return self._old(finding, same, files)
        raise ValueError(f"no finding of files: {finding.kind!r}")

    def holds(self, directory: bytes) -> bool:
        """Tell whether the second inventory has files in or below a directory that looks empty; counts it then.

        Where it has not seen everything there may be files.
        """
        table = self._table
        rows = table.rows_under(directory)
        first, last = rows.start, rows.stop
        if any(table.files[rows]):
            self.meanwhile.empty += 1
            return True
        own_row = first < last and table.paths[first] == directory
        above = self._sight.unseen(first) if own_row else self._sight.unseen_above(directory)
        return above is not None or any(True for _ in table.rows_but(State.LISTED, first=first, last=last))

    def _unseen(self, directory: bytes) -> Reason | None:
        row = self._table.find(directory)
        return self._sight.unseen_above(directory) if row is None else self._sight.unseen(row)

    def _but_known_elsewhere(self, directory: bytes, orphan: Names) -> Names:
        """Leave out files that the second inventory has, or may have, under another name of the same directory."""
        row = None if self._remote is None else self._remote.find(directory)
        if row is None or self._remote is None or self._twins is None:
            return orphan
        few, many = self._twins.kin(row)
        for twin in few:
            known = self._names_of(twin)
            if not orphan or known is None:
                return {}
            orphan = {position: name for position, name in orphan.items() if name not in known}
        if not many or not orphan:
            return orphan
        known = self._names_of_all(many)
        return {} if known is None else {place: name for place, name in orphan.items() if name not in known}

    def _names_of(self, row: int) -> frozenset[bytes] | None:
        """Give the files that it has under the name of a row of the store's; None where it has not seen them."""
        assert self._remote is not None
        path = self._remote.paths[row]
        if self._unseen(path) is not None:
            return None
        other = self._table.find(path)
        return frozenset() if other is None else frozenset(self._table.load(other).name_list())

    def _names_of_all(self, rows: Sequence[int]) -> frozenset[bytes] | None:
        """Do so for very many rows that are the same directory, once for all of them."""
        if id(rows) not in self._crowds:
            found: set[bytes] | None = set()
            for known in map(self._names_of, rows):
                if known is None or found is None:
                    found = None
                    break
                found |= known
            self._crowds[id(rows)] = rows, None if found is None else frozenset(found)
        return self._crowds[id(rows)][1]

    def _same_size(self, expected: FileColumns, known: Names, files: FileColumns) -> Names:
        """Keep the files for which the second inventory has the size that the first one has."""
        sizes, second = numbers(expected.sizes), numbers(files.sizes)
        places = _places(files) if known else {}
        return {i: name for i, name in known.items() if sizes[i] == second[places[name]]}

    def _old(self, finding: Finding, chosen: Names, files: FileColumns) -> Finding | None:
        """Leave out what is young by the times of the second inventory."""
        limit = age_limit(self._young_after, files.mtimes)
        if limit is not None and chosen and files.newest() > limit:
            mtimes, places = numbers(files.mtimes), _places(files)
            old = {i: name for i, name in chosen.items() if mtimes[places[name]] <= limit}
            self._tally.young += len(chosen) - len(old)
            chosen = old
        return _part(finding, chosen)


def second_gate(first: DirectoryTable, second: DirectoryTable, usual: UsualFiles) -> Refusal | None:
    """Refuse a second inventory that has far fewer files than usual or than the first, or is that of something else."""
    files, before = second.total_files(), first.total_files()
    refusal = usual.refusal(None, files)
    if refusal is not None:
        return Refusal(refusal.gate, f"read again after the listing, {refusal.message}")
    here = replace(usual, inventory=before)
    least = f"where it had {before} before, MinFiles is {usual.fraction:g}"
    refusal = here.refusal(None, files)
    if refusal is not None:
        return Refusal(refusal.gate, f"read again after the listing, the inventory has {files} files {least}")
    with_files = set(compress(second.paths, second.files))
    shared = sum(count for path, count in zip(first.paths, first.files, strict=True) if path in with_files)
    refusal = here.refusal(None, shared)
    if refusal is None:
        return None
    words = f"the inventory has files in the directories of {shared} files only, {least}"
    return Refusal(refusal.gate, f"read again after the listing, {words}")


def _places(files: FileColumns) -> dict[bytes, int]:
    return {name: place for place, name in enumerate(files.name_list())}


def _others(files: FileColumns, left_out: Names) -> Names:
    return {i: name for i, name in enumerate(files.name_list()) if i not in left_out}


def _part(finding: Finding, chosen: Names) -> Finding | None:
    """Keep some of the files of a finding."""
    if not chosen:
        return None
    if len(chosen) == len(finding):
        return finding
    sizes = finding.remote_sizes
    return Finding(
        finding.kind,
        finding.directory,
        finding.files.pick(chosen),
        b"".join([sizes[i << 3 : (i + 1) << 3] for i in chosen]) if sizes else b"",
        finding.mtime,
    )
