"""The gate for an inventory that was read in another format than it has.

Its names are then shorter or longer than those of the store, so that each file is a missing one and an orphan at once.
Only the store shows it: it has a file of the other name.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator

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
    second missing files are called like an orphan with more behind it. One such pair can be chance; half of all that is
    missing cannot, nor can a name that has nothing more than blanks behind it, or the size that the store gives.
    """

    def __init__(self) -> None:
        self._missing = 0
        self._pairs = 0
        self._example = (b"", 0)
        self._longer = 0
        self._longer_example = (b"", b"")
        self._sure = False
        self._last: Finding | None = None

    def see(self, finding: Finding) -> None:
        """Take note of a finding; those of one directory come one after the other, the missing files first."""
        if finding.kind == Kind.MISSING:
            self._missing += len(finding)
            self._last = finding
        elif finding.kind == Kind.ORPHAN and self._last is not None and self._last.directory == finding.directory:
            missing, orphans = self._last.files, dict(_sizes(finding.files))
            for name, size in _sizes(missing):
                if b"%s %d" % (name, size) in orphans:
                    self._pairs += 1
                    self._example = (paths.join(finding.directory, name), size)
            if _SEPARATORS.search(missing.names):
                self._see_longer(finding.directory, missing.name_list(), orphans)

    def _see_longer(self, directory: bytes, names: list[bytes], orphans: dict[bytes, int]) -> None:
        for name in names:
            ends = [found.start() for found in _SEPARATORS.finditer(name) if name[: found.start()] in orphans]
            if not ends:
                continue
            self._longer += 1
            sure = [end for end in ends if _says_no_more(name[end:], orphans[name[:end]])]
            if sure or not self._sure:
                end = (sure or ends)[-1]
                self._longer_example = (paths.join(directory, name), paths.join(directory, name[:end]))
            self._sure = self._sure or bool(sure)

    def refusal(self) -> Refusal | None:
        """Refuse the comparison, or give None."""
        if self._pairs and 2 * self._pairs >= self._missing:
            path, size = self._example
            return Refusal(
                FORMAT,
                f"the inventory seems to hold names alone: its line '{paths.escape(path)} {size}' was read as a file "
                f"of {size} bytes, and the store has a file of that whole name; set InventoryFormat to paths",
            )
        if self._sure or (self._longer and 2 * self._longer >= self._missing):
            read, there = map(paths.escape, self._longer_example)
            return Refusal(
                FORMAT,
                f"the inventory seems to have more than a name where one was read: '{read}' is not at the store, "
                f"which has '{there}', of which the inventory knows nothing; set InventoryFormat to what it is, or "
                "have all its lines made in one format",
            )
        return None


def _sizes(files: FileColumns) -> Iterator[tuple[bytes, int]]:
    return zip(files.name_list(), array("q", files.sizes), strict=True)


def _says_no_more(behind: bytes, size: int) -> bool:
    """Tell whether what stands behind a name tells nothing but the ``size`` of the file, or not even that."""
    rest = _SEPARATORS.sub(b"", behind, count=1)
    return not behind.strip(b" \t\r") or _SEPARATORS.split(rest, maxsplit=1)[0] == b"%d" % size
