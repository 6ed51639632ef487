"""A snapshot that is opened like another one is the same as one that is opened by itself."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.columns import FileColumns
from engine.paths import join
from engine.record import DirectoryRecord
from engine.states import State
from storage.snapshot import Snapshot, SnapshotError, SnapshotHeader, SnapshotWriter

Tree = dict[bytes, int]
"""The number of files of each directory."""

trees = st.dictionaries(st.sampled_from([b"", b"/", b"/a", b"/a/b", b"/a-"]), st.integers(0, 2), max_size=4)


def written(path: Path, tree: Tree) -> Path:
    writer = SnapshotWriter(path, SnapshotHeader("listing", "", 1))
    for directory, count in tree.items():
        files = FileColumns.from_rows((b"%d" % number, number, number) for number in range(count))
        writer.append(DirectoryRecord(directory, State.LISTED, files=files))
    writer.finish()
    return path


def content(snapshot: Snapshot) -> list[tuple[bytes, State, bytes, FileColumns]]:
    table = snapshot.table
    return [(path, table.state(row), table.digest(row), table.load(row)) for row, path in enumerate(table.paths)]


@settings(max_examples=100, deadline=None)
@given(trees, trees, st.booleans())
def test_it_has_its_own_content(tree: Tree, other: Tree, same_directories: bool) -> None:
    if same_directories:
        other = {path: count + 1 for path, count in tree.items()}
    with tempfile.TemporaryDirectory() as directory:
        first = Snapshot(written(Path(directory) / "a", tree))
        path = written(Path(directory) / "b", other)
        alone, alike = Snapshot(path), Snapshot(path, like=first)
        assert content(alike) == content(alone)
        if tree and any(tree) and same_directories:
            assert alike.table.paths is first.table.paths


def test_a_directory_that_the_index_does_not_have_is_found_out_all_the_same(tmp_path: Path) -> None:
    first = Snapshot(written(tmp_path / "a", {b"/": 0, join(b"/", b"x"): 1}))
    path = written(tmp_path / "b", {b"/": 0, b"/x": 2})
    content = bytearray(path.read_bytes())
    # The record comes before the index, which names the directory as well.
    content[content.index(b"/x") + 1] = ord("y")
    path.write_bytes(content)
    snapshot = Snapshot(path, like=first)
    with pytest.raises(SnapshotError, match="damaged"):
        snapshot.table.load(1)
