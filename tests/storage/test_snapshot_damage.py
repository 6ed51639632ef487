"""Damage to a finished snapshot is found out; it never becomes other data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from engine.record import DirectoryRecord
from storage.frames import make_frame
from storage.snapshot import (
    Snapshot,
    SnapshotError,
    SnapshotWriter,
    is_snapshot,
)
from tests.storage.snapshots import (
    FRAME,
    GOLDEN,
    HEADER,
    LATEST,
    TRAILER,
    files,
    frames_of,
    listed,
    part_with,
    read,
)


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_a_damaged_finished_file_never_gives_other_data(tmp_path: Path, mask: int) -> None:
    content, expected = GOLDEN.read_bytes(), read(GOLDEN)[0]
    path = tmp_path / "damaged"
    # Nobody reads the record that a later one replaced.
    replaced = range(*frames_of(content)[2])
    assert path_of(content, frames_of(content)[2]) == b"/store/mc/a"
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= mask
        path.write_bytes(damaged)
        if position in replaced:
            assert read(path) == (expected, 0)
        else:
            with pytest.raises(SnapshotError) as caught:
                read(path)
            assert str(caught.value).startswith(f"{path}: ")


def path_of(content: bytes, frame: tuple[int, int]) -> bytes:
    return DirectoryRecord.unpack(content[frame[0] + FRAME.size : frame[1]]).path


def test_a_finished_file_that_is_cut_is_refused(tmp_path: Path) -> None:
    content = GOLDEN.read_bytes()
    path = tmp_path / "cut"
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        with pytest.raises(SnapshotError) as caught:
            Snapshot(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_a_finished_file_with_something_behind_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long"
    content = GOLDEN.read_bytes()
    for tail in (b"x", content[-TRAILER.size :]):
        path.write_bytes(content + tail)
        with pytest.raises(SnapshotError, match="long: damaged snapshot"):
            Snapshot(path)


def damaged_directory(content: bytes, path: bytes) -> bytes:
    """Change the last byte of the last frame of a directory."""
    _, end = [frame for frame in frames_of(content)[1:-1] if path_of(content, frame) == path][-1]
    return content[: end - 1] + bytes((content[end - 1] ^ 1,)) + content[end:]


def test_one_damaged_directory_leaves_the_others_readable(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_bytes(damaged_directory(GOLDEN.read_bytes(), b"/store/mc/a-b"))
    snapshot = Snapshot(path)
    bad, good = snapshot.table.find(b"/store/mc/a-b"), snapshot.table.find(b"/store/mc/a")
    assert bad is not None
    assert good is not None
    assert snapshot.table.load(good) == LATEST[b"/store/mc/a"].files
    with pytest.raises(SnapshotError, match=r"s: damaged snapshot: .*byte \d+.* checksum"):
        snapshot.table.load(bad)
    snapshot.close()


def with_index(content: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Change the index and give it the right checksum."""
    start, end = frames_of(content)[-1]
    fields = msgpack.unpackb(content[start + FRAME.size : end], strict_map_key=False)
    change(fields)
    return content[:start] + make_frame(3, msgpack.packb(fields)) + TRAILER.pack(start, b"DYNCEND\x01")


def int64(*values: int) -> bytes:
    return b"".join(value.to_bytes(8, "little", signed=True) for value in values)


