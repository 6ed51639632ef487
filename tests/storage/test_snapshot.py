import errno
import os
import threading
import tracemalloc
from array import array
from dataclasses import replace
from pathlib import Path

import msgpack
import pytest

from engine.columns import NO_DIGEST, NO_FILES, UNKNOWN_MTIME, FileColumns
from engine.index import Entry, Leaves
from engine.record import DirectoryRecord
from engine.states import Reason, State
from storage.frames import make_frame
from storage.snapshot import (
    MAGIC,
    Snapshot,
    SnapshotBusy,
    SnapshotError,
    SnapshotHeader,
    SnapshotWriter,
    check_directory_frames,
    damage,
    directory_frame,
    files_of_frame,
    is_part,
    part_of,
)
from tests.storage.snapshots import (
    FRAME,
    GOLDEN,
    HEADER,
    LATEST,
    RECORDS,
    TRAILER,
    WITH_IDS,
    files,
    frames_of,
    listed,
    part_with,
    read,
    write_golden,
    write_with_ids,
)


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    write_golden(tmp_path / "s")
    assert os.listdir(tmp_path) == ["s"]
    snapshot = Snapshot(tmp_path / "s")
    assert (snapshot.header, snapshot.finished, snapshot.lost) == (HEADER, True, 0)
    table = snapshot.table
    assert table.paths == [
        b"/store/mc",
        b"/store/mc/a",
        b"/store/mc/a/x",
        b"/store/mc/a-b",
        b"/store/mc/queue",
        b"/store/mc/secret",
        b"/store/\xff",
    ]
    for row, path in enumerate(table.paths):
        record = LATEST.get(path, DirectoryRecord(path, State.UNFILLED, Reason.NEVER_REACHED))
        assert (table.state(row), table.reason(row), table.details.get(row, "")) == (
            record.state,
            record.reason,
            record.detail,
        )
        assert (table.load(row), table.digest(row)) == (record.files, record.digest())
        assert (table.files[row], table.sizes[row], table.newest[row], table.listed_at[row]) == (
            len(record.files),
            record.files.total_size(),
            record.files.newest(),
            record.listed_at,
        )
    assert table.mtimes.tolist() == [UNKNOWN_MTIME, 1_600_000_000, 9, UNKNOWN_MTIME, 5, 6, UNKNOWN_MTIME]
    snapshot.close()


def test_the_golden_file_is_still_read_and_still_written(tmp_path: Path) -> None:
    write_golden(tmp_path / "s")
    assert (tmp_path / "s").read_bytes() == GOLDEN.read_bytes()
    assert read(GOLDEN) == read(tmp_path / "s")


def test_the_golden_file_is_what_the_documentation_says() -> None:
    content = GOLDEN.read_bytes()
    assert content[:8] == b"DYNCONS\x01"
    frames = frames_of(content)
    kinds = [content[start] for start, _ in frames]
    assert kinds == [1, *[2] * len(RECORDS), 3]
    index_start, magic = TRAILER.unpack(content[-TRAILER.size :])
    assert (index_start, magic) == (frames[-1][0], b"DYNCEND\x01")
    assert frames[-1][1] == len(content) - TRAILER.size
    for record, (start, end) in zip(RECORDS, frames[1:-1], strict=True):
        assert DirectoryRecord.unpack(content[start + FRAME.size : end]) == record


def test_a_golden_file_with_ids_is_still_read_and_still_written(tmp_path: Path) -> None:
    write_with_ids(tmp_path / "s")
    assert (tmp_path / "s").read_bytes() == WITH_IDS.read_bytes()
    snapshot = Snapshot(WITH_IDS)
    table = snapshot.table
    names = [b"/store/mc", b"/store/mc/a", b"/store/mc/b", b"/store/mc/link", b"/store/mc/unknown"]
    assert table.paths == names
    assert table.ids is not None
    assert table.ids.tolist() == [0, -7, 2**62, -7, 0]
    assert (table.state(0), table.reason(0)) == (State.LISTED, Reason.OTHERS)
    assert list(table.unlisted())[1] == (b"/store/mc/link", Reason.LINK, "the same")
    snapshot.close()


