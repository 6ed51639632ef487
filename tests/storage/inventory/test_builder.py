"""A tree is the same whatever the order and the batches in which its entries came."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.columns import UNKNOWN_SIZE, UNSETTLED_MTIME
from engine.record import DirectoryRecord
from storage.inventory.builder import TreeBuilder
from storage.inventory.entries import Rows

Entry = tuple[bytes, bytes, int, bytes]

ENTRIES = st.lists(
    st.tuples(
        st.sampled_from([b"", b"/a", b"/a/b", b"/a-b"]),
        st.sampled_from([b"1", b"2", b"2x", b"\xff", b"b"]),
        st.sampled_from([UNKNOWN_SIZE, 0, 1, 3, 4096]),
        st.sampled_from([b"", b"A", b"B"]),
    ),
    max_size=40,
)


def rows_of(entries: list[Entry]) -> Rows:
    directories = [entry[0] for entry in entries]
    names = [entry[1] for entry in entries]
    blocks = [entry[3] for entry in entries]
    numbers = np.array([entry[2] for entry in entries], dtype=np.int64)
    return Rows(directories, names, numbers, numbers + 100, blocks)


@given(ENTRIES, st.lists(st.integers(0, 40), max_size=5), st.sampled_from([(), (b"/a",)]), st.sampled_from([*range(3)]))
def test_the_last_entry_of_a_path_stays(
    entries: list[Entry], cuts: list[int], keep: tuple[bytes, ...], kind: int
) -> None:
    typed, mixed = kind == 0, frozenset((1,)) if kind == 2 else None
    builder = TreeBuilder(keep)
    edges = [0, *sorted(cuts), len(entries)]
    for start, end in pairwise(edges):
        builder.add(rows_of(entries[start:end]))
    records: list[DirectoryRecord] = []

    counts = builder.emit(records.append, 1, typed=typed, mixed=mixed)

    kept = [entry for entry in entries if not keep or entry[0] in (b"/a", b"/a/b")]
    last = {(directory or b"/", name): (size, block) for directory, name, size, block in kept}
    differing = [
        (directory or b"/", name)
        for directory, name, size, _ in kept
        if UNKNOWN_SIZE not in (size, last[directory or b"/", name][0]) and size != last[directory or b"/", name][0]
    ]
    above = {directory for directory, _ in last}
    # What has others below it may be a directory, of which no size is right.
    both = {(directory, name) for directory, name in last if directory.rstrip(b"/") + b"/" + name in above}
    both = set() if typed else both
    # In a list with directories so may be what is as large as they are, or as an empty one anywhere.
    sizes = (UNKNOWN_SIZE, 0, 1, 4096)
    unsure = {key for key, (size, _) in last.items() if mixed and (size in sizes or key in differing)} - both
    unknown = both.union(differing, unsure)
    model = {key: (UNKNOWN_SIZE if key in unknown else size, block) for key, (size, block) in last.items()}
    assert (counts.both, counts.unsure) == (len(both), len(unsure))
    assert counts.sizes_of_both == {UNKNOWN_SIZE if key in differing else last[key][0] for key in both}
    unsettled = {
        (record.path, name) for record in records for name, _, m in record.files.rows() if m == UNSETTLED_MTIME
    }
    assert unsettled == both | unsure
    found = {
        (record.path, name): (size, block)
        for record in records
        for (name, size, _), block in zip(record.files.rows(), record.files.block_list() or [b""], strict=False)
    }
    assert found == model
    assert all(mtime == size + 100 for record in records for _, size, mtime in record.files.rows() if size >= 0)
    assert all(record.files.name_list() == sorted(set(record.files.name_list())) for record in records)
    assert counts.files == len(model)
    assert counts.bytes == sum(size for size, _ in model.values() if size > 0)
    assert counts.skipped == len(entries) - len(kept)
    assert counts.duplicates == len(kept) - len(model)
    assert counts.conflicts == len(differing)
    assert counts.directories == len(records)


def test_sizes_too_large_to_be_true_are_summed() -> None:
    builder = TreeBuilder(())
    builder.add(rows_of([(b"/a", b"1", 2**62, b""), (b"/a", b"2", 2**62, b"")]))
    assert builder.emit(lambda record: None, 1).bytes == 2**63


def test_a_directory_that_goes_on_in_the_next_batch_needs_no_sorting() -> None:
    builder = TreeBuilder(())
    for names in ([b"1", b"2"], [b"3"], [b"30", b"4"]):
        builder.add(Rows([b"/a"] * len(names), names))
    records: list[DirectoryRecord] = []
    builder.emit(records.append, 1)
    assert records[1].files.name_list() == [b"1", b"2", b"3", b"30", b"4"]
