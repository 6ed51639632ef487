"""From the dictionaries of the XRootD bindings to columns, and the checks that such an answer needs.

This runs once for each file of a store, so it goes through the entries in comprehensions and looks closer only when
a cheap test on the whole says that there is something to see.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeAlias

from engine import paths
from engine.checksums.digest import Checksum, of_query
from engine.columns import NO_DIRECTORIES, NO_FILES, DirectoryColumns, FileColumns
from engine.listing import Failed, Listed, ListingOutcome, NamesListed, NamesOutcome, NoChecksum
from engine.states import Reason
from storage.listers.protocol import LONGEST_LISTED_NAME

IS_DIRECTORY = 2
IS_OTHER = 4
_NOT_A_FILE = IS_DIRECTORY | IS_OTHER

Entry: TypeAlias = dict[str, Any]
_Row: TypeAlias = tuple[str, int, int, int]

_SUM = re.compile(r"[A-Za-z][A-Za-z0-9_-]* +[!-~]+", re.ASCII)
"""How any algorithm's would look."""

_SHOWN = 100
"""Characters of what cannot be read that are shown."""

_NEVER_NAMES = frozenset(("", ".", ".."))


def listing(entries: Sequence[Entry], with_ids: bool = True) -> ListingOutcome:
    """Turn the entries of a listing with attributes into columns, ``with_ids`` of directories if these are wanted.

    What is neither a file nor a directory (a socket, a device) is not a file of the store and is left out.
    """
    try:
        rows = [(e["name"], s["flags"], s["size"], s["modtime"]) for e in entries for s in (e["statinfo"],)]
    except TypeError:
        return Failed(Reason.PARTIAL, "an entry without attributes")
    if not rows:
        return Listed()
    rows.sort()
    # Not by zip, which makes an iterator for each row: 13 MB where a directory has 200,000 entries.
    names = [row[0] for row in rows]
    unique = set(names)
    bad = _bad_names(unique, "\0".join(names))
    if bad is not None:
        return bad
    if len(unique) != len(names):
        outcome = _without_duplicates(rows)
        return _identified(outcome, entries) if with_ids and isinstance(outcome, Listed) else outcome
    if not any(flag & _NOT_A_FILE for flag in {row[1] for row in rows}):
        return Listed(_files(rows), NO_DIRECTORIES)
    return _identified(_split(rows), entries) if with_ids else _split(rows)


def names(entries: Sequence[Entry]) -> NamesOutcome:
    """Take the names from a listing without attributes."""
    found = {entry["name"] for entry in entries}
    bad = _bad_names(found, "\0".join(found))
    if bad is not None:
        return bad
    encoded = frozenset([name.encode() for name in found])
    if len(found) != len(entries) and any(len(name) == LONGEST_LISTED_NAME for name in encoded):
        return was_cut()
    return NamesListed(encoded)


def was_cut() -> Failed:
    """Say that two names are the same because they were cut."""
    return Failed(Reason.BAD_NAME, f"a name of more than {LONGEST_LISTED_NAME} bytes was cut by the server")


def read_checksum(said: str) -> Checksum | NoChecksum | Failed:
    """Read what a server gives as a checksum: the name of the algorithm, and the digits."""
    _, found = of_query(said)
    if found is not None:
        return found
    shown = _show(said[:_SHOWN])
    if _SUM.fullmatch(said.strip("\0 \n")) is None:
        return Failed(Reason.SERVER, f"a checksum that cannot be read: '{shown}'")
    return NoChecksum(f"it gives '{shown}'")


def may_be_cut(outcome: Listed | NamesListed) -> list[bytes]:
    """Give the names that may be the first part of a longer one."""
    if isinstance(outcome, NamesListed):
        return [name for name in outcome.names if len(name) == LONGEST_LISTED_NAME]
    found: list[bytes] = []
    for joined in (outcome.files.names, outcome.directories.names):
        if len(joined) >= LONGEST_LISTED_NAME:
            names = joined.split(b"\0")
            if max(map(len, names)) >= LONGEST_LISTED_NAME:
                found += [name for name in names if len(name) == LONGEST_LISTED_NAME]
    return found


def signed(value: int) -> int:
    """Undo the bindings' reading of a negative time as an unsigned number."""
    return value - 2**64 if value >= 2**63 else value


def _bad_names(unique: set[str], joined: str) -> Failed | None:
    if "/" not in joined and _NEVER_NAMES.isdisjoint(unique):
        return None
    bad = next(name for name in sorted(unique) if "/" in name or name in _NEVER_NAMES)
    return Failed(Reason.BAD_NAME, f"the server gave the name '{_show(bad)}'")


def _without_duplicates(rows: list[_Row]) -> ListingOutcome:
    """Count an entry that is given twice as one, as long as there is no doubt that it is the same."""
    unique = list(dict.fromkeys(rows))
    for before, row in pairwise(rows):
        if before[0] != row[0]:
            continue
        if len(row[0].encode()) == LONGEST_LISTED_NAME:
            return was_cut()
        if before != row:
            return Failed(Reason.PARTIAL, f"'{_show(row[0])}' is listed twice, with different attributes")
    return _split(unique)


def _split(rows: list[_Row]) -> Listed:
    files = [row for row in rows if not row[1] & _NOT_A_FILE]
    directories = [row for row in rows if row[1] & IS_DIRECTORY]
    others = len(files) + len(directories) < len(rows)
    columns = _files(files) if files else NO_FILES
    found = DirectoryColumns.from_rows([(row[0].encode(), signed(row[3])) for row in directories])
    return Listed(columns, found, others=others)


def _identified(listed: Listed, entries: Sequence[Entry]) -> Listed:
    found = [(e["name"], e["statinfo"]) for e in entries]
    return with_ids_of(listed, {n.encode(): s.get("id", "") for n, s in found if s["flags"] & IS_DIRECTORY})


def with_ids_of(listed: Listed, known: Mapping[bytes, str]) -> Listed:
    """Put the ids of the sub-directories beside them, given by their names, unless the server has one for all."""
    ids = [_inode(known[name]) for name in listed.directories.name_list()]
    if not any(ids) or (len(ids) > 1 and len(set(ids)) == 1):
        return listed
    return replace(listed, directories=replace(listed.directories, ids=array("q", ids).tobytes()))


def _inode(text: str) -> int:
    """Take the inode out of the id of an entry; 0 where there is none.

    A server puts the lower half of the inode above that of the device, which differs from host to host.
    """
    try:
        number = int(text)
    except ValueError:
        return 0
    inode = number >> 32 or number
    return inode if -(2**63) <= inode < 2**63 else 0


def _files(rows: list[_Row]) -> FileColumns:
    # The code points of valid UTF-8 sort as its bytes do.
    names = "\0".join([row[0] for row in rows]).encode()
    return FileColumns(names, _int64s([row[2] for row in rows]), _int64s([row[3] for row in rows]))


def _int64s(values: Sequence[int]) -> bytes:
    try:
        return array("q", values).tobytes()
    except OverflowError:
        return array("q", [signed(value) for value in values]).tobytes()


def _show(name: str) -> str:
    return paths.escape(paths.encode(name))
