"""Frames come back as they were, from memory or from disk, or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from engine.columns import FileColumns
from storage.inventory.entries import Rows
from storage.inventory.frame_store import FrameStore
from storage.inventory.packing import Packed, Packer
from storage.snapshot import files_of_frame

EVERYTHING = 1 << 30


def packed(first: int, count: int) -> Packed:
    """Make the frames of directories of two files each."""
    directories = [b"/d%d" % (first + n // 2) for n in range(2 * count)]
    names = [b"f%d" % n for n in range(2 * count)]
    return Packer((), 1).pack(Rows(directories, sorted(names), np.arange(2 * count, dtype=np.int64)))


def filled(scratch: Path | None = None, held: int = EVERYTHING) -> FrameStore:
    """Keep the directories 2 to 5, and then 7 to 9."""
    store = FrameStore(scratch, held)
    store.add([2, 3, 4, 5], packed(2, 4))
    store.add([7, 8, 9], packed(7, 3))
    return store


def files(store: FrameStore) -> list[FileColumns]:
    rows = [store.row_of(number) for number in (2, 3, 4, 5, 7, 8, 9)]
    return [files_of_frame(store.frames(row, row + 1)) for row in rows]


@pytest.mark.parametrize("held", [0, 300, 500])
def test_frames_are_the_same_on_disk(held: int, tmp_path: Path) -> None:
    held_in_memory, store = filled(), filled(tmp_path, held)
    assert files(store) == files(held_in_memory)
    assert [store.digests(row, row + 1) for row in range(7)] == [columns.digest() for columns in files(store)]
    for first in range(7):
        for end in range(first + 1, 8):
            assert store.frames(first, end) == held_in_memory.frames(first, end)
    assert os.listdir(tmp_path) == []
    store.close()


def test_directories_without_a_frame_have_no_row() -> None:
    assert [filled().row_of(number) for number in (0, 1, 2, 6, 7, 10)] == [-1, -1, 0, -1, 4, -1]


def test_what_fits_into_memory_needs_no_place(tmp_path: Path) -> None:
    assert len(files(filled(tmp_path / "nowhere"))) == 7


def test_what_fits_into_memory_is_kept_where_there_is_no_temporary_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    assert len(files(filled())) == 7
    with pytest.raises(FileNotFoundError, match="No usable temporary directory"):
        filled(held=0)


def test_what_comes_back_in_parts_is_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, read = filled(tmp_path, 0), os.pread
    monkeypatch.setattr(os, "pread", lambda number, length, start: read(number, min(length, 7), start))
    assert files(store) == files(filled())
    store.close()


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"put in order there\): '.*/nowhere'"):
        filled(tmp_path / "nowhere", 0)


def test_a_full_disk_is_an_error_that_names_the_place(small_files: None, tmp_path: Path) -> None:
    store = FrameStore(tmp_path, 0)
    few, many = packed(0, 2), packed(2, 5000)
    with pytest.raises(OSError, match=r"too large \(the files of an inventory are put in order there\): '.*'"):
        store.add(list(range(2, 5002)), many)
    store.close()
    # A few are written when they are read, at the latest.
    store = FrameStore(tmp_path, 0)
    store.add([0, 1], few)
    with pytest.raises(OSError, match=r"too large \(the files of an inventory are put in order there\): '.*'"):
        store.frames(0, 1)
    store.close()
    assert os.listdir(tmp_path) == []


def test_a_changed_byte_is_never_taken_for_a_file(scratch_files: list[IO[bytes]]) -> None:
    store = filled(held=0)
    number = scratch_files[0].fileno()
    whole = os.pread(number, 1 << 20, 0)
    for at in range(len(whole)):
        os.pwrite(number, bytes((whole[at] ^ 0xFF,)), at)
        with pytest.raises(OSError, match=r"is damaged \(the files of an inventory are put in order there\)"):
            store.frames(0, 7)
        os.pwrite(number, whole[at : at + 1], at)
    assert len(files(store)) == 7
    for left in range(len(whole)):
        os.ftruncate(number, left)
        with pytest.raises(OSError, match="is damaged"):
            store.frames(0, 7)
    store.close()


def test_its_place_is_given_back(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    store = filled(tmp_path, 0)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    store.close()
    assert len(os.listdir("/proc/self/fd")) == before
