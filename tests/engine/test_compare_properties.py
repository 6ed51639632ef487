"""The comparison of random trees in random states against sets, worked out in the plainest way."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hypothesis import event, given, settings
from hypothesis import strategies as st

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, FileColumns
from engine.compare import CompareOptions, Tally, compare, empty_directories
from engine.findings import Finding, Kind
from engine.paths import decode, is_under, join, name_of, parent_of, tree_key
from engine.record import DirectoryRecord, DirectorySummary
from engine.states import Reason, State
from engine.table import DirectoryTable

NOW = 100
"""Files and directories with a later mtime are young."""


@dataclass(frozen=True)
class Directory:
    """What one side knows of a directory: files as size and mtime by name, and its own mtime."""

    state: State
    reason: Reason
    files: dict[bytes, tuple[int, int]]
    mtime: int = UNKNOWN_MTIME


Tree = dict[bytes, Directory]

PATHS = (
    *(b"/", b"/a", b"/a/b", b"/a/b/c", b"/a/b/c/d", b"/a/b-", b"/a/\xff", b"/a-", b"/a-/b", b"/a!"),
    *(b"/b", b"/b/a", b"/b/a/a"),
)
names = st.sampled_from([b"a", b"b", b"a-", b"c\xff"])
sizes = st.sampled_from([UNKNOWN_SIZE, 0, 1, 2])
mtimes = st.sampled_from([UNKNOWN_MTIME, 1, NOW, NOW + 1])
contents = st.dictionaries(names, st.tuples(sizes, mtimes), max_size=3)
seen_directories = st.builds(Directory, st.just(State.LISTED), st.just(Reason.NONE), contents, mtimes)
empty_directory = st.builds(Directory, st.just(State.LISTED), st.just(Reason.NONE), st.just({}), mtimes)
unseen_directories = st.sampled_from(
    [
        Directory(State.FAILED, Reason.TIMEOUT, {}),
        Directory(State.FAILED, Reason.PERMISSION, {}, 1),
        Directory(State.IGNORED, Reason.IGNORED, {}),
        Directory(State.UNFILLED, Reason.NEVER_REACHED, {}, 1),
        Directory(State.UNFILLED, Reason.NONE, {}),
    ]
)
directories = st.one_of(seen_directories, seen_directories, empty_directory)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Give any set of directories: parents may be absent, children may be there below one that failed."""
    tree = {b"/": draw(directories)} if draw(st.integers(0, 3)) else {}
    tree |= {path: draw(directories) for path in draw(st.lists(st.sampled_from(PATHS), unique=True, max_size=7))}
    for path in draw(st.lists(st.sampled_from(PATHS), unique=True, max_size=2)):
        tree[path] = draw(unseen_directories)
    return tree


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Tree, Tree]:
    """Give two trees, which may have directories in common."""
    inventory, remote = draw(trees()), draw(trees())
    common = draw(st.sets(st.sampled_from(PATHS)))
    remote.update((path, inventory[path]) for path in sorted(common) if path in inventory)
    return inventory, remote


def table_of(tree: Tree) -> DirectoryTable:
    ordered = sorted(tree, key=tree_key)
    records = []
    for path in ordered:
        directory = tree[path]
        files = FileColumns.from_rows((name, size, mtime) for name, (size, mtime) in directory.files.items())
        records.append(DirectoryRecord(path, directory.state, directory.reason, files=files))
    summaries = [DirectorySummary.of(record, tree[record.path].mtime) for record in records]
    return DirectoryTable.from_summaries(summaries, lambda row: records[row].files)


def lineage(path: bytes) -> Iterator[bytes]:
    """Give a path and everything above it, upwards."""
    current: bytes | None = path
    while current is not None:
        yield current
        current = parent_of(current)


def seen(tree: Tree, directory: bytes) -> bool:
    """Tell whether the tree says what is in a directory, be it that there is no such directory."""
    known = [tree[path] for path in lineage(directory) if path in tree]
    return bool(known) and all(above.state == State.LISTED for above in known)


def files_of(tree: Tree) -> dict[bytes, tuple[int, int]]:
    return {join(path, name): file for path, directory in tree.items() for name, file in directory.files.items()}


Expected = set[tuple[Kind, bytes, int, int]]
"""Kind, path, size and mtime."""


def naive(inventory: Tree, remote: Tree, options: CompareOptions) -> Expected:
    """Work out the findings file by file."""

    def old(mtime: int) -> bool:
        return options.young_after is None or mtime <= options.young_after

    expected: Expected = set()
    ours, theirs = files_of(inventory), files_of(remote)
    for path in ours.keys() | theirs.keys():
        directory = parent_of(path)
        assert directory is not None
        if not (seen(inventory, directory) and seen(remote, directory)):
            continue
        if path not in theirs:
            size, mtime = ours[path]
            if old(mtime) and not (options.keep_missing and options.keep_missing(path)):
                expected.add((Kind.MISSING, path, size, mtime))
        elif path not in ours:
            size, mtime = theirs[path]
            if old(mtime) and not (options.keep_orphan and options.keep_orphan(path)):
                expected.add((Kind.ORPHAN, path, size, mtime))
        else:
            (size, mtime), (other_size, other_mtime) = ours[path], theirs[path]
            differ = size != other_size and UNKNOWN_SIZE not in (size, other_size)
            if differ and old(mtime) and old(other_mtime):
                expected.add((Kind.SIZE_MISMATCH, path, size, mtime))
    return expected


