"""Everything that a format names stands on the page that describes it."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgpack
import pytest
from sqlite_utils import Database

from engine.checksums.digest import Checksum
from engine.checksums.settling import ChecksumMismatch, SampleState
from engine.columns import DirectoryColumns
from engine.record import DirectoryRecord
from engine.states import Reason, State
from engine.unmerged import Kept
from storage import migrations
from storage.backends.queue import REGISTRY
from storage.history import RunStatus
from storage.history.schema import HISTORY
from storage.inventory.detect import KNOWN_COLUMNS, Format
from storage.inventory.table_columns import REPLICA_COLUMNS, STATE_COLUMNS
from storage.runs.directory import Datasets, RunDirectory, RunInfo
from storage.runs.reports import CHECKSUM_LAYOUT, QUICK_LAYOUT
from storage.runs.sample import write_sample
from storage.snapshot import MAGIC, SnapshotHeader, SnapshotWriter, part_of
from storage.unmerged.journal import UnmergedJournal
from storage.unmerged.search import APPLICATION_ID, VERSION, KeptFiles

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
SECTIONS = {section.partition("\n")[0]: section for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]}


def terms(section: str) -> set[str]:
    """Give what stands in code quotes in a section."""
    return set(re.findall(r"`([^`\n]+)`", SECTIONS[section]))


def columns_of(db: Database) -> dict[str, set[str]]:
    return {table.name: {column.name for column in table.columns} for table in db.tables}


def test_every_field_of_a_snapshot_is_described(tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path / "s", SnapshotHeader("listing", "here", 5))
    writer.append(DirectoryRecord(b"/", State.LISTED))
    writer.finish()
    content = (tmp_path / "s").read_bytes()
    index: dict[str, Any] = msgpack.unpackb(content[int.from_bytes(content[-16:-8], "little") + 9 : -16])
    named = terms("Snapshot")
    assert index.keys() <= named
    assert {field.name for field in fields(SnapshotHeader)} <= named
    record = {field.name for field in fields(DirectoryRecord)}
    assert record - {"files", "directories"} <= named
    assert {"files.names", "files.sizes", "files.mtimes", "files.blocks"} <= named
    assert {"directories.names", "directories.mtimes"} <= named
    packed = msgpack.unpackb(DirectoryRecord(b"/", State.LISTED).pack())
    assert len(packed) == 11
    assert "an array of these eleven fields" in SECTIONS["Snapshot"]
    assert "directories.ids" in named
    children = DirectoryColumns.with_ids([(b"a", 1, 2)])
    assert len(msgpack.unpackb(DirectoryRecord(b"/", State.LISTED, directories=children).pack())) == 12
    assert f"`{MAGIC[:-1].decode()}` and one byte for the version, which is {MAGIC[-1]}" in SECTIONS["Snapshot"]
    assert part_of(Path("NAME")).name in named


@pytest.mark.parametrize("state", State)
def test_every_state_has_its_row(state: State) -> None:
    assert f"\n| {state.value} | {state.name} | " in SECTIONS["Snapshot"]


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_row(reason: Reason) -> None:
    row = f"\n| {reason.value} | {reason.name} | {reason.label}".rstrip()
    assert f"{row} |" in SECTIONS["Snapshot"]


def test_every_list_of_findings_is_described() -> None:
    named = terms("Findings")
    assert set(CHECKSUM_LAYOUT.endings.values()) <= named
    assert {f"BASE{ending}.txt" for ending in QUICK_LAYOUT.endings.values()} <= named
    assert {"path", "path_b64", "size", "remote_size", "mtime", "reason", "detail"} <= named
    assert {"checksum", "remote_checksum"} <= named


def test_every_file_of_a_run_is_described(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path, "S")
    directory.acquire(RunInfo(1, "host", 2.0, "threads"))
    directory.begin({}, 2.0)
    directory.keep_datasets(Datasets())
    directory.keep_found(1, 2.0, {})
    directory.lists.touch()
    (directory.path / "halt").touch()
    assert directory.halt_requested()
    directory.inventory.touch()
    directory.listing.touch()
    part_of(directory.listing).touch()
    mismatch = ChecksumMismatch(b"/s/f", 1, 2, Checksum("md5", "0" * 32), Checksum("md5", "1" * 32), 3.0)
    write_sample(directory.checksums, SampleState(known=(mismatch,)))
    named = terms("Directory of a run")
    assert set(re.findall(r'"(\w+)":', directory.checksums.read_text())) <= named
    assert {path.name for path in directory.path.iterdir()} <= named
    assert {field.name for field in fields(RunInfo)} <= named
    assert set(re.findall(r'"(\w+)":', (directory.path / "run.json").read_text())) <= named
    assert {field.name for field in fields(Datasets)} <= named
    directory.release()


def test_every_table_and_column_of_the_history_is_described() -> None:
    db = Database(memory=True)
    migrations.upgrade(db, HISTORY)
    named = terms("History")
    for table, columns in columns_of(db).items():
        assert table in named
        if table != "_sqlite_migrations":
            assert columns <= named, table
    assert f"0x{HISTORY.application_id:08x}" in SECTIONS["History"]
    words = set(re.findall(r"\w+", SECTIONS["History"]))
    assert {status.value for status in RunStatus} <= words
    db.close()


def test_every_table_and_column_of_the_kept_files_is_described(tmp_path: Path) -> None:
    with KeptFiles(tmp_path / "kept.db", {}) as kept:
        kept.prepare()
        kept.publish()
    db = Database(tmp_path / "kept.db")
    named = terms("Unmerged area")
    for table, columns in columns_of(db).items():
        assert {table, *columns} <= named
    assert {"kept"} | {column.name for column in db["kept"].columns} <= named
    db.close()
    assert f"0x{APPLICATION_ID:08x}" in SECTIONS["Unmerged area"]
    assert f"`PRAGMA user_version` is {VERSION}." in SECTIONS["Unmerged area"]


@pytest.mark.parametrize("reason", Kept)
def test_every_reason_to_keep_a_file_has_its_row(reason: Kept) -> None:
    assert f"\n| {reason.value} | {reason.label} |" in SECTIONS["Unmerged area"]


def test_the_note_of_a_cleaning_is_described(tmp_path: Path) -> None:
    UnmergedJournal(tmp_path).begin({}, 2.0)
    named = terms("Unmerged area")
    assert {path.name for path in tmp_path.iterdir()} <= named
    assert set(re.findall(r'"(\w+)":', (tmp_path / "unmerged.json").read_text())) <= named


def test_every_table_and_column_of_the_registry_is_described() -> None:
    db = Database(memory=True)
    migrations.upgrade(db, REGISTRY)
    named = terms("Registry")
    for table, columns in columns_of(db).items():
        assert table in named
        if table != "_sqlite_migrations":
            assert columns <= named, table
    assert f"0x{REGISTRY.application_id:08x}" in SECTIONS["Registry"]
    db.close()


def test_every_column_of_an_inventory_is_described() -> None:
    named = terms("Inventory")
    for known in (*KNOWN_COLUMNS, STATE_COLUMNS, *REPLICA_COLUMNS):
        assert {name.decode() for name in known} <= named
    assert {form.value for form in Format} <= named
