"""From the bodies of an XRootD server's answers to columns, part by part as they come.

This runs once for each file of a store, so a listing is taken apart a block at a time: split at its newlines, read in
comprehensions, and checked by cheap tests on the whole block. Only what fails one of these is looked at line by line.
Names are text in Latin-1 on the way, which keeps every byte and sorts as bytes do.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

from engine import paths
from engine.checksums.digest import Checksum
from engine.columns import NO_FILES, DirectoryColumns, FileColumns
from engine.listing import Failed, Listed, ListingOutcome, NamesListed, NamesOutcome, NoChecksum, Present
from engine.states import Reason
from storage.listers.protocol import LONGEST_LISTED_NAME
from storage.listers.xrootd_answers import IS_DIRECTORY, IS_OTHER, read_checksum, was_cut, with_ids_of

_NOT_A_FILE = IS_DIRECTORY | IS_OTHER

_LEAD = ".\n0 0 0 0"
"""A server that gives attributes says so with such an entry of its own."""

_ENDS = ("\0", "\n")
_NO_END = Failed(Reason.PARTIAL, "a listing that ends in the middle of an entry")

_BLOCK = 1 << 17
"""Bytes of a listing that are taken apart together; fewer take longer, many more take memory."""

_GROUPS = 4

# What is between two names: id, size, flags and mtime, and what newer servers write behind them. Numbers of so few
# digits fit into 64 bits; others are read one by one.
_SHORT = re.compile(r"\n\S++ (\d{1,18}+) (\d{1,9}+) (\d{1,18}+)\n", re.ASCII)
_LONG = re.compile(r"\n\S++ (\d{1,18}+) (\d{1,9}+) (\d{1,18}+) .*+\n", re.ASCII)

_SHORT_STAT = re.compile(r"(\S+) (-?\d{1,20}) (\d{1,9}) (-?\d{1,20})", re.ASCII)
_LONG_STAT = re.compile(r"(\S+) (-?\d{1,20}) (\d{1,9}) (-?\d{1,20}) .*", re.ASCII)

_SHOWN = 100
"""Characters of what cannot be read that are shown."""

_NEVER_NAMES = ("", ".", "..")

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


class _Unreadable(Exception):
    """What came is no listing."""


class ListingAnswer:
    """A listing with attributes; what is neither a file nor a directory is left out.

    ``with_ids``: the ids of directories are wanted. A listing without any entry is equal to ``Listed()``.
    """

    def __init__(self, with_ids: bool) -> None:
        self._with_ids = with_ids
        self._parts: list[bytes] = []
        self._size = 0
        self._entry: re.Pattern[str] | None = None
        self._problem: Failed | None = None
        self._names: list[str] = []
        self._sizes, self._mtimes = array("q"), array("q")
        self._is_sorted = True
        self._directories: list[tuple[str, int, str]] = []
        self._others: list[str] = []

    def add(self, part: bytes) -> None:
        """Take in a part of the answer that is not the last one."""
        self._parts.append(part)
        self._size += len(part)
        if self._size >= _BLOCK:
            self._take(is_last=False)

    def end(self, part: bytes) -> ListingOutcome:
        """Take in the last part; give what all of them say."""
        self._parts.append(part)
        self._take(is_last=True)
        return self._outcome() if self._problem is None else self._problem

    def _take(self, is_last: bool) -> None:
        """Take apart what there is, up to the last entry that is whole."""
        text = b"".join(self._parts).decode("latin-1")
        self._parts.clear()
        self._size = 0
        if self._problem is not None:
            return
        if is_last:
            if text and not text.endswith(_ENDS):
                self._problem = _NO_END
                return
            text = text.removesuffix("\0")
            text += "" if not text or text.endswith("\n") else "\n"
        else:
            # An entry has two lines, and what is whole ends with a second one.
            end = text.rfind("\n") + 1
            if text.count("\n") & 1:
                end = text.rfind("\n", 0, end - 1) + 1
            self._parts.append(text[end:].encode("latin-1"))
            self._size = len(text) - end
            text = text[:end]
        try:
            self._read(text)
        except _Unreadable as error:
            self._problem = Failed(Reason.BAD_NAME, f"a name has a newline in it, or the listing is broken: {error}")

    def _read(self, text: str) -> None:
        if self._entry is None and text:
            if not text.startswith(_LEAD):
                self._problem = Failed(Reason.PARTIAL, "a listing without attributes")
                return
            text = text[text.index("\n", len(_LEAD)) + 1 :]
            if text:
                self._entry = _LONG if _LONG_STAT.fullmatch(text.split("\n", 2)[1]) else _SHORT
        if not text or self._entry is None:
            return
        if "\0" in text:
            raise _Unreadable("a NUL in it")
        fields = self._entry.split(text)
        names = fields[:-1:_GROUPS]
        kinds = set(fields[2::_GROUPS])
        if fields[-1] or "\n" in "".join(names) or any(int(kind) & _NOT_A_FILE for kind in kinds):
            self._read_lines(text)
        else:
            self._put(names, fields[1::_GROUPS], fields[3::_GROUPS])

    def _put(self, names: list[str], sizes: list[str], mtimes: list[str]) -> None:
        """Put files to those that are there, and sort them while they are still few."""
        positions = dict(zip(names, range(len(names)), strict=True))
        self._is_sorted = not self._names and len(positions) == len(names)
        if self._is_sorted:
            names = sorted(positions)
            order = [positions[name] for name in names]
            sizes = [sizes[at] for at in order]
            mtimes = [mtimes[at] for at in order]
        self._names += names
        self._sizes.extend(map(int, sizes))
        self._mtimes.extend(map(int, mtimes))

    def _read_lines(self, text: str) -> None:
        """Read entries one by one: there is something among them that is no usual file."""
        lines = text.split("\n")
        form = _LONG_STAT if self._entry is _LONG else _SHORT_STAT
        self._is_sorted = False
        for name, stat in zip(lines[:-1:2], lines[1::2], strict=True):
            number, size, flags, mtime = _stat(stat, form)
            if flags & IS_DIRECTORY:
                self._directories.append((name, mtime, number))
            elif flags & IS_OTHER:
                self._others.append(name)
            else:
                self._names.append(name)
                self._sizes.append(size)
                self._mtimes.append(mtime)

    def _outcome(self) -> ListingOutcome:
        rest = [*[entry[0] for entry in self._directories], *self._others]
        if rest or not self._is_sorted:
            given = len(self._names) + len(rest)
            doubt = self._doubt() if len({*self._names, *rest}) < given else None
            if doubt is not None:
                return doubt
            self._sort()
        names = "\0".join(self._names)
        bad = _bad_name(self._names, names)
        if bad is not None:
            return bad
        files = FileColumns(_encoded(names), self._sizes.tobytes(), self._mtimes.tobytes()) if self._names else NO_FILES
        return self._with_rest(files, rest) if rest else Listed(files)

    def _with_rest(self, files: FileColumns, rest: list[str]) -> ListingOutcome:
        """Add to the files what is none, of which these are the names."""
        bad = _bad_name(sorted(rest), "\0".join(rest))
        if bad is not None:
            return bad
        directories = DirectoryColumns.from_rows([(_encoded(name), mtime) for name, mtime, _ in self._directories])
        listed = Listed(files, directories, others=bool(self._others))
        if not self._with_ids or not self._directories:
            return listed
        return with_ids_of(listed, {_encoded(name): number for name, _, number in self._directories})

    def _sort(self) -> None:
        positions = dict(zip(self._names, range(len(self._names)), strict=True))
        sizes, mtimes = self._sizes, self._mtimes
        self._names = sorted(positions)
        order = [positions[name] for name in self._names]
        self._sizes = array("q", [sizes[at] for at in order])
        self._mtimes = array("q", [mtimes[at] for at in order])

    def _doubt(self) -> Failed | None:
        """Count an entry that is given twice as one, as long as there is no doubt that it is the same."""
        rows = sorted(
            [
                *zip(self._names, [0] * len(self._names), self._sizes, self._mtimes, strict=True),
                *[(name, IS_DIRECTORY, 0, mtime) for name, mtime, _ in self._directories],
                *[(name, IS_OTHER, 0, 0) for name in self._others],
            ]
        )
        for before, row in pairwise(rows):
            if before[0] != row[0]:
                continue
            if len(row[0]) == LONGEST_LISTED_NAME:
                return was_cut()
            if before != row:
                return Failed(Reason.PARTIAL, f"'{_shown(row[0])}' is listed twice, with different attributes")
        return None


class NamesAnswer:
    """A listing of names alone. A name with a newline in it comes as two here."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def add(self, part: bytes) -> None:
        """Take in a part of the answer that is not the last one."""
        self._parts.append(part)

    def end(self, part: bytes) -> NamesOutcome:
        """Take in the last part; give what all of them say."""
        self._parts.append(part)
        text = b"".join(self._parts).decode("latin-1")
        if text and not text.endswith(_ENDS):
            return _NO_END
        if text in ("", "\0"):
            return NamesListed(frozenset())
        # One end, not two: the last name may end with a newline of its own.
        given = text[:-1].split("\n")
        found = set(given)
        bad = _bad_name(sorted(found), "\0".join(found))
        if bad is not None:
            return bad
        if len(found) != len(given) and any(len(name) == LONGEST_LISTED_NAME for name in found):
            return was_cut()
        return NamesListed(frozenset([_encoded(name) for name in found]))