def test_the_part_of_a_file_with_ids_has_them_too(tmp_path: Path) -> None:
    part = tmp_path / "s.part"
    content = WITH_IDS.read_bytes()
    part.write_bytes(content[: frames_of(content)[-1][0]])
    assert read(part)[0] == read(WITH_IDS)[0]
    snapshot = Snapshot(part)
    assert snapshot.table.ids is not None
    assert snapshot.table.ids.tolist() == [0, -7, 2**62, -7, 0]
    snapshot.close()


def test_a_snapshot_of_nothing(tmp_path: Path) -> None:
    SnapshotWriter(tmp_path / "s", SnapshotHeader("inventory", "empty.txt", 5)).finish()
    snapshot = Snapshot(tmp_path / "s")
    assert (len(snapshot.table), snapshot.lost, snapshot.finished) == (0, 0, True)
    assert snapshot.header == SnapshotHeader("inventory", "empty.txt", 5, "", (), {})
    snapshot.close()


def test_a_source_may_have_a_name_that_is_not_text(tmp_path: Path) -> None:
    header = SnapshotHeader("inventory", os.fsdecode(b"/data/\xff.csv"), 5)
    SnapshotWriter(tmp_path / "s", header).finish()
    snapshot = Snapshot(tmp_path / "s")
    assert snapshot.header == header
    snapshot.close()


def test_words_that_are_not_text_do_not_keep_a_snapshot_from_being_finished(tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path / "s", HEADER)
    writer.append(DirectoryRecord(b"/a", State.FAILED, Reason.SERVER, "no \ud800 and no \udcff"))
    writer.finish()
    assert read(tmp_path / "s")[0][0][3] == "no ? and no ?"


def test_fields_that_a_later_header_has_are_passed_over(tmp_path: Path) -> None:
    packed = msgpack.packb({**msgpack.unpackb(HEADER.pack()), "invented_later": 1})
    assert SnapshotHeader.unpack(packed) == HEADER


@pytest.mark.parametrize(
    "fields", [5, None, [], {}, {"kind": "listing"}, {"kind": "a", "source": "b", "created": 1, "tops": 5}]
)
def test_a_header_that_is_none_is_refused(tmp_path: Path, fields: object) -> None:
    path = tmp_path / "s.part"
    path.write_bytes(MAGIC + make_frame(1, msgpack.packb(fields)))
    with pytest.raises(SnapshotError, match=r"s\.part: damaged snapshot: not a header"):
        Snapshot(path)


def test_a_part_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path / "s", HEADER)
    assert os.listdir(tmp_path) == ["s.part"]
    for count, record in enumerate(RECORDS, 1):
        writer.append(record)
        writer.flush()
        snapshot = Snapshot(writer.part)
        assert (snapshot.finished, snapshot.lost, snapshot.header) == (False, 0, HEADER)
        latest = {known.path: known for known in RECORDS[:count]}
        for path, known in latest.items():
            row = snapshot.table.find(path)
            assert row is not None
            assert (snapshot.table.state(row), snapshot.table.load(row)) == (known.state, known.files)
        snapshot.close()
    before = read(writer.part)[0]
    writer.finish()
    assert read(tmp_path / "s")[0] == before


def test_the_names_of_parts(tmp_path: Path) -> None:
    assert part_of(tmp_path / "a.snapshot") == tmp_path / "a.snapshot.part"
    assert is_part(tmp_path / "a.snapshot.part")
    assert not is_part(tmp_path / "a.snapshot")


