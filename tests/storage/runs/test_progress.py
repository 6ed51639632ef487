"""How far a run is can be seen from its directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.columns import FileColumns
from engine.record import DirectoryRecord
from engine.states import State
from storage.runs.directory import RunDirectory
from storage.runs.progress import RunProgress, look
from storage.snapshot import SnapshotHeader, SnapshotWriter, part_of


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    directory = RunDirectory(tmp_path, "T2_X")
    directory.path.mkdir(parents=True)
    return directory


def test_the_phases_of_a_run(directory: RunDirectory) -> None:
    assert look(directory) == RunProgress("starting")
    directory.begin({}, 1.0)
    assert look(directory) == RunProgress("inventory")
    directory.inventory_is_read()
    assert look(directory) == RunProgress("listing")
    writer = SnapshotWriter(directory.listing, SnapshotHeader("listing", "door", 1, "T2_X", (b"/store",)))
    files = FileColumns.from_rows([(b"a", 1, 1), (b"b", 2, 2)])
    writer.append(DirectoryRecord(b"/store", State.LISTED, files=files))
    writer.flush()
    seen = look(directory)
    assert (seen.phase, seen.directories, seen.files) == ("listing", 1, 2)
    assert seen.last_sign == part_of(directory.listing).stat().st_mtime
    writer.finish()
    assert look(directory) == RunProgress("comparing")


def test_what_cannot_be_read_is_left_out(directory: RunDirectory) -> None:
    directory.begin({}, 1.0)
    directory.inventory_is_read()
    part_of(directory.listing).write_bytes(b"not a snapshot")
    seen = look(directory)
    assert (seen.phase, seen.directories, seen.files) == ("listing", None, None)
    (directory.path / "run.json").write_text("[1]")
    assert look(directory) == RunProgress("starting")