class StatAnswer:
    """What a server says of one path."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def add(self, part: bytes) -> None:
        """Take in a part of the answer that is not the last one."""
        self._parts.append(part)

    def end(self, part: bytes) -> Present | Failed:
        """Take in the last part; give what all of them say."""
        text = b"".join([*self._parts, part]).decode("latin-1").removesuffix("\0")
        try:
            _, size, flags, mtime = _stat(text, _LONG_STAT if text.count(" ") >= _GROUPS else _SHORT_STAT)
        except _Unreadable as error:
            return Failed(Reason.SERVER, str(error))
        return Present(size, mtime, bool(flags & IS_DIRECTORY))


class ChecksumAnswer:
    """What a server gives as the checksum of a file."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def add(self, part: bytes) -> None:
        """Take in a part of the answer that is not the last one."""
        self._parts.append(part)

    def end(self, part: bytes) -> Checksum | NoChecksum | Failed:
        """Take in the last part; give what all of them say."""
        return read_checksum(b"".join([*self._parts, part]).decode("latin-1"))


def _stat(text: str, form: re.Pattern[str]) -> tuple[str, int, int, int]:
    """Read id, size, flags and mtime."""
    match = form.fullmatch(text)
    if match is None:
        raise _Unreadable(f"attributes that cannot be read: '{_shown(text[:_SHOWN])}'")
    number, size, flags, mtime = match.groups()
    return number, _bounded(int(size)), int(flags), _bounded(int(mtime))


def _bounded(value: int) -> int:
    """Undo the writing of a negative number as an unsigned one, and keep what is no such within 64 bits."""
    if _HIGHEST < value < 2**64:
        value -= 2**64
    return min(max(value, _LOWEST), _HIGHEST)


def _bad_name(names: Sequence[str], joined: str) -> Failed | None:
    """Look among sorted names for such as can be none; ``joined`` are the same, with NUL between two."""
    if "/" not in joined and joined.count("\0") < max(1, len(names)):
        for name in _NEVER_NAMES:
            at = bisect_left(names, name)
            if at < len(names) and names[at] == name:
                break
        else:
            return None
    bad = next(name for name in names if "/" in name or "\0" in name or name in _NEVER_NAMES)
    return Failed(Reason.BAD_NAME, f"the server gave the name '{_shown(bad)}'")


def _encoded(text: str) -> bytes:
    return text.encode("latin-1")


def _shown(text: str) -> str:
    return paths.escape(_encoded(text))