def test_a_later_record_replaces_an_earlier_one(tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path / "s", HEADER)
    writer.append(listed(b"/d", files((b"old", 1, 1), (b"older", 2, 2)), (b"sub", 1)))
    writer.append(listed(b"/d", files((b"new", 3, 3))))
    writer.append(DirectoryRecord(b"/d/sub", State.FAILED, Reason.TIMEOUT, "slow"))
    writer.append(listed(b"/d/sub", files((b"f", 4, 4))))
    writer.close()
    for finish in (False, True):
        if finish:
            SnapshotWriter.resume(tmp_path / "s").finish()
        snapshot = Snapshot(tmp_path / "s" if finish else writer.part)
        table = snapshot.table
        assert [table.load(row).name_list() for row in range(len(table))] == [[b"new"], [b"f"]]
        assert (table.total_files(), table.total_size(), table.details) == (2, 7, {})
        snapshot.close()


def test_the_old_file_is_whole_until_the_new_one_is(tmp_path: Path) -> None:
    path = tmp_path / "s"
    writer = SnapshotWriter(path, HEADER)
    writer.append(listed(b"/old"))
    writer.finish()
    old = path.read_bytes()
    reader = Snapshot(path)
    writer = SnapshotWriter(path, HEADER)
    for number in range(1000):
        writer.append(listed(b"/new%d" % number, files((b"f", 1, 1))))
        assert number % 100 or path.read_bytes() == old
    writer.sync()
    assert path.read_bytes() == old
    writer.finish()
    assert len(read(path)[0]) == 1000
    # Who had the old one open goes on with the old one.
    assert reader.table.load(0) == NO_FILES
    assert reader.table.paths == [b"/old"]
    reader.close()


def test_what_is_discarded_leaves_no_trace(tmp_path: Path) -> None:
    write_golden(tmp_path / "s")
    writer = SnapshotWriter(tmp_path / "s", HEADER)
    writer.append(listed(b"/new"))
    writer.discard()
    assert os.listdir(tmp_path) == ["s"]
    assert (tmp_path / "s").read_bytes() == GOLDEN.read_bytes()


def test_a_new_writer_drops_the_part_of_an_earlier_one(tmp_path: Path) -> None:
    part_with(tmp_path / "s", RECORDS)
    writer = SnapshotWriter(tmp_path / "s", HEADER)
    assert read(writer.part) == ([], 0)
    writer.discard()


def test_frames_are_appended_unread(tmp_path: Path) -> None:
    frames = [directory_frame(record) for record in RECORDS]
    entries = [Entry.of(record, len(frame)) for record, frame in zip(RECORDS, frames, strict=True)]
    writer = SnapshotWriter(tmp_path / "s", HEADER)
    writer.append_frames(entries[:3], b"".join(frames[:3]))
    writer.append_frames((), b"")
    writer.append_frames(iter(entries[3:]), b"".join(frames[3:]))
    writer.finish()
    assert (tmp_path / "s").read_bytes() == GOLDEN.read_bytes()


def test_leaves_are_appended_as_records_are(tmp_path: Path) -> None:
    records = [listed(b"/d/%d" % n, files((b"f%d" % n, n, 5))) for n in range(4)]
    top = listed(b"/d", NO_FILES, *[(b"%d" % n, 9) for n in range(4)])
    frames = [directory_frame(record) for record in records]
    entries = [Entry.of(record, len(frame)) for record, frame in zip(records, frames, strict=True)]
    leaves = Leaves(
        [entry.path for entry in entries],
        records[0].listed_at,
        array("q", [entry.files for entry in entries]),
        array("q", [entry.size for entry in entries]),
        array("q", [entry.newest for entry in entries]),
        b"".join([entry.digest for entry in entries]),
        array("q", [entry.length for entry in entries]),
    )
    assert list(leaves.entries()) == entries
    writer = SnapshotWriter(tmp_path / "leaves", HEADER)
    writer.append(top)
    with pytest.raises(ValueError, match="do not add up"):
        writer.append_leaves(leaves, b"".join(frames) + b"x")
    writer.append_leaves(leaves, b"".join(frames))
    writer.finish()
    other = SnapshotWriter(tmp_path / "records", HEADER)
    for record in (top, *records):
        other.append(record)
    other.finish()
    assert (tmp_path / "leaves").read_bytes() == (tmp_path / "records").read_bytes()


