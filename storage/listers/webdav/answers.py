"""What an answer to PROPFIND comes to: the path that was asked for, and the entries of a directory as columns.

An answer is believed only if it is whole, and about what was asked for: one entry that is elsewhere, has no size or
could not be looked at makes it none.
"""

from __future__ import annotations

import re
from calendar import timegm
from dataclasses import dataclass, field
from email.utils import mktime_tz, parsedate_tz
from functools import lru_cache
from itertools import pairwise
from typing import TypeAlias

from engine import paths
from engine.columns import NO_FILES, UNKNOWN_MTIME, DirectoryColumns, FileColumns
from engine.listing import Failed, Listed, ListingOutcome
from engine.states import Reason
from storage.listers.protocol import LONGEST_LISTED_NAME
from storage.listers.webdav.hrefs import BadHref, Place, Reading, is_ambiguous, read, shown
from storage.listers.webdav.multistatus import Entry, Multistatus, MultistatusError

_LARGEST = 2**63 - 1
_DIGITS = len(str(_LARGEST))
_NAMES_OF_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
_MONTHS = {_NAMES_OF_MONTHS[at : at + 3]: at // 3 + 1 for at in range(0, 36, 3)}
_DATE = re.compile(r"[A-Z][a-z]{2}, (\d\d) ([A-Z][a-z]{2}) (\d{4}) \d\d:\d\d:\d\d GMT", re.ASCII)
_NEVER_NAMES = frozenset((b"", b".", b".."))

_ATTRIBUTES = re.compile(rb"-?\d+ \d+ \d+ -?\d+( .*)?")
"""What XRootD's HTTP plugin takes for names behind one with a newline in it: the attributes of the entries."""

_Row: TypeAlias = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Found:
    """A path that is there. ``size`` is None where the server gives none, as of a directory.

    ``reading`` is None as long as both readings of the answer's hrefs mean what was asked for. ``members`` are the
    entries of a directory, if these were asked for.
    """

    is_collection: bool
    size: int | None
    mtime: int
    reading: Reading | None
    members: Members


@dataclass(slots=True)
class Members:
    """The entries of a directory: names as they stand in the answer, without the path, sizes and times."""

    files: list[_Row] = field(default_factory=list)
    directories: list[_Row] = field(default_factory=list)
    ambiguous: str = ""
    """A name with two readings, if there is one."""

    def __len__(self) -> int:
        return len(self.files) + len(self.directories)

    def listed(self, reading: Reading) -> ListingOutcome:
        """Give them as columns; how names are read matters only where one is ambiguous."""
        try:
            files = sorted(_named(self.files, reading))
            directories = sorted(_named(self.directories, reading))
        except BadHref as error:
            return Failed(Reason.BAD_NAME, str(error))
        names = [*[row[0] for row in files], *[row[0] for row in directories]]
        unique = set(names)
        if not _NEVER_NAMES.isdisjoint(unique) or any(b"/" in name or b"\0" in name for name in unique):
            return Failed(Reason.BAD_NAME, "the server gave a name that none can be")
        if len(unique) != len(names):
            files, directories = list(dict.fromkeys(files)), list(dict.fromkeys(directories))
            if len(unique) != len(files) + len(directories):
                return Failed(Reason.PARTIAL, f"'{_twice(names)}' is listed twice, with different attributes")
        columns = FileColumns.from_sorted_rows(files) if files else NO_FILES
        return Listed(columns, DirectoryColumns.from_rows([(name, mtime) for name, _, mtime in directories]))


def doubtful(listed: Listed) -> list[bytes]:
    """Give the names that may be none: of XRootD, one that may be cut, or that looks like the attributes of another."""
    found = []
    for joined in (listed.files.names, listed.directories.names):
        names = joined.split(b"\0")
        if len(joined) >= LONGEST_LISTED_NAME:
            found += [name for name in names if len(name) == LONGEST_LISTED_NAME]
        if b" " in joined:
            found += [name for name in names if _ATTRIBUTES.fullmatch(name)]
    return found


class Answer:
    """Takes in an answer about ``path`` at ``origin``, in pieces."""

    def __init__(self, origin: str, path: bytes, with_members: bool, with_sizes: bool) -> None:
        self._place = Place(origin, path)
        self._with_members = with_members
        self._with_sizes = with_sizes
        self._xml = Multistatus()
        self._heads: dict[str, frozenset[Reading]] = {}
        self._readings = frozenset(Reading)
        self._itself: Entry | None = None
        self._members = Members()
        self._has_letters = False

    def add(self, data: bytes) -> Failed | None:
        """Take in a piece; gives why the answer is none, if that can be said already."""
        try:
            for entry in self._xml.feed(data):
                self._take(entry)
        except (MultistatusError, BadHref) as error:
            return _failed(error)
        return None

    def end(self) -> Found | Failed:
        """Give what all pieces say."""
        try:
            for entry in self._xml.close():
                self._take(entry)
            itself = self._itself
            if itself is None:
                raise MultistatusError("an answer that does not name what was asked for")
            if self._has_letters and self._xml.has_references:
                raise BadHref("an href with characters that are written as numbers")
            size = _size(itself.length) if itself.length is not None else None
            mtime = UNKNOWN_MTIME if itself.modified is None else _time(itself.modified)
        except (MultistatusError, BadHref) as error:
            return _failed(error)
        if not itself.is_collection and self._members:
            return Failed(Reason.SERVER, "entries of what is no directory")
        reading = next(iter(self._readings)) if len(self._readings) == 1 else None
        return Found(itself.is_collection, size, mtime, reading, self._members)

    def _take(self, entry: Entry) -> None:
        href, length, modified, is_collection = entry
        head, slash, tail = href.rpartition("/")
        if head not in self._heads:
            self._learn(head)
        readings = self._heads[head]
        if not readings or not slash or not tail:
            self._take_itself(entry)
            return
        if not self._with_members:
            raise BadHref("an entry that nobody asked for")
        self._believe(readings)
        members = self._members
        if "%" in tail and is_ambiguous(tail):
            members.ambiguous = members.ambiguous or tail
        if not tail.isascii():
            self._has_letters = True
        if is_collection:
            members.directories.append((tail, 0, UNKNOWN_MTIME if modified is None else _time(modified)))
        elif self._with_sizes:
            if length is None or modified is None:
                raise MultistatusError(f"'{shown(tail)}' without a size or a time", Reason.PARTIAL)
            members.files.append((tail, _size(length), _time(modified)))
        else:
            members.files.append((tail, 0, 0))

    def _learn(self, head: str) -> None:
        if len(self._heads) > len(Reading):
            # The path itself, and what is above it, is written in one way.
            raise BadHref("hrefs that are outside of the directory")
        self._heads[head] = self._place.readings(head)

    def _take_itself(self, entry: Entry) -> None:
        readings = self._place.readings(entry.href)
        if not readings:
            raise BadHref(f"an href that is outside of the directory, '{shown(entry.href)}'")
        self._believe(readings)
        if not entry.href.isascii():
            self._has_letters = True
        if self._itself is not None and self._itself != entry:
            raise MultistatusError("two different answers about one path", Reason.PARTIAL)
        self._itself = entry

    def _believe(self, readings: frozenset[Reading]) -> None:
        self._readings &= readings
        if not self._readings:
            raise BadHref("hrefs that are written in two ways")


def _named(rows: list[_Row], reading: Reading) -> list[tuple[bytes, int, int]]:
    if not rows:
        return []
    # No name has a NUL, so that all can be read together.
    joined = read("\0".join([row[0] for row in rows]), Reading.RAW)
    names = joined.split(b"\0")
    if reading is Reading.ENCODED:
        names = [read(row[0], reading) for row in rows] if b"%" in joined or b"\r" in joined else names
    return [(name, size, mtime) for name, (_, size, mtime) in zip(names, rows, strict=True)]


def _size(text: str) -> int:
    if not (text.isdecimal() and text.isascii()) or len(text) > _DIGITS or int(text) > _LARGEST:
        raise MultistatusError(f"a size of '{shown(text)}'")
    return int(text)


def _time(text: str) -> int:
    try:
        if len(text) == 29 and text[19] == ":" == text[22] and text[16] == " ":
            return _midnight(text[:17] + "00:00:00" + text[25:]) + (
                int(text[17:19]) * 3600 + int(text[20:22]) * 60 + int(text[23:25])
            )
        return _other_time(text)
    except (ValueError, OverflowError, KeyError) as error:
        raise MultistatusError(f"a time of '{shown(text)}'") from error


@lru_cache(maxsize=4096)
def _midnight(text: str) -> int:
    match = _DATE.fullmatch(text)
    if match is None:
        return _other_time(text)
    return timegm((int(match[3]), _MONTHS[match[2]], int(match[1]), 0, 0, 0))


def _other_time(text: str) -> int:
    parsed = parsedate_tz(text)
    if parsed is None:
        raise ValueError("no date")
    return mktime_tz(parsed)


def _failed(error: MultistatusError | BadHref) -> Failed:
    if isinstance(error, BadHref):
        return Failed(Reason.BAD_NAME, str(error))
    return Failed(error.reason, str(error))


def _twice(names: list[bytes]) -> str:
    return paths.escape(next(name for name, other in pairwise(sorted(names)) if name == other))
