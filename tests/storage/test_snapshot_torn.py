"""What is left of a snapshot after its writer was killed, its machine was lost, or its disk was full."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.columns import FileColumns
from engine.paths import join
from engine.record import DirectoryRecord
from engine.states import Reason, State
from storage.frames import make_frame
from storage.snapshot import (
    MAGIC,
    Snapshot,
    SnapshotError,
    SnapshotWriter,
    part_of,
)
from tests.storage.snapshots import GOLDEN, HEADER, RECORDS, files, frames_of, listed, part_with, read, write_golden

ROOT = Path(__file__).parents[2]


@pytest.fixture
def torn(tmp_path: Path) -> tuple[bytes, list[tuple[int, int]]]:
    """Give the bytes of a part and where its directories are."""
    content = part_with(tmp_path / "whole", RECORDS).read_bytes()
    return content, frames_of(content)[1:]


def expected_after(tmp_path: Path, count: int) -> list[tuple[object, ...]]:
    return read(part_with(tmp_path / "expected", RECORDS[:count]))[0]


def test_a_part_that_is_cut_anywhere_keeps_what_is_whole(
    tmp_path: Path, torn: tuple[bytes, list[tuple[int, int]]]
) -> None:
    content, frames = torn
    path, part = tmp_path / "s", tmp_path / "s.part"
    for count in range(len(frames) - 3, len(frames)):
        expected = expected_after(tmp_path, count)
        start, end = frames[count]
        for cut in range(start, end):
            part.write_bytes(content[:cut])
            assert read(part) == (expected, cut - start)
            writer = SnapshotWriter.resume(path)
            assert part.stat().st_size == start
            assert len(writer.index) == len(expected)
            for record in RECORDS[count:]:
                writer.append(record)
            writer.close()
            assert part.read_bytes() == content


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_a_byte_that_is_not_what_it_was_ends_a_part_there(
    tmp_path: Path, torn: tuple[bytes, list[tuple[int, int]]], mask: int
) -> None:
    content, frames = torn
    part = tmp_path / "s.part"
    for count in range(len(frames) - 3, len(frames)):
        expected = expected_after(tmp_path, count)
        start, end = frames[count]
        for position in range(start, end):
            damaged = bytearray(content)
            damaged[position] ^= mask
            part.write_bytes(damaged)
            assert read(part) == (expected, len(content) - start)


@pytest.mark.parametrize("tail", [b"\0" * 5000, b"\xff" * 100, MAGIC, make_frame(2, b"no record"), make_frame(9, b"")])
def test_what_a_lost_machine_may_append_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    part = part_with(tmp_path / "s", RECORDS)
    content = part.read_bytes()
    part.write_bytes(content + tail)
    assert read(part)[1] == len(tail)
    SnapshotWriter.resume(tmp_path / "s").finish()
    assert (tmp_path / "s").read_bytes() == GOLDEN.read_bytes()


def test_an_index_that_was_not_finished_is_cut_off_at_any_byte(tmp_path: Path) -> None:
    content = GOLDEN.read_bytes()
    index_start = frames_of(content)[-1][0]
    expected = read(GOLDEN)[0]
    part = tmp_path / "s.part"
    for cut in range(index_start, len(content) + 1):
        part.write_bytes(content[:cut])
        assert read(part) == (expected, cut - index_start)
        writer = SnapshotWriter.resume(tmp_path / "s")
        assert part.stat().st_size == index_start
        writer.finish()
        assert (tmp_path / "s").read_bytes() == content


def test_the_end_of_a_name_is_not_taken_for_the_end_of_a_snapshot(tmp_path: Path) -> None:
    """A store that holds the closing mark in a name must not make a torn part unreadable."""
    name = b"x" * 8 + b"DYNCEND\x01" + b"rest"
    part = part_with(tmp_path / "s", [listed(b"/a"), listed(b"/b", files((name, 1, 1)))])
    content = part.read_bytes()
    part.write_bytes(content[: content.index(b"rest")])
    assert [row[0] for row in read(part)[0]] == [b"/a"]


def test_a_resumed_part_is_like_one_that_was_never_stopped(tmp_path: Path) -> None:
    for stop in range(len(RECORDS) + 1):
        part_with(tmp_path / "s", RECORDS[:stop])
        writer = SnapshotWriter.resume(tmp_path / "s")
        assert writer.header == HEADER
        for record in RECORDS[stop:]:
            writer.append(record)
        writer.finish()
        assert (tmp_path / "s").read_bytes() == GOLDEN.read_bytes()


def test_a_part_whose_header_is_not_whole_cannot_be_gone_on_with(tmp_path: Path) -> None:
    content = GOLDEN.read_bytes()
    part = tmp_path / "s.part"
    for cut in range(frames_of(content)[0][1]):
        part.write_bytes(content[:cut])
        with pytest.raises(SnapshotError, match=r"s\.part"):
            SnapshotWriter.resume(tmp_path / "s")
        assert part.read_bytes() == content[:cut]
        with pytest.raises(SnapshotError, match=r"s\.part"):
            Snapshot(part)


def test_without_a_part_there_is_nothing_to_go_on_with(tmp_path: Path) -> None:
    write_golden(tmp_path / "s")
    with pytest.raises(FileNotFoundError):
        SnapshotWriter.resume(tmp_path / "s")
    assert os.listdir(tmp_path) == ["s"]


names = st.binary(min_size=1, max_size=4).map(lambda name: name.replace(b"\0", b"0").replace(b"/", b"s"))
int64s = st.integers(-(2**63), 2**63 - 1)


@st.composite
def record_lists(draw: st.DrawFn) -> list[DirectoryRecord]:
    """Give records of which each is of the top or of a directory that an earlier one named."""
    known, records = [b"/"], []
    for _ in range(draw(st.integers(0, 6))):
        path = draw(st.sampled_from(known))
        if draw(st.booleans()):
            rows = draw(st.lists(st.tuples(names, st.integers(-1, 2**60), int64s), max_size=3))
            children = draw(st.lists(st.tuples(names, int64s), max_size=2))
            records.append(listed(path, FileColumns.from_rows(rows), *children))
            known.extend(join(path, name) for name, _ in children)
        else:
            records.append(
                DirectoryRecord(path, State.FAILED, draw(st.sampled_from(Reason)), draw(st.text(max_size=2)))
            )
    return records


@settings(max_examples=60, deadline=None)
@given(record_lists(), st.data())
def test_a_run_killed_at_any_byte_ends_like_one_that_was_not(
    tmp_path_factory: pytest.TempPathFactory, records: list[DirectoryRecord], data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("killed")
    content = part_with(directory / "s", records).read_bytes()
    SnapshotWriter.resume(directory / "s").finish()
    frames = frames_of(content)
    cut = data.draw(st.integers(frames[0][1], len(content)))
    part_of(directory / "t").write_bytes(content[:cut])
    whole = sum(1 for _, end in frames[1:] if end <= cut)
    writer = SnapshotWriter.resume(directory / "t")
    for record in records[whole:]:
        writer.append(record)
    writer.finish()
    assert (directory / "t").read_bytes() == (directory / "s").read_bytes()
    shutil.rmtree(directory)


FULL = """
import errno, resource, sys
from pathlib import Path
from engine.columns import FileColumns
from engine.record import DirectoryRecord
from engine.states import State
from storage.snapshot import SnapshotHeader, SnapshotWriter