COUNT = 7
"""Directories in the golden file."""


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.pop("states"),
        lambda fields: fields.pop("listed_at"),
        lambda fields: fields.update(states=fields["states"][1:]),
        lambda fields: fields.update(reasons=fields["reasons"] + b"\0"),
        lambda fields: fields.update(digests=fields["digests"][1:]),
        lambda fields: fields.update(paths=fields["paths"] + b"\0/more"),
        lambda fields: fields.update(paths="text"),
        lambda fields: fields.update(sizes=fields["sizes"][8:]),
        lambda fields: fields.update(sizes=fields["sizes"][1:]),
        lambda fields: fields.update(sizes=None),
        lambda fields: fields.update(states=b"\x04" + fields["states"][1:]),
        lambda fields: fields.update(reasons=b"\xff" + fields["reasons"][1:]),
        lambda fields: fields.update(files=int64(-1) + fields["files"][8:]),
        lambda fields: fields.update(sizes=int64(-1) + fields["sizes"][8:]),
        lambda fields: fields.update(offsets=int64(-1) + fields["offsets"][8:]),
        lambda fields: fields.update(offsets=int64(2**62) + fields["offsets"][8:]),
        lambda fields: fields.update(lengths=int64(-1) + fields["lengths"][8:]),
        lambda fields: fields.update(lengths=int64(2**62) + fields["lengths"][8:]),
        lambda fields: fields.update(ids=int64(1)),
        lambda fields: fields.update(ids=b"none"),
        lambda fields: fields.update(details={COUNT: "beyond"}),
        lambda fields: fields.update(details={-1: "before"}),
        lambda fields: fields.update(details={"a": "text"}),
        lambda fields: fields.update(details={0: b"bytes"}),
        lambda fields: fields.update(details=[]) or fields.pop("offsets"),
    ],
)
def test_an_index_that_makes_no_sense_is_refused(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = tmp_path / "s"
    path.write_bytes(with_index(GOLDEN.read_bytes(), lambda fields: None))
    assert read(path) == read(GOLDEN)
    path.write_bytes(with_index(GOLDEN.read_bytes(), change))
    with pytest.raises(SnapshotError, match="s: damaged snapshot"):
        Snapshot(path)


@pytest.mark.parametrize(
    "change", [{"kind": 5}, {"source": b"x"}, {"site": None}, {"created": "now"}, {"tops": ["/x"]}, {"extra": 5}]
)
def test_a_header_of_other_types_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    content = GOLDEN.read_bytes()
    start, end = frames_of(content)[0]
    fields = msgpack.unpackb(content[start + FRAME.size : end], unicode_errors="surrogateescape")
    header = make_frame(1, msgpack.packb({**fields, **change}, unicode_errors="surrogateescape"))
    for name in ("s", "s.part"):
        path = tmp_path / name
        path.write_bytes(content[:start] + header + content[end:])
        with pytest.raises(SnapshotError, match="not a header"):
            Snapshot(path)


def test_the_record_of_another_listing_is_found_out(tmp_path: Path) -> None:
    def content_with(name: bytes) -> bytes:
        path = tmp_path / "s"
        writer = SnapshotWriter(path, HEADER)
        writer.append(listed(b"/store/mc", files((name, 1, 5), (b"z", 2, 5))))
        writer.finish()
        return path.read_bytes()

    # As long as the other, of the same directory, in the same place, with the right checksum: a block of yesterday's.
    today, yesterday = content_with(b"a"), content_with(b"b")
    start, end = frames_of(today)[1]
    path = tmp_path / "s"
    path.write_bytes(today[:start] + yesterday[start:end] + today[end:])
    snapshot = Snapshot(path)
    for read_it in (snapshot.verify, lambda: snapshot.table.load(0)):
        with pytest.raises(SnapshotError, match=r"s: damaged snapshot: byte \d+: other files than the index says"):
            read_it()
    snapshot.close()


@pytest.mark.parametrize("count", [3, 2000])
def test_sizes_that_are_too_large_to_be_true_can_be_written(tmp_path: Path, count: int) -> None:
    held = files(*((b"%05d" % number, 2**62, 5) for number in range(count)))
    part_with(tmp_path / "s", [listed(b"/store/mc", held)])
    writer = SnapshotWriter.resume(tmp_path / "s")
    writer.finish()
    snapshot = Snapshot(tmp_path / "s")
    assert (snapshot.table.sizes[0], snapshot.table.load(0)) == (2**63 - 1, held)
    snapshot.close()


def test_an_index_that_points_to_another_directory_is_found_out(tmp_path: Path) -> None:
    def swap(fields: dict[str, Any]) -> None:
        offsets = [fields["offsets"][at : at + 8] for at in range(0, 8 * COUNT, 8)]
        offsets[1], offsets[3] = offsets[3], offsets[1]
        fields["offsets"] = b"".join(offsets)

    path = tmp_path / "s"
    path.write_bytes(with_index(GOLDEN.read_bytes(), swap))
    snapshot = Snapshot(path)
    for row in (1, 3):
        with pytest.raises(SnapshotError, match=r"s: damaged snapshot: .* directory .*the index says"):
            snapshot.table.load(row)
    snapshot.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a snapshot: the file is empty"),
        (b"D", "not a snapshot: it does not start as one"),
        (b"/store/a 5\n" * 100, "not a snapshot: it does not start as one"),
        (b"DYNCONS", "snapshot format"),
        (b"DYNCONS\x02" + GOLDEN.read_bytes()[8:], "snapshot format 2; this program reads 1"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    for name in ("other", "other.part"):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(SnapshotError) as caught:
            Snapshot(path)
        assert str(caught.value).startswith(f"{path}: {message}")


def test_a_directory_or_nothing_at_all_is_the_operating_systems_word(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        Snapshot(tmp_path)
    with pytest.raises(FileNotFoundError):
        Snapshot(tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        SnapshotWriter(tmp_path / "missing" / "s", HEADER)


def test_a_snapshot_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    other = tmp_path / "other.snapshot"
    assert is_snapshot(GOLDEN)
    for content in (b"", b"DYNC", b"path,size\n"):
        other.write_bytes(content)
        assert not is_snapshot(other)
    # A newer one is one too: who opens it is told so.
    other.write_bytes(b"DYNCONS\x02")
    assert is_snapshot(other)
