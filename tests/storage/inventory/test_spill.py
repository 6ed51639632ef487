"""Files that are set aside on disk come back as they were, or not at all."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.record import DirectoryRecord
from storage.inventory import builder as builder_module
from storage.inventory import read_inventory, spill
from storage.inventory.builder import TreeBuilder, TreeCounts
from storage.inventory.entries import Rows
from tests.storage.inventory.test_builder import ENTRIES, Entry, rows_of

EVERYTHING = 1 << 40


def tree_of(entries: list[Entry], cuts: list[int], held: int, plain: bool = False) -> tuple[Any, list[DirectoryRecord]]:
    records: list[DirectoryRecord] = []
    with TreeBuilder((), held=held) as builder:
        for start, end in pairwise([0, *sorted(cuts), len(entries)]):
            rows = rows_of(entries[start:end])
            builder.add(Rows(rows.directories, rows.names) if plain else rows)
        return builder.emit(records.append, 1), records


@given(ENTRIES, st.lists(st.integers(0, 40), max_size=8), st.integers(0, 600), st.booleans())
def test_a_tree_is_the_same_however_much_is_set_aside(
    entries: list[Entry], cuts: list[int], held: int, plain: bool
) -> None:
    assert tree_of(entries, cuts, held, plain) == tree_of(entries, [], EVERYTHING, plain)


def test_of_three_sizes_that_were_set_aside_apart_all_are_compared_with_the_last() -> None:
    entries = [(b"/a", b"1", size, b"") for size in (5, 7, 7, 5, 7)]
    counts, records = tree_of(entries, [1, 2, 3, 4], 0)
    assert counts == TreeCounts(files=1, bytes=0, directories=2, duplicates=4, conflicts=2, skipped=0)
    assert records[1].files.rows() == [(b"1", -1, 107)]


def spilled(scratch: Path | None = None) -> TreeBuilder:
    builder = TreeBuilder((), scratch, held=0)
    builder.add(rows_of([(b"/b", b"1", 1, b"A"), (b"/a", b"2", 2, b"B")]))
    return builder


def test_what_is_set_aside_has_no_name_and_its_place_is_given_back(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with spilled(tmp_path):
        assert len(os.listdir("/proc/self/fd")) == before + 1
        assert os.listdir(tmp_path) == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_not_set_aside_needs_no_place(tmp_path: Path) -> None:
    with TreeBuilder((), tmp_path / "nowhere") as builder:
        builder.add(rows_of([(b"/b", b"1", 1, b"A")]))
        assert builder.emit(lambda record: None, 1).files == 1


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"put in order there\): '.*/nowhere'"):
        spilled(tmp_path / "nowhere")


def test_a_full_disk_is_an_error_that_names_the_place(small_files: None, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match=r"too large \(the files of an inventory are put in order there\): '.*'"):
        spilled(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before
    assert os.listdir(tmp_path) == []


@pytest.fixture
def damaged_files(scratch_files: list[IO[bytes]], monkeypatch: pytest.MonkeyPatch) -> list[IO[bytes]]:
    """Hold what was made, to be damaged; little is read ahead."""
    monkeypatch.setattr(spill, "_BUFFER", 8)
    return scratch_files


def test_a_changed_byte_is_never_taken_for_a_file(damaged_files: list[IO[bytes]]) -> None:
    with spilled() as builder:
        whole = os.pread(damaged_files[0].fileno(), 1 << 10, 0)
        assert builder.emit(lambda record: None, 1).files == 2
    # The first head is read while it is written.
    for at in range(48, len(whole)):
        with spilled() as builder:
            os.pwrite(damaged_files[-1].fileno(), bytes((whole[at] ^ 0xFF,)), at)
            with pytest.raises(OSError, match=r"is damaged \(the files of an inventory are put in order there\)"):
                builder.emit(lambda record: None, 1)


def test_a_torn_end_is_never_taken_for_the_end(damaged_files: list[IO[bytes]]) -> None:
    with spilled():
        length = os.fstat(damaged_files[0].fileno()).st_size
    for left in range(48, length):
        with spilled() as builder:
            os.ftruncate(damaged_files[-1].fileno(), left)
            with pytest.raises(OSError, match="is damaged"):
                builder.emit(lambda record: None, 1)


def test_an_inventory_that_is_set_aside_gives_the_same_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [b"/store/%d/%d/f%d %d\n" % (i % 7, i % 3, i % 500, i % 500) for i in range(1000)]
    random.Random(1).shuffle(lines)
    (tmp_path / "list").write_bytes(b"".join(lines))

    def read() -> tuple[Any, list[DirectoryRecord]]:
        records: list[DirectoryRecord] = []
        return read_inventory(tmp_path / "list", records.append, listed_at=1, chunk_size=500, scratch=tmp_path), records

    whole = read()
    monkeypatch.setattr(builder_module.TreeBuilder.__init__, "__defaults__", (None, 1000))
    assert read() == whole
    assert os.listdir(tmp_path) == ["list"]


def test_a_killed_reader_leaves_nothing_behind(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from storage.inventory.builder import TreeBuilder;"
        "from storage.inventory.entries import Rows; builder = TreeBuilder((), Path(sys.argv[1]), held=0);"
        "builder.add(Rows([b'/a'], [b'1'])); print('set aside', flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, check=False)
    assert (done.returncode, done.stdout) == (-9, b"set aside\n")
    assert os.listdir(tmp_path) == []