path, mode = Path(sys.argv[1]), sys.argv[2]
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

def record(number, size):
    return DirectoryRecord(b"/%d" % number, State.LISTED, files=FileColumns.from_rows([(b"x" * size, 1, 1)]))

def fails(step):
    try:
        step()
    except OSError as error:
        # Nobody can guess which disk it is.
        assert error.filename == str(path) + ".part", error
        return errno.errorcode[error.errno]
    return "no error"

if mode == "start":
    limit(10)
    print(fails(lambda: SnapshotWriter(path, SnapshotHeader("listing", "here", 5))))
    sys.exit()
writer = SnapshotWriter(path, SnapshotHeader("listing", "here", 5))
if mode == "flush":
    limit(50_000)
    flushed = 0
    try:
        while True:
            writer.append(record(flushed, 1000))
            writer.flush()
            flushed += 1
    except OSError as error:
        print(errno.errorcode[error.errno], flushed)
    print(fails(writer.close))
elif mode == "finish":
    for number in range(3):
        writer.append(record(number, 1000))
    limit(3500)
    print(fails(writer.finish))
    writer.discard()
elif mode == "go on":
    writer.append(record(0, 10))
    writer.flush()
    limit(1_500_000)
    print(fails(lambda: writer.append(record(1, 3_000_000))))
    limit(hard)
    print(fails(lambda: writer.append(record(2, 10))), fails(writer.finish), fails(writer.close))
"""


def on_a_full_disk(path: Path, mode: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path), mode], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


TOO_BIG = errno.errorcode[errno.EFBIG]


def test_what_was_flushed_before_the_disk_was_full_is_whole(tmp_path: Path) -> None:
    write_golden(tmp_path / "s")
    words = on_a_full_disk(tmp_path / "s", "flush")
    assert (words[0], words[2]) == (TOO_BIG, TOO_BIG)
    flushed = int(words[1])
    assert flushed > 10
    rows, lost = read(tmp_path / "s.part")
    assert {row[0] for row in rows} == {b"/%d" % number for number in range(flushed)}
    assert len(rows) == flushed
    assert lost > 0
    assert (tmp_path / "s").read_bytes() == GOLDEN.read_bytes()
    writer = SnapshotWriter.resume(tmp_path / "s")
    writer.append(listed(b"/more"))
    writer.finish()
    assert len(read(tmp_path / "s")[0]) == flushed + 1


def test_a_disk_that_is_full_at_the_end_leaves_the_old_file(tmp_path: Path) -> None:
    write_golden(tmp_path / "s")
    assert on_a_full_disk(tmp_path / "s", "finish") == [TOO_BIG]
    assert os.listdir(tmp_path) == ["s"]
    assert (tmp_path / "s").read_bytes() == GOLDEN.read_bytes()


def test_a_writer_whose_write_failed_half_way_does_not_go_on(tmp_path: Path) -> None:
    write_golden(tmp_path / "s")
    assert on_a_full_disk(tmp_path / "s", "go on") == [TOO_BIG, "EIO", "EIO", "no", "error"]
    assert (tmp_path / "s").read_bytes() == GOLDEN.read_bytes()
    assert [row[0] for row in read(tmp_path / "s.part")[0]] == [b"/0"]


def test_a_disk_that_is_full_from_the_start_leaves_nothing(tmp_path: Path) -> None:
    assert on_a_full_disk(tmp_path / "s", "start") == [TOO_BIG]
    assert os.listdir(tmp_path) == []