@pytest.mark.parametrize("change", [-1, 1, 1000])
def test_frames_that_are_not_as_long_as_their_entries_say_are_refused(tmp_path: Path, change: int) -> None:
    writer = SnapshotWriter(tmp_path / "s", HEADER)
    writer.append(RECORDS[0])
    frame = directory_frame(RECORDS[1])
    with pytest.raises(ValueError, match="do not add up"):
        writer.append_frames([Entry.of(RECORDS[1], len(frame) + change)], frame)
    assert writer.index.state_of(RECORDS[1].path) == State.UNFILLED
    writer.append(RECORDS[1])
    writer.finish()
    rows, _ = read(tmp_path / "s")
    part = part_with(tmp_path / "t", RECORDS[:2])
    assert rows == read(part)[0]


def test_frames_that_were_kept_elsewhere_are_checked() -> None:
    frames = [directory_frame(record) for record in RECORDS]
    lengths = list(map(len, frames))
    whole = b"".join(frames)
    check_directory_frames(whole, lengths)
    check_directory_frames(b"", [])
    assert [files_of_frame(frame) for frame in frames] == [record.files for record in RECORDS]
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1
        with pytest.raises(ValueError, match="does not match its checksum"):
            check_directory_frames(bytes(changed), lengths)
    for other in (lengths[:-1], [*lengths, 9], [lengths[0] + 1, *lengths[1:]]):
        with pytest.raises(ValueError, match=r"checksum|other frames"):
            check_directory_frames(whole, other)
    with pytest.raises(ValueError, match="checksum"):
        files_of_frame(make_frame(1, RECORDS[0].pack()))


DIRECTORIES = 100_000


def test_opening_a_large_snapshot_reads_no_files(tmp_path: Path) -> None:
    path = tmp_path / "large"
    held = FileColumns.from_rows((b"%d" % number * 20, 1000, 5) for number in range(10))
    record = listed(b"/d/000000", held)
    frame = directory_frame(record)
    entry = Entry.of(record, len(frame))
    writer = SnapshotWriter(path, HEADER)
    writer.append(listed(b"/d", NO_FILES, *[(b"%06d" % number, number) for number in range(DIRECTORIES)]))
    first = len(directory_frame(listed(b"/d")))
    for number in range(DIRECTORIES):
        this = b"/d/%06d" % number
        packed = make_frame(2, frame[FRAME.size :].replace(b"/d/000000", this))
        writer.append_frames(
            [
                Entry(
                    this,
                    State.LISTED,
                    Reason.NONE,
                    "",
                    7,
                    entry.files,
                    entry.size,
                    5,
                    entry.digest,
                    entry.directories,
                    len(frame),
                )
            ],
            packed,
        )
    writer.finish()
    # With the directories wiped out, whatever were read of them would be found to be damaged.
    with path.open("r+b") as file:
        index_start = TRAILER.unpack(file.read()[-TRAILER.size :])[0]
        start = len(MAGIC) + FRAME.size + len(HEADER.pack()) + first
        file.seek(start)
        file.write(b"\xff" * (index_start - start))
    tracemalloc.start()
    snapshot = Snapshot(path)
    held_memory, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    table = snapshot.table
    assert (len(table), table.total_files()) == (DIRECTORIES + 1, 10 * DIRECTORIES)
    assert table.total_size() == 10_000 * DIRECTORIES
    assert held_memory < 300 * DIRECTORIES < path.stat().st_size
    with pytest.raises(SnapshotError, match="damaged"):
        table.load(1)
    snapshot.close()


