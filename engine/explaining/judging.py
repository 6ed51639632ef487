"""What the comparison makes of one file: the very rules of a run, applied to the one name in its directory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from engine import paths
from engine.columns import NO_FILES, FileColumns
from engine.compare import CompareOptions, Judge, Sight, Tally
from engine.explaining.facts import Judged, Verdict
from engine.findings import Finding, Kind
from engine.second import SecondOpinion
from engine.states import Reason
from engine.table import DirectoryTable
from engine.twins import Twins

_OF_KIND = {
    Kind.MISSING: Verdict.MISSING,
    Kind.ORPHAN: Verdict.ORPHAN,
    Kind.SIZE_MISMATCH: Verdict.SIZE_MISMATCH,
}


def judge_file(
    inventory: DirectoryTable,
    remote: DirectoryTable,
    options: CompareOptions,
    tally: Tally,
    path: bytes,
    second: DirectoryTable | None = None,
) -> Judged:
    """Judge one file as a run would that compares these two; ``tally`` is filled as a run's is.

    ``second`` is the inventory that was read after the listing, if one was.
    """
    directory, name = paths.parent_of(path) or b"/", paths.name_of(path)
    left, right = inventory.find(directory), remote.find(directory)
    # Whether two directories are the same is told by all their files.
    twins = Twins(remote) if options.one_name else None
    ours, theirs = _only(inventory, left, name), _only(remote, right, name)
    judge = Judge(ours, theirs, options, tally, twins)
    findings: list[Finding] = []
    if left is not None and right is not None:
        findings = judge.both(left, right)
    elif left is not None and ours.load(left):
        findings = judge.inventory_only(left)
    elif right is not None and theirs.load(right):
        findings = judge.remote_only(right)
    if findings and second is not None:
        store = remote if options.one_name else None
        if SecondOpinion(second, options.young_after, tally, store).agreed(findings[0]) is None:
            return _spoken_against(second, directory)
    if findings:
        return Judged(_OF_KIND[findings[0].kind])
    return _undecided(inventory, remote, tally, directory, _has(ours, left) or _has(theirs, right))


def _spoken_against(second: DirectoryTable, directory: bytes) -> Judged:
    """Say why what differs from the first inventory is no finding by the second one.

    A time there that is too young is another one than the first inventory had: a change like any other.
    """
    unseen = _unseen(second, directory)
    if unseen is not None:
        return Judged(Verdict.UNSEEN, unseen.label)
    return Judged(Verdict.MEANWHILE)


def _undecided(
    inventory: DirectoryTable, remote: DirectoryTable, tally: Tally, directory: bytes, exists: bool
) -> Judged:
    """Say why there is no finding."""
    if Reason.LINK in tally.reasons:
        return Judged(Verdict.LINK, Reason.LINK.label, next(iter(tally.links.values()), None))
    unseen = _unseen(remote, directory) or _unseen(inventory, directory)
    if unseen is not None:
        return Judged(Verdict.UNSEEN, unseen.label)
    if Reason.UNREAD in tally.reasons:
        return Judged(Verdict.UNREAD, Reason.UNREAD.label)
    if tally.young:
        return Judged(Verdict.YOUNG)
    if tally.kept:
        return Judged(Verdict.SPARED)
    return Judged(Verdict.AGREES if exists else Verdict.NOWHERE)


def _unseen(table: DirectoryTable, directory: bytes) -> Reason | None:
    sight, row = Sight(table), table.find(directory)
    return sight.unseen_above(directory) if row is None else sight.unseen(row)


def _has(table: DirectoryTable, row: int | None) -> bool:
    return row is not None and bool(table.load(row))


def _only(table: DirectoryTable, row: int | None, name: bytes) -> DirectoryTable:
    """Give the same table, but that the files of one row are the one of a name, if it is there."""
    load = table.load

    def one(wanted: int) -> FileColumns:
        return only_file(load(wanted), name) if wanted == row else load(wanted)

    loader: Callable[[int], FileColumns] = one
    return replace(table, load=loader)


def only_file(files: FileColumns, name: bytes) -> FileColumns:
    """Keep the file of a name; nothing when it is not there."""
    names = files.name_list()
    return files.pick({names.index(name): name}) if name in names else NO_FILES
