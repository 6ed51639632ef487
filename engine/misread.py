"""The gate for an inventory, or the dump of a store, that was read in another format than it has.

Its names are then shorter or longer than those of the store, so that each file is a missing one and an orphan at once.
Only the store shows it: it has a file of the other name.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping

from engine import paths
from engine.columns import FileColumns
from engine.findings import Finding, Kind
from engine.gates import Refusal

FORMAT = "inventory-format"
"""The name of the gate."""

_SEPARATORS = re.compile(rb"[ \t\r,;|]+")


class MisreadNames:
    """Notices that names which end in numbers were read as sizes, or that more than a name was read as one.

    In the first case the store has orphans that are called like a missing file with its size behind a blank, in the
    second missing files are called like an orphan with more behind it; where what the store has is a list as well
    (``of_lists``), orphans like a missing file. One such pair can be chance; half of all that is missing cannot, nor
    can a name that has nothing more than blanks behind it, or the size that the other side gives.
    """

    def __init__(self, of_lists: bool = False) -> None:
        self._of_lists = of_lists
        self._missing = 0
        self._pairs = 0
        self._example = (b"", 0)
        self._longer_missing = _LongerNames()
        self._longer_orphans = _LongerNames()
        self._last: Finding | None = None

    def see(self, finding: Finding) -> None:
        """Take note of a finding; those of one directory come one after the other, the missing files first."""
        if finding.kind == Kind.MISSING:
            self._missing += len(finding)
            self._longer_missing.of += len(finding)
            self._last = finding
        elif finding.kind == Kind.ORPHAN:
            self._longer_orphans.of += len(finding)
            if self._last is not None and self._last.directory == finding.directory:
                self._see_both(finding.directory, self._last.files, finding.files)

    def _see_both(self, directory: bytes, missing: FileColumns, orphans: FileColumns) -> None:
        # A name with more behind it has something that holds the two apart, as hardly any has.
        if not _SEPARATORS.search(orphans.names) and not _SEPARATORS.search(missing.names):
            return
        known, there = dict(_sizes(missing)), dict(_sizes(orphans))
        for name, size in known.items():
            if b"%s %d" % (name, size) in there:
                self._pairs += 1
                self._example = (paths.join(directory, name), size)
        self._longer_missing.see(directory, missing, there)
        if self._of_lists:
            self._longer_orphans.see(directory, orphans, known)

    def refusal(self) -> Refusal | None:
        """Refuse the comparison, or give None."""
        if self._pairs and 2 * self._pairs >= self._missing and not (self._of_lists and self._longer_orphans.tell):
            path, size = self._example
            return Refusal(
                FORMAT,
                f"the inventory seems to hold names alone: its line '{paths.escape(path)} {size}' was read as a file "
                f"of {size} bytes, and the store has a file of that whole name; set InventoryFormat to paths",
            )
        if self._longer_missing.tell:
            read, there = self._longer_missing.example
            return Refusal(
                FORMAT,
                f"the inventory seems to have more than a name where one was read: '{read}' is not at the store, "
                f"which has '{there}', of which the inventory knows nothing; set InventoryFormat to what it is, or "
                "have all its lines made in one format",
            )
        if self._longer_orphans.tell:
            read, there = self._longer_orphans.example
            return Refusal(
                FORMAT,
                "one of the two lists was read in another format than it has: that of the store has "
                f"'{read}', and the inventory '{there}', of which the store's knows nothing; have all lines of either "
                "made in one format, or set InventoryFormat to that of the inventory",
            )
        return None


class _LongerNames:
    """Files of one side that are called like one of the other side with more behind it, ``of`` so many."""

    def __init__(self) -> None:
        self.of = 0
        self.example = ("", "")
        self._pairs = 0
        self._sure = False

    @property
    def tell(self) -> bool:
        """Whether they tell of more than chance."""
        return self._sure or (self._pairs > 0 and 2 * self._pairs >= self.of)

    def see(self, directory: bytes, files: FileColumns, others: Mapping[bytes, int]) -> None:
        """Look for such names among those of a directory; ``others`` are the names of the other side, with sizes."""
        if not _SEPARATORS.search(files.names):
            return
        for name in files.name_list():
            ends = [found.start() for found in _SEPARATORS.finditer(name) if name[: found.start()] in others]
            if not ends:
                continue
            self._pairs += 1
            sure = [end for end in ends if _says_no_more(name[end:], others[name[:end]])]
            if sure or not self._sure:
                end = (sure or ends)[-1]
                self.example = (_shown(directory, name), _shown(directory, name[:end]))
            self._sure = self._sure or bool(sure)


def _shown(directory: bytes, name: bytes) -> str:
    return paths.escape(paths.join(directory, name))


def _sizes(files: FileColumns) -> Iterator[tuple[bytes, int]]:
    return zip(files.name_list(), array("q", files.sizes), strict=True)


def _says_no_more(behind: bytes, size: int) -> bool:
    """Tell whether what stands behind a name tells nothing but the ``size`` of the file, or not even that."""
    rest = _SEPARATORS.sub(b"", behind, count=1)
    return not behind.strip(b" \t\r") or _SEPARATORS.split(rest, maxsplit=1)[0] == b"%d" % size