def flat(findings: list[Finding]) -> Expected:
    return {
        (finding.kind, join(finding.directory, name), size, mtime)
        for finding in findings
        for name, size, mtime in finding.files.rows()
    }


option_sets = st.builds(
    CompareOptions,
    st.sampled_from([None, NOW]),
    st.sampled_from([None, lambda path: b"a-" in path]),
    st.sampled_from([None, lambda path: name_of(path) == b"b"]),
)


@settings(max_examples=300)
@given(pairs(), option_sets)
def test_the_findings_are_those_of_sets(pair: tuple[Tree, Tree], options: CompareOptions) -> None:
    inventory, remote = pair
    findings = list(compare(table_of(inventory), table_of(remote), options, Tally()))
    expected = naive(inventory, remote, options)
    event(f"findings: {min(len(expected), 3)}")
    assert flat(findings) == expected
    assert sum(len(finding) for finding in findings) == len(expected)


@settings(max_examples=300)
@given(pairs())
def test_no_finding_lies_in_or_below_a_directory_that_was_not_listed_completely(pair: tuple[Tree, Tree]) -> None:
    inventory, remote = pair
    table = table_of(remote)
    findings = [*compare(table_of(inventory), table, CompareOptions(), Tally()), *empty_directories(table, None)]
    event(f"findings: {min(len(findings), 3)}")
    unseen = [path for path, directory in remote.items() if directory.state != State.LISTED]
    for finding in findings:
        assert not any(is_under(finding.directory, path) for path in unseen)
        if finding.kind != Kind.EMPTY:
            assert all(inventory[p].state == State.LISTED for p in lineage(finding.directory) if p in inventory)


@settings(max_examples=200)
@given(pairs(), option_sets)
def test_findings_come_in_tree_order_once_for_each_kind(pair: tuple[Tree, Tree], options: CompareOptions) -> None:
    findings = list(compare(table_of(pair[0]), table_of(pair[1]), options, Tally()))
    keys = [(tree_key(finding.directory), finding.kind) for finding in findings]
    assert keys == sorted(set(keys))
    for finding in findings:
        assert finding.files.name_list() == sorted(set(finding.files.name_list()))
        theirs = files_of(pair[1])
        if finding.kind == Kind.SIZE_MISMATCH:
            sizes = [theirs[join(finding.directory, name)][0] for name in finding.files.name_list()]
            assert finding.remote_sizes == b"".join(size.to_bytes(8, "little", signed=True) for size in sizes)


@settings(max_examples=200)
@given(pairs(), option_sets)
def test_every_difference_is_found_or_counted(pair: tuple[Tree, Tree], options: CompareOptions) -> None:
    """What is neither reported nor passed over for its age or by a filter is counted as protected."""
    inventory, remote = pair
    tally = Tally()
    found = sum(len(finding) for finding in compare(table_of(inventory), table_of(remote), options, tally))
    everything = sum(
        len(finding) for finding in compare(table_of(inventory), table_of(remote), CompareOptions(), Tally())
    )
    assert found + tally.young + tally.kept == everything
    assert tally.protected == sum(tally.reasons.values())
    assert Reason.NONE not in tally.reasons
    only = [path for path in files_of(inventory) if path not in files_of(remote)]
    unseen = [path for path in only if not seen(remote, path[: path.rindex(b"/")] or b"/")]
    assert tally.protected >= len(unseen)


@settings(max_examples=200)
@given(pairs())
def test_the_comparison_is_the_same_from_the_other_side(pair: tuple[Tree, Tree]) -> None:
    def lists(left: Tree, right: Tree) -> dict[Kind, list[tuple[bytes, list[bytes]]]]:
        found: dict[Kind, list[tuple[bytes, list[bytes]]]] = {kind: [] for kind in Kind}
        for finding in compare(table_of(left), table_of(right), CompareOptions(), Tally()):
            found[finding.kind].append((finding.directory, finding.files.name_list()))
        return found

    one, other = lists(*pair), lists(pair[1], pair[0])
    assert one[Kind.MISSING] == other[Kind.ORPHAN]
    assert one[Kind.ORPHAN] == other[Kind.MISSING]
    assert one[Kind.SIZE_MISMATCH] == other[Kind.SIZE_MISMATCH]


@settings(max_examples=200)
@given(trees())
def test_a_tree_does_not_differ_from_itself(tree: Tree) -> None:
    assert list(compare(table_of(tree), table_of(tree), CompareOptions(), Tally())) == []


@settings(max_examples=100, deadline=None)
@given(trees(), st.sampled_from([None, NOW]))
def test_empty_directories_can_be_removed_from_a_disk_one_by_one(tree: Tree, young_after: float | None) -> None:
    with tempfile.TemporaryDirectory() as root:
        for path, directory in tree.items():
            place = Path(root + decode(path))
            place.mkdir(parents=True, exist_ok=True)
            if directory.files or directory.state != State.LISTED:
                (place / "content").touch()
        found = [finding.directory for finding in empty_directories(table_of(tree), young_after)]
        event(f"directories: {min(len(found), 3)}")
        for path in found:
            os.rmdir(root + decode(path))
    for path in found:
        assert young_after is None or 0 <= tree[path].mtime <= young_after
        assert all(tree[above].state == State.LISTED for above in lineage(path) if above in tree)
