"""Of a directory that comes in one piece the frame is made at once; all other rows wait."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from engine.index import Entry
from engine.record import DirectoryRecord
from engine.states import State
from storage.inventory.entries import Rows
from storage.inventory.packing import Packed, Packer, Runs
from storage.snapshot import directory_frame, files_of_frame

LISTED_AT = 5
LONG = [bytes(range(97 + n, 97 + n + length)) for n in range(9) for length in (8, 9, 12)] + [b"\xff" * 8, b"\x01" * 8]


def rows_of(*entries: tuple[bytes, bytes, int], blocks: bool = False) -> Rows:
    directories, names, sizes = zip(*entries, strict=True)
    numbers = np.array(sizes, dtype=np.int64)
    texts = [b"block of " + name for name in names] if blocks else None
    return Rows(list(directories), list(names), numbers, numbers + 100, texts)


def packed(*entries: tuple[bytes, bytes, int], keep: tuple[bytes, ...] = (), blocks: bool = False) -> Packed:
    return Packer(keep, LISTED_AT).pack(rows_of(*entries, blocks=blocks))


def left_in(found: Packed) -> list[bytes]:
    """Name the files that wait."""
    return [] if found.runs is None else found.runs.names.split(b"\0")[:-1]


def test_a_frame_is_the_record_of_its_directory() -> None:
    found = packed((b"/a", b"1", 7), (b"/a", b"2", 3), (b"", b"x", 1), (b"", b"y", UNKNOWN_SIZE), blocks=True)
    assert (found.directories, found.runs, found.total, found.skipped) == ([b"/a", b""], None, 11, 0)
    start = 0
    for place, directory in enumerate((b"/a", b"/")):
        frame = found.frames[start : start + found.lengths[place]]
        start += len(frame)
        record = DirectoryRecord(directory, State.LISTED, listed_at=LISTED_AT, files=files_of_frame(frame))
        assert directory_frame(record) == frame
        entry = Entry.of(record, len(frame))
        assert entry.digest == found.digests[16 * place : 16 * place + 16]
        assert (entry.files, entry.size, entry.newest) == (
            found.files[place],
            found.sizes[place],
            found.newest[place],
        )
    assert start == len(found.frames)


def test_names_in_no_order_are_sorted_with_all_that_belongs_to_them() -> None:
    found = packed((b"/a", b"2", 3), (b"/a", b"1", 7), (b"/a", b"3", 4), blocks=True)
    files = files_of_frame(found.frames)
    assert files.rows() == [(b"1", 7, 107), (b"2", 3, 103), (b"3", 4, 104)]
    assert files.block_list() == [b"block of 1", b"block of 2", b"block of 3"]


def test_what_the_inventory_does_not_know_is_unknown() -> None:
    found = Packer((), LISTED_AT).pack(Rows([b"/a", b"/a"], [b"1", b"2"]))
    assert files_of_frame(found.frames).rows() == [(b"1", UNKNOWN_SIZE, UNKNOWN_MTIME), (b"2", -1, UNKNOWN_MTIME)]
    assert (found.sizes, found.newest, found.total) == ([0], [UNKNOWN_MTIME], 0)


@given(st.lists(st.sampled_from([b"same-beginning-%d" % n for n in range(3)] + LONG), min_size=1, max_size=40))
def test_long_names_are_compared_like_any_others(names: list[bytes]) -> None:
    found = Packer((), LISTED_AT).pack(Rows([b"/a"] * len(names), names))
    if len(set(names)) < len(names) or len(names) < 2:
        assert left_in(found) == names
    else:
        assert files_of_frame(found.frames).name_list() == sorted(names)
    ascends = all(one < other for one, other in pairwise(names))
    assert Runs.of(Rows([b"/a"] * len(names), names)).ascends == bytes((ascends,))


def test_a_directory_of_which_there_are_two_stretches_waits() -> None:
    a, b = [(b"/a", b"%d" % n, 1) for n in range(4)], [(b"/b", b"%d" % n, 1) for n in range(4)]
    found = packed(*a[:2], *b, *a[2:])
    assert found.directories == [b"/b"]
    assert left_in(found) == [b"0", b"1", b"2", b"3"]


def test_a_directory_in_which_a_name_comes_twice_waits() -> None:
    # What of its entries counts depends on all of them, also on those that are not here.
    found = packed((b"/a", b"2", 3), (b"/a", b"1", 7), (b"/a", b"2", 4), (b"/b", b"1", 1), (b"/b", b"2", 1))
    assert found.directories == [b"/b"]
    assert left_in(found) == [b"2", b"1", b"2"]


def test_rows_in_no_order_all_wait() -> None:
    found = packed(*((b"/%d" % n, b"1", 1) for n in range(9)))
    assert (found.directories, len(left_in(found))) == ((), 9)


def test_without_a_time_there_are_no_frames() -> None:
    found = Packer((), None).pack(rows_of((b"/a", b"1", 7), (b"/a", b"2", 3)))
    assert (found.directories, left_in(found)) == ((), [b"1", b"2"])


def test_what_is_not_to_be_kept_is_skipped() -> None:
    entries = [(b"/a", b"1", 7), (b"/a", b"2", 3), (b"/ab", b"1", 1), (b"/ab", b"2", 1)]
    found = packed(*entries, keep=(b"/a",))
    assert (found.directories, found.skipped, found.total) == ([b"/a"], 2, 10)
    assert packed(*entries, keep=(b"/c",)) == Packed(4)


def test_sizes_too_large_to_be_true_are_summed() -> None:
    found = packed((b"/a", b"1", 2**62), (b"/a", b"2", 2**62), (b"/b", b"1", 1), (b"/b", b"2", 1))
    assert (found.sizes, found.total) == ([2**63 - 1, 2], 2**63 + 2)


def test_frames_can_be_taken_back_or_left_out() -> None:
    found = packed(*((b"/%d" % (n // 2), b"%d" % n, n) for n in range(6)))
    assert [(name, files.name_list()) for name, files in found.files_of([True, False, True])] == [
        (b"/0", [b"0", b"1"]),
        (b"/2", [b"4", b"5"]),
    ]
    rest = found.without([True, False, True])
    alone = packed((b"/1", b"2", 2), (b"/1", b"3", 3))
    assert rest == replace(alone, total=found.total)


def test_it_crosses_processes() -> None:
    found = packed(*((b"/%d" % (n // 2), b"%d" % n, n) for n in range(6)))
    assert pickle.loads(pickle.dumps(found)) == found
