"""What the servers of a cluster, each with a part of one namespace, say of a path, put together into one outcome.

A server that says "no such path" says "not here", and nothing about the others. What one of them fails to say may be
anything, so the whole is known only when all have answered. Servers are named in what is said.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeAlias

from engine import paths
from engine.checksums.digest import Checksum
from engine.columns import UNKNOWN_SIZE, DirectoryColumns, FileColumns
from engine.listing import Absent, Failed, Listed, NamesListed, NoChecksum, Outcome, Present
from engine.states import Reason

_ELSEWHERE = frozenset((Reason.NOT_FOUND, Reason.NOT_A_DIRECTORY))
"""What a server says that has nothing at, or below, a path."""

_NOTE = re.compile(r"([\d,]+) files? (?:is|are) on several servers(?:, ([\d,]+) of them)?")

_Part: TypeAlias = "tuple[str, Outcome]"


def merge_parts(parts: Sequence[tuple[str, Outcome]]) -> Outcome:
    """Put together what each server, by its name, said to the same question.

    A listing has every entry once. Of a file on several servers the latest time counts, and its size is not known
    where they disagree; `Listed.note` counts both. It has a checksum only if all copies have the same. A path is there
    if any server has it, and is not there only if all deny it.
    """
    failed = [(server, said) for server, said in parts if isinstance(said, Failed) and said.reason not in _ELSEWHERE]
    there = [(server, said) for server, said in parts if not isinstance(said, Failed | Absent)]
    kinds = {type(said) for _, said in there}
    if len(kinds) > 1 and not kinds <= {Checksum, NoChecksum}:
        return Failed(Reason.SERVER, "the servers answered different questions")
    if kinds == {Present}:
        # What others cannot say makes no difference.
        return _stat([said for _, said in there if isinstance(said, Present)])
    if failed:
        return _worst(failed, parts)
    if not there:
        return _denied(parts)
    if kinds <= {Checksum, NoChecksum}:
        return _checksum(there)
    if kinds == {NamesListed}:
        return NamesListed(frozenset().union(*[said.names for _, said in there if isinstance(said, NamesListed)]))
    return _listing([(server, said) for server, said in there if isinstance(said, Listed)])


def _worst(failed: Sequence[tuple[str, Failed]], parts: Sequence[_Part]) -> Failed:
    """Give one failure for all: one that another try cannot mend, if there is any."""
    server, worst = next(((server, said) for server, said in failed if not said.reason.retryable), failed[0])
    if len(parts) == 1:
        return worst
    more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    return Failed(worst.reason, f"{server}: {worst.detail or worst.reason.label}{more}")


def _denied(parts: Sequence[_Part]) -> Outcome:
    """Give the answer of servers of which none has the path; that of one that knows more goes first."""
    said = [outcome for _, outcome in parts]
    files = [outcome for outcome in said if isinstance(outcome, Failed) and outcome.reason == Reason.NOT_A_DIRECTORY]
    return files[0] if files else said[0]


def _stat(copies: Sequence[Present]) -> Present:
    if len(copies) == 1:
        return copies[0]
    size = copies[0].size if len({copy.size for copy in copies}) == 1 else UNKNOWN_SIZE
    return Present(size, max(copy.mtime for copy in copies), all(copy.is_directory for copy in copies))


def _checksum(copies: Sequence[_Part]) -> Outcome:
    """Give the checksum of a file; where its copies have different ones, there is none that is the file's."""
    sums = {said: server for server, said in copies if isinstance(said, Checksum)}
    if len(sums) > 1:
        shown = ", ".join(f"{server} has {said}" for said, server in sorted(sums.items()))
        return Failed(Reason.PARTIAL, f"copies with different checksums: {shown}")
    return next(iter(sums), copies[0][1])


def _listing(parts: Sequence[tuple[str, Listed]]) -> Listed | Failed:
    full = [(server, said) for server, said in parts if said.files or said.directories]
    others = any(said.others for _, said in parts)
    if len(full) < 2:
        return replace(full[0][1] if full else Listed(), others=others)
    directories = _directories([said.directories for _, said in full])
    with_files = [said.files for _, said in full if said.files]
    listed = _files(with_files) if with_files else Listed()
    both = directories.keys() & frozenset(listed.files.name_list())
    if both:
        return _two_kinds(min(both), full)
    return replace(listed, directories=DirectoryColumns.from_rows(directories.items()), others=others)


def _directories(parts: Iterable[DirectoryColumns]) -> dict[bytes, int]:
    """Give the latest time of each directory."""
    merged: dict[bytes, int] = {}
    for part in parts:
        for name, mtime in zip(part.name_list(), part.mtime_list(), strict=True):
            merged[name] = max(mtime, merged.get(name, mtime))
    return merged


def _files(parts: Sequence[FileColumns]) -> Listed:
    """Put files together, each once; says how many were there several times."""
    if len(parts) == 1:
        return Listed(parts[0])
    merged: dict[bytes, tuple[bytes, int, int]] = {}
    several: set[bytes] = set()
    unlike: set[bytes] = set()
    for part in parts:
        rows = zip(part.name_list(), array("q", part.sizes), array("q", part.mtimes), strict=True)
        fresh = {row[0]: row for row in rows}
        for name in merged.keys() & fresh.keys():
            (_, size, mtime), (_, other, newer) = merged[name], fresh[name]
            several.add(name)
            if size != other:
                unlike.add(name)
                size = UNKNOWN_SIZE
            fresh[name] = (name, size, max(mtime, newer))
        merged |= fresh
    files = FileColumns.from_sorted_rows(sorted(merged.values()))
    return Listed(files, note=_note(several, unlike) if several else "")


def _note(several: set[bytes], unlike: set[bytes]) -> str:
    note = f"{len(several):,} {_files_are(several)} on several servers"
    if not unlike:
        return note
    first = paths.escape(min(unlike))
    return f"{note}, {len(unlike):,} of them with different sizes, such as {first}"


def count_notes(notes: Iterable[str]) -> tuple[int, int]:
    """Sum up the notes of listings: how many files are on several servers, and how many of these differ in size."""
    several = unlike = 0
    for note in notes:
        found = _NOTE.match(note)
        if found is not None:
            several += int(found[1].replace(",", ""))
            unlike += int((found[2] or "0").replace(",", ""))
    return several, unlike


def _files_are(names: set[bytes]) -> str:
    return "file is" if len(names) == 1 else "files are"


def _two_kinds(name: bytes, parts: Sequence[tuple[str, Listed]]) -> Failed:
    file = next(server for server, said in parts if name in said.files.name_list())
    directory = next(server for server, said in parts if name in said.directories.name_list())
    return Failed(Reason.NOT_A_DIRECTORY, f"{paths.escape(name)} is a file on {file} and a directory on {directory}")