def test_a_closed_snapshot_gives_no_files(tmp_path: Path) -> None:
    snapshot = Snapshot(GOLDEN)
    snapshot.close()
    assert snapshot.table.digest(0) != NO_DIGEST
    with pytest.raises(SnapshotError, match=r"version-1\.snapshot"):
        snapshot.table.load(1)


def test_a_writer_that_was_left_behind_cannot_spoil_what_another_starts(tmp_path: Path) -> None:
    path = tmp_path / "s"
    header = SnapshotHeader("listing", "test", 1)
    forgotten = SnapshotWriter(path, header)
    forgotten.append(DirectoryRecord(b"/old", State.LISTED))
    writer = SnapshotWriter(path, header)
    forgotten.append(DirectoryRecord(b"/older", State.LISTED))
    forgotten.flush()
    with pytest.raises(SnapshotError, match="another writer has started over"):
        forgotten.finish()
    writer.append(DirectoryRecord(b"/new", State.LISTED))
    writer.finish()
    forgotten.close()
    snapshot = Snapshot(path)
    assert snapshot.table.paths == [b"/new"]
    snapshot.close()


def test_a_journal_is_gone_on_with_only_when_its_writer_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s"
    first = SnapshotWriter(path, SnapshotHeader("listing", "test", 1))
    first.append(DirectoryRecord(b"/a", State.LISTED))
    first.flush()
    monkeypatch.setattr("storage.snapshot.writer._LOCK_SECONDS", 0.2)
    with pytest.raises(SnapshotBusy, match=r"s\.part: another process still writes to it"):
        SnapshotWriter.resume(path)
    first.close()
    second = SnapshotWriter.resume(path)
    assert second.index.state_of(b"/a") == State.LISTED
    second.close()


def test_what_was_finished_while_others_waited_for_it_stays_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s"
    first = part_with(path, RECORDS)
    writer = SnapshotWriter.resume(path)
    waiting = threading.Event()
    monkeypatch.setattr("storage.snapshot.writer.time.sleep", lambda _seconds: waiting.set())

    def finish() -> None:
        waiting.wait()
        writer.finish()

    other = threading.Thread(target=finish)
    other.start()
    with pytest.raises(SnapshotBusy, match="another process has finished it"):
        SnapshotWriter.resume(path)
    other.join()
    assert path.read_bytes() == GOLDEN.read_bytes()
    assert not first.exists()


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOLCK])
def test_a_disk_that_fails_says_nothing_about_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    part = part_with(tmp_path / "s", RECORDS)
    content = part.read_bytes()

    def fail(_file: object, _operation: int) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr("storage.snapshot.writer.fcntl.flock", fail)
    with pytest.raises(OSError, match=os.strerror(error)):
        SnapshotWriter.resume(tmp_path / "s")
    assert part.read_bytes() == content


def test_a_journal_of_something_else_is_not_gone_on_with(tmp_path: Path) -> None:
    header = SnapshotHeader("listing", "test", 1, "T2_A", (b"/a",))
    writer = SnapshotWriter(tmp_path / "s", header)
    writer.append(DirectoryRecord(b"/a", State.LISTED))
    writer.close()
    for other, why in (
        (replace(header, site="T2_B"), r"it is the listing of T2_A, not the listing of T2_B"),
        (replace(header, kind="inventory"), r"it is the listing of T2_A, not the inventory of T2_A"),
        (replace(header, tops=(b"/a", b"/b")), r"other directories were to be listed in it"),
    ):
        with pytest.raises(SnapshotError, match=rf"s\.part: {why}"):
            SnapshotWriter.resume(tmp_path / "s", header=other)
    SnapshotWriter.resume(tmp_path / "s", header=replace(header, created=2, source="another door")).finish()
    assert damage(tmp_path / "s", "T2_A") == ""
    assert damage(tmp_path / "s", "T2_B").endswith("s: it is of T2_A, not of T2_B")
